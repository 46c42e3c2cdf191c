"""Face clips and faces to learn from: which, whose, decoded once."""
