"""The tables of a report as columns and cells, for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from onnxcost.conventions import FLOPS, MACS
from onnxcost.render.glyphs import Glyphs
from onnxcost.render.layout import Column
from onnxcost.render.units import binary, exact, shape, share, si
from onnxcost.render.view import Row, View, module_rows, node_rows, operator_rows
from onnxcost.report import CostReport


class Table(NamedTuple):
    """Columns, rows of as many cells, and a sentence on what was left out."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


class Context(NamedTuple):
    """What a cell needs to know besides its row."""

    report: CostReport
    view: View
    glyphs: Glyphs
    total: int


Field = tuple[Column, Callable[[Row, Context], str]]


def _bounded(row: Row, context: Context, text: str) -> str:
    if row.uncounted == row.nodes:
        return "?"
    return context.glyphs.at_least + text if row.uncounted else text


def padded_si(value: float) -> str:
    """A bare number leaves the room of a prefix, so that digits stand below digits."""
    text = si(value)
    return text if " " in text else text + "  "


def _si(row: Row, context: Context, value: int) -> str:
    return _bounded(row, context, padded_si(value))


def _binary(row: Row, context: Context, value: int) -> str:
    number, unit = binary(value).split()
    return _bounded(row, context, f"{number} {unit:>3}")


def _share(row: Row, context: Context) -> str:
    return "?" if row.uncounted == row.nodes else share(row.count, context.total)


def _bar(row: Row, context: Context) -> str:
    return str(row.count / context.total if context.total else 0)


def _operator(row: Row, context: Context) -> str:
    repeat = row.cost.node.repeat if row.cost else 1
    return f"{row.op_type} {context.glyphs.times}{repeat}" if repeat > 1 else row.op_type


def _output(row: Row, context: Context) -> str:
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
PARAMETERS: Field = (Column("Params", drop=3), lambda row, _: padded_si(row.parameters))
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


def _table(fields: Sequence[Field], rows: Sequence[Row], context: Context, note: str = "") -> Table:
    cells = [tuple(cell(row, context) for _, cell in fields) for row in rows]
    return Table(tuple(column for column, _ in fields), cells, note)


def _context(report: CostReport, view: View, glyphs: Glyphs) -> Context:
    return Context(report, view, glyphs, report.total(view.convention))


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
