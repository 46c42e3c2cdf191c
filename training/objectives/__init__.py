"""Losses, and the teachers they need."""
