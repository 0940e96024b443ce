"""A pipeline as terminal text, Markdown, CSV: a row for each stage, and the total."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onnxcost.generation.limits import PipelineAssessment
from onnxcost.generation.pipeline import Pipeline, Stage
from onnxcost.hardware.prediction import Interval
from onnxcost.measurement import Measurement
from onnxcost.render.budget import budget_markdown, device_lines, facts_of, header_lines
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import (
    Table,
    TableField,
    build_table,
    csv_text,
    heading_lines,
    join_blocks,
    label_of,
    space_blocks,
    table_lines,
    table_markdown,
)
from onnxcost.render.layout import UNICODE, Column, Glyphs, Line, Screen, spell_out, spell_out_all, wrap_pieces
from onnxcost.render.measurement import describe_device, interval_text
from onnxcost.render.overview import sum_up
from onnxcost.render.units import binary, count_text, exact, plural, rate, seconds, share, si, time_unit
from onnxcost.render.verdict import latency_text
from onnxcost.results import group_by


class PipelineRow(NamedTuple):
    """A stage, or the total; None for what cannot be added up or is unknown."""

    name: str
    runs: int
    bound: str
    macs: int
    flops: int
    traffic: int
    parameters: int
    weight_bytes: int
    peak: int | None
    time: float | None
    measurement: Measurement | None = None


def pipeline_rows(pipeline: Pipeline) -> list[PipelineRow]:
    """A row for each stage, and one for the total."""
    rows = []
    for stage in pipeline.stages:
        counts, memory = stage.counts, stage.report.memory
        measured = stage.measurement if isinstance(stage.measurement, Measurement) else None
        rows.append(
            PipelineRow(
                stage.name, stage.runs, stage.bound, counts["macs"], counts["flops"],
                counts["read_bytes"] + counts["write_bytes"], memory.parameters, memory.weight_bytes, stage.summed.peak,
                stage.seconds, measured,
            )
        )  # fmt: skip
    traffic = pipeline.total("read_bytes") + pipeline.total("write_bytes")
    largest = pipeline.largest
    total = PipelineRow(
        "Total", pipeline.runs, pipeline.bound, pipeline.macs, pipeline.flops, traffic, pipeline.parameters,
        pipeline.weight_bytes, None if largest is None else largest.summed.peak, pipeline.seconds,
    )  # fmt: skip
    return [*rows, total]


class PipelineContext(NamedTuple):
    """What the cells of a table need in addition to their row."""

    glyphs: Glyphs
    total: PipelineRow


Field = TableField[PipelineRow, PipelineContext]


def _bytes(value: int | None) -> str:
    return "?" if value is None else binary(value)


def _time(value: float | None, glyphs: Glyphs) -> str:
    return "?" if value is None else spell_out(seconds(value), glyphs)


NAME: Field = (Column("Stage", right=False, style="name", shrinks_to=14), lambda row, _: row.name)
RUNS: Field = (Column("Runs"), lambda row, _: exact(row.runs))
COUNT_FIELDS: tuple[Field, ...] = (
    (Column("MACs"), lambda row, of: of.glyphs.bound(row.bound) + si(row.macs)),
    (Column("FLOPs", drop=3), lambda row, of: of.glyphs.bound(row.bound) + si(row.flops)),
    (Column("of FLOPs", drop=6), lambda row, of: share(row.flops, of.total.flops)),
    (Column("Params", drop=5), lambda row, _: si(row.parameters)),
    (Column("Weights"), lambda row, _: binary(row.weight_bytes)),
    (Column("Activations", drop=2), lambda row, _: _bytes(row.peak)),
    (Column("Traffic", drop=4), lambda row, _: binary(row.traffic)),
)
LATENCY: Field = (
    Column("Latency", style="number"),
    lambda row, of: _time(row.measurement.latency.median, of.glyphs) if row.measurement else "",
)
TIME: Field = (Column("Time"), lambda row, of: _time(row.time, of.glyphs))
TIME_FIELDS: tuple[Field, ...] = (
    LATENCY,
    (
        Column("95 % confidence", drop=3),
        lambda row, _: (
            interval_text(row.measurement.latency, time_unit(row.measurement.latency.median)) if row.measurement else ""
        ),
    ),
    TIME,
    (Column("of time", drop=2), lambda row, of: share(row.time, of.total.time) if row.time and of.total.time else ""),
    (
        Column("Achieved", drop=1),
        lambda row, of: of.glyphs.bound(row.bound) + rate(row.flops / row.time, "FLOP/s") if row.time else "?",
    ),
    (
        Column("Memory", drop=4),
        lambda row, _: _bytes(row.measurement.memory.peak_rss_bytes) if row.measurement else "",
    ),
)


def pipeline_table(pipeline: Pipeline, glyphs: Glyphs, *, counts: bool = True) -> Table:
    """A row for each stage and the total, with the counts if ``counts``, and the measured times."""
    rows = pipeline_rows(pipeline)
    is_timed = any(row.measurement for row in rows)
    fields = [NAME, RUNS, *COUNT_FIELDS, *((LATENCY, TIME) if is_timed else ())] if counts else [NAME, RUNS, *TIME_FIELDS]
    return build_table(fields, rows, PipelineContext(glyphs, rows[-1]))


def pipeline_notes(pipeline: Pipeline) -> list[tuple[str, list[str]]]:
    """How the stages run and fit each other: labels, each with some pieces of text."""
    found: list[tuple[str, list[str]]] = []
    for stage in pipeline.stages:
        for growth in stage.growth:
            text = f"{growth.name} = {growth.start} to {growth.at(stage.runs - 1)} in {stage.name}"
            found.append(("Grows", [text, _how_summed(stage)]))
    shared = group_by(pipeline.shared, lambda each: (each.name, each.value, each.origin, each.tensor))
    pieces = [
        f"{name} = {value} in {_names([each.stage for each in group])} as in {tensor and f'{tensor} of '}{origin}"
        for (name, value, origin, tensor), group in shared.items()
    ]
    found += [("Shared", pieces)] if pieces else []
    if assumed := assumed_texts(pipeline):
        found.append(("Assumed", assumed))
    if pipeline.peak_bytes is not None and pipeline.largest is not None:
        found.append(("Peak memory", [_memory(pipeline, pipeline.largest)]))
    return [*found, *(("Note", [note]) for note in pipeline.notes)]


def _how_summed(stage: Stage) -> str:
    counted = stage.summed.counted
    if counted == stage.runs:
        return "each run counted"
    how = "summed exactly from" if stage.summed.is_exact else "interpolated between"
    return f"{how} {counted} of {stage.runs} runs"


def _memory(pipeline: Pipeline, largest: Stage) -> str:
    which = f", those of {largest.name}" if len(pipeline.stages) > 1 else ""
    return (
        f"{binary(pipeline.peak_bytes or 0)}: {binary(pipeline.weight_bytes)} of weights, all loaded at once, and "
        f"{binary(largest.summed.peak or 0)} of activations{which}"
    )


def _names(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + f" and {names[-1]}" if len(names) > 1 else names[0]


def assumed_texts(pipeline: Pipeline) -> list[str]:
    """``batch = 1 (--dim batch=8) in encoder`` for the dims that were assumed, and for the start of those that grow."""
    pairs = [(f"{dim.name} = {dim.value} ({dim.option})", stage.name) for stage in pipeline.stages for dim in stage.assumed]
    pairs += [
        (f"{growth.name} = {growth.start} at first ({growth.option})", stage.name)
        for stage in pipeline.stages
        for growth in stage.growth
        if growth.option
    ]
    return [f"{text} in {_names([name for _, name in group])}" for text, group in group_by(pairs, lambda pair: pair[0]).items()]


def _measured_notes(pipeline: Pipeline) -> list[str]:
    """The run in which the stages with a cache were measured."""
    return [
        f"{stage.name} at {growth.name} = {growth.at((stage.runs - 1) // 2)}, in the middle of its {stage.runs} runs"
        for stage in pipeline.stages
        for growth in stage.growth
        if isinstance(stage.measurement, Measurement)
    ]


def _facts(pipeline: Pipeline) -> list[str]:
    measured = next((each.measurement for each in pipeline.stages if isinstance(each.measurement, Measurement)), None)
    facts = [plural(len(pipeline.stages), "stage"), plural(pipeline.runs, "run")]
    return facts + (describe_device(measured) if measured else [])


def pipeline_lines(pipeline: Pipeline, screen: Screen, *, counts: bool = True) -> list[Line]:
    """The stages and the total, how they fit each other, and one line that sums it up."""
    heading = heading_lines("Pipeline", plain(f" {screen.glyphs.dot} ".join(_facts(pipeline))), screen.width)
    notes: list[Line] = []
    labeled = pipeline_notes(pipeline) if counts else []
    for label, pieces in [*labeled, *([("Measured", found)] if (found := _measured_notes(pipeline)) else [])]:
        texts = [plain(spell_out(piece, screen.glyphs)) for piece in pieces]
        notes += wrap_pieces(label_of(label), texts, ", ", screen.width, "caution" if label == "Assumed" else "")
    table = table_lines(pipeline_table(pipeline, screen.glyphs, counts=counts), screen)
    return space_blocks([heading + table, notes])


def pipeline_verdict(pipeline: Pipeline, screen: Screen) -> list[Line]:
    """The result in one line: the time or the counts of all runs, and the stage that has most of it."""
    rows = pipeline_rows(pipeline)
    total, stages = rows[-1], rows[:-1]
    amounts = [row.time or 0.0 if total.time else float(row.flops) for row in stages]
    whole = sum(amounts)
    most = max(range(len(stages)), key=amounts.__getitem__)
    what = "time" if total.time else "FLOPs"
    where = f"{share(amounts[most], whole)} of the {what} in {stages[most].name}" if len(stages) > 1 and whole else ""
    bound = screen.glyphs.bound(pipeline.bound)
    counted = f"{bound}{count_text(pipeline.flops, 'FLOPs')}, {count_text(pipeline.parameters, 'parameters')}"
    first = f"{seconds(total.time)} on this machine" if total.time else counted
    return sum_up([first, where, counted if total.time else ""], screen)


def pipeline_csv(pipeline: Pipeline) -> str:
    """A line for each stage, and one for the total."""
    records = pipeline.to_records()
    header = list(records[-1])
    return csv_text(header, ([record.get(name) for name in header] for record in records))


def pipeline_markdown(pipeline: Pipeline, *, counts: bool = True) -> str:
    """The table of the stages, and how they fit each other."""
    notes = pipeline_notes(pipeline) if counts else []
    lines = [f"- {label}: {markdown(', '.join(pieces))}" for label, pieces in notes]
    lines += [f"- Measured: {markdown(text)}" for text in _measured_notes(pipeline)]
    title = [["## Pipeline"], [markdown(" · ".join(_facts(pipeline)))]]
    return join_blocks([*title, table_markdown(pipeline_table(pipeline, UNICODE, counts=counts)), lines])


STAGE_DEVICES = 3
"""The most devices for which the stages are shown one by one."""


def pipeline_budget_lines(assessment: PipelineAssessment, screen: Screen, *, shows_all: bool = False) -> list[Line]:
    """The pipeline and its budget, the stages on the named devices, else on the best one, and the devices."""
    pipeline = assessment.pipeline
    facts = [*_facts(pipeline), *facts_of(pipeline, pipeline.by_dtype(), pipeline.weight_bytes)]
    lines = [*header_lines(assessment, facts, screen), *device_lines(assessment, screen, shows_all)]
    table = table_lines(stages_on_devices(assessment, screen.glyphs), screen)
    return spell_out_all(space_blocks([lines, table]), screen.glyphs)


def stages_on_devices(assessment: PipelineAssessment, glyphs: Glyphs) -> Table:
    """The time of all runs of each stage, and of all, on the first devices."""
    shown = assessment.verdicts[: STAGE_DEVICES if assessment.are_named else 1]
    columns = [NAME[0], RUNS[0], *(Column(verdict.name, drop=at) for at, verdict in enumerate(shown))]
    rows = []
    for at, stage in enumerate(assessment.pipeline.stages):
        spans = [assessment.by_stage[verdict.name][at].latency for verdict in shown]
        of_all = [span and Interval(stage.runs * span.low, stage.runs * span.high, span.basis) for span in spans]
        rows.append((stage.name, exact(stage.runs), *(latency_text(span) if span else glyphs.none for span in of_all)))
    totals = [verdict.prediction.latency for verdict in shown]
    total = (latency_text(span) if span else glyphs.none for span in totals)
    return Table(tuple(columns), [*rows, ("Total", exact(assessment.pipeline.runs), *total)])


def pipeline_budget_markdown(assessment: PipelineAssessment) -> str:
    """The devices, and the stages on the first of them."""
    return join_blocks([[budget_markdown([assessment]).rstrip()], table_markdown(stages_on_devices(assessment, UNICODE))])
