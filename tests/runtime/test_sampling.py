"""Sampling by a clock that only the runs move: how many runs there are, what is timed and what is not."""

from __future__ import annotations

import gc
import itertools
import threading
from collections.abc import Callable, Iterator, Sequence

import pytest

from onnxcost.measurement import Settings
from onnxcost.runtime.protocol import Progress
from onnxcost.runtime.sampling import Sampled, sample, sample_concurrently

MS, SECOND = 10**6, 10**9


class FakeClock:
    """Nanoseconds that pass only in runs; every reading of it is noted."""

    def __init__(self) -> None:
        self.now = 0
        self.readings = 0

    def __call__(self) -> int:
        self.readings += 1
        return self.now

    def runs_of(self, *durations: int) -> list[Callable[[], object]]:
        """One run that takes these times, one after the other, and then the last of them for ever."""
        times = itertools.chain(durations, itertools.repeat(durations[-1]))
        return [lambda: self.spend(next(times))]

    def spend(self, duration: int) -> None:
        self.now += duration


def sampled(clock: FakeClock, runs: Sequence[Callable[[], object]], settings: Settings) -> tuple[Sampled, list[Progress]]:
    progress: list[Progress] = []
    return sample(runs, settings, progress.append, clock), progress


@pytest.mark.parametrize(
    ("settings", "duration", "runs"),
    [
        (Settings(), 1 * MS, 2000),
        (Settings(), 500 * MS, 10),
        (Settings(), 300 * MS, 10),
        (Settings(runs=3), 1 * MS, 3),
        (Settings(runs=1), 5 * SECOND, 1),
        (Settings(seconds=0.05), 1 * MS, 50),
        (Settings(seconds=0.05), 10 * MS, 10),
        (Settings(seconds=0.055), 10 * MS, 10),
        (Settings(seconds=0), 10 * MS, 10),
        (Settings(runs=20, seconds=1), 10 * MS, 100),
        (Settings(runs=200, seconds=1), 10 * MS, 200),
        (Settings(runs=2, seconds=1), 300 * MS, 4),
    ],
)
def test_samples_until_both_the_runs_and_the_seconds_are_reached(settings: Settings, duration: int, runs: int) -> None:
    clock = FakeClock()
    result, _ = sampled(clock, clock.runs_of(duration), settings)
    assert result.samples.tolist() == [duration / SECOND] * runs
    assert result.wall_seconds == pytest.approx(runs * duration / SECOND)


def test_the_first_run_is_timed_apart() -> None:
    clock = FakeClock()
    result, _ = sampled(clock, clock.runs_of(7 * SECOND, 4 * MS, 3 * MS, 2 * MS, 1 * MS), Settings(warmup=2, runs=3))
    assert result.first_run_seconds == 7
    assert result.warmup_runs == 2
    assert result.samples.tolist() == [0.002, 0.001, 0.001]


@pytest.mark.parametrize(
    ("durations", "runs"),
    [
        ([1 * MS], 200),
        ([9 * MS], 24),
        # The first run is a window as well.
        ([10 * MS], 1),
        ([2 * SECOND], 1),
        ([60 * MS, 50 * MS], 2),
        ([70 * MS, 60 * MS, 50 * MS], 3),
        ([3 * SECOND, 600 * MS], 2),
        # It takes as long as the third: times that go up and down do not settle later.
        ([20 * MS, 30 * MS, 20 * MS], 2),
        # The first window is slower than the second, and the third is as the second.
        ([2 * MS] * 51 + [1 * MS], 50 + 100 + 100),
        # Every run takes a tenth less than the one before.
        ([round(500 * MS * 0.9**run) for run in range(20)], 3),
    ],
)
def test_warms_up_until_two_windows_take_as_long_or_a_second_has_passed(durations: list[int], runs: int) -> None:
    clock = FakeClock()
    result, _ = sampled(clock, clock.runs_of(*durations), Settings(runs=1))
    assert result.warmup_runs == runs


def test_every_window_of_the_warm_up_has_every_input_in_it() -> None:
    clock = FakeClock()
    runs = [lambda: clock.spend(10 * MS), lambda: clock.spend(90 * MS), lambda: clock.spend(50 * MS)]
    result, _ = sampled(clock, runs, Settings(runs=1))
    assert result.warmup_runs == 6


@pytest.mark.parametrize("warmup", [0, 1, 5])
def test_warms_up_as_often_as_asked(warmup: int) -> None:
    clock = FakeClock()
    calls: list[int] = []
    result, _ = sampled(clock, [lambda: calls.append(1)], Settings(warmup=warmup, runs=3))
    assert (result.warmup_runs, len(calls)) == (warmup, 1 + warmup + 3)


def test_runs_are_taken_in_turn_from_the_first() -> None:
    clock = FakeClock()
    runs = [lambda: clock.spend(1 * MS), lambda: clock.spend(2 * MS), lambda: clock.spend(3 * MS)]
    result, _ = sampled(clock, runs, Settings(warmup=2, runs=5))
    assert result.samples.tolist() == [0.001, 0.002, 0.003, 0.001, 0.002]


def test_only_the_run_is_between_two_readings_of_the_clock() -> None:
    """The clock goes on at every reading; a run that takes nothing then lasts just from one reading to the next."""
    ticks = itertools.count()
    reported: list[Progress] = []

    def report(progress: Progress) -> None:
        reported.append(progress)
        for _ in range(1000):
            next(ticks)

    result = sample([lambda: None], Settings(warmup=3, runs=50), report, lambda: next(ticks))
    assert set(result.samples.tolist()) == {1 / SECOND}
    assert result.first_run_seconds == 1 / SECOND
    assert reported


def test_the_result_of_a_run_is_dropped_immediately() -> None:
    clock = FakeClock()
    alive: list[int] = []

    class Output:
        def __init__(self) -> None:
            alive.append(1)

        def __del__(self) -> None:
            alive.pop()

    counts: list[int] = []

    def run() -> Output:
        counts.append(len(alive))
        return Output()

    sampled(clock, [run], Settings(warmup=2, runs=5))
    assert counts == [0] * 8


@pytest.fixture(params=[True, False], ids=["gc-on", "gc-off"])
def collects(request: pytest.FixtureRequest) -> Iterator[bool]:
    was_on = gc.isenabled()
    (gc.enable if request.param else gc.disable)()
    yield request.param
    (gc.enable if was_on else gc.disable)()


def test_the_garbage_collector_is_off_in_runs_and_then_as_before(collects: bool) -> None:
    seen: set[bool] = set()
    sampled(FakeClock(), [lambda: seen.add(gc.isenabled())], Settings(warmup=1, runs=2))
    assert seen == {False}
    assert gc.isenabled() == collects
    with pytest.raises(ZeroDivisionError):
        sampled(FakeClock(), [lambda: 1 / 0], Settings())
    assert gc.isenabled() == collects


def test_progress_is_reported_at_most_ten_times_per_second() -> None:
    clock = FakeClock()
    _, progress = sampled(clock, clock.runs_of(10 * MS), Settings())
    assert [phase for phase, _ in itertools.groupby(progress, lambda each: each.phase)] == [
        "first run",
        "warming up",
        "measuring",
    ]
    shares = [each.done for each in progress if each.phase == "measuring"]
    assert shares == pytest.approx([tenths / 20 for tenths in range(20)])


@pytest.mark.parametrize(
    ("settings", "shares"),
    [
        (Settings(warmup=0, runs=4), [0, 0.25, 0.5, 0.75]),
        (Settings(warmup=0, seconds=1), [0.1 * tenths for tenths in range(10)]),
        # 20 runs need 2 s, one second is asked for.
        (Settings(warmup=0, runs=20, seconds=1), [0.05 * run for run in range(20)]),
    ],
)
def test_the_share_done_is_that_of_what_takes_longer(settings: Settings, shares: list[float]) -> None:
    clock = FakeClock()
    _, progress = sampled(clock, clock.runs_of(100 * MS), settings)
    assert [each.done for each in progress if each.phase == "measuring"] == pytest.approx(shares)


def test_a_warm_up_reports_its_share() -> None:
    clock = FakeClock()
    _, progress = sampled(clock, clock.runs_of(100 * MS), Settings(warmup=4, runs=1))
    assert [each.done for each in progress if each.phase == "warming up"] == [0, 0.25, 0.5, 0.75]


class Streams:
    """Streams whose runs wait for each other: in every round each stream runs once, and the round takes ``duration``."""

    def __init__(self, streams: int, duration: int) -> None:
        self.clock = FakeClock()
        self.threads: set[threading.Thread] = set()
        self.meeting = threading.Barrier(streams, action=lambda: self.clock.spend(duration))
        self.runs = [[self.run]] * streams

    def run(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self.clock.spend(7 * MS)
        else:
            self.threads.add(threading.current_thread())
            self.meeting.wait(timeout=10)


def test_streams_run_side_by_side_for_so_long() -> None:
    streams, progress = Streams(3, 10 * MS), []
    result = sample_concurrently(streams.runs, Settings(seconds=1, warmup=2), progress.append, streams.clock)
    assert result.first_run_seconds == 0.007
    assert result.warmup_runs == 6
    assert result.samples.tolist() == [0.01] * 300
    assert result.wall_seconds == 1
    assert len(streams.threads) == 3
    assert [each.done for each in progress if each.phase == "measuring"] == pytest.approx(
        [0.1 * tenths for tenths in range(10)]
    )


def test_streams_warm_up_until_each_is_stable() -> None:
    streams = Streams(2, 50 * MS)
    result = sample_concurrently(streams.runs, Settings(runs=10, seconds=1), lambda _: None, streams.clock)
    assert result.warmup_runs == 2 * 2


@pytest.mark.parametrize(("streams", "runs"), [(1, 1), (2, 7), (4, 3), (3, 300)])
def test_the_number_of_runs_is_that_of_all_streams_together(streams: int, runs: int) -> None:
    calls: list[int] = []
    result = sample_concurrently(
        [[lambda: calls.append(1)]] * streams, Settings(runs=runs, warmup=0), lambda _: None, FakeClock()
    )
    assert len(result.samples) == runs
    assert len(calls) == 1 + runs


def test_samples_of_streams_are_in_the_order_of_their_starts() -> None:
    """Each thread has a clock of its own: one starts a run at 0, 4 and 8 ms, the other at 0, 3, 6 and 9 ms."""
    of_thread = threading.local()

    def clock() -> int:
        return getattr(of_thread, "now", 0)

    def run_of(duration: int) -> Callable[[], object]:
        return lambda: setattr(of_thread, "now", clock() + duration)

    streams = [[run_of(4 * MS)], [run_of(3 * MS)]]
    result = sample_concurrently(streams, Settings(runs=1, seconds=0.012, warmup=0), lambda _: None, clock)
    assert result.samples.tolist() == [0.004, 0.003, 0.003, 0.004, 0.003, 0.004, 0.003]
    assert result.wall_seconds == 0.012


@pytest.mark.parametrize("failing_call", [0, 1, 5], ids=["first-run", "warm-up", "sampling"])
@pytest.mark.parametrize("failing_stream", [0, 1])
def test_what_one_stream_raises_stops_all_and_is_raised(failing_call: int, failing_stream: int) -> None:
    calls = itertools.count(0 if failing_stream == 0 else 1)

    def fails() -> None:
        if next(calls) >= failing_call:
            raise ZeroDivisionError("the failing run")

    others = iter(range(10**6))
    streams = [[lambda: next(others)], [lambda: next(others)]]
    streams[failing_stream] = [fails]
    was_on, before = gc.isenabled(), set(threading.enumerate())
    with pytest.raises(ZeroDivisionError, match="the failing run"):
        sample_concurrently(streams, Settings(warmup=3), lambda _: None, FakeClock())
    assert gc.isenabled() == was_on
    assert set(threading.enumerate()) <= before


@pytest.mark.parametrize("after", [0, 1, 7])
def test_a_call_ends_the_samples_but_leaves_one(after: int) -> None:
    clock, made = FakeClock(), [0]

    def run() -> None:
        clock.spend(MS)
        made[0] += 1

    result = sample([run], Settings(warmup=2), lambda _: None, clock, lambda: made[0] >= 3 + after)
    assert len(result.samples) == max(after, 1)
