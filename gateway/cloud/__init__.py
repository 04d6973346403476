"""What a contourer must speak, and the clients."""
