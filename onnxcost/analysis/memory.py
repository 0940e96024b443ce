"""The memory of a model: weights as stored, and peak activation memory from the lifetimes of its buffers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxcost.analysis.weights import Weights
from onnxcost.errors import UnknownShape
from onnxcost.graph import DefUse, Graph
from onnxcost.ort_optimizer.memory_plan import peak_activation_bytes


def memory(graph: Graph, weights: Sequence[Weights]) -> Memory:
    """The memory of a graph; ``weights`` are those of ``parameters.weights_by_node``.

    ``weight_bytes`` are those of every constant that some node reads, whatever for, as stored.
    """
    uses = DefUse(graph.nodes)
    by_dtype: Counter[str] = Counter()
    for name, tensor in graph.constants.items():
        if uses.is_read(name) and tensor.is_shaped:
            by_dtype[tensor.dtype] += tensor.nbytes
    return Memory(
        parameters=sum(item.parameters for item in weights),
        running_statistics=sum(item.running_statistics for item in weights),
        weight_bytes=by_dtype.total(),
        weight_bytes_by_dtype=dict(by_dtype.most_common()),
        peak_activation_bytes=_peak(graph),
    )


def _peak(graph: Graph) -> int | None:
    try:
        return peak_activation_bytes(graph)
    except UnknownShape:
        return None


@dataclass(frozen=True, slots=True)
class Memory:
    """Parameters (elements), weights (bytes as stored) and the peak of live activations (bytes; None where a shape is open).

    ``running_statistics`` are the means and variances of BatchNormalization, which are not among ``parameters``.
    """

    parameters: int
    running_statistics: int
    weight_bytes: int
    weight_bytes_by_dtype: Mapping[str, int]
    peak_activation_bytes: int | None
