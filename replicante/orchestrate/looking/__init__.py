"""What was seen, what of it is believed, and what it makes of the records."""
