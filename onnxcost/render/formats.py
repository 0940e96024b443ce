"""Reports and measurements as terminal text, Markdown, CSV and JSON, and the writers that other results share."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxcost.conventions import FLOPS, Convention
from onnxcost.documents import to_json
from onnxcost.render.escaping import LONGEST_WORD, cell, markdown, plain, shorten
from onnxcost.render.layout import (
    GAP,
    INDENT,
    LEAST_NAME,
    UNICODE,
    Glyphs,
    Line,
    Screen,
    crop,
    pad,
    table,
    text_width,
    wrap,
    wrap_pieces,
)
from onnxcost.render.report import (
    Entry,
    Row,
    Table,
    View,
    convention_texts,
    describe_uncounted,
    dim_texts,
    model_facts,
    model_title,
    module_rows,
    module_table,
    node_name,
    node_rows,
    node_table,
    operator_table,
    summary_entries,
    tensor_texts,
    type_texts,
)
from onnxcost.render.units import shape
from onnxcost.report import CostReport, Counted, Uncounted

if TYPE_CHECKING:
    from onnxcost.measurement import MeasurementResult


def markdown_table(titles: Sequence[str], right: Sequence[bool], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose cells are escaped here."""
    lines = [list(map(markdown, titles)), ["---:" if is_right else "---" for is_right in right]]
    lines += [[markdown(shorten(cell, LONGEST_WORD)) for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def report_markdown(report: CostReport, view: View) -> str:
    """Header, summary, what is not counted, and the tables that the view asks for."""
    by = operator_table if view.depth is None else module_table
    blocks = [
        *_header(report),
        _summary_markdown(report, view),
        _uncounted_markdown(report),
        *([table_markdown(by(report, view, UNICODE))] if view.has_groups else []),
    ]
    if view.top != 0:
        blocks.append(table_markdown(node_table(report, view, UNICODE)))
    return join_blocks(blocks)


def header_markdown(report: CostReport) -> str:
    """The model, its inputs and outputs, and the dims that it leaves open."""
    return join_blocks(_header(report))


def join_blocks(blocks: Iterable[list[str]]) -> str:
    """The blocks that have text, a blank line between two of them."""
    return "\n\n".join("\n".join(block) for block in blocks if any(block)) + "\n"


def _header(report: CostReport) -> list[list[str]]:
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


def _summary_markdown(report: CostReport, view: View) -> list[str]:
    shown = summary_entries(report, view, UNICODE)
    if each := type_texts(report, view):
        shown.append(Entry("Types", "", "", " · ".join(each)))
    if others := convention_texts(report, view, UNICODE):
        shown.append(Entry("Conventions", "", "", " · ".join(others)))
    return entries_markdown("Total", shown)


def entries_markdown(title: str, shown: Iterable[Entry]) -> list[str]:
    """Labelled numbers as a table."""
    rows = [(entry.label, f"{entry.number} {entry.unit}", entry.note) for entry in shown]
    return markdown_table(["", title, ""], [False, True, False], rows)


def _uncounted_markdown(report: CostReport) -> list[str]:
    lines = describe_uncounted(report, UNICODE)
    return [f"**{markdown(lines[0])}**", "", *(f"- {markdown(line)}" for line in lines[1:])] if lines else []


def table_markdown(content: Table) -> list[str]:
    """The table without its bars, its note below it."""
    kept = [at for at, column in enumerate(content.columns) if not column.is_bar]
    rows = [[_cell(row[at], content.columns[at].right) for at in kept] for row in content.rows]
    titles = [content.columns[at].title for at in kept]
    note = ["", markdown(content.note)] if content.note else []
    return markdown_table(titles, [content.columns[at].right for at in kept], rows) + note


def _cell(text: str, is_number: bool) -> str:
    """A number without its padding; other text with its indentation as no-break spaces, which Markdown keeps."""
    return " ".join(text.split()) if is_number else text.replace("  ", "\u00a0" * 4)


def csv_text(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """The lines, quoted where needed; None is an empty cell. A text that a spreadsheet would run gets a leading ``'``."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerows([*map(cell, row)] for row in (header, *rows))
    return out.getvalue()


def report_csv(report: CostReport, view: View) -> str:
    """One line a node, or a module where the view has a depth. A node that is not counted has its reason and no numbers."""
    return _nodes(report, view) if view.depth is None else _modules(report, view)


def _nodes(report: CostReport, view: View) -> str:
    own = [view.convention.name] if view.has_own_count else []
    identity = ["name", "op_type", "domain", "scope", "dtype", "repeat", "output_shape"]
    header = [*identity, "macs", "flops", *own, "parameters", "read_bytes", "write_bytes", "not_counted"]
    return csv_text(header, (_node(row, bool(own)) for row in node_rows(report, view)))


def _node(row: Row, has_own_count: bool) -> list[object]:
    cost = row.cost
    assert cost is not None  # a row of a node has one
    node = cost.node
    dtype = cost.dtype if isinstance(cost, Counted) else None
    output = next((tensor for tensor in node.outputs if tensor is not None), None)
    identity = [node_name(cost), node.op_type, node.domain, "/".join(node.scope), dtype, node.repeat, shape(output, "x")]
    if isinstance(cost, Uncounted):
        return [*identity, *[None] * (2 + has_own_count), row.parameters, None, None, cost.reason]
    return [*identity, *_numbers(row, has_own_count), None]


def _numbers(row: Row, has_own_count: bool) -> list[int]:
    own = [row.count] if has_own_count else []
    return [row.macs, row.flops, *own, row.parameters, row.traffic.read_bytes, row.traffic.write_bytes]


def _modules(report: CostReport, view: View) -> str:
    own = [view.convention.name] if view.has_own_count else []
    header = ["level", "module", "nodes", "macs", "flops", *own, "parameters", "read_bytes", "write_bytes", "not_counted"]
    path: list[str] = []
    lines = []
    for row in module_rows(report, view):
        path[row.level :] = [row.label]
        lines.append([row.level, "/".join(path), row.nodes, *_numbers(row, bool(own)), row.uncounted])
    return csv_text(header, lines)


def dumps(document: Mapping[str, Any]) -> str:
    """JSON text in ASCII with one line for each key, and for each entry of a list of records: it diffs and greps well."""
    return _lines(document, "") + "\n"


def _lines(document: Mapping[str, Any], indent: str) -> str:
    keys = (f"{indent}  {to_json(key)}: {_value(value, indent + '  ')}" for key, value in document.items())
    return "{\n" + ",\n".join(keys) + f"\n{indent}}}"


def _value(value: Any, indent: str) -> str:
    if _has_records(value):
        return "[\n" + ",\n".join(f"{indent}  {to_json(entry)}" for entry in value) + f"\n{indent}]"
    if isinstance(value, dict) and any(map(_has_records, value.values())):
        return _lines(value, indent)
    return to_json(value)


def _has_records(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and isinstance(value[0], dict)


def report_json(
    report: CostReport,
    convention: Convention = FLOPS,
    measurement: MeasurementResult | None = None,
    batches: Sequence[MeasurementResult] = (),
) -> str:
    """The report's document as text."""
    return dumps(report.to_dict(convention, measurement, batches))


LABEL_WIDTH = 13
WIDEST_TENSOR = 32
BLANK: Line = ()


def report_lines(report: CostReport, view: View, screen: Screen) -> list[Line]:
    """The whole report: header, summary, what is not counted, the tables that the view asks for."""
    glyphs = screen.glyphs
    blocks = [header_lines(report, screen), _summary_lines(report, view, screen), _uncounted_lines(report, screen)]
    by = operator_table if view.depth is None else module_table
    if view.has_groups:
        blocks.append(table_lines(by(report, view, glyphs), screen))
    if view.top != 0:
        blocks.append(table_lines(node_table(report, view, glyphs), screen))
    return space_blocks(blocks)


def space_blocks(blocks: Iterable[list[Line]]) -> list[Line]:
    """The blocks that have lines, a blank one between two of them."""
    lines: list[Line] = []
    for block in filter(None, blocks):
        lines += [BLANK, *block] if lines else block
    return lines


def _label(text: str) -> Line:
    return (("  ", ""), (text.ljust(LABEL_WIDTH), "label"))


def header_lines(report: CostReport, screen: Screen) -> list[Line]:
    """The model, its inputs and outputs, and the dims that it leaves open."""
    graph, glyphs = report.graph, screen.glyphs
    lines = _heading(plain(model_title(graph)), plain(f" {glyphs.dot} ".join(model_facts(graph))), screen.width)
    for label, values in (("Input", graph.inputs), ("Output", graph.outputs)):
        lines += _tensors(label, tensor_texts(values, glyphs), screen)
    for label, source, style in (("Given", "given", ""), ("Derived", "derived", ""), ("Assumed", "assumed", "caution")):
        if pieces := [plain(piece) for piece in dim_texts(graph, source)]:
            lines += wrap_pieces(_label(label), pieces, ", ", screen.width, style)
    return lines


def _heading(name: str, about: str, width: int) -> list[Line]:
    """The name with the facts behind it, or below it where they do not fit."""
    if text_width(name) + 2 + text_width(about) <= width:
        return [((name, "title"), (f"  {about}", "faint"))]
    return [((name, "title"),), *(((f"  {part}", "faint"),) for part in wrap(about, width - 2))]


def _tensors(label: str, values: list[tuple[str, str]], screen: Screen) -> list[Line]:
    room = screen.width - INDENT - LABEL_WIDTH - GAP - max((text_width(text) for _, text in values), default=0)
    names = (text_width(plain(name)) for name, text in values if text)
    wide = min(max(names, default=0), WIDEST_TENSOR, max(room, LEAST_NAME))
    return [
        (
            *_label("" if at else label),
            (
                pad(crop(plain(name), wide if text else WIDEST_TENSOR, screen.glyphs.ellipsis), wide) + "  ",
                "name" if text else "faint",
            ),
            (plain(text), ""),
        )
        for at, (name, text) in enumerate(values)
    ]


def _summary_lines(report: CostReport, view: View, screen: Screen) -> list[Line]:
    lines = entry_lines(summary_entries(report, view, screen.glyphs), screen.width)
    if each := type_texts(report, view):
        lines += wrap_pieces(_label("Types"), each, f" {screen.glyphs.dot} ", screen.width)
    if others := convention_texts(report, view, screen.glyphs, has_units=True):
        lines += wrap_pieces(_label("Conventions"), others, f" {screen.glyphs.dot} ", screen.width)
    return lines


def entry_lines(shown: Sequence[Entry], width: int) -> list[Line]:
    """The entries, number below number and unit below unit."""
    numbers = max(len(entry.number) for entry in shown)
    units = max(len(entry.unit) for entry in shown)
    return [line for entry in shown for line in _entry(entry, numbers, units, width)]


def _entry(entry: Entry, numbers: int, units: int, width: int) -> list[Line]:
    value = f"{entry.number:>{numbers}} {entry.unit:<{units}}  "
    return wrap_pieces((*_label(entry.label), (value, "number")), plain(entry.note).split(", "), ", ", width, "faint")


def _uncounted_lines(report: CostReport, screen: Screen) -> list[Line]:
    lines = describe_uncounted(report, screen.glyphs)
    if not lines:
        return []
    folded = [wrap(plain(line), screen.width - 4, indent="  ") for line in lines[1:]]
    return [((f"  {lines[0]}", "caution"),), *((("    " + part, ""),) for parts in folded for part in parts)]


def table_lines(content: Table, screen: Screen) -> list[Line]:
    """The table, and its note below it."""
    lines = table(content.columns, content.rows, screen.width, screen.glyphs) if content.rows else []
    return lines + _note(content.note, screen.width, screen.glyphs)


def _note(note: str, width: int, glyphs: Glyphs) -> list[Line]:
    if not note:
        return []
    parts = wrap(plain(note), width - 2, most=2, ellipsis=glyphs.ellipsis)
    return [((f"  {part}", "faint"),) for part in parts]
