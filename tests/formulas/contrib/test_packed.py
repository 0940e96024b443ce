"""Attention without its padding.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label


def softmax(rows: int, n: int) -> Work:
    """The maximum, differences, exponentials, their sum and n divisions in each row."""
    return Work(compares=rows * (n - 1), adds=rows * n + rows * (n - 1), transcendentals=rows * n, divs=rows * n)


CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # 5 tokens of 8 to 24; 2 sequences of 3, as Attention
    (MS + "PackedAttention", [(5, 8), (8, 24), (24,), (2, 3), (3,)], [(5, 8)], {"num_heads": 2},
     Work(macs=960 + 288, accumulators=120 + 36 + 48, bias_adds=120, muls=48) + softmax(12, 3)),
    (MS + "PackedMultiHeadAttention", [(5, 8), (5, 8), (5, 8), (24,), (2, 3), (3,), (1, 1, 3, 3)], [(5, 8)], {"num_heads": 2},
     Work(macs=288, accumulators=36 + 48, bias_adds=120, muls=48, adds=36) + softmax(12, 3)),
    (MS + "PackedMultiHeadAttention", [(5, 2, 3, 4), None, None, None, (2, 3), (3,)], [(5, 8)], {"num_heads": 2},
     Work(macs=288, accumulators=36 + 48, muls=48) + softmax(12, 3)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
