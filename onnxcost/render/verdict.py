"""A verdict on a device in words: its figures, the limits that it misses, and the change that would make it fit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxcost.hardware.budget import Verdicts
from onnxcost.hardware.device import FIGURES
from onnxcost.hardware.limits import Limits
from onnxcost.hardware.prediction import FITS, UNKNOWN, Check, Fit, Interval, Verdict
from onnxcost.render.devices import amount_text
from onnxcost.render.units import WRITERS, binary, strip_zeros

WORDS: Mapping[str, str] = {
    "published": "this model on this chip",
    "sister": "this model elsewhere, × this device's ratio",
    "anchored": "a fit, scaled to other results on this device",
    "single": "a fit, scaled to one result on this device",
    "nearest": "similar models on this device",
    "known": "this model elsewhere and the data sheet: rough",
    "fitted": "other devices and the data sheet: rough",
    "estimate": "the data sheet only: rough",
    "prediction": "this machine's calibration",
}
"""The evidence for a latency, in a few words."""
LIMITED: Mapping[str, str] = {"compute": "arithmetic", "memory": "memory", "overhead": "launches", "": ""}
"""What takes most of the time: arithmetic, moving bytes, or launching steps."""
LIMIT_TITLES: Mapping[str, str] = {
    "fps": "FPS", "latency": "latency", "memory": "memory", "flash": "flash", "macs": "MACs", "params": "parameters",
    "ttft": "first token", "tokens_per_second": "tokens/s",
}  # fmt: skip


def rough_text(value: float) -> str:
    """A number with the precision of an estimate: ``0.34``, ``6.6``, ``40``, ``1,612``."""
    if value < 10:
        return f"{value:.2g}"
    return f"{float(f'{value:.3g}'):,.0f}"


def interval_text(span: Interval | None, scale: float = 1.0, none: str = "–") -> str:
    """``40–151``; one number where the two are the same."""
    if span is None:
        return none
    low, high = rough_text(span.low * scale), rough_text(span.high * scale)
    return low if low == high else f"{low}–{high}"


def latency_text(span: Interval) -> str:
    """``6.6–25 ms``."""
    unit, scale = ("s", 1.0) if span.low >= 1 else ("ms", 1e3) if span.high >= 1e-3 else ("µs", 1e6)
    return f"{interval_text(span, scale)} {unit}"


RATES = ("fps", "tokens_per_second")
LIMIT_UNITS: Mapping[str, str] = {
    "latency": "seconds", "memory": "bytes", "flash": "bytes", "macs": "count", "params": "count", "ttft": "seconds",
}  # fmt: skip


def _amount(name: str, value: float) -> str:
    return strip_zeros(WRITERS[LIMIT_UNITS[name]](value))


def limit_text(name: str, value: float) -> str:
    """``30 FPS``, ``latency 33 ms``, ``memory 512 MiB``."""
    return f"{LIMIT_TITLES[name]} {_amount(name, value)}" if name in LIMIT_UNITS else f"{value:g} {LIMIT_TITLES[name]}"


def limits_text(limits: Limits) -> str:
    """All limits; "memory only" without any."""
    return ", ".join(limit_text(name, value) for name, value in limits.given.items()) or "memory only"


def price_text(verdict: Verdict) -> str:
    """``$60``, or ``$0.526/h`` if it is priced per hour; empty if neither is known."""
    name, price = ("price", verdict.price) if verdict.hourly is None else ("hourly", verdict.hourly)
    return "" if price is None else amount_text(price, FIGURES[name])


def cost_text(verdict: Verdict) -> str:
    """``0.12–0.48``, dollars per million items; empty if unknown."""
    return interval_text(verdict.cost, none="")


def need_text(fit: Fit, none: str = "–") -> str:
    """The share of the memory that is needed, ``2 %``, or the bytes if the device's memory is unknown."""
    if fit.available is None:
        return binary(fit.needed)
    share = 100 * fit.needed / fit.available if fit.available else float("inf")
    return f"{'<1' if share < 1 else f'{share:,.0f}'} %"


def tightest(fits: Sequence[Fit]) -> Fit:
    """The memory with the largest share in use."""
    return max(fits, key=lambda fit: fit.needed / fit.available if fit.available else 0.0)


def cause_text(check: Check) -> str:
    """Why a limit is exceeded, or may be."""
    if check.what == "dtype":
        return f"has no {check.detail}"
    if check.low is None or check.high is None:
        return f"{check.detail} not known"
    if check.what in RATES:
        return (
            f"{rough_text(check.high)} {LIMIT_TITLES[check.what]} {'at the very most' if check.basis == 'bound' else 'at best'}"
        )
    if LIMIT_UNITS.get(check.what) == "seconds":
        what = "first token after " if check.what == "ttft" else ""
        best = latency_text(Interval(check.low, check.low, ""))
        return f"{what}{best} {'at the very least' if check.basis == 'bound' else 'at best'}"
    if check.limit is None:
        return check.detail
    return f"{limit_text(check.what, check.high)} of {_amount(check.what, check.limit)}"


def causes_text(verdict: Verdict) -> str:
    """All that decided the level; "" if every limit is met."""
    decided = [check for check in verdict.checks if check.level == verdict.level != FITS]
    return "; ".join(dict.fromkeys(map(cause_text, decided)))


def remedy_text(verdict: Verdict, none: str = "–") -> str:
    """``int8: 190–1,612 FPS``, and "perhaps" before it if that is only marginal."""
    for change, after in verdict.remedies:
        fps = after.prediction.fps
        speed = f": {interval_text(fps)} FPS" if fps else ""
        return f"{'' if after.level == FITS else 'perhaps '}{change}{speed}"
    return none


def failure_text(assessment: Verdicts) -> list[str]:
    """What misses the budget, in a sentence; none if nothing does."""
    own = [f"{cause_text(check)}{f' ({check.detail})' if check.detail else ''}" for check in assessment.failed]
    devices = [
        f"{verdict.name} {'may not fit' if verdict.level == UNKNOWN else verdict.level}: {causes_text(verdict)}"
        for verdict in assessment.missed
    ]
    return [f"{assessment.label}: {'; '.join([*own, *devices])}"] if own or devices else []


def evidence_text(verdict: Verdict) -> str:
    """The evidence for the latency, in a word."""
    return verdict.prediction.latency.basis if verdict.prediction.latency else ""
