"""Operators that move, look up, hash or compare.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, i32, label

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    *[(MS + name, [(2, 3), (2,)], [(2, 3)], {}, Work()) for name in (
        "Trilu", "Pad", "ExpandDims", "GatherND", "TorchEmbedding", "UnfoldTensor", "SampleOp", "RemovePadding",
        "RestorePadding", "RelativePositionBias", "Tokenizer")],
    (MS + "Range", [(), (), ()], [(7,)], {}, Work(adds=7)),
    (MS + "IsAllFinite", [(2, 3), (4,)], [()], {}, Work(compares=20)),
    (MS + "IsAllFinite", [(2, 3), (4,)], [()], {"isnan_only": 1}, Work(compares=10)),
    # log₂ 6 rounded up is 3
    (MS + "Unique", [(6,)], [(6,)], {}, Work(compares=18)),
    # 4 bytes: ·c₁, rotated, ·c₂, ⊻, rotated, ·5 + n; the end: ⊻ length, three times shifted and ⊻, two products
    (MS + "MurmurHash3", [i32(1, 2)], [(2,)], {}, Work(muls=2 * 5, adds=2, compares=2 * 14)),
    # 5 tokens: 3 products and 2 xors each, then 2·2 remainders
    (MS + "NGramHashMapping", [(1, 5), (3,), (4,)], [(1, 5, 4)], {"pad_id": 0, "n_head_per_ngram": 2, "max_ngram_size": 3},
     Work(muls=15, compares=10, divs=20)),
    (MS + "VarlenNGramHashMapping", [(5,), (3,), (4,), (2,), None, (4,)], [(5, 4)],
     {"pad_id": 0, "n_head_per_ngram": 2, "max_ngram_size": 3}, Work(muls=15, compares=10, divs=20, adds=20)),
    # 3 trigrams in 5 tokens, two tokens of each compared
    (MS + "NGramRepeatBlock", [(2, 5), (2, 9)], [(2, 9)], {"ngram_size": 3}, Work(compares=2 * 3 * 2)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
