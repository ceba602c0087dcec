"""The version of the rules that turn inputs into results."""

RULES = 1
"""Raise this whenever a golden digest changes (`tests/test_golden.py` checks that), or when a rule changes that no
golden run covers. A session recorded under another version is closed, and its holdings move to a new session.
"""
