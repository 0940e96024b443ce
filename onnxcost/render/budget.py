"""A budget as terminal text, JSON, CSV and Markdown: which devices fit, which would after a change, and why others do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

from onnxcost.costs import Group
from onnxcost.generation.limits import DecoderAssessment
from onnxcost.hardware.budget import COST, ORDERS, Assessment, Totals, Verdicts
from onnxcost.hardware.prediction import BASES, FITS, MARGINAL, NO, UNKNOWN, Verdict
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import TableField, build_table, csv_text, markdown_table, table_lines
from onnxcost.render.layout import (
    Column,
    Glyphs,
    Line,
    Screen,
    crop,
    paragraph,
    spell_out,
    spell_out_all,
    table,
    text_width,
    wrap_pieces,
)
from onnxcost.render.units import binary, exact, si
from onnxcost.render.verdict import (
    LIMITED,
    WORDS,
    cause_text,
    causes_text,
    cost_text,
    evidence_text,
    interval_text,
    latency_text,
    limits_text,
    need_text,
    price_text,
    remedy_text,
    rough_text,
    tightest,
)
from onnxcost.results import group_by

BudgetField = TableField[Verdict, Glyphs]


def _name_field(title: str) -> BudgetField:
    """The column of the devices' names, marked if they compute in another type."""
    return Column(title, right=False, style="name"), lambda verdict, _: verdict.name + "*" * bool(verdict.prediction.runs_as)


def _field(column: Column, of: Callable[[Verdict], float | None], write: Callable[[Any], str]) -> BudgetField:
    """A column of numbers, with the text of a known number."""
    return column, lambda verdict, glyphs: glyphs.none if (value := of(verdict)) is None else spell_out(write(value), glyphs)


FIELDS: tuple[BudgetField, ...] = (
    (Column("Price"), lambda verdict, glyphs: price_text(verdict) or glyphs.none),
    (Column("Runtime", right=False, drop=1), lambda verdict, glyphs: verdict.prediction.runtime or glyphs.none),
    (Column("FPS"), lambda verdict, glyphs: interval_text(verdict.prediction.fps, none=glyphs.none)),
    (Column("Evidence", right=False, drop=2), lambda verdict, glyphs: evidence_text(verdict) or glyphs.none),
    (Column("Latency, ms", drop=3), lambda verdict, glyphs: interval_text(verdict.prediction.latency, 1e3, glyphs.none)),
    _field(Column("Bound, ms", drop=6), lambda verdict: verdict.prediction.bound, lambda bound: rough_text(1e3 * bound)),
    (Column("Memory", drop=3), lambda verdict, glyphs: need_text(tightest(verdict.fits), glyphs.none)),
    _field(Column("Left", drop=5), lambda verdict: tightest(verdict.fits).headroom, binary),
    _field(Column("Energy, J", drop=4), lambda verdict: verdict.energy, lambda energy: f"≤ {rough_text(energy)}"),
)
CACHE_FIELDS: tuple[BudgetField, ...] = (
    _field(Column("Tokens", drop=3), lambda verdict: verdict.cache and verdict.cache.most_context, exact),
    _field(Column("Batch", drop=3), lambda verdict: verdict.cache and verdict.cache.most_batch, exact),
)
LIMIT: BudgetField = (Column("Limited by", right=False, drop=7), lambda verdict, _: LIMITED.get(verdict.prediction.limit, ""))
COST_FIELD: BudgetField = (Column("$/million"), lambda verdict, glyphs: cost_text(verdict) or glyphs.none)
REASONS: tuple[BudgetField, ...] = (
    (Column("Price", drop=2), lambda verdict, glyphs: price_text(verdict) or glyphs.none),
    (Column("Why", right=False, shrinks_to=20), lambda verdict, _: causes_text(verdict)),
    (Column("What would fit", right=False, shrinks_to=24, drop=1), lambda verdict, glyphs: remedy_text(verdict, glyphs.none)),
)

MOST: Mapping[str, int] = {FITS: 4, MARGINAL: 2, NO: 3, UNKNOWN: 0}
"""How many devices of a level are shown if none were named, so that the answer fits on one screen."""

SORTED: Mapping[str, str] = {
    "price": "Cheapest first, by launch price of the device, then power.",
    "cost": "Cheapest first: $/million is the cost of a million inferences on a fully used instance ('onnxcost devices NAME' "
    "shows the date and source of its hourly price; --price NAME=0.53 sets it).",
}
MARGINS = ("the limit is inside the range", "or little memory is left")


def budget_lines(assessment: Assessment, screen: Screen, *, shows_all: bool = False) -> list[Line]:
    """The model and its budget, the answer in a sentence, the devices that fit, those that do not, and the evidence for the
    figures.
    """
    report = assessment.report
    facts = facts_of(report, report.by_dtype(), report.memory.weight_bytes)
    return spell_out_all(
        [*header_lines(assessment, facts, screen), *device_lines(assessment, screen, shows_all)], screen.glyphs
    )


def device_lines(assessment: Verdicts, screen: Screen, shows_all: bool = False) -> list[Line]:
    """The answer in a sentence, the devices that fit, those that do not, and what figures rest on."""
    most = {} if shows_all or assessment.are_named else MOST
    fitting, others = _shown(assessment, (FITS, MARGINAL), most), _shown(assessment, (NO, UNKNOWN), most)
    lines = [*_answer(assessment, screen), *_fitting(assessment, fitting, screen), *_others(assessment, others, screen)]
    return [*lines, *_legend(assessment, [*fitting, *others], screen)]


def facts_of(totals: Totals, by_dtype: Sequence[Group], weight_bytes: int) -> list[str]:
    """The counts of the model with the budget: MACs, parameters, the types of both, and the bytes of the weights."""
    types = [group.key[0] for group in by_dtype if group.work.macs]
    return [
        f"{si(totals.macs)} MACs",
        f"{si(totals.parameters)} parameters",
        *types,
        f"{binary(weight_bytes)} of weights",
    ]


def header_lines(assessment: Verdicts, facts: Sequence[str], screen: Screen) -> list[Line]:
    """The model and its budget, its counts, and the limits that do not depend on a device."""
    label = crop(plain(assessment.label), screen.width, screen.glyphs.ellipsis)
    asked = limits_text(assessment.limits)
    lines: list[Line] = [((label, "title"), ("  budget: ", "label"), (asked, "number"))]
    if sum(text_width(text) for text, _ in lines[0]) > screen.width:
        lines = [((label, "title"),), *paragraph(f"budget: {asked}", screen.width, "number")]
    lines += paragraph(f" {screen.glyphs.dot} ".join(facts), screen.width)
    for check in assessment.checks:
        text = f"{'met' if check.level == FITS else 'not met'}: {cause_text(check)}"
        lines += paragraph(text, screen.width, "" if check.level == FITS else "caution")
    return lines


def _answer(assessment: Verdicts, screen: Screen) -> list[Line]:
    """The device to choose, and what would be cheaper."""
    if assessment.are_named or not assessment.verdicts:
        return []
    best, rate = assessment.verdicts[0], _rate_title(assessment).replace("Tokens", "tokens")
    fits = best.level == FITS
    none = f"No device in the catalog {'is certain to meet' if best.level == MARGINAL else 'meets'} the budget."
    sentences = [f"Cheapest that fits: {_describe(best, assessment.order, rate)}." if fits else none]
    unsure_as, changed_as = (
        ("Cheaper but unsure", "Cheaper with the model changed") if fits else ("Unsure", "With a changed model")
    )
    figure = ORDERS[assessment.order]
    highest = figure(best) if fits else None
    known = [(verdict, value) for verdict in assessment.verdicts if (value := figure(verdict)) is not None]
    cheaper = [verdict for verdict, value in known if highest is None or value < highest]
    unsure = next((verdict for verdict in cheaper if verdict.level == MARGINAL), None)
    unfit = (verdict for verdict in cheaper if verdict.level == NO)
    changed = next((each for each in unfit if any(remedy.verdict.level == FITS for remedy in each.remedies)), None)
    if unsure:
        sentences.append(f"{unsure_as}: {_describe(unsure, assessment.order, rate)}.")
    if changed:
        sentences.append(f"{changed_as}: {changed.title}, {price_text(changed)}, {remedy_text(changed)}.")
    return paragraph(" ".join(sentences), screen.width, "number")


def _describe(verdict: Verdict, order: str, rate: str) -> str:
    cost = f", ${cost_text(verdict)} per million" if order == COST and verdict.cost else ""
    prediction = verdict.prediction
    speed = f", {interval_text(prediction.fps)} {rate}" if prediction.fps else ""
    speed += f" with {prediction.runtime}" if speed and prediction.runtime else ""
    return f"{verdict.title}, {price_text(verdict) or 'price not known'}{cost}{speed}"


def _rate_title(assessment: Verdicts) -> str:
    """The title of the rate: an item of a decode step is a token."""
    return "Tokens/s" if isinstance(assessment, DecoderAssessment) else "FPS"


def _fitting(assessment: Verdicts, shown: Sequence[Verdict], screen: Screen) -> list[Line]:
    """The devices that fit, and below them those that are marginal."""
    if not shown:
        return []
    price, runtime, (column, rate), *others = FIELDS
    own = (price, runtime, (column._replace(title=_rate_title(assessment)), rate), *others)
    fields = (*own, *(CACHE_FIELDS if any(verdict.cache for verdict in shown) else ()), LIMIT)
    if assessment.order == COST:
        fields = (FIELDS[0], COST_FIELD, *fields[1:])
    first = "Fits" if shown[0].level == FITS else "Marginal"
    header, *body = table_lines(build_table((_name_field(first), *fields), shown, screen.glyphs), screen)
    lines: list[Line] = [(), header]
    for level, pairs in groupby(zip(shown, body, strict=True), key=lambda pair: pair[0].level):
        rows = list(pairs)
        if level == MARGINAL and first == "Fits":
            lines += wrap_pieces((("  Marginal: ", "header"),), MARGINS, ", ", screen.width, "faint")
        lines += [
            *(line for _, line in rows),
            *_rest(_verdicts_at(assessment, level), [verdict for verdict, _ in rows], screen),
        ]
    return lines


def _others(assessment: Verdicts, shown: Sequence[Verdict], screen: Screen) -> list[Line]:
    """The devices that do not fit, and those with unknown figures, with the reasons and what would fit."""
    if not shown:
        return []
    lines = table_lines(build_table((_name_field("Does not fit"), *REASONS), shown, screen.glyphs), screen)
    return [(), *lines, *_rest([*_verdicts_at(assessment, NO), *_verdicts_at(assessment, UNKNOWN)], shown, screen)]


def _verdicts_at(assessment: Verdicts, level: str) -> list[Verdict]:
    return [verdict for verdict in assessment.verdicts if verdict.level == level]


def _shown(assessment: Verdicts, levels: Sequence[str], most: Mapping[str, int]) -> list[Verdict]:
    """The first devices of each level, if their number is limited; only one of those that differ only in memory."""

    def figures(verdict: Verdict) -> tuple[object, ...]:
        prediction = verdict.prediction
        return (verdict.kind, prediction.bound, prediction.latency, verdict.power, verdict.title.split()[:2][-1])

    shown: list[Verdict] = []
    for level in levels:
        found = _verdicts_at(assessment, level)
        if most and len(found) > most[level]:
            alike = group_by(found, figures)
            found = [members[0] for members in alike.values()][: most[level]]
        shown += found
    return shown


def _rest(found: Sequence[Verdict], shown: Sequence[Verdict], screen: Screen) -> list[Line]:
    """How many more there are, by kind."""
    names = {verdict.name for verdict in shown}
    kinds = Counter(verdict.kind for verdict in found if verdict.name not in names)
    listed = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return paragraph(f"and {kinds.total()} more: {listed}", screen.width) if kinds else []


def _legend(assessment: Verdicts, shown: Sequence[Verdict], screen: Screen) -> list[Line]:
    """The evidence for the figures, what runs in other types, and where to find more."""
    bases = {latency.basis for verdict in shown if (latency := verdict.prediction.latency)}
    listed = "; ".join(f"{basis}, {WORDS[basis]}" for basis in BASES if basis in bases)
    how = "--explain NAME shows more"
    if isinstance(assessment, DecoderAssessment):
        how = "for a decode step: 'onnxcost llm' shows what it reads"
    sentences = [f"Evidence: {listed} ({how})."] if bases else []
    if not assessment.are_named and shown:
        sentences.append(SORTED[assessment.order])
    types = sorted({pair for verdict in shown for pair in verdict.prediction.runs_as.items()})
    if types:
        alike = group_by(types, lambda pair: pair[0])
        changes = (f"{dtype} as {' or '.join(other for _, other in pairs)}" for dtype, pairs in alike.items())
        sentences.append(f"* computes {', '.join(changes)}.")
    if cache := next((verdict.cache for verdict in shown if verdict.cache), None):
        sentences.append(
            f"Keys and values take {binary(cache.token_bytes)} per token. Tokens is the longest context that fits with"
        )
        sentences.append(f"batch {cache.batch}, Batch the largest with {cache.context:,} tokens.")
    sentences += dict.fromkeys(f"{note[:1].upper()}{note[1:]}." for verdict in shown for note in verdict.prediction.notes)
    return [(), *paragraph(" ".join(sentences), screen.width)] if sentences else []


CHECKED = (
    Column("Model", right=False, style="name", shrinks_to=14),
    Column("Device", right=False, shrinks_to=14),
    Column("Fit", right=False),
    Column("FPS", drop=1),
    Column("Why", right=False, shrinks_to=20),
)


def check_lines(assessments: Sequence[Verdicts], screen: Screen) -> list[Line]:
    """A line for each model's own limits, and for each model on each device."""
    rows = []
    for each in assessments:
        if each.checks:
            level, why = (NO if each.failed else FITS), "; ".join(map(cause_text, each.failed or each.checks))
            rows.append([each.label, screen.glyphs.none, level, screen.glyphs.none, why])
        for verdict in each.verdicts:
            fps = interval_text(verdict.prediction.fps, none=screen.glyphs.none)
            rows.append([each.label, verdict.name, verdict.level, fps, causes_text(verdict)])
    return spell_out_all(table(CHECKED, rows, screen.width, screen.glyphs), screen.glyphs)


HEADER = (
    "model", "device", "title", "kind", "level", "cause", "price", "power", "bound", "latency_low", "latency_high", "fps_low",
    "fps_high", "basis", "limit", "memory_needed", "memory_available", "flash_needed", "flash_available", "energy_at_most",
    "runs_as", "change", "change_level", "change_fps_low", "change_fps_high", "hourly", "cost_low", "cost_high",
)  # fmt: skip


def budget_csv(assessments: Sequence[Verdicts]) -> str:
    """A line for each device of each model, in base units."""
    return csv_text(HEADER, [_csv_row(each.label, verdict) for each in assessments for verdict in each.verdicts])


def _csv_row(label: str, verdict: Verdict) -> list[object]:
    prediction, fits = verdict.prediction, {fit.what: fit for fit in verdict.fits}
    latency, fps = prediction.latency or (None, None, None), prediction.fps or (None, None, None)
    remedy = verdict.remedies[0] if verdict.remedies else None
    after = (remedy.verdict.prediction.fps if remedy else None) or (None, None, None)
    memory, flash = fits.get("memory"), fits.get("flash")
    return [
        label, verdict.name, verdict.title, verdict.kind, verdict.level, causes_text(verdict) if verdict.cause else None,
        verdict.price, verdict.power, prediction.bound, *latency[:2], *fps[:2], latency[2], prediction.limit,
        memory and memory.needed, memory and memory.available, flash and flash.needed, flash and flash.available,
        verdict.energy, "; ".join(f"{dtype}={other}" for dtype, other in prediction.runs_as.items()),
        remedy and remedy.change, remedy and remedy.verdict.level, *after[:2],
        verdict.hourly, *(verdict.cost or (None, None))[:2],
    ]  # fmt: skip


def budget_markdown(assessments: Sequence[Verdicts]) -> str:
    """A table for each model."""
    return "\n\n".join(_section(each) for each in assessments) + "\n"


def _section(assessment: Verdicts) -> str:
    by_cost = assessment.order == COST
    titles = ["Device", "Fit", "Price", *(["$/million"] if by_cost else []), "FPS", "Latency", "Memory"]
    right = [False, False, *[True] * (len(titles) - 2), False, False, False]
    titles += ["Limit", "Why not", "What would fit"]
    rows = [
        [
            verdict.name, verdict.level, price_text(verdict), *([cost_text(verdict)] if by_cost else []),
            interval_text(verdict.prediction.fps),
            latency_text(verdict.prediction.latency) if verdict.prediction.latency else "–",
            need_text(tightest(verdict.fits)), LIMITED.get(verdict.prediction.limit, ""),
            causes_text(verdict) if verdict.cause else "", remedy_text(verdict, ""),
        ]
        for verdict in assessment.verdicts
    ]  # fmt: skip
    bases = sorted({latency.basis for verdict in assessment.verdicts if (latency := verdict.prediction.latency)})
    about = f"Budget: {limits_text(assessment.limits)}. FPS and latency: {' and '.join(bases) or 'not known'}."
    return "\n".join([f"### {markdown(assessment.label)}", "", markdown(about), "", *markdown_table(titles, right, rows)])
