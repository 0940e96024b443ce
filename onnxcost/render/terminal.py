"""Reports and measurements as a person reads them in a terminal."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnxcost.render.escaping import plain, shortened
from onnxcost.render.glyphs import Glyphs
from onnxcost.render.layout import INDENT, Line, table, wrapped
from onnxcost.render.measured import batch_table, details, entries, where
from onnxcost.render.screen import Screen
from onnxcost.render.summary import Entry, conventions, dims, facts, not_counted, summary, tensors, title, types
from onnxcost.render.tables import Table, module_table, node_table, operator_table
from onnxcost.render.view import View
from onnxcost.report import CostReport

if TYPE_CHECKING:
    from onnxcost.measurement import Measurement

LABEL_WIDTH = 13
WIDEST_TENSOR = 32
BLANK: Line = ()


def report_lines(report: CostReport, view: View, screen: Screen) -> list[Line]:
    """The whole report: header, summary, what is not counted, the tables that the view asks for."""
    glyphs = screen.glyphs
    blocks = [header_lines(report, screen), _summary(report, view, screen), _not_counted(report, screen)]
    by = operator_table if view.depth is None else module_table
    blocks.append(table_lines(by(report, view, glyphs), screen))
    if view.top != 0:
        blocks.append(table_lines(node_table(report, view, glyphs), screen))
    return spaced(blocks)


def measurement_lines(measurement: Measurement, report: CostReport | None, screen: Screen) -> list[Line]:
    """Where and how the model was run, and what that took."""
    shown = entry_lines(entries(measurement, report, screen.glyphs), screen.width)
    return spaced([where_lines("Measured", measurement, screen), shown])


def batch_lines(measurements: Sequence[Measurement], screen: Screen) -> list[Line]:
    """Where the model was run, and a table of the batch sizes."""
    table_ = table_lines(batch_table(measurements, screen.glyphs), screen)
    return spaced([where_lines("Measured", measurements[0], screen, of_one=False), table_])


def not_measured_lines(reason: str, screen: Screen) -> list[Line]:
    """Why there is no measurement."""
    return [((part, "caution"),) for part in textwrap.wrap(plain(f"Not measured: {reason}"), screen.width)]


def spaced(blocks: Iterable[list[Line]]) -> list[Line]:
    """The blocks that have lines, a blank one between two of them."""
    lines: list[Line] = []
    for block in filter(None, blocks):
        lines += [BLANK, *block] if lines else block
    return lines


def where_lines(title: str, measurement: Measurement, screen: Screen, of_one: bool = True) -> list[Line]:
    """The title, what ran the model and how."""
    lines = _heading(title, plain(f" {screen.glyphs.dot} ".join(where(measurement))), screen.width)
    for detail in details(measurement, of_one):
        room = screen.width - LABEL_WIDTH - INDENT - len(",")
        pieces = [shortened(plain(piece), room, screen.glyphs.ellipsis) for piece in detail.pieces]
        lines += wrapped(_label(detail.label), pieces, ", ", screen.width, detail.style)
    return lines


def _label(text: str) -> Line:
    return (("  ", ""), (text.ljust(LABEL_WIDTH), "label"))


def header_lines(report: CostReport, screen: Screen) -> list[Line]:
    """The model, its inputs and outputs, and the dims that it leaves open."""
    graph, glyphs = report.graph, screen.glyphs
    lines = _heading(plain(title(graph)), plain(f" {glyphs.dot} ".join(facts(graph))), screen.width)
    for label, values in (("Input", graph.inputs), ("Output", graph.outputs)):
        lines += _tensors(label, tensors(values, glyphs), glyphs)
    for label, source, style in (("Given", "given", ""), ("Assumed", "assumed", "caution")):
        if pieces := [plain(piece) for piece in dims(graph, source)]:
            lines += wrapped(_label(label), pieces, ", ", screen.width, style)
    return lines


def _heading(name: str, about: str, width: int) -> list[Line]:
    """The name with the facts behind it, or below it where they do not fit."""
    if len(name) + 2 + len(about) <= width:
        return [((name, "title"), (f"  {about}", "faint"))]
    return [((name, "title"),), *(((f"  {part}", "faint"),) for part in textwrap.wrap(about, width - 2))]


def _tensors(label: str, values: list[tuple[str, str]], glyphs: Glyphs) -> list[Line]:
    wide = min(max((len(name) for name, text in values if text), default=0), WIDEST_TENSOR)
    return [
        (
            *_label("" if at else label),
            (shortened(plain(name), wide, glyphs.ellipsis).ljust(wide) + "  ", "name" if text else "faint"),
            (plain(text), ""),
        )
        for at, (name, text) in enumerate(values)
    ]


def _summary(report: CostReport, view: View, screen: Screen) -> list[Line]:
    lines = entry_lines(summary(report, view, screen.glyphs), screen.width)
    if each := types(report, view):
        lines += wrapped(_label("Types"), each, f" {screen.glyphs.dot} ", screen.width)
    if others := conventions(report, view, screen.glyphs):
        lines += wrapped(_label("Conventions"), others, f" {screen.glyphs.dot} ", screen.width)
    return lines


def entry_lines(shown: Sequence[Entry], width: int) -> list[Line]:
    """The entries, number below number and unit below unit."""
    numbers = max(len(entry.number) for entry in shown)
    units = max(len(entry.unit) for entry in shown)
    return [line for entry in shown for line in _entry(entry, numbers, units, width)]


def _entry(entry: Entry, numbers: int, units: int, width: int) -> list[Line]:
    value = f"{entry.number:>{numbers}} {entry.unit:<{units}}  "
    return wrapped((*_label(entry.label), (value, "number")), plain(entry.note).split(", "), ", ", width, "faint")


def _not_counted(report: CostReport, screen: Screen) -> list[Line]:
    lines = not_counted(report, screen.glyphs)
    if not lines:
        return []
    folded = [textwrap.wrap(plain(line), screen.width - 4, subsequent_indent="  ") for line in lines[1:]]
    return [((f"  {lines[0]}", "caution"),), *((("    " + part, ""),) for parts in folded for part in parts)]


def table_lines(content: Table, screen: Screen) -> list[Line]:
    """The table, and its note below it."""
    lines = table(content.columns, content.rows, screen.width, screen.glyphs) if content.rows else []
    return lines + _note(content.note, screen.width, screen.glyphs)


def _note(note: str, width: int, glyphs: Glyphs) -> list[Line]:
    if not note:
        return []
    parts = textwrap.wrap(plain(note), width - 2, max_lines=2, placeholder=f" {glyphs.ellipsis}", break_on_hyphens=False)
    return [((f"  {part}", "faint"),) for part in parts]
