"""The tasks of the worker process: timing, interleaved timing, profiling, tracing, outputs and calibration."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import MeasurementError
from onnxcost.measurement import MemoryUse, Settings
from onnxcost.runtime.inputs.feeds import arrays, describe_inputs
from onnxcost.runtime.machine import device_of, environment, peak_rss, watch_load
from onnxcost.runtime.ort_errors import reason
from onnxcost.runtime.ort_profile import read_events, read_profile, types_of
from onnxcost.runtime.protocol import (
    BLOCKS,
    LEAST_PROBES,
    OPTIMIZED,
    ArenaUse,
    Channel,
    Feed,
    Outputs,
    ProbeTimings,
    Profiled,
    Progress,
    Request,
    RunState,
    Send,
    Timed,
)
from onnxcost.runtime.providers import find_provider  # fmt: skip
from onnxcost.runtime.sampling import Sampled, sample, sample_concurrently
from onnxcost.runtime.session import (
    Runner,
    Session,
    hold_in_exact_arena,
    open_session,
    placement,
    runner,
    runtime_for,
    thread_counts,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxcost.frontend.trace import NodePath
    from onnxcost.frontend.values import TensorType


class Opened(NamedTuple):
    """A model that is ready to run: a runner for each stream. ``other_work`` gives the other load since it was opened."""

    session: Session
    streams: Sequence[Runner]
    session_seconds: float
    baseline_rss_bytes: int | None
    other_work: Callable[[], float | None]


def run_timed(request: Request, channel: Channel) -> None:
    """Answers with Timed, then with ArenaUse where that is wanted."""
    begin = time.perf_counter()
    feeds = arrays(request.feeds, request.settings.seed)
    model = open_timed(request, feeds, channel)
    if len(model.streams) == 1:
        sampled = sample(model.streams[0].runs, request.settings, channel.send, is_called=channel.is_called)
    else:
        streams = [stream.runs for stream in model.streams]
        sampled = sample_concurrently(streams, request.settings, channel.send, is_called=channel.is_called)
    channel.send(collect_timing(request, model, sampled))
    wants_arena = should_measure_arena(
        request.settings, model.session_seconds + sampled.first_run_seconds, time.perf_counter() - begin
    )
    del model
    if wants_arena:
        channel.send(Progress("memory"))
        channel.send(measure_arena(request, feeds))


QUICK_ARENA, ARENA_SHARE = 0.1, 0.2
"""Seconds, and the share of the time of a measurement, that a second session may take without being asked for."""


def should_measure_arena(settings: Settings, again: float, spent: float) -> bool:
    """Whether to load and run the model once more, which takes ``again`` seconds, after ``spent`` seconds for all else."""
    return again <= max(QUICK_ARENA, ARENA_SHARE * spent) if settings.arena is None else settings.arena


def open_timed(request: Request, feeds: Sequence[Mapping[str, Any]], channel: Channel) -> Opened:
    """The request's model, ready to run on these feeds; without any it has no streams."""
    settings = request.settings
    channel.send(Progress("loading"))
    # Loading the libraries counts neither as the session's time nor as its memory.
    runtime_for(find_provider(settings.provider))
    baseline = peak_rss()
    start = time.perf_counter()
    session = open_session(request.model, settings)
    seconds = time.perf_counter() - start
    streams = [runner(session, feeds, settings.provider) for _ in range(settings.concurrency if feeds else 0)]
    return Opened(session, streams, seconds, baseline, watch_load())


def collect_timing(request: Request, model: Opened, sampled: Sampled) -> Timed:
    """The result of the samples; call it right after them."""
    return Timed(
        samples=sampled.samples,
        wall_seconds=sampled.wall_seconds,
        first_run_seconds=sampled.first_run_seconds,
        warmup_runs=sampled.warmup_runs,
        state=collect_state(request, model, request.feeds),
        copies=model.streams[0].copies(),
    )


def collect_state(request: Request, model: Opened, feeds: Sequence[Feed]) -> RunState:
    """How the model was run on these feeds until now."""
    settings = request.settings
    machine = environment(model.other_work())
    memory = MemoryUse(peak_rss(), model.baseline_rss_bytes)
    inputs, placed = describe_inputs(feeds), placement(model.session, settings.provider)
    return RunState(model.session_seconds, thread_counts(settings), inputs, device_of(settings), machine, memory, placed)


def measure_arena(request: Request, feeds: Sequence[Mapping[str, Any]]) -> ArenaUse:
    """The arena's use in one profiled run. Profiling distorts times, so it has a new session after the timed one is gone.

    Of its peak the arena tells only the highest. Where that was while the model was loaded, the run is repeated beside a value
    that fills the difference.
    """

    def run(filling: int) -> ArenaUse:
        session = open_session(request.model, request.settings, profile_prefix=str(Path(request.folder, "arena")))
        held = hold_in_exact_arena(filling) if filling else None
        runner(session, feeds[:1], request.settings.provider).runs[0]()
        del held
        return read_profile(session.end_profiling()).memory

    use = run(0)
    if not use.hidden_bytes:
        return use
    again = run(use.hidden_bytes)
    return use._replace(activation_bytes=max(again.activation_bytes or 0, again.hidden_bytes))


ROUNDS, MOST_ROUNDS = 3, 6
"""How many turns each model has; those whose two quickest disagree have more."""
AGREE = 1.05
"""Two turns agree where one takes no longer than this times the other."""
ROUND_SECONDS, LEAST_CALIBRATION_RUNS = 0.006, 3
"""How long each turn of a model lasts, and the least number of runs in it, after one to warm up."""
FINE = 1e-8
"""Seconds. A clock of a thread's own time that is coarser is not used."""
LOW = 10
"""The percentile that is taken: other work on the machine makes runs slower, not faster."""


def run_calibration(request: Request, channel: Channel) -> None:
    """Answers with ProbeTimings of the models ``*.onnx`` in the folder ``request.model``, by name."""
    import numpy as np

    # Unlike glob, iterdir raises where the folder cannot be read.
    paths = sorted(path for path in Path(request.model).iterdir() if path.suffix == ".onnx")
    other_work = watch_load()
    turns: list[list[float]] = [[] for _ in paths]
    noises: list[float] = []
    count = 0
    for turn in range(MOST_ROUNDS):
        for index, path in enumerate(paths):
            if turn >= ROUNDS and not disagrees(turns[index]):
                continue
            channel.send(Progress("measuring", min(count / (ROUNDS * len(paths)), 1.0)))
            if count >= LEAST_PROBES and channel.is_called():
                break
            count += 1
            if samples := _time_model(path, request):
                turns[index].append(float(np.percentile(samples, LOW)))
                noises.append(float(np.median(samples)) / turns[index][-1])
    repeated = [sorted(each) for each in turns if len(each) > 1]
    machine = environment(other_work())
    # onnxruntime's graph of the model BLOCKS shows whether it runs convolutions on blocks of channels here.
    optimized = Path(request.folder, OPTIMIZED)
    open_session(str(Path(request.model, BLOCKS)), request.settings, optimized_path=str(optimized))
    channel.send(
        ProbeTimings(
            seconds=tuple(min(each) if each else None for each in turns),
            noise=float(np.median(noises)),
            spread=float(np.percentile([each[1] / each[0] for each in repeated], 90)) if repeated else 1.0,
            unsettled=sum(map(disagrees, repeated)) / max(len(repeated), 1),
            load=machine.load,
            threads=thread_counts(request.settings),
            device=device_of(request.settings),
            blocked=b"nchwc" in optimized.read_bytes(),
            cores=machine.usable_cores,
            onnxruntime=machine.onnxruntime,
            platform=machine.platform,
        )
    )


def disagrees(turns: Sequence[float]) -> bool:
    """Whether no other turn took as long as the quickest, as when a machine was slow or fast for a while."""
    quickest = sorted(turns)[:2]
    return len(quickest) > 1 and quickest[1] > AGREE * quickest[0]


def _time_model(path: Path, request: Request) -> list[float]:
    """Seconds of some runs in a new session; none where onnxruntime lacks the operator on this provider.

    A single thread's own time leaves out what other work takes of the core in the middle of a run.
    """
    try:
        session = open_session(str(path), request.settings)
    except MeasurementError:
        return []
    once = runner(session, [_random_feed(session)], request.settings.provider).runs[0]
    once()
    is_alone = thread_counts(request.settings)[0] == 1 and request.settings.provider == "cpu"
    own = time.thread_time if is_alone and time.get_clock_info("thread_time").resolution <= FINE else time.perf_counter
    samples: list[float] = []
    begin = time.perf_counter()
    while len(samples) < LEAST_CALIBRATION_RUNS or time.perf_counter() - begin < ROUND_SECONDS:
        start, own_start = time.perf_counter(), own()
        once()
        seconds, own_seconds = time.perf_counter() - start, own() - own_start
        samples.append(min(seconds, own_seconds))
    return samples


def _random_feed(session: Session) -> dict[str, Any]:
    """Random inputs: numbers around 0, unsigned bytes around 128."""
    import numpy as np

    random = np.random.default_rng(0)
    makers: Mapping[str, Callable[[Sequence[int]], Any]] = {
        "tensor(float)": lambda shape: random.standard_normal(shape, np.float32),
        "tensor(int64)": lambda shape: random.integers(0, 8, shape, np.int64),
        "tensor(uint8)": lambda shape: random.integers(100, 156, shape, np.uint8),
        "tensor(int8)": lambda shape: random.integers(-28, 28, shape, np.int8),
    }
    return {node.name: makers[node.type](node.shape) for node in session.get_inputs()}


def run_outputs(request: Request, channel: Channel) -> None:
    """Answers with Outputs."""
    channel.send(Progress("loading"))
    feed = arrays(request.feeds, request.settings.seed)[0]
    session = open_session(request.model, request.settings)
    channel.send(Progress("running"))
    names = [node.name for node in session.get_outputs()]
    found = zip(names, session.run(names, feed), strict=True)
    channel.send(Outputs({path: array for name, value in found for path, array in _arrays(name, value)}))


def _arrays(name: str, value: Any) -> Iterator[tuple[str, NDArray[Any]]]:
    """The arrays in an output; an optional that is empty has none."""
    import numpy as np

    if isinstance(value, (list, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _arrays(f"{name}[{key}]", item)
    elif value is not None:
        yield name, np.asarray(value)


WARMUP, WARMUP_SECONDS = 3, 1.0
"""Runs before those that count, fewer where they take so long: onnxruntime allocates node by node in the first, and all at
once, but in new memory, in the second; from the third on runs are alike.
"""
LEAST_PROFILED_RUNS, LEAST_SECONDS = 10, 0.3
"""How much is profiled by default: both must be reached."""
MOST_RUNS = 300
"""More are profiled only on request: onnxruntime keeps all events in memory, and at most a million of them."""
FASTEST_SHARE = 0.5
"""The share of the runs that counts, the fastest: others may be disturbed. If a number of runs is asked for, all count."""
SLOW_RUNS, SLOW_SECONDS = 3, 5.0
"""This many runs are enough once they have taken this long."""

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
    """A profiled session and the file of the graph that it runs; "" where that cannot be written, as for providers that
    compile nodes.
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
    """Run as often as the settings ask, or until ``is_called``, at least once; returns how often."""
    begin, done, share = clock(), 0, 0.0
    while share < 1 and not (done and is_called()):
        send(Progress("profiling", share))
        next(runs)()
        done += 1
        share = share_done(done, clock() - begin, settings)
    return done


def share_done(runs: int, seconds: float, settings: Settings) -> float:
    """The share done of what was asked for; 1 or more is enough."""
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
            # So that events come one node after the other, of the model's own nodes: other providers may fuse many into one.
            replace(request.settings, provider="cpu", provider_options={}, optimization="none", inter_threads=None),
            profile_prefix=str(Path(request.folder, "trace")),
            weights_folder=str(Path(os.path.realpath(request.model)).parent),
        )
        channel.send(Progress("tracing"))
        session.run(None, feed)
    except Exception as error:
        raise MeasurementError(with_plain_names(reason(error))) from None
    # Of an event only its name and its outputs: there can be a million.
    events = read_events(
        session.end_profiling(),
        lambda found: (found["name"], found["args"].get("output_type_shape", ())) if "args" in found else found,
    )
    deciding = {name: value for name, value in feed.items() if _may_decide(value)}
    channel.send(Trace(main_pass(_executed_outputs(events)), describe_inputs(request.feeds), deciding))


def _executed_outputs(events: Sequence[tuple[str, Any]]) -> Iterator[tuple[NodePath, tuple[TensorType, ...]]]:
    """The nodes that ran, in the order in which they ended. Raises MeasurementError for a profile that breaks off."""
    from onnxcost.frontend.trace import place_of

    if all(name != "model_run" for name, _ in events):
        raise MeasurementError(
            f"the run has more nodes than onnxruntime's profile holds ({len(events):,}): it cannot be traced"
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


QUICK_TO_OPEN = 0.5
"""Seconds. The addresses of its tensors make a session faster or slower by up to a percent for as long as it lives. A model
that opens faster than this gets a new session in each round, so that the spread of the rounds includes it.
"""


def run_interleaved(request: Request, channel: Channel) -> None:
    """Warms up and answers True; then answers each Settings with the samples of a round, and None as ``run_timed`` does."""
    import numpy as np

    begin = time.perf_counter()
    feeds = arrays(request.feeds, request.settings.seed)
    model = open_timed(request, feeds, channel)
    first = sample(model.streams[0].runs, replace(request.settings, runs=1, seconds=0), channel.send)
    seconds, memory = model.session_seconds, MemoryUse(peak_rss(), model.baseline_rss_bytes)
    channel.send(True)
    rounds: list[Sampled] = []
    loads: list[float] = []
    while isinstance(asked := channel.receive(), Settings):
        if rounds and seconds <= QUICK_TO_OPEN:
            del model  # two sessions at once would need memory for both
            model = open_timed(request, feeds, channel)
        other_work = watch_load()
        rounds.append(sample(model.streams[0].runs, asked, channel.send, is_called=channel.is_called))
        if (load := other_work()) is not None:
            loads.append(load)
        channel.send(rounds[-1].samples)
    # The same number from each round: the faster the machine was in a round, the more runs it has.
    most = min(len(round_.samples) for round_ in rounds) if request.settings.least_seconds else None
    samples = np.concatenate([round_.samples[:most] for round_ in rounds])
    wall = sum(round_.wall_seconds for round_ in rounds)
    # The other models, which run in between, are not other work.
    model = model._replace(other_work=lambda: fmean(loads) if loads else None)
    found = collect_timing(request, model, first._replace(samples=samples, wall_seconds=wall))
    channel.send(replace(found, state=found.state._replace(session_seconds=seconds, memory=memory)))
    del model
    if should_measure_arena(request.settings, seconds + first.first_run_seconds, time.perf_counter() - begin):
        channel.send(Progress("memory"))
        channel.send(measure_arena(request, feeds))
