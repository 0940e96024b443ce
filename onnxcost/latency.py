"""Statistics of the times of single inferences. Times are seconds."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TAIL = 0.025
"""The most often that the true median lies below a 95 % confidence interval, and the most often that it lies above."""
OUTLIER_SCORE, LEAST_SPREAD = 10, 1e-3
BLOCKS = 10
"""The number of consecutive blocks of runs that are compared to see whether the times drift."""


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
        """The median: half of the runs are faster."""
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
        """The time that ``q`` percent of the runs stay under, interpolated linearly between two runs."""
        # Exactly numpy.percentile, which like numpy.median imports numpy.ma: that takes longer than everything else here.
        last = len(self.samples) - 1
        place = q / 100 * last
        lower, upper = self._sorted[int(place)], self._sorted[min(int(place) + 1, last)]
        share = place % 1
        return float(lower + (upper - lower) * share if share < 0.5 else upper - (upper - lower) * (1 - share))

    @property
    def coefficient_of_variation(self) -> float:
        """The standard deviation as a share of the mean."""
        return self.std / self.mean

    @property
    def median_ci95(self) -> tuple[float, float] | None:
        """A 95 % confidence interval of the median: the k-th shortest and the k-th longest time; None for fewer than 6 runs.

        k is the largest for which fewer than k of n runs fall below the true median with a probability of 2.5 % at most,
        by the binomial distribution of n and 1/2: exact, whatever the form of the distribution (W. J. Conover, Practical
        Nonparametric Statistics, 3rd ed., 3.2). It assumes independent runs: where neighbors are alike, as on a machine
        whose speed wanders, it is too narrow.
        """
        rank = _rank(len(self.samples))
        return (float(self._sorted[rank - 1]), float(self._sorted[-rank])) if rank else None

    @property
    def outliers(self) -> NDArray[np.intp]:
        """The indices of the runs whose modified z-score, 0.6745 (x - median) / MAD, lies beyond 10, as in hyperfine.

        MAD is the median absolute deviation from the median (B. Iglewicz and D. Hoaglin, How to Detect and Handle Outliers,
        1993); their limit of 3.5 is for a normal distribution, while times have a long tail. The MAD counts as at
        least a thousandth of the median, so that a coarse clock makes no outliers.
        """
        import numpy as np

        deviations = np.abs(self.samples - self.median)
        spread = max(Latency(deviations).median, LEAST_SPREAD * self.median)
        return np.flatnonzero(0.6745 * deviations > OUTLIER_SCORE * spread)

    @property
    def drift(self) -> float:
        """The relative difference of the median of the later half of the runs from the first half's; 0 for a single run."""
        half = len(self.samples) // 2
        return Latency(self.samples[-half:]).median / Latency(self.samples[:half]).median - 1 if half else 0.0

    @property
    def is_drifting(self) -> bool:
        """Whether the drift is more than chance.

        The runs are split into 10 consecutive blocks. They drift if the medians of the last five are all above or all below
        those of the first five: by chance that happens in 2 of 252 cases (the most extreme rank sums), even if neighboring runs
        are similar, as long as the blocks are not. False for fewer than 10 runs.
        """
        import numpy as np

        if len(self.samples) < BLOCKS:
            return False
        medians = [Latency(block).median for block in np.array_split(self.samples, BLOCKS)]
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


def _rank(runs: int) -> int:
    """The largest k with P(fewer than k of the runs below the median) <= 2.5 %; 0 if there is none.

    The terms of the binomial distribution are summed as floats, from logarithms: in milliseconds even for a million runs.
    """
    import numpy as np

    below = np.arange(runs // 2)
    logarithms = np.cumsum(np.log((runs - below) / (below + 1)))
    terms = np.exp(np.concatenate(([0.0], logarithms)) - runs * np.log(2))
    return int(np.searchsorted(np.cumsum(terms), TAIL, side="right"))
