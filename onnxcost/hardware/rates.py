"""The time of a kernel from the times of others of its family: a sum of rates, mended by how its neighbours deviate from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations
from math import exp2, log2
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

REACH = 1.0
"""How near a neighbour has to be, in powers of two of its quantities, to count for much."""
DOUBT = 0.05
"""The weight of having no neighbour at all: far from every point the sum of rates alone decides."""


class Point(NamedTuple):
    """A kernel's quantities, and the seconds of one run of it."""

    quantities: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class Rates:
    """seconds ≈ call + Σ quantity · rate, the rates in seconds a unit; times what the points nearby differ from that."""

    points: tuple[Point, ...]

    def seconds(self, quantities: Sequence[float]) -> float:
        """The time of one run of a kernel."""
        return self.linear(quantities) * exp2(self._deviation(quantities))

    def linear(self, quantities: Sequence[float]) -> float:
        """The sum of rates alone."""
        call, *rates = self.coefficients
        return call + sum(rate * quantity for rate, quantity in zip(rates, quantities, strict=True))

    @cached_property
    def coefficients(self) -> tuple[float, ...]:
        """Seconds a call, then seconds a unit of each quantity: none below 0, with the least sum of squared relative errors."""
        import numpy as np

        rows = np.array([(1.0, *point.quantities) for point in self.points])
        times = np.array([point.seconds for point in self.points])
        return tuple(float(value) for value in least_squares(rows / times[:, None]))

    @cached_property
    def _deviations(self) -> tuple[float, ...]:
        return tuple(log2(point.seconds / self.linear(point.quantities)) for point in self.points)

    def _deviation(self, quantities: Sequence[float]) -> float:
        """The mean of the points' deviations, by nearness, as a power of two."""
        weights = [_nearness(quantities, point.quantities) for point in self.points]
        total = sum(weight * deviation for weight, deviation in zip(weights, self._deviations, strict=True))
        return total / (sum(weights) + DOUBT)


def _nearness(one: Sequence[float], other: Sequence[float]) -> float:
    distance = sum(log2((a + 1) / (b + 1)) ** 2 for a, b in zip(one, other, strict=True))
    return 1 / (1 + (distance / REACH**2) ** 2)


def least_squares(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The coefficients, none negative, that bring each row's sum nearest to 1: the best of all choices of columns."""
    import numpy as np

    columns = range(rows.shape[1])
    best, least = np.zeros(rows.shape[1]), float("inf")
    scale = rows.max(axis=0)
    scale[scale == 0] = 1
    for count in range(1, rows.shape[1] + 1):
        for chosen in map(list, combinations(columns, count)):
            found, *_ = np.linalg.lstsq(rows[:, chosen] / scale[chosen], np.ones(len(rows)), rcond=None)
            error = float(((rows[:, chosen] / scale[chosen] @ found - 1) ** 2).sum())
            if (found >= 0).all() and error < least:
                least = error
                best = np.zeros(rows.shape[1])
                best[chosen] = found / scale[chosen]
    return best
