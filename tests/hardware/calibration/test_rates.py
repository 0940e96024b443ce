"""The rates of kernels, and the speeds of a machine from the times of probes."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

from onnxcost.errors import MeasurementError
from onnxcost.hardware.calibration.rates import (
    BESIDE,
    COLD,
    STAND_INS,
    UNKNOWN_ERROR,
    Point,
    Probed,
    Rates,
    Speeds,
    least_squares,
    left_out_error,
    peaks,
    speeds,
)
from onnxcost.ort_optimizer.kernels import KernelRun

NODE = KernelRun("cheap", (8.0,))
# A run costs 5 µs, a small node 1 µs.
OVERHEADS = [Probed("cheap", (NODE,), 6e-6), Probed("cheap", (NODE,) * 9, 14e-6)]


def gemm(rows: int, nbytes: float = 0.0) -> tuple[KernelRun, ...]:
    return (
        KernelRun("gemm", (rows * 100.0, 10.0 * rows, 100.0, 10.0 * rows)),
        *([KernelRun("cold", (nbytes,))] if nbytes else []),
    )


def test_a_run_and_a_node_are_told_apart_by_a_chain() -> None:
    found = speeds([*OVERHEADS, Probed("view", (KernelRun("view", ()),), 5.5e-6)])
    assert found.run_seconds == pytest.approx(5e-6)
    assert found.points["cheap"] == (Point((8.0,), pytest.approx(1e-6)),)
    assert found.points["view"] == (Point((), pytest.approx(0.5e-6)),)


@pytest.mark.parametrize("probed", [OVERHEADS, [OVERHEADS[0], *OVERHEADS[:1], OVERHEADS[1]]], ids=["two", "no chain"])
def test_without_a_chain_and_a_probe_nothing_is_known(probed: list[Probed]) -> None:
    with pytest.raises(MeasurementError):
        speeds(probed)


def test_what_else_a_probe_runs_is_taken_off() -> None:
    """21 µs are 5 for the run, 2 for two small nodes and 7 for each of the two that are asked for."""
    own = KernelRun("softmax", (64.0, 8.0))
    found = speeds([*OVERHEADS, Probed("softmax", (NODE, own, NODE, own), 21e-6)])
    assert found.points["softmax"] == (Point((64.0, 8.0), pytest.approx(7e-6)),)


def test_a_family_that_is_lost_in_the_noise_has_no_point() -> None:
    assert "softmax" not in speeds([*OVERHEADS, Probed("softmax", (NODE, KernelRun("softmax", (1.0, 1.0))), 6e-6)]).points


def test_cold_weights_are_what_a_chain_takes_beyond_its_products() -> None:
    """A warm product takes 10 µs; two of a large model 24 µs together: 4 µs more for 400 bytes. The model works with 5,000."""
    chains = [Probed("cold", gemm(4, 200.0), 15e-6, 1000.0), Probed("cold", gemm(4, 200.0) * 2, 29e-6, 5000.0)]
    found = speeds([*OVERHEADS, Probed("gemm", gemm(4), 15e-6), *chains])
    assert found.points["cold"] == (Point((1000.0,), 0.0), Point((5000.0,), pytest.approx(1e-8)))


def reuse(nbytes: float, distance: float, own: float = 100.0) -> KernelRun:
    return KernelRun("cold-values", (nbytes, distance, own))


@pytest.mark.parametrize(
    ("reuses", "distance"),
    [
        ([reuse(400, 5000)], 5000),
        # What is nearer than a kernel's own bytes is as near in its probe; what never was there may be anywhere.
        ([reuse(400, 5000), reuse(400, 50), reuse(400, inf)], 5000),
        ([reuse(100, 4000), reuse(100, 9000), reuse(200, 6000)], 6000),
    ],
)
def test_cold_values_are_what_a_chain_takes_beyond_its_kernels(reuses: list[KernelRun], distance: float) -> None:
    """11 µs are 5 for the run, 2 for two nodes and 4 for 400 bytes that come from far."""
    found = speeds([*OVERHEADS, Probed("cold-values", (NODE, NODE, *reuses), 11e-6, 1e6)])
    assert found.points["cold-values"] == (Point((distance,), pytest.approx(1e-8)),)


def test_what_takes_no_longer_is_not_cold() -> None:
    found = speeds([*OVERHEADS, Probed("cold-values", (NODE, NODE, reuse(400, 5000)), 6e-6)])
    assert found.points["cold-values"] == (Point((5000.0,), 0.0),)


def test_a_family_without_points_does_not_keep_the_next_from_having_some() -> None:
    """Both the one that is told and the one that runs in its probe."""
    drowned = Probed("softmax", (NODE, KernelRun("softmax", (1.0, 1.0))), 6e-6)
    own = (NODE, KernelRun("softmax", (1.0, 1.0)), KernelRun("layernorm", (64.0, 8.0)))
    found = speeds([*OVERHEADS, drowned, Probed("layernorm", own, 9e-6), Probed("view", (KernelRun("view", ()),), 5.5e-6)])
    assert "softmax" not in found.points
    assert found.points["layernorm"] == (Point((64.0, 8.0), pytest.approx(3e-6)),)
    assert found.points["view"] == (Point((), pytest.approx(0.5e-6)),)


@pytest.mark.parametrize(("footprint", "seconds"), [(10, 0.0), (100, 0.0), (1000, 1e-9), (10_000, 2e-9), (1e9, 2e-9)])
def test_weights_cost_the_more_the_less_of_them_fit_a_cache(footprint: float, seconds: float) -> None:
    known = Speeds(0.0, {"cold": (Point((100.0,), 0.0), Point((10_000.0,), 2e-9))})
    assert known.seconds(KernelRun("cold", (50.0,), 3), footprint) == pytest.approx(3 * 50 * seconds)


@pytest.mark.parametrize(
    ("distance", "own", "seconds"),
    [
        (100, 10, 0.0),
        (10_000, 10, 1e-9),
        (1e6, 10, 2e-9),
        # By what its own bytes cost it less: these are as far in its probe.
        (1e6, 10_000, 1e-9),
        (1e6, 1e6, 0.0),
        (100, 1e6, 0.0),
        # What was not there in this run was there in the last one, or near as many bytes ago as that touches: 10,000.
        (inf, 10, 1e-9),
        (1e9, 10, 2e-9),
    ],
)
def test_values_cost_the_more_the_farther_they_come(distance: float, own: float, seconds: float) -> None:
    """Between 1,000 bytes and 100,000 twice the logarithm is twice the time."""
    known = Speeds(0.0, {"cold-values": (Point((1000.0,), 0.0), Point((100_000.0,), 2e-9))})
    footprint = 5000.0 if distance == inf else 1e9
    task = KernelRun("cold-values", (50.0, distance, own), 3)
    assert known.seconds(task, footprint) == pytest.approx(3 * 50 * seconds)


@pytest.mark.parametrize("family", sorted(COLD))
def test_nothing_is_cold_where_no_probe_shows_it(family: str) -> None:
    assert Speeds(0.0, {}).seconds(KernelRun(family, (50.0, 1e6, 10.0)), 1e9) == 0


def test_what_comes_on_top_needs_no_time_of_its_own() -> None:
    """And nothing stands in for it: it is 0 where no probe shows more, which is not to be said of a kernel."""
    assert COLD.keys() < BESIDE
    assert not BESIDE & STAND_INS.keys()
    known = Speeds(0.0, {"cheap": (Point((8.0,), 1e-6),)})
    assert [known.seconds(KernelRun(family, (1.0,))) for family in sorted(BESIDE - COLD.keys())] == [None, None]


def test_substitute_families_lead_to_a_family_of_their_own() -> None:
    for family in STAND_INS:
        followed = [family]
        while followed[-1] in STAND_INS:
            followed.append(STAND_INS[followed[-1]])
            assert len(followed) == len(set(followed))


def test_a_family_without_points_is_told_by_its_stand_in() -> None:
    known = Speeds(0.0, {"cheap": (Point((8.0,), 1e-6),), "slice": (Point((8.0, 1.0), 3e-6),)})
    assert known.seconds(KernelRun("view", ())) == pytest.approx(1e-6)
    assert known.seconds(KernelRun("other", (8.0,))) == pytest.approx(3e-6, rel=0.3)
    assert known.seconds(KernelRun("gemm", (1.0, 1.0, 1.0, 1.0))) is None


def test_the_peak_is_the_best_of_all_products() -> None:
    points = {
        "gemm": (Point((1e6, 1.0, 1.0, 1.0), 1e-4), Point((4e6, 1.0, 1.0, 1.0), 2e-4)),
        # "pointwise" is of floats, whatever letters are in it.
        "conv-blocked-pointwise": (Point((5e6, 1.0, 1.0, 1.0), 2e-4),),
        "conv-int8": (Point((1e6, 1.0, 1.0, 1.0), 1e-5),),
        "gemm-nbits-int8": (Point((1e6, 1.0, 1.0, 1.0, 1.0), 2e-5),),
        "cheap": (Point((1000.0,), 1e-6),),
    }
    found = peaks(Speeds(0.0, points))
    assert found.rates == {"float32": pytest.approx(5e10), "int8": pytest.approx(2e11)}
    assert found.bandwidths == {8000: pytest.approx(8e9)}


def test_without_any_probe_there_is_no_calibration() -> None:
    with pytest.raises(MeasurementError, match="can run none"):
        speeds([])


def test_a_sum_of_rates_is_found_again() -> None:
    """Synthetic: 2 µs a call, 1 ns an element, 10 ns a row."""
    shapes = [(1000.0, 10.0), (1000.0, 500.0), (64000.0, 10.0), (1e6, 1000.0), (10.0, 10.0)]
    points = tuple(Point(shape, 2e-6 + 1e-9 * shape[0] + 1e-8 * shape[1]) for shape in shapes)
    assert Rates(points).coefficients == pytest.approx((2e-6, 1e-9, 1e-8))
    assert Rates(points).seconds((4000.0, 100.0)) == pytest.approx(2e-6 + 4e-6 + 1e-6)


def test_no_rate_is_negative() -> None:
    """The second quantity takes time off, which no kernel does: it is left out, and the first alone makes 1."""
    found = least_squares(np.array([[1.0, 0.0], [1.0, -1.0], [1.0, 1.0]]))
    assert found == pytest.approx([1.0, 0.0])


def test_near_a_point_its_own_deviation_counts() -> None:
    """Eight kernels at 1 ns an element and one, at 2^20 elements, at twice that: what is just there takes nearly twice."""
    points = (
        *(Point((2.0**exponent,), 2.0**exponent * 1e-9) for exponent in range(2, 18, 2)),
        Point((2.0**20,), 2.0**20 * 2e-9),
    )
    rates = Rates(points)
    assert rates.seconds((2.0**20,)) == pytest.approx(2.0**20 * 2e-9, rel=0.1)
    assert rates.seconds((2.0**8,)) == pytest.approx(2.0**8 * 1e-9, rel=0.1)


def test_far_from_all_points_only_the_sum_of_rates_counts() -> None:
    rates = Rates((Point((1e3,), 1e-6), Point((4e3,), 6e-6)))
    assert rates.seconds((1e12,)) == pytest.approx(rates.linear((1e12,)), rel=0.05)


def test_a_family_without_quantities_has_a_time_a_call() -> None:
    assert Rates((Point((), 3e-7),)).seconds(()) == pytest.approx(3e-7)


def test_the_error_of_a_family_is_that_of_points_left_out() -> None:
    """On a line each point follows from the others; a point that takes twice as long as the line makes an error."""
    line = tuple(Point((float(size),), 1e-6 + 1e-9 * size) for size in (10, 100, 1000, 10_000, 100_000))
    assert left_out_error("cheap", line) < 0.02
    assert left_out_error("cheap", (*line[:2], Point((1000.0,), 4e-6), *line[3:])) > 0.1
    assert left_out_error("cheap", line[:2]) == UNKNOWN_ERROR


def test_what_is_a_part_of_a_kernel_has_no_call_of_its_own() -> None:
    points = tuple(Point((float(size),), 1e-6 + 1e-9 * size) for size in (10, 100, 1000))
    assert Rates(points).coefficients[0] == pytest.approx(1e-6)
    assert Rates(points, is_part=True).coefficients[0] == 0.0
