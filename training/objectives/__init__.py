"""What a step asks: losses, and the teachers they need."""
