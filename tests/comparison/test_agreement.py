from __future__ import annotations

from math import inf, nan
from typing import Any

import numpy as np
import pytest

from onnxcost.comparison.agreement import Agreement, OutputDifference, arrangements, counterparts, difference, differences


@pytest.mark.parametrize(
    ("shape", "wanted", "orders"),
    [
        ((), (), [()]),
        ((3,), (3,), [(0,)]),
        ((2, 3), (3, 2), []),
        ((1, 5, 3), (1, 3, 5), [(0, 2, 1)]),
        ((1, 3, 4, 5), (1, 3, 4, 5), [(0, 1, 2, 3)]),
        ((1, 3, 4, 5), (1, 4, 5, 3), [(0, 2, 3, 1)]),
        ((1, 4, 5, 3), (1, 3, 4, 5), [(0, 3, 1, 2)]),
        ((1, 2, 3, 4, 5), (1, 3, 4, 5, 2), [(0, 2, 3, 4, 1)]),
        ((1, 4, 4, 4), (1, 4, 4, 4), [(0, 1, 2, 3), (0, 2, 3, 1), (0, 3, 1, 2)]),
        ((1, 3, 4, 5), (1, 5, 4, 3), []),
        ((1, 3), (1, 3, 1), []),
    ],
)
def test_the_orders_of_axes_that_bring_one_shape_to_another(
    shape: tuple[int, ...], wanted: tuple[int, ...], orders: list[tuple[int, ...]]
) -> None:
    assert arrangements(shape, wanted) == orders


@pytest.mark.parametrize(
    ("first", "others", "expected"),
    [
        ({"a": 1, "b": 2}, {"b": 2, "a": 1}, {"b": "b", "a": "a"}),
        ({"a": 1, "b": 2}, {"x": 1, "y": 2}, {"x": "a", "y": "b"}),
        ({"a": 1, "b": 2}, {"y": 2, "x": 1}, {"y": "b", "x": "a"}),
        ({"a": 1, "b": 1}, {"b": 1, "x": 1}, {"b": "b", "x": "a"}),
        ({"a": 1, "b": 2}, {"b": 1, "x": 2}, {"b": "b"}),
        ({"a": 1}, {"x": 1, "y": 1}, {"x": "a"}),
        ({"a": 1}, {"x": 3}, {}),
        ({}, {"x": 3}, {}),
    ],
)
def test_counterparts_have_the_same_name_else_they_fit_in_order(
    first: dict[str, int], others: dict[str, int], expected: dict[str, str]
) -> None:
    assert counterparts(first, others, lambda one, other: one == other) == expected


def compared(first: Any, other: Any, dtype: Any = np.float32) -> OutputDifference:
    return difference("y", "y", np.array(first, dtype), np.array(other, dtype))


def numbers(found: OutputDifference) -> tuple[object, ...]:
    return found.absolute, found.relative, found.unequal, found.not_finite, found.apart


@pytest.mark.parametrize(
    ("first", "other", "expected"),
    [
        ([1, -4, 2], [1, -4, 2], (0, 0, 0, 0, 0)),
        ([1, -4, 2], [1, -3, 2.5], (1, 0.25, 2, 0, 0)),
        ([0, 0], [0, 0], (0, 0, 0, 0, 0)),
        ([0, 0], [0, 2], (2, inf, 1, 0, 0)),
        ([nan, 2], [nan, 1], (1, 0.5, 1, 1, 0)),
        ([nan, 2], [0, 2], (0, 0, 1, 0, 1)),
        ([inf, -inf, 2], [inf, inf, 2], (0, 0, 1, 1, 1)),
        ([inf, 2], [nan, 2], (0, 0, 1, 0, 1)),
        ([nan], [nan], (0, 0, 0, 1, 0)),
        ([], [], (0, 0, 0, 0, 0)),
        (3, 6, (3, 1, 1, 0, 0)),
    ],
)
def test_differences_of_numbers(first: Any, other: Any, expected: tuple[object, ...]) -> None:
    assert numbers(compared(first, other)) == expected


@pytest.mark.parametrize(
    ("dtype", "first", "other", "expected"),
    [
        (np.int64, [2**62, 1], [2**62 + 1, 1], (0, 0, 1, 0, 0)),
        (np.uint8, [0, 200], [100, 200], (100, 0.5, 1, 0, 0)),
        (np.bool_, [True, False], [True, True], (1, 1, 1, 0, 0)),
        (np.complex64, [3j, 1], [3j, 1 + 3j], (3, 1, 1, 0, 0)),
        (np.float64, [1e308], [-1e308], (inf, inf, 1, 0, 0)),
        (np.str_, ["a", "b"], ["a", "c"], (None, None, 1, 0, 0)),
        (object, ["a", "b"], ["a", "b"], (None, None, 0, 0, 0)),
    ],
)
def test_differences_of_other_types(dtype: Any, first: Any, other: Any, expected: tuple[object, ...]) -> None:
    assert numbers(compared(first, other, dtype)) == expected


def test_types_of_one_kind_are_compared_as_numbers() -> None:
    assert numbers(difference("y", "y", np.array([1.0], np.float32), np.array([1.5], np.float16))) == (0.5, 0.5, 1, 0, 0)


@pytest.mark.parametrize(
    ("first", "other", "reason"),
    [
        (np.zeros((1, 1000)), np.zeros((1, 1001)), "the shapes differ: 1×1000 and 1×1001"),
        (np.zeros(()), np.zeros((1,)), "the shapes differ: scalar and 1"),
        (np.zeros(2), np.array(["a", "b"]), "the types differ: float64 and <U1"),
    ],
)
def test_what_cannot_be_compared(first: Any, other: Any, reason: str) -> None:
    found = difference("y", "y", first, other)
    assert (found.reason, found.absolute, found.is_within(inf)) == (reason, None, False)


def test_the_layout_with_the_smaller_difference_counts() -> None:
    image = np.random.default_rng(0).random((1, 3, 4, 4))
    cube = np.random.default_rng(0).random((1, 4, 4, 4))
    for array in (image, cube):
        found = difference("y", "y", array, array.transpose(0, 2, 3, 1))
        assert (found.absolute, found.is_transposed, found.shape) == (0, True, array.shape)
    assert not difference("y", "y", cube, cube).is_transposed


@pytest.mark.parametrize(
    ("first", "other", "limit", "is_within"),
    [
        ([1, 4], [1, 3], 0.25, True),
        ([1, 4], [1, 3], 0.2, False),
        ([0, 0], [0, 0], 0, True),
        ([0], [1e-9], 1e9, False),
        ([nan, 1], [nan, 1], 0, True),
        ([nan, 1], [1, 1], 1, False),
    ],
)
def test_a_limit_applies_to_the_relative_difference(first: Any, other: Any, limit: float, is_within: bool) -> None:
    assert compared(first, other).is_within(limit) == is_within


def test_texts_are_within_a_limit_only_if_equal() -> None:
    assert compared(["a"], ["a"], object).is_within(0)
    assert not compared(["a"], ["b"], object).is_within(1e9)


def test_outputs_are_matched_by_name_then_shape_then_position() -> None:
    first = {"a": np.zeros((1, 2)), "b": np.ones((1, 2)), "c": np.zeros(5), "d": np.zeros(7), "e": np.zeros(1)}
    others = {
        "z": np.zeros(6),
        "y": np.zeros(5),
        "b": np.ones((1, 2)),
        "x": np.zeros((1, 2)),
        "w": np.zeros(8),
        "v": np.zeros(9),
    }
    found = differences(first, others)
    assert [(each.name, each.other) for each in found.outputs] == [("a", "x"), ("b", "b"), ("c", "y"), ("d", "z"), ("e", "w")]
    assert [bool(each.reason) for each in found.outputs] == [False, False, False, True, True]
    assert found.alone == ("v",)


def test_an_output_without_a_counterpart_is_a_difference() -> None:
    found = differences({"a": np.zeros(2), "b": np.zeros(2)}, {"a": np.zeros(2)})
    assert [(each.name, each.other, each.reason) for each in found.outputs] == [
        ("a", "a", ""),
        ("b", "", "it has no such output"),
    ]


def test_the_output_that_differs_most() -> None:
    outputs = [
        OutputDifference("same", "same", absolute=0.0, largest=1.0),
        OutputDifference("far", "far", absolute=1.0, largest=10.0),
        OutputDifference("farther", "farther", absolute=0.5, largest=1.0),
    ]
    odd = OutputDifference("odd", "odd", absolute=0.0, largest=1.0, apart=1)
    missing = OutputDifference("missing", reason="it has no such output")
    names = [Agreement(outputs=tuple(among)).farthest for among in (outputs, [odd, *outputs], [*outputs, missing], [])]
    assert [each and each.name for each in names] == ["farther", "odd", "missing", None]
