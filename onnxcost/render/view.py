"""What every format shows of a report: the rows of its tables, sorted and cut. Formats differ only in how they write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Any

from onnxcost.conventions import CONVENTIONS, FLOPS, MACS, Convention
from onnxcost.report import CostReport, Group, NodeCost, Uncounted
from onnxcost.traffic import NO_TRAFFIC, Traffic


@dataclass(frozen=True, slots=True)
class View:
    """What to show: ``top`` nodes (None for all, 0 for no table) and a tree ``depth`` levels deep (None for no tree).

    ``sort`` is a name in SORTS; None sorts by the convention's number, dearest first.
    """

    convention: Convention = FLOPS
    top: int | None = 10
    depth: int | None = None
    sort: str | None = None

    @property
    def has_own_count(self) -> bool:
        """Whether the convention's number needs a column of its own beside MACs and FLOPs."""
        return self.convention.name not in (FLOPS.name, MACS.name)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a node, an operator or a module (then ``level`` deep, the outermost being 0).

    ``nodes`` of it, of which ``uncounted`` are in none of the sums; ``count`` is the chosen convention's number.
    """

    label: str
    op_type: str
    nodes: int
    uncounted: int
    macs: int
    flops: int
    count: int
    parameters: int
    traffic: Traffic
    cost: NodeCost | None = None
    level: int = 0

    @property
    def is_idle(self) -> bool:
        """Whether it is counted, does no arithmetic and holds no parameters."""
        return not (self.uncounted or self.macs or self.flops or self.count or self.parameters)


SORTS: Mapping[str, Callable[[Row], Any]] = {
    "flops": lambda row: -row.flops,
    "macs": lambda row: -row.macs,
    "parameters": lambda row: -row.parameters,
    "traffic": lambda row: -row.traffic.total,
    "nodes": lambda row: -row.nodes,
    "name": lambda row: row.label,
    "order": lambda row: 0,
}
"""The orders of the tables; ``order`` is that of execution, which the stable sort keeps."""


def _row(group: Group, label: str, op_type: str, view: View, level: int = 0) -> Row:
    counted = group.counted
    macs, flops = group.total(MACS), group.total(FLOPS)
    return Row(
        label,
        op_type,
        nodes=len(group.costs),
        uncounted=len(group.costs) - len(counted),
        macs=macs,
        flops=flops,
        count=group.total(view.convention) if view.has_own_count else macs if view.convention.name == MACS.name else flops,
        parameters=group.parameters,
        traffic=group.traffic,
        level=level,
    )


def sort_key(view: View) -> Callable[[Row], Any]:
    """What the view sorts by; Python's sort is stable, so equals stay in execution order."""
    return SORTS[view.sort] if view.sort else lambda row: (-row.count, -row.flops)


def operator_rows(report: CostReport, view: View) -> list[Row]:
    """One row an operator."""
    rows = (_row(group, ".".join(filter(None, group.key)), group.key[1], view) for group in report.by_operator())
    return sorted(rows, key=sort_key(view))


def node_name(cost: NodeCost) -> str:
    """The node's name; for one without, that of its first output."""
    return cost.node.name or next((tensor.name for tensor in cost.node.outputs if tensor is not None), "")


def node_label(cost: NodeCost) -> str:
    """The node's name behind its module, unless the name has the module in it, as TorchScript's and TensorFlow's names do."""
    name, scope = node_name(cost), cost.node.scope
    return name if not scope or scope[-1] in name.split("/") else "/".join((*scope, name))


def _node_row(cost: NodeCost, view: View) -> Row:
    node, name = cost.node, node_label(cost)
    if isinstance(cost, Uncounted):
        return Row(name, node.key, 1, 1, 0, 0, 0, cost.parameters, NO_TRAFFIC, cost)
    macs, flops = cost.count(MACS), cost.count(FLOPS)
    own = cost.count(view.convention) if view.has_own_count else macs if view.convention.name == MACS.name else flops
    return Row(name, node.key, 1, 0, macs, flops, own, cost.parameters, cost.traffic, cost)


def node_rows(report: CostReport, view: View) -> list[Row]:
    """One row a node, the first ``top`` of them."""
    if view.sort or view.top is None:
        return sorted((_node_row(cost, view) for cost in report.costs), key=sort_key(view))[: view.top]

    def counts(cost: NodeCost) -> tuple[int, ...]:
        if isinstance(cost, Uncounted):
            return (0, 0)
        return (cost.count(view.convention), cost.count(FLOPS)) if view.convention.name != FLOPS.name else (cost.count(FLOPS),)

    return [_node_row(cost, view) for cost in nlargest(view.top, report.costs, counts)]


NO_SCOPE = "(no module)"
OWN_NODES = "(own nodes)"


def module_rows(report: CostReport, view: View) -> list[Row]:
    """A tree by module scope, ``depth`` levels deep, each module followed by its parts; ``label`` is the module's own name.

    It keeps the order of execution, which is how a model is read, unless the view sorts.
    """
    return _branch(report.costs, 0, view if view.sort else replace(view, sort="order"))


def _branch(costs: Iterable[NodeCost], level: int, view: View) -> list[Row]:
    members: dict[tuple[str, ...], list[NodeCost]] = {}
    for cost in costs:
        members.setdefault(cost.node.scope[: level + 1], []).append(cost)
    if level > 0 and all(len(key) <= level for key in members):
        return []
    parts = []
    for key, inside in members.items():
        is_module = len(key) > level
        label = key[level] if is_module else OWN_NODES if level else NO_SCOPE
        parts.append((_row(Group(key, tuple(inside)), label, "", view, level), inside if is_module else []))
    by = sort_key(view)
    branch = []
    for row, inside in sorted(parts, key=lambda part: by(part[0])):
        branch.append(row)
        if level + 1 < (view.depth or 1):
            branch += _branch(inside, level + 1, view)
    return branch


def reasons(report: CostReport) -> list[tuple[int, str, str]]:
    """(how many, operator, reason) of what is not counted, the most frequent first."""
    groups: dict[tuple[str, str], int] = {}
    for cost in report.uncounted:
        key = (cost.node.key, cost.reason)
        groups[key] = groups.get(key, 0) + 1
    return sorted(((number, *key) for key, number in groups.items()), key=lambda entry: -entry[0])


def other_conventions(report: CostReport, view: View) -> list[tuple[str, int]]:
    """(name, total) under each convention that the summary does not show already."""
    shown = {FLOPS.name, MACS.name, view.convention.name}
    return [(name, report.total(convention)) for name, convention in CONVENTIONS.items() if name not in shown]
