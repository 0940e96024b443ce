"""Many models in a terminal: a row for each, with the reason in the place of figures for one that was not counted."""

from __future__ import annotations

import textwrap

from onnxcost.comparison.metrics import METRICS
from onnxcost.render.compared_text import input_text
from onnxcost.render.escaping import plain
from onnxcost.render.figures import aligned, value_text
from onnxcost.render.glyphs import Glyphs, spelled
from onnxcost.render.layout import GAP, OPTIONAL, Column, Line, table
from onnxcost.render.screen import Screen
from onnxcost.render.units import exact, plural
from onnxcost.scanned import Row, Scan

MOST_LINES = 3
FIRST_TO_GO = (
    "intensity",
    "peak_rss_bytes",
    "operators",
    "nodes",
    "flops_per_second",
    "file_bytes",
    "peak_activation_bytes",
    "fps",
    "weight_bytes",
    "input",
    "traffic_bytes",
    "parameters",
    "latency",
)
"""The columns that go where the width does not suffice, in this order; the others stay."""


def scan_lines(scan: Scan, screen: Screen) -> list[Line]:
    """The table, and below it what could not be run and how many models there are."""
    columns = columns_of(scan, screen.glyphs)
    rows = list(zip(*columns.values(), strict=True))
    header, *lines = table(list(columns), rows, screen.width, screen.glyphs)
    shown = [header]
    for row, line in zip(scan.rows, lines, strict=True):
        shown += [line] if row.candidate else _not_counted(row, line, screen)
    for sentence in (*not_run(scan), summary(scan)):
        parts = textwrap.wrap(spelled(plain(sentence), screen.glyphs), screen.width - 4, subsequent_indent="  ")
        shown += [((f"  {part}", "faint" if sentence == summary(scan) else "caution"),) for part in parts]
    return shown


def columns_of(scan: Scan, glyphs: Glyphs) -> dict[Column, list[str]]:
    """The columns and the cells in them; those of a model that was not counted are empty."""
    shown = {Column("Model", right=False, style="name", shrinks_to=14): [row.label for row in scan.rows]}
    inputs = [input_text(row.candidate, glyphs) if row.candidate else "" for row in scan.rows]
    shown[Column("Input", right=False, style="faint", drop=_drop("input", scan))] = inputs
    for name in scan.metrics:
        texts = [value_text(row.candidate, name, glyphs) if row.candidate else "" for row in scan.rows]
        shown[Column(METRICS[name].title, drop=_drop(name, scan))] = aligned(texts)
    return shown


def _drop(name: str, scan: Scan) -> int:
    stays = name not in FIRST_TO_GO or name == scan.sort
    return 0 if stays else OPTIONAL + len(FIRST_TO_GO) - FIRST_TO_GO.index(name)


def _not_counted(row: Row, line: Line, screen: Screen) -> list[Line]:
    """The label as in the table, and behind it the reason."""
    start = (*line[:2], (" " * GAP, ""))
    margin = sum(len(text) for text, _ in start)
    text = spelled(plain(row.reason), screen.glyphs)
    parts = textwrap.wrap(
        text, max(screen.width - margin, 1), max_lines=MOST_LINES, placeholder=f" {screen.glyphs.ellipsis}"
    ) or [""]
    return [(*(((" " * margin, ""),) if at else start), (part, "caution")) for at, part in enumerate(parts)]


def not_run(scan: Scan) -> list[str]:
    """A sentence for each reason for which models were counted but not run."""
    labels: dict[str, list[str]] = {}
    for row in scan.having("unmeasured"):
        labels.setdefault(row.reason, []).append(row.label)
    return [f"Not measured: {some(these)}: {reason}" for reason, these in labels.items()]


def summary(scan: Scan) -> str:
    """How many models were counted, of how many."""
    counted = sum(row.candidate is not None for row in scan.rows)
    many = plural(len(scan.rows), "model")
    return f"{many} counted" if counted == len(scan.rows) else f"{exact(counted)} of {many} counted"


def some(labels: list[str], most: int = 5) -> str:
    """The first labels, and how many more there are."""
    more = len(labels) - most
    return ", ".join(labels[:most]) + (f" and {exact(more)} more" if more > 0 else "")
