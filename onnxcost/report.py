"""What an estimate found: frozen results and their queries."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any

from onnxcost.conventions import CONVENTIONS, FLOPS, MACS, Convention
from onnxcost.graph import Caveat, Graph, Node
from onnxcost.traffic import NO_TRAFFIC, Traffic
from onnxcost.work import NO_WORK, Work

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True)
class Counted:
    """A node and its cost: ``once`` and ``traffic_once`` are those of one of its ``node.repeat`` executions.

    ``dtype`` is the type the arithmetic is done in; ``parameters`` are the elements of the weights that no earlier node read.
    """

    node: Node
    once: Work
    traffic_once: Traffic
    dtype: str
    parameters: int = 0

    @property
    def work(self) -> Work:
        """The work of all executions in one inference."""
        return self.node.repeat * self.once if self.node.repeat != 1 else self.once

    @property
    def traffic(self) -> Traffic:
        """The traffic of all executions in one inference."""
        return self.node.repeat * self.traffic_once if self.node.repeat != 1 else self.traffic_once

    def count(self, convention: Convention) -> int:
        """The node's number under a convention, for all executions."""
        return self.node.repeat * convention.number(self.node, self.once)


@dataclass(frozen=True, slots=True)
class Uncounted:
    """A node whose cost is not known, and why."""

    node: Node
    reason: str
    parameters: int = 0


NodeCost = Counted | Uncounted


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


@dataclass(frozen=True)
class Group:
    """The sum of some nodes: those of an operator, a scope or a dtype.

    ``key`` is the tuple that names the group: (domain, op_type), the scope's parts, or (dtype,).
    """

    key: tuple[str, ...]
    costs: tuple[NodeCost, ...]

    @cached_property
    def counted(self) -> tuple[Counted, ...]:
        """The members that were counted."""
        return tuple(cost for cost in self.costs if isinstance(cost, Counted))

    @property
    def complete(self) -> bool:
        """Whether every member was counted."""
        return len(self.counted) == len(self.costs)

    @property
    def parameters(self) -> int:
        """Elements of the weights that the members are the first to read."""
        return sum(cost.parameters for cost in self.costs)

    @cached_property
    def work(self) -> Work:
        """The work of the counted members."""
        return sum((cost.work for cost in self.counted), NO_WORK)

    @cached_property
    def traffic(self) -> Traffic:
        """The traffic of the counted members."""
        return sum((cost.traffic for cost in self.counted), NO_TRAFFIC)

    def total(self, convention: Convention) -> int:
        """The sum of the counted nodes under a convention: a lower bound unless ``complete``."""
        if convention.overrides.keys().isdisjoint(self._operators):
            return self.work.dot(convention.weights)
        return sum(cost.count(convention) for cost in self.counted)

    @cached_property
    def _operators(self) -> frozenset[str]:
        return frozenset(cost.node.key for cost in self.costs)


def grouped(costs: Iterable[NodeCost], key: Callable[[NodeCost], tuple[str, ...]]) -> tuple[Group, ...]:
    """The costs by key, in the order in which the keys first come."""
    groups: dict[tuple[str, ...], list[NodeCost]] = {}
    for cost in costs:
        groups.setdefault(key(cost), []).append(cost)
    return tuple(Group(name, tuple(members)) for name, members in groups.items())


@dataclass(frozen=True)
class CostReport:
    """The cost of a model: every node's, and the sums. ``caveats`` say what keeps the sums from being exact."""

    graph: Graph
    costs: tuple[NodeCost, ...]
    memory: Memory
    caveats: tuple[Caveat, ...] = ()

    @property
    def warnings(self) -> tuple[str, ...]:
        """What there is to know of how the model was counted, in sentences."""
        return tuple(dict.fromkeys(caveat.text for caveat in self.caveats))

    @property
    def bound(self) -> str:
        """What the totals are: "" exact, "lower" or "upper" bounds, or "mixed" where some nodes are short and others over."""
        kinds = {caveat.kind for caveat in self.caveats} & {"lower", "upper"}
        kinds |= set() if self.complete else {"lower"}
        return "mixed" if len(kinds) > 1 else next(iter(kinds), "")

    @cached_property
    def whole(self) -> Group:
        """All nodes as one group: ``whole.work``, ``whole.traffic``."""
        return Group((), self.costs)

    @property
    def counted(self) -> tuple[Counted, ...]:
        """The nodes that were counted."""
        return self.whole.counted

    @property
    def uncounted(self) -> tuple[Uncounted, ...]:
        """The nodes that were not, each with its reason."""
        return tuple(cost for cost in self.costs if isinstance(cost, Uncounted))

    @property
    def complete(self) -> bool:
        """Whether every node was counted; while one is not, every total is a lower bound."""
        return self.whole.complete

    @property
    def assumed(self) -> tuple[str, ...]:
        """The options that would replace what was assumed."""
        return tuple(dict.fromkeys(dim.option for dim in self.graph.dims if dim.source == "assumed"))

    @property
    def parameters(self) -> int:
        """Elements of the distinct constants used as weights."""
        return self.memory.parameters

    @property
    def macs(self) -> int:
        """The total in the convention ``macs``."""
        return self.total(MACS)

    @property
    def flops(self) -> int:
        """The total in the convention ``flops``."""
        return self.total(FLOPS)

    @property
    def intensity(self) -> float | None:
        """FLOPs per byte read or written; None for a model that moves nothing."""
        moved = self.whole.traffic.total
        return self.flops / moved if moved else None

    def total(self, convention: Convention | str) -> int:
        """The model's number under a convention; raises KeyError for a name that is none."""
        chosen = CONVENTIONS[convention] if isinstance(convention, str) else convention
        return sum(group.total(chosen) for group in self.by_operator())

    def by_operator(self) -> tuple[Group, ...]:
        """Groups keyed (domain, op_type)."""
        return self._operators

    @cached_property
    def _operators(self) -> tuple[Group, ...]:
        return grouped(self.costs, lambda cost: (cost.node.domain, cost.node.op_type))

    def by_scope(self, depth: int) -> tuple[Group, ...]:
        """Groups keyed by the first ``depth`` parts of the module scope; the empty key holds what has no scope."""
        return grouped(self.costs, lambda cost: cost.node.scope[:depth])

    def by_dtype(self) -> tuple[Group, ...]:
        """Counted nodes, keyed (dtype,)."""
        return grouped(self.counted, lambda cost: (cost.dtype,) if isinstance(cost, Counted) else ("",))

    def top(self, count: int | None, convention: Convention = FLOPS) -> tuple[Counted, ...]:
        """The most expensive nodes, dearest first; all of them for None."""
        return tuple(sorted(self.counted, key=lambda cost: -cost.count(convention))[:count])

    def to_dict(self, convention: Convention | str = FLOPS) -> dict[str, Any]:
        """The report as plain data, schema ``onnxcost/1``: what ``--format json`` prints.

        Raises InputError for a convention that does not exist.
        """
        from onnxcost.schema import report_to_dict

        return report_to_dict(self, convention)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a node, in order of execution. Raises OnnxCostError where pandas is not installed."""
        from onnxcost.frames import report_frame

        return report_frame(self)

    def _repr_html_(self) -> str:
        """The report in a notebook. By name, because looks are made above: nothing here knows of them."""
        html: str = import_module("onnxcost.render.notebook").report_html(self)
        return html
