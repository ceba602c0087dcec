"""Replays and sweeps over recorded or synthetic bars."""
