"""Actions that programs of an operator carry out."""
