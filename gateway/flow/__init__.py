"""The stages of a passage, in the order of the way."""
