"""Reports and measurements as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from onnxcost.render.escaping import LONGEST_WORD, markdown, shortened
from onnxcost.render.glyphs import UNICODE
from onnxcost.render.measured import batch_table, details, entries, where
from onnxcost.render.summary import Entry, conventions, dims, facts, not_counted, summary, tensors, title, types
from onnxcost.render.tables import Table, module_table, node_table, operator_table
from onnxcost.render.view import View
from onnxcost.report import CostReport

if TYPE_CHECKING:
    from onnxcost.measurement import Measurement


def markdown_table(titles: Sequence[str], right: Sequence[bool], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose cells are escaped here."""
    lines = [list(map(markdown, titles)), ["---:" if is_right else "---" for is_right in right]]
    lines += [[markdown(shortened(cell, LONGEST_WORD)) for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def report_markdown(report: CostReport, view: View) -> str:
    """Header, summary, what is not counted, and the tables that the view asks for."""
    by = operator_table if view.depth is None else module_table
    blocks = [
        *_header(report),
        _summary(report, view),
        _not_counted(report),
        table_markdown(by(report, view, UNICODE)),
    ]
    if view.top != 0:
        blocks.append(table_markdown(node_table(report, view, UNICODE)))
    return joined(blocks)


def header_markdown(report: CostReport) -> str:
    """The model, its inputs and outputs, and the dims that it leaves open."""
    return joined(_header(report))


def measurement_markdown(measurement: Measurement, report: CostReport | None) -> str:
    """Where and how the model was run, what that took, and the advice."""
    table = entries_markdown("Measured", entries(measurement, report, UNICODE))
    return joined([*where_markdown("Measured", measurement), table, _advice([measurement])])


def batches_markdown(measurements: Sequence[Measurement]) -> str:
    """Where the model was run, a table of the batch sizes, and the advice."""
    table = table_markdown(batch_table(measurements, UNICODE))
    return joined([*where_markdown("Measured", measurements[0], of_one=False), table, _advice(measurements)])


def not_measured_markdown(reason: str) -> str:
    """Why there is no measurement."""
    return f"**Not measured: {markdown(reason)}**\n"


def joined(blocks: Iterable[list[str]]) -> str:
    """The blocks that have text, a blank line between two of them."""
    return "\n\n".join("\n".join(block) for block in blocks if any(block)) + "\n"


def where_markdown(title: str, measurement: Measurement, of_one: bool = True) -> list[list[str]]:
    """The title, what ran the model and how."""
    lines = [f"- {detail.label}: {markdown(', '.join(detail.pieces))}" for detail in details(measurement, of_one)]
    return [[f"### {title}"], [markdown(" · ".join(where(measurement)))], lines]


def _advice(measurements: Sequence[Measurement]) -> list[str]:
    advice = dict.fromkeys(each.text for measurement in measurements for each in measurement.advice)
    return [f"- {markdown(text)}" for text in advice]


def _header(report: CostReport) -> list[list[str]]:
    return [[f"## {markdown(title(report.graph))}"], [markdown(" · ".join(facts(report.graph)))], _interface(report)]


def _interface(report: CostReport) -> list[str]:
    graph = report.graph
    lines = [
        f"- {label} {markdown(' '.join(filter(None, pair)))}"
        for label, values in (("input", graph.inputs), ("output", graph.outputs))
        for pair in tensors(values, UNICODE)
    ]
    return lines + [
        f"- {source}: {markdown(', '.join(pieces))}" for source in ("given", "assumed") if (pieces := dims(graph, source))
    ]


def _summary(report: CostReport, view: View) -> list[str]:
    shown = summary(report, view, UNICODE)
    if each := types(report, view):
        shown.append(Entry("Types", "", "", " · ".join(each)))
    if others := conventions(report, view, UNICODE):
        shown.append(Entry("Conventions", "", "", " · ".join(others)))
    return entries_markdown("Total", shown)


def entries_markdown(title: str, shown: Iterable[Entry]) -> list[str]:
    """Labelled numbers as a table."""
    rows = [(entry.label, f"{entry.number} {entry.unit}", entry.note) for entry in shown]
    return markdown_table(["", title, ""], [False, True, False], rows)


def _not_counted(report: CostReport) -> list[str]:
    lines = not_counted(report, UNICODE)
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
