"""Checkers: pure functions from a history to a verdict. Called by `jlike.judge` and by tests."""
