"""Polynomials through exact values: against the functions that the values were made with."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import pytest

from onnxcost.symbolic.polynomial import Axis, Polynomial, count_degree, fit_grid

FUNCTIONS: dict[str, tuple[Callable[..., int], tuple[Axis, ...]]] = {
    "constant": (lambda n: 7, (Axis(5, 1, 1),)),
    "zero": (lambda n: 0, (Axis(5, 1, 3),)),
    "triangle": (lambda n: n * (n - 1) // 2, (Axis(2, 2, 3),)),
    "quarters": (lambda w: 3 * (w // 4) + 1, (Axis(64, 4, 2),)),
    "bert": (lambda b, s: b * (84_934_656 * s + 18_432 * s * s + 589_824), (Axis(1, 1, 2), Axis(128, 1, 3))),
    "three": (lambda b, s, p: b * s * (s + p) - 3 * p**3 + 5, (Axis(2, 1, 2), Axis(8, 32, 3), Axis(0, 5, 4))),
    "large": (lambda n: 10**40 * n**2 - 1, (Axis(1, 1, 3),)),
}


@pytest.mark.parametrize(("function", "axes"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_fit_is_the_function(function: Callable[..., int], axes: tuple[Axis, ...]) -> None:
    dims = tuple("abc"[: len(axes)])
    found = fit_grid(dims, axes, [function(*point) for point in product(*(axis.points() for axis in axes))])
    draw = random.Random(1)
    for _ in range(50):
        point = [axis.start + axis.step * draw.randint(-3, 10**6) for axis in axes]
        assert found.at(point) == function(*point)


@pytest.mark.parametrize(
    ("values", "degree"),
    [
        ([3, 3, 3], 0), ([0, 0, 0], 0), ([1, 2, 3], 1), ([1, 4, 9, 16], 2), ([0, 1, 8, 27, 64], 3), ([1, 2, 4, 8, 16], None),
        ([5], None),
    ],
)  # fmt: skip
def test_the_degree_is_where_the_differences_vanish(values: list[int], degree: int | None) -> None:
    assert count_degree(values) == degree


@pytest.mark.parametrize(
    ("terms", "text"),
    [
        ({}, "0"),
        ({(0, 0): Fraction(7)}, "7"),
        ({(1, 0): Fraction(1)}, "n"),
        ({(1, 2): Fraction(-1)}, "−n·s²"),
        ({(1, 1): Fraction(84_934_656), (1, 2): Fraction(18_432)}, "84,934,656·n·s + 18,432·n·s²"),
        ({(0, 0): Fraction(-3), (0, 12): Fraction(15, 2)}, "−3 + 15/2·s¹²"),
        ({(2, 0): Fraction(-1, 2), (1, 0): Fraction(1, 2)}, "1/2·n − 1/2·n²"),
    ],
)
def test_text(terms: dict[tuple[int, ...], Fraction], text: str) -> None:
    assert str(Polynomial(("n", "s"), terms)) == text


def test_a_value_that_is_no_integer_is_a_fraction() -> None:
    half = Polynomial(("n",), {(1,): Fraction(1, 2)})
    assert half.at([3]) == Fraction(3, 2)
    assert half.at([4]) == 2


def test_the_coefficients_in_one_dim() -> None:
    found = Polynomial(("n", "s"), {(1, 2): Fraction(3), (0, 1): Fraction(5), (2, 0): Fraction(1)})
    assert found.along("s", {"n": 10, "s": 99}) == [100, 5, 30]
    assert (found.degree("n"), found.degree("s")) == (2, 2)
