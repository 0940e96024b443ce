"""Blocked convolutions and poolings.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label

BLOCKED = f"{MS}nchwc."


CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # 8·16 outputs of 8·9 products
    (BLOCKED + "Conv", [(1, 8, 6, 6), (8, 8, 3, 3), (8,)], [(1, 8, 4, 4)], {"activation": "Relu"},
     Work(macs=128 * 72, accumulators=128, bias_adds=128, compares=128)),
    # of which 5 channels were padded to 8, and 6 of the input's
    (BLOCKED + "Conv", [(1, 8, 6, 6), (8, 8, 3, 3)], [(1, 8, 4, 4)], {"channels": 5, "input_channels": 6},
     Work(macs=80 * 54, accumulators=80)),
    (BLOCKED + "Conv", [(1, 8, 6, 6), (8, 1, 3, 3), None, (1, 8, 4, 4)], [(1, 8, 4, 4)], {"group": 8, "input_channels": 8},
     Work(macs=128 * 9, accumulators=128, adds=128)),
    (BLOCKED + "MaxPool", [(1, 8, 4, 4)], [(1, 8, 2, 2)], {"kernel_shape": (2, 2), "strides": (2, 2)},
     Work(compares=96)),
    (BLOCKED + "AveragePool", [(1, 8, 4, 4)], [(1, 8, 2, 2)], {"kernel_shape": (2, 2), "strides": (2, 2)},
     Work(adds=96, divs=32)),
    (BLOCKED + "GlobalMaxPool", [(1, 8, 4, 4)], [(1, 8, 1, 1)], {}, Work(compares=120)),
    (BLOCKED + "GlobalAveragePool", [(1, 8, 4, 4)], [(1, 8, 1, 1)], {}, Work(adds=120, divs=8)),
    (BLOCKED + "Upsample", [(1, 8, 2, 2)], [(1, 8, 4, 4)], {"scales": (1, 1, 2, 2)}, Work()),
    (BLOCKED + "Upsample", [(1, 8, 2, 2)], [(1, 8, 4, 4)], {"scales": (1, 1, 2, 2), "mode": "linear"},
     Work(muls=512, adds=384)),
    (BLOCKED + "ReorderInput", [(1, 6, 4, 4)], [(1, 8, 4, 4)], {}, Work()),
    (BLOCKED + "ReorderOutput", [(1, 8, 4, 4)], [(1, 6, 4, 4)], {"channels": 6}, Work()),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
