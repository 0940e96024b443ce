"""States, gates and hyper-connections.

Each number follows from the definition in words beside it.
"""

from typing import Any

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

STREAMS: list[Any] = [(2, 3, 12), (12,), (12, 5), (5, 12), (12, 3)]
# 6 rows of 3 streams of 4, each normalized: 72·3 products, 54 + 18 sums, 2·18 divisions, √; 12 to 5, scaled SiLU; 5 to 12, σ;
# streams times gates summed: 24 of 3; 12 to 3, σ
MIX = Work(macs=360 + 360 + 72 + 216, accumulators=30 + 72 + 24 + 18, muls=216 + 60, adds=72 + 60 + 144 + 36,
           divs=36 + 30 + 72 + 18, transcendentals=18 + 30 + 72 + 18)  # fmt: skip

BY_HAND: list[Row] = [
    (MS + "HyperConnectionLowRankMix", STREAMS, [(2, 3, 4), (2, 3, 3)], {"num_branches": 3}, MIX),
    # the block before taken up, the sums and the gates of the streams scaled
    (MS + "HyperConnectionLowRankMix", [*STREAMS, (2, 3, 4), (2, 3, 3)], [(2, 3, 4), (2, 3, 3)],
     {"num_branches": 3, "reduction_scale": 0.5, "gate_div": 2.0, "gate_mul": 2.0},
     MIX + Work(muls=72 + 24 + 18, adds=72, divs=18)),
    # as LinearAttention's gated delta rule: 3 tokens, 2 heads, a state of 4 × 6
    (MS + "GatedDeltaNet", [(3, 2, 4), (3, 2, 4), (3, 2, 6), None, (3, 2), (3, 2)], [(3, 2, 6)], {},
     Work(muls=36 + 144 + 36, adds=36, macs=144 + 288, accumulators=72, transcendentals=6)),
    # 4 heads of values share 2 of keys of 5: a state of 5 × 6 for each; 60 products of k ⊗ v in 3 steps of 4 states
    (MS + "GatedDeltaNet", [(3, 2, 5), (3, 2, 5), (3, 4, 6)], [(3, 4, 6)], {"update_rule": "linear"},
     Work(muls=72, macs=360 + 360, accumulators=72)),
    # q and k are packed with v; 12 vectors of 4: squares, sums (with ε), √, divisions. Decay: + bias, exp, + 1, log, ·; β: σ
    (MS + "GatedDeltaNet", [(3, 28), None, None, None, (3, 2), (3, 2), (1, 2, 6, 4)], [(3, 2, 6)],
     {"qk_l2_norm": 1, "gate_activation": "qwen", "beta_activation": "sigmoid", "update_rule": "linear"},
     Work(muls=36 + 48 + 6, adds=48 + 12 + 12, divs=48 + 6, macs=288, accumulators=36,
          transcendentals=12 + 12 + 6)),
    # 6 rows of 4; two norms: 24·3 products, 18 + 6 sums, 12 divisions, 6 √ each. /√H, sign, |·|, max, √, ·, σ; ·V
    (MS + "EngramGate", [(1, 3, 2, 4), (1, 3, 2, 4), (1, 3, 4), (2, 4), (2, 4)], [(1, 3, 2, 4)], {},
     Work(macs=24, accumulators=6, muls=144 + 6 + 24, adds=48 + 12, divs=24 + 6 + 6, compares=18, transcendentals=12 + 6 + 6)),
    (MS + "HyperConnectionPreMix", [(2, 3, 4), (2, 3)], [(2, 4)], {"reduction_scale": 0.5},
     Work(macs=24, accumulators=8, muls=8)),
    (MS + "HyperConnectionPostMix", [(2, 3, 4), (2, 4), (2, 3), (2, 3, 3)], [(2, 3, 4)], {},
     Work(macs=72, accumulators=24, muls=24, adds=24)),
    (MS + "HyperConnectionPostMix", [(2, 12), (2, 4), (2, 3)], [(2, 12)], {"num_branches": 3}, Work(muls=24, adds=24)),
    # 12 rows (2·3 tokens, 2 heads) of 4 to 8, + bias, sums of 4 (6 + a row), two σ, 2 ·, 2 +; times 2·2·3·3 positions
    (MS + "GatedRelativePositionBias", [(2, 3, 8), (8,), (1, 2, 3, 3), (4, 8), (8,), (1, 2, 1, 1)], [(2, 2, 3, 3)],
     {"num_heads": 2},
     Work(adds=48 + 72 + 48 + 24, macs=384, accumulators=96, bias_adds=96, divs=24, transcendentals=24, muls=24 + 36)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
