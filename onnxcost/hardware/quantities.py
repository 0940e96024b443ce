"""Quantities as people write them, ``68 GB/s``, ``1.28 TFLOP/s``, ``8 GiB``, as numbers in base units."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import NamedTuple

SI = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12, "P": 10**15}
BINARY = {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
PREFIXES = SI | BINARY


class Quantity(NamedTuple):
    """A kind of number: what each of its units is worth in the base unit, how one is written, and whether it may be 0."""

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
LEAST, MOST = 1e-6, 1e30
"""What a number other than 0 lies between: beyond, it was mistyped, and times would be infinite or nothing."""


def parsed(text: str, quantity: Quantity) -> float:
    """The number in the base unit.

    Raises ValueError for a text that has no unit, or another one than the quantity, and for a number that cannot be meant.
    """
    prefix, unit = ("|".join(map(re.escape, names)) for names in (PREFIXES, quantity.units))
    match = re.fullmatch(rf"\s*(\d+(?:\.\d+)?)\s*({prefix})({unit})\s*", text, re.ASCII)
    if match is None:
        raise ValueError(f"'{text}' is not written like {quantity.example}")
    value = float(Decimal(match[1]) * PREFIXES[match[2]] * quantity.units[match[3]])
    if not (LEAST <= value <= MOST or (not value and quantity.may_be_zero)):
        raise ValueError(f"'{text}' is {'too much' if value > MOST else 'too little'}: write it like {quantity.example}")
    return value
