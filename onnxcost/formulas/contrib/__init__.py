"""onnxruntime's own operators, a file a family; ``catalogue`` has them all."""
