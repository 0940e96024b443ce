"""The report as GitHub-flavoured Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from onnxcost.render.glyphs import UNICODE
from onnxcost.render.layout import plain
from onnxcost.render.summary import conventions, dims, facts, not_counted, summary, tensors, title, types
from onnxcost.render.tables import Table, module_table, node_table, operator_table
from onnxcost.render.view import View
from onnxcost.report import CostReport


def escaped(text: str) -> str:
    """The text with the characters that Markdown would take for its own defused."""
    return "".join(f"\\{char}" if char in "\\`*_[]<>|#" else char for char in plain(text))


def markdown_table(titles: Sequence[str], right: Sequence[bool], rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table whose cells are escaped here."""
    lines = [list(map(escaped, titles)), ["---:" if is_right else "---" for is_right in right]]
    lines += [[escaped(cell) for cell in row] for row in rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


def report_markdown(report: CostReport, view: View) -> str:
    """Header, summary, what is not counted, and the tables that the view asks for."""
    by = operator_table if view.depth is None else module_table
    blocks = [
        [f"## {escaped(title(report.graph))}"],
        [escaped(" · ".join(facts(report.graph)))],
        _interface(report),
        _summary(report, view),
        _not_counted(report),
        _table(by(report, view, UNICODE)),
    ]
    if view.top != 0:
        blocks.append(_table(node_table(report, view, UNICODE)))
    return "\n\n".join("\n".join(block) for block in blocks if any(block)) + "\n"


def _interface(report: CostReport) -> list[str]:
    graph = report.graph
    lines = [
        f"- {label} {escaped(' '.join(filter(None, pair)))}"
        for label, values in (("input", graph.inputs), ("output", graph.outputs))
        for pair in tensors(values, UNICODE)
    ]
    return lines + [
        f"- {source}: {escaped(', '.join(pieces))}" for source in ("given", "assumed") if (pieces := dims(graph, source))
    ]


def _summary(report: CostReport, view: View) -> list[str]:
    rows = [(entry.label, f"{entry.number} {entry.unit}", entry.note) for entry in summary(report, view, UNICODE)]
    if each := types(report, view):
        rows.append(("Types", "", " · ".join(each)))
    if others := conventions(report, view, UNICODE):
        rows.append(("Conventions", "", " · ".join(others)))
    return markdown_table(["", "Total", ""], [False, True, False], rows)


def _not_counted(report: CostReport) -> list[str]:
    lines = not_counted(report, UNICODE)
    return [f"**{escaped(lines[0])}**", "", *(f"- {escaped(line)}" for line in lines[1:])] if lines else []


def _table(content: Table) -> list[str]:
    kept = [at for at, column in enumerate(content.columns) if not column.is_bar]
    rows = [[_cell(row[at], content.columns[at].right) for at in kept] for row in content.rows]
    titles = [content.columns[at].title for at in kept]
    note = ["", escaped(content.note)] if content.note else []
    return markdown_table(titles, [content.columns[at].right for at in kept], rows) + note


def _cell(text: str, is_number: bool) -> str:
    """A number without its padding; other text with its indentation as no-break spaces, which Markdown keeps."""
    return " ".join(text.split()) if is_number else text.replace("  ", "\u00a0" * 4)
