"""A budget on the terminal: what to take, what would do after a change, what does not, and why."""

from __future__ import annotations

import textwrap
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence

from onnxcost.hardware.budgets import Assessment
from onnxcost.prediction import FITS, MARGINAL, NO, UNKNOWN, Verdict
from onnxcost.render.budget_text import (
    LIMITED,
    cause_text,
    causes_text,
    limits_text,
    need_text,
    price_text,
    remedy_text,
    rough,
    span_text,
    tightest,
)
from onnxcost.render.glyphs import Glyphs, spelled
from onnxcost.render.layout import INDENT, Column, Line, plain, table
from onnxcost.render.screen import Screen
from onnxcost.render.units import binary, plural, si

MOST: Mapping[str, int] = {FITS: 6, MARGINAL: 2, UNKNOWN: 1, NO: 4}
"""How many devices of a level are shown where nobody named them."""
HEADINGS: Mapping[str, str] = {
    FITS: "Fits", MARGINAL: "Marginal: the limit lies inside the range, or little is left", UNKNOWN: "Cannot be told",
    NO: "Does not fit",
}  # fmt: skip

Field = tuple[Column, Callable[[Verdict, Glyphs], str]]


def _left(verdict: Verdict, glyphs: Glyphs) -> str:
    headroom = tightest(verdict.fits).headroom
    return glyphs.none if headroom is None else binary(headroom)


def _bound(verdict: Verdict, glyphs: Glyphs) -> str:
    bound = verdict.prediction.bound
    return glyphs.none if bound is None else rough(1e3 * bound)


FIELDS: tuple[Field, ...] = (
    (Column("Price"), lambda verdict, glyphs: price_text(verdict) or glyphs.none),
    (Column("FPS"), lambda verdict, glyphs: span_text(verdict.prediction.fps, none=glyphs.none)),
    (Column("Latency, ms"), lambda verdict, glyphs: span_text(verdict.prediction.latency, 1e3, glyphs.none)),
    (Column("Bound, ms", drop=6), _bound),
    (Column("Memory", drop=1), lambda verdict, glyphs: need_text(tightest(verdict.fits), glyphs.none)),
    (Column("Left", drop=5), _left),
    (Column("Energy, J", drop=4), lambda verdict, glyphs: f"{glyphs.at_most}{rough(verdict.energy)}" if verdict.energy else glyphs.none),
    (Column("Limit", right=False, drop=2), lambda verdict, _: LIMITED.get(verdict.prediction.limit, "")),
)  # fmt: skip
CACHE_FIELDS: tuple[Field, ...] = (
    (Column("Tokens", drop=1), lambda verdict, glyphs: _most(verdict, "most_context", glyphs)),
    (Column("Batch", drop=1), lambda verdict, glyphs: _most(verdict, "most_batch", glyphs)),
)
REASON_FIELDS: tuple[Field, ...] = (
    (Column("Price"), lambda verdict, glyphs: price_text(verdict) or glyphs.none),
    (Column("Why", right=False, shrinks_to=20), lambda verdict, _: causes_text(verdict)),
    (Column("What would fit", right=False, shrinks_to=14), lambda verdict, glyphs: remedy_text(verdict, glyphs.none)),
)


def _most(verdict: Verdict, name: str, glyphs: Glyphs) -> str:
    value = getattr(verdict.cache, name, None)
    return glyphs.none if value is None else f"{value:,}"


def budget_lines(assessment: Assessment, screen: Screen, *, shows_all: bool = False) -> list[Line]:
    """The model and its budget, the answer in a sentence, a table for each level, and what the figures rest on."""
    lines = [*_header(assessment, screen), *_answer(assessment, screen)]
    for level in (FITS, MARGINAL, UNKNOWN, NO):
        found = [verdict for verdict in assessment.verdicts if verdict.level == level]
        if found:
            lines += _level(level, found, screen, all_of_them=shows_all or assessment.are_named)
    return [
        tuple((spelled(text, screen.glyphs), style) for text, style in line) for line in [*lines, *_legend(assessment, screen)]
    ]


def _header(assessment: Assessment, screen: Screen) -> list[Line]:
    report = assessment.report
    types = [group.key[0] for group in report.by_dtype() if any(cost.once.macs for cost in group.counted)]
    facts = [
        f"{si(report.macs)} MACs",
        f"{si(report.parameters)} parameters",
        *types,
        f"{binary(report.memory.weight_bytes)} of weights",
    ]
    about = f" {screen.glyphs.dot} ".join(facts)
    lines: list[Line] = [((plain(assessment.label), "title"), (f"  {about}", "faint"))]
    lines.append((("Budget", "label"), (f"  {limits_text(assessment.limits)}", "number")))
    for check in assessment.checks:
        kept = "kept" if check.level == FITS else f"not kept: {cause_text(check)}"
        lines.append((("  ", ""), (f"{check.what}: {kept}", "" if check.level == FITS else "caution")))
    return lines


def _answer(assessment: Assessment, screen: Screen) -> list[Line]:
    """What to take, in a sentence or two."""
    if assessment.are_named or not assessment.verdicts:
        return [()]
    best = assessment.verdicts[0]
    sentences = []
    if best.level == FITS:
        sentences.append(f"Cheapest that fits: {_described(best)}.")
    else:
        sentences.append("No device of the catalogue keeps the budget for sure.")
    limit = best.price if best.level == FITS and best.price is not None else float("inf")
    cheaper = [verdict for verdict in assessment.verdicts if _fits_changed(verdict) and (verdict.price or limit) < limit]
    if cheaper:
        other = min(cheaper, key=lambda verdict: verdict.price or 0.0)
        sentences.append(f"Cheaper with the model changed: {other.title}, {price_text(other)}, {remedy_text(other)}.")
    return [(), *_wrapped(" ".join(sentences), screen, "number")]


def _fits_changed(verdict: Verdict) -> bool:
    return any(remedy.verdict.level == FITS for remedy in verdict.remedies)


def _described(verdict: Verdict) -> str:
    speed = f", {span_text(verdict.prediction.fps)} FPS" if verdict.prediction.fps else ""
    limited = LIMITED.get(verdict.prediction.limit, "")
    return f"{verdict.title}, {price_text(verdict) or 'price not known'}{speed}{f', most of the time on {limited}' if limited else ''}"


def _level(level: str, found: Sequence[Verdict], screen: Screen, *, all_of_them: bool) -> list[Line]:
    shown = list(found) if all_of_them else _distinct(found)[: MOST[level]]
    fields = REASON_FIELDS if level in (NO, UNKNOWN) else (*FIELDS, *(CACHE_FIELDS if any(v.cache for v in shown) else ()))
    columns = [Column(HEADINGS[level].partition(":")[0], right=False, style="name"), *(column for column, _ in fields)]
    rows = [[_name(verdict), *(cell(verdict, screen.glyphs) for _, cell in fields)] for verdict in shown]
    lines = [(), *table(columns, rows, screen.width, screen.glyphs)]
    kept = {verdict.name for verdict in shown}
    rest = Counter(verdict.kind for verdict in found if verdict.name not in kept)
    if rest:
        listed = ", ".join(f"{count} {kind}" for kind, count in rest.most_common())
        lines += _wrapped(f"and {plural(rest.total(), 'more')[:-1] if rest.total() > 1 else '1 more'}: {listed}", screen)
    return lines


def _distinct(found: Iterable[Verdict]) -> list[Verdict]:
    """Of devices that differ in their memory alone the first."""
    seen = {}
    for verdict in found:
        seen.setdefault(
            (verdict.kind, verdict.prediction.bound, verdict.prediction.latency, verdict.power, causes_text(verdict)), verdict
        )
    return list(seen.values())


def _name(verdict: Verdict) -> str:
    return verdict.name + ("*" if verdict.prediction.runs_as else "")


def _legend(assessment: Assessment, screen: Screen) -> list[Line]:
    """What the figures rest on, what runs in other types, and where to look further."""
    verdicts = assessment.verdicts
    bases = sorted({latency.basis for verdict in verdicts if (latency := verdict.prediction.latency)})
    sentences = []
    if "estimate" in bases:
        sentences.append(
            "FPS and latency are estimates: each step's work and traffic at the efficiency that such devices usually reach."
        )
    if "prediction" in bases:
        sentences.append("Of calibrated machines they are predictions, from rates measured there.")
    types = Counter(f"{dtype} as {other}" for verdict in verdicts for dtype, other in verdict.prediction.runs_as.items())
    if types:
        sentences.append(f"* computes {', '.join(types)}.")
    if cache := next((verdict.cache for verdict in verdicts if verdict.cache), None):
        sentences.append(
            f"The cache of keys and values takes {binary(cache.token_bytes)} a token; Tokens and Batch are the most that fit, the other as given."
        )
    sentences += dict.fromkeys(
        f"{note[:1].upper()}{note[1:]}." for verdict in verdicts[:1] for note in verdict.prediction.notes
    )
    if not assessment.are_named:
        sentences.append("Cheapest first, by launch price of the device alone, then by power.")
    sentences.append("--explain NAME shows the sum, and the command that measures it.")
    return [(), *_wrapped(" ".join(sentences), screen, "faint")]


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
            level = NO if each.failed else FITS
            why = "; ".join(cause_text(check) for check in (each.failed or each.checks))
            rows.append([each.label, screen.glyphs.none, level, screen.glyphs.none, why if each.failed else "MACs, parameters"])
        for verdict in each.verdicts:
            why = causes_text(verdict) if verdict.cause else limits_text(each.limits)
            rows.append(
                [each.label, verdict.name, verdict.level, span_text(verdict.prediction.fps, none=screen.glyphs.none), why]
            )
    lines = table(CHECKED, rows, screen.width, screen.glyphs)
    return [tuple((spelled(text, screen.glyphs), style) for text, style in line) for line in lines]
