"""Evaluation of weights: pieces, agreement, reliability."""
