from __future__ import annotations

import random
from dataclasses import replace
from functools import cache
from itertools import pairwise

import pytest

import onnxcost.comparison.alignment
from onnxcost.comparison.alignment import Signature, align, likeness, match_signatures, signature_of
from onnxcost.comparison.candidates import CostedNode


def conv(name: str, channels: int, side: int, terms: int = 27, *, nhwc: bool = False) -> CostedNode:
    shape = (1, side, side, channels) if nhwc else (1, channels, side, side)
    macs = terms * channels * side * side
    return CostedNode(name, "Conv", (shape, (channels, terms)), shape, macs, 2 * macs, 10)


def other(name: str, operator: str, *dims: int) -> CostedNode:
    return CostedNode(name, operator, (dims,), dims, 0, 5, 10)


def names(left: list[CostedNode], right: list[CostedNode]) -> list[tuple[str | None, str | None]]:
    return [
        (pair.left and pair.left.name, pair.right and pair.right.name)
        for place in align(left, right).places
        for pair in place.pairs
    ]


A = [conv("a", 8, 32), other("ra", "Relu", 1, 8, 32, 32), conv("b", 16, 16, 72), conv("c", 16, 16, 144)]


def test_equal_graphs_are_aligned_node_by_node() -> None:
    assert names(A, A) == [("a", "a"), ("ra", "ra"), ("b", "b"), ("c", "c")]
    assert (align(A, A).alike, align(A, A).layers, align(A, A).is_close) == (3, (3, 3), True)


def test_neither_names_nor_the_layout_matter() -> None:
    right = [conv("x", 8, 32, nhwc=True), conv("y", 16, 16, 72, nhwc=True), conv("z", 16, 16, 144, nhwc=True)]
    assert names(A, right) == [("a", "x"), ("ra", None), ("b", "y"), ("c", "z")]


def test_additional_nodes_have_no_partner() -> None:
    right = [other("t", "Transpose", 1, 3, 32, 32), *A[:2], conv("new", 99, 7, 5), *A[2:]]
    assert names(A, right) == [(None, "t"), ("a", "a"), ("ra", "ra"), (None, "new"), ("b", "b"), ("c", "c")]


def test_a_layer_with_the_same_weights_is_the_same_layer_at_another_resolution() -> None:
    right = [conv("x", 8, 64), conv("y", 16, 32, 72), conv("z", 16, 32, 144)]
    assert align(A, right).alike == 3


def test_nodes_of_different_families_are_not_paired() -> None:
    left, right = [other("x", "Relu", 4)], [other("y", "Sigmoid", 4)]
    assert sorted(names(left, right), key=str) == [("x", None), (None, "y")] or set(names(left, right)) == {
        ("x", None),
        (None, "y"),
    }


@pytest.mark.parametrize(
    ("one", "two", "is_one"), [("Gemm", "MatMul", True), ("Conv", "QLinearConv", True), ("Conv", "Gemm", False)]
)
def test_operators_that_do_the_same_work_are_one_family(one: str, two: str, is_one: bool) -> None:
    node = conv("a", 8, 32)
    assert bool(likeness(signature_of(replace(node, operator=one)), signature_of(replace(node, operator=two)))) == is_one


def test_the_branches_of_a_block_may_come_in_any_order() -> None:
    left = [conv("a", 8, 32), conv("long", 64, 32, 72), conv("short", 64, 32, 8), conv("z", 9, 5, 3)]
    right = [left[0], left[2], left[1], left[3]]
    assert sorted(names(left, right)) == [("a", "a"), ("long", "long"), ("short", "short"), ("z", "z")]


def test_graphs_that_have_nothing_in_common_are_not_close() -> None:
    right = [conv(f"r{at}", 5 + at, 3 + at, 1000 + at) for at in range(3)]
    assert not align(A, right).is_close
    assert not align(A, []).is_close
    assert align([], []).is_close


def test_the_repetitions_of_a_loop_are_not_part_of_the_shape() -> None:
    once = conv("a", 8, 32)
    thrice = replace(once, repeat=3, macs=3 * once.macs)
    assert signature_of(once) == signature_of(thrice)


KINDS = [Signature("conv", 9.0 * at, (at, 8), ()) for at in range(4)] + [
    Signature("product", 2.0, (5,), ()),
    Signature("Relu", 0.0, (8,), ()),
]


@pytest.mark.parametrize("seed", range(20))
def test_no_alignment_is_better(seed: int) -> None:
    """Against the recurrence written down as it is: the best of leaving out either node, or of pairing both."""
    chance = random.Random(seed)
    left, right = ([chance.choice(KINDS) for _ in range(chance.randrange(1, 12))] for _ in range(2))

    @cache
    def best(one: int, two: int) -> int:
        if one == len(left) or two == len(right):
            return 0
        gain = likeness(left[one], right[two])
        return max(best(one + 1, two), best(one, two + 1), best(one + 1, two + 1) + gain if gain else 0)

    found = match_signatures(left, right)
    assert sum(likeness(left[one], right[two]) for one, two in found) == best(0, 0)
    assert all(one < next_one and two < next_two for (one, two), (next_one, next_two) in pairwise(found))
    assert all(likeness(left[one], right[two]) for one, two in found)


def test_graphs_that_are_too_large_are_aligned_by_their_equal_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    right = [*A[:2], conv("new", 99, 7, 5), *A[2:]]
    expected = names(A, right)
    monkeypatch.setattr(onnxcost.comparison.alignment, "MOST_CELLS", 0)
    assert names(A, right) == expected


def test_only_nodes_of_different_models_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A chain of unlike nodes is compared with the few of the other model, not with itself."""
    calls = 0

    def counted(one: Signature, other: Signature) -> int:
        nonlocal calls
        calls += 1
        return likeness(one, other)

    monkeypatch.setattr(onnxcost.comparison.alignment, "likeness", counted)
    left = [Signature("Conv", terms, (terms,), ()) for terms in range(500)]
    assert match_signatures(left, left[7:9]) == [(7, 0), (8, 1)]
    assert calls == 1000
    monkeypatch.setattr(onnxcost.comparison.alignment, "MOST_KINDS", 100)
    assert match_signatures(left, left[7:9]) == [(7, 0), (8, 1)]
    assert calls == 1000
