"""The inputs of a run: chosen in the parent from the graph or the user's files, made in the child."""

from __future__ import annotations

from onnxcost.analysis.batch import BatchDim, batch_dim, batch_of
from onnxcost.runtime.inputs.feeds import Feed, arrays, arrays_of, describe_inputs, feeds_of

__all__ = [
    "BatchDim",
    "Feed",
    "arrays",
    "arrays_of",
    "batch_dim",
    "batch_of",
    "describe_inputs",
    "feeds_of",
]
