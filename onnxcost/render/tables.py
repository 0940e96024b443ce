"""The nodes, operators and modules of a report as rows and tables. Formats differ only in how these are written."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import nlargest
from typing import Any, NamedTuple

from onnxcost.conventions import FLOPS, MACS, Convention
from onnxcost.costs import Group, NodeCost, Uncounted
from onnxcost.operators.traffic import NO_TRAFFIC, Traffic
from onnxcost.render.formats import C, R, Table, TableField, build_table
from onnxcost.render.layout import Column, Glyphs
from onnxcost.render.units import binary, exact, shape, share, si
from onnxcost.report import CostReport
from onnxcost.results import group_by


@dataclass(frozen=True, slots=True)
class View:
    """What to show: ``top`` nodes (None for all, 0 for no table) and a tree ``depth`` levels deep (None for no tree).

    ``has_groups`` says whether there is a table of operators, or of modules if there is a depth.
    ``sort`` is a name in SORTS; None sorts by the convention's number, most expensive first.
    """

    convention: Convention = FLOPS
    top: int | None = 10
    depth: int | None = None
    sort: str | None = None
    has_groups: bool = True

    @property
    def has_own_count(self) -> bool:
        """Whether the convention's number needs a column in addition to MACs and FLOPs."""
        return self.convention.name not in (FLOPS.name, MACS.name)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: a node, an operator or a module (then ``level`` deep, the outermost being 0).

    ``uncounted`` of its ``nodes`` are not in the sums; ``count`` is the chosen convention's number.
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
    def repeat(self) -> int:
        """How often a node runs in one inference; 1 for other rows."""
        return self.cost.node.repeat if self.cost else 1

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


def group_row(group: Group, label: str, op_type: str, view: View, level: int = 0) -> Row:
    """The row of a group of nodes."""
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
    """The sort key of the view; Python's sort is stable, so equal rows stay in execution order."""
    return SORTS[view.sort] if view.sort else lambda row: (-row.count, -row.flops)


def operator_rows(report: CostReport, view: View) -> list[Row]:
    """One row per operator."""
    rows = (group_row(group, ".".join(filter(None, group.key)), group.key[1], view) for group in report.by_operator())
    return sorted(rows, key=sort_key(view))


def node_name(cost: NodeCost) -> str:
    """The node's name; for one without, that of its first output."""
    output = cost.node.first_output
    return cost.node.name or (output.name if output else "")


def node_label(cost: NodeCost) -> str:
    """The node's name after its module, unless the name contains the module, as TorchScript's and TensorFlow's names do."""
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
    """One row per node, the first ``top`` of them."""
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

    It is in execution order, unless the view sorts.
    """
    return _branch(report.costs, 0, view if view.sort else replace(view, sort="order"))


def _branch(costs: Iterable[NodeCost], level: int, view: View) -> list[Row]:
    members = group_by(costs, lambda cost: cost.node.scope[: level + 1])
    if level > 0 and all(len(key) <= level for key in members):
        return []
    parts = []
    for key, inside in members.items():
        is_module = len(key) > level
        label = key[level] if is_module else OWN_NODES if level else NO_SCOPE
        parts.append((group_row(Group(key, tuple(inside)), label, "", view, level), inside if is_module else []))
    by = sort_key(view)
    branch = []
    for row, inside in sorted(parts, key=lambda part: by(part[0])):
        branch.append(row)
        if level + 1 < (view.depth or 1):
            branch += _branch(inside, level + 1, view)
    return branch


class ReportContext(NamedTuple):
    """What the cells of a table need in addition to their row."""

    glyphs: Glyphs
    total: int


Field = TableField[Row, ReportContext]


def _mark_bound(row: Row, context: ReportContext, text: str) -> str:
    if row.uncounted == row.nodes:
        return "?"
    return context.glyphs.at_least + text if row.uncounted else text


def pad_unit(text: str, width: int = 1) -> str:
    """A number with its unit, or spaces in its place, so that digits are aligned."""
    number, _, unit = text.partition(" ")
    return f"{number} {unit:>{width}}"


NODE: Field = (Column("Node", right=False, style="name", shrinks_to=14), lambda row, _: row.label)
OPERATOR: Field = (
    Column("Operator", right=False, shrinks_to=10),
    lambda row, context: row.op_type + (f" {context.glyphs.times}{row.repeat}" if row.repeat > 1 else ""),
)
OUTPUT: Field = (
    Column("Output", right=False, style="faint", shrinks_to=12, drop=3),
    lambda row, context: shape(row.cost.node.first_output if row.cost else None, context.glyphs.times),
)
GROUP: Field = (Column("Operator", right=False, style="name", shrinks_to=16), lambda row, _: row.label)
MODULE: Field = (Column("Module", right=False, style="name", shrinks_to=20), lambda row, _: "  " * row.level + row.label)
NODES: Field = (Column("Nodes", drop=1), lambda row, _: exact(row.nodes))
MACS_: Field = (Column("MACs", drop=2), lambda row, context: _mark_bound(row, context, pad_unit(si(row.macs))))
FLOPS_: Field = (Column("FLOPs"), lambda row, context: _mark_bound(row, context, pad_unit(si(row.flops))))
COUNT: Field = (Column("count"), lambda row, context: _mark_bound(row, context, pad_unit(si(row.count))))
PARAMETERS: Field = (Column("Params", drop=3), lambda row, _: pad_unit(si(row.parameters)))
TRAFFIC: Field = (
    Column("Traffic", drop=6),
    lambda row, context: _mark_bound(row, context, pad_unit(binary(row.traffic.total), 3)),
)
SHARE: Field = (Column("Share"), lambda row, context: "?" if row.uncounted == row.nodes else share(row.count, context.total))
BAR: Field = (
    Column("", style="bar", is_bar=True, drop=5),
    lambda row, context: str(row.count / context.total if context.total else 0),
)

TITLES_BY_SORT = {"traffic": "Traffic", "parameters": "Params", "macs": "MACs"}
AMOUNTS = (NODES, MACS_, FLOPS_, COUNT, PARAMETERS, TRAFFIC, SHARE, BAR)
"""The fields of a group of nodes after its name."""


def title_fields(view: View, fields: Iterable[Field]) -> list[Field]:
    """The fields under the convention's name, COUNT only if it has one; those of the order or the shares stay to the end."""
    named = {FLOPS.name: "FLOPs", MACS.name: "MACs"}.get(view.convention.name, view.convention.name)
    titles = {"count": named, "Share": f"of {named}"}
    needed = {named, TITLES_BY_SORT.get(view.sort or "")}
    return [
        (column._replace(title=titles.get(column.title, column.title), drop=0 if column.title in needed else column.drop), cell)
        for column, cell in fields
        if column.title != "count" or view.has_own_count
    ]


def group_table(report: CostReport, view: View, glyphs: Glyphs) -> Table:
    """One row per module if the view has a depth, indented below its parent; else one per operator.

    Operators that only move data share the note, unless the order is by what they do move.
    """
    note, context = "", ReportContext(glyphs, report.total(view.convention))
    if view.depth is not None:
        if all(not cost.node.scope for cost in report.costs):
            note = "No node of this model has the name of its module"
        return build_table(title_fields(view, (MODULE, *AMOUNTS)), module_rows(report, view), context, note)
    rows = operator_rows(report, view)
    idle = [] if view.sort == "traffic" else [row for row in rows if row.is_idle]
    if idle:
        named = ", ".join(f"{exact(row.nodes)} {row.label}" for row in sorted(idle, key=lambda row: -row.nodes))
        note = f"No arithmetic: {named}"
    return build_table(title_fields(view, (GROUP, *AMOUNTS)), [row for row in rows if row not in idle], context, note)


def node_table(report: CostReport, view: View, glyphs: Glyphs) -> Table:
    """The first ``view.top`` nodes; the header says how many of how many."""
    rows = node_rows(report, view)
    which = "First" if view.sort in ("order", "name") else "Top"
    node = top_field(NODE, len(rows), len(report.costs), which)
    parameters = (PARAMETERS[0]._replace(drop=5), PARAMETERS[1])
    fields = title_fields(view, (node, OPERATOR, OUTPUT, MACS_, FLOPS_, COUNT, parameters, TRAFFIC))
    return build_table([*fields, SHARE], rows, ReportContext(glyphs, report.total(view.convention)))


def top_field(field: TableField[R, C], shown: int, many: int, which: str) -> TableField[R, C]:
    """The field with a title that says how many of the nodes are shown, if these are not all."""
    title = f"{which} {exact(shown)} of {exact(many)} nodes" if shown < many else field[0].title
    return field[0]._replace(title=title), field[1]
