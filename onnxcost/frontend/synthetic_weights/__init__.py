"""Weights that a model names but does not have: which they are, and random ones of a suitable scale in their place."""
