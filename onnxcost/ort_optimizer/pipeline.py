"""What onnxruntime really executes of a graph: the nodes that are left once it has folded, fused and laid out in blocks."""

from __future__ import annotations

from collections.abc import Iterable

from onnxcost.errors import UnknownShape
from onnxcost.graph import Graph
from onnxcost.ort_optimizer.fused_node import FusedNode, constants_of
from onnxcost.ort_optimizer.fusion import fold_constants, fuse_patterns, fuse_steps
from onnxcost.ort_optimizer.layout import BLOCKED, CHANNELS_LAST, insert_reorders
from onnxcost.ort_optimizer.memory_plan import peak_activation_bytes
from onnxcost.ort_optimizer.qdq import lower_qdq
from onnxcost.ort_optimizer.reuse_distance import add_reuse_distances


def optimize(graph: Graph, *, blocked: bool) -> tuple[FusedNode, ...]:
    """The nodes that run, in order; with ``blocked`` as a runtime that has the blocked layout."""
    steps = insert_reorders(
        graph, fuse_steps(graph, lower_qdq(graph, fuse_patterns(graph, fold_constants(graph)))), CHANNELS_LAST
    )
    return tuple(add_reuse_distances(insert_reorders(graph, steps, BLOCKED) if blocked else steps))


def footprint_of(graph: Graph, steps: Iterable[FusedNode]) -> float:
    """The bytes that a run works with: all constants that the steps read, each once, and the values at their peak."""
    constants = {tensor.name: tensor.nbytes for step in steps for tensor in constants_of(step.node)}
    try:
        values = peak_activation_bytes(graph)
    except UnknownShape:
        values = 0
    return float(sum(constants.values()) + values)
