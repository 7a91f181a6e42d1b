"""A fault suite: clients, faults, histories, checkers. It knows HTTP and no code of the product."""
