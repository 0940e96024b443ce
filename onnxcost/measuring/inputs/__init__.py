"""What a model is fed with: chosen in the parent from the graph or the user's files, made in the child."""

from onnxcost.measuring.inputs.batch import BatchDim, batch_dim, batch_of
from onnxcost.measuring.inputs.feeds import Feed, arrays, arrays_of, feeds_of, used
from onnxcost.measuring.inputs.files import input_shapes, input_values, named_files

__all__ = [
    "BatchDim",
    "Feed",
    "arrays",
    "arrays_of",
    "batch_dim",
    "batch_of",
    "feeds_of",
    "input_shapes",
    "input_values",
    "named_files",
    "used",
]
