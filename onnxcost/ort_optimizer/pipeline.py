"""The graph that onnxruntime executes: the nodes that remain after folding, fusion and layout.

Each has its reuse distances: the number of other bytes that a run accessed since it last used a value. Values that are no
longer in the caches cost more to read than in a probe of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence, Set
from dataclasses import replace

from onnxcost.graph import Graph, Node, Tensor
from onnxcost.operators.traits import VIEWS
from onnxcost.ort_optimizer.fused_node import FusedNode, Reuse, constants_of
from onnxcost.ort_optimizer.fusion import ACTIVATIONS, PATTERNS, PATTERNS_OF_HALVES, fold_constants, fuse_patterns, fuse_steps
from onnxcost.ort_optimizer.halves import insert_casts
from onnxcost.ort_optimizer.kernels import ELEMENTWISE, family_of
from onnxcost.ort_optimizer.layout import BLOCK, CHANNELS_LAST, blocked_layout, insert_reorders, split_sums
from onnxcost.ort_optimizer.qdq import lower_qdq
from onnxcost.ort_optimizer.quantities import SHARES_BUFFER
from onnxcost.ort_optimizer.splits import MADE, join_slices
from onnxcost.ort_optimizer.transposes import push_transposes


def optimize(graph: Graph, *, blocked: bool, block: int = BLOCK, casts: bool = False) -> tuple[FusedNode, ...]:
    """The nodes that run, in the runtime's order; with ``blocked`` it has the blocked layout, of ``block`` channels a
    block, and with ``casts`` few kernels for float16, as on x86 CPUs.
    """
    graph, steps = _fuse(graph, casts=casts)
    steps, _ = _in_order(graph, steps)
    return tuple(add_reuse_distances(_lay_out(graph, steps, block=block if blocked else 0)))


def list_kernels(graph: Graph, *, block: int, casts: bool = False) -> Graph:
    """The graph with a node for each kernel that runs, in onnxruntime's order; with ``block`` channels in a block also for the
    reorders to other layouts and back, and with channels that are padded to whole blocks. 0 stands for no such layouts.
    ``casts`` as for ``optimize``; without, types are those of the model.
    """
    graph, steps = _fuse(graph, casts=casts)
    steps, ranks = _in_order(graph, steps)
    laid_out = _lay_out(graph, steps, block=block) if block else steps
    if laid_out == steps:
        return replace(graph, nodes=tuple([step.as_node() for step in steps]))
    nodes = list(_with_reorders(laid_out, {tensor.name for tensor in graph.outputs}, block))
    made = [ranks.get(node.out.name, _LAST) if rank is None else rank for rank, node in nodes]
    laid = [node for _, node in nodes]
    return replace(graph, nodes=tuple(laid[place] for place in order_of_execution(laid, made)))


def _in_order(graph: Graph, steps: Sequence[FusedNode]) -> tuple[list[FusedNode], dict[str, Rank]]:
    """The steps in onnxruntime's order before it lays them out, when convolutions do not yet absorb sums, and these ranks."""
    places = {tensor.name: place for place, node in enumerate(graph.nodes) for tensor in node.outputs if tensor is not None}
    parts = [(place, part) for place, step in enumerate(steps) for part in split_sums(step, frozenset())]
    named = ((part, part.node.out.name, place) for place, (_, part) in enumerate(parts))
    ranks = [(_stage(part), places[name]) if name in places else (1, place) for part, name, place in named]
    order = order_of_execution([part.as_node() for _, part in parts], ranks)
    last = {parts[place][0]: position for position, place in enumerate(order)}
    by_output = {part.node.out.name: rank for (_, part), rank in zip(parts, ranks, strict=True)}
    return [steps[place] for place in sorted(last, key=last.__getitem__)], by_output


def _stage(step: FusedNode) -> int:
    """When onnxruntime creates the step's node: a convolution keeps its original node until it absorbs an activation."""
    if step.kind:
        return 2
    if step.node.key == "Conv":
        return 0 if ACTIVATIONS.isdisjoint([node.key for node in step.absorbed]) else 2
    return 1 if step.absorbed or step.node.name == MADE else 0


Rank = tuple[int, int]
"""When onnxruntime created a node: the stage (0 read from the file, 1 and 2 fused, 3 laid out), and the place in it."""
_LAST: Rank = (2, 0)


def order_of_execution(nodes: Sequence[Node], ranks: Sequence[Rank]) -> list[int]:
    """The places of the nodes in the order in which onnxruntime runs them (GraphViewer, Graph::ReverseDFSFrom).

    Depth first from the nodes that no other reads: of a node's inputs, the one that was created last is visited first. A Loop
    or Scan comes after all of its body, whose nodes are named after it.
    """
    makers = {tensor.name: place for place, node in enumerate(nodes) for tensor in node.outputs if tensor is not None}
    before = [{makers[t.name] for t in node.inputs if t is not None and t.name in makers} for node in nodes]
    unread = {place for place in range(len(nodes)) if nodes[place].outputs}.difference(*before)
    for place, node in enumerate(nodes):
        if node.key in ("Loop", "Scan"):
            before[place] |= {other for other in unread if other < place and nodes[other].name.startswith(f"{node.name}/")}
    sources = [sorted(places, key=ranks.__getitem__) if len(places) > 1 else [*places] for places in before]
    read = set[int]().union(*before)
    waiting = sorted([place for place in range(len(nodes)) if place not in read], key=ranks.__getitem__)
    seen: set[int] = set()
    order: list[int] = []
    while waiting:
        place = waiting.pop()
        if place < 0:  # all inputs of the node are in the order
            order.append(~place)
        elif place not in seen:
            seen.add(place)
            waiting.append(~place)
            waiting += [source for source in sources[place] if source not in seen]
    return order


def _fuse(graph: Graph, *, casts: bool) -> tuple[Graph, list[FusedNode]]:
    before = join_slices(push_transposes(fold_constants(graph)))
    graph = insert_casts(before) if casts else before
    patterns = PATTERNS if graph is before else PATTERNS_OF_HALVES
    return graph, fuse_steps(graph, lower_qdq(graph, fuse_patterns(graph, patterns)))


def _lay_out(graph: Graph, steps: list[FusedNode], *, block: int) -> list[FusedNode]:
    steps = insert_reorders(graph, steps, CHANNELS_LAST)
    return insert_reorders(graph, steps, blocked_layout(block)) if block else steps


_CHANNELS_LAST = {"channels_last": 1}


def _with_reorders(steps: Iterable[FusedNode], returned: Set[str], block: int) -> Iterator[tuple[Rank | None, Node]]:
    """A node for each step, and one for each tensor that is reordered: before the first step that reads the copy, which later
    ones in that layout read, too, or after the step that makes what is ``returned``.

    The rank is None for a node that keeps its own.
    """
    reads_plain = blocked_layout(block).reads_plain
    inside: dict[str, Tensor] = {}
    plain: dict[str, Tensor] = {}
    for place, step in enumerate(steps):
        node, rank = step.as_node(), 2 * place
        if not (step.is_blocked or inside):
            yield None, node
            continue
        is_float = step.is_blocked and node.x.dtype == "float32"
        layout = {} if is_float or not step.is_blocked else _CHANNELS_LAST
        made = node.makes
        first = node.x.name if is_float and reads_plain(step.node) else ""
        inputs = list(node.inputs)
        for index, tensor in enumerate(inputs):
            if tensor is None or tensor.is_constant:
                continue
            name = tensor.name
            if step.is_blocked and name != first:
                if name not in inside and tensor in step.reordered:
                    inside[name] = replace(_padded(tensor, block) if is_float else tensor, name=f"{name}/reordered")
                    yield (3, rank), Node("", "Reorder", "", (tensor,), (inside[name],), layout)
                inputs[index] = inside.get(name, tensor)
            elif name in inside:
                if name not in plain and tensor in step.reordered:
                    plain[name] = replace(tensor, name=f"{name}/reordered")
                    yield (3, rank + 1), Node("", "Reorder", "", (inside[name],), (plain[name],))
                inputs[index] = plain.get(name, tensor)
        if not step.is_blocked:
            yield None, node.rewire(inputs)
            continue
        is_conv = is_float and node.key in ("Conv", "com.microsoft.FusedConv")
        op_type, domain = ("Conv", "com.microsoft.nchwc") if is_conv else (node.op_type, node.domain)
        outputs = tuple(tensor and (_padded(tensor, block) if is_float else tensor) for tensor in node.outputs)
        outputs = tuple(t and (replace(t, name=f"{t.name}/laid out") if t.name in returned else t) for t in outputs)
        inside.update(zip(made, (tensor for tensor in outputs if tensor is not None), strict=True))
        yield (
            (3, rank),
            Node(
                node.name,
                op_type,
                domain,
                tuple(inputs),
                outputs,
                {**node.attributes, **layout},
                node.scope,
                node.repeat,
                node.branches,
                node.open_reason,
                node.idle,
            ),
        )
        for tensor in node.outputs:
            if tensor is not None and tensor.name in returned:
                plain[tensor.name] = tensor
                yield (3, rank + 1), Node("", "Reorder", "", (inside[tensor.name],), (tensor,))


def _padded(tensor: Tensor, block: int) -> Tensor:
    """The tensor in whole blocks of channels."""
    dims = tensor.dims or ()
    channels = dims[1] if len(dims) > 1 else 0
    if tensor.dtype != "float32" or not isinstance(channels, int) or channels % block == 0:
        return tensor
    return replace(tensor, dims=(dims[0], -(-channels // block) * block, *dims[2:]))


def add_reuse_distances(steps: Sequence[FusedNode]) -> Iterator[FusedNode]:
    """The steps with the bytes that each reads or writes, and the reuse distance of each."""
    memory = _Memory(steps)
    for index, step in enumerate(steps):
        yield replace(step, reuses=tuple(memory.run(index, step)))


class _Memory:
    """When each value was last used, in bytes accessed until then; a free buffer goes to the next value that fits."""

    def __init__(self, steps: Sequence[FusedNode]) -> None:
        self.root: dict[str, str] = {}
        """The value whose memory a view uses."""
        for step in steps:
            if step.node.op_type in VIEWS and step.data:
                self.root[step.node.out.name] = self._root(step.data[0].name)
        self.made = {t.name for step in steps for t in step.node.outputs if t is not None}
        """Other values belong to the caller, and are not overwritten."""
        self.last_reader = {self._root(t.name): index for index, step in enumerate(steps) for t in step.data}
        self.now = 0
        self.touched: dict[str, int] = {}
        self.free: list[tuple[int, int]] = []
        """Size and last access of the free buffers, the latest last."""

    def _root(self, name: str) -> str:
        return self.root.get(name, name)

    def run(self, index: int, step: FusedNode) -> Iterator[Reuse]:
        if step.node.op_type in VIEWS:
            return
        read = {self._root(tensor.name): tensor for tensor in step.data if tensor.is_shaped}
        yield from (Reuse(tensor.nbytes, self._since(self.touched.get(name))) for name, tensor in read.items())
        dying = {name: tensor for name, tensor in read.items() if self.last_reader[name] == index and name in self.made}
        # A value written over the cache that the node reads is in memory that it has just accessed.
        own = () if step.node.attributes.get(SHARES_BUFFER) else step.node.outputs[1:]
        written = [tensor for tensor in (*step.node.outputs[:1], *own) if tensor is not None and tensor.is_shaped]
        in_place = _overwritten_input(step, dying.values(), written)
        for tensor in () if in_place else written:
            yield Reuse(tensor.nbytes, self._since(self._take(tensor.nbytes)), is_written=True)
        self.now += sum(tensor.nbytes for tensor in constants_of(step.node))
        self.now += sum(tensor.nbytes for tensor in (*read.values(), *(() if in_place else written)))
        self.touched.update((name, self.now) for name in (*read, *(tensor.name for tensor in written)))
        self.free += [(tensor.nbytes, self.now) for tensor in dying.values() if tensor is not in_place]

    def _since(self, when: int | None) -> float:
        """The bytes accessed since; infinite for what this run has not accessed yet."""
        return float("inf") if when is None else float(self.now - when)

    def _take(self, size: int) -> int | None:
        """The last access of the buffer that a value of this size gets: the latest that is large enough."""
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
