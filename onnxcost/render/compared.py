"""Models side by side in a terminal: a column for each model while they fit, else a row for each."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence

from onnxcost.comparison.candidates import Candidate, Comparison
from onnxcost.comparison.differences import Differences
from onnxcost.comparison.metrics import METRICS
from onnxcost.render.agreeing import agreement_lines
from onnxcost.render.compared_text import failures, remarks, text_rows
from onnxcost.render.different import difference_lines
from onnxcost.render.escaping import plain, shortened
from onnxcost.render.figures import aligned, relative_text, value_text
from onnxcost.render.glyphs import Glyphs
from onnxcost.render.layout import GAP, INDENT, OPTIONAL, Column, Line, Span, table
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


def comparison_lines(comparison: Comparison, differences: Sequence[Differences], screen: Screen) -> list[Line]:
    """The models side by side, what could not be compared, and why the others differ from the first."""
    lines = _by_metric(comparison, screen) or _by_model(comparison, screen)
    lines += [*_legend(comparison, screen), *_failures(comparison, screen)]
    if agreement := agreement_lines(comparison, screen):
        lines += [(), *agreement]
    for each in differences:
        lines += [(), *difference_lines(each, comparison.convention, screen)]
    return lines


def _by_metric(comparison: Comparison, screen: Screen) -> list[Line]:
    """A column for each model, those that do not fit beside each other below each other; nothing where they are too many."""
    models = comparison.candidates
    if len(models) > MOST_COLUMNS:
        return []
    best = {name: comparison.best(name) for name in comparison.metrics}
    above, *below = text_rows(comparison, screen.glyphs)
    titles = [above.title, *(METRICS[name].title for name in best), *(row.title for row in below)]
    columns = [
        [above.texts[at], *_cells(comparison, model, best, screen.glyphs), *(row.texts[at] for row in below)]
        for at, model in enumerate(models)
    ]
    marked = [frozenset(), *best.values(), *(frozenset() for _ in below)]
    first = max(map(len, titles))
    lines: list[Line] = []
    for block in _blocks(columns, models, screen.width - INDENT - first):
        widths = [width for _, width in block]
        labels = [shortened(plain(models[at].label), width, screen.glyphs.ellipsis) for at, width in block]
        lines += [(), _row(("", ""), first, [(label, "title") for label in labels], widths)]
        for row, (title, labelled) in enumerate(zip(titles, marked, strict=True)):
            cells = [(columns[at][row], "number" if models[at].label in labelled else "") for at, _ in block]
            lines.append(_row((title, "label"), first, cells, widths))
    return lines[1:]


def _blocks(columns: Sequence[Sequence[str]], models: Sequence[Candidate], room: int) -> list[list[tuple[int, int]]]:
    """Which models are beside each other, by their places, and how wide their columns are.

    A column is as wide as its cells and its label; all are as wide as their cells where all fit then. Nothing where one alone
    is too wide.
    """
    least = [max(map(len, cells)) for cells in columns]
    full = [max(size, min(len(model.label), LONGEST_LABEL)) for size, model in zip(least, models, strict=True)]
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
    if any(model.ratio for model in comparison.candidates):
        parts.append("Ratio: of the latencies, turn by turn, and its 95 % confidence interval")
    text = f" {screen.glyphs.dot} ".join(parts)
    lines: list[Line] = [((f"  {part}", "faint"),) for part in textwrap.wrap(text, screen.width - INDENT)]
    folded = (textwrap.wrap(plain(sentence), screen.width - INDENT) for sentence in remarks(comparison))
    return lines + [((f"  {part}", ""),) for parts in folded for part in parts]


def _failures(comparison: Comparison, screen: Screen) -> list[Line]:
    folded = (textwrap.wrap(plain(text), screen.width - 4, subsequent_indent="  ") for text in failures(comparison))
    return [((f"  {part}", "caution"),) for parts in folded for part in parts]
