"""The memory of a model: weights as stored, and peak activation memory from the lifetimes of its buffers."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial

from onnxcost.analysis.constant_uses import loaded_nodes
from onnxcost.analysis.weights import Weights, count_attributes
from onnxcost.errors import UnknownShape
from onnxcost.graph import DefUse, Graph, Node
from onnxcost.ort_optimizer.memory_plan import MemoryPeak, MemoryPlan, plan_memory


def memory(graph: Graph, weights: Sequence[Weights]) -> Memory:
    """The memory of a graph; ``weights`` are those of ``parameters.weights_by_node``.

    ``weight_bytes`` are those of each constant that some node reads, as stored, and of the numbers that nodes of ai.onnx.ml
    have as attributes.
    """
    nodes = loaded_nodes(graph)
    uses = graph.uses if len(nodes) == len(graph.nodes) else DefUse(nodes)
    by_dtype: Counter[str] = Counter()
    for node in nodes:
        if node.domain and count_attributes(node):
            by_dtype += attribute_bytes(node)
    for name, tensor in graph.constants.items():
        if uses.positions(name) and tensor.is_shaped:
            by_dtype[tensor.dtype] += tensor.nbytes
    return Memory(
        parameters=sum(item.parameters for item in weights),
        running_statistics=sum(item.running_statistics for item in weights),
        buffers=sum(item.buffers for item in weights),
        buffer_bytes=sum(item.buffer_bytes for item in weights),
        weight_bytes=by_dtype.total(),
        weight_bytes_by_dtype=dict(by_dtype.most_common()),
        planner=partial(_plan, graph),
    )


def attribute_bytes(node: Node) -> Counter[str]:
    """The bytes of its lists of numbers, by type: that of a float attribute is float32, of an integer int64."""
    found: Counter[str] = Counter()
    for numbers in node.attributes.values():
        if isinstance(numbers, tuple | array) and numbers and not isinstance(numbers[0], str):
            is_real = isinstance(numbers[0], float)
            found["float32" if is_real else "int64"] += len(numbers) * (4 if is_real else 8)
    return found


def _plan(graph: Graph) -> MemoryPlan | None:
    try:
        return plan_memory(graph)
    except UnknownShape:
        return None


@dataclass(frozen=True)
class Memory:
    """Parameters (elements), weights (bytes as stored) and the peak of the activations in onnxruntime on a CPU (bytes;
    None if a shape is open).

    ``running_statistics`` are the means and variances of BatchNormalization, ``buffers`` the elements of other tables that
    training does not determine, with their bytes; neither is in ``parameters``.
    """

    parameters: int
    running_statistics: int
    weight_bytes: int
    weight_bytes_by_dtype: Mapping[str, int]
    planner: Callable[[], MemoryPlan | None] = field(repr=False, compare=False)
    buffers: int = 0
    buffer_bytes: int = 0

    @cached_property
    def plan(self) -> MemoryPlan | None:
        """The activations while each executed node runs, computed on request: it takes as long as counting."""
        return self.planner()

    @cached_property
    def peak(self) -> MemoryPeak | None:
        """The peak of the activations."""
        return None if self.plan is None else self.plan.peak

    @property
    def peak_activation_bytes(self) -> int | None:
        """The most that the activations take, in bytes."""
        return None if self.peak is None else self.peak.nbytes
