"""In the child: times many small models, each for a moment, over and over: what slows the machine hits all alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.measurement import Device
from onnxcost.measuring.messages import Progress, Request

if TYPE_CHECKING:
    from onnxcost.measuring.child import Channel
    from onnxcost.measuring.session import Session

ROUNDS = 3
TURN_SECONDS, LEAST_RUNS = 0.006, 3
"""How long a model's turn is, and how many runs it has at the least; those before them warm up."""
WARMUP_RUNS = 1
BLOCKS = "blocks.model"
"""A model of one convolution, in the same folder."""
LOW = 10
"""The percentile that is told: other work on the machine makes runs slower, never quicker."""


class Timings(NamedTuple):
    """The low quantile of each model's run times in seconds, in the order of the files, None for one that cannot be run; and
    the median of them over it, a measure of the machine's unrest.
    """

    seconds: tuple[float | None, ...]
    unrest: float
    threads: tuple[int, int]
    device: Device
    blocked: bool
    cores: float
    onnxruntime: str
    platform: str


def run(request: Request, channel: Channel) -> None:
    """Answers with Timings: of the models ``*.onnx`` in the folder ``request.model``, by name."""
    import numpy as np

    from onnxcost.measuring.environment import environment
    from onnxcost.measuring.gpu import device_of
    from onnxcost.measuring.session import thread_counts

    paths = sorted(Path(request.model).glob("*.onnx"))
    times: list[list[float]] = [[] for _ in paths]
    for turn in range(ROUNDS):
        for index, path in enumerate(paths):
            channel.send(Progress("measuring", (turn * len(paths) + index) / (ROUNDS * len(paths))))
            times[index] += _turn(path, request)
    found = [np.array(samples) for samples in times]
    machine = environment(None)
    channel.send(
        Timings(
            seconds=tuple(float(np.percentile(samples, LOW)) if len(samples) else None for samples in found),
            unrest=float(np.median([np.median(samples) / np.percentile(samples, LOW) for samples in found if len(samples)])),
            threads=thread_counts(request.settings),
            device=device_of(request.settings),
            blocked=_has_blocks(request),
            cores=machine.usable_cores,
            onnxruntime=machine.onnxruntime,
            platform=machine.platform,
        )
    )


def _turn(path: Path, request: Request) -> list[float]:
    """Seconds of some runs in a session of its own; none where onnxruntime lacks the operator on this provider."""
    from onnxcost.errors import MeasurementError
    from onnxcost.measuring.runners import runner
    from onnxcost.measuring.session import open_session

    try:
        session = open_session(str(path), request.settings)
    except MeasurementError:
        return []
    once = runner(session, [_feed(session)], request.settings.provider).runs[0]
    for _ in range(WARMUP_RUNS):
        once()
    samples: list[float] = []
    begin = time.perf_counter()
    while len(samples) < LEAST_RUNS or time.perf_counter() - begin < TURN_SECONDS:
        start = time.perf_counter()
        once()
        samples.append(time.perf_counter() - start)
    return samples


def _has_blocks(request: Request) -> bool:
    """Whether onnxruntime lays convolutions out in blocks here: what it makes of the model BLOCKS tells."""
    from onnxcost.measuring.session import open_session

    optimized = Path(request.folder, "optimized.model")
    open_session(str(Path(request.model, BLOCKS)), request.settings, optimized_path=str(optimized))
    return b"nchwc" in optimized.read_bytes()


def _feed(session: Session) -> dict[str, Any]:
    """Random inputs: numbers around 0, unsigned bytes around 128."""
    import numpy as np

    random = np.random.default_rng(0)
    makers: Mapping[str, Callable[[Sequence[int]], Any]] = {
        "tensor(float)": lambda shape: random.standard_normal(shape, np.float32),
        "tensor(uint8)": lambda shape: random.integers(100, 156, shape, np.uint8),
        "tensor(int8)": lambda shape: random.integers(-28, 28, shape, np.int8),
    }
    return {node.name: makers[node.type](node.shape) for node in session.get_inputs()}
