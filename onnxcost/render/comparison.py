"""A comparison as terminal text, Markdown, CSV and JSON: a column for each model while they fit, else a row for each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from onnxcost.comparison.api import Excess
from onnxcost.comparison.candidates import MEASURED, METRICS, Candidate, Comparison
from onnxcost.comparison.differences import Differences
from onnxcost.render.differences import (
    TITLES,
    agreement_lines,
    agreement_sentences,
    agreement_table,
    agreement_title,
    change_rows,
    correspondence,
    difference_heading,
    difference_lines,
    layer_difference_table,
    operator_difference_table,
    parameter_sentences,
)
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import Table, csv_text, markdown_table, matrix_lines, table_markdown
from onnxcost.render.layout import (
    OPTIONAL,
    UNICODE,
    Column,
    Glyphs,
    Line,
    Screen,
    crop,
    paragraph,
    spell_out,
    table,
)
from onnxcost.render.units import WRITERS, align_units, relation_text
from onnxcost.results import group_by


class TextRow(NamedTuple):
    """A row in words rather than numbers: a text for each model."""

    title: str
    texts: list[str]


def text_rows(comparison: Comparison, glyphs: Glyphs) -> list[TextRow]:
    """In words: the inputs, the ratio of the latencies, what differs between the machines, the Pareto front."""
    models = comparison.candidates
    rows = [TextRow("Input", [input_text(model, glyphs) for model in models])]
    if any(model.ratio for model in models):
        rows.append(TextRow("Ratio", [ratio_text(model, glyphs) for model in models]))
    for name, texts in comparison.differing_conditions.items():
        rows.append(TextRow(name, [spell_out(crop(plain(text), LONGEST_CONDITION), glyphs) or glyphs.none for text in texts]))
    if comparison.pareto:
        front = comparison.front()
        rows.append(TextRow("Pareto", ["unbeaten" if model.label in front else "" for model in models]))
    return rows


def input_text(model: Candidate, glyphs: Glyphs) -> str:
    """The shape of the first input, and how many more there are."""
    more = f" +{len(model.inputs) - 1}" if len(model.inputs) > 1 else ""
    return spell_out((model.inputs[0] or "scalar") + more, glyphs) if model.inputs else glyphs.none


def ratio_text(model: Candidate, glyphs: Glyphs) -> str:
    """The latency's ratio to the first model's, and its confidence interval."""
    if model.ratio is None:
        return ""
    value, interval = model.ratio
    return spell_out(f"{value:.3f}×" + (" ({:.3f}–{:.3f})".format(*interval) if interval else ""), glyphs)


def latency_remarks(comparison: Comparison) -> list[str]:
    """Sentences on latencies without a clear difference from the first one's, and on those measured at another time."""
    first = comparison.baseline.label
    found = {
        f"No difference in latency found from {first}": [model.label for model in comparison.others if model.is_undecided],
        f"Not measured at the same time as {first}": comparison.apart,
    }
    return [f"{what}: {', '.join(labels)}" for what, labels in found.items() if labels]


def failure_sentences(comparison: Comparison) -> list[str]:
    """Sentences on what could not be compared or measured."""
    by_reason = group_by(comparison.candidates, lambda model: model.unmeasured)
    unmeasured = {reason: [model.label for model in models] for reason, models in by_reason.items() if reason}
    interrupted = [model.label for model in comparison.candidates if model.interrupted]
    return [
        *(f"Not compared: {broken.text}" for broken in comparison.broken),
        *([f"Interrupted, timed with the runs completed so far: {', '.join(interrupted)}"] if interrupted else []),
        *(f"Not measured: {', '.join(labels)}: {reason}" for reason, labels in unmeasured.items()),
    ]


MOST_COLUMNS = 4
MARK = "*"
LONGEST_CONDITION = 24
KEEP = (
    "latency", "Ratio", "macs", "flops", "parameters", "traffic_bytes", "weight_bytes", "fps", "peak_activation_bytes",
    "file_bytes",
)  # fmt: skip
"""The columns of a table with a row per model that are kept longest if the width is insufficient."""


def comparison_lines(comparison: Comparison, differences: Sequence[Differences], screen: Screen) -> list[Line]:
    """The models side by side, what could not be compared, and why the others differ from the first."""
    lines = _by_metric(comparison, screen) or _by_model(comparison, screen)
    lines += _notes(comparison, screen)
    if agreement := agreement_lines(comparison, screen):
        lines += [(), *agreement]
    for each in differences:
        lines += [(), *difference_lines(each, comparison.convention, screen)]
    return lines


def _by_metric(comparison: Comparison, screen: Screen) -> list[Line]:
    """A column for each model, in several blocks if the width is insufficient; empty for too many models."""
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
    styles = [["number" if model.label in labels else "" for labels in marked] for model in models]
    return matrix_lines([model.label for model in models], titles, columns, styles, screen)


def _cells(comparison: Comparison, model: Candidate, best: Mapping[str, frozenset[str]], glyphs: Glyphs) -> list[str]:
    """The value, mark and relation to the first model for each metric."""
    values = align_units([value_text(model, name, glyphs) for name in best])
    relations = align_units([relative_text(comparison, model, name, glyphs) for name in best])
    room = any(model.label in labels for labels in best.values())
    marks = [f" {MARK}" if model.label in labels else "  " * room for labels in best.values()]
    return [f"{value}{mark} {relation}".rstrip() for value, mark, relation in zip(values, marks, relations, strict=True)]


def _by_model(comparison: Comparison, screen: Screen) -> list[Line]:
    """A row for each model, with the metric that they are sorted by (else the convention's) relative to the first model's."""
    columns = [Column("Model", right=False, style="name", shrinks_to=14)]
    cells = [[candidate.label for candidate in comparison.candidates]]
    main = comparison.sort or comparison.convention
    for name in comparison.metrics:
        title, texts = metric_column(comparison, name, screen.glyphs)
        columns.append(Column(title, drop=0 if name == main else 2 if name in comparison.pareto else _drop(name)))
        cells.append(texts)
        if name == main:
            columns.append(Column("vs. first", drop=1))
            cells.append([relative_text(comparison, candidate, name, screen.glyphs) for candidate in comparison.candidates])
    for row in reversed(text_rows(comparison, screen.glyphs)):
        columns.append(Column(row.title, right=False, style="faint", drop=0 if row.title == "Pareto" else _drop(row.title)))
        cells.append(row.texts)
    return table(columns, list(zip(*cells, strict=True)), screen.width, screen.glyphs)


def _drop(name: str) -> int:
    """The order of dropping: columns that are not in KEEP first, then those in KEEP from the last."""
    return OPTIONAL + (KEEP.index(name) if name in KEEP else len(KEEP))


def metric_column(comparison: Comparison, name: str, glyphs: Glyphs) -> tuple[str, list[str]]:
    """A metric of all models below each other, the best marked."""
    values = align_units([value_text(candidate, name, glyphs) for candidate in comparison.candidates])
    best = comparison.best(name)
    marks = [MARK if candidate.label in best else " " for candidate in comparison.candidates]
    return METRICS[name].title, [f"{value} {mark}" if best else value for value, mark in zip(values, marks, strict=True)]


def _notes(comparison: Comparison, screen: Screen) -> list[Line]:
    """The legend, and sentences on models without a clear difference, not compared and not measured."""
    parts = [f"{MARK} best"] if any(map(comparison.best, comparison.metrics)) else []
    parts += [f"the others vs. {plain(comparison.baseline.label)}"] if comparison.others else []
    parts += [f"unbeaten: on the Pareto front of {' and '.join(comparison.pareto)}"] if comparison.pareto else []
    if any(model.ratio for model in comparison.candidates):
        parts.append("Ratio: of latencies, computed per round, with its 95 % confidence interval")
    lines = paragraph(f" {screen.glyphs.dot} ".join(parts), screen.width)
    for remark in latency_remarks(comparison):
        lines += paragraph(remark, screen.width, "")
    for failure in failure_sentences(comparison):
        lines += paragraph(failure, screen.width, "caution", hang="  ")
    return lines


def comparison_csv(comparison: Comparison) -> str:
    """One line per model, in base units; one that could not be compared has its reason and no numbers."""
    names = [name for name in METRICS if any(name in candidate.values for candidate in comparison.candidates)]
    front = comparison.front()
    optional: dict[str, Callable[[Candidate], object]] = {
        "latency_ratio": lambda each: each.ratio and each.ratio.value,
        "latency_ratio_low": lambda each: each.ratio and each.ratio.ci95 and each.ratio.ci95[0],
        "latency_ratio_high": lambda each: each.ratio and each.ratio.ci95 and each.ratio.ci95[1],
        "pareto": lambda each: int(each.label in front) if comparison.pareto else None,
        "output_difference": lambda each: _farthest(each, "absolute"),
        "output_relative_difference": lambda each: _farthest(each, "relative"),
        "not_measured": lambda each: each.unmeasured or None,
    }
    columns = {name: of for name, of in optional.items() if any(of(each) is not None for each in comparison.candidates)}
    rows: list[list[object]] = [
        [each.label, *(each.values.get(name) for name in names), each.bound, *(of(each) for of in columns.values()), None]
        for each in comparison.candidates
    ]
    rows += [[label, *(None for _ in names), None, *(None for _ in columns), reason] for label, reason in comparison.broken]
    return csv_text(["model", *names, "bound", *columns, "not_compared"], rows)


def _farthest(model: Candidate, what: str) -> float | None:
    """The largest difference of all outputs that could be compared."""
    values = [getattr(each, what) for each in model.agreement.outputs] if model.agreement else []
    return max((value for value in values if value is not None), default=None)


def comparison_markdown(comparison: Comparison, differences: Sequence[Differences]) -> str:
    """The table of the metrics, with a column for each model if there are few, and the differences."""
    blocks = ["\n".join(_metrics(comparison))]
    blocks += [
        f"**{what}:** {markdown(why)}" for what, _, why in (text.partition(": ") for text in failure_sentences(comparison))
    ]
    blocks += map(markdown, latency_remarks(comparison))
    blocks += _agreement(comparison)
    for each in differences:
        blocks += _section(each, comparison.convention)
    return "\n\n".join(blocks) + "\n"


def _metrics(comparison: Comparison) -> list[str]:
    above, *below = text_rows(comparison, UNICODE)
    titles = ["", above.title, *(METRICS[name].title for name in comparison.metrics), *(row.title for row in below)]
    rows = [titles]
    for at, candidate in enumerate(comparison.candidates):
        cells = []
        for name in comparison.metrics:
            relative = relative_text(comparison, candidate, name, UNICODE)
            mark = MARK if candidate.label in comparison.best(name) else ""
            cells.append(value_text(candidate, name, UNICODE) + mark + (f" ({relative})" if relative else ""))
        rows.append([candidate.label, above.texts[at], *cells, *(row.texts[at] for row in below)])
    if len(comparison.candidates) <= MOST_COLUMNS:
        rows = [list(row) for row in zip(*rows, strict=True)]
    return markdown_table(rows[0], [False, *(True for _ in rows[0][1:])], rows[1:])


def _section(differences: Differences, convention: str) -> list[str]:
    name, about = difference_heading(differences, convention)
    titles = [f"± {TITLES.get(convention, convention)}", "± Traffic", "What"]
    rows = change_rows(differences)
    blocks = [
        [f"### {markdown(name)}"],
        [markdown(", ".join(about))],
        _table(operator_difference_table(differences, convention, UNICODE)),
        [markdown(correspondence(differences))],
        markdown_table(titles, [True, True, False], rows) if rows else [],
        [markdown(sentence) for sentence in parameter_sentences(differences)],
        _table(layer_difference_table(differences, convention, UNICODE)),
    ]
    return ["\n".join(block) for block in blocks if block]


def _agreement(comparison: Comparison) -> list[str]:
    """The outputs compared with those of the first model, if they were."""
    if not any(model.agreement for model in comparison.candidates):
        return []
    table = "\n".join(_table(agreement_table(comparison, UNICODE)))
    sentences = [markdown(text) for text in agreement_sentences(comparison)]
    return [f"### {markdown(agreement_title(comparison))}", *([table] if table else []), *sentences]


def _table(content: Table) -> list[str]:
    """The table with its note; the note alone if there are no rows."""
    return table_markdown(content) if content.rows else [markdown(content.note)] if content.note else []


def value_text(candidate: Candidate, metric: str, glyphs: Glyphs) -> str:
    """The value with its unit and its bound, ``≥ 4.089 G``; if there is none a dash, or that it could not be measured."""
    if metric not in candidate.values:
        return "not measured" if candidate.unmeasured and metric in MEASURED else glyphs.none
    written = WRITERS[METRICS[metric].unit](candidate.values[metric])
    return spell_out(glyphs.bound(candidate.bound_of(metric)) + written, glyphs)


def relative_text(comparison: Comparison, candidate: Candidate, metric: str, glyphs: Glyphs) -> str:
    """The value relative to the baseline's: ``+3.2 %``, ``4.10×``, ``=``; marked as approximate if one of them is a bound."""
    quotient = comparison.relative(candidate, metric)
    if quotient is None or candidate is comparison.baseline:
        return ""
    about = "" if comparison.is_exact(candidate, metric) else glyphs.about
    return spell_out(about + relation_text(quotient), glyphs)


def growth_text(excess: Excess) -> str:
    """A limit that is exceeded: ``FLOPs grew from 7.753 G to 8.195 G, by 441.8 M (+5.7 %), more than 1%``."""
    metric = METRICS[excess.limit.metric]
    write = WRITERS[metric.unit]
    share = f" ({relation_text(excess.after / excess.before)})" if excess.before else ""
    before, after, by = map(write, (excess.before, excess.after, excess.after - excess.before))
    return f"{metric.title} grew from {before} to {after}, by {by}{share}, more than {excess.limit.text}"
