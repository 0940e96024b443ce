"""The blocked layout: which kernels work on blocks of channels, and what is brought into blocks and out of them in between."""

from __future__ import annotations

from collections.abc import Set
from dataclasses import replace

from onnxcost.errors import UnknownShape
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.hardware.kernels.executed import Executed

BLOCK = 16
"""Channels that lie side by side in the blocked layout; fewer than that are read from the plain one."""
ALIGNMENT = 4
"""What the channels must be a multiple of to be brought into blocks."""

_IN_BLOCKS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
_EITHER = frozenset(
    {"Add", "Sum", "Mul", "Relu", "Sigmoid", "Tanh", "QuickGelu", "Gelu", "Concat", "BatchNormalization", "Resize"}
)


def laid_out(graph: Graph, steps: list[Executed]) -> tuple[Executed, ...]:
    """Which steps work on blocks, and what is brought into blocks and out of them in between, each tensor once each way."""
    blocked: set[str] = set()
    plain_too: set[str] = set()
    blocked_too: set[str] = set()
    laid: list[Executed] = []
    for step in steps:
        node = step.node
        data = [t for t in node.inputs if t is not None and not t.is_constant]
        inputs = {t.name: t for t in (*data, *step.residuals)}
        works = node.x.dtype == "float32" and _works_on_blocks(step.kind or node.key, node, blocked)
        reordered: list[Tensor] = []
        if works:
            direct = node.key == "Conv" and int(node.attributes.get("group", 1)) == 1 and node.x.shape[1] < BLOCK
            for tensor in inputs.values():
                wants_plain = direct and tensor.name == node.x.name
                if wants_plain and tensor.name in blocked - plain_too:
                    plain_too.add(tensor.name)
                    reordered.append(tensor)
                elif not wants_plain and tensor.name not in blocked | blocked_too:
                    blocked_too.add(tensor.name)
                    reordered.append(tensor)
            blocked.add(node.out.name)
        else:
            for tensor in inputs.values():
                if tensor.name in blocked and tensor.name not in plain_too and node.key not in ("Shape", "Size"):
                    plain_too.add(tensor.name)
                    reordered.append(tensor)
        # Out of the blocks channels come first or last, as they are wanted.
        turned = reordered and node.key == "Transpose" and list(node.attributes.get("perm") or ()) == [0, 2, 3, 1]
        laid.append(replace(step, is_blocked=works, reordered=tuple(reordered), kind="Reshape" if turned else step.kind))
    ends = tuple(t for t in graph.outputs if t.name in blocked and t.name not in plain_too)
    if ends and laid:
        laid[-1] = replace(laid[-1], reordered=(*laid[-1].reordered, *ends))
    return tuple(laid)


def _works_on_blocks(kind: str, node: Node, blocked: Set[str]) -> bool:
    try:
        if node.x.rank != 4:
            return False
        if kind == "Conv":
            return _conv_in_blocks(node)
        if kind in _IN_BLOCKS:
            return node.x.shape[1] % BLOCK == 0
        data = [t for t in node.inputs if t is not None and not t.is_constant]
        if kind not in _EITHER or not all(t.name in blocked for t in data):
            return False
        if kind == "Concat":
            return int(node.attributes.get("axis", 1)) == 1 and all(t.shape[1] % BLOCK == 0 for t in data)
        return all(t.dims == node.x.dims for t in data) and (kind not in ("Add", "Mul") or len(data) == 2)
    except UnknownShape:
        return False


def _conv_in_blocks(node: Node) -> bool:
    weight, groups = node.required(1).shape, int(node.attributes.get("group", 1))
    outputs, inputs = weight[0], weight[1]
    if groups == 1:
        return inputs < BLOCK or inputs % ALIGNMENT == 0
    if inputs == 1 and outputs == groups:
        return outputs % ALIGNMENT == 0
    return inputs % BLOCK == 0 and (outputs // groups) % BLOCK == 0
