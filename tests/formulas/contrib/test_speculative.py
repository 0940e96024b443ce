"""States of several tokens, and what of them is kept.

Each number follows from the definition in words beside it.
"""

from dataclasses import replace

import numpy as np
import pytest

from onnxcost.errors import UnknownShape
from onnxcost.formulas import FORMULAS
from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, i32, label, node_of

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

REPLAY: Row = (
    MS + "GatedDeltaNetStateReplay", [(99,), (99,), (99,), np.array([0, 0, 0, 9, 19, 2, 3, 4, 1, 5, 2], np.int64)], [(99,)], {},
    Work(macs=48, muls=48),
)  # fmt: skip

BY_HAND: list[Row] = [
    # 5 tokens, 2 heads of 4, states of 3. 70 sums of 4 taps, biases, SiLU (−, exp, + 1, 1/, ·); of 10 dt: + bias, x > 20,
    # exp, + 1, log, max, ·A, exp; 40 times dt, 120 states decay and take up x·B; 40 sums of 3, + D·x; SiLU of the gate and its
    # product; 5 norms of 8: 120 products, 35 + 5 sums, 10 divisions, √
    (MS + "Mamba2Verify",
     [(5, 24), (2, 14, 3), (2, 2, 3, 4), (14, 4), (14,), (2,), (2,), (2,), (8,), i32(0)], [(5, 8), (2, 14, 3), (2, 2, 3, 4)],
     {"heads": 2, "n_groups": 1, "head_dim": 4, "d_state": 3},
     Work(macs=280 + 120 + 120, accumulators=70 + 40, bias_adds=70, muls=70 + 10 + 40 + 120 + 40 + 80 + 120,
          adds=140 + 20 + 40 + 80 + 40, divs=70 + 40 + 10, compares=20, transcendentals=70 + 30 + 40 + 5)),
    # 2·3·4 states, 2 of 5 tokens: each decays and takes up key·delta
    REPLAY,
    (MS + "ConvStateReplay", [(9,), (9,), (9,), (8,)], [(9,)], {}, Work()),
    # of each of 2 requests 3 of 4 predictions held against drafts; 3 words of status
    (MS + "SpeculativePrefixCommit", [(2, 4), (2, 4), (3,), (2, 16), (2, 2), (2, 8), (2,)], [(2,)], {}, Work(compares=9)),
    (MS + "SpeculativePrefixCommit", [(4,), (4,), (3,), (16,), (2,), (8,), (2,)], [(1,)], {}, Work(compares=6)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)


def test_what_is_replayed_is_in_the_metadata() -> None:
    node = node_of(REPLAY)
    node = replace(node, inputs=(*node.inputs[:3], replace(node.required(3), value=None)))
    with pytest.raises(UnknownShape, match="how many tokens are kept are not known: they are in the elements of 'x3'"):
        FORMULAS[node.key](node)
