"""The report as a person reads it in a terminal."""

from __future__ import annotations

import textwrap

from onnxcost.render.glyphs import Glyphs
from onnxcost.render.layout import Line, plain, shortened, table, wrapped
from onnxcost.render.screen import Screen
from onnxcost.render.summary import Entry, conventions, dims, facts, not_counted, summary, tensors, title, types
from onnxcost.render.tables import Table, module_table, node_table, operator_table
from onnxcost.render.view import View
from onnxcost.report import CostReport

LABEL_WIDTH = 13
WIDEST_TENSOR = 32
BLANK: Line = ()


def report_lines(report: CostReport, view: View, screen: Screen) -> list[Line]:
    """The whole report: header, summary, what is not counted, the tables that the view asks for."""
    glyphs = screen.glyphs
    blocks = [_header(report, screen), _summary(report, view, screen), _not_counted(report, screen)]
    by = operator_table if view.depth is None else module_table
    blocks.append(_table(by(report, view, glyphs), screen))
    if view.top != 0:
        blocks.append(_table(node_table(report, view, glyphs), screen))
    lines: list[Line] = []
    for block in filter(None, blocks):
        lines += [BLANK, *block] if lines else block
    return lines


def _label(text: str) -> Line:
    return (("  ", ""), (text.ljust(LABEL_WIDTH), "label"))


def _header(report: CostReport, screen: Screen) -> list[Line]:
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
    entries = summary(report, view, screen.glyphs)
    numbers = max(len(entry.number) for entry in entries)
    units = max(len(entry.unit) for entry in entries)
    lines = [line for entry in entries for line in _entry(entry, numbers, units, screen.width)]
    if each := types(report, view):
        lines += wrapped(_label("Types"), each, f" {screen.glyphs.dot} ", screen.width)
    if others := conventions(report, view, screen.glyphs):
        lines += wrapped(_label("Conventions"), others, f" {screen.glyphs.dot} ", screen.width)
    return lines


def _entry(entry: Entry, numbers: int, units: int, width: int) -> list[Line]:
    value = f"{entry.number:>{numbers}} {entry.unit:<{units}}  "
    return wrapped((*_label(entry.label), (value, "number")), plain(entry.note).split(", "), ", ", width, "faint")


def _not_counted(report: CostReport, screen: Screen) -> list[Line]:
    lines = not_counted(report, screen.glyphs)
    if not lines:
        return []
    folded = [textwrap.wrap(plain(line), screen.width - 4, subsequent_indent="  ") for line in lines[1:]]
    return [((f"  {lines[0]}", "caution"),), *((("    " + part, ""),) for parts in folded for part in parts)]


def _table(content: Table, screen: Screen) -> list[Line]:
    lines = table(content.columns, content.rows, screen.width, screen.glyphs) if content.rows else []
    return lines + _note(content.note, screen.width, screen.glyphs)


def _note(note: str, width: int, glyphs: Glyphs) -> list[Line]:
    if not note:
        return []
    parts = textwrap.wrap(plain(note), width - 2, max_lines=2, placeholder=f" {glyphs.ellipsis}", break_on_hyphens=False)
    return [((f"  {part}", "faint"),) for part in parts]
