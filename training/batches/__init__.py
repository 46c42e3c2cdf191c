"""Batches of a training step: excerpts, windows and views."""
