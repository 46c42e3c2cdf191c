"""What weights are worth: pieces, agreement, reliability."""
