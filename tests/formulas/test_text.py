"""Strings: what is counted is n-grams, held against the evaluator's own counts."""

import numpy as np
import pytest

from onnxcost.errors import UnknownShape
from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Node, Tensor, Work
from tests.oracle import by_hand

CASES: tuple[()] = ()
POOL = {"pool_int64s": [0, 0, 0, 0, 0], "ngram_counts": [0, 1, 3], "ngram_indexes": [0, 1, 2], "max_gram_length": 2}
WORDS = np.zeros((2, 6), np.int64)
BY_HAND = [
    # 6 words a row: 5 pairs of neighbors, 4 and 3 of those with one and two words between
    ("TfIdfVectorizer", [WORDS], [(2, 3)], {**POOL, "mode": "TF", "min_gram_length": 2, "max_skip_count": 0}, Work(adds=2 * 5)),
    ("TfIdfVectorizer", [WORDS], [(2, 3)], {**POOL, "mode": "TF", "min_gram_length": 2, "max_skip_count": 2}, Work(adds=24)),
    ("TfIdfVectorizer", [WORDS], [(2, 3)], {**POOL, "mode": "TF", "min_gram_length": 1, "max_skip_count": 2}, Work(adds=36)),
    ("TfIdfVectorizer", [WORDS], [(2, 3)], {**POOL, "mode": "IDF", "min_gram_length": 2, "max_skip_count": 0},
     Work(adds=10, compares=6)),
    ("TfIdfVectorizer", [WORDS], [(2, 3)], {**POOL, "mode": "TFIDF", "min_gram_length": 2, "max_skip_count": 0,
     "weights": [1.0, 2.0, 3.0]}, Work(adds=10, muls=6)),
    # no word is longer than the pool's n-grams, and a skip past the end finds none
    ("TfIdfVectorizer", [WORDS], [(2, 3)], {**POOL, "mode": "TF", "min_gram_length": 2, "max_gram_length": 10**9,
     "max_skip_count": 10**9, "pool_int64s": [0, 0]}, Work(adds=2 * (5 + 4 + 3 + 2 + 1 + 4 + 2))),
    ("StringConcat", [(2,), (2,)], [(2,)], {}, Work()),
    ("StringNormalizer", [(2,)], [(2,)], {}, Work()),
    ("StringSplit", [(2,)], [(2, 3), (2,)], {}, Work()),
    ("RegexFullMatch", [(2,)], [(2,)], {"pattern": "a*"}, Work()),
]  # fmt: skip


@pytest.mark.parametrize(("op_type", "inputs", "outputs", "attributes", "work"), BY_HAND)
def test_by_hand(op_type, inputs, outputs, attributes, work) -> None:
    assert by_hand(op_type, inputs, outputs, **attributes) == work


def counted_by_onnx(length: int, skips: int) -> float:
    """How often the evaluator finds an n-gram of one word repeated, in six of that word."""
    import onnx
    from onnx.reference import ReferenceEvaluator

    node = onnx.helper.make_node(
        "TfIdfVectorizer", ["x"], ["y"], mode="TF", min_gram_length=length, max_gram_length=length, max_skip_count=skips,
        ngram_counts=[0] * length, ngram_indexes=[0], pool_int64s=[7] * length,
    )  # fmt: skip
    return float(ReferenceEvaluator(node).run(None, {"x": np.full(6, 7)})[0].sum())


@pytest.mark.parametrize("length", [1, 2, 3])
@pytest.mark.parametrize("skips", [0, 1, 2, 9])
def test_the_bound_is_reached(length, skips) -> None:
    attributes = {"ngram_counts": [0] * length, "min_gram_length": length, "max_gram_length": length, "max_skip_count": skips}
    work = by_hand("TfIdfVectorizer", [(6,)], [(1,)], mode="TF", ngram_indexes=[0], pool_int64s=[7] * length, **attributes)
    assert work == Work(adds=int(counted_by_onnx(length, skips)))


def bounds(op_type: str, x: Tensor, **attributes: object) -> list[tuple[int, ...]]:
    formula = FORMULAS[op_type]
    assert isinstance(formula, Formula)
    assert formula.bounds is not None
    return [dims for _, dims in formula.bounds(Node("", op_type, "", (x,), (), attributes))]


def test_the_most_parts_of_a_string() -> None:
    known = Tensor("x", "string", (2,), value=("a b c", "d e"))
    unknown = Tensor("x", "string", (2,))
    assert bounds("StringSplit", known) == [(2, 3), (2,)]
    assert bounds("StringSplit", known, delimiter="b", maxsplit=3) == [(2, 2), (2,)]
    assert bounds("StringSplit", unknown, maxsplit=3) == [(2, 4), (2,)]
    assert bounds("StringSplit", unknown, maxsplit=0) == [(2, 1), (2,)]
    assert bounds("StringSplit", Tensor("x", "string", (0,))) == [(0, 0), (0,)]
    with pytest.raises(UnknownShape, match="maxsplit is not given"):
        bounds("StringSplit", unknown)


def test_stop_words_leave_at_most_all_words() -> None:
    assert bounds("StringNormalizer", Tensor("x", "string", (1, 4))) == [(1, 4)]
    assert bounds("StringNormalizer", Tensor("x", "string", (0,))) == [(1,)]
