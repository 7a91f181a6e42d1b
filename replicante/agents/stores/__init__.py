"""Agents for data stores, each written with the SDK."""
