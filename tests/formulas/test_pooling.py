"""Pooling against the oracle."""

import pytest

from onnxcost.graph import Work
from tests.oracle import Case, by_hand, case, check

CUT = "the evaluator leaves out what lies in the padding"
# 6×6 in 3×3 windows with a border: 4 corners of 4 elements, 16 edges of 6, 16 inner windows of 9
BORDER = 4 * (9 - 4) + 16 * (9 - 6)
# 5×5 in 2×2 windows with ceil_mode: 4 whole, 4 of 2 elements, 1 of 1
CEIL = 4 * (4 - 2) + (4 - 1)


def once(elements: int, windows: int, k: int) -> Work:
    """|X|^p for each input instead of each window's element, and the mean's division undone by a product."""
    return (elements - windows * k) * Work(compares=1, transcendentals=1) + windows * Work(divs=1, muls=1)


ONCE = "the evaluator takes powers before it pools, and an average that it multiplies by k"

CASES = [
    case("MaxPool", (1, 2, 6), kernel_shape=[3]),
    case("MaxPool", (1, 2, 6, 6), kernel_shape=[2, 2], strides=[2, 2]),
    case("MaxPool", (2, 2, 6, 6), kernel_shape=[3, 2]),
    case("MaxPool", (1, 1, 6, 6), kernel_shape=[2, 2], dilations=[2, 2]),
    case("MaxPool", (1, 1, 4, 4, 4), kernel_shape=[2, 2, 2]),
    case("MaxPool", (1, 2, 6, 6), artefact=-2 * BORDER * Work(compares=1), why=CUT, kernel_shape=[3, 3], pads=[1] * 4),
    case("MaxPool", (1, 1, 5, 5), artefact=-CEIL * Work(compares=1), why=CUT, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    case("AveragePool", (1, 2, 6), kernel_shape=[3]),
    case("AveragePool", (1, 2, 6, 6), kernel_shape=[2, 2], strides=[2, 2]),
    case("AveragePool", (1, 1, 4, 4, 4), kernel_shape=[2, 2, 2], dilations=[2, 2, 2]),
    case("AveragePool", (1, 2, 6, 6), artefact=-2 * BORDER * Work(adds=1), why=CUT, kernel_shape=[3, 3], pads=[1] * 4),
    case("AveragePool", (1, 1, 5, 5), artefact=-CEIL * Work(adds=1), why=CUT, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1),
    # the windows of the first row begin with 3 zeros, the first of them with 4
    case("AveragePool", (1, 2, 6, 6), artefact=-2 * (6 * 2 + 1) * Work(adds=1), kernel_shape=[3, 3], pads=[1] * 4,
         count_include_pad=1, why="0 + 0 in the padding is an addition of plain numbers"),
    case("LpPool", (1, 2, 6), artefact=once(12, 8, 3), why=ONCE, kernel_shape=[3], p=3),
    case("LpPool", (1, 2, 6, 6), artefact=once(72, 18, 4), why=ONCE, kernel_shape=[2, 2], strides=[2, 2]),
    *(case(name, shape) for name in ("GlobalMaxPool", "GlobalAveragePool")
      for shape in [(2, 3, 4), (2, 3, 4, 4), (2, 3, 2, 2, 2)]),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


BY_HAND = [
    # the evaluator's indices are numbers, and its output an array of float32
    ("MaxUnpool", [(1, 1, 2, 2), (1, 1, 2, 2)], [(1, 1, 4, 4)], {"kernel_shape": [2, 2], "strides": [2, 2]}, Work()),
    # no implementation in the evaluator: |X|^p for 96 elements, 6 sums of 16, 6 roots
    ("GlobalLpPool", [(2, 3, 4, 4)], [(2, 3, 1, 1)], {"p": 2}, Work(compares=96, transcendentals=96 + 6, adds=90)),
    # ResNet's MaxPool: 9 elements a window
    ("MaxPool", [(1, 64, 112, 112)], [(1, 64, 56, 56)], {"kernel_shape": [3, 3]}, Work(compares=8 * 200_704)),
]


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work
