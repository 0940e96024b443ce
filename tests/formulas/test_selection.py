"""Selecting and ordering: bounds held against algorithms that count their comparisons."""

import itertools
from bisect import insort

import numpy as np
import pytest

from onnxcost.formulas import FORMULAS, Formula
from onnxcost.formulas.selection import selection_work, sorting_work
from onnxcost.graph import Node, Tensor, Work
from tests.oracle import Case, by_hand, case, check

CASES: list[Case] = [
    case("Compress", (2, 4), np.array([True, False]), axis=0),
]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_oracle(case: Case) -> None:
    check(case)


PAIR = Work(adds=8, muls=3, divs=1, compares=15)
CENTERS = Work(adds=16, muls=3, divs=5, compares=11)
BY_HAND = [
    # the largest of 8: 7 comparisons; the second and third: log₂ 8 and ⌈log₂ 7⌉ more, less the one match lost each
    ("TopK", [(3, 8), np.array([1])], [(3, 1)], {}, Work(compares=3 * 7)),
    ("TopK", [(3, 8), np.array([2])], [(3, 2)], {}, Work(compares=3 * (6 + 3))),
    ("TopK", [(3, 8), np.array([3])], [(3, 3)], {}, Work(compares=3 * (5 + 3 + 3))),
    ("TopK", [(8, 3), np.array([1])], [(1, 3)], {"axis": 0}, Work(compares=3 * 7)),
    ("TopK", [(8, 3)], [(1, 3)], {"axis": 0, "k": 1, "opset": 1}, Work(compares=3 * 7)),
    ("TopK", [(3, 8), np.array([0])], [(3, 0)], {}, Work()),
    # 4 elements: 0 + 1 + 2 + 2 comparisons to sort, 3 between neighbors
    ("Unique", [(4,)], [(4,)], {}, Work(compares=5 + 3)),
    ("Unique", [(4, 6)], [(4, 6)], {"axis": 0}, Work(compares=6 * (5 + 3))),
    ("Unique", [(0,)], [(0,)], {}, Work()),
    # 2 classes, 4 boxes sorted with 5 comparisons; of 4, 3 are held against a first, 2 against a second box kept
    ("NonMaxSuppression", [(1, 4, 4), (1, 2, 4), np.array([3])], [(6, 3)], {}, 2 * (Work(compares=5) + 5 * PAIR)),
    ("NonMaxSuppression", [(1, 4, 4), (1, 2, 4), np.array([3]), (1,), (1,)], [(6, 3)], {"center_point_box": 1},
     2 * (Work(compares=5 + 4) + 5 * CENTERS)),
    ("NonMaxSuppression", [(1, 4, 4), (1, 2, 4), np.array([100])], [(8, 3)], {}, 2 * (Work(compares=5) + 6 * PAIR)),
    ("NonMaxSuppression", [(1, 4, 4), (1, 2, 4)], [(0, 3)], {}, Work()),
    ("NonZero", [(3, 3)], [(2, 9)], {}, Work(compares=9)),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work


class Counting(int):
    compared = 0

    def __lt__(self, other: int) -> bool:
        Counting.compared += 1
        return int(self) < int(other)


def insertions(numbers: tuple[int, ...]) -> int:
    """The comparisons of a sort by binary insertion."""
    Counting.compared = 0
    ordered: list[Counting] = []
    for number in numbers:
        insort(ordered, Counting(number))
    assert ordered == sorted(numbers)
    return Counting.compared


@pytest.mark.parametrize("count", range(1, 7))
def test_a_sort_takes_at_most_as_many_comparisons_and_some_order_takes_them_all(count) -> None:
    assert max(insertions(numbers) for numbers in itertools.permutations(range(count))) == sorting_work(count)


def tournament(numbers: list[int], chosen: int) -> int:
    """The comparisons that find the largest by matches in pairs, replaying those of each winner that is taken out."""
    matches = 0

    def match(a: int, b: int) -> int:
        nonlocal matches
        if a is None or b is None:
            return a if b is None else b
        matches += 1
        return max(a, b)

    size = 1 << (len(numbers) - 1).bit_length()
    tree: list = [None] * size + numbers + [None] * (size - len(numbers))
    for place in range(size - 1, 0, -1):
        tree[place] = match(tree[2 * place], tree[2 * place + 1])
    for _ in range(chosen - 1):
        place = tree.index(tree[1], size)
        tree[place] = None
        while place := place // 2:
            tree[place] = match(tree[2 * place], tree[2 * place + 1])
    return matches


@pytest.mark.parametrize(("count", "chosen"), [(8, 1), (8, 2), (8, 3), (16, 2), (7, 1), (9, 1)])
def test_a_tournament_selects_with_no_more_comparisons(count, chosen) -> None:
    assert tournament(list(range(count)), chosen) <= selection_work(count, chosen)


def test_choosing_all_is_sorting() -> None:
    assert [selection_work(count, count) for count in range(1, 20)] == [sorting_work(count) for count in range(1, 20)]


X = Tensor("x", "float32", (2, 3, 4))
BOUNDS = [
    (Node("", "NonZero", "", (X,), ()), (("int64", (3, 24)),)),
    (Node("", "TopK", "", (X, Tensor("k", "int64", (1,))), (), {"axis": 1}), (("float32", (2, 3, 4)), ("int64", (2, 3, 4)))),
    (Node("", "Unique", "", (X,), ()), (("float32", (24,)), *3 * (("int64", (24,)),))),
    (Node("", "Unique", "", (X,), (), {"axis": 1}), (("float32", (2, 3, 4)), *3 * (("int64", (3,)),))),
    (Node("", "Compress", "", (X, Tensor("c", "bool", (2,))), (), {"axis": 1}), (("float32", (2, 2, 4)),)),
    (Node("", "Compress", "", (X, Tensor("c", "bool", (2,))), ()), (("float32", (2,)),)),
    (Node("", "NonMaxSuppression", "", (Tensor("b", "float32", (2, 5, 4)), Tensor("s", "float32", (2, 3, 5)),
          Tensor("m", "int64", (1,), value=(4,))), ()), (("int64", (24, 3)),)),
]  # fmt: skip


@pytest.mark.parametrize(("node", "types"), BOUNDS, ids=lambda each: getattr(each, "op_type", ""))
def test_the_largest_that_an_output_can_be(node, types) -> None:
    formula = FORMULAS[node.op_type]
    assert isinstance(formula, Formula)
    assert formula.bounds is not None
    assert tuple(formula.bounds(node)) == types
