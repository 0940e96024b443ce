"""Operators that move, make or name data. Page of X: https://onnx.ai/onnx/operators/onnx__X.html.

Type conversions are not arithmetic, either. Positions and indices are not counted as work for any operator.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import ceil

from onnxcost.errors import UnknownShape
from onnxcost.formulas.table import FormulaTable, Types, formula, no_arithmetic, per_output
from onnxcost.graph import NO_WORK, Node, Work

REDUCTIONS: Mapping[str, Work] = {
    "none": NO_WORK,
    "add": Work(adds=1),
    "mul": Work(muls=1),
    "max": Work(compares=1),
    "min": Work(compares=1),
}


@formula("Y = X with Y[indices] = updates, or joined by a reduction", flops="0; updates with a reduction")
def scatter(node: Node) -> Work:
    """One operation per update if there is a ``reduction``: https://onnx.ai/onnx/operators/onnx__ScatterND.html."""
    return node.required(2).size * REDUCTIONS[node.attributes.get("reduction", "none")]


def range_rule(node: Node) -> Types:
    """⌈(limit − start) / delta⌉ elements, also of types whose range onnx does not infer; delta is 1 if it is absent."""
    start, limit, delta = (tensor.value if tensor else (1,) for tensor in (node.x, node.required(1), node.input(2)))
    if not (start and limit and delta):
        raise UnknownShape("an end of the range is not known")
    return [(node.x.dtype, (max(0, ceil((limit[0] - start[0]) / delta[0])),))]


SHAPING = {
    "Reshape": "Y = X in another shape", "Flatten": "Y = X as a matrix", "Squeeze": "Y = X without dims of 1",
    "Unsqueeze": "Y = X with dims of 1", "Identity": "Y = X", "Transpose": "Y = X with its axes permuted",
    "DepthToSpace": "Y = blocks of channels as space", "SpaceToDepth": "Y = blocks of space as channels",
    "Expand": "Y = X broadcast", "Tile": "Y = X repeated", "Pad": "Y = X with a border", "Trilu": "Y = a triangle of X",
    "CenterCropPad": "Y = X cropped or padded at its center", "ReverseSequence": "Y = X with its sequences reversed",
}  # fmt: skip

PICKING = {
    "Concat": "Y = the inputs, concatenated", "Split": "Y_i = parts of X", "Slice": "Y = X[starts:ends:steps]",
    "Gather": "Y = X[indices]", "GatherElements": "Y = X[indices] along the axis", "GatherND": "Y = X[indices]",
    "TensorScatter": "Y = the cache with an update written in",
}  # fmt: skip

MAKING = {
    "Constant": "Y = a constant", "ConstantOfShape": "Y = a constant of a shape", "EyeLike": "Y = the identity matrix",
    "OneHot": "Y = on at the index, else off", "Shape": "Y = the shape of X", "Size": "Y = the size of X",
    "Cast": "Y = X in another type", "CastLike": "Y = X in another's type", "BitCast": "Y = X's bits in another type",
}  # fmt: skip

CONTAINERS = {
    "SequenceConstruct": "S = [X_1, …]", "SequenceEmpty": "S = []", "SequenceAt": "Y = S[i]",
    "SequenceInsert": "S with X at i", "SequenceErase": "S without i", "SequenceLength": "Y = the length of S",
    "SplitToSequence": "S = parts of X", "ConcatFromSequence": "Y = the elements of S, concatenated",
    "Optional": "O = X", "OptionalGetElement": "Y = the element of O", "OptionalHasElement": "Y = O is not empty",
}  # fmt: skip

TABLE: FormulaTable = {
    **{name: no_arithmetic(maths) for group in (SHAPING, PICKING, MAKING, CONTAINERS) for name, maths in group.items()},
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), scatter),
    "Range": per_output("Y_i = start + i·delta, by running sum", shapes=range_rule, adds=1),
}
