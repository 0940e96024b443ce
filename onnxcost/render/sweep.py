"""A sweep as terminal text, Markdown and CSV: a row for each combination of sizes, and the best batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import PurePath
from typing import NamedTuple

from onnxcost.hardware.prediction import MARGINAL, Verdict
from onnxcost.measurement import Measurement, Unmeasured
from onnxcost.render.escaping import markdown, plain
from onnxcost.render.formats import (
    TableField,
    build_table,
    csv_text,
    heading_lines,
    join_blocks,
    space_blocks,
    table_lines,
    table_markdown,
)
from onnxcost.render.layout import UNICODE, Column, Glyphs, Line, Screen, paragraph, spell_out, spell_out_all
from onnxcost.render.measurement import achieved_text, describe_device
from onnxcost.render.measurement import interval_text as confidence_text
from onnxcost.render.units import binary, ratio, seconds, si, time_unit
from onnxcost.render.verdict import (
    WORDS,
    causes_text,
    evidence_text,
    interval_text,
    latency_text,
    limits_text,
    need_text,
    tightest,
)
from onnxcost.results import group_by
from onnxcost.symbolic.points import PointCost, Shape, SweepPoint
from onnxcost.symbolic.sweep import NEARLY, Sweep

MOST_REASONS = 4


class SweepRow(NamedTuple):
    """A line of the table: a point, and the verdict on a device if there is one."""

    point: SweepPoint
    device: str = ""
    verdict: Verdict | None = None


SweepField = TableField[SweepRow, Glyphs]


def size_text(size: int | Shape, times: str = "×") -> str:
    """``8``, ``1×3×320×320``."""
    return str(size) if isinstance(size, int) else times.join(map(str, size)) or "scalar"


def sizes_text(sizes: Mapping[str, int | Shape]) -> str:
    """``batch = 4, images = 1×3×320×320``."""
    return ", ".join(f"{name} = {size_text(size)}" for name, size in sizes.items())


def _counted(column: Column, write: Callable[[PointCost, Glyphs], str]) -> SweepField:
    return column, lambda row, of: write(row.point.cost, of) if row.point.cost else of.none


def _timed(column: Column, write: Callable[[Measurement, Glyphs], str]) -> SweepField:
    return column, lambda row, of: write(row.point.timed, of) if row.point.timed else of.none


def _judged(column: Column, write: Callable[[Verdict, Glyphs], str]) -> SweepField:
    return column, lambda row, of: write(row.verdict, of) if row.verdict else of.none


COUNTED: tuple[SweepField, ...] = (
    _counted(Column("MACs"), lambda cost, of: of.bound(cost.bound) + si(cost.macs)),
    _counted(Column("FLOPs", drop=5), lambda cost, of: of.bound(cost.bound) + si(cost.flops)),
    _counted(Column("Traffic", drop=4), lambda cost, _: binary(cost.read_bytes + cost.write_bytes)),
    _counted(
        Column("Activations"),
        lambda cost, of: of.none if cost.peak_activation_bytes is None else binary(cost.peak_activation_bytes),
    ),
)
TIMED: tuple[SweepField, ...] = (
    _timed(Column("Latency"), lambda timed, of: spell_out(seconds(timed.latency.median), of)),
    _timed(
        Column("95 % confidence", drop=6),
        lambda timed, _: confidence_text(timed.latency, time_unit(timed.latency.median)),
    ),
    _timed(Column("FPS", style="number"), lambda timed, _: ratio(timed.fps)),
    _timed(Column("Achieved", drop=3), lambda timed, of: of.none if timed.flops is None else achieved_text(timed, of)),
    _timed(
        Column("Memory", drop=2),
        lambda timed, of: of.none if timed.memory.peak_rss_bytes is None else binary(timed.memory.peak_rss_bytes),
    ),
)
JUDGED: tuple[SweepField, ...] = (
    _judged(Column("FPS", style="number"), lambda verdict, of: interval_text(verdict.prediction.fps, none=of.none)),
    _judged(
        Column("Latency"),
        lambda verdict, of: spell_out(latency_text(latency), of) if (latency := verdict.prediction.latency) else of.none,
    ),
    _judged(Column("Memory"), lambda verdict, of: need_text(tightest(verdict.fits), of.none)),
    _judged(Column("Fit", right=False), lambda verdict, _: verdict.level),
    _judged(Column("Evidence", right=False, drop=2), lambda verdict, _: evidence_text(verdict)),
)


def _fields(swept: Sweep) -> list[SweepField]:
    def size_field(name: str) -> SweepField:
        is_dim = name in swept.axes.dims
        return Column(name, right=is_dim, shrinks_to=0 if is_dim else 12), lambda row, of: size_text(
            row.point.sizes[name], of.times
        )

    sizes = [size_field(name) for name in (*swept.axes.dims, *swept.axes.shapes)]
    if swept.devices:
        device: SweepField = (Column("Device", right=False, style="name", shrinks_to=14), lambda row, _: row.device)
        return [device, *sizes, *(field for field in COUNTED if field[0].drop == 0), *JUDGED]
    is_timed = any(point.measurement is not None for point in swept.points)
    return [*sizes, *COUNTED, *(TIMED if is_timed else ())]


def _rows(swept: Sweep) -> list[SweepRow]:
    """A row for each point; where there are devices, for each point of each device."""
    if not swept.devices:
        return [SweepRow(point) for point in swept.points]
    return [SweepRow(point, name, point.verdict(name)) for name in swept.devices for point in swept.points]


def sweep_lines(swept: Sweep, screen: Screen) -> list[Line]:
    """For a terminal: the table, what is missing from it and why, the best batch, and the evidence for the figures."""
    table = table_lines(build_table(_fields(swept), _rows(swept), screen.glyphs), screen)
    blocks = [
        heading_lines(plain(PurePath(swept.model).name or "model"), plain(", ".join(_facts(swept))), screen.width),
        table,
        [line for text in _reasons(swept) for line in paragraph(text, screen.width, "caution", hang="  ")],
        [line for text in _best(swept) for line in paragraph(text, screen.width, "number", hang="  ")],
        [line for text in _legend(swept) for line in paragraph(text, screen.width)],
    ]
    return spell_out_all(space_blocks(blocks), screen.glyphs)


def sweep_markdown(swept: Sweep) -> str:
    """The same as Markdown."""
    table = build_table(_fields(swept), _rows(swept), UNICODE)
    texts = [[f"- {markdown(text)}" for text in found] for found in (_reasons(swept), _best(swept))]
    heading = [f"## {markdown(PurePath(swept.model).name or 'model')}"]
    return join_blocks([heading, list(map(markdown, _facts(swept))), table_markdown(table), *texts, _legend(swept)])


def sweep_csv(swept: Sweep) -> str:
    """The rows of ``to_records``."""
    records = swept.to_records()
    return csv_text(list(records[0]), (list(record.values()) for record in records))


def _facts(swept: Sweep) -> list[str]:
    cost = swept.counted[0].cost
    parameters = [f"{si(cost.parameters)} parameters, {binary(cost.weight_bytes)} of weights"] if cost else []
    budget = [f"budget: {limits_text(swept.limits)}"] if swept.devices else []
    timed = next((point.timed for point in swept.points if point.timed), None)
    return parameters + budget + (describe_device(timed) if timed else [])


def _reasons(swept: Sweep) -> list[str]:
    """Why points have no figures, grouped by reason."""
    failed = [(point, point.reason) for point in swept.points if point.reason]
    failed += [
        (point, f"not measured: {point.measurement.reason}")
        for point in swept.points
        if isinstance(point.measurement, Unmeasured)
    ]
    alike = group_by(failed, lambda pair: pair[1])
    texts = [f"At {'; '.join(sizes_text(point.sizes) for point, _ in pairs)}: {reason}" for reason, pairs in alike.items()]
    rest = len(texts) - MOST_REASONS
    return texts if rest <= 1 else [*texts[:MOST_REASONS], f"and {rest} other reasons: --format json has them"]


def _best(swept: Sweep) -> list[str]:
    """The best batch for each combination of the other sizes, as measured and on each device; without several batches the
    sizes that meet the budget there.
    """
    found = []
    for point in swept.best_measured() if swept.has_batches else ():
        assert point.timed is not None
        first = next(p.timed for p in swept.counted if p.apart == point.apart and p.timed)
        more = f", {ratio(point.timed.fps / first.fps)} × those of batch {first.batch}" if first is not point.timed else ""
        found.append(f"Best batch{_where(point)}: {point.timed.batch}, {ratio(point.timed.fps)} FPS{more}")
    for name in swept.devices:
        points = swept.best_on(name)
        verdicts = [verdict for point in points if (verdict := point.verdict(name))]
        if not points:
            near = [(p, each) for p in swept.points if (each := p.verdict(name)) and each.level == MARGINAL]
            texts = [f"perhaps at {sizes_text(point.sizes)} ({causes_text(each)})" for point, each in near]
            found.append(f"{name}: {'; '.join(texts) or 'no size meets the budget'}")
        elif not swept.has_batches:
            found.append(f"{name}: meets the budget at {'; '.join(sizes_text(point.sizes) for point in points)}")
        else:
            texts = [
                f"{verdict.prediction.batch}{_where(point)}, {interval_text(verdict.prediction.fps)} FPS"
                for point, verdict in zip(points, verdicts, strict=True)
            ]
            found.append(f"{name}: best batch {'; '.join(texts)}")
    return found


def _where(point: SweepPoint) -> str:
    """`` at sequence = 128``: the sizes other than the batch."""
    return f" at {sizes_text(dict(point.apart))}" if point.apart else ""


def _legend(swept: Sweep) -> list[str]:
    found = []
    if swept.has_batches and (swept.devices or any(point.timed for point in swept.points)):
        which = " that meet the budget" if swept.devices else ""
        found.append(f"The best batch is the smallest of those{which} with at least {100 * NEARLY:.0f} % of the highest FPS.")
    if swept.has_batches and any(len(swept.bases(name)) > 1 for name in swept.devices):
        found.append("Sizes with different kinds of evidence are compared by the data sheet only.")
    bases = dict.fromkeys(evidence_text(verdict) for point in swept.points for verdict in point.verdicts)
    if listed := "; ".join(f"{basis}, {WORDS[basis]}" for basis in bases if basis in WORDS):
        found.append(f"Evidence: {listed} ('onnxcost budget MODEL --explain NAME' shows more).")
    return found
