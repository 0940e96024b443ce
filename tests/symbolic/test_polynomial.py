"""Polynomials through exact values: against the functions that the values were made with."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction
from itertools import product

import pytest

from onnxcost.symbolic.polynomial import Basis, Polynomial, count_degree, fit_grid

FUNCTIONS: dict[str, tuple[Callable[..., int], tuple[range, ...]]] = {
    "constant": (lambda n: 7, (range(5, 6),)),
    "zero": (lambda n: 0, (range(5, 8),)),
    "triangle": (lambda n: n * (n - 1) // 2, (range(2, 8, 2),)),
    "quarters": (lambda w: 3 * (w // 4) + 1, (range(64, 72, 4),)),
    "bert": (lambda b, s: b * (84_934_656 * s + 18_432 * s * s + 589_824), (range(1, 3), range(128, 131))),
    "three": (lambda b, s, p: b * s * (s + p) - 3 * p**3 + 5, (range(2, 4), range(8, 104, 32), range(0, 20, 5))),
    "large": (lambda n: 10**40 * n**2 - 1, (range(1, 4),)),
}


@pytest.mark.parametrize(("function", "axes"), FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_fit_is_the_function(function: Callable[..., int], axes: tuple[range, ...]) -> None:
    dims = tuple("abc"[: len(axes)])
    bases = []
    for at, axis in enumerate(axes):
        powers = [tuple(power if place == at else 0 for place in range(len(axes))) for power in range(len(axis))]
        bases.append(Basis.of(powers, [[size if place == at else 1 for place in range(len(axes))] for size in axis]))
    found = fit_grid(dims, bases, [len(axis) for axis in axes], [function(*point) for point in product(*axes)])
    draw = random.Random(1)
    for _ in range(50):
        point = [axis.start + axis.step * draw.randint(-3, 10**6) for axis in axes]
        assert found.at(point) == function(*point)


def test_a_basis_leaves_out_what_follows_from_the_rest() -> None:
    """⌊(x + 1)/2⌋ is x − ⌊x/2⌋ and is left out; three of the sizes 4, 6, 7, 9 tell the others apart."""
    points = [(x, x // 2, (x + 1) // 2) for x in (4, 6, 7, 9)]
    found = Basis.of([(0, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)], points)
    assert found.monomials == ((0, 0, 0), (1, 0, 0), (0, 1, 0))
    assert found.rows == (0, 1, 2)
    solved = fit_grid(("x", "half", "rest"), [found], [4], [5 + 7 * rest for _, _, rest in points])
    assert all(solved.at(point) == 5 + 7 * point[2] for point in points)


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
    found = Polynomial(
        ("n", "s", "half"), {(1, 2, 0): Fraction(3), (0, 1, 0): Fraction(5), (2, 0, 0): Fraction(1), (0, 0, 1): Fraction(8)}
    )
    x = (Fraction(0), Fraction(1))
    assert found.along({"s": x}, {"n": 10, "half": 7}) == [100 + 56, 5, 30]
    assert found.along({"s": x, "half": (Fraction(-1, 4), Fraction(1, 2))}, {"n": 10}) == [100 - 2, 5 + 4, 30]
    assert found.along({"half": x}, {"n": 0, "s": 1}) == [5, 8]
