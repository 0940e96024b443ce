"""The result of a measurement: settings, times, memory. Times are seconds, sizes bytes, rates per second."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import InputError
from onnxcost.latency import Latency
from onnxcost.results import Result, import_pandas

if TYPE_CHECKING:
    import numpy as np
    import pandas
    from numpy.typing import NDArray

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
