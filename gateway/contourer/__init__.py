"""A contourer of our own."""
