"""The layouts that onnxruntime's kernels prefer: blocks of channels for floats, channels that come last for integers."""

from __future__ import annotations

from collections.abc import Set

from onnxcost.errors import UnknownShape
from onnxcost.graph import Node
from onnxcost.hardware.kernels.executed import Executed, Readers
from onnxcost.hardware.kernels.layouts import Layout

BLOCK = 16
"""Channels that lie side by side in the blocked layout; fewer than that are read from the plain one."""
ALIGNMENT = 4
"""What the channels must be a multiple of to be brought into blocks."""

_POOLS = frozenset({"MaxPool", "AveragePool"})
_GLOBAL_POOLS = frozenset({"GlobalAveragePool", "GlobalMaxPool"})
_EITHER = frozenset(
    {"Add", "Sum", "Mul", "Relu", "Sigmoid", "Tanh", "HardSigmoid", "QuickGelu", "Gelu"}
    | {"Concat", "BatchNormalization", "Resize"}
)
_AGNOSTIC = frozenset({"Relu", "Clip", "LeakyRelu", "HardSwish", "HardSigmoid", "Sigmoid", "Tanh", "Mul", "Add", "ReduceMean"})
_OF_INTEGERS = frozenset(
    {"MaxPool", "QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearAdd", "QLinearMul", "QLinearSigmoid"}
    | {"QLinearLeakyRelu", "QLinearConcat", "QuantizeLinear", "Resize"}
    | _AGNOSTIC
)


def _works_on_blocks(step: Executed, inside: Set[str], readers: Readers) -> bool:
    node, kind = step.node, step.kind or step.node.op_type
    try:
        if node.x.dtype != "float32" or node.x.rank != 4 or step.is_blocked:
            return False
        if kind == "Conv":
            return _conv_in_blocks(node)
        if kind in _POOLS:
            return node.x.shape[1] % BLOCK == 0
        data = [t for t in node.inputs if t is not None and not t.is_constant]
        if kind in _GLOBAL_POOLS:
            # Brought there for its own sake only where it is the model's input.
            return node.x.shape[1] % BLOCK == 0 and (node.x.name in inside or node.x.name not in readers.made)
        if kind not in _EITHER or not all(t.name in inside for t in data):
            return False
        if kind == "Concat":
            return int(node.attributes.get("axis", 1)) == 1 and all(t.shape[1] % BLOCK == 0 for t in data)
        if kind in ("Add", "Mul") and len(data) != 2:
            return kind == "Mul" and _scales_channels(node)
        return all(t.dims == node.x.dims for t in data)
    except UnknownShape:
        return False


def _conv_in_blocks(node: Node) -> bool:
    if not node.required(1).is_constant:
        return False
    weight, groups = node.required(1).shape, int(node.attributes.get("group", 1))
    outputs, inputs = weight[0], weight[1]
    if groups == 1:
        return inputs < BLOCK or inputs % ALIGNMENT == 0
    if inputs == 1 and outputs == groups:
        return outputs % ALIGNMENT == 0
    return inputs % BLOCK == 0 and (outputs // groups) % BLOCK == 0


def _scales_channels(node: Node) -> bool:
    """Whether it multiplies each channel with a constant of its own."""
    known = [t for t in node.inputs if t is not None and t.is_constant]
    if len(known) != 1 or known[0].rank < 3 or node.out.dims != node.x.dims:
        return False
    return known[0].size == known[0].shape[-3] == node.out.shape[1]


def _reads_plain(node: Node) -> bool:
    return node.key == "Conv" and int(node.attributes.get("group", 1)) == 1 and node.required(1).shape[1] < BLOCK


def _works_channels_last(step: Executed, inside: Set[str], readers: Readers) -> bool:
    node, kind = step.node, step.kind or step.node.op_type
    if kind == "QLinearConv":
        return node.x.dims is not None and len(node.x.dims) == 4
    if not all(t.name in inside for t in node.inputs if t is not None and not t.is_constant):
        return False
    if kind == "DequantizeLinear":
        return not node.x.is_constant and {reader.op_type for reader in readers.of(node.out)} <= _AGNOSTIC
    return kind in _OF_INTEGERS


BLOCKED = Layout(_works_on_blocks, _reads_plain, sums_elsewhere=False)
"""Where a convolution's inputs are fewer than a block it reads the plain layout."""
CHANNELS_LAST = Layout(_works_channels_last)
"""What lies between two convolutions of integers stays there, floats included that only operators of any layout read."""
