"""The formulas along one dim, the others at their base: polynomials, and the domain in which they hold."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations_with_replacement
from operator import add
from typing import NamedTuple

from onnxcost.symbolic.floors import Floor
from onnxcost.symbolic.keys import Key
from onnxcost.symbolic.polynomial import Basis, Exponents, Polynomial, fit_grid, sum_polynomials

METRICS, TRAFFIC = ("macs", "flops", "read_bytes", "write_bytes"), {"read_bytes", "write_bytes"}
Sizes = tuple[int, ...]
SHOWN = ("total", "operator", "module")


class Domain(NamedTuple):
    """The sizes of a dim for which the formulas hold: ``least`` to ``most`` in multiples of ``step``; ``reasons`` explain the
    limits.
    """

    least: int
    most: int
    step: int
    reasons: tuple[str, ...] = ()

    def __contains__(self, size: object) -> bool:
        return isinstance(size, int) and self.least <= size <= self.most and size % self.step == 0

    def halve(self, why: str) -> Domain:
        """The smaller half, and why the larger one is left out."""
        most = max(self.most // 2 // self.step * self.step, self.least)
        reasons = (*(reason for reason in self.reasons if not reason.startswith("above")), f"above {most}: {why}")
        return self._replace(most=most, reasons=reasons)

    def __str__(self) -> str:
        """``32 to 14336 in multiples of 32``."""
        if self.least == self.most:
            return f"{self.least} alone"
        return f"{self.least} to {self.most}" + (f" in multiples of {self.step}" if self.step > 1 else "")


class Line(NamedTuple):
    """The formulas ``fitted`` at ``sizes`` of one dim, in the dim and its ``floors``; the others are at their base."""

    name: str
    sizes: Sequence[int]
    floors: tuple[Floor, ...]
    fitted: Mapping[Key, Polynomial]
    domain: Domain

    @property
    def variables(self) -> tuple[str, ...]:
        """The dim and its floors."""
        return (self.name, *map(str, self.floors))

    def vector(self, size: int) -> Sizes:
        """Their values at a size."""
        return (size, *(floor.at(size) for floor in self.floors))

    @property
    def reach(self) -> float:
        """The ratio of the largest size to the smallest."""
        return self.domain.most / max(self.domain.least, 1)

    def monomials(self, key: Key) -> tuple[Exponents, ...]:
        """The monomials that the formula of a number may have along the dim; none if there is no formula."""
        if not self.floors:
            return tuple((power,) for power in range(len(self.sizes)))
        formula = self.fitted.get(key)
        return tuple(sorted({*formula.terms, (0,) * len(self.variables)})) if formula is not None else ()


def products_of(number: int) -> Iterator[list[Exponents]]:
    """The monomials in ``number`` variables that are tried: first up to their squares, then also products of two."""
    ones = [tuple(int(at == own) for at in range(number)) for own in range(number)]
    yield [(0,) * number, *ones, *(tuple(2 * each for each in one) for one in ones)]
    yield [(0,) * number, *ones, *(tuple(map(add, one, two)) for one, two in combinations_with_replacement(ones, 2))]


def solve(
    variables: tuple[str, ...], monomials: Sequence[Exponents], vectors: Sequence[Sizes], numbers: Sequence[Mapping[Key, int]]
) -> tuple[dict[Key, Polynomial], str]:
    """The polynomials through the numbers at some sizes, or none and which required number has no polynomial."""
    basis = Basis.of(monomials, vectors)
    made: dict[tuple[int, ...], Polynomial | None] = {}
    fitted = {}
    for key in numbers[0]:
        if key[0] == "dim" or (key[0] in SHOWN and key[-1] in METRICS) or any(key not in each for each in numbers):
            continue
        column = tuple(each[key] for each in numbers)
        if column not in made:
            found = fit_grid(variables, (basis,), (len(column),), column)
            made[column] = found if tuple(map(found.at, vectors)) == column else None
        if (formula := made[column]) is not None:
            fitted[key] = formula
        elif key[0] != "memory":
            return {}, f"the {key[-1]} of {key[1]} are not a polynomial in {', '.join(variables)}"
    return fitted, ""


def telling_sizes(line: Line) -> list[int]:
    """The sizes of a line that suffice to determine each of its formulas: as few as possible."""
    chosen: list[int] = []
    unlike = {line.monomials(key) for key in line.fitted if key[0] not in SHOWN or key[-1] not in METRICS}
    for monomials in sorted(unlike, key=len, reverse=True):
        order = [*chosen, *(size for size in line.sizes if size not in chosen)]
        basis = Basis.of(monomials, [line.vector(size) for size in order])
        chosen += [order[row] for row in basis.rows if row >= len(chosen)]
    return sorted(chosen)


def spread_basis(line: Line, monomials: Sequence[Exponents], variables: Sequence[str]) -> Basis:
    """The basis of a line, with its monomials in the variables of all lines."""
    basis = Basis.of(monomials, [line.vector(size) for size in line.sizes])
    places = [variables.index(each) for each in line.variables]

    def spread(exponents: Exponents) -> Exponents:
        found = [0] * len(variables)
        for place, power in zip(places, exponents, strict=True):
            found[place] = power
        return tuple(found)

    return basis._replace(monomials=tuple(map(spread, basis.monomials)))


def sum_nodes(
    variables: tuple[str, ...], fitted: Mapping[Key, Polynomial], members: Mapping[str, Sequence[Key]]
) -> dict[Key, Polynomial]:
    """The formulas of the totals, operators and modules from those of the nodes."""
    parts: dict[Key, list[Polynomial]] = {}
    for key, formula in fitted.items():
        for group in members[key[1]] if key[0] == "node" else ():
            parts.setdefault((*group, key[2]), []).append(formula)
    return {key: sum_polynomials(variables, each) for key, each in parts.items()}


def draw_size(draw: random.Random, domain: Domain) -> int:
    """A multiple of the step in the domain, drawn uniformly on a logarithmic scale."""
    low, high = domain.least // domain.step, domain.most // domain.step
    size = int((low + 1) * ((high + 1) / (low + 1)) ** draw.random()) - 1
    return domain.step * min(max(size, low), high)
