"""Weights of few bits.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, i32, label, u8

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # 6 rows of 64 to 5, 320 weights dequantized: a difference and a product, apart
    (MS + "MatMulNBits", [(2, 3, 64), u8(5, 2, 16), (5, 2)], [(2, 3, 5)], {"K": 64, "N": 5, "block_size": 32},
     Work(macs=1920, accumulators=30, dequantizations=640)),
    (MS + "MatMulNBits", [(2, 3, 64), u8(5, 2, 32), (5, 2), None, None, (5,)], [(2, 3, 5)],
     {"K": 64, "N": 5, "block_size": 32, "bits": 8}, Work(macs=1920, accumulators=30, dequantizations=640, bias_adds=30)),
    # RMS of 6 rows of 64 after a sum, two projections, SiLU of 30 and a product
    (MS + "MatMulNBitsMlp", [(2, 3, 64), (2, 3, 64), (64,), u8(5, 2, 16), (5, 2), None, u8(5, 2, 16), (5, 2), (5,)],
     [(2, 3, 5)],
     {"K": 64, "N": 5, "block_size": 32, "activation": "silu"},
     Work(macs=3840, accumulators=60, bias_adds=30, adds=384 + 378 + 6 + 60, muls=1152 + 30 + 30, divs=12 + 30,
          transcendentals=6 + 30, dequantizations=1280)),
    (MS + "MatMulNBitsQkv",
     [(6, 64), None, (64,), u8(5, 2, 16), (5, 2), None, u8(2, 2, 16), (2, 2), None, u8(2, 2, 16), (2, 2), (2,)],
     [(6, 5), (6, 2), (6, 2)], {"K": 64, "Nq": 5, "Nkv": 2, "block_size": 32},
     Work(macs=6 * 9 * 64, accumulators=54, bias_adds=12, adds=378 + 6, muls=1152, divs=12, transcendentals=6,
          dequantizations=1152)),
    # an adapter of rank 3: 6 rows of 64 to 3 and of 3 to 5, 192 and 15 more weights, and the sum of 30
    (MS + "MatMulNBitsQLoRA", [(2, 3, 64), u8(5, 2, 16), (5, 2), u8(3, 2, 32), (3, 2), u8(5, 1, 32), (5, 1)], [(2, 3, 5)],
     {"K": 64, "N": 5}, Work(macs=1920 + 1152 + 90, accumulators=30 + 18 + 30, adds=30, dequantizations=1054)),
    # none, and its second half alone
    (MS + "MatMulNBitsQLoRA", [(2, 3, 64), u8(5, 2, 16), (5, 2), u8(3, 2, 32), (3, 2), u8(5, 0, 32), (5, 1)], [(2, 3, 5)],
     {"K": 64, "N": 5}, Work(macs=1920, accumulators=30, dequantizations=640)),
    (MS + "MatMulNBitsQLoRA", [(2, 3, 64), u8(5, 2, 16), (5, 2), u8(0, 2, 32), (3, 2), u8(5, 1, 32), (5, 1)], [(2, 3, 5)],
     {"K": 64, "N": 5}, Work(macs=1920 + 90, accumulators=60, adds=30, dequantizations=670)),
    # a code is looked up and times its block's scale
    (MS + "MatMulBnb4", [(2, 3, 64), u8(160), (10,)], [(2, 3, 5)], {"K": 64, "N": 5, "block_size": 32, "quant_type": 1},
     Work(macs=1920, accumulators=30, dequantizations=320)),
    (MS + "MatMulFpQ4", [(6, 64), u8(200), i32(64, 5)], [(6, 5)], {}, Work(macs=1920, accumulators=30, dequantizations=640)),
    (MS + "MatMulFpQ4", [(6, 64), u8(200), i32(64, 5)], [(6, 5)], {"blk_quant_type": 0},
     Work(macs=1920, accumulators=30, dequantizations=320)),
    # two scales a weight
    (MS + "MatMulBlockQuantizedFp4Weight", [(6, 64), u8(5, 32), u8(5, 4), ()], [(6, 5)], {},
     Work(macs=1920, accumulators=30, dequantizations=640)),
    # one, and A divided by its scale and back
    (MS + "MatMulBlockQuantizedFp8Weight", [(6, 64), u8(5, 64), (5, 1), (), (5,)], [(6, 5)], {},
     Work(macs=1920, accumulators=30, bias_adds=30, muls=384, divs=384, dequantizations=320)),
    (MS + "GatherBlockQuantized", [u8(9, 16), i32(1, 2, 3), (9, 2)], [(3, 32)], {"block_size": 16}, Work(dequantizations=192)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
