"""Models timed interleaved: what is asked of which process when, and what is made of their answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from onnxcost.errors import InputError, MeasurementError
from onnxcost.measurement import Environment, MeasuredDevice, Measurement, MeasurementResult, MemoryUse, Settings, Unmeasured
from onnxcost.runtime import interleaved
from onnxcost.runtime.interleaved import (
    MOST_AT_ONCE,
    ROUNDS,
    SPREAD_OF_PROCESSES,
    Ratio,
    compute_ratio,
    group_models,
    measure_interleaved,
    split_rounds,
)
from onnxcost.runtime.protocol import ArenaUse, Progress, Request, RunState, Timed
from onnxcost.runtime.supervisor import Conversation
from onnxcost.spec import ModelSpec
from tests.modeltext import model

TIMED = Timed(
    samples=np.array([0.5]),
    wall_seconds=1.0,
    first_run_seconds=0.1,
    warmup_runs=1,
    state=RunState(
        session_seconds=0.1,
        threads=(1, 1),
        inputs=(),
        device=MeasuredDevice("A Processor"),
        environment=Environment(1, 1.0, None, None, None, "1.30.0", "Linux"),
        memory=MemoryUse(None, None),
        placement=None,
    ),
    copies=None,
)
MODEL = model("(float[1,4] x) => (float[1,4] y) { y = Relu(x) }").SerializeToString()
FEW_RUNS = Settings(runs=3)
Behavior = Callable[[int], float]
"""The seconds that each run of a round takes, by the number of the round; it may raise."""


class Machine:
    """In the place of the child processes: records the requests to each, in order."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *models: Behavior) -> None:
        self.models = models
        self.said: list[tuple[int, str]] = []
        self.alive: set[int] = set()
        self.most_alive = self.opened = 0
        monkeypatch.setattr(interleaved, "conversation", self.conversation)
        monkeypatch.setattr(interleaved, "available_memory", lambda: 1 << 40)

    @contextmanager
    def conversation(self, request: Request) -> Iterator[Conversation]:
        assert request.task == "interleaved"
        number, self.opened = self.opened % len(self.models), self.opened + 1
        self.said.append((number, "open"))
        self.alive.add(self.opened)
        self.most_alive, mine = max(self.most_alive, len(self.alive)), self.opened
        heard: list[object] = []
        try:
            yield Conversation(self._answers(number, heard), heard.append)
        finally:
            self.alive.remove(mine)

    def _answers(self, number: int, heard: Sequence[object]) -> Iterator[object]:
        yield True
        at_round = 0
        while (asked := heard[-1]) is not None:
            assert isinstance(asked, Settings)
            self.said.append((number, f"{asked.least_runs} runs"))
            yield np.full(asked.least_runs, self.models[number](at_round))
            at_round += 1
        self.said.append((number, "end"))
        yield TIMED
        yield ArenaUse()

    def measured(self, count: int, settings: Settings = FEW_RUNS, **others: Any) -> Any:
        return measure_interleaved([ModelSpec.of(MODEL)] * count, settings, **others)


def steady(seconds: float) -> Behavior:
    return lambda number: seconds


def failing(at: int, error: Exception) -> Behavior:
    def behave(number: int) -> float:
        if number == at:
            raise error
        return 1.0

    return behave


def reasons(results: Sequence[MeasurementResult]) -> list[str]:
    return [result.reason if isinstance(result, Unmeasured) else "" for result in results]


def test_the_models_run_in_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, steady(1), steady(2), steady(3))
    found = machine.measured(3)
    opened, *rounds, ended = [machine.said[at : at + 3] for at in range(0, len(machine.said), 3)]
    assert opened == [(0, "open"), (1, "open"), (2, "open")]
    assert rounds == [[(0, "1 runs"), (1, "1 runs"), (2, "1 runs")]] * 3
    assert ended == [(0, "end"), (1, "end"), (2, "end")]
    assert [isinstance(result, Measurement) for result in found.results] == [True] * 3
    assert (machine.most_alive, machine.alive) == (3, set())


def test_the_ratio_compares_the_same_rounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that becomes ever slower; the other model is slower by 10 %, by 30 % in two rounds."""
    machine = Machine(
        monkeypatch, lambda number: 1.0 + number, lambda number: (1.0 + number) * (1.3 if number > ROUNDS - 3 else 1.1)
    )
    found = machine.measured(2, Settings())
    assert found.ratios[0] is None
    low, high = 1.1 * (1 - SPREAD_OF_PROCESSES), 1.1 * (1 + SPREAD_OF_PROCESSES)
    assert found.ratios[1] == Ratio(pytest.approx(1.1), (pytest.approx(low), pytest.approx(high)))  # type: ignore[arg-type]


def test_a_ratio_of_few_rounds_has_no_interval(monkeypatch: pytest.MonkeyPatch) -> None:
    found = Machine(monkeypatch, steady(2), steady(3)).measured(2, Settings(runs=5))
    assert found.ratios == (None, Ratio(1.5, None))


@pytest.mark.parametrize(
    ("models", "expected", "ratios"),
    [
        ([steady(1), failing(1, MeasurementError("too hot")), steady(1)], ["", "too hot", ""], [False, False, True]),
        ([failing(0, MeasurementError("too hot")), steady(1), steady(2)], ["too hot", "", ""], [False, False, False]),
        ([failing(0, InputError("no")), failing(2, MeasurementError("yes"))], ["no", "yes"], [False, False]),
    ],
)
def test_one_that_fails_does_not_end_the_others(
    monkeypatch: pytest.MonkeyPatch, models: list[Behavior], expected: list[str], ratios: list[bool]
) -> None:
    machine = Machine(monkeypatch, *models)
    found = machine.measured(len(models))
    assert reasons(found.results) == expected
    assert [ratio is not None for ratio in found.ratios] == ratios
    assert machine.alive == set()


def test_one_that_cannot_even_be_prepared_is_unmeasured(monkeypatch: pytest.MonkeyPatch) -> None:
    Machine(monkeypatch, steady(1))
    odd = model("(complex64[2] x) => (complex64[2] y) { y = Identity(x) }").SerializeToString()
    first, second = measure_interleaved([ModelSpec.of(MODEL), ModelSpec.of(odd)], Settings(runs=1)).results
    assert isinstance(first, Measurement)
    assert isinstance(second, Unmeasured)
    assert "complex64" in second.reason


def test_a_process_that_ends_without_an_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, steady(1))
    monkeypatch.setattr(machine, "_answers", lambda number, heard: iter([True]))
    assert reasons(machine.measured(1).results) == ["the process that ran the model ended without a result"]


def test_an_interrupt_ends_all_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(number: int) -> float:
        raise KeyboardInterrupt

    machine = Machine(monkeypatch, steady(1), interrupted, steady(1))
    with pytest.raises(KeyboardInterrupt):
        machine.measured(3)
    assert (machine.most_alive, machine.alive) == (3, set())


def test_many_models_are_timed_in_groups_with_the_first_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    count = MOST_AT_ONCE + 2
    machine = Machine(monkeypatch, steady(1), *(steady(2) for _ in range(MOST_AT_ONCE - 1)), steady(4), steady(12), steady(20))
    found = machine.measured(count)
    assert found.groups == (tuple(range(MOST_AT_ONCE)), (0, MOST_AT_ONCE, MOST_AT_ONCE + 1))
    assert [ratio and ratio.value for ratio in found.ratios] == [None, *[2.0] * (MOST_AT_ONCE - 1), 3.0, 5.0]
    assert machine.most_alive == MOST_AT_ONCE


def test_a_first_model_that_failed_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(monkeypatch, failing(0, MeasurementError("no")), *(steady(2) for _ in range(MOST_AT_ONCE)))
    found = machine.measured(MOST_AT_ONCE + 1)
    assert reasons(found.results) == ["no", *[""] * MOST_AT_ONCE]
    assert machine.opened == MOST_AT_ONCE + 1


@pytest.mark.parametrize(
    ("needs", "free", "groups"),
    [
        ([5], 1, [(0,)]),
        ([5, 5], 10, [(0, 1)]),
        ([5, 5, 5], 14, [(0, 1), (0, 2)]),
        ([5, 9, 5, 5], 15, [(0, 1), (0, 2, 3)]),
        ([5, 11, 5], 15, [(0, 2), (1,)]),
        ([50, 1, 1], 15, [(0,), (1,), (2,)]),
    ],
)
def test_models_that_do_not_fit_into_memory_together_are_in_other_groups(
    needs: list[int], free: int, groups: list[tuple[int, ...]]
) -> None:
    assert group_models(needs, free) == groups


@pytest.mark.parametrize(
    ("settings", "count", "runs", "seconds"),
    [
        (Settings(), ROUNDS, 12, 2.0),
        (Settings(runs=3), 3, 3, 0.0),
        (Settings(runs=3, seconds=0), 3, 3, 0.0),
        (Settings(runs=100), ROUNDS, 100, 0.0),
        (Settings(runs=100, seconds=6), ROUNDS, 100, 6.0),
        (Settings(seconds=30), 60, 60, 30.0),
    ],
)
def test_the_rounds_add_up_to_the_settings(settings: Settings, count: int, runs: int, seconds: float) -> None:
    rounds = split_rounds(settings)
    assert len(rounds) == count
    assert sum(each.least_runs for each in rounds) == runs
    assert sum(each.least_seconds for each in rounds) == pytest.approx(seconds)


def test_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    heard: list[Progress] = []
    Machine(monkeypatch, steady(1), steady(1)).measured(2, Settings(runs=2), on_progress=heard.append)
    once = [Progress("loading"), Progress("measuring", 0.0), Progress("measuring", 0.5), Progress("memory")]
    assert heard == [progress for progress in once for _ in range(2)]


def test_concurrent_streams_are_refused() -> None:
    with pytest.raises(InputError, match="omit --concurrency"):
        measure_interleaved([], Settings(concurrency=2))


def test_real_models() -> None:
    other = model("(float[1,4] x) => (float[1,4] y) { y = com.acme.Mine(x) }", domains=', "com.acme" : 1')
    specs = [ModelSpec.of(MODEL), ModelSpec.of(MODEL), ModelSpec.of(other)]
    found = measure_interleaved(specs, Settings(runs=3))
    first, second, third = found.results
    assert isinstance(first, Measurement)
    assert isinstance(second, Measurement)
    assert (first.runs, second.runs, first.flops) == (3, 3, 4)
    assert found.ratios[1] is not None
    assert isinstance(third, Unmeasured)


def rounds(generator: np.random.Generator, count: int = 12) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Of the same model, twice, on a machine that becomes slower by a half, with a tenth of noise."""
    machine = np.linspace(1, 1.5, count)
    one, other = machine * generator.lognormal(sigma=0.1, size=(2, count))
    return one, other


def test_the_ratio_of_rounds_is_free_of_drift() -> None:
    machine = np.linspace(1, 3, 12)
    low, high = 1.25 * (1 - SPREAD_OF_PROCESSES), 1.25 * (1 + SPREAD_OF_PROCESSES)
    assert compute_ratio(1.25 * machine, machine) == Ratio(1.25, (low, high))


def test_a_difference_is_seldom_seen_where_there_is_none() -> None:
    generator = np.random.default_rng(seed=7)
    seen = sum(not compute_ratio(*rounds(generator)).is_undecided for _ in range(1000))
    assert seen <= 50, "39 are expected, less what the spread of processes keeps from being seen"


@pytest.mark.parametrize(
    ("ci95", "is_undecided"),
    [((0.9, 1.1), True), ((1.0, 1.1), True), ((1.001, 1.1), False), ((0.9, 0.99), False), (None, False)],
)
def test_no_difference_is_seen_where_1_is_in_the_interval(ci95: tuple[float, float] | None, is_undecided: bool) -> None:
    assert Ratio(1.01, ci95).is_undecided == is_undecided


def test_a_ratio_of_three_rounds_is_their_median() -> None:
    assert compute_ratio(np.array([2.0, 2.0, 4.0]), np.array([1.0, 2.0, 1.0])) == Ratio(2.0, None)
