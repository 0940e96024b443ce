"""A scan as terminal text, JSON, CSV and Markdown: a row for each model, with the reason if there are no figures."""

from __future__ import annotations

from onnxcost.comparison.candidates import METRICS
from onnxcost.render.comparison import input_text, value_text
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import Table, csv_text, table_markdown
from onnxcost.render.layout import (
    GAP,
    OPTIONAL,
    UNICODE,
    Column,
    Glyphs,
    Line,
    Screen,
    paragraph,
    spell_out,
    table,
    text_width,
    wrap,
)
from onnxcost.render.units import align_units, exact, plural
from onnxcost.results import group_by
from onnxcost.scanning.results import Scan, ScanRow

MOST_LINES = 3
FIRST_TO_GO = (
    "intensity", "peak_rss_bytes", "operators", "nodes", "flops_per_second", "file_bytes", "peak_activation_bytes", "fps",
    "weight_bytes", "input", "traffic_bytes", "parameters", "latency",
)  # fmt: skip
"""The columns that are dropped if the width is insufficient, in this order; the others stay."""


def scan_lines(scan: Scan, screen: Screen) -> list[Line]:
    """The table, followed by the models that could not be run, and the number of models."""
    columns = columns_of(scan, screen.glyphs)
    rows = list(zip(*columns.values(), strict=True))
    header, *lines = table(list(columns), rows, screen.width, screen.glyphs)
    shown = [header]
    for row, line in zip(scan.rows, lines, strict=True):
        shown += [line] if row.candidate else _uncounted_lines(row, line, screen)
    for sentence in (*describe_unmeasured(scan), summarize_scan(scan)):
        style = "faint" if sentence == summarize_scan(scan) else "caution"
        shown += paragraph(spell_out(sentence, screen.glyphs), screen.width, style, hang="  ")
    return shown


def columns_of(scan: Scan, glyphs: Glyphs) -> dict[Column, list[str]]:
    """The columns and the cells in them; those of a model that was not counted are empty."""
    shown = {Column("Model", right=False, style="name", shrinks_to=14): [row.label for row in scan.rows]}
    inputs = [input_text(row.candidate, glyphs) if row.candidate else "" for row in scan.rows]
    shown[Column("Input", right=False, style="faint", drop=_drop("input", scan))] = inputs
    for name in scan.metrics:
        texts = [value_text(row.candidate, name, glyphs) if row.candidate else "" for row in scan.rows]
        shown[Column(METRICS[name].title, drop=_drop(name, scan))] = align_units(texts)
    return shown


def _drop(name: str, scan: Scan) -> int:
    stays = name not in FIRST_TO_GO or name == scan.sort
    return 0 if stays else OPTIONAL + len(FIRST_TO_GO) - FIRST_TO_GO.index(name)


def _uncounted_lines(row: ScanRow, line: Line, screen: Screen) -> list[Line]:
    """The label as in the table, followed by the reason."""
    start = (*line[:2], (" " * GAP, ""))
    margin = sum(text_width(text) for text, _ in start)
    text = spell_out(plain(row.reason), screen.glyphs)
    parts = wrap(text, max(screen.width - margin, 1), most=MOST_LINES, ellipsis=screen.glyphs.ellipsis) or [""]
    return [(*(((" " * margin, ""),) if at else start), (part, "caution")) for at, part in enumerate(parts)]


def describe_unmeasured(scan: Scan) -> list[str]:
    """A sentence for each reason for which models were counted but not run."""
    by_reason = group_by(scan.having("unmeasured"), lambda row: row.reason)
    return [f"Not measured: {some_labels([row.label for row in rows])}: {reason}" for reason, rows in by_reason.items()]


def summarize_scan(scan: Scan) -> str:
    """How many models were counted, of how many."""
    counted = sum(row.candidate is not None for row in scan.rows)
    many = plural(len(scan.rows), "model")
    return f"{many} counted" if counted == len(scan.rows) else f"{exact(counted)} of {many} counted"


def some_labels(labels: list[str], most: int = 5) -> str:
    """The first labels, and how many more there are."""
    more = len(labels) - most
    return ", ".join(labels[:most]) + (f" and {exact(more)} more" if more > 0 else "")


def scan_csv(scan: Scan) -> str:
    """One line per model, in base units; one that was not counted, or not run, has its reason."""
    names = [name for name in METRICS if any(row.candidate and name in row.candidate.values for row in scan.rows)]
    rows: list[list[object]] = []
    for row in scan.rows:
        values = row.candidate.values if row.candidate else {}
        bound = row.candidate.bound if row.candidate else None
        rows.append([row.result.path, *map(values.get, names), bound, row.result.status, row.result.reason or None])
    return csv_text(["path", *names, "bound", "status", "reason"], rows)


def scan_markdown(scan: Scan) -> str:
    """The table of the counted models, and the others with their reasons."""
    columns = columns_of(scan, UNICODE)
    cells = zip(*columns.values(), strict=True)
    rows = [line for row, line in zip(scan.rows, cells, strict=True) if row.candidate]
    blocks = ["\n".join(table_markdown(Table(tuple(columns), rows)))]
    blocks += [markdown(sentence) for sentence in (*describe_unmeasured(scan), summarize_scan(scan))]
    blocks.append("\n".join(f"- {markdown(row.label)}: {markdown(row.reason)}" for row in scan.rows if not row.candidate))
    return "\n\n".join(filter(None, blocks)) + "\n"
