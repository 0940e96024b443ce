"""A budget on the terminal: what to take, what would do after a change, what does not, and why."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import groupby

from onnxcost.hardware.budgets import Assessment
from onnxcost.prediction import FITS, MARGINAL, NO, UNKNOWN, Verdict
from onnxcost.render.budget_fields import CACHE_FIELDS, FIELDS, LIMIT, REASONS, Field
from onnxcost.render.budget_text import (
    cause_text,
    causes_text,
    limits_text,
    price_text,
    remedy_text,
    span_text,
)
from onnxcost.render.escaping import plain, shortened
from onnxcost.render.glyphs import spelled
from onnxcost.render.layout import INDENT, Column, Line, table, wrapped
from onnxcost.render.screen import Screen
from onnxcost.render.units import binary, si

MOST: Mapping[str, int] = {FITS: 4, MARGINAL: 2, NO: 3, UNKNOWN: 0}
"""How many devices of a level are shown where nobody named them: so many that the answer is on one screen."""

MARGINS = ("the limit is inside the range", "or little memory is left")


def budget_lines(assessment: Assessment, screen: Screen, *, shows_all: bool = False) -> list[Line]:
    """The model and its budget, the answer in a sentence, the devices that fit, those that do not, and what figures rest on."""
    most = {} if shows_all or assessment.are_named else MOST
    fitting, others = _shown(assessment, (FITS, MARGINAL), most), _shown(assessment, (NO, UNKNOWN), most)
    lines = [*_header(assessment, screen), *_answer(assessment, screen)]
    lines += [*_fitting(assessment, fitting, screen), *_others(assessment, others, screen)]
    lines += _legend(assessment, [*fitting, *others], screen)
    return [tuple((spelled(text, screen.glyphs), style) for text, style in line) for line in lines]


def _header(assessment: Assessment, screen: Screen) -> list[Line]:
    report = assessment.report
    types = [group.key[0] for group in report.by_dtype() if group.work.macs]
    facts = [f"{si(report.macs)} MACs", f"{si(report.parameters)} parameters", *types]
    facts.append(f"{binary(report.memory.weight_bytes)} of weights")
    label = shortened(plain(assessment.label), screen.width, screen.glyphs.ellipsis)
    asked = limits_text(assessment.limits)
    lines: list[Line] = [((label, "title"), ("  budget: ", "label"), (asked, "number"))]
    if sum(len(text) for text, _ in lines[0]) > screen.width:
        lines = [((label, "title"),), *_wrapped(f"budget: {asked}", screen, "number")]
    lines += _wrapped(f" {screen.glyphs.dot} ".join(facts), screen)
    for check in assessment.checks:
        text = f"{'kept' if check.level == FITS else 'not kept'}: {cause_text(check)}"
        lines += _wrapped(text, screen, "" if check.level == FITS else "caution")
    return lines


def _answer(assessment: Assessment, screen: Screen) -> list[Line]:
    """What to take, and what would be cheaper."""
    if assessment.are_named or not assessment.verdicts:
        return []
    best = assessment.verdicts[0]
    fits = best.level == FITS
    none = f"No device of the catalogue keeps the budget{' for sure' if best.level == MARGINAL else ''}."
    sentences = [f"Cheapest that fits: {_described(best)}." if fits else none]
    unsure_as, changed_as = (
        ("Cheaper but unsure", "Cheaper with the model changed") if fits else ("Unsure", "With a changed model")
    )
    dearest = best.price if fits and best.price is not None else float("inf")
    cheaper = [verdict for verdict in assessment.verdicts if verdict.price is not None and verdict.price < dearest]
    unsure = next((verdict for verdict in cheaper if verdict.level == MARGINAL), None)
    changed = next((verdict for verdict in cheaper if verdict.level == NO and _fits_changed(verdict)), None)
    if unsure:
        sentences.append(f"{unsure_as}: {_described(unsure)}.")
    if changed:
        sentences.append(f"{changed_as}: {changed.title}, {price_text(changed)}, {remedy_text(changed)}.")
    return _wrapped(" ".join(sentences), screen, "number")


def _fits_changed(verdict: Verdict) -> bool:
    return any(remedy.verdict.level == FITS for remedy in verdict.remedies)


def _described(verdict: Verdict) -> str:
    speed = f", {span_text(verdict.prediction.fps)} FPS" if verdict.prediction.fps else ""
    return f"{verdict.title}, {price_text(verdict) or 'price not known'}{speed}"


def _fitting(assessment: Assessment, shown: Sequence[Verdict], screen: Screen) -> list[Line]:
    """The devices that fit, and below them those that are marginal."""
    if not shown:
        return []
    fields = (*FIELDS, *(CACHE_FIELDS if any(verdict.cache for verdict in shown) else ()), LIMIT)
    first = "Fits" if shown[0].level == FITS else "Marginal"
    columns = [Column(first, right=False, style="name"), *(column for column, _ in fields)]
    header, *body = table(columns, [_row(verdict, fields, screen) for verdict in shown], screen.width, screen.glyphs)
    lines: list[Line] = [(), header]
    for level, pairs in groupby(zip(shown, body, strict=True), key=lambda pair: pair[0].level):
        rows = list(pairs)
        if level == MARGINAL and first == "Fits":
            lines += wrapped((("  Marginal: ", "header"),), MARGINS, ", ", screen.width, "faint")
        lines += [*(line for _, line in rows), *_rest(_at(assessment, level), [verdict for verdict, _ in rows], screen)]
    return lines


def _others(assessment: Assessment, shown: Sequence[Verdict], screen: Screen) -> list[Line]:
    """The devices that do not fit, and those of which that cannot be told, with the reasons and what would fit."""
    if not shown:
        return []
    columns = [Column("Does not fit", right=False, style="name"), *(column for column, _ in REASONS)]
    rows = [_row(verdict, REASONS, screen) for verdict in shown]
    found = [*_at(assessment, NO), *_at(assessment, UNKNOWN)]
    return [(), *table(columns, rows, screen.width, screen.glyphs), *_rest(found, shown, screen)]


def _at(assessment: Assessment, level: str) -> list[Verdict]:
    return [verdict for verdict in assessment.verdicts if verdict.level == level]


def _shown(assessment: Assessment, levels: Sequence[str], most: Mapping[str, int]) -> list[Verdict]:
    """Of each level the first ones, where there is a most: of devices that differ in their memory alone one."""
    shown: list[Verdict] = []
    for level in levels:
        found = _at(assessment, level)
        if most and len(found) > most[level]:
            shown += _distinct(found)[: most[level]]
        else:
            shown += found
    return shown


def _distinct(found: Sequence[Verdict]) -> list[Verdict]:
    seen: dict[object, Verdict] = {}
    for verdict in found:
        prediction = verdict.prediction
        seen.setdefault(
            (verdict.kind, prediction.bound, prediction.latency, verdict.power, verdict.title.split()[:2][-1]), verdict
        )
    return list(seen.values())


def _row(verdict: Verdict, fields: Sequence[Field], screen: Screen) -> list[str]:
    name = verdict.name + ("*" if verdict.prediction.runs_as else "")
    return [name, *(cell(verdict, screen.glyphs) for _, cell in fields)]


def _rest(found: Sequence[Verdict], shown: Sequence[Verdict], screen: Screen) -> list[Line]:
    """How many more there are, by kind."""
    names = {verdict.name for verdict in shown}
    kinds = Counter(verdict.kind for verdict in found if verdict.name not in names)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return _wrapped(f"and {kinds.total()} more: {listed}", screen) if kinds else []


def _legend(assessment: Assessment, shown: Sequence[Verdict], screen: Screen) -> list[Line]:
    """What the figures rest on, what runs in other types, and where to look further."""
    bases = sorted({latency.basis for verdict in shown if (latency := verdict.prediction.latency)})
    sentences = [f"FPS and latency: {' or '.join(bases)} (--explain NAME: the sum, and how to measure it)."] if bases else []
    if not assessment.are_named and shown:
        sentences.append("Cheapest first, by launch price of the device alone, then by power.")
    types = {f"{dtype} as {other}" for verdict in shown for dtype, other in verdict.prediction.runs_as.items()}
    if types:
        sentences.append(f"* computes {' or '.join(sorted(types))}.")
    if cache := next((verdict.cache for verdict in shown if verdict.cache), None):
        sentences.append(
            f"Keys and values take {binary(cache.token_bytes)} a token: Tokens is the longest context that fits with"
        )
        sentences.append(f"batch {cache.batch}, Batch the largest with {cache.context:,} tokens.")
    sentences += dict.fromkeys(f"{note[:1].upper()}{note[1:]}." for verdict in shown for note in verdict.prediction.notes)
    return [(), *_wrapped(" ".join(sentences), screen)] if sentences else []


def _wrapped(text: str, screen: Screen, style: str = "faint") -> list[Line]:
    return [((f"  {part}", style),) for part in textwrap.wrap(plain(text), screen.width - INDENT, break_on_hyphens=False)]


CHECKED = (
    Column("Model", right=False, style="name", shrinks_to=14),
    Column("Device", right=False, shrinks_to=14),
    Column("Fit", right=False),
    Column("FPS", drop=1),
    Column("Why", right=False, shrinks_to=20),
)


def checked_lines(assessments: Sequence[Assessment], screen: Screen) -> list[Line]:
    """A line for each model's own limits, and for each model on each device."""
    rows = []
    for each in assessments:
        if each.checks:
            level, why = (NO if each.failed else FITS), "; ".join(map(cause_text, each.failed or each.checks))
            rows.append([each.label, screen.glyphs.none, level, screen.glyphs.none, why])
        for verdict in each.verdicts:
            fps = span_text(verdict.prediction.fps, none=screen.glyphs.none)
            rows.append([each.label, verdict.name, verdict.level, fps, causes_text(verdict)])
    lines = table(CHECKED, rows, screen.width, screen.glyphs)
    return [tuple((spelled(text, screen.glyphs), style) for text, style in line) for line in lines]
