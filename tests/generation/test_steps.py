"""The runs of a model with a growing cache: which dims grow, and sums that equal those of all runs one by one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import onnxcost
from onnxcost.errors import InputError
from onnxcost.generation.steps import FEW, MOST_COUNTED, Growth, find_steps, sum_runs
from onnxcost.spec import ModelSpec
from tests.generation.small import DECODER, ENCODER

SMOOTH: dict[str, Callable[[int], tuple[int, ...]]] = {
    "constant": lambda run: (7,),
    "linear": lambda run: (3 * run + 5, 11),
    "quadratic": lambda run: (run * run, 2 * run),
    "broadcast at first": lambda run: (100 + 9 * run - 90 * (run < 2),),
    "a window of 64": lambda run: (min(run, 64) * 10, run),
    "padded to blocks of 32": lambda run: ((run + 31) // 32 * 32,),
    "one that is odd": lambda run: (run + 1000 * (run == 157),),
}


@pytest.mark.parametrize("runs", [1, 2, FEW, FEW + 1, 100, 200])
@pytest.mark.parametrize("name", list(SMOOTH)[:-1])
def test_a_sum_is_that_of_all_runs(name: str, runs: int) -> None:
    figures = SMOOTH[name]
    totals, is_exact, counted = sum_runs(figures, runs)
    assert is_exact
    assert totals == tuple(map(sum, zip(*map(figures, range(runs)), strict=True)))
    assert set(counted) <= set(range(runs))


def test_few_runs_are_counted_of_what_is_smooth() -> None:
    assert len(sum_runs(SMOOTH["linear"], 10_000)[2]) <= FEW


def test_what_no_polynomial_fits_is_said_to_be_interpolated() -> None:
    totals, is_exact, counted = sum_runs(lambda run: ((run * 7919) % 101,), 10_000)
    assert not is_exact
    assert len(counted) <= MOST_COUNTED + 40
    assert 0 < totals[0] < 101 * 10_000


@pytest.mark.parametrize(
    ("dims", "growth", "new"),
    [
        ({}, Growth("past_sequence", 0, 1, "--dim past_sequence=N"), 1),
        ({"past_sequence": 5}, Growth("past_sequence", 5, 1), 1),
        ({"past_sequence": 5, "sequence": 2}, Growth("past_sequence", 5, 1), 2),
    ],
)
def test_a_cache_grows_by_a_token_a_run(dims: dict[str, int], growth: Growth, new: int) -> None:
    spec = ModelSpec(DECODER, dims=dims)
    steps = find_steps(spec, onnxcost.estimate(DECODER, dims=dims))
    assert steps.growth == (growth,)
    assert steps.spec_at(7).dims == {"batch": 1, "sequence": new, "past_sequence": growth.start + 7}


def test_a_model_without_a_cache_does_not_grow() -> None:
    spec = ModelSpec(ENCODER)
    steps = find_steps(spec, onnxcost.estimate(ENCODER))
    assert steps.growth == ()
    assert steps.spec_at(9) == spec


def test_dims_that_are_said_to_grow() -> None:
    spec, report = ModelSpec(ENCODER), onnxcost.estimate(ENCODER, dims={"frames": 10})
    assert find_steps(spec, report, grows={"frames": 4}).spec_at(3).dims == {"frames": 22}
    with pytest.raises(InputError, match="no open dim 'frame'; did you mean 'frames'"):
        find_steps(spec, report, grows={"frame": 4})
