"""The steps of a run: each node that computes, together with the elementwise nodes that a compiler merges into it.

A model of compilers for GPUs, NPUs and microcontrollers, which merge any elementwise chain into what makes its input; what
onnxruntime fuses on a CPU, by named passes alone, is in ``ort_optimizer``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from functools import lru_cache

from onnxcost.conventions import FLOPS
from onnxcost.costs import Counted
from onnxcost.errors import UnknownShape
from onnxcost.formulas import CONTROL_FLOW
from onnxcost.graph import DefUse, Node, Tensor
from onnxcost.operators.traits import DEQUANTIZERS, POINTWISE, VIEWS
from onnxcost.report import CostReport

_CARRYING = VIEWS | DEQUANTIZERS
"""Operators whose result is read as what they read: the same elements, or the integers that stand for them."""
_UNCHANGED = VIEWS | {"Transpose", "Cast"}
"""Operators whose output, computed from a weight, is read as that weight."""
_FEW = 16
"""Integer outputs of at most this many elements are shapes and indices, which take no time."""


@dataclass(frozen=True, slots=True)
class WorkloadStep:
    """A node and ``merged`` others that run with it: work and bytes of one execution, of which an inference has ``times``.

    ``macs`` are those of its contractions, done in ``dtype``; ``other`` is the rest of its arithmetic. ``weights`` are the
    bytes of constants that it reads, ``activations`` those of the values that it reads from other steps and writes for them.
    ``is_depthwise`` where it convolves each channel alone, so that there is little to reuse in it.
    """

    node: Node
    dtype: str
    times: int
    merged: int
    macs: int
    other: int
    weights: int
    activations: int
    is_depthwise: bool


@dataclass(frozen=True, slots=True)
class Demand:
    """What an inference asks of a device: its steps, and the work and bytes that no device can avoid.

    ``macs`` are by type; ``operands`` are the bytes of the stored weights that contractions multiply with, each once, and
    ``ends`` those of the model's inputs and outputs. ``weights`` are the bytes of all that the steps read of constants.
    """

    steps: tuple[WorkloadStep, ...]
    macs: Mapping[str, int]
    operands: int
    ends: int

    @property
    def dtype(self) -> str:
        """The type of most multiply-accumulates, float32 if there are none."""
        return max(self.macs, key=self.macs.__getitem__, default="float32")

    @property
    def weights(self) -> int:
        """Bytes of the constants that the steps read, one execution of each."""
        return sum(step.weights for step in self.steps)


class Same:
    """A report as the key of a cache: equal only to itself."""

    __slots__ = ("report",)

    def __init__(self, report: CostReport) -> None:
        self.report = report

    def __hash__(self) -> int:
        return id(self.report)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.report is other.report


def demand_of(report: CostReport) -> Demand:
    """The steps of a report and their sums; asked again of the same report, it answers at once."""
    return _demand(Same(report))


@lru_cache(maxsize=32)
def _demand(key: Same) -> Demand:
    report, values = key.report, _Values()
    costs = list(_list_computing(report.counted, values))
    uses = DefUse((values.as_sum_reads(cost.node) for cost in costs), map(values.find_carrier, report.graph.outputs))
    groups = _group_nodes(costs, uses)
    macs: Counter[str] = Counter()
    operands: dict[str, int] = {}
    for cost in (costs[position] for group in groups for position in group if costs[position].once.macs):
        macs[cost.dtype] += cost.work.macs
        constants = [tensor for tensor in cost.node.inputs if tensor is not None and tensor.is_constant]
        operands |= {values.find_stored(tensor).name: nbytes(values.find_stored(tensor)) for tensor in constants}
    return Demand(
        steps=tuple(_build_step(group, costs, uses) for group in groups),
        macs=dict(macs),
        operands=sum(operands.values()),
        ends=sum(map(nbytes, (*report.graph.inputs, *report.graph.outputs))),
    )


def nbytes(tensor: Tensor) -> int:
    """Bytes of the tensor, 0 if its shape is not known."""
    try:
        return tensor.nbytes
    except UnknownShape:
        return 0


@dataclass(slots=True)
class _Values:
    """By the name of a value: in ``carriers`` the tensor that is read in its place, in ``sources`` the weight in the file that
    the constant is made of.
    """

    carriers: dict[str, Tensor] = field(default_factory=dict)
    sources: dict[str, Tensor] = field(default_factory=dict)

    def find_carrier(self, tensor: Tensor) -> Tensor:
        return self.carriers.get(tensor.name, tensor)

    def find_stored(self, tensor: Tensor) -> Tensor:
        return self.sources.get(tensor.name, tensor)

    def as_sum_reads(self, node: Node) -> Node:
        return replace(node, inputs=tuple(tensor and self.find_carrier(tensor) for tensor in node.inputs))


def _list_computing(costs: Iterable[Counted], values: _Values) -> Iterator[Counted]:
    """The nodes that compute in a run; what the other nodes pass on is noted in ``values``."""
    for cost in costs:
        node = cost.node
        is_folded = all(tensor is None or tensor.is_constant for tensor in node.outputs)
        if node.inputs and node.key in _CARRYING | (_UNCHANGED if is_folded else set()):
            if node.input(0) is not None:
                values.carriers[node.out.name] = values.find_carrier(node.x)
                values.sources[node.out.name] = values.find_stored(node.x)
        elif not is_folded and node.key not in CONTROL_FLOW:
            made = (tensor for tensor in node.outputs if tensor is not None)
            if not all(tensor.dtype in ("int32", "int64") and tensor.is_shaped and tensor.size <= _FEW for tensor in made):
                yield cost


def _group_nodes(costs: Sequence[Counted], uses: DefUse) -> list[list[int]]:
    """The positions of nodes that run as one: an elementwise node joins the group of the latest node that makes its inputs."""
    groups: list[list[int]] = []
    joined: list[int] = []
    """The group of each node."""
    for position, node in enumerate(uses.nodes):
        makers = {uses.defined_at(tensor.name) for tensor in node.inputs if tensor is not None}
        latest = max((joined[maker] for maker in makers if maker is not None and maker < position), default=len(groups))
        if node.key not in POINTWISE or latest == len(groups) or uses.nodes[groups[latest][0]].repeat != node.repeat:
            latest = len(groups)
            groups.append([])
        groups[latest].append(position)
        joined.append(latest)
    return groups


def _build_step(group: Sequence[int], costs: Sequence[Counted], uses: DefUse) -> WorkloadStep:
    """The group with its bytes, without values that only the group makes and reads."""
    members, inside = [costs[position] for position in group], set(group)
    made = {tensor.name: tensor for cost in members for tensor in cost.node.outputs if tensor is not None}
    written = [t for name, t in made.items() if name in uses.returned or not inside.issuperset(uses.positions(name))]
    weights, read = _sum_reads(members, [uses.nodes[position] for position in group], made.keys())
    main = max(members, key=lambda cost: cost.once.macs)
    macs, sums = sum(cost.once.macs for cost in members), sum(cost.once.accumulators for cost in members)
    flops = sum(FLOPS.number(cost.node, cost.once) + cost.once.dequantizations for cost in members)
    kernels = (tensor.dims for tensor in main.node.inputs if tensor is not None and tensor.dims is not None)
    return WorkloadStep(
        node=main.node, dtype=main.dtype, times=main.node.repeat, merged=len(members) - 1, macs=macs,
        other=flops - 2 * macs + sums, weights=weights, activations=read + sum(map(nbytes, written)),
        is_depthwise=int(main.node.attributes.get("group", 1)) > 1 and any(len(dims) > 2 and dims[1] == 1 for dims in kernels),
    )  # fmt: skip


def _sum_reads(members: Sequence[Counted], nodes: Sequence[Node], inside: Set[str]) -> tuple[int, int]:
    """Bytes of constants and of other values that the nodes read: each once, and of a table only the rows that are picked."""
    whole, picked = dict[str, Tensor](), [0, 0]
    for cost, node in zip(members, nodes, strict=True):
        inputs = [tensor for tensor in cost.node.inputs if tensor is not None]
        if cost.node.key not in POINTWISE and 0 < cost.traffic_once.read_bytes < sum(map(nbytes, inputs)):
            picked[not inputs[0].is_constant] += cost.traffic_once.read_bytes
        else:
            whole |= {tensor.name: tensor for tensor in node.inputs if tensor is not None and tensor.name not in inside}
    weights = sum(nbytes(tensor) for tensor in whole.values() if tensor.is_constant)
    return weights + picked[0], sum(map(nbytes, whole.values())) - weights + picked[1]
