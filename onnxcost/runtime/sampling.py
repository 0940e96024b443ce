"""Times the runs of a model: the first run, then warm-up until the times are stable, then the samples."""

from __future__ import annotations

import gc
import time
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count, cycle
from threading import Barrier, BrokenBarrierError, Event
from typing import TYPE_CHECKING, NamedTuple, Protocol

from onnxcost.measurement import Settings
from onnxcost.runtime.protocol import Progress

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


SECOND = 10**9
"""Clocks count nanoseconds."""
REPORT_INTERVAL = SECOND // 10
WINDOW = SECOND // 10
"""Warm-up: the runs of a window take at least this long …"""
LONG_RUN = SECOND // 100
"""… or the last of them takes at least this long, nanoseconds: such times vary little without a reason."""
STABLE = 0.03
"""Warm-up ends where the median of a window differs from that of an earlier one by no more than this share …"""
WARMUP_LIMIT = SECOND
"""… or after this time: a model that takes longer runs once."""

Run = Callable[[], object]
Clock = Callable[[], int]
OnProgress = Callable[[Progress], object]


class Sampled(NamedTuple):
    """``samples`` are float64 seconds of single runs, in the order in which they started.

    ``wall_seconds`` is from the first sampled run's start to the last one's end; ``warmup_runs`` are without the first run.
    """

    first_run_seconds: float
    warmup_runs: int
    samples: NDArray[np.float64]
    wall_seconds: float


def sample(
    runs: Sequence[Run],
    settings: Settings,
    progress: OnProgress,
    clock: Clock = time.perf_counter_ns,
    is_called: Callable[[], bool] = bool,
) -> Sampled:
    """Call the runs in a cycle as in ``settings``: each call is one sample. After ``is_called``, one sample is enough."""
    stream = _Stream(runs, progress, clock, is_called)
    with garbage_collector_off():
        first_run = stream.first_run()
        warmup_runs = stream.warm_up(settings, first_run)
        times = stream.timed("measuring", _Enough(settings.least_runs, settings.least_seconds, clock))
    return _merge_streams(first_run, warmup_runs, [times])


def sample_concurrently(
    streams: Sequence[Sequence[Run]],
    settings: Settings,
    progress: OnProgress,
    clock: Clock = time.perf_counter_ns,
    is_called: Callable[[], bool] = bool,
) -> Sampled:
    """``sample`` in one thread for each stream, all over the same period; the number of runs is that of all streams together.

    Each warms up in its own thread, in parallel. An exception in one stops all and is raised.
    """
    from concurrent.futures import ThreadPoolExecutor

    failed = Event()
    # Only the first stream reports progress.
    first, *others = (
        _Stream(runs, (lambda _: None) if index else progress, clock, is_called, failed) for index, runs in enumerate(streams)
    )
    goal = _Enough(settings.least_runs, settings.least_seconds, clock)
    start_line = Barrier(len(streams), action=goal.restart)

    def run(stream: _Stream) -> tuple[int, _Times]:
        try:
            warmup_runs = stream.warm_up(settings)
            start_line.wait()
            return warmup_runs, stream.timed("measuring", goal)
        except BaseException:
            failed.set()
            start_line.abort()
            raise

    with garbage_collector_off(), ThreadPoolExecutor(len(streams)) as pool:
        first_run = first.first_run()
        futures = [pool.submit(run, stream) for stream in (first, *others)]
    if errors := [error for future in futures if (error := future.exception()) is not None]:
        raise min(errors, key=lambda error: isinstance(error, BrokenBarrierError))
    warmup_runs, times = zip(*(future.result() for future in futures), strict=True)
    return _merge_streams(first_run, sum(warmup_runs), times)


class _Times(NamedTuple):
    """Clock times at which the runs started, and how long each took, in nanoseconds."""

    starts: array[int]
    durations: array[int]


class _Goal(Protocol):
    def wants_more(self, durations: array[int], now: int) -> bool:
        """Whether another run should start after these."""

    def share(self, now: int) -> float | None:
        """The share of it that is reached, if that is known."""


class _Enough:
    """A number of runs and of seconds, both to be reached; streams that share it count their runs together."""

    def __init__(self, runs: int, seconds: float, clock: Clock) -> None:
        self.runs, self.duration, self.clock = runs, seconds * SECOND, clock
        self.restart()

    def restart(self) -> None:
        """Reset the count and the clock."""
        self.tickets, self.started, self.begin = count(), 0, self.clock()

    def wants_more(self, durations: array[int], now: int) -> bool:
        self.started = next(self.tickets)
        return self.started < self.runs or now - self.begin < self.duration

    def share(self, now: int) -> float:
        parts = ((self.started, self.runs), (now - self.begin, self.duration))
        return min(1.0, *(done / all_ for done, all_ in parts if all_))


class _Stable:
    """Until a window takes as long as an earlier one; each set of inputs runs at least once in a window.

    ``first_run`` is how long the run before took, 0 if that was under other conditions; a long one is a window too.
    """

    def __init__(self, inputs: int, clock: Clock, first_run: int) -> None:
        self.inputs, self.begin = inputs, clock()
        self.window_begin, self.window_start = self.begin, 0
        self.medians: list[float] = [first_run] if first_run >= LONG_RUN and inputs == 1 else []

    def wants_more(self, durations: array[int], now: int) -> bool:
        is_long = now - self.window_begin >= WINDOW or (len(durations) > 0 and durations[-1] >= LONG_RUN)
        if is_long and len(durations) - self.window_start >= self.inputs:
            ordered = sorted(durations[self.window_start :])
            median = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
            if any(abs(median - earlier) <= STABLE * earlier for earlier in self.medians):
                return False
            self.medians.append(median)
            self.window_begin, self.window_start = now, len(durations)
        return now - self.begin < WARMUP_LIMIT

    def share(self, now: int) -> None:
        return None


@dataclass(frozen=True, slots=True)
class _Stream:
    """Runs that one thread calls in a cycle."""

    runs: Sequence[Run]
    progress: OnProgress
    clock: Clock
    is_called: Callable[[], bool]
    failed: Event = field(default_factory=Event)

    def first_run(self) -> int:
        """How long the first run takes."""
        self.progress(Progress("first run"))
        start = self.clock()
        self.runs[0]()
        return self.clock() - start

    def warm_up(self, settings: Settings, first_run: int = 0) -> int:
        """Returns how many runs it took after the first one."""
        runs, clock = settings.warmup, self.clock
        goal = _Stable(len(self.runs), clock, first_run) if runs is None else _Enough(runs, 0, clock)
        return len(self.timed("warming up", goal).durations)

    def timed(self, phase: str, goal: _Goal) -> _Times:
        """Only a call, and dropping its result as in a plain loop, is between two readings of the clock."""
        clock, coming = self.clock, cycle(self.runs)
        starts, durations = times = _Times(array("q"), array("q"))
        end = report_at = clock()
        while goal.wants_more(durations, end) and not self.failed.is_set() and not (durations and self.is_called()):
            if end >= report_at:
                self.progress(Progress(phase, goal.share(end)))
                report_at = clock() + REPORT_INTERVAL
            run = next(coming)
            start = clock()
            run()
            end = clock()
            starts.append(start)
            durations.append(end - start)
        return times


def _merge_streams(first_run: int, warmup_runs: int, streams: Sequence[_Times]) -> Sampled:
    import numpy as np

    starts, durations = (
        np.concatenate([np.frombuffer(part, np.int64) for part in parts]) for parts in zip(*streams, strict=True)
    )
    wall = (starts + durations).max() - starts.min()
    samples = durations[np.argsort(starts, kind="stable")] / SECOND
    return Sampled(first_run / SECOND, warmup_runs, samples, float(wall / SECOND))


@contextmanager
def garbage_collector_off() -> Iterator[None]:
    """Python's garbage collector could run in the middle of a sample."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
