"""What onnxruntime really executes of a graph: the nodes that are left once it has folded, fused and laid out in blocks."""

from __future__ import annotations

from collections.abc import Iterable

from onnxcost.errors import UnknownShape
from onnxcost.graph import Graph
from onnxcost.hardware.kernels.blocks import BLOCKED, CHANNELS_LAST
from onnxcost.hardware.kernels.executed import Executed, constants_of
from onnxcost.hardware.kernels.folding import live
from onnxcost.hardware.kernels.fusing import fused
from onnxcost.hardware.kernels.integers import quantized
from onnxcost.hardware.kernels.layouts import laid_out
from onnxcost.hardware.kernels.patterns import patterns
from onnxcost.hardware.kernels.recalling import with_recalls
from onnxcost.memory import peak_activation_bytes


def executed(graph: Graph, *, blocked: bool) -> tuple[Executed, ...]:
    """The nodes that run, in order; with ``blocked`` as a runtime that has the blocked layout."""
    steps = laid_out(graph, fused(graph, quantized(graph, patterns(graph, live(graph)))), CHANNELS_LAST)
    return tuple(with_recalls(laid_out(graph, steps, BLOCKED) if blocked else steps))


def footprint_of(graph: Graph, steps: Iterable[Executed]) -> float:
    """The bytes that a run works with: all constants that the steps read, each once, and the values at their peak."""
    constants = {tensor.name: tensor.nbytes for step in steps for tensor in constants_of(step.node)}
    try:
        values = peak_activation_bytes(graph)
    except UnknownShape:
        values = 0
    return float(sum(constants.values()) + values)
