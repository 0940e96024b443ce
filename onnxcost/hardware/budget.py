"""Budgets: the verdict on each device by the limits, with the changes that would make a model fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from typing import Any, Protocol

from onnxcost.analysis.batch import batch_dim, batch_of
from onnxcost.documents import UNITS, parse_quantity
from onnxcost.errors import InputError, did_you_mean
from onnxcost.estimator import estimate_spec
from onnxcost.formulas.table import FormulaTable
from onnxcost.hardware.backends import BACKENDS, backends_of
from onnxcost.hardware.calibration.model import is_calibration
from onnxcost.hardware.calibration.predictor import Calibrated
from onnxcost.hardware.catalogue import devices, find_device, load_devices, with_hourly
from onnxcost.hardware.evidence import Evidenced, evidence
from onnxcost.hardware.limits import Limits, parse_limits
from onnxcost.hardware.memory_fit import cache_of, fits_of
from onnxcost.hardware.prediction import (
    FITS,
    LEVELS,
    MARGINAL,
    NO,
    UNKNOWN,
    Check,
    Fit,
    Interval,
    Prediction,
    Predictor,
    Remedy,
    Verdict,
)
from onnxcost.hardware.roofline import Roofline
from onnxcost.hardware.variants import Again, Variant, try_variants
from onnxcost.report import CostReport
from onnxcost.results import Result, make_document
from onnxcost.spec import ModelSource, ModelSpec

PRICE, COST = "price", "cost"
ORDERS: Mapping[str, Callable[[Verdict], float | None]] = {
    PRICE: lambda verdict: verdict.price,
    COST: lambda verdict: verdict.cost and sqrt(verdict.cost.low * verdict.cost.high),
}
"""The figures by which devices can be sorted: the launch price, and the middle of the hourly cost of a million items."""

LEAST_HEADROOM = 0.2
"""A fit that leaves less than this share of the memory is marginal: the system and other programs need some of it."""


class Totals(Protocol):
    """The totals of a model or a pipeline that a budget can limit."""

    @property
    def macs(self) -> int:
        """All MACs."""

    @property
    def parameters(self) -> int:
        """All parameters."""

    @property
    def bound(self) -> str:
        """As ``CostReport.bound``."""


@dataclass(frozen=True, repr=False, kw_only=True)
class Verdicts(Result):
    """The limits of a budget, and the verdicts on devices.

    ``are_named``: the user named these devices, so one that misses the budget is a failure. ``order`` is that of
    ``verdicts``, a key of ORDERS.
    """

    label: str
    limits: Limits
    checks: tuple[Check, ...]
    verdicts: tuple[Verdict, ...]
    are_named: bool = False
    order: str = PRICE

    @property
    def missed(self) -> tuple[Verdict, ...]:
        """The named devices that miss the budget, or whose figures are unknown."""
        return tuple(verdict for verdict in self.verdicts if self.are_named and verdict.level in (NO, UNKNOWN))

    @property
    def failed(self) -> tuple[Check, ...]:
        """The limits of the model itself that it misses, or whose figures are unknown."""
        return tuple(check for check in self.checks if check.level in (NO, UNKNOWN))

    def to_records(self) -> list[dict[str, Any]]:
        """One row per device, in base units."""
        rows = []
        for verdict in self.verdicts:
            latency, fps = verdict.prediction.latency or (None, None, None), verdict.prediction.fps or (None, None, None)
            row = {"device": verdict.name, "kind": verdict.kind, "level": verdict.level, "price": verdict.price}
            row |= {"cost_low": verdict.cost and verdict.cost.low, "cost_high": verdict.cost and verdict.cost.high}
            row |= {"latency_low": latency[0], "latency_high": latency[1], "fps_low": fps[0], "fps_high": fps[1]}
            rows.append(row | {f"{fit.what}_needed": fit.needed for fit in verdict.fits})
        return rows

    def summary(self) -> str:
        """The model, and how many devices are at each level."""
        levels = Counter(verdict.level for verdict in self.verdicts)
        return f"{self.label}: " + ", ".join(f"{levels[level]} {level}" for level in LEVELS if level in levels)


@dataclass(frozen=True, repr=False, kw_only=True)
class Assessment(Verdicts):
    """A model checked against its budget."""

    report: CostReport

    def to_dict(self, *, nodes: bool = False) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``; with ``nodes`` also the predicted steps on each device."""
        return make_document(**self.document(nodes=nodes))

    def document(self, *, nodes: bool = False) -> dict[str, Any]:
        """An entry of the key ``budgets``."""
        report = self.report
        return {
            "model": {"path": report.graph.path, "macs": report.macs, "parameters": report.parameters, "bound": report.bound},
            "limits": dict(self.limits.given),
            "checks": [check._asdict() for check in self.checks],
            "devices": [verdict.to_dict(nodes=nodes) for verdict in self.verdicts],
        }


def model_checks(report: Totals, limits: Limits) -> tuple[Check, ...]:
    """The limits that do not depend on a device."""
    found = {"macs": report.macs, "params": report.parameters}
    is_short = report.bound in ("lower", "mixed")
    checks = []
    for name, value in found.items():
        if (limit := limits.given.get(name)) is not None:
            level = NO if value > limit else UNKNOWN if is_short and name == "macs" else FITS
            checks.append(Check(name, level, limit, value, value, "counted", "not all nodes are counted" if is_short else ""))
    return tuple(checks)


def judge(predictor: Predictor, report: CostReport, limits: Limits) -> Verdict:
    """The verdict on one device with its best runtime; of equally good ones, the first."""
    is_open = report.memory.peak_activation_bytes is None
    prediction, fits = predictor.predict(report), fits_of(predictor, report)
    chosen = [prediction.choose(estimate) for estimate in prediction.estimates] or [prediction]
    found = [check_limits(predictor, each, fits, limits, is_open=is_open) for each in chosen]
    return replace(min(found, key=lambda each: LEVELS.index(each.level)), cache=cache_of(predictor, report))


def check_limits(
    predictor: Predictor, prediction: Prediction, fits: tuple[Fit, ...], limits: Limits, *, is_open: bool
) -> Verdict:
    """The verdict on one device by the prediction and the needed memory; ``is_open``: the activations are unknown."""
    verdict = Verdict(
        predictor.name, predictor.title, predictor.kind, prediction, fits, (),
        predictor.figure("price"), predictor.figure("power"), hourly=predictor.figure("hourly"),
    )  # fmt: skip
    types = [Check("dtype", NO, detail=", ".join(prediction.unsupported))] if prediction.unsupported else []
    room = [check for fit in fits for check in _room(predictor, fit, limits, is_open and fit.what == "memory")]
    return replace(verdict, checks=(*types, *([] if types else _times(verdict, limits)), *room))


def _times(verdict: Verdict, limits: Limits) -> Iterator[Check]:
    """Latency and FPS compared with their limits."""
    made = verdict.prediction
    for name, limit, of in (("latency", limits.latency, 0), ("fps", limits.fps, made.batch)):
        if limit is not None:
            yield check_time(name, limit, made.latency, made.bound, made.missing, made.limit, of=of)


def check_time(
    name: str,
    limit: float,
    span: Interval | None,
    bound: float | None,
    missing: Sequence[str],
    detail: str = "",
    *,
    of: int = 0,
) -> Check:
    """Seconds compared with the longest allowed, or ``of`` items with the fewest per second. A bound beyond the limit decides,
    regardless of the estimate.
    """
    longest = of / limit if of else limit
    if bound is not None and bound > longest:
        best = of / bound if of else bound
        return Check(name, NO, limit, best, best, "bound", detail)
    if span is None:
        return Check(name, UNKNOWN, limit, detail=", ".join(missing))
    if of and not span.low:
        return Check(name, FITS, limit, detail="there is nothing to compute")
    level = NO if span.low > longest else MARGINAL if span.high > longest else FITS
    low, high = (of / span.high, of / span.low) if of else (span.low, span.high)
    return Check(name, level, limit, low, high, span.basis, detail)


def _room(predictor: Predictor, fit: Fit, limits: Limits, is_open: bool) -> Iterator[Check]:
    """The use of a memory compared with its size, and with the user's limit; ``is_open``: part of the need is unknown."""
    unknown = [UNKNOWN] if is_open else []
    detail = "the shapes of the activations are unknown" if is_open else ""
    if (limit := limits.given.get(fit.what)) is not None:
        level = NO if fit.needed > limit else max([FITS, *unknown], key=LEVELS.index)
        yield Check(fit.what, level, limit, fit.needed, fit.needed, fit.basis, detail or "allowed")
    if fit.available is not None:
        headroom = fit.available - fit.needed
        level = NO if headroom < 0 else MARGINAL if headroom < LEAST_HEADROOM * fit.available else FITS
        level = max([level, *unknown], key=LEVELS.index)
        yield Check(fit.what, level, fit.available, fit.needed, fit.needed, fit.basis, detail)
    elif predictor.kind == "microcontroller":
        yield Check(fit.what, UNKNOWN, None, fit.needed, fit.needed, fit.basis, f"its {fit.what} is not known")


def predictors(
    names: Sequence[str] = (),
    files: Sequence[str] = (),
    prices: Mapping[str, float] | None = None,
    runtime: str = "",
    anchors: Mapping[str, float] | None = None,
) -> list[Predictor]:
    """The devices and calibrated machines of ``names``; a device in a file replaces one of the catalog with the same name.

    Without names, all in the files, and without files, the whole catalog. ``prices`` are dollars per hour by the name of a
    device among them. With ``runtime``, only devices that have it, and only that runtime; ``anchors`` are seconds measured with
    it, by the names of published models. Raises InputError for an unknown name and for a file that cannot be read.
    """
    found = _find_predictors(names, files)
    priced = {each.name: each for each in found if isinstance(each, Roofline)}
    for name in prices or {}:
        if name not in priced:
            raise InputError(f"there is no device '{name}' to set a price for{did_you_mean(name, priced)}")
    for name in anchors or {}:
        if name not in (published := evidence().models):
            raise InputError(f"there are no published results for a model '{name}'{did_you_mean(name, published)}")
    if runtime and runtime not in BACKENDS:
        hint = did_you_mean(runtime, BACKENDS) or f": choose from {', '.join(BACKENDS)}"
        raise InputError(f"there is no runtime '{runtime}'{hint}")
    if runtime:
        found = [each for each in found if isinstance(each, Roofline) and runtime in backends_of(each.device)]
    at_price = {name: with_hourly(priced[name].device, dollars) for name, dollars in (prices or {}).items()}
    return [
        Evidenced(at_price.get(each.name, each.device), runtime, anchors or {}) if isinstance(each, Roofline) else each
        for each in found
    ]


def parse_anchors(texts: Sequence[str]) -> dict[str, float]:
    """Seconds by the name of a model, from ``mobilenet_v2=12.3ms``; raises InputError for anything else."""
    found = {}
    for text in texts:
        name, _, time = (part.strip() for part in text.partition("="))
        seconds = parse_quantity(time, {unit: size for unit, size in UNITS["seconds"].items() if unit})
        if not seconds:
            raise InputError(f"--anchor expects MODEL=12.3ms, not '{text}'")
        found[name] = seconds
    return found


def _find_predictors(names: Sequence[str], files: Sequence[str]) -> list[Predictor]:
    machines = {machine.name: machine for machine in map(Calibrated.load, filter(is_calibration, files))}
    plain = [file for file in files if not is_calibration(file)]
    if names:
        return [machines.get(name) or Roofline(find_device(name, plain)) for name in names]
    if files:
        return [*machines.values(), *(Roofline(device) for file in plain for device in load_devices(file))]
    return [Roofline(device) for device in devices().values()]


def assess(
    label: str,
    report: CostReport,
    asked: Iterable[Predictor],
    limits: Limits,
    *,
    are_named: bool,
    again: Again | None = None,
    order: str = PRICE,
) -> Assessment:
    """The verdicts, the cheapest device that fits first, with remedies for those that do not fit."""
    changes = try_variants(report, again)
    found = [_with_remedies(predictor, judge(predictor, report, limits), changes, limits) for predictor in asked]
    return Assessment(
        label=label,
        report=report,
        limits=limits,
        checks=model_checks(report, limits),
        verdicts=tuple(sort_verdicts(found, order)),
        are_named=are_named,
        order=order,
    )


def assess_spec(
    spec: ModelSpec,
    formulas: FormulaTable | None,
    batch: int | None,
    limits: Limits,
    predictors: Sequence[Predictor],
    are_named: bool,
    label: str,
    order: str = PRICE,
) -> Assessment:
    """``assess`` for a spec; raises InputError for a model with another, fixed batch."""

    def again(*, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> CostReport:
        return estimate_spec(replace(spec, shapes=shapes, dims=dims), formulas)

    report = estimate_spec(spec, formulas)
    if batch is not None and batch != batch_of(report.graph):
        dim = batch_dim(report.graph)
        if dim is None:
            raise InputError(
                f"--batch {batch}: the model's batch is fixed at {batch_of(report.graph)}: export it with a dynamic one"
            )
        report = again(**dim.at(batch, spec.shapes, spec.dims))
    return assess(label, report, predictors, limits, are_named=are_named, again=again, order=order)


def budget(
    model: ModelSource,
    devices: Sequence[str] = (),
    *,
    files: Sequence[str] = (),
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    formulas: FormulaTable | None = None,
    batch: int | None = None,
    order: str = PRICE,
    prices: Mapping[str, float] | None = None,
    runtime: str = "",
    anchors: Mapping[str, float] | None = None,
    **limits: float | str,
) -> Assessment:
    """Check whether ``model`` stays within its limits on ``devices``, by default all in the catalog, without running it.

    ``files`` are TOML files of devices and calibrated machines. A limit is a field of Limits, in base units or as a string
    such as ``latency="33ms"``. ``order`` is a key of ORDERS. ``prices`` maps names of devices to dollars per hour. With
    ``runtime``, only that runtime is considered, and ``anchors`` maps names of published models to seconds measured with it
    on the device. The other arguments are those of ``onnxcost.estimate``.

    Raises InputError for an unknown device, limit, order, runtime or anchor.
    """
    given = parse_limits(limits)
    if order not in ORDERS:
        raise InputError(f"there is no order '{order}': choose from {', '.join(ORDERS)}")
    spec = ModelSpec.of(model, shapes, dims, values, trips)
    label = str(model) if isinstance(model, str | Path) else "model"
    found = predictors(devices, files, prices, runtime, anchors)
    return assess_spec(spec, formulas, batch, given, found, bool(devices or files), label, order)


def _with_remedies(predictor: Predictor, verdict: Verdict, changes: Sequence[Variant], limits: Limits) -> Verdict:
    """The smallest change that makes the model fit; if none does, the smallest that makes it marginal."""
    if verdict.level in (FITS, UNKNOWN):
        return verdict
    best: Remedy | None = None
    for variant in changes:
        changed = variant.report()
        if changed is None:
            continue
        remedy = Remedy(variant.change, judge(predictor, changed, limits))
        if remedy.verdict.level == FITS:
            return replace(verdict, remedies=(remedy,))
        if remedy.verdict.level == MARGINAL and verdict.level == NO:
            best = best or remedy
    return replace(verdict, remedies=(best,) if best else ())


def sort_verdicts(found: Iterable[Verdict], order: str = PRICE) -> list[Verdict]:
    """The verdicts by level, then by ``order``, then by launch price and power; devices without the figure come last.

    Of the devices that do not fit, those come first on which a changed model would fit.
    """

    def place(verdict: Verdict) -> tuple[float, ...]:
        after = min((LEVELS.index(remedy.verdict.level) for remedy in verdict.remedies), default=len(LEVELS))
        figures = (ORDERS[order](verdict), verdict.price, verdict.power)
        return (LEVELS.index(verdict.level), after, *(float("inf") if figure is None else figure for figure in figures))

    return sorted(found, key=place)
