"""Budgets: the limits that a model is to keep, and the verdict on each device."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace

from onnxcost.comparison.gate import UNITS
from onnxcost.documents import is_figure, parse_quantity
from onnxcost.errors import InputError
from onnxcost.hardware.fitting import cache_of, fits_of
from onnxcost.hardware.remedies import Again, Variant, variants
from onnxcost.prediction import FITS, LEVELS, MARGINAL, NO, UNKNOWN, Check, Fit, Predictor, Remedy, Verdict
from onnxcost.report import CostReport

LEAST_HEADROOM = 0.2
"""A memory of which less than this share is left is marginal: the system and everything else want some of it."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is asked of a model, in base units; None is not asked.

    ``fps`` items per second; ``latency`` seconds of one inference; ``memory`` and ``flash`` bytes that it may need at the most;
    ``macs`` of one inference and ``params``.
    """

    fps: float | None = None
    latency: float | None = None
    memory: float | None = None
    flash: float | None = None
    macs: float | None = None
    params: float | None = None

    @property
    def given(self) -> Mapping[str, float]:
        """Those that are asked, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


EXAMPLES: Mapping[str, str] = {
    "fps": "30", "latency": "33ms", "memory": "512MiB", "flash": "2MiB", "macs": "500M", "params": "5M",
}  # fmt: skip
_UNITS = {"fps": "", "latency": "seconds", "memory": "bytes", "flash": "bytes", "macs": "count", "params": "count"}


def amount(name: str, given: object) -> float:
    """A limit in base units; raises InputError for what is no positive quantity of its kind."""
    units = UNITS[_UNITS[name]]
    if _UNITS[name] == "seconds":
        units = {unit: size for unit, size in units.items() if unit}
    value = parse_quantity(given, units) if isinstance(given, str) else given if "" in units and is_figure(given) else None
    if not isinstance(value, int | float) or not value:
        raise InputError(f"{name} wants a quantity as in {EXAMPLES[name]}, not '{given}'")
    return value


def limits_of(given: Mapping[str, object]) -> Limits:
    """The limits among ``given``; None is not asked."""
    return Limits(**{name: amount(name, value) for name, value in given.items() if name in EXAMPLES and value is not None})


@dataclass(frozen=True)
class Assessment:
    """A model held against its budget: the limits of its own, and the verdicts on devices.

    ``are_named`` says that the user asked for these devices: then one that does not keep the budget is a failure.
    """

    label: str
    report: CostReport
    limits: Limits
    checks: tuple[Check, ...]
    verdicts: tuple[Verdict, ...]
    are_named: bool = False

    @property
    def missed(self) -> tuple[Verdict, ...]:
        """The devices that were asked for and do not keep the budget, or of which that cannot be told."""
        return tuple(verdict for verdict in self.verdicts if self.are_named and verdict.level in (NO, UNKNOWN))

    @property
    def failed(self) -> tuple[Check, ...]:
        """The limits of the model's own that it does not keep."""
        return tuple(check for check in self.checks if check.level in (NO, UNKNOWN))


def model_checks(report: CostReport, limits: Limits) -> tuple[Check, ...]:
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
    """Whether the model keeps the limits on the device."""
    prediction = predictor.predict(report)
    fits = fits_of(predictor, report)
    verdict = Verdict(
        predictor.name, predictor.title, predictor.kind, prediction, fits, (),
        predictor.figure("price"), predictor.figure("power"), cache_of(predictor, report),
    )  # fmt: skip
    types = [Check("dtype", NO, detail=", ".join(prediction.unsupported))] if prediction.unsupported else []
    room = [check for fit in fits for check in _room(predictor, fit, limits, report)]
    return replace(verdict, checks=(*types, *([] if types else _times(verdict, limits)), *room))


def _times(verdict: Verdict, limits: Limits) -> Iterator[Check]:
    """Latency and FPS against their limits. A bound that is over one decides, whatever the estimate."""
    prediction = verdict.prediction
    asked = {"latency": limits.latency, "fps": limits.fps and prediction.batch / limits.fps}
    for name, longest in asked.items():
        if longest is None:
            continue
        limit, latency, bound = limits.given[name], prediction.latency, prediction.bound
        if bound is not None and bound > longest:
            best = prediction.batch / bound if name == "fps" else bound
            yield Check(name, NO, limit, best, best, "bound", prediction.limit)
        elif latency is None:
            yield Check(name, UNKNOWN, limit, detail=", ".join(prediction.missing))
        else:
            span = prediction.fps if name == "fps" else latency
            if span is None:
                yield Check(name, FITS, limit, detail="there is nothing to compute")
                continue
            level = NO if latency.low > longest else MARGINAL if latency.high > longest else FITS
            yield Check(name, level, limit, span.low, span.high, span.basis, prediction.limit)


def _room(predictor: Predictor, fit: Fit, limits: Limits, report: CostReport) -> Iterator[Check]:
    """A memory against what there is, and against what the user allows."""
    is_open = report.memory.peak_activation_bytes is None and fit.what == "memory"
    unknown = [UNKNOWN] if is_open else []
    detail = "the activations' shapes are not known" if is_open else ""
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


def assess(
    label: str, report: CostReport, asked: Iterable[Predictor], limits: Limits, *, are_named: bool, again: Again | None = None
) -> Assessment:
    """The devices, the cheapest that fits first, and for what does not fit what would."""
    changes = variants(report, again)
    found = in_order([_with_remedies(predictor, judge(predictor, report, limits), changes, limits) for predictor in asked])
    return Assessment(label, report, limits, model_checks(report, limits), tuple(found), are_named)


def _with_remedies(predictor: Predictor, verdict: Verdict, changes: Sequence[Variant], limits: Limits) -> Verdict:
    """The mildest change that makes the model fit; where none does, the mildest that makes it marginal."""
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


def in_order(found: Iterable[Verdict]) -> list[Verdict]:
    """The cheapest that fits first: by level, by launch price, and those without one by power.

    Of those that do not fit, the ones that a change would make fit come first.
    """

    def place(verdict: Verdict) -> tuple[float, ...]:
        unknown = float("inf")
        after = min((LEVELS.index(remedy.verdict.level) for remedy in verdict.remedies), default=len(LEVELS))
        return (
            LEVELS.index(verdict.level), after, verdict.price is None,
            unknown if verdict.price is None else verdict.price, unknown if verdict.power is None else verdict.power,
        )  # fmt: skip

    return sorted(found, key=place)
