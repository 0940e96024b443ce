from __future__ import annotations

import pytest

from onnxcost.errors import MeasurementError
from onnxcost.hardware.calibration import Probed, Speeds, peaks, speeds
from onnxcost.hardware.kernels.operators import Task
from onnxcost.hardware.rates import Point

NODE = Task("cheap", (8.0,))
# A run costs 5 µs, a small node 1 µs.
OVERHEADS = [Probed("cheap", (NODE,), 6e-6), Probed("cheap", (NODE,) * 9, 14e-6)]


def gemm(rows: int, nbytes: float = 0.0) -> tuple[Task, ...]:
    return (Task("gemm", (rows * 100.0, 10.0 * rows, 100.0, 10.0 * rows)), *([Task("cold", (nbytes,))] if nbytes else []))


def test_a_run_and_a_node_are_told_apart_by_a_chain() -> None:
    found = speeds([*OVERHEADS, Probed("view", (Task("view", ()),), 5.5e-6)])
    assert found.run_seconds == pytest.approx(5e-6)
    assert found.points["cheap"] == (Point((8.0,), pytest.approx(1e-6)),)
    assert found.points["view"] == (Point((), pytest.approx(0.5e-6)),)


def test_what_else_a_probe_runs_is_taken_off() -> None:
    """21 µs are 5 for the run, 2 for two small nodes and 7 for each of the two that are asked for."""
    own = Task("softmax", (64.0, 8.0))
    found = speeds([*OVERHEADS, Probed("softmax", (NODE, own, NODE, own), 21e-6)])
    assert found.points["softmax"] == (Point((64.0, 8.0), pytest.approx(7e-6)),)


def test_a_family_that_drowns_in_the_rest_has_no_point() -> None:
    assert "softmax" not in speeds([*OVERHEADS, Probed("softmax", (NODE, Task("softmax", (1.0, 1.0))), 6e-6)]).points


def test_cold_weights_are_what_a_chain_takes_beyond_its_products() -> None:
    """A warm product takes 10 µs; two of a large model 24 µs together: 4 µs more for 400 bytes."""
    probed = [*OVERHEADS, Probed("gemm", gemm(4), 15e-6), Probed("cold", gemm(4, 200.0) * 2, 29e-6)]
    assert speeds(probed).points["cold"] == (Point((400.0,), pytest.approx(1e-8)),)


@pytest.mark.parametrize(("footprint", "seconds"), [(10, 0.0), (100, 0.0), (1000, 1e-9), (10_000, 2e-9), (1e9, 2e-9)])
def test_weights_cost_the_more_the_less_of_them_fit_a_cache(footprint: float, seconds: float) -> None:
    known = Speeds(0.0, {"cold": (Point((100.0,), 0.0), Point((10_000.0,), 2e-9))})
    assert known.seconds(Task("cold", (50.0,), 3), footprint) == pytest.approx(3 * 50 * seconds)


def test_a_family_without_points_is_told_by_its_stand_in() -> None:
    known = Speeds(0.0, {"cheap": (Point((8.0,), 1e-6),), "slice": (Point((8.0, 1.0), 3e-6),)})
    assert known.seconds(Task("view", ())) == pytest.approx(1e-6)
    assert known.seconds(Task("other", (8.0,))) == pytest.approx(3e-6, rel=0.3)
    assert known.seconds(Task("gemm", (1.0, 1.0, 1.0, 1.0))) is None


def test_the_peak_is_the_best_of_all_products() -> None:
    points = {
        "gemm": (Point((1e6, 1.0, 1.0, 1.0), 1e-4), Point((4e6, 1.0, 1.0, 1.0), 2e-4)),
        "conv-int8": (Point((1e6, 1.0, 1.0, 1.0), 1e-5),),
        "cheap": (Point((1000.0,), 1e-6),),
    }
    found = peaks(Speeds(0.0, points))
    assert found.rates == {"float32": pytest.approx(4e10), "int8": pytest.approx(2e11)}
    assert found.bandwidths == {8000: pytest.approx(8e9)}


def test_without_any_probe_there_is_no_calibration() -> None:
    with pytest.raises(MeasurementError, match="runs none"):
        speeds([])
