"""The steps of convergence, each in a file of its own; `steps` holds their order."""
