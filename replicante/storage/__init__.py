"""Ordered key/value stores: the protocol (kv), an implementation in memory, one in LMDB."""
