"""Weights that a model names but does not have: which they are, and random ones of a suitable scale in their place."""

from __future__ import annotations

from onnxcost.frontend.synthetic_weights.fill import fill_weights, find_absent_weights

__all__ = ["fill_weights", "find_absent_weights"]
