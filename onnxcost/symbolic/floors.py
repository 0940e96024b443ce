"""Floors of a dim, which strides cause: ⌊(h + 1)/2⌋ rows of h. They are found from exact sizes, with integers only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from fractions import Fraction
from itertools import pairwise
from math import gcd, isqrt
from typing import NamedTuple

MOST_SIZES = 160
"""The most sizes of a dim that are counted to find its floors."""
FEW = 16
"""Up to this many steps of a floor, the position of each is searched for."""


class Floor(NamedTuple):
    """⌊(factor · size + offset) / divisor⌋ of a dim's size."""

    dim: str
    factor: int
    offset: int
    divisor: int

    def at(self, size: int) -> int:
        """Its value."""
        return (self.factor * size + self.offset) // self.divisor

    @property
    def mean(self) -> tuple[Fraction, Fraction]:
        """The constant and the slope of the line through the middle of its steps."""
        return Fraction(2 * self.offset - self.divisor + 1, 2 * self.divisor), Fraction(self.factor, self.divisor)

    def __str__(self) -> str:
        size = ("" if self.factor == 1 else f"{self.factor}·") + self.dim
        return f"⌊({size} + {self.offset})/{self.divisor}⌋" if self.offset else f"⌊{size}/{self.divisor}⌋"


Columns = Mapping[Hashable, int]
"""The dims of tensors at one size."""


class Guess(NamedTuple):
    """A column is assumed to be α·x + k·⌊(factor·x + offset)/divisor⌋ + c, with an offset from ``least`` to ``most``."""

    factor: int
    divisor: int
    least: int
    most: int

    def telling(self, start: int) -> int | None:
        """The first x from ``start`` on that shows which half the offset is in: the floor grows there if it is the upper."""
        if self.least == self.most:
            return None
        middle = (self.least + self.most + 1) // 2
        return start + (-middle * pow(self.factor, -1, self.divisor) - start) % self.divisor


class Jumps(NamedTuple):
    """A column has few steps, and is on different ones at these two neighbors among the ``xs``."""

    left: int
    right: int

    def telling(self, start: int) -> int | None:
        """The one in the middle."""
        return (self.left + self.right) // 2


def find_floors(dim: str, step: int, seen: dict[int, Columns], count: Callable[[int], Columns]) -> list[Floor]:
    """The floors that the columns consist of, at multiples of ``step``.

    ``seen`` has the columns at some of them, small and large; those that are counted in addition are added to it.
    """
    while True:
        xs = sorted(seen)
        keys = [key for key in seen[xs[0]] if all(key in each for each in seen.values())]
        columns = {tuple(seen[x][key] for x in xs) for key in keys}
        guesses = {guess for column in columns if (guess := guess_floor([x // step for x in xs], column)) is not None}
        asked = {step * x for guess in guesses if (x := guess.telling(xs[0] // step)) is not None} - seen.keys()
        asked = {x for x in asked if x <= xs[-1]}
        if not asked or len(seen) >= MOST_SIZES:
            break
        size = min(asked)
        seen[size] = count(size)
    floors = {_simplify(dim, step, guess) for guess in guesses if isinstance(guess, Guess)}
    return sorted(floors, key=lambda floor: (floor.divisor, floor.offset, floor.factor))


def _simplify(dim: str, step: int, guess: Guess) -> Floor:
    """The floor with the smallest factor that explains a guess: ⌊(3·x + 3)/4⌋ is x − ⌊x/4⌋."""
    up, down = guess.factor % guess.divisor, -guess.factor % guess.divisor
    factor, offset = (up, guess.least) if up <= down else (down, guess.divisor - 1 - guess.least)
    common = gcd(factor, step)
    scale = step // common
    return Floor(dim, factor // common, offset % guess.divisor * scale, guess.divisor * scale)


def guess_floor(xs: Sequence[int], column: Sequence[int]) -> Guess | Jumps | None:
    """The explanation of a column of values at increasing ``xs``; None if it is linear, or not the sum of a linear function
    and one floor.
    """
    rises = zip(xs, xs[1:], column, column[1:], strict=False)
    usual = Counter(after - before for x, next_x, before, after in rises if next_x - x == 1).most_common(1)
    for slope in dict.fromkeys((0, *(rise for rise, _ in usual), 1, -1)):
        rest = [value - slope * x for x, value in zip(xs, column, strict=True)]
        rest = [each - rest[0] for each in rest]
        if (common := gcd(*rest)) == 0:
            return None
        # A few values may have a larger common factor than all of them.
        for unit in dict.fromkeys((common, *(common // each for each in (2, 3, 4, 8) if common % each == 0), 1)):
            values = [each // unit for each in rest]
            span = xs[-1] - xs[0]
            rate = Fraction(values[-1], span).limit_denominator(max(isqrt(span // 2), 1))
            if (guess := _fit_offset(xs, values, rate)) is not None:
                return guess
        if (found := _follow_jumps(xs, [each // common for each in rest])) is not None:
            return found
    return None


def _fit_offset(xs: Sequence[int], values: Sequence[int], rate: Fraction) -> Guess | None:
    """The offsets for which the floor with this rate has these values; None if there are none."""
    factor, divisor = rate.numerator, rate.denominator
    least = max(divisor * value - factor * x for x, value in zip(xs, values, strict=True))
    most = min(divisor * (value + 1) - factor * x - 1 for x, value in zip(xs, values, strict=True))
    return Guess(factor, divisor, least, most) if divisor > 1 and least <= most else None


def _follow_jumps(xs: Sequence[int], values: Sequence[int]) -> Guess | Jumps | None:
    """If there are few steps: two sizes between which one is to be located or, if all are located, the floor that has them."""
    if len({*values}) > FEW or sorted(values) not in (list(values), list(values)[::-1]):
        return None
    rises = zip(xs, xs[1:], values, values[1:], strict=False)
    jumps = [(x, next_x, after - before) for x, next_x, before, after in rises if after != before]
    for left, right, _ in jumps:
        if right - left > 1:
            return Jumps(left, right)
    distances = {later - earlier for (_, earlier, _), (_, later, _) in pairwise(jumps)}
    if len(jumps) == 1:  # the shortest possible step
        distances = {max(jumps[0][1] - xs[0], xs[-1] + 1 - jumps[0][1])}
    return _fit_offset(xs, values, Fraction(jumps[0][2], distances.pop())) if len(distances) == 1 else None
