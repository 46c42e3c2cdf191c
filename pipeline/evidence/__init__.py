"""What lips and sound say about their offset, added up over tracks, shots and the whole video."""
