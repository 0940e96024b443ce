"""LSTM on 8 bits, and with attention.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label, u8

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # LSTM of 5 steps, 2 sequences, 3 inputs, 4 hidden: 5·2·16 gates of 3 + 4. σ three times, tanh twice; 3 products, a sum.
    # X of 30 and five H of 8 quantized: two extrema, /, + y₀, round, two bounds each (2 /, 2 +, 3 bounds a time), − zero point
    # 2·160 sums scaled; W of 48 and R of 64 less their zero points
    (MS + "DynamicQuantizeLSTM", [(5, 2, 3), u8(1, 3, 16), u8(1, 4, 16)], [(5, 1, 2, 4)], {"hidden_size": 4},
     Work(macs=1120, accumulators=160, adds=240 + 40 + (70 + 12) + 70 + 112, muls=120 + 320, divs=120 + 70 + 12,
          transcendentals=120 + 80, compares=5 * 70 + 18)),
    # the same LSTM, of 3 + 6 inputs. Keys: 7 positions of 6 to 2; at each of 5 steps a query of 4 to 2, 7 scores of 2 (+, tanh)
    # and their softmax, a context of 6
    (MS + "AttnLSTM",
     [(5, 1, 3), (1, 16, 9), (1, 16, 4), *[None] * 5, (1, 4, 2), (1, 6, 2), (1, 2), (1, 7, 6)], [(5, 1, 1, 4)],
     {"hidden_size": 4},
     Work(macs=1040 + 84 + 40 + 70 + 210, accumulators=80 + 14 + 10 + 35 + 30, adds=120 + 20 + 70 + 65, muls=60,
          divs=60 + 35, transcendentals=60 + 40 + 70 + 35, compares=30)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
