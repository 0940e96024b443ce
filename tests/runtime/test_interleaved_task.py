"""The child's side of interleaved timing: which session a round has, and the result of all rounds."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, cast

import numpy as np
import pytest

from onnxcost.measurement import MemoryUse, Settings
from onnxcost.runtime import tasks
from onnxcost.runtime.protocol import ArenaUse, Channel, Progress, Request, Timed
from onnxcost.runtime.sampling import Sampled
from onnxcost.runtime.session import Runner
from onnxcost.runtime.tasks import Opened
from tests.runtime.test_interleaved import TIMED


class Stream:
    def __init__(self, session: int) -> None:
        self.runs = [session]


class Machine:
    """In the place of sessions and clocks: the first sampling is the warm-up, each round after it takes ``rounds`` samples."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, session_seconds: float, rounds: Sequence[int]) -> None:
        self.session_seconds, self.rounds, self.opened = session_seconds, iter([1, *rounds]), 0
        self.sampled: list[tuple[int, Settings]] = []
        self.timed: list[tuple[Opened, Sampled]] = []
        self.peaks: Iterator[int] = iter([500, 900])
        monkeypatch.setattr(tasks, "open_timed", self.open)
        monkeypatch.setattr(tasks, "collect_timing", self.tell)
        monkeypatch.setattr(tasks, "measure_arena", lambda *_: ArenaUse(7))
        monkeypatch.setattr(tasks, "sample", self.sample)
        monkeypatch.setattr(tasks, "peak_rss", lambda: next(self.peaks))
        loads = iter([0.2, None, *[0.4] * 9])
        monkeypatch.setattr(tasks, "watch_load", lambda: lambda: next(loads))

    def open(self, *_: object) -> Opened:
        self.opened += 1
        return Opened(self.opened, [cast(Runner, Stream(self.opened))], self.session_seconds * self.opened, 100, lambda: 9.0)

    def sample(self, runs: Sequence[int], settings: Settings, progress: object, **_: object) -> Sampled:
        self.sampled.append((runs[0], settings))
        return Sampled(0.1, 5, np.full(next(self.rounds), float(len(self.sampled))), 1.0)

    def tell(self, request: Request, model: Opened, sampled: Sampled) -> Timed:
        self.timed.append((model, sampled))
        return TIMED

    def answers(self, settings: Settings, rounds: int) -> list[Any]:
        said: list[Any] = []
        asked = iter([*[Settings(runs=2, seconds=0.1)] * rounds, None])
        tasks.run_interleaved(
            Request("interleaved", "m.onnx", (), settings, "folder"), Channel(said.append, lambda: next(asked))
        )
        return said


def test_each_round_has_a_session_of_its_own_where_that_is_quickly_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 0.1, [2, 2, 2])
    machine.answers(Settings(), 3)
    assert [session for session, _ in machine.sampled] == [1, 1, 2, 3]


def test_a_session_that_takes_long_to_open_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 0.6, [2, 2, 2])
    machine.answers(Settings(), 3)
    assert [session for session, _ in machine.sampled] == [1, 1, 1, 1]


def test_what_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, 0.1, [2, 2])
    settings = Settings(runs=4, threads=3, arena=True)
    ready, first, second, timed, step, arena = machine.answers(settings, 2)
    assert ready is True
    assert (first.tolist(), second.tolist()) == ([2.0, 2.0], [3.0, 3.0])
    assert (timed.state.session_seconds, timed.state.memory) == (0.1, MemoryUse(500, 100))
    assert (step, arena) == (Progress("memory"), ArenaUse(7))
    assert [asked for _, asked in machine.sampled] == [
        Settings(runs=1, seconds=0, threads=3, arena=True),
        *[Settings(runs=2, seconds=0.1)] * 2,
    ]
    model, sampled = machine.timed[0]
    assert (sampled.first_run_seconds, sampled.warmup_runs, sampled.wall_seconds) == (0.1, 5, 2.0)
    assert model.other_work() == 0.2, "not what the other models did in between"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [(Settings(), [2.0, 3.0, 4.0]), (Settings(runs=6), [2.0, 2.0, 2.0, 3.0, 4.0, 4.0])],
    ids=["seconds", "runs"],
)
def test_no_round_outweighs_another_because_it_was_faster(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, expected: list[float]
) -> None:
    machine = Machine(monkeypatch, 0.1, [3, 1, 2])
    machine.answers(settings, 3)
    assert machine.timed[0][1].samples.tolist() == expected


@pytest.mark.parametrize(
    ("arena", "again", "spent", "expected"),
    [
        (None, 0.05, 0.1, True),  # quick
        (None, 0.2, 2.5, True),  # a small share of all
        (None, 0.3, 2.5, False),
        (None, 1.8, 4.0, False),
        (True, 1.8, 4.0, True),
        (False, 0.01, 4.0, False),
    ],
)
def test_a_second_session_is_opened_where_that_takes_little(
    arena: bool | None, again: float, spent: float, expected: bool
) -> None:
    assert tasks.should_measure_arena(Settings(arena=arena), again, spent) is expected
