"""The graph that onnxruntime executes: the nodes that are left after folding, fusion and layout.

Each has its reuse distances: how many other bytes a run has touched since it last used a value. Values that have left the
caches cost more to read than in a probe of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from onnxcost.graph import Graph, Node, Tensor
from onnxcost.operators.traits import VIEWS
from onnxcost.ort_optimizer.fusion import FusedNode, Reuse, constants_of, fold_constants, fuse_patterns, fuse_steps
from onnxcost.ort_optimizer.kernels import ELEMENTWISE, family_of
from onnxcost.ort_optimizer.layout import BLOCKED, CHANNELS_LAST, insert_reorders
from onnxcost.ort_optimizer.qdq import lower_qdq


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


def add_reuse_distances(steps: Sequence[FusedNode]) -> Iterator[FusedNode]:
    """The steps with the bytes that each reads or writes, and the reuse distance of each."""
    memory = _Memory(steps)
    for index, step in enumerate(steps):
        yield replace(step, reuses=tuple(memory.run(index, step)))


class _Memory:
    """When each value was last used, in bytes touched until then; a free buffer goes to the next value that fits."""

    def __init__(self, steps: Sequence[FusedNode]) -> None:
        self.root: dict[str, str] = {}
        """The value in whose memory a view lies."""
        for step in steps:
            if step.node.op_type in VIEWS and step.data:
                self.root[step.node.out.name] = self._root(step.data[0].name)
        self.made = {t.name for step in steps for t in step.node.outputs if t is not None}
        """Other values belong to the caller, and are not overwritten."""
        self.last_reader = {self._root(t.name): index for index, step in enumerate(steps) for t in step.data}
        self.now = 0
        self.touched: dict[str, int] = {}
        self.free: list[tuple[int, int]] = []
        """Size and last touch of the buffers that no value is in, the latest last."""

    def _root(self, name: str) -> str:
        return self.root.get(name, name)

    def run(self, index: int, step: FusedNode) -> Iterator[Reuse]:
        if step.node.op_type in VIEWS:
            return
        read = {self._root(tensor.name): tensor for tensor in step.data if tensor.is_shaped}
        yield from (Reuse(tensor.nbytes, self._since(self.touched.get(name))) for name, tensor in read.items())
        dying = {name: tensor for name, tensor in read.items() if self.last_reader[name] == index and name in self.made}
        written = [tensor for tensor in step.node.outputs if tensor is not None and tensor.is_shaped]
        in_place = _overwritten_input(step, dying.values(), written)
        for tensor in () if in_place else written:
            yield Reuse(tensor.nbytes, self._since(self._take(tensor.nbytes)))
        self.now += sum(tensor.nbytes for tensor in constants_of(step.node))
        self.now += sum(tensor.nbytes for tensor in (*read.values(), *(() if in_place else written)))
        self.touched.update((name, self.now) for name in (*read, *(tensor.name for tensor in written)))
        self.free += [(tensor.nbytes, self.now) for tensor in dying.values() if tensor is not in_place]

    def _since(self, when: int | None) -> float:
        """The bytes touched since; infinite for what this run has not touched yet."""
        return float("inf") if when is None else float(self.now - when)

    def _take(self, size: int) -> int | None:
        """When the buffer that a value of this size gets was last touched: the latest that is large enough."""
        for place in range(len(self.free) - 1, -1, -1):
            if self.free[place][0] >= size:
                whole, when = self.free.pop(place)
                if whole > size:
                    self.free.insert(place, (whole - size, when))
                return when
        return None


def _overwritten_input(step: FusedNode, dying: Iterable[Tensor], written: Sequence[Tensor]) -> Tensor | None:
    """The input that a kernel writes its result over, if any."""
    if not all(tensor.is_shaped for tensor in (*step.node.inputs, *step.node.outputs) if tensor is not None):
        return None
    if family_of(step) not in ELEMENTWISE:
        return None
    return next((tensor for tensor in dying if written and tensor.nbytes == written[0].nbytes), None)
