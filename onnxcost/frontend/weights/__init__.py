"""Weights that a model names but does not have: which they are, and random ones of a sane scale in their place."""

from onnxcost.frontend.weights.absent import absent_weights, fill_weights

__all__ = ["absent_weights", "fill_weights"]
