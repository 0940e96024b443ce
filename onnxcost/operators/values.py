"""Which integers operators can take: indices inside the table that they index, divisors that are not 0.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

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

Numbers = tuple[float, ...]
NumbersRule = Callable[[Node], Numbers]


def _axes(node: Node) -> Sequence[int]:
    return node.attributes.get("axes") or range(node.x.rank)


def _numbers(*numbers: float) -> NumbersRule:
    return lambda node: numbers


def _first_axes(place: int) -> NumbersRule:
    """As many as the input has elements: the first axes."""
    return lambda node: tuple(range(node.required(place).size))


def _axes_of_one(node: Node) -> Numbers:
    return tuple(axis for axis, size in enumerate(node.x.shape) if size == 1)[: node.required(1).size]


def _output_or(rule: NumbersRule, place: int = 1) -> NumbersRule:
    """The shape of the output, where that is known although the elements of the input at ``place`` are not."""

    def numbers(node: Node) -> Numbers:
        is_known = node.out.is_shaped and not node.out.is_bound and node.out.rank == node.required(place).size
        return node.out.shape if is_known else rule(node)

    return numbers


def _other_shape(node: Node) -> Numbers:
    """The input's own shape or, of another rank, all elements along the last axis."""
    rank = node.required(1).size
    return node.x.shape if rank == node.x.rank else (*(1,) * (rank - 1), node.x.size)


def _kept_sides(node: Node) -> Numbers:
    shape = node.out.shape if node.out.is_shaped else node.x.shape
    return tuple(shape[axis] for axis in _axes(node))


def _scales(node: Node) -> Numbers:
    if not node.out.is_shaped:
        return (1.0,)
    return tuple(node.out.shape[axis] / max(1, node.x.shape[axis]) for axis in _axes(node))


def _resize_second(node: Node) -> Numbers:
    """The scales before opset 11, since then the region: the whole."""
    return _scales(node) if len(node.inputs) == 2 else (*(0.0,) * len(_axes(node)), *(1.0,) * len(_axes(node)))


def _parts(node: Node) -> Numbers:
    """Equal parts, the last ones smaller; of a single number parts of 1."""
    length, split = dim(node.x, int(node.attributes.get("axis", 0))), node.required(1)
    if split.rank == 0:
        return (1,)
    return tuple((length + index) // split.size for index in reversed(range(split.size)))


def _along(attribute: str, default: int) -> NumbersRule:
    return lambda node: (dim(node.x, int(node.attributes.get(attribute, default))),)


def _steps(node: Node) -> Numbers:
    """What a recurrent network runs over: the first axis, or the second where the batch comes first."""
    return (dim(node.x, int(node.attributes.get("layout", 0))),)


def _total(node: Node) -> int:
    """Positions of a grouped-query attention: the cache's and the new ones."""
    past = node.input(3)
    return dim(node.input(1) or node.x, 1) + (dim(past, 2) if past is not None else 0)


def _mask(place: int) -> NumbersRule:
    """Ones; of one dim the lengths."""
    return lambda node: (dim(node.x, 1),) if node.required(place).rank == 1 else (1,)


_AXES_SECOND = {1: _first_axes(1)}
_RECURRENT = {4: _steps}
_WINDOW = {0: lambda node: (node.out.size if node.out.is_shaped else 16,)}
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

EXPECTED: Mapping[str, Mapping[int, NumbersRule]] = {
    **dict.fromkeys([f"Reduce{name}" for name in _REDUCTIONS], _AXES_SECOND),
    **dict.fromkeys(("RNN", "GRU", "LSTM", "com.microsoft.DynamicQuantizeLSTM", "com.microsoft.AttnLSTM"), _RECURRENT),
    **dict.fromkeys(("HannWindow", "HammingWindow", "BlackmanWindow"), _WINDOW),
    "Unsqueeze": _AXES_SECOND,
    "Squeeze": {1: _axes_of_one},
    "Reshape": {1: _output_or(_other_shape)},
    "Expand": {1: _output_or(_numbers(1))},
    "ConstantOfShape": {0: _output_or(_numbers(1), 0)},
    "Tile": {1: _numbers(1)},
    "Pad": {1: _numbers(0), 3: _first_axes(3)},
    "Resize": {1: _resize_second, 2: _scales, 3: _kept_sides},
    "Upsample": {1: _scales},
    "Slice": {1: _numbers(0), 2: lambda node: (max(node.x.shape, default=0),), 3: _first_axes(3), 4: _numbers(1)},
    "Split": {1: _parts},
    "SplitToSequence": {1: _parts},
    "TopK": {1: _along("axis", -1)},
    "Range": {0: _numbers(0), 1: lambda node: (node.out.size if node.out.is_shaped else 16,), 2: _numbers(1)},
    "OneHot": {1: lambda node: (depth(node),), 2: _numbers(0, 1)},
    "CenterCropPad": {1: _kept_sides},
    "AffineGrid": {1: lambda node: (dim(node.x, 0), 1, *(8,) * dim(node.x, 1))},
    "CumSum": {1: _numbers(0)},
    "CumProd": {1: _numbers(0)},
    "MaxUnpool": {2: lambda node: node.out.shape},
    "Trilu": {1: _numbers(0)},
    "NonMaxSuppression": {2: lambda node: (dim(node.x, 1),), 3: _numbers(0.5), 4: _numbers(0)},
    "Dropout": {1: _numbers(0.5), 2: _numbers(False)},
    "ReverseSequence": {1: _along("time_axis", 0)},
    "BitShift": {1: _numbers(1)},
    "DFT": {1: _along("axis", -2), 2: _numbers(-2)},
    "STFT": {1: _numbers(8), 3: lambda node: (node.required(2).size if node.input(2) is not None else 16,)},
    "MelWeightMatrix": {0: _numbers(8), 1: _numbers(16), 2: _numbers(16000), 3: _numbers(0), 4: _numbers(8000)},
    "Attention": {6: lambda node: (dim(node.required(1), -2),)},
    "com.microsoft.Attention": {3: _mask(3)},
    "com.microsoft.QAttention": {5: _mask(5)},
    "com.microsoft.MultiHeadAttention": {4: _mask(4)},
    "com.microsoft.EmbedLayerNormalization": {7: _numbers(1)},
    "com.microsoft.QEmbedLayerNormalization": {7: _numbers(1)},
    "com.microsoft.GroupQueryAttention": {5: lambda node: (_total(node) - 1,), 6: lambda node: (_total(node),)},
    "com.microsoft.Trilu": {1: _numbers(0)},
    "com.microsoft.Pad": {1: _numbers(0)},
    "com.microsoft.ExpandDims": {1: _numbers(0)},
    "com.microsoft.Range": {0: _numbers(0), 1: _numbers(16), 2: _numbers(1)},
}
"""By operator and input: the elements that make the operator do its work in full; a single one stands for all of them."""
