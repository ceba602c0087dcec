"""The compiled core of the engine: records, rules and arithmetic."""
