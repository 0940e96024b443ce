"""The tasks of the worker process that record each node with onnxruntime's profiler: profiling and tracing."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onnxcost.errors import MeasurementError
from onnxcost.measurement import Settings
from onnxcost.runtime.inputs.feeds import arrays, describe_inputs
from onnxcost.runtime.ort_errors import reason
from onnxcost.runtime.ort_profile import read_events, read_profile, types_of
from onnxcost.runtime.protocol import Channel, Profiled, Progress, Request, Send
from onnxcost.runtime.providers import find_provider
from onnxcost.runtime.session import open_session, runner

if TYPE_CHECKING:
    from onnxcost.frontend.trace import NodePath
    from onnxcost.frontend.values import TensorType

WARMUP, WARMUP_SECONDS = 3, 1.0
"""Runs before those that count, fewer if they take this long: onnxruntime allocates node by node in the first, and all at once,
but in new memory, in the second; from the third on, runs are alike.
"""
LEAST_PROFILED_RUNS, LEAST_SECONDS = 10, 0.3
"""How much is profiled by default: both must be reached."""
MOST_RUNS = 300
"""More are profiled only on request: onnxruntime keeps all events in memory, and at most a million of them."""
FASTEST_SHARE = 0.5
"""The share of the fastest runs, which count: others may be disturbed. If a number of runs is requested, all count."""
SLOW_RUNS, SLOW_SECONDS = 3, 5.0
"""This many runs are enough if they have taken this long."""
BLOCKING: Mapping[str, str] = {
    "cuda": "CUDA_LAUNCH_BLOCKING",
    "tensorrt": "CUDA_LAUNCH_BLOCKING",
    "rocm": "HIP_LAUNCH_BLOCKING",
}
"""By provider, the environment variable that makes each kernel launch on the device wait until the kernel has ended."""
SecondsClock = Callable[[], float]
Runs = Iterator[Callable[[], object]]


def run_profiled(request: Request, channel: Channel) -> None:
    """Answers with Profiled."""
    settings = request.settings
    channel.send(Progress("loading"))
    serialize_kernels(settings.provider)
    feeds = arrays(request.feeds, settings.seed)
    session, optimized = open_profiled(request)
    runs = cycle(runner(session, feeds, settings.provider).runs)
    warmup = warm_up(runs, settings, channel.send)
    repeat(runs, settings, channel.send, is_called=channel.is_called)
    path = Path(session.end_profiling())
    channel.send(Progress("reading the profile"))
    found = read_profile(str(path), warmup, FASTEST_SHARE if settings.runs is None else 1.0)
    path.unlink()
    channel.send(Profiled(found.executed, found.run_seconds, optimized, found.memory, found.timeline))


def serialize_kernels(provider: str) -> None:
    """Makes kernel launches wait in this process; otherwise a node's event would time only the launch."""
    if variable := BLOCKING.get(find_provider(provider).name):
        os.environ[variable] = "1"


def open_profiled(request: Request) -> tuple[Any, str]:
    """A profiled session and the file of the graph that it runs; "" if it cannot be written, as with providers that compile
    nodes.
    """
    prefix, optimized = (str(Path(request.folder, name)) for name in ("profile", "optimized.onnx"))
    try:
        session = open_session(request.model, request.settings, profile_prefix=prefix, optimized_path=optimized)
    except MeasurementError:
        return open_session(request.model, request.settings, profile_prefix=prefix), ""
    for weights in Path(request.folder).glob("optimized.onnx.*"):
        weights.unlink()
    return session, optimized


def warm_up(runs: Runs, settings: Settings, send: Send, clock: SecondsClock = time.perf_counter) -> int:
    """Run until the times settle, or as often as the settings say, at least once; returns how often."""
    send(Progress("warming up"))
    begin, done = clock(), 0
    while True:
        next(runs)()
        done += 1
        if done >= (WARMUP if settings.warmup is None else settings.warmup):
            return done
        if settings.warmup is None and clock() - begin >= WARMUP_SECONDS:
            return done


def repeat(
    runs: Runs, settings: Settings, send: Send, clock: SecondsClock = time.perf_counter, is_called: Callable[[], bool] = bool
) -> int:
    """Run as often as the settings say, or until ``is_called``, at least once; returns how often."""
    begin, done, share = clock(), 0, 0.0
    while share < 1 and not (done and is_called()):
        send(Progress("profiling", share))
        next(runs)()
        done += 1
        share = share_done(done, clock() - begin, settings)
    return done


def share_done(runs: int, seconds: float, settings: Settings) -> float:
    """The completed share of the request; 1 or more is enough."""
    least_runs = LEAST_PROFILED_RUNS if settings.runs is None else settings.runs
    least_seconds = settings.seconds
    if least_seconds is None:
        least_seconds = LEAST_SECONDS if settings.runs is None else 0.0
    share = min(runs / least_runs, seconds / least_seconds if least_seconds else 1)
    if settings.runs is not None:
        return share
    slow = min(runs / SLOW_RUNS, seconds / SLOW_SECONDS) if settings.seconds is None else 0
    return max(share, slow, runs / MOST_RUNS)


_SUFFIX = "_kernel_time"
_SMALL = 64
"""Elements of the largest input that may decide shapes."""


def run_traced(request: Request, channel: Channel) -> None:
    """Answers with Trace."""
    # The frontend takes as long to import as onnxruntime, and no other task needs it.
    from onnxcost.frontend.trace import Trace, main_pass, make_traceable, with_plain_names

    channel.send(Progress("loading"))
    feed = arrays(request.feeds, request.settings.seed)[0]
    try:
        session = open_session(
            make_traceable(request.model),
            # So that events are in the order of the model's own nodes: other providers may fuse many into one.
            replace(request.settings, provider="cpu", provider_options={}, optimization="none", inter_threads=None),
            profile_prefix=str(Path(request.folder, "trace")),
            weights_folder=str(Path(os.path.realpath(request.model)).parent),
        )
        channel.send(Progress("tracing"))
        session.run(None, feed)
    except Exception as error:
        raise MeasurementError(with_plain_names(reason(error))) from None
    # Only the names and outputs of events: there can be a million.
    events = read_events(
        session.end_profiling(),
        lambda found: (found["name"], found["args"].get("output_type_shape", ())) if "args" in found else found,
    )
    deciding = {name: value for name, value in feed.items() if _may_decide(value)}
    channel.send(Trace(main_pass(_executed_outputs(events)), describe_inputs(request.feeds), deciding))


def _executed_outputs(events: Sequence[tuple[str, Any]]) -> Iterator[tuple[NodePath, tuple[TensorType, ...]]]:
    """The nodes that ran, in the order in which they ended. Raises MeasurementError for a truncated profile."""
    from onnxcost.frontend.trace import place_of

    if all(name != "model_run" for name, _ in events):
        raise MeasurementError(
            f"the run has more nodes than onnxruntime's profiler can record ({len(events):,}), so it cannot be traced"
        )
    for name, outputs in events:
        place = place_of(name.removesuffix(_SUFFIX)) if name.endswith(_SUFFIX) else None
        if place is not None:
            yield place, types_of(outputs)


def _may_decide(value: Any) -> bool:
    """Whether the elements of an input may decide shapes: a sequence, or a few integers, booleans or strings."""
    if isinstance(value, list):
        return all(hasattr(item, "dtype") for item in value)
    return getattr(getattr(value, "dtype", None), "kind", "") in ("i", "u", "b", "O") and value.size <= _SMALL
