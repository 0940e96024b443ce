"""The result of a measurement: settings, latency statistics, memory. Times are seconds, sizes bytes, rates per second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import InputError
from onnxcost.results import Result, import_pandas

if TYPE_CHECKING:
    import numpy as np
    import pandas
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


LEAST_RUNS, LEAST_SECONDS = 10, 2.0
"""How much is sampled by default: both must be reached."""
FIGURES = ("fps", "flops", "bound", "flops_per_second", "session_seconds", "first_run_seconds")
"""The numbers of a measurement in addition to its statistics and memory, in the order of the documents."""
OPTIMIZATIONS = ("none", "basic", "extended", "all")
_LEAST: Mapping[str, float] = {
    "threads": 1, "inter_threads": 1, "runs": 1, "seconds": 0, "warmup": 0, "concurrency": 1, "timeout": 0, "seed": 0,
}  # fmt: skip
_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run a model. None uses the defaults of onnxruntime (threads) or of the sampling (runs, seconds, warm-up).

    ``runs`` alone is the exact number of runs; ``seconds`` alone implies at least LEAST_RUNS; together, both are minimums.
    ``warmup`` is a number of runs; None means until the times are stable. ``timeout`` limits the child process, in seconds.
    ``arena`` is whether to load the model a second time to measure onnxruntime's arena; None means if that is quick.
    """

    provider: str = "cpu"
    provider_options: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    inter_threads: int | None = None
    optimization: str = "all"
    runs: int | None = None
    seconds: float | None = None
    warmup: int | None = None
    concurrency: int = 1
    timeout: float | None = None
    seed: int = 0
    arena: bool | None = None

    def __post_init__(self) -> None:
        """Raises InputError for a setting out of its range."""
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= _MOST:
                raise InputError(f"{name} must be a finite number of at least {least}, not {value}")
        if self.optimization not in OPTIMIZATIONS:
            raise InputError(f"there is no optimization '{self.optimization}': choose from {', '.join(OPTIMIZATIONS)}")

    @property
    def least_runs(self) -> int:
        """The least number of runs that are sampled."""
        return LEAST_RUNS if self.runs is None else self.runs

    @property
    def least_seconds(self) -> float:
        """The least number of seconds that are sampled."""
        if self.seconds is not None:
            return self.seconds
        return LEAST_SECONDS if self.runs is None else 0.0


class Advice(NamedTuple):
    """Something that makes the figures less reliable, and what to do about it. ``kind`` is a key of
    ``runtime.advice.KINDS``.
    """

    kind: str
    text: str


class InputUsed(NamedTuple):
    """The data that was fed to an input. ``source`` says where it came from: "synthesised: …", "given", or a file's name."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    source: str


class MemoryUse(NamedTuple):
    """Peak memory of the child process (resident), the same before the session was created, and the use of onnxruntime's arena.

    ``arena_peak_bytes`` is the most that the arena had in use, ``arena_activation_bytes`` the most that nodes took of it for
    their outputs and while they ran, plus the model's inputs: what ``Memory.peak_activation_bytes`` estimates. Both are from a
    separate run after the timed ones. None if unknown.
    """

    peak_rss_bytes: int | None
    baseline_rss_bytes: int | None
    arena_peak_bytes: int | None = None
    arena_activation_bytes: int | None = None


class Copies(NamedTuple):
    """Median seconds of copying all inputs to the device and all outputs from it, timed separately from the runs."""

    host_to_device: float
    device_to_host: float


class MeasuredDevice(NamedTuple):
    """The processor or GPU that ran the model; unknown fields are empty or None."""

    name: str
    driver: str = ""
    memory_bytes: int | None = None


class Placement(NamedTuple):
    """How many nodes each provider (onnxruntime's name) runs, and the names of those that fell back to the CPU."""

    nodes_by_provider: Mapping[str, int]
    fallen_back: tuple[str, ...] = ()


class Environment(NamedTuple):
    """The machine as the child found it. ``usable_cores`` are those of ``cores`` that affinity and cgroup limits allow.

    ``load`` is the other work during the runs, in cores; frequencies are Hz. ``governor`` is Linux's policy for them, several
    if cores differ; ``date`` is the end of the runs, by the clock of the machine, as ISO 8601 in UTC.
    """

    cores: int
    usable_cores: float
    load: float | None
    frequency: float | None
    max_frequency: float | None
    onnxruntime: str
    platform: str
    governor: str | None = None
    date: str | None = None


@dataclass(frozen=True, repr=False)
class Measurement(Result):
    """A model's time and memory on one machine. ``samples`` are seconds of single inferences, in order.

    ``flops`` is the work of one inference in the convention ``flops``, None if unknown; ``bound`` says whether it is
    exact (""), "lower", "upper" or "mixed" (as ``CostReport.bound``). ``weights`` are "stored", or "synthesised" if the model
    lacks some: then they are random, with a suitable scale. ``wall_seconds`` is from the start of the first sampled run to the
    end of the last. ``threads`` are the session's (intra, inter). ``interrupted``: Ctrl-C came before all was measured.
    """

    settings: Settings
    samples: NDArray[np.float64]
    wall_seconds: float
    first_run_seconds: float
    session_seconds: float
    warmup_runs: int
    batch: int
    inputs: tuple[InputUsed, ...]
    device: MeasuredDevice
    environment: Environment
    memory: MemoryUse
    threads: tuple[int, int]
    flops: int | None = None
    bound: str = ""
    weights: str = "stored"
    placement: Placement | None = None
    copies: Copies | None = None
    advice: tuple[Advice, ...] = ()
    interrupted: bool = False

    @cached_property
    def latency(self) -> Latency:
        """The statistics of the samples."""
        return Latency(self.samples)

    @property
    def runs(self) -> int:
        """The number of timed runs."""
        return len(self.samples)

    @property
    def runs_per_second(self) -> float:
        """1 / median; with several streams, the runs per wall time."""
        return 1 / self.latency.median if self.settings.concurrency == 1 else self.runs / self.wall_seconds

    @property
    def fps(self) -> float:
        """Items per second: the batch times the runs per second."""
        return self.batch * self.runs_per_second

    @property
    def flops_per_second(self) -> float | None:
        """Achieved FLOP/s; None if the FLOPs are not known."""
        return None if self.flops is None else self.flops * self.runs_per_second

    def to_dict(self) -> dict[str, Any]:
        """The measurement as plain data: the key ``measurement`` of the schema ``onnxcost/1``."""
        settings, device, placement = self.settings, self.device, self.placement
        environment = self.environment._asdict()
        return {
            "status": "ok",
            "reason": None,
            "interrupted": self.interrupted,
            "provider": settings.provider,
            "provider_options": dict(settings.provider_options),
            "device": device.name,
            "driver": device.driver or None,
            "device_memory_bytes": device.memory_bytes,
            "onnxruntime": environment.pop("onnxruntime"),
            "optimization": settings.optimization,
            "threads": {"intra": self.threads[0], "inter": self.threads[1]},
            "concurrency": settings.concurrency,
            "seed": settings.seed,
            "batch": self.batch,
            "weights": self.weights,
            "inputs": [{**used._asdict(), "shape": list(used.shape)} for used in self.inputs],
            "warmup_runs": self.warmup_runs,
            "runs": self.runs,
            "nodes_by_provider": None if placement is None else dict(placement.nodes_by_provider),
            "fallen_back": [] if placement is None else list(placement.fallen_back),
            "environment": environment,
            "latency": self.latency.to_dict(),
            "samples": self.samples.tolist(),
            **{name: getattr(self, name) for name in ("wall_seconds", *FIGURES)},
            **self.memory._asdict(),
            "copies": None if self.copies is None else self.copies._asdict(),
            "advice": [advice.text for advice in self.advice],
        }

    def to_pandas(self) -> pandas.DataFrame:
        """One row per run with its ``seconds``; the index counts the runs from 1."""
        pandas = import_pandas()
        runs = pandas.RangeIndex(1, self.runs + 1, name="run")
        return pandas.DataFrame({"seconds": self.samples}, index=runs)

    def summary(self) -> str:
        """The latency and where it was measured."""
        end = ", interrupted" if self.interrupted else ""
        return f"median {self.latency.median:.6g} s of {self.runs} runs{end}, batch {self.batch}, {self.device.name}"


@dataclass(frozen=True, slots=True, repr=False)
class Unmeasured(Result):
    """A measurement that was not made: ``status`` "skipped" or "failed", and why, in one line."""

    status: str
    reason: str

    def to_dict(self) -> dict[str, Any]:
        """Why there is no measurement, under the key ``measurement`` of the schema ``onnxcost/1``."""
        return {"status": self.status, "reason": self.reason}

    def summary(self) -> str:
        """The status and the reason."""
        return f"{self.status}: {self.reason}"


MeasurementResult = Measurement | Unmeasured
