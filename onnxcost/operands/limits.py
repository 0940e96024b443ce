"""Which integers operators can take: indices inside the table that they index, divisors that are not 0.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxcost.errors import UnknownShape
from onnxcost.graph import Node, Tensor

Limit = Callable[[Node], int]


def dim(tensor: Tensor, axis: int) -> int:
    """One dim; raises UnknownShape where it is open, whatever the others are."""
    size = tensor.dims[axis] if tensor.dims is not None and -len(tensor.dims) <= axis < len(tensor.dims) else None
    if not isinstance(size, int):
        raise UnknownShape(f"dim {axis} of '{tensor.name}' is not known")
    return size


def _rows(table: int, axis: int = 0, attribute: str = "axis") -> Limit:
    """Indices into an axis of the input ``table``: the one that the attribute names, if the node has it."""
    return lambda node: dim(node.required(table), int(node.attributes.get(attribute, axis)))


def _tuples(node: Node) -> int:
    """Tuples of indices, one for each of the axes behind the batch's: what fits the shortest fits all."""
    first = int(node.attributes.get("batch_dims", 0))
    width = dim(node.required(1), -1)
    return min(dim(node.x, axis) for axis in range(first, first + width))


def _elements(more: int = 0) -> Limit:
    def count(node: Node) -> int:
        if node.x.elements is None:
            raise UnknownShape(f"the length of '{node.x.name}' is not known")
        return len(node.x.elements) + more

    return count


def _write_positions(node: Node) -> int:
    axis = int(node.attributes.get("axis", -2))
    return dim(node.x, axis) - dim(node.required(1), axis) + 1


def depth(node: Node) -> int:
    """The classes of a OneHot."""
    given = node.required(1)
    return int(given.value[0]) if given.value else dim(node.out, int(node.attributes.get("axis", -1)))


def _classes(place: int) -> Limit:
    """Held against the constants of all classes, a one-hot encoding."""

    def count(node: Node) -> int:
        own, other = node.required(1 - place), node.required(place)
        if not other.is_constant or dim(own, -1) != 1 or dim(other, -1) == 1:
            raise UnknownShape("it is no one-hot encoding")
        return dim(other, -1)

    return count


def _vocabulary(node: Node) -> int:
    return int(node.attributes["vocab_size"])


_GENERATES = {0: _vocabulary}

LIMITS: Mapping[str, Mapping[int, Limit]] = {
    "Gather": {1: _rows(0)},
    "GatherElements": {1: _rows(0)},
    "GatherND": {1: _tuples},
    "Scatter": {1: _rows(0)},
    "ScatterElements": {1: _rows(0)},
    "ScatterND": {1: _tuples},
    "TensorScatter": {2: _write_positions},
    "OneHot": {0: depth},
    "Equal": {0: _classes(1), 1: _classes(0)},
    "MaxUnpool": {1: lambda node: node.out.size},
    "RotaryEmbedding": {3: _rows(1)},
    "RoiAlign": {2: _rows(0)},
    "SequenceAt": {1: _elements()},
    "SequenceErase": {1: _elements()},
    "SequenceInsert": {2: _elements(1)},
    "NegativeLogLikelihoodLoss": {1: _rows(0, 1)},
    "SoftmaxCrossEntropyLoss": {1: _rows(0, 1)},
    "ai.onnx.ml.ArrayFeatureExtractor": {1: _rows(0, -1)},
    "com.microsoft.GatherND": {1: _tuples},
    "com.microsoft.GatherBlockQuantized": {1: _rows(0, 0, "gather_axis")},
    "com.microsoft.TorchEmbedding": {1: _rows(0)},
    "com.microsoft.EmbedLayerNormalization": {0: _rows(2), 1: _rows(4), 8: _rows(3)},
    "com.microsoft.QEmbedLayerNormalization": {0: _rows(2), 1: _rows(4)},
    "com.microsoft.RotaryEmbedding": {1: _rows(2)},
    "com.microsoft.MRotaryEmbedding": {1: _rows(2)},
    "com.microsoft.GroupQueryAttention": {9: _rows(7)},
    "com.microsoft.CropAndResize": {2: _rows(0)},
    "com.microsoft.NGramRepeatBlock": {0: _rows(1, 1)},
    "com.microsoft.BeamSearch": _GENERATES,
    "com.microsoft.GreedySearch": _GENERATES,
    "com.microsoft.Sampling": _GENERATES,
}
"""By operator and input: how many indices are valid, from 0 on. Rules raise UnknownShape where that is not known."""

DIVISORS: Mapping[str, int] = {"Div": 1, "Mod": 1}
"""Inputs whose integers must not be 0: the processor itself would end the run."""
