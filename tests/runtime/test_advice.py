"""Each kind of advice is given where it is due, says the figure and the option, and is not given otherwise."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from onnxcost.measurement import Environment, MeasuredDevice, Measurement, MemoryUse, Settings
from onnxcost.runtime.advice import KINDS, OF_HOST, advice

CALM_MACHINE = Environment(
    cores=8, usable_cores=8, load=0.0, frequency=3.5e9, max_frequency=3.6e9, onnxruntime="1.20", platform="Linux"
)
CALM_TIMES = [0.010, 0.0101, 0.0099, 0.0102, 0.0098] * 40
CALM = Measurement(
    settings=Settings(),
    samples=np.array(CALM_TIMES),
    wall_seconds=2.0,
    first_run_seconds=0.015,
    session_seconds=0.1,
    warmup_runs=20,
    batch=1,
    inputs=(),
    device=MeasuredDevice("processor"),
    environment=CALM_MACHINE,
    memory=MemoryUse(None, None),
    threads=(8, 1),
)


def of(times: Sequence[float] = CALM_TIMES, settings: Settings = CALM.settings, **changes: Any) -> Measurement:
    """A calm measurement, but for these times, settings, and fields of it or of its environment."""
    machine = {name: changes.pop(name) for name in list(changes) if name in Environment._fields}
    return replace(CALM, samples=np.array(times), settings=settings, environment=CALM_MACHINE._replace(**machine), **changes)


def given(measurement: Measurement) -> dict[str, str]:
    return dict(advice(measurement))


def test_a_calm_measurement_needs_no_advice() -> None:
    assert advice(CALM) == ()


def noisy(share: float) -> list[float]:
    """Times of about 10 ms, the odd ones so much longer and the even ones so much shorter."""
    return [0.01 * (1 + share * (-1) ** run) for run in range(200)]


DUE = [
    ("load", of(load=1.3), ["1.3 of 8 cores"]),
    ("load", of(load=0.3, usable_cores=2, cores=2, threads=(1, 1)), ["0.3 of 2 cores"]),
    ("frequency", of(frequency=1.8e9), ["50 %"]),
    ("threads", of(usable_cores=2.5), ["8 threads", "2.5 usable cores", "--threads 2"]),
    ("threads", of(usable_cores=0.5), ["--threads 1"]),
    ("threads", of(settings=Settings(concurrency=3)), ["10 threads", "--threads 6"]),
    ("threads", of(settings=Settings(concurrency=12), threads=(1, 1)), ["12 threads", "--concurrency 8"]),
    ("cores", of(cores=64), ["8 of 64 cores", "taskset"]),
    ("cores", of(cores=64, threads=(0, 0)), ["8 of 64 cores"]),
    ("slow-first-run", of(first_run_seconds=0.35), ["35 times"]),
    ("python-share", of([5e-5] * 100, Settings(concurrency=2), threads=(1, 1)), ["Python", "--batches"]),
    ("fast-runs", of([1e-5] * 100), ["--batches"]),
    ("few-runs", of(CALM_TIMES[:9]), ["9 runs", "--runs 10"]),
    ("few-runs", of(CALM_TIMES[:3]), ["3 runs", "interval", "--runs 10"]),
    # The interval is 20 % wide, four times what is wanted: sixteen times the runs would do.
    ("wide-interval", of(noisy(0.1)), ["20 %", "--seconds 32"]),
    ("drift", of([0.01] * 100 + [0.0105] * 100), ["5 %", "slower", "--seconds 10"]),
    ("drift", of([0.0125] * 100 + [0.01] * 100), ["20 %", "faster", "--warmup 120"]),
    ("outliers", of([*CALM_TIMES[:97], 0.1, 0.1, 0.1]), ["3 of 100 runs", "3 %"]),
    ("outliers", of([*CALM_TIMES[:10], 0.1]), ["1 of 11 runs", "9.1 %"]),
    ("variation", of(noisy(0.1)), ["10 %", "taskset"]),
]


@pytest.mark.parametrize(("kind", "measurement", "parts"), DUE, ids=[f"{kind}-{' '.join(parts)}" for kind, _, parts in DUE])
def test_advice_is_given_where_it_is_due(kind: str, measurement: Measurement, parts: list[str]) -> None:
    text = given(measurement)[kind]
    assert all(part in text for part in parts), text
    assert "\n" not in text
    assert text[0].islower() or text[0].isdigit()


def test_every_kind_is_tested() -> None:
    assert {kind for kind, _, _ in DUE} == KINDS.keys()
    assert KINDS.keys() > OF_HOST


@pytest.mark.parametrize(
    ("kind", "measurement"),
    [
        ("load", of(load=None)),
        ("load", of(load=0.2)),
        # One core in a hundred and twenty-eight.
        ("load", of(load=1.0, usable_cores=128, cores=128)),
        ("frequency", of(frequency=None)),
        ("frequency", of(max_frequency=None)),
        ("frequency", of(frequency=3.0e9)),
        ("threads", of(threads=(0, 0), usable_cores=2)),
        ("threads", of(threads=(1, 1), usable_cores=0.5)),
        ("cores", of(cores=64, threads=(1, 1))),
        ("cores", of(cores=64, usable_cores=2)),
        # Thirty times the median, and too short for anyone to notice.
        ("slow-first-run", of([1e-4] * 100, first_run_seconds=0.003)),
        ("slow-first-run", of(first_run_seconds=0.09)),
        ("few-runs", of(CALM_TIMES[:10])),
        ("wide-interval", of(CALM_TIMES[:5])),
        # 1 % slower, beyond chance and not worth a word.
        ("drift", of([0.01] * 100 + [0.0101] * 100)),
        # 10 % slower, and as likely chance.
        ("drift", of([0.01, 0.011] * 2 + [0.01] + [0.011] * 5)),
        ("outliers", of([*CALM_TIMES, 0.1])),
        ("variation", of(noisy(0.02))),
    ],
)
def test_advice_is_not_given_where_it_is_not_due(kind: str, measurement: Measurement) -> None:
    assert kind not in given(measurement)


@pytest.mark.parametrize(("provider", "kinds"), [("cpu", {"load", "frequency", "drift"}), ("cuda", {"drift"})])
def test_the_processors_state_does_not_matter_to_a_device_of_its_own(provider: str, kinds: set[str]) -> None:
    drifting = [0.01] * 100 + [0.0103] * 100
    assert given(of(drifting, Settings(provider=provider), load=4.0, frequency=1.8e9)).keys() == kinds


def test_causes_come_before_effects() -> None:
    kinds = [each.kind for each in advice(of([*noisy(0.1), 0.1, 0.2, 0.5, 1, 1, 1], load=4.0))]
    assert kinds == [kind for kind in KINDS if kind in kinds]
    assert kinds[0] == "load"
    assert kinds[-1] == "variation"
