"""Floors of a dim: found from values of functions that are known."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from onnxcost.symbolic.floors import Columns, Floor, find_floors

FUNCTIONS: dict[str, tuple[Callable[[int], int], list[str]]] = {
    "constant": (lambda x: 7, []),
    "linear": (lambda x: 3 * x + 1, []),
    "a stride of 2, padded": (lambda x: (x - 1) // 2 + 1, ["⌊(x + 1)/2⌋"]),
    "two strides of 2": (lambda x: ((x + 1) // 2 + 1) // 2, ["⌊(x + 3)/4⌋"]),
    "channels times rows": (lambda x: 80 * ((x - 3) // 4 + 1), ["⌊(x + 1)/4⌋"]),
    "up again": (lambda x: 4 * -(-x // 16), ["⌊(x + 15)/16⌋"]),
    "padding to a multiple": (lambda x: -x % 32, ["⌊(x + 31)/32⌋"]),
    "the rest of a division": (lambda x: x % 7, ["⌊x/7⌋"]),
    "frames of audio": (lambda x: (x - 400) // 160 + 1, ["⌊(x + 80)/160⌋"]),
    "frames of 512": (lambda x: x // 512 + 1, ["⌊x/512⌋"]),
    "three quarters": (lambda x: 3 * x // 4, ["⌊(x + 3)/4⌋"]),
    "two thirds": (lambda x: 2 * x // 3, ["⌊(x + 2)/3⌋"]),
    "beside x": (lambda x: 5 * x + 2 * ((x - 3) // 2), ["⌊(x + 1)/2⌋"]),
}
"""A function, and the floor with the smallest factor that it follows from: ⌊3·x/4⌋ is x − ⌊(x + 3)/4⌋."""


@pytest.mark.parametrize(("function", "floors"), FUNCTIONS.values(), ids=FUNCTIONS)
@pytest.mark.parametrize("start", [1, 480, 1003])
def test_the_floor_of_a_function(function: Callable[[int], int], floors: list[str], start: int) -> None:
    def count(x: int) -> Columns:
        return {"dim": function(x)}

    seen = {x: count(x) for x in (*range(start, start + 6), start + 1021, start + 1048573)}
    assert [str(floor) for floor in find_floors("x", 1, seen, count)] == floors
    assert len(seen) <= 20


def test_floors_of_many_columns_share_their_sizes() -> None:
    functions = {name: function for name, (function, _) in FUNCTIONS.items()}
    seen = {x: {name: each(x) for name, each in functions.items()} for x in (*range(480, 486), 480 + 1021, 480 + 1048573)}
    found = find_floors("x", 1, seen, lambda x: {name: each(x) for name, each in functions.items()})
    assert {str(floor) for floor in found} == {text for _, texts in FUNCTIONS.values() for text in texts}
    assert len(seen) <= 40


def test_floors_at_multiples() -> None:
    """Of x in multiples of 8: ⌊(x + 8)/16⌋ grows by one at every second."""
    seen = {x: {"dim": (x + 8) // 16} for x in (*range(64, 112, 8), 64 + 8 * 1021, 64 + 8 * 1048573)}
    (found,) = find_floors("x", 8, seen, lambda x: {"dim": (x + 8) // 16})
    draw = random.Random(3)
    assert len({found.at(x) - (x + 8) // 16 for x in (8 * draw.randint(0, 10**6) for _ in range(100))}) == 1


@pytest.mark.parametrize(("last", "values"), [(900, 3), (703, 2)])
def test_few_steps_are_looked_for_one_by_one(last: int, values: int) -> None:
    """Where a model fits from 320 to 900 alone, two steps of 256 are seen, at 576 and 832; up to 703 one."""
    seen = {x: {"dim": (x + 192) // 256} for x in (320, *range(512, 518), last)}
    (found,) = find_floors("x", 1, seen, lambda x: {"dim": (x + 192) // 256})
    assert len({found.at(x) - (x + 192) // 256 for x in range(320, last + 1)}) == 1
    assert len({found.at(x) for x in range(320, last + 1)}) == values


def test_text() -> None:
    assert str(Floor("h", 1, 0, 2)) == "⌊h/2⌋"
    assert str(Floor("h", 3, 2, 4)) == "⌊(3·h + 2)/4⌋"
    assert Floor("h", 3, 2, 4).at(5) == 4
