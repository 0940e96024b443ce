"""Models side by side in a terminal: a column for each model while they fit, else a row for each."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onnxcost.comparison import Candidate, Comparison
from onnxcost.differences import Differences
from onnxcost.metrics import METRICS
from onnxcost.render.different import difference_lines
from onnxcost.render.figures import aligned, relative_text, value_text
from onnxcost.render.glyphs import Glyphs, spelled
from onnxcost.render.layout import GAP, INDENT, OPTIONAL, Column, Line, Span, plain, shortened, table
from onnxcost.render.screen import Screen

MOST_COLUMNS = 4
MARK = "*"
LONGEST_LABEL = 24
KEEP = (
    "latency",
    "Ratio",
    "macs",
    "flops",
    "parameters",
    "traffic_bytes",
    "weight_bytes",
    "fps",
    "peak_activation_bytes",
    "file_bytes",
)
"""Of the columns of a table with a row for each model, those that stay longest where the width does not suffice."""


class TextRow(NamedTuple):
    """A row in words rather than numbers: a text for each model."""

    title: str
    texts: list[str]


def comparison_lines(comparison: Comparison, differences: Sequence[Differences], screen: Screen) -> list[Line]:
    """The models side by side, what could not be compared, and why the others differ from the first."""
    lines = _by_metric(comparison, screen) or _by_model(comparison, screen)
    lines += [*_legend(comparison, screen), *_broken(comparison, screen)]
    for each in differences:
        lines += [(), *difference_lines(each, comparison.convention, screen)]
    return lines


def _by_metric(comparison: Comparison, screen: Screen) -> list[Line]:
    """A column for each model; nothing where they are too many."""
    models, words = comparison.candidates, text_rows(comparison, screen.glyphs)
    if len(models) > MOST_COLUMNS:
        return []
    best = {name: comparison.best(name) for name in comparison.metrics}
    columns = [_cells(comparison, model, best, screen.glyphs) for model in models]
    titles = [METRICS[name].title for name in best]
    first = max(map(len, [*titles, *(row.title for row in words)]))
    widths = _widths(
        [[*cells, *(row.texts[at] for row in words)] for at, cells in enumerate(columns)], models, first, screen.width
    )
    if not widths:
        return []
    labels = [shortened(plain(model.label), width, screen.glyphs.ellipsis) for model, width in zip(models, widths, strict=True)]
    lines = [_row(("", ""), first, [(label, "title") for label in labels], widths)]
    lines += [_row((row.title, "label"), first, [(text, "") for text in row.texts], widths) for row in words]
    for title, cells, labelled in zip(titles, zip(*columns, strict=True), best.values(), strict=True):
        styles = ["number" if model.label in labelled else "" for model in models]
        lines.append(_row((title, "label"), first, list(zip(cells, styles, strict=True)), widths))
    return lines


def _widths(columns: Sequence[Sequence[str]], models: Sequence[Candidate], first: int, width: int) -> list[int]:
    """How wide each column is: with its label in full where that fits, else as its cells are; nothing where they do not fit."""
    least = [max(map(len, cells)) for cells in columns]
    full = [max(size, min(len(model.label), LONGEST_LABEL)) for size, model in zip(least, models, strict=True)]
    return next((sizes for sizes in (full, least) if INDENT + first + sum(GAP + size for size in sizes) <= width), [])


def _row(title: Span, first: int, cells: Sequence[Span], widths: Sequence[int]) -> Line:
    spans: list[Span] = [(" " * INDENT, ""), (title[0].ljust(first), title[1])]
    for (text, style), width in zip(cells, widths, strict=True):
        spans += [(" " * GAP, ""), (text.ljust(width), style)]
    return tuple(spans)


def _cells(comparison: Comparison, model: Candidate, best: Mapping[str, frozenset[str]], glyphs: Glyphs) -> list[str]:
    """Value, mark and relation to the first of each metric, below each other."""
    values = aligned([value_text(model, name, glyphs) for name in best])
    relations = aligned([relative_text(comparison, model, name, glyphs) for name in best])
    room = any(model.label in labels for labels in best.values())
    marks = [f" {MARK}" if model.label in labels else "  " * room for labels in best.values()]
    return [f"{value}{mark} {relation}".rstrip() for value, mark, relation in zip(values, marks, relations, strict=True)]


def text_rows(comparison: Comparison, glyphs: Glyphs) -> list[TextRow]:
    """What there is to say in words: the inputs, the confidence interval of the latencies' ratio, the Pareto front."""
    models = comparison.candidates
    rows = [TextRow("Input", [input_text(model, glyphs) for model in models])]
    if any(model.ratio_ci for model in models):
        rows.append(TextRow("Ratio", [ratio_text(model, glyphs) for model in models]))
    if comparison.pareto:
        front = comparison.front()
        rows.append(TextRow("Pareto", ["unbeaten" if model.label in front else "" for model in models]))
    return rows


def input_text(model: Candidate, glyphs: Glyphs) -> str:
    """The shape of the first input, and how many more there are."""
    more = f" +{len(model.inputs) - 1}" if len(model.inputs) > 1 else ""
    return spelled((model.inputs[0] or "scalar") + more, glyphs) if model.inputs else glyphs.none


def ratio_text(model: Candidate, glyphs: Glyphs) -> str:
    """The confidence interval of the latency's ratio to the first model's."""
    return spelled("{:.3f}–{:.3f}×".format(*model.ratio_ci), glyphs) if model.ratio_ci else ""


def _by_model(comparison: Comparison, screen: Screen) -> list[Line]:
    """A row for each model, and the relation to the first of the metric that they are sorted by, else of the convention."""
    columns = [Column("Model", right=False, style="name", shrinks_to=14)]
    cells = [[candidate.label for candidate in comparison.candidates]]
    main = comparison.sort or comparison.convention
    for name in comparison.metrics:
        title, texts = metric_column(comparison, name, screen.glyphs)
        columns.append(Column(title, drop=0 if name == main else 2 if name in comparison.pareto else _drop(name)))
        cells.append(texts)
        if name == main:
            columns.append(Column("against first", drop=1))
            cells.append([relative_text(comparison, candidate, name, screen.glyphs) for candidate in comparison.candidates])
    for row in reversed(text_rows(comparison, screen.glyphs)):
        columns.append(Column(row.title, right=False, style="faint", drop=0 if row.title == "Pareto" else _drop(row.title)))
        cells.append(row.texts)
    return table(columns, list(zip(*cells, strict=True)), screen.width, screen.glyphs)


def _drop(name: str) -> int:
    """The later in KEEP, the earlier it goes; what is not in it goes first."""
    return OPTIONAL + (KEEP.index(name) if name in KEEP else len(KEEP))


def metric_column(comparison: Comparison, name: str, glyphs: Glyphs) -> tuple[str, list[str]]:
    """A metric of all models below each other, the best marked."""
    values = aligned([value_text(candidate, name, glyphs) for candidate in comparison.candidates])
    best = comparison.best(name)
    marks = [MARK if candidate.label in best else " " for candidate in comparison.candidates]
    return METRICS[name].title, [f"{value} {mark}" if best else value for value, mark in zip(values, marks, strict=True)]


def _legend(comparison: Comparison, screen: Screen) -> list[Line]:
    parts = [f"{MARK} the best"] if any(map(comparison.best, comparison.metrics)) else []
    parts += [f"the others against {plain(comparison.baseline.label)}"] if comparison.others else []
    parts += (
        [f"unbeaten: no other is as good in {' and '.join(comparison.pareto)}, and better in one"] if comparison.pareto else []
    )
    if any(model.ratio_ci for model in comparison.candidates):
        parts.append("Ratio: 95 % confidence interval of the latency, divided by the first one's")
    text = f" {screen.glyphs.dot} ".join(parts)
    lines: list[Line] = [((f"  {part}", "faint"),) for part in textwrap.wrap(text, screen.width - INDENT)]
    return lines + [((f"  {part}", ""),) for part in textwrap.wrap(plain(undecided(comparison)), screen.width - INDENT)]


def undecided(comparison: Comparison) -> str:
    """A sentence on the models whose latency is not seen to differ from the first one's; "" where there are none."""
    labels = [model.label for model in comparison.others if model.is_undecided]
    return f"No difference seen in latency from {comparison.baseline.label}: {', '.join(labels)}" if labels else ""


def _broken(comparison: Comparison, screen: Screen) -> list[Line]:
    folded = (
        textwrap.wrap(plain(f"Not compared: {broken.text}"), screen.width - 4, subsequent_indent="  ")
        for broken in comparison.broken
    )
    return [((f"  {part}", "caution"),) for parts in folded for part in parts]
