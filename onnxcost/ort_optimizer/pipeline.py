"""The graph that onnxruntime executes: the nodes that are left after folding, fusion and layout."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from onnxcost.graph import Graph, Node, Tensor
from onnxcost.ort_optimizer.fusion import FusedNode, fold_constants, fuse_patterns, fuse_steps
from onnxcost.ort_optimizer.layout import BLOCKED, CHANNELS_LAST, insert_reorders
from onnxcost.ort_optimizer.qdq import lower_qdq
from onnxcost.ort_optimizer.reuse_distance import add_reuse_distances


def optimize(graph: Graph, *, blocked: bool) -> tuple[FusedNode, ...]:
    """The nodes that run, in order; with ``blocked`` in a runtime that has the blocked layout."""
    graph, steps = _fuse(graph)
    return tuple(add_reuse_distances(_lay_out(graph, steps, blocked=blocked)))


def list_kernels(graph: Graph, *, blocked: bool) -> Graph:
    """The graph with a node for each kernel that runs; with ``blocked`` also for the reorders to other layouts and back."""
    graph, steps = _fuse(graph)
    nodes = _with_reorders(_lay_out(graph, steps, blocked=True)) if blocked else (step.as_node() for step in steps)
    return replace(graph, nodes=tuple(nodes))


def _fuse(graph: Graph) -> tuple[Graph, list[FusedNode]]:
    graph = fold_constants(graph)
    return graph, fuse_steps(graph, lower_qdq(graph, fuse_patterns(graph)))


def _lay_out(graph: Graph, steps: list[FusedNode], *, blocked: bool) -> list[FusedNode]:
    steps = insert_reorders(graph, steps, CHANNELS_LAST)
    return insert_reorders(graph, steps, BLOCKED) if blocked else steps


def _with_reorders(steps: Iterable[FusedNode]) -> Iterator[Node]:
    """A node for each step, and one before it for each tensor that is reordered; later steps in that layout read the copy."""
    inside: set[str] = set()
    copies: dict[str, Tensor] = {}
    for step in steps:
        node = step.as_node()
        read = {tensor.name for tensor in node.inputs if tensor is not None}
        for tensor in step.reordered:
            if tensor.name in read:
                copies[tensor.name] = replace(tensor, name=f"{tensor.name}/reordered")
                yield Node("", "Reorder", "", (tensor,), (copies[tensor.name],))
        elsewhere = {name: copy for name, copy in copies.items() if name in read and (name in inside) != step.is_blocked}
        yield replace(node, inputs=tuple(tensor and elsewhere.get(tensor.name, tensor) for tensor in node.inputs))
        if step.is_blocked:
            inside.update(tensor.name for tensor in node.outputs if tensor is not None)
