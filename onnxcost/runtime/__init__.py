"""Runs a model with onnxruntime and times it, in a child process: the only place that imports onnxruntime."""
