"""The composition root: the one place that wires settings → storage → raft → api."""
