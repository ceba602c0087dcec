"""The version of the rules: what the same inputs come to."""

RULES = 1
"""Goes up whenever a golden digest changes (`tests/test_golden.py` proves it), or a rule that no golden run reaches. A
session of other rules is not gone on with: it is closed, and a new one goes on with what it holds.
"""
