"""Nodes that onnxruntime merges, as far as it saves memory: what is between them is never stored."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from onnxcost.graph import Graph, Node

_FOLDED = ("BatchNormalization", "Mul", "Add")
_SUMS = ("Add", "Sum")
_FIRSTS = ("Pad", "Conv", "Sigmoid")


def fused(graph: Graph) -> Graph:
    """The graph in which each convolution has taken in the padding before it, what scales and shifts its result by constants,
    and the residual that is added to that; and in which x·σ(x) is one node.
    """
    read = (tensor for node in graph.nodes for tensor in node.inputs if tensor is not None)
    readers = Counter(tensor.name for tensor in (*read, *graph.outputs))
    nodes: dict[int, Node] = {}
    mergeable: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        before = [mergeable[tensor.name] for tensor in node.inputs if tensor is not None and tensor.name in mergeable]
        merged = _merged(nodes[max(before)], node) if before else None
        if merged is not None:
            del nodes[max(before)]
        nodes[index] = merged or node
        if nodes[index].key in _FIRSTS and readers[node.out.name] == 1:
            mergeable[node.out.name] = index
    return replace(graph, nodes=tuple(nodes.values()))


def _merged(first: Node, second: Node) -> Node | None:
    """One node for two, the second the only reader of the first; None where they stay apart."""
    made = first.out
    others = [tensor for tensor in second.inputs if tensor is not None and not tensor.is_constant and tensor.name != made.name]
    if first.key == "Pad":
        takes_it = (
            second.key == "Conv" and second.x.name == made.name and first.attributes.get("mode", "constant") == "constant"
        )
        return replace(second, inputs=(first.x, *second.inputs[1:])) if takes_it else None
    if first.key == "Sigmoid":
        takes_it = second.key == "Mul" and [tensor.name for tensor in others] == [first.x.name]
        return replace(first, op_type="QuickGelu", domain="com.microsoft", outputs=second.outputs) if takes_it else None
    if second.key in _FOLDED and not others:
        return replace(first, outputs=second.outputs)
    if second.key in _SUMS and len(others) == 1 and others[0].dims == made.dims:
        inputs = (first.x, first.input(1), first.input(2), others[0])
        return replace(first, op_type="FusedConv", domain="com.microsoft", inputs=inputs, outputs=second.outputs)
    return None
