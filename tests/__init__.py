"""Tests: one file a room of the toolkit."""
