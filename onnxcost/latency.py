"""The distribution of measured times: order statistics that need no assumption about its form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAIL = 0.025
"""How often the true median lies below a 95 % confidence interval, and how often above, at the most."""
OUTLIER_SCORE, LEAST_SPREAD = 10, 1e-3
SPREAD_OF_PROCESSES = 0.005
"""By which share two processes that run the same model differ for as long as they live, by where things lie in their memory: no
number of turns tells it from a difference of the models.
"""
BLOCKS = 10
"""Into how many consecutive blocks the runs are cut to see whether the times drift."""


@dataclass(frozen=True, eq=False)
class Latency:
    """Times of single inferences. ``samples`` are float64 seconds above 0, in the order of the runs; at least one."""

    samples: NDArray[np.float64]

    @property
    def min(self) -> float:
        """The shortest time."""
        return float(self._sorted[0])

    @property
    def max(self) -> float:
        """The longest time."""
        return float(self._sorted[-1])

    @property
    def mean(self) -> float:
        """The arithmetic mean."""
        return float(self.samples.mean())

    @property
    def median(self) -> float:
        """The time that half of the runs stay under."""
        return self.percentile(50)

    @property
    def std(self) -> float:
        """The sample standard deviation (n - 1 in the denominator); 0 for a single run."""
        return float(self.samples.std(ddof=1)) if len(self.samples) > 1 else 0.0

    @property
    def p90(self) -> float:
        """The 90th percentile."""
        return self.percentile(90)

    @property
    def p95(self) -> float:
        """The 95th percentile."""
        return self.percentile(95)

    @property
    def p99(self) -> float:
        """The 99th percentile."""
        return self.percentile(99)

    def percentile(self, q: float) -> float:
        """The time that ``q`` per cent of the runs stay under, interpolated linearly between two runs."""
        import numpy as np

        return float(np.percentile(self._sorted, q))

    @property
    def coefficient_of_variation(self) -> float:
        """The standard deviation as a share of the mean."""
        return self.std / self.mean

    @property
    def median_ci95(self) -> tuple[float, float] | None:
        """A 95 % confidence interval of the median: the k-th shortest and the k-th longest time; None under 6 runs.

        k is the largest for which fewer than k of n runs fall below the true median with a probability of 2.5 % at the most,
        by the binomial distribution of n and 1/2: exact, whatever the form of the distribution (W. J. Conover, Practical
        Nonparametric Statistics, 3rd ed., 3.2). It assumes independent runs: where neighbours resemble each other, as on a
        machine whose speed wanders, it is too narrow.
        """
        rank = _rank(len(self.samples))
        return (float(self._sorted[rank - 1]), float(self._sorted[-rank])) if rank else None

    @property
    def outliers(self) -> NDArray[np.intp]:
        """The indices of the runs whose modified z-score, 0.6745 (x - median) / MAD, lies beyond 10, as in hyperfine.

        MAD is the median absolute deviation from the median (B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers,
        1993); their limit of 3.5 is for a normal distribution, while times have a long tail. What a coarse clock can hide
        is no outlier: the MAD counts as a thousandth of the median at the least.
        """
        import numpy as np

        deviations = np.abs(self.samples - self.median)
        spread = max(float(np.median(deviations)), LEAST_SPREAD * self.median)
        return np.flatnonzero(0.6745 * deviations > OUTLIER_SCORE * spread)

    @property
    def drift(self) -> float:
        """By which share the median of the later half of the runs differs from the first half's; 0 for a single run."""
        import numpy as np

        half = len(self.samples) // 2
        if not half:
            return 0.0
        return float(np.median(self.samples[-half:]) / np.median(self.samples[:half])) - 1

    @property
    def is_drifting(self) -> bool:
        """Whether the drift is more than chance.

        The runs are cut into 10 consecutive blocks: it is so where the medians of the last five lie all above or all below
        those of the first five. By chance that happens in 2 of 252 cases (the rank-sum test at its most extreme), also where
        neighbouring runs resemble each other, as long as the blocks do not. Never so under 10 runs.
        """
        import numpy as np

        if len(self.samples) < BLOCKS:
            return False
        medians = [float(np.median(block)) for block in np.array_split(self.samples, BLOCKS)]
        first, later = medians[: BLOCKS // 2], medians[BLOCKS // 2 :]
        return max(first) < min(later) or max(later) < min(first)

    def to_dict(self) -> dict[str, Any]:
        """The statistics as plain data: the key ``latency`` of the schema ``onnxcost/1``."""
        names = ("min", "mean", "median", "std", "p90", "p95", "p99", "max")
        interval = self.median_ci95
        return {name: getattr(self, name) for name in names} | {"median_ci95": list(interval) if interval else None}

    @cached_property
    def _sorted(self) -> NDArray[np.float64]:
        import numpy as np

        return np.sort(self.samples)


class Ratio(NamedTuple):
    """A model's latency over another's, the two timed by turns, and its 95 % confidence interval; None under 6 turns.

    The interval is that of the turns, wider by SPREAD_OF_PROCESSES on both sides.
    """

    value: float
    ci95: tuple[float, float] | None

    @property
    def is_undecided(self) -> bool:
        """Whether no difference is seen: the interval has 1 in it."""
        return self.ci95 is not None and self.ci95[0] <= 1 <= self.ci95[1]

    @property
    def width(self) -> float:
        """Of the interval, as a share of the value; 0 where there is none."""
        return (self.ci95[1] - self.ci95[0]) / self.value if self.ci95 else 0.0


def ratio_of(turns: NDArray[np.float64], others: NDArray[np.float64]) -> Ratio:
    """The ratio of a model to another, from the latencies that both had in the same turns.

    Each turn has a ratio of its own, so that whatever makes both slow for a while cancels out: it is their median.
    """
    ratios = Latency(turns / others)
    interval = ratios.median_ci95
    if interval is None:
        return Ratio(ratios.median, None)
    return Ratio(ratios.median, (interval[0] * (1 - SPREAD_OF_PROCESSES), interval[1] * (1 + SPREAD_OF_PROCESSES)))


def _rank(runs: int) -> int:
    """The largest k with P(fewer than k of the runs below the median) <= 2.5 %; 0 where there is none.

    The terms of the binomial distribution are summed as floats, from logarithms: of a million runs too in milliseconds.
    """
    import numpy as np

    below = np.arange(runs // 2)
    logarithms = np.cumsum(np.log((runs - below) / (below + 1)))
    terms = np.exp(np.concatenate(([0.0], logarithms)) - runs * np.log(2))
    return int(np.searchsorted(np.cumsum(terms), TAIL, side="right"))
