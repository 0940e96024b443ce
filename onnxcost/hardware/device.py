"""A device: peak rates by type, memories, power and price, each figure with its source; quantities with their units."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import NamedTuple

SI = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
PREFIXES = SI | BINARY


class Quantity(NamedTuple):
    """A kind of number: its units relative to the base unit, an example, and whether it may be 0."""

    units: Mapping[str, int]
    example: str
    may_be_zero: bool = False


BYTES = Quantity({"B": 1}, "8 GiB")
BYTES_PER_SECOND = Quantity({"B/s": 1}, "68 GB/s")
OPERATIONS_PER_SECOND = Quantity(
    {"FLOP/s": 1, "FLOPS": 1, "OP/s": 1, "OPS": 1, "MAC/s": 2, "MACS": 2}, "1.28 TFLOP/s or 40 TOP/s"
)
HERTZ = Quantity({"Hz": 1}, "625 MHz")
WATTS = Quantity({"W": 1}, "15 W")
DOLLARS = Quantity({"USD": 1}, "249 USD", may_be_zero=True)
DOLLARS_PER_HOUR = Quantity({"USD/h": 1}, "0.526 USD/h", may_be_zero=True)
LEAST, MOST = 1e-6, 1e30
"""The range of numbers other than 0. Others are typing errors and would make times infinite or 0."""


def parse_figure(text: str, quantity: Quantity) -> float:
    """The number in the base unit.

    Raises ValueError for text without a unit of the quantity, and for a number out of range.
    """
    prefix, unit = ("|".join(map(re.escape, names)) for names in (PREFIXES, quantity.units))
    match = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*({prefix})({unit})\s*", text, re.ASCII)
    if match is None:
        raise ValueError(f"'{text}' is not a quantity such as {quantity.example}")
    value = float(Decimal(match[1]) * PREFIXES[match[2]] * quantity.units[match[3]])
    if not (LEAST <= value <= MOST or (not value and quantity.may_be_zero)):
        raise ValueError(f"'{text}' is {'too large' if value > MOST else 'too small'}: use a value such as {quantity.example}")
    return value


KINDS = ("microcontroller", "accelerator", "board", "phone", "laptop", "cpu", "gpu", "cloud")
PARTS: Mapping[str, str] = {"cpu": "CPU", "gpu": "GPU", "npu": "NPU", "dla": "DLA"}
BASES = ("published", "derived", "reported", "unverified", "given")
"""The basis of a figure: stated by the vendor, a standard or a measured table; derived from one; reported by others, as in the
press; unverified; given by the user.
"""
CLOCK_BASES = ("base", "boost", "maximum")

FIGURES: Mapping[str, Quantity] = {
    "memory": BYTES, "bandwidth": BYTES_PER_SECOND, "sram": BYTES, "sram_bandwidth": BYTES_PER_SECOND,
    "flash": BYTES, "flash_bandwidth": BYTES_PER_SECOND, "power": WATTS, "price": DOLLARS, "hourly": DOLLARS_PER_HOUR,
}  # fmt: skip
"""``memory`` holds weights and activations: DRAM, or a microcontroller's on-chip RAM. ``sram`` is the faster memory in addition
to it, or the only one of a device without DRAM. ``price`` is the launch price, ``hourly`` the price per hour of a cloud
instance.
"""

ACCUMULATES: Mapping[str, str] = {
    "float64": "float64", "float32": "float32", "tf32": "float32", "bfloat16": "float32", "float16": "", "float8": "float32",
    "float4": "float32", "int16": "int64", "int8": "int32", "int4": "int32",
}  # fmt: skip
"""The types that have a peak, and the default types in which products are summed; for float16 a file must say it."""

_FLOATS = ("float16", "bfloat16", "float32")
_WHOLE = ("float32", "float16", "bfloat16", "int8")
_FALLBACKS: Mapping[str, tuple[str, ...]] = {
    "float64": ("float64", "float32"),
    "float32": ("float32", "bfloat16", "float16"),
    "float16": ("float16", "float32", "bfloat16"),
    "bfloat16": ("bfloat16", "float32", "float16"),
    **dict.fromkeys(("float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float8e8m0"), ("float8", *_FLOATS)),
    "float4e2m1": ("float4", "float8", *_FLOATS),
    **dict.fromkeys(("int8", "uint8", "bool"), ("int8", *_FLOATS)),
    **dict.fromkeys(("int4", "uint4", "int2", "uint2"), ("int4", "int8", *_FLOATS)),
    **dict.fromkeys(("int16", "uint16"), ("int16", *_WHOLE)),
    **dict.fromkeys(("int32", "uint32", "int64", "uint64"), _WHOLE),
}
"""For each type of a graph, the types in which a device may run it: the first that it has counts.

float32 runs in a narrower type if there is nothing else, as compilers for such devices do. A device that has only int8
runs no floats.
"""


_NARROW = ("int8", "uint8", "bool", "int4", "uint4", "int2", "uint2")


class Source(NamedTuple):
    """A public document, and the day on which it was read, such as ``2026-11-23``."""

    title: str
    url: str = ""
    date: str = ""


@dataclass(frozen=True, slots=True)
class Figure:
    """A number in base units, its basis (BASES), its source, and how it was derived from that."""

    value: float
    basis: str
    source: Source
    how: str = ""


@dataclass(frozen=True, slots=True)
class Peak:
    """The dense rate of a part in a type, operations per second (a multiply-accumulate is two), and the type of its sums."""

    part: str
    dtype: str
    accumulate: str
    figure: Figure

    @property
    def rate(self) -> float:
        """Operations per second."""
        return self.figure.value


@dataclass(frozen=True, slots=True)
class Part:
    """A processor of the device. Its peaks are those at ``clock``; ``boost`` is the highest clock, if different."""

    kind: str
    title: str
    peaks: Mapping[str, Peak]
    clock: Figure | None = None
    clock_basis: str = ""
    boost: Figure | None = None

    @property
    def headroom(self) -> float:
        """The ratio of the rates at the highest clock to the peaks."""
        return self.boost.value / self.clock.value if self.boost and self.clock else 1.0


@dataclass(frozen=True, slots=True)
class Device:
    """A device by its name. ``parts`` are keyed by PARTS, ``figures`` by FIGURES; unknown ones are absent.

    ``of`` is the name of the device that a cloud instance has; ``catalogue.complete`` takes parts and figures from it.
    """

    name: str
    title: str
    vendor: str
    kind: str
    parts: Mapping[str, Part]
    figures: Mapping[str, Figure] = field(default_factory=dict)
    note: str = ""
    of: str = ""

    def peak(self, dtype: str) -> Peak | None:
        """The highest rate of a part in the type; None if no part computes in it."""
        peaks = (part.peaks[dtype] for part in self.parts.values() if dtype in part.peaks)
        return max(peaks, key=lambda peak: peak.rate, default=None)

    def runs_as(self, dtype: str) -> Peak | None:
        """The peak in the type in which the device runs a type of the graph; None if it cannot run it.

        Integers of 8 bits and less run in the fastest of the types that hold them, others in the first that it has.
        """
        peaks = (peak for name in _FALLBACKS.get(dtype, ()) if (peak := self.peak(name)))
        return max(peaks, key=lambda peak: peak.rate, default=None) if dtype in _NARROW else next(peaks, None)

    @property
    def dtypes(self) -> tuple[str, ...]:
        """The types in which at least one part computes."""
        return tuple(dtype for dtype in ACCUMULATES if self.peak(dtype))

    def value(self, figure: str) -> float | None:
        """A figure of FIGURES in its base unit; None if unknown."""
        return self.figures[figure].value if figure in self.figures else None

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second from and to ``memory``."""
        return self.value("bandwidth")

    @property
    def memory_bytes(self) -> int | None:
        """Bytes of ``memory``."""
        size = self.value("memory")
        return None if size is None else int(size)


def keeps_weights_in_flash(figure: Callable[[str], float | None]) -> bool:
    """Whether a device with these figures runs with its weights in flash memory."""
    return figure("flash") is not None or figure("flash_bandwidth") is not None
