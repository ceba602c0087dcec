"""What people and machines see of a run: metrics, log lines, pattern events. All of it from what the engine put out."""
