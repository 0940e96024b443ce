from __future__ import annotations

import numpy as np
import pytest

from onnxcost.hardware.calibration.rates import Point, Rates, least_squares


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


def test_far_from_all_points_the_sum_of_rates_alone_counts() -> None:
    rates = Rates((Point((1e3,), 1e-6), Point((4e3,), 6e-6)))
    assert rates.seconds((1e12,)) == pytest.approx(rates.linear((1e12,)), rel=0.05)


def test_a_family_without_quantities_has_a_time_a_call() -> None:
    assert Rates((Point((), 3e-7),)).seconds(()) == pytest.approx(3e-7)
