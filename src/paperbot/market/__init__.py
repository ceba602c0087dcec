"""Sources of bars: data files, exchanges and the synthetic market."""
