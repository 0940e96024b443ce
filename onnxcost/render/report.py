"""A report as rows, tables and labeled figures, for every format. Formats differ only in how they write them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from heapq import nlargest
from pathlib import PurePath
from typing import Any, NamedTuple

from onnxcost.conventions import CONVENTIONS, FLOPS, MACS, Convention
from onnxcost.graph import Graph, Tensor
from onnxcost.operators.traffic import NO_TRAFFIC, Traffic
from onnxcost.render.layout import Column, Glyphs
from onnxcost.render.units import binary, count_text, exact, plural, ratio, shape, share, si
from onnxcost.report import CostReport, Group, NodeCost, Uncounted


@dataclass(frozen=True, slots=True)
class View:
    """What to show: ``top`` nodes (None for all, 0 for no table) and a tree ``depth`` levels deep (None for no tree).

    ``has_groups`` says whether there is a table of operators, or of modules where there is a depth.
    ``sort`` is a name in SORTS; None sorts by the convention's number, most expensive first.
    """

    convention: Convention = FLOPS
    top: int | None = 10
    depth: int | None = None
    sort: str | None = None
    has_groups: bool = True

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


MOST_TENSORS = 6
MOST_REASONS = 8


class Entry(NamedTuple):
    """One line of the summary: ``number`` and ``unit`` apart, so that they can be aligned, and a ``note`` behind them."""

    label: str
    number: str
    unit: str = ""
    note: str = ""


def model_title(graph: Graph) -> str:
    """The file's name; the graph's for a model that came from no file."""
    return PurePath(graph.path).name or graph.name or "model"


def model_facts(graph: Graph) -> list[str]:
    """What is known about the model before anything is counted: graph, producer, opsets, size of the file."""
    used = {node.domain for node in graph.nodes}
    opsets = [f"{domain or 'opset'} {version}" for domain, version in sorted(graph.opsets.items()) if domain in used]
    name = graph.name if graph.path else ""
    size = f"{binary(graph.file_bytes)} file" if graph.file_bytes else ""
    return [fact for fact in (name, graph.producer, ", ".join(opsets), size) if fact]


def tensor_texts(values: Iterable[Tensor], glyphs: Glyphs) -> list[tuple[str, str]]:
    """(name, dtype and shape) of the first few; a last pair says how many more there are."""
    all_values = list(values)
    listed = all_values if len(all_values) <= MOST_TENSORS + 1 else all_values[:MOST_TENSORS]
    lines = [(tensor.name, f"{tensor.dtype} {shape(tensor, glyphs.times)}") for tensor in listed]
    return lines + ([(f"and {len(all_values) - len(listed)} more", "")] if len(listed) < len(all_values) else [])


def dim_texts(graph: Graph, source: str) -> list[str]:
    """The open dims that were given, derived or assumed, ``batch = 1``, with why; an assumed one with what changes it."""
    return [
        f"{dim.name} = {dim.value}" + (f" ({', '.join(filter(None, notes))})" if any(notes) else "")
        for dim in graph.dims
        if dim.source == source
        for notes in [(dim.reason, dim.option if source == "assumed" else "")]
    ]


def quantity_entry(label: str, text: str, note: str = "", *, bound: str = "") -> Entry:
    """An entry of a number with its unit, ``97.49 MiB``."""
    number, _, unit = text.partition(" ")
    return Entry(label, bound + number, unit, note)


def _weights_note(report: CostReport) -> str:
    by_dtype = report.memory.weight_bytes_by_dtype
    if len(by_dtype) == 1:
        return next(iter(by_dtype))
    largest_first = sorted(by_dtype.items(), key=lambda item: -item[1])
    return ", ".join(f"{dtype} {binary(size)}" for dtype, size in largest_first)


def _peak(peak: int | None, bound: str) -> Entry:
    if peak is None:
        return Entry("Activations", "unknown", "", "while a shape is open")
    return quantity_entry("Activations", binary(peak), "at peak", bound=bound)


def _nodes(report: CostReport) -> Entry:
    uncounted = len(report.uncounted)
    counted = f"{exact(len(report.costs) - uncounted)} counted, {exact(uncounted)} not" if uncounted else "all counted"
    return Entry("Nodes", exact(len(report.costs)), "", counted)


def _count_entry(name: str, report: CostReport, convention: Convention, glyphs: Glyphs) -> Entry:
    total, bound = report.total(convention), glyphs.bound(report.bound_of(convention))
    return quantity_entry(name, si(total), (bound.strip() + " " if bound else "") + exact(total), bound=bound)


def summary_entries(report: CostReport, view: View, glyphs: Glyphs) -> list[Entry]:
    """The totals. What is no exact number but a bound says so: while a node is uncounted, or data decides a shape."""
    memory, traffic = report.memory, report.whole.traffic
    bound = glyphs.bound(report.bound)
    stored = "" if report.has_all_weights else glyphs.at_least
    own = [(view.convention.name, view.convention)] if view.has_own_count else []
    statistics = f", and {exact(memory.running_statistics)} running statistics" if memory.running_statistics else ""
    statistics += f", and {exact(memory.buffers)} in buffers" if memory.buffers else ""
    return [
        *(_count_entry(name, report, convention, glyphs) for name, convention in (("MACs", MACS), ("FLOPs", FLOPS), *own)),
        quantity_entry("Parameters", si(memory.parameters), stored + exact(memory.parameters) + statistics, bound=stored),
        quantity_entry("Weights", binary(memory.weight_bytes), _weights_note(report), bound=stored),
        _peak(memory.peak_activation_bytes, bound),
        quantity_entry(
            "Traffic",
            binary(traffic.total),
            f"{binary(traffic.read_bytes)} read, {binary(traffic.write_bytes)} written",
            bound=bound,
        ),
        quantity_entry(
            "Intensity", ratio(report.intensity), "FLOPs per byte" + ("" if report.whole.complete else ", of the counted nodes")
        ),
        _nodes(report),
    ]


def convention_texts(report: CostReport, view: View, glyphs: Glyphs, *, has_units: bool = False) -> list[str]:
    """The same model under the other conventions, ``torch 8.178 G``, or with what is counted, ``torch 8.178 GFLOPs``."""
    texts = []
    for name, total in other_conventions(report, view):
        bound = glyphs.bound(report.bound_of(CONVENTIONS[name]))
        texts.append(f"{name} {bound}{count_text(total, CONVENTIONS[name].unit) if has_units else si(total)}")
    return texts


def type_texts(report: CostReport, view: View) -> list[str]:
    """The convention's number by the type it is computed in, ``int8 3.629 G``; nothing where float32 has (nearly) all."""
    counts = {group.key[0]: group.total(view.convention) for group in report.by_dtype()}
    total = sum(counts.values())
    shown = sorted(((count, dtype) for dtype, count in counts.items() if 1000 * count > total), reverse=True)
    return [f"{dtype} {si(count)}" for count, dtype in shown] if {dtype for _, dtype in shown} - {"float32"} else []


def describe_uncounted(report: CostReport, glyphs: Glyphs) -> list[str]:
    """A sentence, then one line for each operator and reason; nothing where all was counted."""
    if report.whole.complete:
        return []
    found = reasons(report)
    lines = [f"{number} {glyphs.times} {op_type}: {reason}" for number, op_type, reason in found[:MOST_REASONS]]
    more = (
        [f"and {plural(len(found) - MOST_REASONS, 'more reason')} (--format json has them all)"] if found[MOST_REASONS:] else []
    )
    which = f"{exact(len(report.uncounted))} of {plural(len(report.costs), 'node')}"
    so = "so every total is a lower bound" if report.bound == "lower" else "and in no total"
    return [f"Not counted: {which}, {so}", *lines, *more]


class Table(NamedTuple):
    """Columns, rows of as many cells, and a sentence on what was left out."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


class ReportContext(NamedTuple):
    """What a cell needs to know besides its row."""

    report: CostReport
    view: View
    glyphs: Glyphs
    total: int


Field = tuple[Column, Callable[[Row, ReportContext], str]]


def _mark_bound(row: Row, context: ReportContext, text: str) -> str:
    if row.uncounted == row.nodes:
        return "?"
    return context.glyphs.at_least + text if row.uncounted else text


def pad_si(value: float) -> str:
    """A bare number leaves the room of a prefix, so that digits stand below digits."""
    text = si(value)
    return text if " " in text else text + "  "


def _si(row: Row, context: ReportContext, value: int) -> str:
    return _mark_bound(row, context, pad_si(value))


def _binary(row: Row, context: ReportContext, value: int) -> str:
    number, unit = binary(value).split()
    return _mark_bound(row, context, f"{number} {unit:>3}")


def _share(row: Row, context: ReportContext) -> str:
    return "?" if row.uncounted == row.nodes else share(row.count, context.total)


def _bar(row: Row, context: ReportContext) -> str:
    return str(row.count / context.total if context.total else 0)


def _operator(row: Row, context: ReportContext) -> str:
    repeat = row.cost.node.repeat if row.cost else 1
    return f"{row.op_type} {context.glyphs.times}{repeat}" if repeat > 1 else row.op_type


def _output(row: Row, context: ReportContext) -> str:
    outputs = row.cost.node.outputs if row.cost else ()
    return shape(next((tensor for tensor in outputs if tensor is not None), None), context.glyphs.times)


NODE: Field = (Column("Node", right=False, style="name", shrinks_to=14), lambda row, _: row.label)
OPERATOR: Field = (Column("Operator", right=False, shrinks_to=10), _operator)
OUTPUT: Field = (Column("Output", right=False, style="faint", shrinks_to=12, drop=3), _output)
GROUP: Field = (Column("Operator", right=False, style="name", shrinks_to=16), lambda row, _: row.label)
MODULE: Field = (Column("Module", right=False, style="name", shrinks_to=20), lambda row, _: "  " * row.level + row.label)
NODES: Field = (Column("Nodes", drop=1), lambda row, _: exact(row.nodes))
MACS_: Field = (Column("MACs", drop=2), lambda row, context: _si(row, context, row.macs))
FLOPS_: Field = (Column("FLOPs"), lambda row, context: _si(row, context, row.flops))
COUNT: Field = (Column("count"), lambda row, context: _si(row, context, row.count))
PARAMETERS: Field = (Column("Params", drop=3), lambda row, _: pad_si(row.parameters))
TRAFFIC: Field = (Column("Traffic", drop=6), lambda row, context: _binary(row, context, row.traffic.total))
SHARE: Field = (Column("Share"), _share)
BAR: Field = (Column("", style="bar", is_bar=True, drop=5), _bar)

TITLES_BY_SORT = {"traffic": "Traffic", "parameters": "Params", "macs": "MACs"}


def _fields(view: View, fields: Sequence[Field | None]) -> list[Field]:
    """The fields under the convention's name; those that the order or the shares are by never drop."""
    named = {FLOPS.name: "FLOPs", MACS.name: "MACs"}.get(view.convention.name, view.convention.name)
    titles = {"count": named, "Share": f"of {named}"}
    needed = {named, TITLES_BY_SORT.get(view.sort or "")}
    return [
        (column._replace(title=titles.get(column.title, column.title), drop=0 if column.title in needed else column.drop), cell)
        for column, cell in filter(None, fields)
    ]


def _table(fields: Sequence[Field], rows: Sequence[Row], context: ReportContext, note: str = "") -> Table:
    cells = [tuple(cell(row, context) for _, cell in fields) for row in rows]
    return Table(tuple(column for column, _ in fields), cells, note)


def _context(report: CostReport, view: View, glyphs: Glyphs) -> ReportContext:
    return ReportContext(report, view, glyphs, report.total(view.convention))


def operator_table(report: CostReport, view: View, glyphs: Glyphs) -> Table:
    """One row an operator; those that only move data share the note, unless the order is by what they do move."""
    rows = operator_rows(report, view)
    idle = [] if view.sort == "traffic" else [row for row in rows if row.is_idle]
    own = COUNT if view.has_own_count else None
    fields = _fields(view, [GROUP, NODES, MACS_, FLOPS_, own, PARAMETERS, TRAFFIC, SHARE, BAR])
    named = ", ".join(f"{exact(row.nodes)} {row.label}" for row in sorted(idle, key=lambda row: -row.nodes))
    note = f"No arithmetic: {named}" if idle else ""
    return _table(fields, [row for row in rows if row not in idle], _context(report, view, glyphs), note)


def module_table(report: CostReport, view: View, glyphs: Glyphs) -> Table:
    """The tree by module scope, each module indented below its parent."""
    own = COUNT if view.has_own_count else None
    fields = _fields(view, [MODULE, NODES, MACS_, FLOPS_, own, PARAMETERS, TRAFFIC, SHARE, BAR])
    rows = module_rows(report, view)
    no_scope = all(not cost.node.scope for cost in report.costs)
    note = "No node of this model names the module that it comes from" if no_scope else ""
    context = _context(report, view, glyphs)
    return _table(fields, rows, context, note)


def node_table(report: CostReport, view: View, glyphs: Glyphs) -> Table:
    """The first ``view.top`` nodes; the header says how many of how many."""
    rows = node_rows(report, view)
    own = COUNT if view.has_own_count else None
    which = "First" if view.sort in ("order", "name") else "Top"
    heading = f"{which} {exact(len(rows))} of {exact(len(report.costs))} nodes" if len(rows) < len(report.costs) else "Node"
    node = (NODE[0]._replace(title=heading), NODE[1])
    parameters = (PARAMETERS[0]._replace(drop=5), PARAMETERS[1])
    fields = _fields(view, [node, OPERATOR, OUTPUT, MACS_, FLOPS_, own, parameters, TRAFFIC])
    return _table([*fields, SHARE], rows, _context(report, view, glyphs))
