"""Devices: what they can do, where each figure is from, and what a model could reach on them."""
