"""The kernels that onnxruntime runs of a graph, and what their times depend on."""
