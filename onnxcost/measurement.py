"""What a measurement was asked for and what it found: frozen results. Times are seconds, sizes bytes, rates per second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import InputError
from onnxcost.latency import Latency

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from numpy.typing import NDArray

LEAST_RUNS, LEAST_SECONDS = 10, 2.0
"""How long is sampled unless the user says otherwise: both must be reached."""


OPTIMIZATIONS = ("none", "basic", "extended", "all")
_LEAST: Mapping[str, float] = {
    "threads": 1, "inter_threads": 1, "runs": 1, "seconds": 0, "warmup": 0, "concurrency": 1, "timeout": 0, "seed": 0,
}  # fmt: skip
_MOST = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Settings:
    """How to run a model. None leaves the choice to onnxruntime (threads) or to the sampling (runs, seconds, warm-up).

    ``runs`` alone means exactly so many; ``seconds`` alone at least LEAST_RUNS; both together, that both are reached.
    ``warmup`` is a number of runs, None until the times are stable. ``timeout`` is seconds for everything the child does.
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

    def __post_init__(self) -> None:
        """Raises InputError for a setting out of its range."""
        for name, least in _LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value <= _MOST:
                raise InputError(f"{name} must be {least} or more, and finite, not {value}")
        if self.optimization not in OPTIMIZATIONS:
            raise InputError(f"there is no optimization '{self.optimization}': there are {', '.join(OPTIMIZATIONS)}")

    @property
    def least_runs(self) -> int:
        """Runs that are sampled at the least."""
        return LEAST_RUNS if self.runs is None else self.runs

    @property
    def least_seconds(self) -> float:
        """Seconds that are sampled at the least."""
        if self.seconds is not None:
            return self.seconds
        return LEAST_SECONDS if self.runs is None else 0.0


class Advice(NamedTuple):
    """Something that makes the figures less trustworthy, and what to do about it. ``kind`` is a key of ``measure.advice``."""

    kind: str
    text: str


class InputUsed(NamedTuple):
    """What an input was fed with. ``source`` says where it came from: "synthesised: …", "given", or a file's name."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    source: str


class MemoryUse(NamedTuple):
    """Peak memory of the child process (resident), what it was before the session was made, and onnxruntime's arena.

    ``arena_peak_bytes`` is the most that the arena had in use, ``arena_activation_bytes`` the most that the tensors which nodes
    made took of it, and the model's inputs: what ``Memory.peak_activation_bytes`` estimates. Both are of a run of its own after
    the timed ones. None is what is not known.
    """

    peak_rss_bytes: int | None
    baseline_rss_bytes: int | None
    arena_peak_bytes: int | None = None
    arena_activation_bytes: int | None = None


class Copies(NamedTuple):
    """Median seconds of copying all inputs to the device and all outputs from it, timed apart from the runs."""

    host_to_device: float
    device_to_host: float


class Device(NamedTuple):
    """What ran the model: a processor or a GPU; what is not known is empty or None."""

    name: str
    driver: str = ""
    memory_bytes: int | None = None


class Placement(NamedTuple):
    """How many nodes each provider (onnxruntime's name) runs, and the names of those that fell back to the CPU."""

    nodes_by_provider: Mapping[str, int]
    fallen_back: tuple[str, ...] = ()


class Environment(NamedTuple):
    """The machine as the child found it. ``usable_cores`` is what affinity and cgroup limits leave of ``cores``.

    ``load`` is how many cores' worth of other work there was during the runs; frequencies are Hz.
    """

    cores: int
    usable_cores: float
    load: float | None
    frequency: float | None
    max_frequency: float | None
    onnxruntime: str
    platform: str


@dataclass(frozen=True)
class Measurement:
    """A model's time and memory on one machine. ``samples`` are seconds of single inferences, in order.

    ``flops`` is the work of one inference in the convention ``flops``, None where it is not known; ``bound`` says what it
    is: "" exact, "lower", "upper" or "mixed" (as ``CostReport.bound``). ``weights`` are "stored", or "synthesised" where the
    model lacks them: random ones of a sane scale. ``wall_seconds`` is from the first sampled run's start to the last one's
    end. ``threads`` are (intra, inter) as the session has them.
    """

    settings: Settings
    samples: NDArray[np.float64]
    wall_seconds: float
    first_run_seconds: float
    session_seconds: float
    warmup_runs: int
    batch: int
    inputs: tuple[InputUsed, ...]
    device: Device
    environment: Environment
    memory: MemoryUse
    threads: tuple[int, int]
    flops: int | None = None
    bound: str = ""
    weights: str = "stored"
    placement: Placement | None = None
    copies: Copies | None = None
    advice: tuple[Advice, ...] = ()

    @cached_property
    def latency(self) -> Latency:
        """The statistics of the samples."""
        return Latency(self.samples)

    @property
    def runs(self) -> int:
        """How many runs were sampled."""
        return len(self.samples)

    @property
    def runs_per_second(self) -> float:
        """1 / median; with several streams the runs completed in the wall time."""
        return 1 / self.latency.median if self.settings.concurrency == 1 else self.runs / self.wall_seconds

    @property
    def fps(self) -> float:
        """Items per second: the batch times the runs per second."""
        return self.batch * self.runs_per_second

    @property
    def flops_per_second(self) -> float | None:
        """Achieved FLOP/s; None where the FLOPs are not known."""
        return None if self.flops is None else self.flops * self.runs_per_second

    def to_dict(self) -> dict[str, Any]:
        """The measurement as plain data: the key ``measurement`` of the schema ``onnxcost/1``."""
        from onnxcost.schema import measurement_to_dict

        return measurement_to_dict(self)

    def to_pandas(self) -> pandas.DataFrame:
        """One row a run: its ``seconds``. Raises OnnxCostError where pandas is not installed."""
        from onnxcost.frames import measurement_frame

        return measurement_frame(self)

    def _repr_html_(self) -> str:
        """The measurement in a notebook. By name, because looks are made above: nothing here knows of them."""
        html: str = import_module("onnxcost.render.notebook").measurement_html(self)
        return html


@dataclass(frozen=True, slots=True)
class Unmeasured:
    """A measurement that was not made: ``status`` "skipped" or "failed", and why, in one line."""

    status: str
    reason: str


MeasurementResult = Measurement | Unmeasured
