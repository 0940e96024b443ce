"""``onnxcost.sweep``: a model counted, timed, or checked on devices at all combinations of some sizes and shapes.

The file is read once, without its weights; each combination is then counted like ``onnxcost.estimate`` does. One that does
not fit the model is a point with the reason. Timing is interleaved, so that all points run under the same conditions.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from typing import Any

from onnxcost.analysis.batch import batch_dim
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.estimator import count_graph, without_collection
from onnxcost.formulas import select_formulas
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend import operators_in, read_graph, read_skeleton
from onnxcost.hardware.budget import PRICE, judge, model_checks, predictors, sort_verdicts
from onnxcost.hardware.limits import Limits, parse_limits
from onnxcost.hardware.prediction import FITS, MARGINAL, Prediction, Predictor
from onnxcost.measurement import Settings
from onnxcost.report import CostReport
from onnxcost.results import Result, group_by, make_document
from onnxcost.runtime.interleaved import measure_interleaved
from onnxcost.runtime.prepare import read_once
from onnxcost.runtime.protocol import Progress
from onnxcost.runtime.supervisor import OnProgress
from onnxcost.spec import ModelSource, ModelSpec
from onnxcost.symbolic.points import MOST_MEASURED, MOST_POINTS, PointCost, Shape, SweepAxes, SweepPoint

NEARLY = 0.95
"""The best batch reaches this share of the most items per second: a larger one costs latency and memory for little gain."""
MOST_DEVICES = 4
"""The most devices of the catalog that the result has, if none are named."""


@dataclass(frozen=True, repr=False)
class Sweep(Result):
    """A model at several sizes. ``devices`` are those that all counted points were checked on, by name, best first."""

    model: str
    axes: SweepAxes
    points: tuple[SweepPoint, ...]
    devices: tuple[str, ...] = ()
    limits: Limits = Limits()  # noqa: RUF009  # frozen
    are_named: bool = False

    @property
    def counted(self) -> tuple[SweepPoint, ...]:
        """The points whose sizes fit the model."""
        return tuple(point for point in self.points if point.cost is not None)

    @property
    def has_batches(self) -> bool:
        """Whether points differ in their batch."""
        return len({point.cost.batch for point in self.points if point.cost is not None}) > 1

    @property
    def is_interrupted(self) -> bool:
        """Whether Ctrl-C came before all runs were made."""
        return any(point.timed is not None and point.timed.interrupted for point in self.points)

    def best(self, fps: Callable[[SweepPoint], float | None]) -> list[SweepPoint]:
        """The point of the best batch for each combination of the other sizes.

        It is the smallest batch that reaches NEARLY of the most items per second, among the points for which ``fps`` has any.
        """
        found = []
        for points in group_by(self.counted, lambda point: point.apart).values():
            known = [(point, rate) for point in points if (rate := fps(point)) is not None]
            if known:
                least = NEARLY * max(rate for _, rate in known)
                found.append(min((p for p, rate in known if rate >= least), key=lambda p: p.cost.batch if p.cost else 0))
        return found

    def best_on(self, device: str) -> list[SweepPoint]:
        """``best`` on a device, among the points that meet the budget for certain.

        If the evidence differs between points, their items per second are those of the data sheet: comparing a published
        figure with a rough one would say more about the evidence than about the batch.
        """
        bases = self.bases(device)

        def fps(point: SweepPoint) -> float | None:
            verdict = point.verdict(device)
            if verdict is None or verdict.level != FITS:
                return None
            predicted = verdict.prediction.fps
            if len(bases) > 1 or predicted is None:
                return point.sheet_fps.get(device, 0.0)
            return sqrt(predicted.low * predicted.high)

        return self.best(fps)

    def bases(self, device: str) -> set[str]:
        """The kinds of evidence for the latencies on a device."""
        latencies = (verdict.prediction.latency for p in self.points if (verdict := p.verdict(device)) is not None)
        return {latency.basis for latency in latencies if latency is not None}

    def best_measured(self) -> list[SweepPoint]:
        """``best`` as it was measured."""
        return self.best(lambda point: point.timed.fps if point.timed else None)

    def missed(self) -> list[str]:
        """The named devices that meet the budget at no point, not even marginally."""
        levels = (FITS, MARGINAL)
        return [
            name
            for name in self.devices
            if self.are_named and not any((found := point.verdict(name)) and found.level in levels for point in self.points)
        ]

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``."""
        return make_document(
            model={"path": self.model},
            sweep={
                "dims": {name: list(sizes) for name, sizes in self.axes.dims.items()},
                "shapes": {name: [list(shape) for shape in shapes] for name, shapes in self.axes.shapes.items()},
                "limits": dict(self.limits.given),
                "points": [point.to_dict() for point in self.points],
                "best": [
                    *({"device": None, **point.place} for point in self.best_measured()),
                    *({"device": name, **point.place} for name in self.devices for point in self.best_on(name)),
                ],
            },
        )

    def to_records(self) -> list[dict[str, Any]]:
        """A row for each point, or for each point and device: sizes, totals, latency in seconds, FPS and memory in bytes."""
        is_timed = any(point.measurement is not None for point in self.points)
        return [row for point in self.points for row in point.to_records(self.devices, is_timed=is_timed)]

    def summary(self) -> str:
        """The number of points, and what varies."""
        names = ", ".join((*self.axes.dims, *self.axes.shapes))
        return f"{len(self.counted)} of {len(self.points)} points over {names}"


def sweep(
    model: ModelSource,
    *,
    dims: Mapping[str, int | Sequence[int]] | None = None,
    shapes: Mapping[str, Sequence[int] | Sequence[Sequence[int]]] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    formulas: FormulaTable | None = None,
    settings: Settings | None = None,
    devices: Sequence[str] = (),
    on_progress: OnProgress | None = None,
    **limits: float | str,
) -> Sweep:
    """Count ``model`` at all combinations of the sizes in ``dims`` and the shapes in ``shapes``.

    ``dims={"batch": [1, 2, 4]}`` has three sizes, ``shapes={"images": [(1, 3, 320, 320), (1, 3, 640, 640)]}`` two shapes; a
    single size or shape applies to all points. With ``settings``, the points are timed in interleaved rounds; with ``devices``,
    they are checked against ``limits``, as in ``onnxcost.budget``. The other arguments are those of ``onnxcost.estimate``.

    Raises InputError if nothing varies, for more combinations than MOST_POINTS (MOST_MEASURED, if they are timed), and for
    an unknown device or limit. If no point can be counted, raises the error of the first one.
    """
    several, one = dict[str, Sequence[int]](), dict[str, int]()
    for name, sizes in (dims or {}).items():
        if isinstance(sizes, int):
            one[name] = sizes
        else:
            several[name] = tuple(sizes)
    alternatives, fixed = dict[str, Sequence[Shape]](), dict[str, Shape]()
    for name, given in (shapes or {}).items():
        varied = [tuple(part) for part in given if not isinstance(part, int)]
        if varied:
            alternatives[name] = varied
        else:
            fixed[name] = tuple(part for part in given if isinstance(part, int))
    spec = read_once(ModelSpec.of(model, fixed, one, values, trips))
    found = predictors(devices) if devices or limits else []
    axes = SweepAxes(several, alternatives)
    swept = count_sweep(spec, axes, formulas, found, parse_limits(limits), bool(devices), is_measured=settings is not None)
    return swept if settings is None else measure_sweep(swept, spec, settings, on_progress)


def count_sweep(
    spec: ModelSpec,
    axes: SweepAxes,
    formulas: FormulaTable | None = None,
    asked: Sequence[Predictor] = (),
    limits: Limits = Limits(),  # noqa: B008  # frozen
    are_named: bool = False,
    order: str = PRICE,
    *,
    is_measured: bool = False,
    shows_all: bool = False,
    on_progress: OnProgress | None = None,
) -> Sweep:
    """Count all points, and check them on the devices ``asked``; if these are not named, the best MOST_DEVICES are kept.

    Errors as in ``sweep``. With ``is_measured`` the points keep their reports.
    """
    if not (axes.dims or axes.shapes):
        raise InputError("nothing varies: set several sizes of a dim, or several shapes of an input")
    combinations = list(axes.combine(MOST_MEASURED if is_measured else MOST_POINTS))
    spec = spec.read_inputs()
    skeleton = read_skeleton(spec.source)
    known = select_formulas(operators_in(skeleton)) if formulas is None else formulas
    points: list[SweepPoint] = []
    errors: list[OnnxCostError] = []
    for number, (dims, shapes) in enumerate(combinations):
        if on_progress is not None:
            on_progress(Progress("counting", number / len(combinations)))
        at = replace(spec, dims={**spec.dims, **dims}, shapes={**spec.shapes, **shapes})
        try:
            with without_collection():
                report = count_graph(read_graph(skeleton, at, known), known)
        except OnnxCostError as error:
            errors.append(error)
            points.append(SweepPoint(dims, shapes, reason=str(error)))
            continue
        verdicts = [judge(predictor, report, limits) for predictor in asked]
        checks = model_checks(report, limits)
        # The checks of the model itself are added; the steps are dropped, as they would take most of the memory of a sweep.
        kept = (
            replace(each, checks=(*checks, *each.checks), prediction=replace(each.prediction, nodes=())) for each in verdicts
        )
        point = SweepPoint(
            dims, shapes, PointCost.of(report), "", _apart(dims, shapes, report), report.caveats,
            tuple(dim for dim in report.graph.dims if dim.source == "assumed"),
            verdicts=tuple(kept),
            sheet_fps={each.name: fps for each in verdicts if (fps := _sheet_fps(each.prediction))},
        )  # fmt: skip
        points.append(replace(point, report=report) if is_measured else point)
    if len(errors) == len(points):
        raise errors[0]
    shown = [predictor.name for predictor in asked]
    if not (are_named or shows_all):
        shown = _choose_devices(points, order)
        points = [replace(each, verdicts=tuple(filter(None, map(each.verdict, shown)))) for each in points]
    return Sweep(skeleton.path or skeleton.model.graph.name, axes, tuple(points), tuple(shown), limits, are_named)


def _apart(dims: Mapping[str, int], shapes: Mapping[str, Shape], report: CostReport) -> tuple[tuple[str, int | Shape], ...]:
    """The sizes without the batch."""
    batch = batch_dim(report.graph)
    names = {dim.name for dim in batch.dims} if batch else set()
    places = {place for dim in batch.dims for place in dim.places} if batch else set()
    sized = (
        (name, tuple(size for axis, size in enumerate(shape) if (name, axis) not in places)) for name, shape in shapes.items()
    )
    return (*((name, size) for name, size in dims.items() if name not in names), *sized)


def _sheet_fps(prediction: Prediction) -> float:
    """Items per second, from the geometric mean of the estimated range; 0 if no step was estimated."""
    low, high = (sum(getattr(node.span, end) for node in prediction.nodes) for end in ("low", "high"))
    return prediction.batch / sqrt(low * high) if low else 0.0


def _choose_devices(points: Sequence[SweepPoint], order: str) -> list[str]:
    """The devices that meet the budget at the most points, in the order of the budget; only one of those that differ only in
    their memory.
    """
    judged = [point for point in points if point.verdicts]
    if not judged:
        return []
    by_name = {verdict.name: [verdict] for verdict in sort_verdicts(judged[0].verdicts, order)}
    for point in judged[1:]:
        for verdict in point.verdicts:
            by_name[verdict.name].append(verdict)

    def place(name: str) -> tuple[int, int]:
        levels = [verdict.level for verdict in by_name[name]]
        return -levels.count(FITS), -levels.count(MARGINAL)

    def figures(name: str) -> Hashable:
        first = by_name[name][0]
        return (first.kind, first.title.split()[:2][-1], *(verdict.prediction.latency for verdict in by_name[name]))

    ordered = sorted(by_name, key=place)
    return [names[0] for names in group_by(ordered, figures).values()][:MOST_DEVICES]


def measure_sweep(swept: Sweep, spec: ModelSpec, settings: Settings, on_progress: OnProgress | None = None) -> Sweep:
    """The sweep with each counted point timed, in interleaved rounds; a point that cannot be run is Unmeasured.

    Raises InputError for concurrent streams.
    """
    counted = [point for point in swept.counted if point.report is not None]
    spec = spec.read_inputs()
    specs = [replace(spec, dims={**spec.dims, **each.dims}, shapes={**spec.shapes, **each.shapes}) for each in counted]
    reports = [point.report for point in counted if point.report is not None]
    timed = measure_interleaved(specs, settings, reports=reports, on_progress=on_progress)
    results = {id(point): result for point, result in zip(counted, timed.results, strict=True)}
    points = (replace(point, measurement=results.get(id(point)), report=None) for point in swept.points)
    return replace(swept, points=tuple(points))
