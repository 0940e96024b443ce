"""Work: how many operations of which kind. Conventions turn it into one number."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class Work:
    """A vector of operation counts: Python integers, so that nothing overflows.

    ``macs`` are the multiply-accumulates of contractions and ``accumulators`` the independent sums they end in: a dot
    product of n terms is n MACs and 1 accumulator, that is n multiplications and n - 1 additions. ``adds`` are additions,
    subtractions and negations; ``compares`` comparisons, minima, maxima and selections by them; ``transcendentals`` exp,
    log, sqrt, pow, erf and the trigonometric and hyperbolic functions, one each.
    """

    macs: int = 0
    accumulators: int = 0
    bias_adds: int = 0
    adds: int = 0
    muls: int = 0
    divs: int = 0
    compares: int = 0
    transcendentals: int = 0

    def __add__(self, other: Work) -> Work:
        return Work(
            self.macs + other.macs,
            self.accumulators + other.accumulators,
            self.bias_adds + other.bias_adds,
            self.adds + other.adds,
            self.muls + other.muls,
            self.divs + other.divs,
            self.compares + other.compares,
            self.transcendentals + other.transcendentals,
        )

    def __rmul__(self, times: int) -> Work:
        return Work(
            times * self.macs,
            times * self.accumulators,
            times * self.bias_adds,
            times * self.adds,
            times * self.muls,
            times * self.divs,
            times * self.compares,
            times * self.transcendentals,
        )

    def __bool__(self) -> bool:
        return self != NO_WORK

    def dot(self, weights: Mapping[str, int]) -> int:
        """The weighted sum of the counts; a kind that ``weights`` leaves out weighs 0."""
        return sum([weight * getattr(self, kind) for kind, weight in weights.items()])

    def to_dict(self) -> dict[str, int]:
        """The counts by name, in the order of the fields."""
        return {kind: getattr(self, kind) for kind in KINDS}


KINDS: tuple[str, ...] = tuple(field.name for field in fields(Work))
NO_WORK = Work()
