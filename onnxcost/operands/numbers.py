"""The elements that steer operators: shapes, axes, lengths, thresholds. What makes a node do its work in full is chosen.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnxcost.graph import Node
from onnxcost.operands.limits import depth, dim

Numbers = tuple[float, ...]
Rule = Callable[[Node], Numbers]


def _axes(node: Node) -> Sequence[int]:
    return node.attributes.get("axes") or range(node.x.rank)


def _numbers(*numbers: float) -> Rule:
    return lambda node: numbers


def _counted(place: int) -> Rule:
    """As many as the input has elements: the first axes."""
    return lambda node: tuple(range(node.required(place).size))


def _axes_of_one(node: Node) -> Numbers:
    return tuple(axis for axis, size in enumerate(node.x.shape) if size == 1)[: node.required(1).size]


def _output_or(rule: Rule, place: int = 1) -> Rule:
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


def _along(attribute: str, default: int) -> Rule:
    return lambda node: (dim(node.x, int(node.attributes.get(attribute, default))),)


def _steps(node: Node) -> Numbers:
    """What a recurrent network runs over: the first axis, or the second where the batch comes first."""
    return (dim(node.x, int(node.attributes.get("layout", 0))),)


def _total(node: Node) -> int:
    """Positions of a grouped-query attention: the cache's and the new ones."""
    past = node.input(3)
    return dim(node.input(1) or node.x, 1) + (dim(past, 2) if past is not None else 0)


def _mask(place: int) -> Rule:
    """Ones; of one dim the lengths."""
    return lambda node: (dim(node.x, 1),) if node.required(place).rank == 1 else (1,)


_AXES_SECOND = {1: _counted(1)}
_RECURRENT = {4: _steps}
_WINDOW = {0: lambda node: (node.out.size if node.out.is_shaped else 16,)}
_REDUCTIONS = ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")

EXPECTED: Mapping[str, Mapping[int, Rule]] = {
    **dict.fromkeys([f"Reduce{name}" for name in _REDUCTIONS], _AXES_SECOND),
    **dict.fromkeys(("RNN", "GRU", "LSTM", "com.microsoft.DynamicQuantizeLSTM", "com.microsoft.AttnLSTM"), _RECURRENT),
    **dict.fromkeys(("HannWindow", "HammingWindow", "BlackmanWindow"), _WINDOW),
    "Unsqueeze": _AXES_SECOND,
    "Squeeze": {1: _axes_of_one},
    "Reshape": {1: _output_or(_other_shape)},
    "Expand": {1: _output_or(_numbers(1))},
    "ConstantOfShape": {0: _output_or(_numbers(1), 0)},
    "Tile": {1: _numbers(1)},
    "Pad": {1: _numbers(0), 3: _counted(3)},
    "Resize": {1: _resize_second, 2: _scales, 3: _kept_sides},
    "Upsample": {1: _scales},
    "Slice": {1: _numbers(0), 2: lambda node: (max(node.x.shape, default=0),), 3: _counted(3), 4: _numbers(1)},
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
