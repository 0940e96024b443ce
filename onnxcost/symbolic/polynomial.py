"""Polynomials in named sizes with rational coefficients, and the ones that go through exact values on a grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise, product
from math import lcm, prod
from typing import NamedTuple

Exponents = tuple[int, ...]
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Polynomial:
    """``terms`` are the coefficients other than 0, by the exponents of the ``dims``."""

    dims: tuple[str, ...]
    terms: Mapping[Exponents, Fraction]

    @cached_property
    def _whole(self) -> tuple[int, tuple[tuple[Exponents, int], ...]]:
        """The common denominator, and the terms times it: sums of integers are faster than sums of fractions."""
        denominator = lcm(*(each.denominator for each in self.terms.values()))
        return denominator, tuple((exponents, int(each * denominator)) for exponents, each in self.terms.items())

    def at(self, sizes: Sequence[int]) -> int | Fraction:
        """The value at sizes in the order of ``dims``: an integer where it is one."""
        denominator, terms = self._whole
        total = sum(factor * prod(map(pow, sizes, exponents)) for exponents, factor in terms)
        return total // denominator if total % denominator == 0 else Fraction(total, denominator)

    def degree(self, dim: str) -> int:
        """The highest exponent of a dim."""
        at = self.dims.index(dim)
        return max((exponents[at] for exponents in self.terms), default=0)

    def along(self, dim: str, others: Mapping[str, int]) -> list[Fraction]:
        """The coefficients of 1, x, x² … in one dim, the ``others`` at these sizes."""
        at = self.dims.index(dim)
        found = [Fraction(0)] * (self.degree(dim) + 1)
        for exponents, factor in self.terms.items():
            sizes = (others[name] ** power for name, power in zip(self.dims, exponents, strict=True) if name != dim)
            found[exponents[at]] += factor * prod(sizes)
        return found

    def __str__(self) -> str:
        """``84,934,656·batch·sequence + 18,432·batch·sequence²``: the highest powers last, 0 without terms."""
        text = ""
        for exponents, factor in sorted(self.terms.items(), key=lambda term: (sum(term[0]), term[0][::-1])):
            powers = [
                name + ("" if power == 1 else str(power).translate(_RAISED))
                for name, power in zip(self.dims, exponents, strict=True)
                if power
            ]
            size = abs(factor)
            number = [f"{size.numerator:,}" + (f"/{size.denominator:,}" if size.denominator != 1 else "")]
            term = "·".join([*(number if size != 1 or not powers else []), *powers])
            text += (" − " if factor < 0 else " + ") + term if text else ("−" if factor < 0 else "") + term
        return text or "0"


class Axis(NamedTuple):
    """Equally spaced sizes of a dim: ``number`` of them from ``start`` on."""

    start: int
    step: int
    number: int

    def points(self) -> list[int]:
        """The sizes."""
        return [self.start + at * self.step for at in range(self.number)]


def count_degree(values: Sequence[int]) -> int | None:
    """The degree of the polynomial through values at equal distances; None where no difference of them vanishes."""
    degree = -1
    while any(values):
        if len(values) == 1:
            return None
        degree += 1
        values = [right - left for left, right in pairwise(values)]
    return max(degree, 0) if len(values) else None


def fit_grid(dims: tuple[str, ...], axes: Sequence[Axis], values: Sequence[int]) -> Polynomial:
    """The polynomial through values on a grid, in the order of ``itertools.product``; of a degree below the sizes of each dim.

    Newton's forward differences along each axis, which are integers, then expanded: nothing is rounded.
    """
    counts = [axis.number for axis in axes]
    rows = list(values)
    for place, count in enumerate(counts):
        inner, outer = prod(counts[place + 1 :]), prod(counts[:place])
        for block in range(outer):
            first = block * count * inner
            for order in range(1, count):
                for at in range(count - 1, order - 1, -1):
                    for lane in range(inner):
                        here = first + at * inner + lane
                        rows[here] -= rows[here - inner]
    bases = [_newton_basis(axis) for axis in axes]
    terms: dict[Exponents, Fraction] = {}
    for orders, factor in zip(product(*map(range, counts)), rows, strict=True):
        if factor:
            for powers in product(*(range(order + 1) for order in orders)):
                share = prod((bases[at][orders[at]][powers[at]] for at in range(len(axes))), start=Fraction(factor))
                terms[powers] = terms.get(powers, Fraction(0)) + share
    return Polynomial(dims, {powers: factor for powers, factor in terms.items() if factor})


def _newton_basis(axis: Axis) -> list[list[Fraction]]:
    """The coefficients in x of binomial((x − start) / step, order), for each order below ``count``."""
    found = [[Fraction(1)]]
    for order in range(axis.number - 1):
        last, root = found[-1], axis.start + order * axis.step
        raised = [Fraction(0), *last]
        for at, factor in enumerate(last):
            raised[at] -= root * factor
        found.append([factor / (axis.step * (order + 1)) for factor in raised])
    return found
