"""Replicate anything: implement three functions, call propose on any peer."""
