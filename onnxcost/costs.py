"""The cost of each node, and sums over groups of nodes."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

from onnxcost.conventions import Convention
from onnxcost.graph import NO_WORK, Node, Work, record, sum_work
from onnxcost.operators.traffic import NO_TRAFFIC, Traffic
from onnxcost.results import group_by


@record(frozen=True, slots=True)
class Counted:
    """A node and its cost: ``once`` and ``traffic_once`` are those of one of its ``node.repeat`` executions.

    ``dtype`` is the type of the arithmetic; ``parameters`` are the elements of the weights that no earlier node reads.
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
        if self.once is NO_WORK and not convention.overrides:
            return 0
        return self.node.repeat * convention.number(self.node, self.once)


@dataclass(frozen=True, slots=True)
class Uncounted:
    """A node whose cost is unknown, and why."""

    node: Node
    reason: str
    parameters: int = 0


NodeCost = Counted | Uncounted


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
        return tuple([cost for cost in self.costs if isinstance(cost, Counted)])

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
        return sum_work([cost.work for cost in self.counted if cost.once is not NO_WORK])

    @cached_property
    def traffic(self) -> Traffic:
        """The traffic of the counted members."""
        moved = [cost.traffic for cost in self.counted if cost.traffic_once is not NO_TRAFFIC]
        return Traffic(sum([each.read_bytes for each in moved]), sum([each.write_bytes for each in moved]))

    def total(self, convention: Convention) -> int:
        """The sum of the counted nodes under a convention: a lower bound unless ``complete``."""
        rules = [convention.overrides[key] for key in self._operators if key in convention.overrides]
        if not rules:
            return self.work.dot(convention.weights)
        if len(self._operators) > 1:
            return sum([cost.count(convention) for cost in self.counted])
        ((_, number, weights),) = rules
        if weights is not None:
            return self.work.dot(weights)
        return sum([cost.node.repeat * number(cost.node, cost.once) for cost in self.counted])

    @cached_property
    def _operators(self) -> frozenset[str]:
        return frozenset({cost.node.key for cost in self.costs})


def group_costs(costs: Iterable[NodeCost], key: Callable[[NodeCost], tuple[str, ...]]) -> tuple[Group, ...]:
    """The costs by key, in the order in which the keys first appear."""
    return tuple(Group(name, tuple(members)) for name, members in group_by(costs, key).items())
