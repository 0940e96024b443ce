"""Shape rules for the operators as their first opsets had them, of which onnx infers no shapes.

They are asked only where onnx leaves a shape open, and stay open themselves where an input is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import zip_longest
from math import prod

from onnxcost.formulas.table import Formula, FormulaTable, ShapeRule, TensorType, like_input
from onnxcost.graph import Node
from onnxcost.work import Work


def joined(node: Node) -> tuple[int, ...]:
    """The shape of the inputs broadcast to each other; before opset 7 (attribute ``broadcast``) to the first."""
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    if "broadcast" in node.attributes:
        return shapes[0]
    dims = zip_longest(*(reversed(shape) for shape in shapes), fillvalue=1)
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in dims)[::-1]


def _elementwise(node: Node) -> Sequence[TensorType]:
    return ((node.x.dtype, joined(node)),)


def _comparison(node: Node) -> Sequence[TensorType]:
    return (("bool", joined(node)),)


def _with_parameters(node: Node) -> Sequence[TensorType]:
    """Y is as X; the statistics that a BatchNormalization gives in training are as those that it gets."""
    statistics = [(tensor.dtype, tensor.shape) for tensor in (node.required(3), node.required(4))]
    return [(node.x.dtype, node.x.shape), *statistics, *statistics]


def _with_mask(node: Node) -> Sequence[TensorType]:
    return (node.x.dtype, node.x.shape), (node.x.dtype, node.x.shape)


def _cast(node: Node) -> Sequence[TensorType]:
    """The type has a name, not yet a number."""
    name = str(node.attributes["to"]).lower()
    return (({"float": "float32", "double": "float64"}.get(name, name), node.x.shape),)


def _concat(node: Node) -> Sequence[TensorType]:
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    axis = node.attributes.get("axis", 1)
    dims = list(shapes[0])
    dims[axis] = sum(shape[axis] for shape in shapes)
    return ((node.x.dtype, tuple(dims)),)


def _split(node: Node) -> Sequence[TensorType]:
    axis, count = node.attributes.get("axis", 0), len(node.outputs)
    parts = node.attributes.get("split") or (node.x.shape[axis] // count,) * count
    dims = node.x.shape
    return [(node.x.dtype, (*dims[:axis], part, *dims[axis % len(dims) + 1 :])) for part in parts]


def _reshape(node: Node) -> Sequence[TensorType]:
    """0 keeps a dim, −1 takes what is left."""
    dims = [node.x.shape[index] if size == 0 else size for index, size in enumerate(node.attributes["shape"])]
    left = node.x.size // prod(size for size in dims if size != -1)
    return ((node.x.dtype, tuple(left if size == -1 else size for size in dims)),)


def _pad(node: Node) -> Sequence[TensorType]:
    pads, rank = node.attributes["paddings"], node.x.rank
    return ((node.x.dtype, tuple(a + b + c for a, b, c in zip(node.x.shape, pads[:rank], pads[rank:], strict=True))),)


def _gemm(node: Node) -> Sequence[TensorType]:
    rows = node.x.shape[1 if node.attributes.get("transA") else 0]
    columns = node.required(1).shape[0 if node.attributes.get("transB") else 1]
    return ((node.x.dtype, (rows, columns)),)


def _windows(node: Node) -> Sequence[TensorType]:
    space, kernel = node.x.shape[2:], node.attributes["kernel_shape"]
    strides = node.attributes.get("strides") or (1,) * len(space)
    pads = node.attributes.get("pads") or 2 * (0,) * len(space)
    padded = [size + before + after for size, before, after in zip(space, pads, pads[len(space) :], strict=False)]
    if node.attributes.get("auto_pad", "NOTSET").startswith("SAME"):
        out = tuple(-(-size // stride) for size, stride in zip(space, strides, strict=True))
    else:
        out = tuple((size - width) // stride + 1 for size, width, stride in zip(padded, kernel, strides, strict=True))
    return ((node.x.dtype, node.x.shape[:2] + out),)


def _whole_space(node: Node) -> Sequence[TensorType]:
    return ((node.x.dtype, node.x.shape[:2] + (1,) * (node.x.rank - 2)),)


def _gru(node: Node) -> Sequence[TensorType]:
    (steps, batch, _), (directions, _, hidden) = node.x.shape, node.required(2).shape
    return (node.x.dtype, (steps, directions, batch, hidden)), (node.x.dtype, (directions, batch, hidden))


_AS_INPUTS = (
    "Abs Add Ceil Clip Div Elu Exp Floor HardSigmoid LeakyRelu Log Max Mean Min Mul Neg PRelu Reciprocal Relu Selu Sigmoid "
    "Sqrt Sub Sum Tanh"
)

RULES: Mapping[str, ShapeRule] = {
    **dict.fromkeys(_AS_INPUTS.split(), _elementwise),
    **dict.fromkeys(("GreaterOrEqual", "LessOrEqual"), _comparison),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization"), like_input),
    "BatchNormalization": _with_parameters,
    "Dropout": _with_mask,
    "Cast": _cast, "Concat": _concat, "Split": _split, "Reshape": _reshape, "Pad": _pad, "Gemm": _gemm,
    "LpPool": _windows, "GlobalLpPool": _whole_space, "GRU": _gru,
}  # fmt: skip


def with_rules(table: dict[str, Callable[[Node], Work]]) -> FormulaTable:
    """The table with these rules beside its formulas."""
    found = {name: table.get(name) for name in RULES}
    return table | {name: replace(each, shapes=RULES[name]) for name, each in found.items() if isinstance(each, Formula)}
