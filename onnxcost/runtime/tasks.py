"""The tasks of the worker process: timing, interleaved timing, outputs and calibration."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import MeasurementError
from onnxcost.measurement import MemoryUse, Settings
from onnxcost.runtime.inputs.feeds import arrays, describe_inputs
from onnxcost.runtime.machine import device_of, environment, peak_rss, watch_load
from onnxcost.runtime.ort_profile import read_profile
from onnxcost.runtime.protocol import (
    BLOCKS,
    LEAST_PROBES,
    OPTIMIZED,
    ArenaUse,
    Channel,
    Feed,
    Outputs,
    ProbeTimings,
    Progress,
    Request,
    RunState,
    Timed,
)
from onnxcost.runtime.providers import find_provider
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


class Opened(NamedTuple):
    """A model that is ready to run: a runner for each stream. ``other_work`` gives the other load since it was opened."""

    session: Session
    streams: Sequence[Runner]
    session_seconds: float
    baseline_rss_bytes: int | None
    other_work: Callable[[], float | None]


def run_timed(request: Request, channel: Channel) -> None:
    """Answers with Timed, then with ArenaUse if that is wanted."""
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
    if wants_arena:
        del model  # otherwise its memory goes with the process, which is quicker
        channel.send(Progress("memory"))
        channel.send(measure_arena(request, feeds))


QUICK_ARENA, ARENA_SHARE = 0.1, 0.1
"""Seconds, and the share of a measurement's time, that a second session may take by default."""


def should_measure_arena(settings: Settings, again: float, spent: float) -> bool:
    """Whether to load and run the model once more, which takes ``again`` seconds, after ``spent`` seconds so far."""
    return again <= max(QUICK_ARENA, ARENA_SHARE * spent) if settings.arena is None else settings.arena


def open_timed(request: Request, feeds: Sequence[Mapping[str, Any]], channel: Channel) -> Opened:
    """The request's model, ready to run on these feeds; without any it has no streams."""
    settings = request.settings
    channel.send(Progress("loading"))
    # Loading the libraries does not count in the session's time or memory.
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

    The arena only reports the highest peak. If that was while the model was loaded, the run is repeated with a value that fills
    the difference.
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
"""How many turns each model has; those whose two fastest disagree have more."""
AGREE = 1.05
"""Two turns agree if one takes at most this times the other."""
ROUND_SECONDS, LEAST_CALIBRATION_RUNS = 0.006, 3
"""How long each turn of a model lasts, and the least number of runs in it, after one to warm up."""
FINE = 1e-8
"""Seconds. A coarser clock of a thread's own time is not used."""
LOW = 10
"""The percentile that is used: other load on the machine makes runs slower, not faster."""


def run_calibration(request: Request, channel: Channel) -> None:
    """Answers with ProbeTimings of the models ``*.onnx`` in the folder ``request.model``, by name."""
    import numpy as np

    # Unlike glob, iterdir raises if the folder cannot be read.
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
    # onnxruntime's graph for the model BLOCKS shows whether it runs convolutions on blocks of channels on this machine.
    optimized = Path(request.folder, OPTIMIZED)
    open_session(str(Path(request.model, BLOCKS)), request.settings, optimized_path=str(optimized))
    channel.send(
        ProbeTimings(
            seconds=tuple(map(typical_turn, turns)),
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


def typical_turn(turns: Sequence[float]) -> float | None:
    """The second fastest turn, because the fastest of a few may be by chance; the fastest if no other agrees with it; None if
    there are none.
    """
    if not turns:
        return None
    return min(turns) if disagrees(turns) else sorted(turns)[:2][-1]


def disagrees(turns: Sequence[float]) -> bool:
    """Whether no other turn agrees with the fastest, as when a machine was slow or fast for a while."""
    quickest = sorted(turns)[:2]
    return len(quickest) > 1 and quickest[1] > AGREE * quickest[0]


def _time_model(path: Path, request: Request) -> list[float]:
    """Seconds of some runs in a new session; none if onnxruntime lacks the operator on this provider.

    A single thread's own time excludes the time that other load takes on the core during a run.
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
        "tensor(float16)": lambda shape: random.standard_normal(shape, np.float32).astype(np.float16),
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
    """The arrays in an output; an empty optional has none."""
    import numpy as np

    if isinstance(value, (list, dict)):
        for key, item in value.items() if isinstance(value, dict) else enumerate(value):
            yield from _arrays(f"{name}[{key}]", item)
    elif value is not None:
        yield name, np.asarray(value)


QUICK_TO_OPEN = 0.5
"""Seconds. The addresses of its tensors make a session faster or slower by up to a percent during its whole lifetime. A model
that opens faster than this gets a new session in each round, so that the spread of the rounds includes this effect.
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
            del model  # two simultaneous sessions would need memory for both
            model = open_timed(request, feeds, channel)
        other_work = watch_load()
        rounds.append(sample(model.streams[0].runs, asked, channel.send, is_called=channel.is_called))
        if (load := other_work()) is not None:
            loads.append(load)
        channel.send(rounds[-1].samples)
    # The same number from each round: rounds have more runs the faster the machine was.
    most = min(len(round_.samples) for round_ in rounds) if request.settings.least_seconds else None
    samples = np.concatenate([round_.samples[:most] for round_ in rounds])
    wall = sum(round_.wall_seconds for round_ in rounds)
    # The other models, which run in between, do not count as other load.
    model = model._replace(other_work=lambda: sum(loads) / len(loads) if loads else None)
    found = collect_timing(request, model, first._replace(samples=samples, wall_seconds=wall))
    channel.send(replace(found, state=found.state._replace(session_seconds=seconds, memory=memory)))
    del model
    if should_measure_arena(request.settings, seconds + first.first_run_seconds, time.perf_counter() - begin):
        channel.send(Progress("memory"))
        channel.send(measure_arena(request, feeds))
