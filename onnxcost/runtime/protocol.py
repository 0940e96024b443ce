"""What the parent asks of the child process and what the child says: pickled, one after the other, over its pipes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.measurement import Copies, Environment, InputUsed, MeasuredDevice, MemoryUse, Placement, Settings
from onnxcost.runtime.profile import ArenaUse

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from onnxcost.runtime.inputs import Feed


@dataclass(frozen=True, slots=True)
class Request:
    """A model to run: ``task`` is a key of ``child.TASKS``; ``folder`` is a temporary one that the parent removes.

    ``feeds`` say what each input is fed with.
    """

    task: str
    model: str
    feeds: tuple[Feed, ...]
    settings: Settings
    folder: str


class Progress(NamedTuple):
    """What the child is at: ``phase`` ("loading", "first run", "warming up", "measuring", …) and the share done of it, 0 to 1,
    where that is known.
    """

    phase: str
    done: float | None = None


class Failure(NamedTuple):
    """The model cannot be run; ``reason`` is one line for the user, ``phase`` what the child was at."""

    reason: str
    phase: str = ""


@dataclass(frozen=True, slots=True)
class Timed:
    """What the child measured. Samples are seconds."""

    samples: NDArray[np.float64]
    wall_seconds: float
    first_run_seconds: float
    session_seconds: float
    warmup_runs: int
    threads: tuple[int, int]
    inputs: tuple[InputUsed, ...]
    device: MeasuredDevice
    environment: Environment
    memory: MemoryUse
    placement: Placement | None
    copies: Copies | None


Types = tuple[tuple[str, tuple[int, ...]], ...]
"""(dtype, shape) of each tensor that an event tells of."""

Around = tuple[tuple[str, int], ...]
"""The nodes whose bodies a node stands in, outermost first, each with which of its bodies that is: those seen to run are
counted from 0."""


@dataclass(frozen=True, slots=True)
class ExecutedNode:
    """One node as onnxruntime executed it in the profiled runs. ``durations`` are seconds, one an execution, in order; what
    the nodes of its bodies took is left out.

    ``inputs`` and ``outputs`` are those of each execution; constants that were prepacked are missing among the inputs.
    ``in_use_peak`` is the arena's peak up to then, bytes.
    """

    name: str
    op_type: str
    provider: str
    index: int
    durations: tuple[float, ...]
    inputs: tuple[Types, ...]
    outputs: tuple[Types, ...]
    in_use_peak: int | None
    around: Around = ()


@dataclass(frozen=True, slots=True)
class Profiled:
    """What a profiled run found. ``run_seconds`` are the durations of the sampled runs as onnxruntime's own events tell them.

    ``executed`` are the nodes of those runs, in the order in which they first ran. ``optimized`` is the file of the graph that
    really ran, in the request's folder; "" where it could not be written.
    """

    executed: tuple[ExecutedNode, ...]
    run_seconds: tuple[float, ...]
    optimized: str
    memory: ArenaUse
