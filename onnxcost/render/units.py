"""Numbers, quantities and differences as text. Everywhere else, values are in base units; only this file knows prefixes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from onnxcost.graph import Tensor

SI_PREFIXES = ("", "k", "M", "G", "T", "P", "E", "Z", "Y")
BINARY_PREFIXES = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
SIGNIFICANT = 4
HUGE = 10**6
"""From this value on, numbers with the last prefix are written with an exponent."""


def _scale(value: float, base: int, prefixes: Sequence[str]) -> tuple[str, str]:
    """``value`` in four significant digits and its prefix, chosen after rounding: 999,999 is 1.000 M, not 1000 k."""
    for power, prefix in enumerate(prefixes):
        if abs(value) < base ** (power + 1):
            text = f"{value / base**power:#.{SIGNIFICANT}g}".rstrip(".")
            if abs(float(text)) < base:
                return text, prefix
    from decimal import Decimal

    last = Decimal(value) / base ** (len(prefixes) - 1)
    return f"{last:.{SIGNIFICANT - 1}e}" if last >= HUGE else f"{last:.0f}", prefixes[-1]


def si(value: float) -> str:
    """A count with its SI prefix: ``4.089 G``, ``61.10 M``; an integer below 1000 is exact and bare."""
    if isinstance(value, int) and abs(value) < 1000:
        return str(value)
    text, prefix = _scale(value, 1000, SI_PREFIXES)
    return f"{text} {prefix}".rstrip()


def count_text(value: int, unit: str) -> str:
    """A count with its unit: ``4.089 GMACs``, ``512 MACs``; a unit that is a word is separated, ``25.53 M parameters``."""
    number, _, prefix = si(value).partition(" ")
    return f"{number} {prefix}{unit}" if unit[:1].isupper() or not prefix else f"{number} {prefix} {unit}"


def binary(value: int) -> str:
    """Bytes with their binary prefix: ``97.49 MiB``; below 1 KiB exact, ``512 B``."""
    if abs(value) < 1024:
        return f"{value} B"
    text, prefix = _scale(value, 1024, BINARY_PREFIXES)
    return f"{text} {prefix}B"


def exact(value: int) -> str:
    """All digits, in groups of three: ``4,089,184,256``."""
    return f"{value:,}"


def share(part: float, whole: float) -> str:
    """A share in percent with one decimal; "<0.1 %" for what would round to 0.0."""
    if not whole or not part:
        return "0 %"
    percent = 100 * part / whole
    return "<0.1 %" if percent < 0.05 else f"{percent:.1f} %"


def rate(value: float, unit: str) -> str:
    """A rate with the SI prefix of its unit: ``12.34 GFLOP/s``."""
    number, prefix = _scale(value, 1000, SI_PREFIXES) if value else ("0", "")
    return f"{number} {prefix}{unit}"


class TimeUnit(NamedTuple):
    """How related times are written: ``unit`` is ``length`` seconds; numbers have ``decimals`` decimals."""

    unit: str
    length: float
    decimals: int

    def number(self, seconds: float) -> str:
        """The number alone; "<0.01" for what would round to 0.00."""
        least = 10**-self.decimals
        value = seconds / self.length
        return f"<{least:.{self.decimals}f}" if 0 < value < least / 2 else f"{value:,.{self.decimals}f}"

    def text(self, seconds: float) -> str:
        """The number and the unit; a far longer time has its own unit."""
        if seconds >= FAR * self.length and self.unit != "s":
            return time_unit(seconds).text(seconds)
        return f"{self.number(seconds)} {self.unit}"


FAR = 1000
TIME_UNITS = (("s", 1.0), ("ms", 1e-3), ("µs", 1e-6), ("ns", 1e-9))


def time_unit(seconds: float) -> TimeUnit:
    """The unit in which a time has four significant digits and is at least 1: ``12.34 ms``; seconds for a second or more."""

    def shown(length: float) -> float:
        return float(f"{seconds / length:.{SIGNIFICANT}g}")

    unit, length = next((pair for pair in TIME_UNITS if shown(pair[1]) >= 1), TIME_UNITS[-1])
    return TimeUnit(unit, length, max(SIGNIFICANT - len(str(int(shown(length)))), 0))


def seconds(value: float) -> str:
    """A time in four significant digits: ``12.34 ms``, ``1.235 s``."""
    return time_unit(value).text(value) if value else "0 s"


def ratio(value: float | None) -> str:
    """A plain quotient in four significant digits: ``56.31``."""
    return "unknown" if value is None else f"{value:,.0f}" if value >= 1000 else f"{value:#.4g}"


def shape(tensor: Tensor | None, times: str = "×") -> str:
    """Dims joined: ``1×3×224×224``; ``scalar`` for no dims, ``?`` for what is open."""
    if tensor is None or tensor.dims is None:
        return "?"
    return times.join("?" if dim is None else str(dim) for dim in tensor.dims) or "scalar"


def plural(number: int, noun: str) -> str:
    """``1 node``, ``12 nodes``."""
    return f"{exact(number)} {noun}" if number == 1 else f"{exact(number)} {noun}s"


def strip_zeros(text: str) -> str:
    """The text without zeros at the end of a fraction: ``512 MiB`` for ``512.0 MiB``."""
    return re.sub(r"\.0+(?=\D|$)|(?<=\.)(\d*[1-9])0+(?=\D|$)", r"\1", text)


def relation_text(quotient: float) -> str:
    """A quotient in words: ``=``, percent up to twice and down to half, else how many times."""
    if quotient == 1:
        return "="
    if not 0.5 <= quotient < 2:
        return f"{quotient:,.0f}×" if quotient >= 100 else f"{quotient:#.3g}×"
    percent = 100 * (quotient - 1)
    size = abs(percent)
    return sign(percent) + ("<0.001" if size < 0.001 else f"{size:.1g}" if size < 0.05 else f"{size:.1f}") + " %"


WRITERS: Mapping[str, Callable[[float], str]] = {
    "count": si,
    "bytes": lambda value: binary(int(value)),
    "seconds": seconds,
    "per second": lambda value: rate(value, "FLOP/s"),
    "": ratio,
}
"""By the unit of a metric."""


def sign(value: float) -> str:
    """``+``, ``−`` or nothing."""
    return "+" if value > 0 else "−" if value < 0 else ""


def signed_text(value: int, unit: str = "count") -> str:
    """A difference: ``+10.59 M``, ``−2.010 MiB``, ``0``."""
    return sign(value) + WRITERS[unit](abs(value)) if value else "0"


def align_units(texts: Sequence[str]) -> list[str]:
    """Numbers with their units, ``4.089 G``, aligned by number and unit."""
    parts = []
    for text in texts:
        number, space, unit = text.rpartition(" ")
        is_unit = bool(space) and any(char.isdigit() for char in number) and not any(char.isdigit() for char in unit)
        parts.append((number, unit) if is_unit else (text, ""))
    numbers = max((len(number) for number, _ in parts), default=0)
    units = max((len(unit) for _, unit in parts), default=0)
    return [f"{number:>{numbers}}{' ' if units else ''}{unit:<{units}}" for number, unit in parts]
