"""The kernels that onnxruntime runs for a graph, and the quantities that their times depend on."""
