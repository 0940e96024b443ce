"""The messages between the parent and the child process, pickled over the child's pipes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.errors import UnknownShape
from onnxcost.measurement import Copies, Environment, InputUsed, MeasuredDevice, MemoryUse, Placement, Settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    import numpy as np
    from numpy.typing import NDArray

    from onnxcost.graph import Graph
    from onnxcost.runtime.inputs.input_roles import Fill

Send = Callable[[object], None]


class Channel(NamedTuple):
    """To and from the parent. ``is_called`` says whether it has sent a message that is not received yet: a running task then
    ends with its results so far.
    """

    send: Send
    receive: Callable[[], object]
    is_called: Callable[[], bool] = bool


@dataclass(frozen=True, slots=True)
class Feed:
    """The data of one input: arrays of ``shape`` that ``fill`` creates, or a sequence of the tensors in ``elements``. An empty
    optional has neither. ``source`` describes its origin.
    """

    name: str
    dtype: str
    shape: tuple[int, ...] | None
    fill: Fill | None
    source: str
    elements: tuple[Feed, ...] | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """A model to run: ``task`` is a key of ``worker.TASKS``; ``folder`` is a temporary one that the parent removes.

    ``feeds`` are those of the inputs.
    """

    task: str
    model: str
    feeds: tuple[Feed, ...]
    settings: Settings
    folder: str


class Progress(NamedTuple):
    """The child's ``phase`` ("loading", "first run", "warming up", "measuring", …) and the share done of it, 0 to 1, if that
    is known.
    """

    phase: str
    done: float | None = None


class Failure(NamedTuple):
    """The model cannot be run; ``reason`` is one line for the user, ``phase`` the child's last one."""

    reason: str
    phase: str = ""


class ArenaUse(NamedTuple):
    """The bytes in onnxruntime's arena; None if it does not report them.

    ``peak_bytes`` is the most that was in use, with the arena's padding, the nodes' scratch memory, and the weights that were
    copied into it. ``activation_bytes`` is the most that nodes took for their outputs and while they ran, without the model's
    inputs, which belong to the caller. ``hidden_bytes`` is how far the arena's peak before the end of the first node is above
    the bytes in use then, if that is more than ``activation_bytes``: a larger use may have been hidden below it.
    """

    peak_bytes: int | None = None
    activation_bytes: int | None = None
    hidden_bytes: int = 0

    def peak_activation_bytes(self, graph: Graph) -> int | None:
        """The measured value of ``memory.peak_activation_bytes``, with the graph's inputs. None if unknown."""
        from onnxcost.ort_optimizer.memory_plan import input_bytes

        try:
            return None if self.activation_bytes is None else self.activation_bytes + input_bytes(graph)
        except UnknownShape:
            return None


class RunState(NamedTuple):
    """The state of a run so far, under the names of a ``Measurement``."""

    session_seconds: float
    threads: tuple[int, int]
    inputs: tuple[InputUsed, ...]
    device: MeasuredDevice
    environment: Environment
    memory: MemoryUse
    placement: Placement | None


@dataclass(frozen=True, slots=True)
class Timed:
    """What the child measured. Samples are seconds."""

    samples: NDArray[np.float64]
    wall_seconds: float
    first_run_seconds: float
    warmup_runs: int
    state: RunState
    copies: Copies | None


Types = tuple[tuple[str, tuple[int, ...]], ...]
"""(dtype, shape) of each tensor that an event lists."""

Around = tuple[tuple[str, int], ...]
"""The nodes whose bodies contain a node, outermost first, each with the number of the body among those that ran, from 0."""


@dataclass(frozen=True, slots=True)
class ExecutedNode:
    """One node as onnxruntime executed it in the profiled runs. ``durations`` are seconds, one for each execution, in order,
    without those of the nodes in its bodies.

    ``inputs`` and ``outputs`` are those of each execution; prepacked constants are missing from the inputs.
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


class Slice(NamedTuple):
    """One execution of a node on the time line of the profiled runs.

    ``node`` is its place in ``Profiled.executed``, ``thread`` the number of its thread, from 0 in order of their first nodes.
    ``start`` is in seconds from the start of the first of these runs; ``seconds`` include those of its bodies, ``own`` do not.
    ``in_use`` are the bytes of the arena after it, None if onnxruntime does not report them.
    """

    run: int
    node: int
    thread: int
    start: float
    seconds: float
    own: float
    in_use: int | None = None


@dataclass(frozen=True, slots=True)
class Profiled:
    """The result of a profiled run. ``run_seconds`` are the durations of the sampled runs in onnxruntime's own events.

    ``executed`` are the nodes of those runs, in the order in which they first ran. ``optimized`` is the file of the graph that
    ran, in the request's folder; "" if it could not be written. ``timeline`` has their executions in order; if there are very
    many, those of the first runs.
    """

    executed: tuple[ExecutedNode, ...]
    run_seconds: tuple[float, ...]
    optimized: str
    memory: ArenaUse
    timeline: tuple[Slice, ...] = ()


BLOCKS = "blocks.model"
"""The file of a model of one convolution, in the folder of the probes."""
OPTIMIZED = "optimized.model"
"""The graph that onnxruntime writes for the model BLOCKS."""
LEAST_PROBES = 3
"""The first two give the time of a run and of a node; without a third there is no kernel to time."""


class ProbeTimings(NamedTuple):
    """The low percentile of each model's run times in seconds, in the order of the files, None for one that cannot be run.

    ``noise`` is the median run time over the low percentile: 1 on a quiet machine. ``spread`` is the second quickest turn of a
    model over its quickest, in nine of ten; ``unsettled`` is the share of models whose two quickest disagree, and ``load`` the
    other load in cores.
    """

    seconds: tuple[float | None, ...]
    noise: float
    spread: float
    unsettled: float
    load: float | None
    threads: tuple[int, int]
    device: MeasuredDevice
    blocked: bool
    cores: float
    onnxruntime: str
    platform: str


class Outputs(NamedTuple):
    """The arrays by their names; those inside sequences and maps are ``name[0]`` and ``name[key]``."""

    arrays: Mapping[str, NDArray[Any]]
