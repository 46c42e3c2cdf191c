"""The one loop that trains every network, its checkpoints and its log."""
