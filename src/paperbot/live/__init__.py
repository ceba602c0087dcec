"""A running session."""
