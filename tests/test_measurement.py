"""Statistics of times, held against published tables and examples, and against sums in exact integers."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from fractions import Fraction
from math import comb

import numpy as np
import pytest

from onnxcost.latency import Latency


def latency(times: Sequence[float]) -> Latency:
    return Latency(np.asarray(times, np.float64))


def test_statistics_of_a_hand_made_sample() -> None:
    times = latency([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (times.min, times.max, times.mean, times.median) == (1, 5, 3, 3)
    assert times.std == pytest.approx(statistics.stdev([1, 2, 3, 4, 5]))
    assert times.coefficient_of_variation == pytest.approx(statistics.stdev([1, 2, 3, 4, 5]) / 3)
    assert (times.p90, times.p95, times.p99) == pytest.approx((4.6, 4.8, 4.96))
    assert times.percentile(25) == 2


def test_a_single_run_has_no_spread() -> None:
    times = latency([0.25])
    assert times.to_dict() == dict.fromkeys(("min", "mean", "median", "p90", "p95", "p99", "max"), 0.25) | {
        "std": 0.0,
        "median_ci95": None,
    }
    assert (times.drift, times.is_drifting, len(times.outliers)) == (0, False, 0)


def test_plain_data_holds_the_schemas_keys_as_plain_numbers() -> None:
    plain = latency(range(1, 11)).to_dict()
    assert list(plain) == ["min", "mean", "median", "std", "p90", "p95", "p99", "max", "median_ci95"]
    assert plain["median_ci95"] == [2, 9]
    assert {type(value) for key, value in plain.items() if key != "median_ci95"} == {float}


# Conover's book and most others tabulate these: the k-th and the (n + 1 - k)-th of n.
TABLED_RANKS = {6: 1, 7: 1, 8: 1, 9: 2, 10: 2, 11: 2, 12: 3, 15: 4, 20: 6, 25: 8, 30: 10, 40: 14, 50: 18, 100: 40}


@pytest.mark.parametrize(("runs", "rank"), TABLED_RANKS.items())
def test_interval_of_the_median_has_the_tabled_ranks(runs: int, rank: int) -> None:
    assert latency(range(1, runs + 1)).median_ci95 == (rank, runs + 1 - rank)


@pytest.mark.parametrize("runs", range(1, 6))
def test_there_is_no_interval_under_six_runs(runs: int) -> None:
    assert latency(range(1, runs + 1)).median_ci95 is None


@pytest.mark.parametrize(
    ("times", "interval"),
    [
        ([25, 29, 35, 36, 36, 40, 41, 43, 44, 54], (29, 44)),
        ([30, 20, 15, 10, 10, 60, 20, 25, 20, 30, 10, 5, 50, 40, 20, 10, 0, 20, 50], (10, 30)),
    ],
    ids=["statpsych", "statpsych-with-ties"],
)
def test_interval_of_the_median_of_published_examples(times: list[float], interval: tuple[float, float]) -> None:
    assert latency(times).median_ci95 == interval


@pytest.mark.parametrize("runs", [6, 17, 64, 101, 500, 1999])
def test_ranks_agree_with_sums_in_exact_integers(runs: int) -> None:
    tail, rank = 0, 0
    while Fraction(tail + comb(runs, rank), 2**runs) <= Fraction(25, 1000):
        tail += comb(runs, rank)
        rank += 1
    assert latency(range(1, runs + 1)).median_ci95 == (rank, runs + 1 - rank)


def test_ranks_of_a_million_runs_agree_with_the_normal_approximation() -> None:
    # n/2 - 1.959964 sqrt(n)/2 + 1/2, rounded down.
    assert latency(range(1, 10**6 + 1)).median_ci95 == (499_020, 10**6 + 1 - 499_020)


@pytest.mark.parametrize("runs", [10, 57, 300])
def test_interval_holds_the_true_median_as_often_as_it_says(runs: int) -> None:
    generator = np.random.default_rng(seed=7)
    intervals = [latency(generator.lognormal(size=runs)).median_ci95 or (0, 0) for _ in range(1000)]
    held = sum(low <= 1 <= high for low, high in intervals)
    assert 940 <= held <= 990


NORMAL = [
    2.33269488,
    1.42195907,
    -0.57527698,
    -0.31293437,
    2.2948158,
    0.75813273,
    -1.0712388,
    -0.96394741,
    -1.15897446,
    1.10976285,
]


# hyperfine's own examples, all but the empty one.
@pytest.mark.parametrize(
    ("times", "outliers"),
    [
        ([50.0], []),
        ([1000.0, 0.0], []),
        ([-0.2, 0.0, 0.2], []),
        ([-0.2, 0.0, 0.2, 4.0], [3]),
        ([0.5, 0.30, 0.29, 0.31, 0.30], [0]),
        (NORMAL, []),
        ([*NORMAL, 20.0, -500.0], [10, 11]),
        ([10.0] * 7 + [100.0], [7]),
        ([10.0] * 7 + [100.0, 100.0], [7, 8]),
    ],
)
def test_outliers_of_hyperfines_examples(times: list[float], outliers: list[int]) -> None:
    assert latency(times).outliers.tolist() == outliers


def test_one_tick_of_a_coarse_clock_makes_no_outlier() -> None:
    assert latency([100.0] * 90 + [101.0] * 10).outliers.size == 0


STEADY = [1.0, 1.01, 0.99, 1.02, 0.98]


@pytest.mark.parametrize(
    ("times", "drift", "is_drifting"),
    [
        (STEADY + [time * 1.1 for time in STEADY], 0.1, True),
        ([time * 1.1 for time in STEADY] + STEADY, 1 / 1.1 - 1, True),
        (STEADY * 20, 0.0, False),
        # One slow run among the first five: not all of the later ones are slower.
        ([1.5, *STEADY[1:]] + [time * 1.1 for time in STEADY], 1.1 / 1.01 - 1, False),
        (STEADY[:4] + [2.0] * 5, 2 / 1.005 - 1, False),
        ([1.0] * 50_000 + [1.05] * 50_000, 0.05, True),
        # The odd one in the middle belongs to neither half.
        ([1.0] * 5 + [9.0] + [2.0] * 5, 1.0, False),
    ],
    ids=["slower", "faster", "steady", "one-slow-start", "under-ten", "many", "odd"],
)
def test_drift_compares_the_halves(times: list[float], drift: float, is_drifting: bool) -> None:
    assert latency(times).drift == pytest.approx(drift)
    assert latency(times).is_drifting == is_drifting


@pytest.mark.parametrize("runs", [10, 237, 5000])
def test_drift_is_seldom_found_where_there_is_none(runs: int) -> None:
    generator = np.random.default_rng(seed=7)
    found = sum(latency(generator.lognormal(sigma=0.1, size=runs)).is_drifting for _ in range(1000))
    assert found <= 20, "2 of 252 are expected"
