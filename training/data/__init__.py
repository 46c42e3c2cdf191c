"""Training data: selection of clips, people, decoded clips in a cache."""
