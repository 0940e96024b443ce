"""Quantized attention, and layers in cuBLASLt's orders.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label, u8


def softmax(rows: int, n: int) -> Work:
    """The maximum, differences, exponentials, their sum and n divisions in each row."""
    return Work(compares=rows * (n - 1), adds=rows * n + rows * (n - 1), transcendentals=rows * n, divs=rows * n)


CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # Attention's 1152 products on integers, X (48) and W (192) centred, 144 results scaled by one scale
    (MS + "QAttention", [u8(2, 3, 8), u8(8, 24), (24,), (), (), None, u8(), u8()], [(2, 3, 8)], {"num_heads": 2},
     Work(macs=1152 + 288, accumulators=144 + 36 + 48, bias_adds=144, muls=144 + 1 + 48, adds=240) + softmax(12, 3)),
    # Q, K, V and the output (48 each), scores and softmax (36 each) scaled and saturated: 264
    (MS + "QOrderedAttention",
     [u8(2, 3, 8), (), (), (), (), u8(8, 8), u8(8, 8), u8(8, 8), (), (), (), (8,), (8,), (8,), (), (), ()], [u8(2, 3, 8)],
     {"num_heads": 2},
     Work(macs=1152 + 288, accumulators=144 + 36 + 48, bias_adds=144, muls=48 + 264, compares=3 * 264) + softmax(12, 3)),
    (MS + "QOrderedMatMul", [u8(1, 2, 3), (), u8(3, 4), (), (), (4,), u8(1, 2, 4), ()], [u8(1, 2, 4)], {},
     Work(macs=24, accumulators=8, bias_adds=8, muls=8 + 8, adds=8, compares=24)),
    # LayerNormalization of 2 rows of 4 with β, between ·s and / , round, two bounds
    (MS + "QOrderedLayerNormalization", [u8(2, 4), (), (4,), (4,), ()], [u8(2, 4)], {},
     Work(adds=6 + 8 + 6 + 2 + 8, divs=2 + 2 + 2 + 8, muls=8 + 16 + 8, transcendentals=2, compares=24)),
    (MS + "QOrderedGelu", [u8(2, 3), (), ()], [u8(2, 3)], {},
     Work(muls=6 + 12, divs=6 + 6, adds=6, transcendentals=6, compares=18)),
    (MS + "QuantizeWithOrder", [(2, 3), ()], [u8(2, 3)], {}, Work(divs=6, compares=18)),
    (MS + "DequantizeWithOrder", [u8(2, 3), ()], [(2, 3)], {"to": 1}, Work(muls=6)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
