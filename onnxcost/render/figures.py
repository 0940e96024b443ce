"""Values and differences of metrics as text, aligned where they stand in a column."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from onnxcost.comparison.candidates import Candidate, Comparison, Number
from onnxcost.comparison.gate import Excess
from onnxcost.comparison.metrics import MEASURED, METRICS
from onnxcost.render.glyphs import Glyphs, spelled
from onnxcost.render.units import binary, rate, ratio, seconds, si

WRITERS: Mapping[str, Callable[[Number], str]] = {
    "count": si,
    "bytes": lambda value: binary(int(value)),
    "seconds": seconds,
    "per second": lambda value: rate(value, "FLOP/s"),
    "": ratio,
}
"""By the unit of a metric."""


def value_text(candidate: Candidate, metric: str, glyphs: Glyphs) -> str:
    """The value with its unit and its bound, ``≥ 4.089 G``; where there is none a dash, or that it could not be measured."""
    if metric not in candidate.values:
        return "not measured" if candidate.unmeasured and metric in MEASURED else glyphs.none
    written = WRITERS[METRICS[metric].unit](candidate.values[metric])
    return spelled(glyphs.bound(candidate.bound_of(metric)) + written, glyphs)


def relative_text(comparison: Comparison, candidate: Candidate, metric: str, glyphs: Glyphs) -> str:
    """How the value stands to the baseline's: ``+3.2 %``, ``4.10×``, ``=``; about so where one of them is a bound."""
    quotient = comparison.relative(candidate, metric)
    if quotient is None or candidate is comparison.baseline:
        return ""
    about = "" if comparison.is_exact(candidate, metric) else glyphs.about
    return spelled(about + relation(quotient), glyphs)


def relation(quotient: float) -> str:
    """A quotient in words: ``=``, per cent up to twice and down to half, else how many times."""
    if quotient == 1:
        return "="
    if not 0.5 <= quotient < 2:
        return f"{quotient:,.0f}×" if quotient >= 100 else f"{quotient:#.3g}×"
    percent = 100 * (quotient - 1)
    size = abs(percent)
    return sign(percent) + ("<0.001" if size < 0.001 else f"{size:.1g}" if size < 0.05 else f"{size:.1f}") + " %"


def sign(value: Number) -> str:
    """``+``, ``−`` or nothing."""
    return "+" if value > 0 else "−" if value < 0 else ""


def growth(excess: Excess) -> str:
    """What is over a limit: ``FLOPs grew from 7.753 G to 8.195 G, by 441.8 M (+5.7 %), more than 1%``."""
    metric = METRICS[excess.limit.metric]
    write = WRITERS[metric.unit]
    share = f" ({relation(excess.after / excess.before)})" if excess.before else ""
    before, after, by = map(write, (excess.before, excess.after, excess.after - excess.before))
    return f"{metric.title} grew from {before} to {after}, by {by}{share}, more than {excess.limit.text}"


def signed(value: int, unit: str = "count") -> str:
    """A difference: ``+10.59 M``, ``−2.010 MiB``, ``0``."""
    return sign(value) + WRITERS[unit](abs(value)) if value else "0"


def aligned(texts: Sequence[str]) -> list[str]:
    """Numbers with their units, ``4.089 G``, so that number stands below number and unit below unit."""
    parts = [_parts(text) for text in texts]
    numbers = max((len(number) for number, _ in parts), default=0)
    units = max((len(unit) for _, unit in parts), default=0)
    return [f"{number:>{numbers}}{' ' if units else ''}{unit:<{units}}" for number, unit in parts]


def _parts(text: str) -> tuple[str, str]:
    """The number, with what stands before it, and the unit behind it."""
    number, space, unit = text.rpartition(" ")
    is_unit = bool(space) and any(char.isdigit() for char in number) and not any(char.isdigit() for char in unit)
    return (number, unit) if is_unit else (text, "")
