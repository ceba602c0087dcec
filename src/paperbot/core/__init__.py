"""The engine's core: records, rules and arithmetic, compiled."""
