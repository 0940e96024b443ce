"""The operators and the layers in which two models differ, as tables for the terminal and for Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxcost.comparison.alignment import Pair
from onnxcost.comparison.candidates import CostedNode, CostedOperator
from onnxcost.comparison.differences import Differences, OperatorDifference, more
from onnxcost.render.escaping import shortened
from onnxcost.render.figures import aligned, signed
from onnxcost.render.glyphs import Glyphs, spelled
from onnxcost.render.layout import Column
from onnxcost.render.tables import Table
from onnxcost.render.units import exact, plural, si

MOST_LAYERS = 10
TITLES: Mapping[str, str] = {"flops": "FLOPs", "macs": "MACs"}
"""Of conventions; others have their name."""


def _arrow(left: str, right: str) -> str:
    return left if left == right else f"{left} → {right}"


def _is_idle(each: OperatorDifference) -> bool:
    both = (each.left, each.right)
    return not any(one.count or one.parameters or one.uncounted for one in both)


def _is_different(each: OperatorDifference) -> bool:
    return bool(each.left.nodes != each.right.nodes or each.count or each.parameters or each.traffic)


def operator_table(differences: Differences, convention: str, glyphs: Glyphs) -> Table:
    """One row an operator that differs; those without arithmetic, and those that do not differ, share the note."""
    named = TITLES.get(convention, convention)
    columns = (
        Column("Operator", right=False, style="name", shrinks_to=16),
        Column("Nodes"),
        Column(named, drop=2),
        Column(f"± {named}"),
        Column("± Params", drop=3),
        Column("± Traffic"),
    )
    different = [each for each in differences.operators if _is_different(each)]
    shown = [each for each in different if not _is_idle(each)]
    rows = [
        (
            each.operator,
            _arrow(exact(each.left.nodes), exact(each.right.nodes)),
            _arrow(_count(each.left, glyphs), _count(each.right, glyphs)),
            signed(each.count),
            signed(each.parameters),
            signed(each.traffic, "bytes"),
        )
        for each in shown
    ]
    return lined_up(columns, rows, _idle_note(different), glyphs)


def _count(operator: CostedOperator, glyphs: Glyphs) -> str:
    if operator.uncounted and operator.uncounted == operator.nodes:
        return "?"
    return (glyphs.at_least if operator.uncounted else "") + si(operator.count)


def _idle_note(different: Sequence[OperatorDifference]) -> str:
    idle = [
        f"{each.operator} {_arrow(exact(each.left.nodes), exact(each.right.nodes))}"
        + (f" ({signed(each.traffic, 'bytes')})" if each.traffic else "")
        for each in different
        if _is_idle(each)
    ]
    return f"No arithmetic: {', '.join(idle)}" if idle else ""


def lined_up(columns: Sequence[Column], rows: Sequence[Sequence[str]], note: str, glyphs: Glyphs) -> Table:
    """The table with number below number in each column to the right."""
    by_column = [
        aligned([row[at] for row in rows]) if column.right else [row[at] for row in rows] for at, column in enumerate(columns)
    ]
    titled = tuple(column._replace(title=spelled(column.title, glyphs)) for column in columns)
    cells = [tuple(spelled(cell, glyphs) for cell in row) for row in zip(*by_column, strict=True)]
    return Table(titled, cells, spelled(note, glyphs))


def layer_table(differences: Differences, convention: str, glyphs: Glyphs) -> Table:
    """The layers whose MACs differ, up to MOST_LAYERS."""
    named = TITLES.get(convention, convention)
    columns = (
        Column("Layer", right=False, style="name", shrinks_to=14),
        Column(f"in {shortened(differences.right.label, 20)}", right=False, style="name", shrinks_to=14, drop=4),
        Column("Output", right=False, style="faint", drop=3),
        Column("MACs"),
        Column(f"± {named}"),
    )
    shown, rest = differences.layers[:MOST_LAYERS], differences.layers[MOST_LAYERS:]
    rows = [
        (
            _layer_name(pair),
            _name(pair.right),
            _arrow(_shape(pair.left or pair.right), _shape(pair.right or pair.left)),
            _arrow(*(si(node.macs if node else 0) for node in pair)),
            signed(more(pair)),
        )
        for pair in shown
    ]
    what = f"{signed(sum(map(more, rest)))} {named} (--format json has them all)"
    return lined_up(columns, rows, f"and {plural(len(rest), 'more layer')}, {what}" if rest else "", glyphs)


def _layer_name(pair: Pair) -> str:
    """The name in the left graph; with a sign for a layer that only one of the two has."""
    if pair.left is None:
        return f"+ {_name(pair.right)}"
    return _name(pair.left) if pair.right else f"− {_name(pair.left)}"


def _name(node: CostedNode | None) -> str:
    return node.name if node else "–"


def _shape(node: CostedNode | None) -> str:
    return ("×".join(str(dim) for dim in node.output if dim != 1) or "1") if node else "–"
