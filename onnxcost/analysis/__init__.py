"""Facts about a graph: memory, weights, element types, batch."""
