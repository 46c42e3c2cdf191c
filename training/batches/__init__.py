"""What a step sees: excerpts, windows and views."""
