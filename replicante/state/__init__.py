"""The replicated state machine: commands in, rows, events and outcomes out. Pure."""
