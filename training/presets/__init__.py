"""Presets of the training scripts: named settings of their flags, one row each."""
