from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import pytest

from onnxcost.measurement import Settings
from onnxcost.runtime import tasks
from onnxcost.runtime.protocol import OPTIMIZED, ProbeTimings, Request


class Input(NamedTuple):
    name: str
    type: str
    shape: tuple[int, ...]


class Session:
    """What the feeds are made for."""

    def __init__(self, *inputs: Input) -> None:
        self._inputs = inputs

    def get_inputs(self) -> tuple[Input, ...]:
        return self._inputs


@pytest.mark.parametrize(
    ("kind", "dtype", "middle", "reach"),
    [("tensor(float)", "float32", 0, 5), ("tensor(uint8)", "uint8", 128, 28), ("tensor(int8)", "int8", 0, 28)],
)
def test_a_probe_is_fed_with_numbers_around_its_zero(kind: str, dtype: str, middle: int, reach: int) -> None:
    feed = tasks._random_feed(Session(Input("x", kind, (2, 64, 8)), Input("z", kind, (3,))))  # type: ignore[arg-type]
    assert {name: value.shape for name, value in feed.items()} == {"x": (2, 64, 8), "z": (3,)}
    found = feed["x"].astype(np.float64)
    assert feed["x"].dtype == dtype
    assert abs(found - middle).max() <= reach
    assert found.mean() == pytest.approx(middle, abs=reach / 10)
    assert len(np.unique(found)) > reach


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        ([], False),
        ([1.0], False),
        ([1.0, 1.04], False),
        ([1.0, 1.06], True),
        ([1.3, 1.0, 1.3], True),
        ([1.3, 1.0, 1.3, 1.02], False),
    ],
)
def test_turns_disagree_if_none_is_near_the_fastest(turns: list[float], expected: bool) -> None:
    assert tasks.disagrees(turns) == expected


@pytest.mark.parametrize(
    ("threads", "provider", "resolution", "expected"),
    [
        (1, "cpu", 1e-9, [2.0, 2.0, 2.0]),
        # Several threads, another provider or a coarse clock.
        (2, "cpu", 1e-9, [2.0, 2.0, 9.0]),
        (1, "cuda", 1e-9, [2.0, 2.0, 9.0]),
        (1, "cpu", 1e-7, [2.0, 2.0, 9.0]),
    ],
)
def test_what_other_work_takes_of_the_core_is_left_out(
    monkeypatch: pytest.MonkeyPatch, threads: int, provider: str, resolution: float, expected: list[float]
) -> None:
    """Of 2 seconds each; the third run is interrupted for 7 more."""

    class Clocks:
        now = own = runs = 0.0

        def perf_counter(self) -> float:
            return self.now

        def thread_time(self) -> float:
            return self.own

        def get_clock_info(self, name: str) -> SimpleNamespace:
            return SimpleNamespace(resolution=resolution)

        def once(self) -> None:
            self.runs += 1
            self.own += 2.0
            self.now += 9.0 if self.runs == 4 else 2.0  # after one to warm up

    clocks = Clocks()
    monkeypatch.setattr(tasks, "time", clocks)
    monkeypatch.setattr(tasks, "open_session", lambda *_, **__: Session())
    monkeypatch.setattr(tasks, "runner", lambda *_: SimpleNamespace(runs=[clocks.once]))
    settings = Settings(threads=threads, provider=provider)
    assert tasks._time_model(Path("p.onnx"), Request("calibrate", "", (), settings, "")) == expected


class Sent:
    """A channel that keeps what is sent."""

    def __init__(self) -> None:
        self.answers: list[object] = []

    def send(self, answer: object) -> None:
        self.answers.append(answer)

    @staticmethod
    def is_called() -> bool:
        return False


@pytest.mark.parametrize(
    ("slow", "count", "seconds", "unsettled"),
    [
        # The third of four probes is slow in the first two turns, and has another turn; then its two quickest agree.
        ({2: [2.0, 2.0, 1.0, 1.0]}, 13, 1.0, 0.0),
        # One that takes another time in each of six turns.
        ({2: [2.0, 1.9, 1.7, 1.5, 1.2, 1.0]}, 15, 1.0, 0.25),
        # The second quickest, which agrees with the quickest.
        ({2: [1.04, 1.0, 1.02]}, 12, 1.02, 0.0),
        ({}, 12, 1.0, 0.0),
    ],
)
def test_probes_whose_turns_disagree_have_more_turns(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, slow: dict[int, list[float]], count: int, seconds: float, unsettled: float
) -> None:
    folder = tmp_path / "probes"
    folder.mkdir()
    for index in range(4):
        (folder / f"{index}.onnx").touch()
    left = {f"{index}.onnx": iter(times) for index, times in slow.items()}
    timed: list[str] = []

    def time_model(path: Path, request: Request) -> list[float]:
        timed.append(path.name)
        return [next(left.get(path.name, iter([1.0])))] * 3

    monkeypatch.setattr(tasks, "_time_model", time_model)
    monkeypatch.setattr(tasks, "open_session", lambda *_, **__: (tmp_path / OPTIMIZED).write_bytes(b"nchwc"))
    channel = Sent()
    tasks.run_calibration(Request("calibrate", str(folder), (), Settings(), str(tmp_path)), channel)  # type: ignore[arg-type]
    found = channel.answers[-1]
    assert isinstance(found, ProbeTimings)
    assert (len(timed), found.seconds[2], found.unsettled, found.blocked) == (count, seconds, unsettled, True)
