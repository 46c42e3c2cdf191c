"""Drawn talking heads."""
