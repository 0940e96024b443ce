"""Transforms, complex products, matrices, distances, sampling.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label, u8

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # a transform of 8 has 4·3 butterflies of 4 products and 6 sums; of real numbers half of them
    (MS + "Rfft", [(2, 8)], [(2, 5, 2)], {"signal_ndim": 1}, Work(muls=2 * 6 * 4, adds=2 * 6 * 6)),
    (MS + "Irfft", [(2, 5, 2)], [(2, 8)], {"signal_ndim": 1}, Work(muls=48, adds=72)),
    # in two dims one of 16 points: 8·4 butterflies
    (MS + "Rfft", [(2, 8)], [(2, 5, 2)], {"signal_ndim": 2}, Work(muls=64, adds=96)),
    (MS + "ComplexMul", [(3, 2), (3, 2)], [(3, 2)], {}, Work(muls=12, adds=6)),
    (MS + "ComplexMulConj", [(3, 2), (3, 2)], [(3, 2)], {}, Work(muls=12, adds=6)),
    # 2 × 2 with pivot p: 1/p, a division, two products, a difference; twice
    (MS + "Inverse", [(3, 2, 2)], [(3, 2, 2)], {}, Work(divs=12, muls=12, adds=6)),
    # 15 products of 2; 3 + 5 squared lengths; ·−2, two sums, the cut at 0; the root
    (MS + "CDist", [(3, 2), (5, 2)], [(3, 5)], {"metric": "euclidean"},
     Work(macs=30, accumulators=15, muls=16 + 15, adds=8 + 30, compares=15, transcendentals=15)),
    (MS + "CDist", [(3, 2), (5, 2)], [(3, 5)], {}, Work(macs=30, accumulators=15, muls=16 + 15, adds=8 + 30, compares=15)),
    (MS + "DynamicTimeWarping", [(1, 3, 4)], [(2, 6)], {}, Work(adds=12, compares=24)),
    # 120 sums of 4 neighbors; 40 positions: two coordinates (·, +), floor, f and 1 − f on both axes, 4 weights; 2 grids
    (MS + "CropAndResize", [(1, 3, 8, 8), (2, 4), (2,), (2,)], [(2, 3, 4, 5)], {},
     Work(muls=480 + 240 + 8, adds=360 + 240 + 8, compares=80, divs=8)),
    (MS + "CropAndResize", [(1, 3, 8, 8), (2, 4), (2,), (2,)], [(2, 3, 4, 5)], {"mode": "nearest"},
     Work(muls=80 + 8, adds=80 + 8, compares=80, divs=8)),
    # 40 coordinates: + 1, ·size, − 1, / 2, within two bounds, floor, f, 1 − f; 20 positions of 4 weights; 60 sums of 4
    (MS + "GridSample", [(1, 3, 8, 8), (1, 4, 5, 2)], [(1, 3, 4, 5)], {"mode": "bilinear"},
     Work(adds=80 + 80 + 180, muls=40 + 80 + 240, divs=40, compares=120)),
    (MS + "MaxpoolWithMask", [(1, 1, 4, 4), (1, 1, 4, 4)], [(1, 1, 2, 2)], {"kernel_shape": (2, 2), "strides": (2, 2)},
     Work(compares=12 + 16)),
    (MS + "NhwcMaxPool", [u8(1, 4, 4, 3)], [u8(1, 2, 2, 3)], {"kernel_shape": (2, 2), "strides": (2, 2)}, Work(compares=36)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
