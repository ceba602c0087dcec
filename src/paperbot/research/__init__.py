"""Runs over recorded or made-up bars, one or many."""
