"""The test-suite: one file for each part of the toolkit."""
