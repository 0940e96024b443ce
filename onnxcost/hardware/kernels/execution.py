"""What onnxruntime really executes of a graph: the nodes that are left once it has folded, fused and laid out in blocks."""

from __future__ import annotations

from onnxcost.graph import Graph
from onnxcost.hardware.kernels.blocks import laid_out
from onnxcost.hardware.kernels.executed import Executed
from onnxcost.hardware.kernels.folding import live
from onnxcost.hardware.kernels.fusing import fused, patterns
from onnxcost.hardware.kernels.integers import quantized


def executed(graph: Graph, *, blocked: bool) -> tuple[Executed, ...]:
    """The nodes that run, in order; with ``blocked`` as a runtime that has the blocked layout."""
    steps = fused(graph, quantized(patterns(graph, live(graph))))
    return laid_out(graph, steps) if blocked else tuple(steps)
