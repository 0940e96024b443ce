"""Mixtures of experts.

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
    # 5 tokens, 2 of 3 experts each: 10 times 4 to 6 and back, Relu of 60; mixed: 40 products, 20 sums.
    # routing: the softmax of 5 rows of 3, then the 2 largest of 3
    (MS + "MoE", [(5, 4), (5, 3), (3, 6, 4), (3, 6), (3, 4, 6), (3, 4)], [(5, 4)], {"k": 2},
     Work(macs=240 + 240, accumulators=60 + 40, bias_adds=60 + 40, compares=60 + 20, muls=40, adds=20) + softmax(5, 3)),
    # SiLU of 60 times a third projection; weights made to sum to 1: a sum and two divisions a token
    (MS + "MoE", [(5, 4), (5, 3), (3, 6, 4), None, (3, 4, 6), None, (3, 6, 4)], [(5, 4)],
     {"k": 2, "activation_type": "silu", "normalize_routing_weights": 1},
     Work(macs=720, accumulators=160, muls=60 + 60 + 40, adds=120 + 20 + 5, divs=60 + 10, transcendentals=60, compares=20)
     + softmax(5, 3)),
    # SwiGLU on halves of one projection to 12: ·α, σ, ·G, + β, ·
    (MS + "MoE", [(5, 4), (5, 3), (3, 12, 4), None, (3, 4, 6)], [(5, 4)],
     {"k": 2, "activation_type": "swiglu", "swiglu_fusion": 1},
     Work(macs=480 + 240, accumulators=160, muls=180 + 40, adds=180 + 20, divs=60, transcendentals=60, compares=20)
     + softmax(5, 3)),
    # its gate is bounded above, the other half on both sides
    (MS + "MoE", [(5, 4), (5, 3), (3, 12, 4), None, (3, 4, 6)], [(5, 4)],
     {"k": 2, "activation_type": "swiglu", "swiglu_fusion": 1, "swiglu_limit": 7.0},
     Work(macs=480 + 240, accumulators=160, muls=180 + 40, adds=180 + 20, divs=60, transcendentals=60, compares=20 + 180)
     + softmax(5, 3)),
    # GeGLU by tanh on the same halves: x³, ·c, + x, ·√(2/π), tanh, + 1, ·½, ·x, ·L
    (MS + "MoE", [(5, 4), (5, 3), (3, 12, 4), None, (3, 4, 6)], [(5, 4)],
     {"k": 2, "activation_type": "geglu", "swiglu_fusion": 2},
     Work(macs=480 + 240, accumulators=160, muls=300 + 40, adds=120 + 20, transcendentals=120, compares=20) + softmax(5, 3)),
    # 4 bits: rows of 4 in 2 bytes; as the first, and all 3 experts' 48 weights dequantized
    (MS + "QMoE", [(5, 4), (5, 3), u8(3, 6, 2), (3, 6), (3, 6), u8(3, 4, 3), (3, 4), (3, 4)], [(5, 4)], {"k": 2},
     Work(macs=480, accumulators=100, bias_adds=100, compares=60 + 20, muls=40, adds=20, dequantizations=288) + softmax(5, 3)),
    # one token uses 2 of the 3
    (MS + "QMoE", [(1, 4), (1, 3), u8(3, 6, 2), (3, 6), None, u8(3, 4, 3), (3, 4)], [(1, 4)], {"k": 2, "quant_type": "fp4"},
     Work(macs=96, accumulators=20, compares=12 + 4, muls=8, adds=4, dequantizations=96) + softmax(1, 3)),
    # as the first without biases; a router gives the weights, so no softmax
    (MS + "QMoE", [(5, 4), (5, 3), u8(3, 6, 2), (3, 6), None, u8(3, 4, 3), (3, 4), *[None] * 7, (5, 3)], [(5, 4)], {"k": 2},
     Work(macs=480, accumulators=100, compares=60 + 20, muls=40, adds=20, dequantizations=288)),
    # σ of 6·8 scores (−, exp, + 1, 1/) and their biases. A token: in 4 groups of 2 the two best of 2 and their sum, the two
    # best of 4 groups, the 3 best of their 4 experts, of these the larger of s and a bound, log
    (MS + "MoEGroupRouter", [(2, 3, 8), (8,)], [(6, 8)], {"top_k": 3, "n_group": 4, "topk_group": 2, "group_topk": 2},
     Work(adds=96 + 48 + 6 * 4, divs=48, transcendentals=48 + 18, compares=6 * (4 * 2 + 2 * 3 + 3 * 3 + 3))),
    # one group: the 2 best of 8
    (MS + "MoEGroupRouter", [(6, 8), (8,)], [(6, 8)], {"top_k": 2},
     Work(adds=96 + 48, divs=48, transcendentals=48 + 12, compares=6 * (2 * 7 + 2))),
    # every score, of activations 256 wide
    (MS + "MoEGroupRouter", [(6, 256), (8,), (8, 256)], [None, (6, 8), (6, 8)], {"top_k": 2},
     Work(macs=48 * 256, accumulators=48, adds=96 + 48, divs=48, transcendentals=48)),
    # 6 rows of 4 to 5 logits and twice 3; SwiGLU of 18
    (MS + "RouterGateUpProj", [(2, 3, 4), (4, 11)], [(2, 3, 5), (2, 3, 3)], {"router_size": 5, "limit": 7.0},
     Work(macs=66 * 4, accumulators=66, muls=54, adds=18, divs=18, transcendentals=18, compares=54)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
