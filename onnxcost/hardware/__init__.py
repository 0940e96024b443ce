"""Devices: their figures, each with its source, and what a model can reach on them."""
