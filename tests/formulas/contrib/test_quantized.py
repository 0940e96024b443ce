"""Operators on 8-bit integers: dequantize is − and ·, quantize /, rounding, + and two bounds.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, i32, label, u8

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    (MS + "QuantizeLinear", [(2, 3), (), u8()], [(2, 3)], {}, Work(divs=6, compares=18, adds=6)),
    (MS + "DequantizeLinear", [u8(2, 3), ()], [(2, 3)], {}, Work(dequantizations=6)),
    # 64 outputs of 3·3·3 products; X (108) and W (54) less their zero points; s·, round, bounds, + y₀; the scale s_x·s_w / s_y
    (MS + "QLinearConv", [u8(1, 6, 6, 3), (), u8(), u8(2, 3, 3, 3), (), u8(), (), u8()], [u8(1, 4, 4, 2)], {"channels_last": 1},
     Work(macs=32 * 27, accumulators=32, adds=108 + 54 + 32, muls=32 + 1, compares=96, divs=1)),
    (MS + "QLinearAdd", [u8(2, 3), (), u8(), u8(3), (), u8(), (), u8()], [u8(2, 3)], {},
     Work(adds=9 + 6 + 6, muls=9, divs=6, compares=18)),
    (MS + "QLinearMul", [u8(2, 3), (), u8(), u8(3), (), u8(), (), u8()], [u8(2, 3)], {},
     Work(adds=9 + 6, muls=6 + 6 + 1, divs=1, compares=18)),
    (MS + "QLinearWhere", [u8(3), u8(2, 3), (), u8(), u8(3), (), u8(), (), u8()], [u8(2, 3)], {},
     Work(adds=9 + 9, muls=9, divs=9, compares=27 + 6)),
    (MS + "QLinearConcat", [(), u8(), u8(2, 3), (), u8(), u8(2, 4), (), u8()], [u8(2, 7)], {"axis": 1},
     Work(adds=14 + 14, muls=14, divs=14, compares=42)),
    # −, exp, + 1, 1/ between
    (MS + "QLinearSigmoid", [u8(2, 3), (), u8(), (), u8()], [u8(2, 3)], {},
     Work(adds=6 + 12 + 6, muls=6, divs=6 + 6, transcendentals=6, compares=18)),
    (MS + "QLinearLeakyRelu", [u8(2, 3), (), u8(), (), u8()], [u8(2, 3)], {},
     Work(adds=6 + 6, muls=6 + 6, divs=6, compares=6 + 18)),
    # 6 rows of 4; before opset 13 2 rows of 12
    (MS + "QLinearSoftmax", [u8(2, 3, 4), (), u8(), (), u8()], [u8(2, 3, 4)], {"axis": 2, "opset": 13},
     Work(adds=48 + 24 + 18, muls=24, divs=24 + 24, transcendentals=24, compares=72 + 18)),
    (MS + "QLinearSoftmax", [u8(2, 3, 4), (), u8(), (), u8()], [u8(2, 3, 4)], {"axis": 1, "opset": 12},
     Work(adds=48 + 24 + 22, muls=24, divs=24 + 24, transcendentals=24, compares=72 + 22)),
    # 8 rows of 3 along the middle axis
    (MS + "QLinearSoftmax", [u8(2, 3, 4), (), u8(), (), u8()], [u8(2, 3, 4)], {"axis": 1, "opset": 13},
     Work(adds=48 + 24 + 16, muls=24, divs=24 + 24, transcendentals=24, compares=72 + 16)),
    # 2 means of 3
    (MS + "QLinearReduceMean", [u8(2, 3), (), u8(), (), u8()], [u8(2, 1)], {"axes": (1,), "keepdims": 1},
     Work(adds=6 + 4 + 2, muls=6, divs=2 + 2, compares=6)),
    # 4 windows of 4: 12 sums, 4 divisions; X less its zero point; s·, + y₀, round, bounds
    (MS + "QLinearAveragePool", [u8(1, 1, 4, 4), (), u8(), (), u8()], [u8(1, 1, 2, 2)],
     {"kernel_shape": (2, 2), "strides": (2, 2)},
     Work(adds=16 + 12 + 4, divs=4, muls=4, compares=12)),
    (MS + "QLinearGlobalAveragePool", [u8(1, 4, 4, 2), (), u8(), (), u8()], [u8(1, 1, 1, 2)], {"channels_last": 1},
     Work(adds=32 + 30 + 2, divs=2, muls=2, compares=6)),
    # 20 sums of 3; A (12) and B (15) centred; one scale
    (MS + "QGemm", [u8(4, 3), (), u8(), u8(5, 3), (), u8(), i32(0, 0, 0, 0, 0), (), u8()], [u8(4, 5)], {"transB": 1},
     Work(macs=60, accumulators=20, bias_adds=20, adds=27 + 20, muls=20 + 1, divs=1, compares=60)),
    (MS + "QGemm", [u8(4, 3), (), u8(), u8(3, 5), (5,), u8()], [(4, 5)], {},
     Work(macs=60, accumulators=20, adds=27, muls=20 + 5)),
    (MS + "MatMulIntegerToFloat", [u8(2, 3), u8(3, 4), (), (4,), u8(), u8(), (4,)], [(2, 4)], {},
     Work(macs=24, accumulators=8, bias_adds=8, adds=6 + 12, muls=8 + 4)),
    # A quantized (two extrema, /, + y₀, round, bounds; 2 /, 2 +, 3 bounds once) and centred
    (MS + "DynamicQuantizeMatMul", [(2, 3), u8(3, 4), ()], [(2, 4)], {},
     Work(macs=24, accumulators=8, adds=6 + 2 + 6, muls=8 + 1, divs=6 + 2, compares=30 + 3)),
    (MS + "MatMulInteger16", [(2, 3), (3, 4)], [(2, 4)], {}, Work(macs=24, accumulators=8)),
    (MS + "MulInteger", [u8(2, 3), u8(), u8(3), u8()], [(2, 3)], {}, Work(adds=9, muls=6)),
    (MS + "ReduceSumInteger", [u8(2, 3)], [(2,)], {"axes": (1,), "keepdims": 0}, Work(adds=4)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
