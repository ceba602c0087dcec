"""The version of the rules: what the same inputs come to."""

RULES = 1
"""Raise it whenever a golden digest changes (`tests/test_golden.py` checks that), or when a rule changes that no golden
run covers. A session recorded under another version is closed, and its holdings move to a new session.
"""
