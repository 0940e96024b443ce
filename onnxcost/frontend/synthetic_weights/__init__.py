"""Absent weights of a model: finds them, and replaces them by random ones of a suitable scale."""
