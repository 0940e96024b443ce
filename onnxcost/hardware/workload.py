"""The steps of a run: each node that computes, with the elementwise nodes that a compiler fuses into it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from onnxcost.conventions import FLOPS
from onnxcost.formulas import CONTROL_FLOW
from onnxcost.formulas.activation import TABLE as ACTIVATION
from onnxcost.formulas.elementwise import TABLE as ELEMENTWISE
from onnxcost.graph import Node, Tensor
from onnxcost.operators.traffic import VIEWS
from onnxcost.report import CostReport, Counted

_CARRYING = VIEWS | {"DequantizeLinear", "com.microsoft.DequantizeLinear"}
"""Operators whose result is read as what they read: the same elements, or the integers that stand for them."""
_UNCHANGED = VIEWS | {"Transpose", "Cast"}
"""Operators whose constant output is still counted as the weight in the file."""
_POINTWISE = (ELEMENTWISE.keys() | ACTIVATION.keys()) - {"Softmax", "LogSoftmax", "Hardmax"} | {
    "BatchNormalization", "Cast", "CastLike", "QuantizeLinear", "com.microsoft.QuantizeLinear", "com.microsoft.Gelu",
    "com.microsoft.FastGelu", "com.microsoft.BiasGelu", "com.microsoft.QuickGelu", "com.microsoft.QLinearAdd",
    "com.microsoft.QLinearMul", "com.microsoft.QLinearSigmoid", "com.microsoft.QLinearLeakyRelu", "com.microsoft.QLinearWhere",
}  # fmt: skip
"""Operators whose every output element needs the elements at its own place alone: compilers run them within their producer."""
_FEW = 16
"""Up to this many integers are shapes and indices, whose computation does not count as a step."""


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
    """What an inference requires of a device: its steps, and the least work and traffic.

    ``macs`` are by type; ``operands`` are the bytes of the stored weights that contractions multiply with, each once, and
    ``ends`` those of the model's inputs and outputs. ``weights`` are the bytes of all constants that the steps read.
    """

    steps: tuple[WorkloadStep, ...]
    macs: Mapping[str, int]
    operands: int
    ends: int

    @property
    def dtype(self) -> str:
        """The type of most multiply-accumulates, float32 where there are none."""
        return max(self.macs, key=self.macs.__getitem__, default="float32")

    @property
    def weights(self) -> int:
        """Bytes of the constants that the steps read, one execution of each."""
        return sum(step.weights for step in self.steps)


class Same:
    """A report as a key of a cache, compared by identity."""

    __slots__ = ("report",)

    def __init__(self, report: CostReport) -> None:
        self.report = report

    def __hash__(self) -> int:
        return id(self.report)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Same) and self.report is other.report


def demand_of(report: CostReport) -> Demand:
    """The steps of a report and their sums, cached for each report."""
    return _demand(Same(report))


@lru_cache(maxsize=32)
def _demand(key: Same) -> Demand:
    report, values = key.report, _Values()
    groups = _groups(report.counted, values)
    macs: Counter[str] = Counter()
    operands: dict[str, int] = {}
    for cost in (member for members in groups for member in members if member.once.macs):
        macs[cost.dtype] += cost.work.macs
        constants = [tensor for tensor in cost.node.inputs if tensor is not None and tensor.is_constant]
        operands |= {values.stored(tensor).name: nbytes(values.stored(tensor)) for tensor in constants}
    return Demand(
        steps=tuple(_steps(groups, values, report.graph.outputs)),
        macs=dict(macs),
        operands=sum(operands.values()),
        ends=sum(map(nbytes, (*report.graph.inputs, *report.graph.outputs))),
    )


def nbytes(tensor: Tensor) -> int:
    """Bytes of the tensor, 0 where its shape is not known."""
    return tensor.nbytes if tensor.is_shaped or tensor.elements is not None else 0


@dataclass(slots=True)
class _Values:
    """Values by name. ``carriers``: what is read in their place; ``sources``: the weight in the file from which a constant is
    made; ``makers``: the group that makes them.
    """

    carriers: dict[str, Tensor] = field(default_factory=dict)
    sources: dict[str, Tensor] = field(default_factory=dict)
    makers: dict[str, int] = field(default_factory=dict)

    def carried(self, tensor: Tensor) -> Tensor:
        return self.carriers.get(tensor.name, tensor)

    def stored(self, tensor: Tensor) -> Tensor:
        return self.sources.get(tensor.name, tensor)


def _groups(costs: Iterable[Counted], values: _Values) -> list[list[Counted]]:
    """The nodes that run, an elementwise one in the group of the last node that makes an input of it."""
    groups: list[list[Counted]] = []
    for cost in costs:
        node = cost.node
        is_folded = all(tensor is None or tensor.is_constant for tensor in node.outputs)
        if node.inputs and node.key in _CARRYING | (_UNCHANGED if is_folded else set()):
            values.carriers[node.out.name] = values.carried(node.x)
            values.sources[node.out.name] = values.stored(node.x)
        elif not is_folded and node.key not in CONTROL_FLOW and not _steers(node):
            place = _place(cost, groups, values)
            groups[place:] = groups[place:] or [[]]
            groups[place].append(cost)
            values.makers |= {tensor.name: place for tensor in node.outputs if tensor is not None}
    return groups


def _steers(node: Node) -> bool:
    """Whether it makes only shapes and indices."""
    made = [tensor for tensor in node.outputs if tensor is not None]
    return all(tensor.dtype in ("int32", "int64") and tensor.is_shaped and tensor.size <= _FEW for tensor in made)


def _place(cost: Counted, groups: Sequence[Sequence[Counted]], values: _Values) -> int:
    """The group that the node joins, or one past the last."""
    if cost.node.key in _POINTWISE:
        inputs = [values.carried(tensor).name for tensor in cost.node.inputs if tensor is not None]
        latest = max((values.makers[name] for name in inputs if name in values.makers), default=None)
        if latest is not None and groups[latest][0].node.repeat == cost.node.repeat:
            return latest
    return len(groups)


def _steps(groups: Sequence[Sequence[Counted]], values: _Values, returned: Iterable[Tensor]) -> Iterable[WorkloadStep]:
    """The groups with their bytes: values that are made and read inside a group are not moved."""
    readers: dict[str, set[int]] = {values.carried(tensor).name: {-1} for tensor in returned}
    for place, members in enumerate(groups):
        for tensor in (tensor for cost in members for tensor in cost.node.inputs if tensor is not None):
            readers.setdefault(values.carried(tensor).name, set()).add(place)
    for place, members in enumerate(groups):
        made = {tensor.name: tensor for cost in members for tensor in cost.node.outputs if tensor is not None}
        written = sum(nbytes(tensor) for name, tensor in made.items() if readers.get(name, set()) - {place})
        weights, read = _read(members, values, made.keys())
        main = max(members, key=lambda cost: cost.once.macs)
        macs = sum(cost.once.macs for cost in members)
        products = sum(2 * cost.once.macs - cost.once.accumulators for cost in members)
        other = sum(FLOPS.number(cost.node, cost.once) for cost in members) - products
        yield WorkloadStep(
            node=main.node, dtype=main.dtype, times=main.node.repeat, merged=len(members) - 1, macs=macs,
            other=other, weights=weights, activations=read + written, is_depthwise=_is_depthwise(main.node),
        )  # fmt: skip


def _is_depthwise(node: Node) -> bool:
    kernels = (tensor.dims for tensor in node.inputs if tensor is not None and tensor.dims is not None)
    return int(node.attributes.get("group", 1)) > 1 and any(len(dims) > 2 and dims[1] == 1 for dims in kernels)


def _read(members: Sequence[Counted], values: _Values, made: Iterable[str]) -> tuple[int, int]:
    """Bytes of constants and of other values that the nodes read: each once, and of a table only what is gathered."""
    inside, whole, picked = set(made), dict[str, Tensor](), [0, 0]
    for cost in members:
        inputs = [tensor for tensor in cost.node.inputs if tensor is not None]
        if cost.node.key not in _POINTWISE and 0 < cost.traffic_once.read_bytes < sum(map(nbytes, inputs)):
            picked[not inputs[0].is_constant] += cost.traffic_once.read_bytes
        else:
            whole |= {tensor.name: tensor for tensor in map(values.carried, inputs) if tensor.name not in inside}
    weights = sum(nbytes(tensor) for tensor in whole.values() if tensor.is_constant)
    return weights + picked[0], sum(map(nbytes, whole.values())) - weights + picked[1]
