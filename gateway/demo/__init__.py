"""A made study, a TPS stand-in and the story that the demo tells."""
