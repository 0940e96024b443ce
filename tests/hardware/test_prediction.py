from __future__ import annotations

import pytest

from onnxcost.hardware.prediction import (
    FITS,
    MARGINAL,
    NO,
    UNKNOWN,
    Cache,
    Check,
    Estimate,
    Fit,
    Interval,
    NodeTime,
    Prediction,
    Verdict,
)

PREDICTION = Prediction("box", 4, 0.01, Interval(0.02, 0.08, "estimate"))


def verdict(*levels: str, power: float | None = 10) -> Verdict:
    checks = tuple(Check(f"{at}", level) for at, level in enumerate(levels))
    return Verdict("box", "Box", "board", PREDICTION, (), checks, power=power)


@pytest.mark.parametrize(
    ("levels", "level", "cause"),
    [
        ((), FITS, None),
        ((FITS, FITS), FITS, None),
        ((FITS, MARGINAL), MARGINAL, "1"),
        ((MARGINAL, UNKNOWN), UNKNOWN, "1"),
        ((NO, UNKNOWN, NO), NO, "0"),
    ],
)
def test_the_worst_check_decides(levels: tuple[str, ...], level: str, cause: str | None) -> None:
    found = verdict(*levels)
    assert found.level == level
    assert (found.cause and found.cause.what) == cause


def test_items_per_second_are_the_batch_over_the_latency() -> None:
    assert PREDICTION.fps == Interval(50, 200, "estimate")
    assert Prediction("box", 4, None, None).fps is None


@pytest.mark.parametrize(("source", "key"), [("", None), ("a paper", "a paper")])
def test_the_source_of_an_estimate(source: str, key: str | None) -> None:
    assert Estimate("TensorRT", "fp16", "float16", 1.0, 2.0, "published", 0.5, source=source).to_dict()["source"] == key


def test_energy_is_a_ceiling() -> None:
    assert verdict().energy == pytest.approx(0.8)
    assert verdict(power=None).energy is None


@pytest.mark.parametrize(("available", "headroom"), [(100, 70), (20, -10), (None, None)])
def test_headroom(available: int | None, headroom: int | None) -> None:
    fit = Fit("memory", {"weights": 10, "activations": 20}, available)
    assert (fit.needed, fit.headroom) == (30, headroom)


@pytest.mark.parametrize(
    ("compute", "transfer", "limit"),
    [(2.0, 1.0, "compute"), (1.0, 2.0, "memory"), (1.0, None, "compute"), (1.0, 1.0, "compute")],
)
def test_what_a_node_waits_for(compute: float, transfer: float | None, limit: str) -> None:
    node = NodeTime("n", "Conv", "float32", 0, compute, transfer, 0.0, Interval(2, 2, "estimate"))
    assert node.limit == limit
    assert Prediction("box", 1, 1.0, None, (node,)).nodes_by_limit == {limit: 1}


def test_a_sequence_of_a_cache() -> None:
    assert Cache(100, 2, 50).sequence_bytes == 5000
