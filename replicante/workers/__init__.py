"""The workers: they gather, have `orchestrate` decide, record, act, and record again."""
