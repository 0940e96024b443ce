"""The memory that onnxruntime plans for activations: which values share a buffer, and how long each buffer lives."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import prod
from typing import NamedTuple

from onnxcost.errors import MISFITS, UnknownShape
from onnxcost.formulas import CONTROL_FLOW
from onnxcost.graph import BITS, Graph, Node, Tensor
from onnxcost.operators.traits import DEQUANTIZERS, VIEWS
from onnxcost.ort_optimizer.fused_node import FusedNode, constants_of
from onnxcost.ort_optimizer.layout import BLOCK
from onnxcost.ort_optimizer.pipeline import list_kernels
from onnxcost.ort_optimizer.workspaces import workspace_of

IN_PLACE: Mapping[str, int] = {
    **dict.fromkeys(("Relu", "LeakyRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Softplus", "Shrink", "Clip"), 0),
    **dict.fromkeys(("Sigmoid", "HardSigmoid", "Tanh", "Softsign", "Softmax", "LogSoftmax"), 0),
    **dict.fromkeys(("Cast", "Scatter", "ScatterElements", "Trilu", "com.microsoft.Trilu"), 0),
    **dict.fromkeys(("com.microsoft.FusedConv", "com.microsoft.nchwc.Conv"), 3),
}
"""The operators that onnxruntime can run in place on the CPU, and which input they write their first output over: fused
convolutions the residual. Arithmetic is not among them: Add, Mul, Sqrt, Gelu and similar operators fill a new buffer.
"""


class MemoryPeak(NamedTuple):
    """The most bytes of activations at one time: while ``node`` runs, None for a model without nodes. ``tensors`` are those in
    memory by name, the largest first, and ``workspace`` what the node's kernel allocates in addition.
    """

    nbytes: int
    node: Node | None
    tensors: Mapping[str, int]
    workspace: int


class MemoryPlan(NamedTuple):
    """The activations of a run: ``inputs`` are the model's, which stay in memory throughout, ``nodes`` those that run,
    ``buffers`` their outputs, and ``workspaces`` the bytes that each kernel allocates in addition.
    """

    inputs: Mapping[str, int]
    nodes: tuple[Node, ...]
    buffers: Sequence[Buffer]
    workspaces: Sequence[int]

    @property
    def curve(self) -> list[int]:
        """The bytes in memory while each node runs."""
        changes = [sum(self.inputs.values()), *[0] * len(self.nodes)]
        for buffer in self.buffers:
            changes[buffer.first] += buffer.size
            if buffer.last < len(self.nodes):
                changes[buffer.last + 1] -= buffer.size
        return [live + workspace for live, workspace in zip(accumulate(changes), self.workspaces, strict=False)]

    @property
    def peak(self) -> MemoryPeak:
        """The first maximum of the curve."""
        curve = self.curve
        if not curve:
            return MemoryPeak(sum(self.inputs.values()), None, self.inputs, 0)
        nbytes = max(curve)
        place = curve.index(nbytes)
        live = {buffer.value_at(place): buffer.size for buffer in self.buffers if buffer.first <= place <= buffer.last}
        tensors = dict(sorted((live | dict(self.inputs)).items(), key=lambda item: -item[1]))
        return MemoryPeak(nbytes, self.nodes[place], tensors, self.workspaces[place])


def plan_memory(graph: Graph, block: int = BLOCK, *, casts: bool = True) -> MemoryPlan:
    """The memory of activations on a CPU as onnxruntime plans it: the inputs that are read, the buffers that kernels fill, and
    their workspaces. ``block`` are the channels in a block of convolutions, 0 without that layout: by default those of AVX-512,
    so that the figure is the same on every machine. Values of float16 are computed in float32, between ``casts``, where x86
    CPUs have no kernel for it. Raises UnknownShape.
    """
    executed = _executed(graph, block, casts=casts)
    buffers = _fill(executed, IN_PLACE, are_kept=True)
    workspaces = [_inside(graph, node, block, casts=casts) if node.branches else workspace_of(node) for node in executed.nodes]
    returned = {tensor.name for tensor in graph.outputs}
    for place, node in enumerate(executed.nodes):
        if _is_gemm(node) and node.out.rank > 2 and node.out.name in returned:  # the Reshape of the matrix copies it
            workspaces[place] += node.out.nbytes
    if loops := _loops(executed.nodes):
        owner = _owners(executed)
        read = set[str]().union(*[node.reads for node in executed.nodes])
        for loop in loops:
            for place, held in _held_by(loop, executed.nodes[loop.place], owner, read).items():
                workspaces[place] += held
    return MemoryPlan(_read_inputs(graph), executed.nodes, buffers, workspaces)


def _inside(graph: Graph, node: Node, block: int, *, casts: bool) -> int:
    """The most that a branch of an If takes in addition to the outputs, if the graph does not show which one runs."""
    branches = (replace(graph, inputs=(), outputs=(), nodes=branch) for branch in node.branches.values())
    inner = (plan_memory(branch, block, casts=casts).peak.nbytes for branch in branches)
    return max(max(inner, default=0) - sum(tensor.nbytes for tensor in node.outputs if tensor is not None), 0)


def input_bytes(graph: Graph) -> int:
    """The bytes of the model's inputs that are read or returned. Raises UnknownShape."""
    return sum(_read_inputs(graph).values())


def _read_inputs(graph: Graph) -> dict[str, int]:
    """Those inputs by name, with their bytes."""
    return {tensor.name: tensor.nbytes for tensor in graph.inputs if graph.uses.is_read(tensor.name)}


def least_activation_bytes(graph: Graph, in_place: Mapping[str, int] = IN_PLACE) -> int:
    """The least that activations need in any runtime, node after node: the largest sum of buffers that are alive at one time.

    A buffer lives until the last node has read it, or to the end if none does. A view shares its input's buffer, and a node
    of ``in_place`` writes over an input of as many bytes that is not read again. The model's inputs and outputs have separate
    buffers: those of inputs live throughout, those of outputs to the end. Values inside a fused node have none, nor have
    constants, except for weights that DequantizeLinear expands in every run. Raises UnknownShape.
    """
    return input_bytes(graph) + largest_live_sum(buffers_of(graph, in_place))


def footprint_of(graph: Graph, steps: Iterable[FusedNode]) -> float:
    """The working set of a run in bytes: all constants that the steps read, each once, and the peak of the activations."""
    constants = {tensor.name: tensor.nbytes for step in steps for tensor in constants_of(step.node)}
    try:
        values = least_activation_bytes(graph)
    except UnknownShape:
        values = 0
    return float(sum(constants.values()) + values)


def footprints_of(graph: Graph, steps: Sequence[FusedNode]) -> list[float]:
    """The working set of each step in bytes: that of the run, or, in the body of a loop, the constants and results of the body,
    which an iteration finds where the one before left them.
    """
    whole = footprint_of(graph, steps)
    loops = [f"{node.name}/" for node in graph.nodes if node.op_type in ("Loop", "Scan")]
    owners = [
        max((name for name in loops if step.node.name.startswith(name)), key=len, default="") if step.node.repeat > 1 else ""
        for step in steps
    ]
    sizes: dict[str, dict[str, int]] = {name: {} for name in loops}
    for step, owner in zip(steps, owners, strict=True):
        if owner:
            made = [tensor for tensor in step.node.outputs if tensor is not None and tensor.is_shaped]
            sizes[owner].update((tensor.name, tensor.nbytes) for tensor in (*constants_of(step.node), *made))
    bodies = {name: min(float(sum(held.values())), whole) for name, held in sizes.items()}
    return [bodies.get(owner, whole) for owner in owners]


@dataclass(slots=True, order=True)
class Buffer:
    """Bytes in use from the node ``first`` to the node ``last``, both included; ``is_returned`` for a model's output.

    ``values`` are the successive values in it: the node that computes each, and its name.
    """

    size: int
    first: int
    last: int
    is_returned: bool = False
    values: list[tuple[int, str]] = field(default_factory=list, compare=False)

    def value_at(self, place: int) -> str:
        """The name of the value in it while a node runs."""
        return next(name for first, name in reversed(self.values) if first <= place)


def largest_live_sum(buffers: Iterable[Buffer]) -> int:
    """The largest sum of buffers that are alive at one time."""
    changes: Counter[int] = Counter()
    for buffer in buffers:
        changes[buffer.first] += buffer.size
        changes[buffer.last + 1] -= buffer.size
    return max(accumulate(changes[index] for index in sorted(changes)), default=0)


def buffers_of(graph: Graph, in_place: Mapping[str, int] = IN_PLACE, *, are_kept: bool = False, block: int = 0) -> list[Buffer]:
    """The buffers that the nodes fill; the ones that the model returns or that no node reads live past the last node.

    With ``are_kept`` they are planned as onnxruntime does by default: a free buffer is kept for a later value of the same
    dims, and is alive from its first value to its last. ``block`` is as in ``list_kernels``. Raises UnknownShape.
    """
    return _fill(_executed(graph, block), in_place, are_kept=are_kept)


def _executed(graph: Graph, block: int, *, casts: bool = False) -> Graph:
    """The graph of the kernels that run, in their order."""
    with suppress(*MISFITS):  # nothing is fused if a node does not fit its operator
        graph = list_kernels(graph, block=block, casts=casts)
    return graph


Kind = tuple[object, ...]
"""The dims and the width of a value: those of one kind can use the same buffer, one after the other."""


def _fill(graph: Graph, in_place: Mapping[str, int], *, are_kept: bool) -> list[Buffer]:
    owner, plan = _owners(graph), _Plan()
    last_use, end = _last_uses(graph, owner), len(graph.nodes)
    for index, node in enumerate(graph.nodes):
        read = [owner[tensor.name] for tensor in node.inputs if tensor is not None and tensor.name in owner]
        dying = [name for name in dict.fromkeys(read) if last_use[name] == index and name in plan.slots]
        for place, tensor in enumerate(node.outputs):
            if tensor is None or owner[tensor.name] != tensor.name:
                continue
            # What depends only on constants is computed before the run, except for weights that stay quantized in memory.
            if tensor.is_constant and node.key not in DEQUANTIZERS and node.key != "Loop":
                continue
            last = last_use.get(tensor.name, end)
            wanted = Buffer(tensor.nbytes, index, last, is_returned=last == end)
            kind = _kind(graph, node, tensor)
            source = node.input(in_place[node.key]) if place == 0 and node.key in in_place else None
            over = owner.get(source.name, "") if source is not None and not wanted.is_returned else ""
            is_free = over in dying and read.count(over) == 1
            if is_free and source is not None and kind is not None and kind == _kind(graph, node, source):
                dying.remove(over)
                plan.write_over(over, tensor, wanted)
            else:
                plan.fill(tensor, wanted, kind if are_kept and not wanted.is_returned else None)
        plan.release(dying)
    return plan.buffers


def _kind(graph: Graph, node: Node, tensor: Tensor) -> Kind | None:
    """The kind of an output as the kernel fills it; None if onnxruntime does not know its shape before the run.

    It is a matrix if Gemm runs for MatMul and Add, and some have the channels last.
    """
    dims = tensor.dims
    if dims is None:
        return None
    if graph.symbolic_dims is not None:
        known = graph.symbolic_dims.get(tensor.name.partition("/reordered")[0].removesuffix("/laid out"))
        if known is None or len(known) != len(dims) or None in known:
            return None
        dims = tuple(own if isinstance(own, str) else dim for own, dim in zip(known, dims, strict=True))
    if len(dims) > 2 and node.attributes.get("channels_last"):
        dims = dims[0], *dims[2:], dims[1]
    elif len(dims) > 2 and _is_gemm(node) and tensor.is_shaped:
        dims = prod(tensor.shape[:-1]), dims[-1]
    return (*dims, BITS.get(tensor.dtype))


def _is_gemm(node: Node) -> bool:
    """Whether Gemm runs for a MatMul with a matrix and the Add of a bias: MatMulAddFusion."""
    weights = node.input(1) if node.key == "MatMul" else None
    is_matrix = weights is not None and weights.is_shaped and weights.rank == 2
    return is_matrix and any(added is not None and added.rank == 1 for added in node.inputs[2:])


class _Plan:
    """The buffer of each value by name, and the free buffers by kind, the latest last."""

    def __init__(self) -> None:
        self.buffers: list[Buffer] = []
        self._kinds: list[Kind | None] = []
        self._free: dict[Kind | None, list[int]] = {}
        self.slots: dict[str, int] = {}

    def fill(self, tensor: Tensor, wanted: Buffer, kind: Kind | None) -> None:
        """Put a value into a free buffer of its kind, or into a new one; with None always into a new one."""
        if kind is not None and len(kind) > 1 and self._free.get(kind):
            self._lay(tensor, self._free[kind].pop(), wanted)
        else:
            self.buffers.append(wanted)
            self._kinds.append(kind)
            self._lay(tensor, len(self.buffers) - 1, wanted)

    def write_over(self, name: str, tensor: Tensor, wanted: Buffer) -> None:
        self._lay(tensor, self.slots.pop(name), wanted)

    def release(self, names: Iterable[str]) -> None:
        for name in names:
            slot = self.slots.pop(name)
            self._free.setdefault(self._kinds[slot], []).append(slot)

    def _lay(self, tensor: Tensor, slot: int, wanted: Buffer) -> None:
        self.slots[tensor.name] = slot
        self.buffers[slot].last = wanted.last
        self.buffers[slot].values.append((wanted.first, tensor.name))


def _owners(graph: Graph) -> dict[str, str]:
    """The value whose buffer each value uses: itself, or the one that it is a view of. Stored constants are left out.

    An output of the model is copied and so not a view, unless a body computed it.
    """
    owner: dict[str, str] = {}
    returned = {tensor.name for tensor in graph.outputs}
    for node in graph.nodes:
        for tensor in node.inputs:
            if tensor is not None and not tensor.is_constant:
                owner.setdefault(tensor.name, tensor.name)
        for index, tensor in enumerate(node.outputs):
            if tensor is not None:
                source = None
                if node.key in CONTROL_FLOW and not node.branches and node.key != "Loop":  # which copies what it carries
                    source = node.input(index)  # the output of its body at the same position
                elif node.key in VIEWS and index == 0 and tensor.name not in returned:
                    source = node.x
                owner[tensor.name] = tensor.name if source is None else owner.get(source.name, tensor.name)
    return owner


def _last_uses(graph: Graph, owner: Mapping[str, str]) -> dict[str, int]:
    """The index of the last node that reads each buffer; one past the end if the model returns it."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for tensor in node.inputs:
            if tensor is not None and tensor.name in owner:
                last[owner[tensor.name]] = index
    for loop in _loops(graph.nodes):
        made = {tensor.name for _, node in loop.inner for tensor in node.outputs if tensor is not None}
        for tensor in (tensor for _, node in loop.inner for tensor in node.inputs if tensor is not None):
            outer = owner.get(tensor.name)
            if outer is not None and outer not in made:
                last[outer] = max(last[outer], loop.place)
        for index, tensor in loop.stacked(last):
            last[tensor.name] = index if graph.nodes[loop.place].key == "Scan" else loop.place
    for tensor in graph.outputs:
        last[owner.get(tensor.name, tensor.name)] = len(graph.nodes)
    return last


class _Loop(NamedTuple):
    """A Loop or Scan at ``place``, and the nodes of its body with their places."""

    place: int
    inner: Sequence[tuple[int, Node]]

    def stacked(self, read: Container[str]) -> list[tuple[int, Tensor]]:
        """The outputs of nodes of the body that none reads, with the places of these nodes."""
        made = ((index, tensor) for index, node in self.inner for tensor in node.outputs)
        return [(index, tensor) for index, tensor in made if tensor is not None and tensor.name not in read]


def _loops(nodes: Sequence[Node]) -> list[_Loop]:
    """The Loops and Scans, inner ones first. The nodes of a body come before its loop and are named after it."""
    found, first = [], dict[str, int]()
    has_loops = any(node.key in ("Loop", "Scan") for node in nodes)
    for index, node in enumerate(nodes if has_loops else ()):
        if node.key in ("Loop", "Scan"):
            places = range(first.get(node.name, index), index)
            found.append(_Loop(index, [(i, nodes[i]) for i in places if nodes[i].name.startswith(f"{node.name}/")]))
        scope = node.name
        while scope := scope.rpartition("/")[0]:
            first.setdefault(scope, index)
    return found


def _held_by(loop: _Loop, node: Node, owner: Mapping[str, str], read: Container[str]) -> dict[int, int]:
    """What a Loop or Scan has in memory in addition to the values of an iteration, by the place of each node of its body and
    its own.

    controlflow/loop.cc: the states of the previous iteration, and the parts of stacked outputs from each iteration.
    scan_utils.cc: the whole outputs, and for each state two alternating buffers in addition to that of the output.
    """
    made = {tensor.name for _, each in loop.inner for tensor in each.outputs if tensor is not None}
    states = sum(each.nbytes for each in node.inputs if each is not None and owner.get(each.name) in made)
    elements = sum(tensor.nbytes for _, tensor in loop.stacked(read))
    stacks = sum(each.nbytes for i, each in enumerate(node.outputs) if each is not None and node.input(i) is None)
    trips = max((each.repeat for _, each in loop.inner), default=0) // max(node.repeat, 1)
    trips = max(trips, 2 if any(each.name.startswith(f"{node.name}/1/") for _, each in loop.inner) else 1)
    held = states * min(trips - 1, 2 if node.key == "Scan" else 1)
    while_stacking = held + max(stacks - elements, 0)
    at_end = held if node.key == "Scan" else while_stacking
    return {**dict.fromkeys((index for index, _ in loop.inner), while_stacking), loop.place: at_end}
