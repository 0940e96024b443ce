"""Rules for the types of outputs, for onnxruntime's own operators and for old opsets: onnx does not infer them.

Attributes without a schema have no defaults here. The operators: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from math import prod

from onnxcost.errors import UnknownShape
from onnxcost.formulas.table import Formula, FormulaTable, ShapeRule, TensorType, Types, like_input
from onnxcost.graph import Node, Tensor, Work

Dims = tuple[int, ...]


def with_shapes(formula: Callable[[Node], Work], rule: ShapeRule) -> Formula:
    """The formula with a rule for the outputs' types; TypeError for a plain function, which has no text."""
    if not isinstance(formula, Formula):
        raise TypeError(f"{formula} is not a Formula")
    return replace(formula, shapes=rule)


def like(*inputs: int) -> ShapeRule:
    """The outputs, in order, are as the inputs at these places; an input that is absent leaves its output open."""

    def rule(node: Node) -> Types:
        found = [node.input(index) for index in inputs]
        return [(tensor.dtype, tensor.shape) if tensor else None for tensor in found]

    return rule


def element(node: Node, index: int, what: str) -> int:
    """The number that input ``index`` holds; raises UnknownShape, which says ``what`` it is, if unknown."""
    tensor = node.required(index)
    if not tensor.value:
        raise UnknownShape(f"{what} is not known: it is in the elements of '{tensor.name}'")
    return int(tensor.value[0])


def elements(node: Node, index: int, what: str) -> Dims:
    """All the numbers that input ``index`` holds; raises UnknownShape as ``element`` does."""
    tensor = node.required(index)
    if tensor.value is None:
        raise UnknownShape(f"{what} are not known: they are in the elements of '{tensor.name}'")
    return tuple(map(int, tensor.value))


def broadcast(*shapes: Sequence[int]) -> Dims:
    """numpy's rule: aligned on the right, a dim of 1 takes on the others' size."""
    rank = max(map(len, shapes))
    aligned = [(1,) * (rank - len(shape)) + tuple(shape) for shape in shapes]
    return tuple(next((size for size in sizes if size != 1), 1) for sizes in zip(*aligned, strict=True))


def product(a: Dims, b: Dims) -> Dims:
    """The dims of numpy.matmul."""
    return (*broadcast(a[:-2], b[:-2]), *a[-2:-1], *(b[-1:] if len(b) > 1 else ()))


def gemm_type(node: Node, a: Tensor, b: Tensor) -> TensorType:
    """M × N of A (M × K) and B (K × N), each transposed where ``transA`` or ``transB`` says so; the type is A's."""
    rows = a.shape[1 if node.attributes.get("transA") else 0]
    return a.dtype, (rows, b.shape[0 if node.attributes.get("transB") else 1])


def window_steps(node: Node, rank: int) -> tuple[Dims, Dims]:
    """The strides and the dilations of a window along ``rank`` axes."""
    ones = (1,) * rank
    return node.attributes.get("strides") or ones, node.attributes.get("dilations") or ones


def windows(node: Node, lengths: Dims, kernel: Dims, *, pads_dilation: bool = True) -> Dims:
    """How many windows fit along each axis of space, by ``pads`` or ``auto_pad``, ``strides``, ``dilations``, ``ceil_mode``.

    With ``ceil_mode`` a window that would begin in the padding after the end is left out. Without ``pads_dilation``,
    ``SAME_UPPER`` and ``SAME_LOWER`` pad as if nothing were dilated.
    """
    strides, dilations = window_steps(node, len(lengths))
    mode = node.attributes.get("auto_pad") or "NOTSET"
    pads = node.attributes.get("pads") if mode == "NOTSET" else None
    pads = pads or (0,) * 2 * len(lengths)
    found = []
    for axis, (length, size, stride, dilation) in enumerate(zip(lengths, kernel, strides, dilations, strict=True)):
        before, after = pads[axis], pads[axis + len(lengths)]
        if mode.startswith("SAME"):
            padded_window = (size - 1) * (dilation if pads_dilation else 1) + 1
            both = (-(-length // stride) - 1) * stride + padded_window - length
            before = int((both + (mode == "SAME_LOWER")) / 2)
            after = both - before
        room = length + before + after - (size - 1) * dilation - 1
        count = (-(-room // stride) if node.attributes.get("ceil_mode") else int(room / stride)) + 1
        beyond = node.attributes.get("ceil_mode") and (count - 1) * stride >= length + before
        found.append(max(0, count - 1 if beyond else count))
    return tuple(found)


def _around(node: Node, channels: int, lengths: Dims, channels_last: bool) -> Dims:
    batch = node.x.shape[0]
    return (batch, *lengths, channels) if channels_last else (batch, channels, *lengths)


def conv_rule(weight: int = 1, *, channels_last: bool | None = False, dtype: int = 0) -> ShapeRule:
    """A convolution's output, for its weight at one input and its type at another.

    ``channels_last`` None leaves the layout to the attribute of that name.
    """

    def rule(node: Node) -> Types:
        last = bool(node.attributes.get("channels_last")) if channels_last is None else channels_last
        filters = node.required(weight).shape
        kernel = node.attributes.get("kernel_shape") or filters[2:]
        space = node.x.shape[1:-1] if last else node.x.shape[2:]
        return [(node.required(dtype).dtype, _around(node, filters[0], windows(node, space, kernel), last))]

    return rule


def pool_rule(*, channels_last: bool | None = False, indices: bool = False) -> ShapeRule:
    """A pooling's output, and with ``indices`` where its elements are from; a global pooling has no ``kernel_shape``.

    ``channels_last`` None leaves the layout to the attribute of that name. Where it pads itself, onnxruntime takes no account
    of dilations: core/providers/cpu/nn/pool_attributes.h.
    """

    def rule(node: Node) -> Types:
        last = bool(node.attributes.get("channels_last")) if channels_last is None else channels_last
        space, channels = (node.x.shape[1:-1], node.x.shape[-1]) if last else (node.x.shape[2:], node.x.shape[1])
        kernel = node.attributes.get("kernel_shape")
        lengths = windows(node, space, kernel, pads_dilation=False) if kernel else (1,) * len(space)
        dims = _around(node, channels, lengths, last)
        return [(node.x.dtype, dims), *([("int64", dims)] if indices else ())]

    return rule


def reduction_dims(node: Node) -> Dims:
    """The dims of the first input reduced along ``axes``, which stay as 1 unless ``keepdims`` is 0."""
    rank = node.x.rank
    axes = {axis % rank for axis in node.attributes.get("axes") or range(rank)}
    if node.attributes.get("keepdims", 1):
        return tuple(1 if axis in axes else size for axis, size in enumerate(node.x.shape))
    return tuple(size for axis, size in enumerate(node.x.shape) if axis not in axes)


def broadcast_inputs(node: Node) -> tuple[int, ...]:
    """The shape of the inputs broadcast to each other; before opset 7 (attribute ``broadcast``) to the first."""
    shapes = [tensor.shape for tensor in node.inputs if tensor is not None]
    if "broadcast" in node.attributes:
        return shapes[0]
    return broadcast(*shapes)


def grid_sample_rule(node: Node) -> Types:
    """The channels of X at the positions of input 1."""
    return [(node.x.dtype, (*node.x.shape[:2], *node.required(1).shape[1:-1]))]


def join_shapes(shapes: Sequence[Dims], axis: int) -> Dims:
    """The dims of tensors joined along an axis."""
    dims = list(shapes[0])
    dims[axis] = sum(shape[axis] for shape in shapes)
    return tuple(dims)


def pad_dims(dims: Dims, pads: Sequence[int]) -> Dims:
    """The dims with what ``pads`` adds at the beginning of each axis, then at the end of each."""
    return tuple(max(0, sum(parts)) for parts in zip(dims, pads[: len(dims)], pads[len(dims) :], strict=True))


def _old_types(node: Node) -> Types:
    """The outputs of operators whose attributes changed after their first opset."""
    dtype, dims, attributes = node.x.dtype, node.x.shape, node.attributes
    match node.op_type:
        case "Cast":  # the type has a name, not yet a number
            name = str(attributes["to"]).lower()
            return [({"float": "float32", "double": "float64"}.get(name, name), dims)]
        case "Concat":
            return [(dtype, join_shapes([tensor.shape for tensor in node.inputs if tensor], attributes.get("axis", 1)))]
        case "Split":
            axis, count = attributes.get("axis", 0), len(node.outputs)
            given = elements(node, 1, "the parts") if node.input(1) is not None else attributes.get("split")
            parts = given or (dims[axis] // count,) * count
            return [(dtype, (*dims[:axis], part, *dims[axis % len(dims) + 1 :])) for part in parts]
        case "Reshape":  # 0 keeps a dim, −1 takes what is left
            sizes = [size or dims[index] for index, size in enumerate(attributes["shape"])]
            left = node.x.size // prod(size for size in sizes if size != -1)
            return [(dtype, tuple(left if size == -1 else size for size in sizes))]
        case "Tile":  # how often, and along which axis
            times, axis = element(node, 1, "the number of tiles"), element(node, 2, "the axis")
            return [(dtype, (*dims[:axis], times * dims[axis], *dims[axis % len(dims) + 1 :]))]
        case "Pad":
            return [(dtype, pad_dims(dims, attributes["paddings"]))]
        case _:  # recurrent: onnx infers what ``output_sequence`` asks for, and for the first GRU nothing
            (steps, batch, _), (directions, _, hidden) = dims, node.required(2).shape
            types = [(dtype, (steps, directions, batch, hidden)), *[(dtype, (directions, batch, hidden))] * 2]
            return types[: len(node.outputs)]


_AS_INPUTS = (
    "Abs Add Ceil Clip Div Elu Exp Floor HardSigmoid LeakyRelu Log Max Mean Min Mul Neg PRelu Reciprocal Relu Selu Sigmoid "
    "Sqrt Sub Sum Tanh ThresholdedRelu"
)

RULES: Mapping[str, ShapeRule] = {
    **dict.fromkeys(_AS_INPUTS.split(), lambda node: ((node.x.dtype, broadcast_inputs(node)),)),
    **dict.fromkeys(("GreaterOrEqual", "LessOrEqual"), lambda node: (("bool", broadcast_inputs(node)),)),
    **dict.fromkeys(("InstanceNormalization", "GroupNormalization", "MeanVarianceNormalization"), like_input),
    **dict.fromkeys(("AveragePool", "LpPool", "GlobalLpPool"), pool_rule()),
    "MaxPool": pool_rule(indices=True),
    "BatchNormalization": like(0, 3, 4, 3, 4),
    "Dropout": like(0, 0),
    "Gemm": lambda node: [gemm_type(node, node.x, node.required(1))],
    **dict.fromkeys(("Cast", "Concat", "Split", "Reshape", "Tile", "Pad", "GRU", "LSTM", "RNN"), _old_types),
}
"""For operators as their first opsets defined them, for which onnx infers no shapes, and for pools that onnxruntime shapes
differently; used only if a shape is open.
"""


def with_rules(table: dict[str, Callable[[Node], Work]]) -> FormulaTable:
    """The table with these rules added to its formulas."""
    found = {name: table.get(name) for name in RULES}
    return table | {name: replace(each, shapes=RULES[name]) for name, each in found.items() if isinstance(each, Formula)}
