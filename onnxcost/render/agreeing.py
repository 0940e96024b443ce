"""How far the outputs of models are apart, for a terminal and for Markdown."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from onnxcost.comparison.agreement import Agreement, OutputDifference, shape_text
from onnxcost.comparison.candidates import Comparison
from onnxcost.render.different_tables import lined_up
from onnxcost.render.escaping import plain
from onnxcost.render.glyphs import Glyphs, spelled
from onnxcost.render.layout import INDENT, Column, Line
from onnxcost.render.screen import Screen
from onnxcost.render.tables import Table
from onnxcost.render.terminal import table_lines
from onnxcost.render.units import exact, plural

MOST_OUTPUTS = 8
COLUMNS = (
    Column("Model", right=False, style="name", shrinks_to=12),
    Column("Output", right=False, shrinks_to=10),
    Column("Shape", right=False, style="faint", drop=4),
    Column("Largest", drop=5),
    Column("Difference"),
    Column("Relative", style="number"),
    Column("", right=False, style="faint", shrinks_to=12),
)


def agreement_title(comparison: Comparison) -> str:
    """Whose outputs the others are held against."""
    references = dict.fromkeys(agreement.reference for _, agreement in _agreements(comparison))
    return f"Outputs against {', '.join(references)}, from the same inputs"


def agreement_table(comparison: Comparison, glyphs: Glyphs) -> Table:
    """One row an output, of models with many of them those that are the farthest apart."""
    rows, notes = [], []
    for label, agreement in _agreements(comparison):
        shown = agreement.outputs
        if len(shown) > MOST_OUTPUTS:
            *rest, _ = ranked = sorted(shown, key=lambda each: each.distance)
            shown, rest = tuple(reversed(ranked[-MOST_OUTPUTS:])), ranked[:-MOST_OUTPUTS]
            notes.append(f"and {plural(len(rest), 'more output')} of {label}, none farther apart")
        rows += [_row(label, each) for each in shown]
    if rows:
        notes.append("Relative: the largest difference, divided by the largest magnitude in the first model's output")
    return lined_up(COLUMNS, rows, f" {glyphs.dot} ".join(notes), glyphs)


def agreement_sentences(comparison: Comparison) -> list[str]:
    """How inputs were fed that have not the same name or layout, outputs without a counterpart, and why there are none."""
    sentences = []
    for label, agreement in _agreements(comparison):
        fed = [
            f"{each.name} is {each.source}{', transposed' if each.is_transposed else ''}"
            for each in agreement.inputs
            if each.is_transposed or each.name != each.source
        ]
        sentences += [f"Inputs of {label}: {'; '.join(fed)}"] if fed else []
        sentences += [f"Outputs of {label} alone: {', '.join(agreement.alone)}"] if agreement.alone else []
        sentences += [f"Outputs of {label} not compared: {agreement.reason}"] if agreement.reason else []
    return sentences


def agreement_lines(comparison: Comparison, screen: Screen) -> list[Line]:
    """The outputs beside those of the first model; nothing where they were not compared."""
    if not any(_agreements(comparison)):
        return []
    lines: list[Line] = [((plain(agreement_title(comparison)), "title"),)]
    lines += table_lines(agreement_table(comparison, screen.glyphs), screen)
    for sentence in agreement_sentences(comparison):
        folded = textwrap.wrap(plain(spelled(sentence, screen.glyphs)), screen.width - INDENT, subsequent_indent="  ")
        lines += [((f"  {part}", ""),) for part in folded]
    return lines


def _agreements(comparison: Comparison) -> Iterator[tuple[str, Agreement]]:
    for model in comparison.candidates:
        if model.agreement:
            yield model.label, model.agreement


def _row(label: str, each: OutputDifference) -> tuple[str, ...]:
    return (
        label,
        each.name,
        shape_text(each.shape),
        number(each.largest),
        number(each.absolute),
        number(each.relative),
        "; ".join(remarks(each)),
    )


def number(value: float | None) -> str:
    """In three significant digits: ``1.23e-07``."""
    return "–" if value is None else "0" if value == 0 else f"{value:.2e}"


def remarks(each: OutputDifference) -> list[str]:
    """What there is to say of an output besides its numbers."""
    named = [f"is {each.other}"] if each.other not in ("", each.name) else []
    return [*named, *(["transposed"] if each.is_transposed else []), *_differing(each)]


def _differing(each: OutputDifference) -> list[str]:
    """What its numbers do not tell of the difference."""
    of = f"of {exact(each.elements)}"
    parts = {
        each.reason: each.reason,
        f"{exact(each.apart)} {of} NaN or infinite in one": each.apart,
        f"{exact(each.not_finite)} {of} NaN or infinite in both": each.not_finite,
        f"{exact(each.unequal)} {of} differ": each.unequal and each.absolute is None,
    }
    return [text for text, holds in parts.items() if holds]


def farthest_text(each: OutputDifference) -> str:
    """The output that is the farthest apart, in words: ``output 'y' differs by 1.23e-02``."""
    if each.reason:
        return f"output '{each.name}': {each.reason}"
    differs = [f"differs by {number(each.relative)}"] if each.relative else []
    return f"output '{each.name}' {', '.join(differs + _differing(each))}"
