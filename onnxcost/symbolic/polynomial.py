"""Polynomials in named sizes with rational coefficients, and exact interpolation: nothing is rounded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise, product, zip_longest
from math import lcm, prod
from typing import NamedTuple

Exponents = tuple[int, ...]
_RAISED = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Polynomial:
    """``terms`` are the nonzero coefficients by the exponents of the ``dims``: names of dims, and floors of them."""

    dims: tuple[str, ...]
    terms: Mapping[Exponents, Fraction]

    @cached_property
    def _whole(self) -> tuple[int, tuple[tuple[Exponents, int], ...]]:
        """The common denominator, and the terms times it: sums of integers are faster than sums of fractions."""
        denominator = lcm(*(each.denominator for each in self.terms.values()))
        return denominator, tuple((exponents, int(each * denominator)) for exponents, each in self.terms.items())

    def at(self, sizes: Sequence[int]) -> int | Fraction:
        """The value at sizes in the order of ``dims``; an integer if possible."""
        denominator, terms = self._whole
        total = sum(factor * prod(map(pow, sizes, exponents)) for exponents, factor in terms)
        return total // denominator if total % denominator == 0 else Fraction(total, denominator)

    def along(self, means: Mapping[str, tuple[Fraction, Fraction]], others: Mapping[str, int]) -> list[Fraction]:
        """The coefficients of 1, x, x² … where variables are c + d·x, given as (c, d), and ``others`` have these sizes."""
        found: list[Fraction] = []
        for exponents, factor in self.terms.items():
            part = [factor]
            for name, power in zip(self.dims, exponents, strict=True):
                for _ in range(power):
                    constant, slope = means.get(name, (Fraction(others.get(name, 0)), Fraction(0)))
                    part = [
                        constant * low + slope * high
                        for low, high in zip([*part, Fraction(0)], [Fraction(0), *part], strict=True)
                    ]
            found = [mine + more for mine, more in zip_longest(found, part, fillvalue=Fraction(0))]
        while found and not found[-1]:
            found.pop()
        return found or [Fraction(0)]

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


def sum_polynomials(dims: tuple[str, ...], polynomials: Iterable[Polynomial]) -> Polynomial:
    """The sum of polynomials in the same ``dims``."""
    terms: dict[Exponents, Fraction] = {}
    for each in polynomials:
        for exponents, factor in each.terms.items():
            terms[exponents] = terms.get(exponents, Fraction(0)) + factor
    return Polynomial(dims, {exponents: factor for exponents, factor in terms.items() if factor})


def count_degree(values: Sequence[int]) -> int | None:
    """The degree of the polynomial through equally spaced values; None if differences of no order vanish."""
    degree = -1
    while any(values):
        if len(values) == 1:
            return None
        degree += 1
        values = [right - left for left, right in pairwise(values)]
    return max(degree, 0) if len(values) else None


class Basis(NamedTuple):
    """Products of variables, and how to compute their coefficients: ``inverse`` / ``denominator`` times the values at the
    points ``rows``.
    """

    monomials: tuple[Exponents, ...]
    rows: tuple[int, ...]
    inverse: tuple[tuple[int, ...], ...]
    denominator: int

    @classmethod
    def of(cls, monomials: Sequence[Exponents], points: Sequence[Sequence[int]]) -> Basis:
        """The basis of the monomials that are linearly independent of earlier ones at the points; ``rows`` are the first points
        that suffice to distinguish them.
        """
        kept = [monomials[at] for at in _independent([[value_of(each, point) for point in points] for each in monomials])]
        values = [[value_of(each, point) for each in kept] for point in points]
        rows = _independent(values)
        inverse = _invert([values[row] for row in rows])
        denominator = lcm(*(each.denominator for row in inverse for each in row))
        whole = tuple(tuple(int(each * denominator) for each in row) for row in inverse)
        return cls(tuple(kept), tuple(rows), whole, denominator)

    def solve(self, values: Sequence[int]) -> list[int]:
        """The coefficients times ``denominator``."""
        picked = [values[row] for row in self.rows]
        return [sum(map(int.__mul__, row, picked)) for row in self.inverse]


def value_of(exponents: Exponents, point: Sequence[int]) -> int:
    """The product of the powers of a point's sizes."""
    return prod(map(pow, point, exponents))


def _independent(rows: Sequence[Sequence[int]]) -> list[int]:
    """The indices of the rows that are linearly independent of earlier ones."""
    chosen: list[int] = []
    reduced: list[tuple[int, list[Fraction]]] = []
    for at, row in enumerate(rows):
        left = [Fraction(each) for each in row]
        for pivot, other in reduced:
            if factor := left[pivot]:
                left = [mine - factor * theirs for mine, theirs in zip(left, other, strict=True)]
        if (pivot := next((place for place, each in enumerate(left) if each), -1)) >= 0:
            reduced.append((pivot, [each / left[pivot] for each in left]))
            chosen.append(at)
    return chosen


def _invert(matrix: Sequence[Sequence[int]]) -> list[list[Fraction]]:
    """The inverse of a matrix of full rank."""
    size = len(matrix)
    rows = [[*map(Fraction, row), *(Fraction(at == own) for at in range(size))] for own, row in enumerate(matrix)]
    for column in range(size):
        pivot = next(at for at in range(column, size) if rows[at][column])
        rows[column], rows[pivot] = rows[pivot], rows[column]
        rows[column] = [each / rows[column][column] for each in rows[column]]
        for at in range(size):
            if at != column and (factor := rows[at][column]):
                rows[at] = [mine - factor * theirs for mine, theirs in zip(rows[at], rows[column], strict=True)]
    return [row[size:] for row in rows]


def fit_grid(dims: tuple[str, ...], bases: Sequence[Basis], counts: Sequence[int], values: Sequence[int]) -> Polynomial:
    """The polynomial through values on a grid, in the order of ``itertools.product``. Each axis has ``counts`` points and a
    basis whose monomials it uses.
    """
    rows = list(values)
    for place, (basis, count) in enumerate(zip(bases, counts, strict=True)):
        inner = prod(counts[place + 1 :])
        rows = [
            each
            for first in range(0, len(rows), count * inner)
            for order in zip(
                *(basis.solve(rows[first + lane : first + count * inner : inner]) for lane in range(inner)), strict=True
            )
            for each in order
        ]
        counts = [*counts[:place], len(basis.monomials), *counts[place + 1 :]]
    denominator = prod(basis.denominator for basis in bases)
    terms = {}
    for monomials, factor in zip(product(*(basis.monomials for basis in bases)), rows, strict=True):
        if factor:
            terms[tuple(sum(each) for each in zip(*monomials, strict=True))] = Fraction(factor, denominator)
    return Polynomial(dims, terms)
