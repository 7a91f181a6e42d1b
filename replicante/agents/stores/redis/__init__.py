"""The agent of Redis (6.2 or newer) with replication: one primary, replicas that follow it."""
