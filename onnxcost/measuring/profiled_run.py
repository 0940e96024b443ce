"""In the child: runs the model with onnxruntime's profiler on, and tells what each node took."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxcost.errors import MeasurementError
from onnxcost.measurement import Settings
from onnxcost.measuring.messages import Profiled, Progress, Request

if TYPE_CHECKING:
    from onnxcost.measuring.child import Channel, Send

WARMUP, WARMUP_SECONDS = 3, 1.0
"""Runs before those that count, fewer where they take so long: onnxruntime allocates node by node in the first, all at once but
in new memory in the second; from the third on they are alike.
"""
LEAST_RUNS, LEAST_SECONDS = 10, 0.3
"""What is profiled unless the user says otherwise: both must be reached."""
MOST_RUNS = 300
"""More are profiled only where they are asked for: onnxruntime keeps all events in memory, and a million at the most."""
CALMEST = 0.5
"""The share of the runs that counts, the shortest: of many, some are disturbed. A number of runs that was asked for is kept."""
SLOW_RUNS, SLOW_SECONDS = 3, 5.0
"""So many runs are enough once they have taken so long."""

BLOCKING: Mapping[str, str] = {
    "cuda": "CUDA_LAUNCH_BLOCKING",
    "tensorrt": "CUDA_LAUNCH_BLOCKING",
    "rocm": "HIP_LAUNCH_BLOCKING",
}
"""By provider, the variable that makes a call which starts a kernel on the device return when that has ended."""

Clock = Callable[[], float]
Runs = Iterator[Callable[[], object]]


def run(request: Request, channel: Channel) -> None:
    """Answers with Profiled."""
    from onnxcost.measuring.events import recorded
    from onnxcost.measuring.inputs import arrays
    from onnxcost.measuring.runners import runner

    settings = request.settings
    channel.send(Progress("loading"))
    one_after_the_other(settings.provider)
    feeds = arrays(request.feeds, settings.seed)
    session, optimized = opened(request)
    runs = cycle(runner(session, feeds, settings.provider).runs)
    warmup = warm_up(runs, settings, channel.send)
    repeat(runs, settings, channel.send)
    path = Path(session.end_profiling())
    channel.send(Progress("reading the profile"))
    executed, run_seconds, memory = recorded(str(path), warmup, CALMEST if settings.runs is None else 1.0)
    path.unlink()
    channel.send(Profiled(executed, run_seconds, optimized, memory))


def one_after_the_other(provider: str) -> None:
    """Has the device's kernels run so in this process: a node's event would else time how long it takes to start them."""
    from onnxcost.measuring.providers import provider_named

    if variable := BLOCKING.get(provider_named(provider).name):
        os.environ[variable] = "1"


def opened(request: Request) -> tuple[Any, str]:
    """A profiled session and the file of the graph that it runs, "" where that cannot be written: providers that compile
    nodes make a graph that no file can hold.
    """
    from onnxcost.measuring.session import open_session

    prefix, optimized = (str(Path(request.folder, name)) for name in ("profile", "optimized.onnx"))
    try:
        session = open_session(request.model, request.settings, profile_prefix=prefix, optimized_path=optimized)
    except MeasurementError:
        return open_session(request.model, request.settings, profile_prefix=prefix), ""
    for weights in Path(request.folder).glob("optimized.onnx.*"):
        weights.unlink()
    return session, optimized


def warm_up(runs: Runs, settings: Settings, send: Send, clock: Clock = time.perf_counter) -> int:
    """Run until the times settle, or as often as the settings say, once at least; returns how often."""
    send(Progress("warming up"))
    begin, done = clock(), 0
    while True:
        next(runs)()
        done += 1
        if done >= (WARMUP if settings.warmup is None else settings.warmup):
            return done
        if settings.warmup is None and clock() - begin >= WARMUP_SECONDS:
            return done


def repeat(runs: Runs, settings: Settings, send: Send, clock: Clock = time.perf_counter) -> int:
    """Run as often as the settings ask; returns how often."""
    begin, done, share = clock(), 0, 0.0
    while share < 1:
        send(Progress("profiling", share))
        next(runs)()
        done += 1
        share = share_done(done, clock() - begin, settings)
    return done


def share_done(runs: int, seconds: float, settings: Settings) -> float:
    """How much is done of what was asked for; 1 and above is enough."""
    least_runs = LEAST_RUNS if settings.runs is None else settings.runs
    least_seconds = settings.seconds
    if least_seconds is None:
        least_seconds = LEAST_SECONDS if settings.runs is None else 0.0
    share = min(runs / least_runs, seconds / least_seconds if least_seconds else 1)
    if settings.runs is not None:
        return share
    slow = min(runs / SLOW_RUNS, seconds / SLOW_SECONDS) if settings.seconds is None else 0
    return max(share, slow, runs / MOST_RUNS)
