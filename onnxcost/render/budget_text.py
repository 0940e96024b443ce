"""A budget's figures and causes in words."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence

from onnxcost.hardware.budgets import Assessment, Limits
from onnxcost.hardware.device import FIGURES
from onnxcost.prediction import FITS, UNKNOWN, Check, Fit, Span, Verdict
from onnxcost.render.devices import amount
from onnxcost.render.units import binary, seconds, si

LIMITED: Mapping[str, str] = {"compute": "arithmetic", "memory": "memory", "overhead": "launches", "": ""}
"""What most of the time goes to: multiplying, moving bytes, launching one step after the other."""
LIMIT_TITLES: Mapping[str, str] = {
    "fps": "FPS", "latency": "latency", "memory": "memory", "flash": "flash", "macs": "MACs", "params": "parameters",
}  # fmt: skip


def rough(value: float) -> str:
    """A number as exact as an estimate is: ``0.34``, ``6.6``, ``40``, ``1,612``."""
    if value < 10:
        return f"{value:.2g}"
    return f"{float(f'{value:.3g}'):,.0f}"


def span_text(span: Span | None, scale: float = 1.0, none: str = "–") -> str:
    """``40–151``; one number where the two are the same."""
    if span is None:
        return none
    low, high = rough(span.low * scale), rough(span.high * scale)
    return low if low == high else f"{low}–{high}"


def latency_text(span: Span) -> str:
    """``6.6–25 ms``."""
    unit, scale = ("s", 1.0) if span.low >= 1 else ("ms", 1e3) if span.high >= 1e-3 else ("µs", 1e6)
    return f"{span_text(span, scale)} {unit}"


def _bytes(value: float) -> str:
    return bare(binary(int(value)))


def _seconds(value: float) -> str:
    return bare(seconds(value))


def _count(value: float) -> str:
    return bare(si(value))


def bare(text: str) -> str:
    """The text without zeros at the end of a fraction: ``512 MiB`` for ``512.0 MiB``."""
    return re.sub(r"\.0+(?=\D|$)|(?<=\.)(\d*[1-9])0+(?=\D|$)", r"\1", text)


_WRITERS: Mapping[str, Callable[[float], str]] = {
    "fps": rough, "latency": _seconds, "memory": _bytes, "flash": _bytes, "macs": _count, "params": _count,
}  # fmt: skip


def limit_text(name: str, value: float) -> str:
    """``30 FPS``, ``latency 33 ms``, ``memory 512 MiB``."""
    return f"{value:g} FPS" if name == "fps" else f"{LIMIT_TITLES[name]} {_WRITERS[name](value)}"


def limits_text(limits: Limits) -> str:
    """All of them; "none" where nothing is asked."""
    return ", ".join(limit_text(name, value) for name, value in limits.given.items()) or "the memory alone"


def price_text(verdict: Verdict) -> str:
    """``$60``; nothing where it is not known."""
    return "" if verdict.price is None else amount(verdict.price, FIGURES["price"])


def need_text(fit: Fit, none: str = "–") -> str:
    """The share of the memory that is needed, ``2 %``, or the bytes where nobody knows how much there is."""
    if fit.available is None:
        return binary(fit.needed)
    share = 100 * fit.needed / fit.available if fit.available else float("inf")
    return f"{'<1' if share < 1 else f'{share:,.0f}'} %"


def tightest(fits: Sequence[Fit]) -> Fit:
    """The memory of which the largest part is needed."""
    return max(fits, key=lambda fit: fit.needed / fit.available if fit.available else 0.0)


def cause_text(check: Check) -> str:
    """Why a limit is not kept, or may not be."""
    if check.what == "dtype":
        return f"has no {check.detail}"
    if check.low is None or check.high is None:
        return f"{check.detail} not known"
    if check.what == "fps":
        return f"{rough(check.high)} FPS {'at the very most' if check.basis == 'bound' else 'at best'}"
    if check.what == "latency":
        return f"{latency_text(Span(check.low, check.low, ''))} {'at the very least' if check.basis == 'bound' else 'at best'}"
    if check.limit is None:
        return check.detail
    return f"{limit_text(check.what, check.high)} of {_WRITERS[check.what](check.limit)}"


def causes_text(verdict: Verdict) -> str:
    """All that decided the level; nothing where every limit is kept."""
    decided = [check for check in verdict.checks if check.level == verdict.level != FITS]
    return "; ".join(dict.fromkeys(map(cause_text, decided)))


def remedy_text(verdict: Verdict, none: str = "–") -> str:
    """``int8: 190–1,612 FPS``, and "perhaps" before it where that is only marginal."""
    for change, after in verdict.remedies:
        fps = after.prediction.fps
        speed = f": {span_text(fps)} FPS" if fps else ""
        return f"{'' if after.level == FITS else 'perhaps '}{change}{speed}"
    return none


def failures(assessment: Assessment) -> list[str]:
    """What does not keep the budget, in a sentence; none where all does."""
    own = [f"{cause_text(check)}{f' ({check.detail})' if check.detail else ''}" for check in assessment.failed]
    devices = [
        f"{verdict.name} {'cannot be told' if verdict.level == UNKNOWN else verdict.level}: {causes_text(verdict)}"
        for verdict in assessment.missed
    ]
    return [f"{assessment.label}: {'; '.join([*own, *devices])}"] if own or devices else []
