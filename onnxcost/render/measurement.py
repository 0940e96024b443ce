"""A measurement as terminal text, Markdown, CSV, JSON and HTML."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.render.escaping import html, markdown, plain
from onnxcost.render.formats import (
    LABEL_WIDTH,
    Entry,
    Table,
    TableField,
    build_table,
    csv_text,
    entries_html,
    entries_markdown,
    entry_lines,
    heading_html,
    heading_lines,
    join_blocks,
    label_of,
    quantity_entry,
    rows_html,
    space_blocks,
    table_lines,
    table_markdown,
)
from onnxcost.render.layout import INDENT, UNICODE, Column, Glyphs, Line, Screen, crop, spell_out, wrap, wrap_pieces
from onnxcost.render.units import TimeUnit, binary, exact, plural, rate, ratio, seconds, si, time_unit
from onnxcost.report import CostReport

if TYPE_CHECKING:
    from onnxcost.latency import Latency
    from onnxcost.measurement import Measurement


MOST_NAMES = 8


class Detail(NamedTuple):
    """A label and pieces of text; a line may break between them."""

    label: str
    pieces: list[str]
    style: str = ""


def describe_device(measurement: Measurement) -> list[str]:
    """What ran the model: provider, device, driver, onnxruntime."""
    device = measurement.device
    memory = f"{binary(device.memory_bytes)} memory" if device.memory_bytes else ""
    driver = f"driver {device.driver}" if device.driver else ""
    runtime = f"onnxruntime {measurement.environment.onnxruntime}"
    return [fact for fact in (measurement.settings.provider, device.name, memory, driver, runtime) if fact]


def describe_run(measurement: Measurement, of_one: bool = True) -> list[Detail]:
    """How it was run; defaults are left out. ``of_one`` includes what differs between the measurements of a series."""
    settings, placement = measurement.settings, measurement.placement
    inputs = Detail(
        "Inputs",
        _first_names(f"{used.name} ({used.source.replace('synthesised', 'synthetic')})" for used in measurement.inputs),
    )
    weights = [Detail("Weights", ["synthetic: missing in the file"])] if measurement.weights == "synthesised" else []
    lines = [
        Detail("Threads", _threads(measurement)),
        *([Detail("Runs", _runs(measurement))] if of_one else []),
        inputs,
        *weights,
    ]
    if settings.optimization != "all":
        lines.append(Detail("Optimization", [settings.optimization]))
    if settings.provider_options:
        lines.append(Detail("Options", [f"{name}={value}" for name, value in settings.provider_options.items()]))
    if placement and (len(placement.nodes_by_provider) > 1 or settings.provider != "cpu"):
        lines.append(Detail("Placement", [f"{exact(nodes)} {name}" for name, nodes in placement.nodes_by_provider.items()]))
    if placement and placement.fallen_back:
        fallen = plural(len(placement.fallen_back), "node")
        lines.append(Detail("CPU fallback", [fallen, *_first_names(placement.fallen_back)], "caution"))
    return lines


def _threads(measurement: Measurement) -> list[str]:
    intra, inter = measurement.threads
    environment = measurement.environment
    limited = environment.usable_cores < environment.cores
    cores = [f"{environment.usable_cores:g} of {plural(environment.cores, 'core')} usable"] if limited else []
    return [f"{intra} intra-op", f"{inter} inter-op", *cores]


def _runs(measurement: Measurement) -> list[str]:
    streams = measurement.settings.concurrency
    streams_text = [f"in {streams} streams"] if streams > 1 else []
    return [
        exact(measurement.runs),
        *(["interrupted"] if measurement.interrupted else []),
        *streams_text,
        f"after {exact(measurement.warmup_runs)} warm-up runs",
        f"batch {measurement.batch}",
    ]


def _first_names(names: Iterable[str]) -> list[str]:
    """The first few, and how many more there are."""
    every = list(names)
    return every if len(every) <= MOST_NAMES + 1 else [*every[:MOST_NAMES], f"and {len(every) - MOST_NAMES} more"]


def measurement_entries(measurement: Measurement, report: CostReport | None, glyphs: Glyphs) -> list[Entry]:
    """What was measured; ``report`` has the estimate that the memory is compared with."""
    from onnxcost.generation.decoder import tokens_of_run  # only a measurement needs it

    tokens = tokens_of_run(report.graph) if report is not None else 0
    shown = [*_latency(measurement), *_throughput(measurement, glyphs, tokens), *_once(measurement)]
    shown += _memory(measurement, report)
    return [Entry(*(spell_out(text, glyphs) for text in entry)) for entry in shown]


def _latency(measurement: Measurement) -> list[Entry]:
    latency = measurement.latency
    unit = time_unit(latency.median)
    interval = interval_text(latency, unit)
    sure = f"95 % confidence {interval}" if interval else "no confidence interval"
    return [
        quantity_entry("Latency", unit.text(latency.median), f"median, {sure}"),
        quantity_entry("Mean", unit.text(latency.mean), f"± {unit.text(latency.std)} (σ)"),
        quantity_entry("Min", unit.text(latency.min), f"max {unit.text(latency.max)}"),
        quantity_entry("p90", unit.text(latency.p90), f"p95 {unit.text(latency.p95)}, p99 {unit.text(latency.p99)}"),
    ]


def interval_text(latency: Latency, unit: TimeUnit) -> str:
    """The 95 % confidence interval of the median, ``90.1 to 115.4``; nothing if there is none."""
    return " to ".join(map(unit.number, latency.median_ci95)) if latency.median_ci95 else ""


def achieved_text(measurement: Measurement, glyphs: Glyphs) -> str:
    """The achieved FLOP/s, which must be known, with the sign of a bound: ``≥ 75.95 GFLOP/s``."""
    return glyphs.bound(measurement.bound) + rate(measurement.flops_per_second or 0, "FLOP/s")


def throughput_pair(measurement: Measurement, tokens: int = 0) -> tuple[str, str]:
    """``FPS`` and its value; for a decoder with ``tokens`` new tokens per sequence, tokens per second."""
    return ("Tokens/s", ratio(measurement.fps * tokens)) if tokens else ("FPS", ratio(measurement.fps))


def _throughput(measurement: Measurement, glyphs: Glyphs, tokens: int) -> list[Entry]:
    wall = f"{plural(measurement.runs * measurement.batch, 'item')} in {seconds(measurement.wall_seconds)}"
    how = wall if measurement.settings.concurrency > 1 else f"items per second, {measurement.batch} / median"
    if measurement.flops is None or measurement.flops_per_second is None:
        achieved = Entry("Achieved", "unknown", "", "because the FLOPs are unknown")
    else:
        bound = glyphs.bound(measurement.bound)
        achieved = quantity_entry(
            "Achieved",
            rate(measurement.flops_per_second, "FLOP/s"),
            f"{bound}{si(measurement.flops)} FLOPs per run",
            bound=bound,
        )
    how = f"of {plural(tokens, 'new token')} per run and sequence" if tokens else how
    return [Entry(*throughput_pair(measurement, tokens), "", how), achieved]


def _once(measurement: Measurement) -> list[Entry]:
    first, median = measurement.first_run_seconds, measurement.latency.median
    lines = [
        quantity_entry("Session", seconds(measurement.session_seconds), "to create it"),
        quantity_entry("First run", seconds(first), f"{ratio(first / median)} × the median"),
    ]
    if copies := measurement.copies:
        back = f"{seconds(copies.device_to_host)} back, not in the latency"
        lines.append(quantity_entry("Copies", seconds(copies.host_to_device), f"to the device, {back}"))
    return lines


def _memory(measurement: Measurement, report: CostReport | None) -> list[Entry]:
    memory = measurement.memory
    before = "" if memory.baseline_rss_bytes is None else f", {binary(memory.baseline_rss_bytes)} before the session"
    estimated = None if report is None else report.memory.peak_activation_bytes
    activations = [memory_entry("Activations", memory.arena_activation_bytes, "at peak", estimated)]
    again = measurement.session_seconds + measurement.first_run_seconds
    arena = memory_entry("Arena", memory.arena_peak_bytes, "peak of onnxruntime's arena")
    if measurement.settings.arena is False:
        arena = Entry("Arena", "unknown", "", f"--arena measures it in a second session ({seconds(again)})")
    return [
        memory_entry("Memory", memory.peak_rss_bytes, f"peak of the process{before}"),
        arena,
        *(activations if memory.arena_activation_bytes is not None else []),
    ]


def memory_entry(label: str, value: int | None, note: str, estimated: int | None = None) -> Entry:
    """Bytes, unknown for None, with their estimate."""
    beside = "" if estimated is None else f", estimated {binary(estimated)}"
    return Entry(label, "unknown", "", note + beside) if value is None else quantity_entry(label, binary(value), note + beside)


class BatchContext(NamedTuple):
    """The first and the fastest measurement of a series, with which the others are compared, and the glyphs."""

    first: Measurement
    best: Measurement
    glyphs: Glyphs


BATCH_FIELDS: tuple[TableField[Measurement, BatchContext], ...] = (
    (Column("Batch"), lambda each, _: exact(each.batch)),
    (Column("Latency"), lambda each, of: spell_out(seconds(each.latency.median), of.glyphs)),
    (Column("95 % confidence", drop=2), lambda each, _: interval_text(each.latency, time_unit(each.latency.median))),
    (Column("FPS", style="number"), lambda each, _: ratio(each.fps)),
    (Column("Relative"), lambda each, of: f"{each.fps / of.first.fps:.2f} {of.glyphs.times}"),
    (Column("Achieved"), lambda each, of: "?" if each.flops_per_second is None else achieved_text(each, of.glyphs)),
    (
        Column("Memory", drop=3),
        lambda each, _: "?" if each.memory.peak_rss_bytes is None else binary(each.memory.peak_rss_bytes),
    ),
    (Column("", style="bar", is_bar=True, drop=5), lambda each, of: str(each.fps / of.best.fps)),
)


def batch_table(measurements: Sequence[Measurement], glyphs: Glyphs) -> Table:
    """One row per batch size; FPS relative to the first's, and a bar that is full for the best."""
    first, best = measurements[0], max(measurements, key=lambda each: each.fps)
    note = f"Most items per second at batch {best.batch}"
    if best is not first:
        note += f": {ratio(best.fps / first.fps)} {glyphs.times} those at batch {first.batch}"
    note += "".join(f"; batch {each.batch} was interrupted" for each in measurements if each.interrupted)
    return build_table(BATCH_FIELDS, measurements, BatchContext(first, best, glyphs), note)


def measurement_markdown(measurement: Measurement, report: CostReport | None) -> str:
    """Where and how the model was run, the results, and the advice."""
    table = entries_markdown("Measured", measurement_entries(measurement, report, UNICODE))
    return join_blocks([*where_markdown("Measured", measurement), table, _advice([measurement])])


def batches_markdown(measurements: Sequence[Measurement]) -> str:
    """Where the model was run, a table of the batch sizes, and the advice."""
    table = table_markdown(batch_table(measurements, UNICODE))
    return join_blocks([*where_markdown("Measured", measurements[0], of_one=False), table, _advice(measurements)])


def not_measured_markdown(reason: str) -> str:
    """Why there is no measurement."""
    return f"**Not measured: {markdown(reason)}**\n"


def where_markdown(title: str, measurement: Measurement, of_one: bool = True) -> list[list[str]]:
    """The title, what ran the model and how."""
    lines = [f"- {detail.label}: {markdown(', '.join(detail.pieces))}" for detail in describe_run(measurement, of_one)]
    return [[f"### {title}"], [markdown(" · ".join(describe_device(measurement)))], lines]


def _advice(measurements: Sequence[Measurement]) -> list[str]:
    advice = dict.fromkeys(each.text for measurement in measurements for each in measurement.advice)
    return [f"- {markdown(text)}" for text in advice]


def samples_csv(measurement: Measurement) -> str:
    """One line per run, in order."""
    return csv_text(("run", "seconds"), enumerate(measurement.samples.tolist(), 1))


def batches_csv(measurements: Sequence[Measurement]) -> str:
    """One line per batch size."""
    statistics = ("min", "mean", "median", "std", "p90", "p95", "p99", "max")
    own = ("fps", "flops", "flops_per_second", "session_seconds", "first_run_seconds")
    header = ("batch", "runs", *statistics, "median_ci95_low", "median_ci95_high", *own, "peak_rss_bytes", "arena_peak_bytes")
    return csv_text(
        header,
        (
            [
                each.batch,
                each.runs,
                *(getattr(each.latency, name) for name in statistics),
                *(each.latency.median_ci95 or (None, None)),
                *(getattr(each, name) for name in own),
                each.memory.peak_rss_bytes,
                each.memory.arena_peak_bytes,
            ]
            for each in measurements
        ),
    )


def measurement_lines(measurement: Measurement, report: CostReport | None, screen: Screen) -> list[Line]:
    """Where and how the model was run, and the results."""
    shown = entry_lines(measurement_entries(measurement, report, screen.glyphs), screen.width)
    return space_blocks([where_lines("Measured", measurement, screen), shown])


def batch_lines(measurements: Sequence[Measurement], screen: Screen) -> list[Line]:
    """Where the model was run, and a table of the batch sizes."""
    table_ = table_lines(batch_table(measurements, screen.glyphs), screen)
    return space_blocks([where_lines("Measured", measurements[0], screen, of_one=False), table_])


def not_measured_lines(reason: str, screen: Screen) -> list[Line]:
    """Why there is no measurement."""
    return [((part, "caution"),) for part in wrap(plain(f"Not measured: {reason}"), screen.width)]


def where_lines(title: str, measurement: Measurement, screen: Screen, of_one: bool = True) -> list[Line]:
    """The title, what ran the model and how."""
    lines = heading_lines(title, plain(f" {screen.glyphs.dot} ".join(describe_device(measurement))), screen.width)
    for detail in describe_run(measurement, of_one):
        room = screen.width - LABEL_WIDTH - INDENT - len(",")
        pieces = [crop(plain(piece), room, screen.glyphs.ellipsis) for piece in detail.pieces]
        lines += wrap_pieces(label_of(detail.label), pieces, ", ", screen.width, detail.style)
    return lines


def measurement_html(measurement: Measurement) -> str:
    """Where and how the model was run, the results, and the advice."""
    how = [(detail.label, ", ".join(detail.pieces)) for detail in describe_run(measurement)]
    return "\n".join(
        [
            heading_html("Measured", describe_device(measurement)),
            rows_html(how, [False, False]),
            entries_html(measurement_entries(measurement, None, UNICODE)),
            *(f"<p>{html(advice.text)}</p>" for advice in measurement.advice),
        ]
    )
