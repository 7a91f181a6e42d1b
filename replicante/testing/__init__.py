"""Shipped fakes: manual clock, seeded entropy, builders, simulated network and disk."""
