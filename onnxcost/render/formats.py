"""What the results share: titles, labeled figures, tables and the writers of text, Markdown, CSV, JSON and HTML."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from math import nan
from pathlib import PurePath
from typing import Any, NamedTuple, TypeVar

from onnxcost.documents import to_json
from onnxcost.graph import Graph, Tensor
from onnxcost.render.escaping import LONGEST_WORD, cell, html, markdown, plain, shorten
from onnxcost.render.layout import (
    GAP,
    INDENT,
    LEAST_NAME,
    UNICODE,
    Column,
    Glyphs,
    Line,
    Screen,
    StyledText,
    crop,
    pad,
    table,
    text_width,
    wrap,
    wrap_pieces,
)
from onnxcost.render.units import binary, shape
from onnxcost.report import CostReport


class Entry(NamedTuple):
    """One line of the summary: ``number`` and ``unit`` are separate, so that they can be aligned; a ``note`` follows."""

    label: str
    number: str
    unit: str = ""
    note: str = ""


R = TypeVar("R")
C = TypeVar("C")
TableField = tuple[Column, Callable[[R, C], str]]
"""A column, and a function from the row and the table's context to the text of a cell."""


class Table(NamedTuple):
    """Columns, rows with a cell for each, and a sentence on what was left out."""

    columns: tuple[Column, ...]
    rows: list[tuple[str, ...]]
    note: str = ""


def build_table(fields: Sequence[TableField[R, C]], rows: Iterable[R], context: C, note: str = "") -> Table:
    """The fields of the rows as text."""
    cells = [tuple(cell(row, context) for _, cell in fields) for row in rows]
    return Table(tuple(column for column, _ in fields), cells, note)


MOST_TENSORS = 6


def model_title(graph: Graph) -> str:
    """The file's name; the graph's for a model that came from no file."""
    return PurePath(graph.path).name or graph.name or "model"


def model_facts(graph: Graph) -> list[str]:
    """The facts about the model that need no counting: graph, producer, opsets, size of the file."""
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
    """The open dims that were given, derived or assumed, ``batch = 1``, with the reason; an assumed one with the option that
    sets it.
    """
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


def markdown_table(titles: Sequence[str], right: Sequence[bool], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose cells are escaped here."""
    lines = [list(map(markdown, titles)), ["---:" if is_right else "---" for is_right in right]]
    lines += [[markdown(shorten(cell, LONGEST_WORD)) for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def header_markdown(report: CostReport) -> str:
    """The model, its inputs and outputs, and the dims that it leaves open."""
    return join_blocks(header_blocks(report))


def join_blocks(blocks: Iterable[list[str]]) -> str:
    """The blocks that are not empty, separated by blank lines."""
    return "\n\n".join("\n".join(block) for block in blocks if any(block)) + "\n"


def header_blocks(report: CostReport) -> list[list[str]]:
    """The blocks of Markdown of ``header_markdown``."""
    return [
        [f"## {markdown(model_title(report.graph))}"],
        [markdown(" · ".join(model_facts(report.graph)))],
        _interface(report),
    ]


def _interface(report: CostReport) -> list[str]:
    graph = report.graph
    lines = [
        f"- {label} {markdown(' '.join(filter(None, pair)))}"
        for label, values in (("input", graph.inputs), ("output", graph.outputs))
        for pair in tensor_texts(values, UNICODE)
    ]
    return lines + [
        f"- {source}: {markdown(', '.join(pieces))}"
        for source in ("given", "derived", "assumed")
        if (pieces := dim_texts(graph, source))
    ]


def entries_markdown(title: str, shown: Iterable[Entry]) -> list[str]:
    """Labeled numbers as a table."""
    rows = [(entry.label, f"{entry.number} {entry.unit}", entry.note) for entry in shown]
    return markdown_table(["", title, ""], [False, True, False], rows)


def table_markdown(content: Table) -> list[str]:
    """The table without its bars, its note below it."""
    kept = [at for at, column in enumerate(content.columns) if not column.is_bar]
    # Numbers lose their padding; the indentation of text becomes no-break spaces, which Markdown keeps.
    rows = [
        [" ".join(row[at].split()) if content.columns[at].right else row[at].replace("  ", "\u00a0" * 4) for at in kept]
        for row in content.rows
    ]
    titles = [content.columns[at].title for at in kept]
    note = ["", markdown(content.note)] if content.note else []
    return markdown_table(titles, [content.columns[at].right for at in kept], rows) + note


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The lines, quoted where needed; None is an empty cell. A text that a spreadsheet would run gets a leading ``'``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([*map(cell, row)] for row in (header, *rows))
    return out.getvalue()


def dumps(document: Mapping[str, Any]) -> str:
    """JSON text in ASCII with one line for each key, and for each entry of a list of records: it diffs and greps well."""
    return _lines(document, "") + "\n"


def _lines(document: Mapping[str, Any], indent: str) -> str:
    keys = (f"{indent}  {to_json(key)}: {_value(value, indent + '  ')}" for key, value in document.items())
    return "{\n" + ",\n".join(keys) + f"\n{indent}}}"


def _value(value: Any, indent: str) -> str:
    if _has_records(value):
        return f"[\n{indent}  " + f",\n{indent}  ".join(_encode_each(value)) + f"\n{indent}]"
    if isinstance(value, dict) and any(map(_has_records, value.values())):
        return _lines(value, indent)
    return to_json(value)


def _encode_each(entries: list[Any]) -> list[str]:
    """The JSON of each, with one call of json, which takes half the time. Its separator of entries may also occur in a string:
    then there are too many parts.
    """
    text = to_json([each for entry in entries for each in (entry, nan)])
    found = text[1:].split(", NaN, ")
    found[-1] = found[-1].removesuffix(", NaN]")
    return found if len(found) == len(entries) else list(map(to_json, entries))


def _has_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


LABEL_WIDTH = 13
WIDEST_TENSOR = 32
BLANK: Line = ()


def space_blocks(blocks: Iterable[list[Line]]) -> list[Line]:
    """The blocks that have lines, separated by blank ones."""
    lines: list[Line] = []
    for block in filter(None, blocks):
        lines += [BLANK, *block] if lines else block
    return lines


def label_of(text: str) -> Line:
    """A label, padded to the width of all labels."""
    return (("  ", ""), (text.ljust(LABEL_WIDTH), "label"))


def header_lines(report: CostReport, screen: Screen) -> list[Line]:
    """The model, its inputs and outputs, and the dims that it leaves open."""
    graph, glyphs = report.graph, screen.glyphs
    lines = heading_lines(plain(model_title(graph)), plain(f" {glyphs.dot} ".join(model_facts(graph))), screen.width)
    for label, values in (("Input", graph.inputs), ("Output", graph.outputs)):
        lines += _tensors(label, tensor_texts(values, glyphs), screen)
    for label, source, style in (("Given", "given", ""), ("Derived", "derived", ""), ("Assumed", "assumed", "caution")):
        if pieces := [plain(piece) for piece in dim_texts(graph, source)]:
            lines += wrap_pieces(label_of(label), pieces, ", ", screen.width, style)
    return lines


def heading_lines(name: str, about: str, width: int) -> list[Line]:
    """The name followed by the facts, which are below it if they do not fit."""
    if text_width(name) + 2 + text_width(about) <= width:
        return [((name, "title"), (f"  {about}", "faint"))]
    return [((name, "title"),), *(((f"  {part}", "faint"),) for part in wrap(about, width - 2))]


def _tensors(label: str, values: list[tuple[str, str]], screen: Screen) -> list[Line]:
    room = screen.width - INDENT - LABEL_WIDTH - GAP - max((text_width(text) for _, text in values), default=0)
    names = (text_width(plain(name)) for name, text in values if text)
    wide = min(max(names, default=0), WIDEST_TENSOR, max(room, LEAST_NAME))
    return [
        (
            *label_of("" if at else label),
            (
                pad(crop(plain(name), wide if text else WIDEST_TENSOR, screen.glyphs.ellipsis), wide) + "  ",
                "name" if text else "faint",
            ),
            (plain(text), ""),
        )
        for at, (name, text) in enumerate(values)
    ]


def entry_lines(shown: Sequence[Entry], width: int) -> list[Line]:
    """The entries, with numbers and units aligned."""
    numbers = max(len(entry.number) for entry in shown)
    units = max(len(entry.unit) for entry in shown)
    lines = []
    for entry in shown:
        start = (*label_of(entry.label), (f"{entry.number:>{numbers}} {entry.unit:<{units}}  ", "number"))
        lines += wrap_pieces(start, plain(entry.note).split(", "), ", ", width, "faint")
    return lines


def table_lines(content: Table, screen: Screen) -> list[Line]:
    """The table, and its note below it."""
    lines = table(content.columns, content.rows, screen.width, screen.glyphs) if content.rows else []
    parts = wrap(plain(content.note), screen.width - INDENT, most=2, ellipsis=screen.glyphs.ellipsis)
    return lines + [((f"  {part}", "faint"),) for part in parts]


LONGEST_LABEL = 24


def matrix_lines(
    labels: Sequence[str],
    titles: Sequence[str],
    columns: Sequence[Sequence[str]],
    styles: Sequence[Sequence[str]],
    screen: Screen,
) -> list[Line]:
    """A column for each label and a row for each title, in several blocks if the width is insufficient.

    ``columns`` have the cells of each label, ``styles`` their styles. Empty if a single column is too wide.
    """
    first = max(map(text_width, titles))
    lines: list[Line] = []
    for block in _blocks(labels, columns, screen.width - INDENT - first):
        widths = [width for _, width in block]
        heads = [(crop(plain(labels[at]), width, screen.glyphs.ellipsis), "title") for at, width in block]
        lines += [(), _matrix_row(("", ""), first, heads, widths)]
        for row, title in enumerate(titles):
            cells = [(columns[at][row], styles[at][row]) for at, _ in block]
            lines.append(_matrix_row((title, "label"), first, cells, widths))
    return lines[1:]


def _blocks(labels: Sequence[str], columns: Sequence[Sequence[str]], room: int) -> list[list[tuple[int, int]]]:
    """The indices of the columns of each block, and the widths of the columns.

    A column is as wide as its cells and its label; or as its cells if all columns fit then. Empty if a single column is too
    wide.
    """
    least = [max(map(text_width, cells)) for cells in columns]
    full = [max(size, min(text_width(label), LONGEST_LABEL)) for size, label in zip(least, labels, strict=True)]
    for sizes in (full, least):
        if sum(GAP + size for size in sizes) <= room:
            return [list(enumerate(sizes))]
    blocks: list[list[tuple[int, int]]] = [[]]
    for at, size in enumerate(full):
        if GAP + size > room:
            return []
        if sum(GAP + width for _, width in blocks[-1]) + GAP + size > room:
            blocks.append([])
        blocks[-1].append((at, size))
    return blocks


def _matrix_row(title: StyledText, first: int, cells: Sequence[StyledText], widths: Sequence[int]) -> Line:
    spans: list[StyledText] = [(" " * INDENT, ""), (pad(title[0], first), title[1])]
    for (text, style), width in zip(cells, widths, strict=True):
        spans += [(" " * GAP, ""), (pad(text, width), style)]
    return tuple(spans)


def table_html(content: Table) -> str:
    """The table without its bars, its note below it."""
    kept = [at for at, column in enumerate(content.columns) if not column.is_bar]
    columns = [content.columns[at] for at in kept]
    body = rows_html(
        ([row[at] for at in kept] for row in content.rows),
        [column.right for column in columns],
        [column.title for column in columns],
    )
    return body + (f"\n<p>{html(content.note)}</p>" if content.note else "")


def heading_html(name: str, about: Iterable[str]) -> str:
    """The name followed by the facts."""
    return f"<p><b>{html(name)}</b> {html(' · '.join(about))}</p>"


def entries_html(shown: Iterable[Entry]) -> str:
    """Labeled numbers as a table."""
    return rows_html(([entry.label, f"{entry.number} {entry.unit}", entry.note] for entry in shown), [False, True, False])


def rows_html(rows: Iterable[Sequence[str]], right: Sequence[bool], titles: Sequence[str] = ()) -> str:
    """A table; leading spaces of a cell, which show its level, are kept."""
    sides = [f' style="text-align: {"right" if is_right else "left"}; white-space: pre"' for is_right in right]
    head = "".join(f"<th{side}>{html(text)}</th>" for side, text in zip(sides, titles, strict=False))
    lines = [
        "".join(f"<td{side}>{html(shorten(cell, LONGEST_WORD))}</td>" for side, cell in zip(sides, row, strict=True))
        for row in rows
    ]
    return "\n".join(["<table>", *(f"<tr>{line}</tr>" for line in ([head] if head else []) + lines), "</table>"])
