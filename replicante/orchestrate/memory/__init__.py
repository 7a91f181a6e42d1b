"""What a cluster keeps from one cycle to the next."""
