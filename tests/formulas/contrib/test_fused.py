"""Contractions with what onnxruntime fuses into them.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # 2·4·4 outputs of 3·3·3 products, a bias each; Relu a comparison, Sigmoid − exp + /
    (MS + "FusedConv", [(1, 3, 6, 6), (2, 3, 3, 3), (2,)], [(1, 2, 4, 4)], {"activation": "Relu"},
     Work(macs=32 * 27, accumulators=32, bias_adds=32, compares=32)),
    (MS + "FusedConv", [(1, 3, 6, 6), (2, 3, 3, 3), None, (1, 2, 4, 4)], [(1, 2, 4, 4)], {"activation": "Sigmoid"},
     Work(macs=32 * 27, accumulators=32, adds=32 + 2 * 32, transcendentals=32, divs=32)),
    (MS + "FusedConv", [(1, 3, 6, 6), (2, 3, 3, 3)], [(1, 2, 4, 4)], {"activation": "Clip", "activation_params": (0.0, 6.0)},
     Work(macs=32 * 27, accumulators=32, compares=64)),
    (MS + "NhwcConv", [(1, 6, 6, 3), (2, 3, 3, 3)], [(1, 4, 4, 2)], {}, Work(macs=32 * 27, accumulators=32)),
    (MS + "NhwcFusedConv", [(1, 6, 6, 3), (2, 3, 3, 3)], [(1, 4, 4, 2)], {"activation": "LeakyRelu"},
     Work(macs=32 * 27, accumulators=32, compares=32, muls=32)),
    # 3·4 inputs times 2·3 weights; 2·(4 + 2) positions are reached, two channels of them with the batch
    (MS + "ConvTransposeWithDynamicPads", [(1, 3, 4), (3, 2, 3), None, (2,)], [(1, 2, 6)], {},
     Work(macs=12 * 6, accumulators=12, bias_adds=12)),
    (MS + "CausalConvWithState", [(2, 4, 9), (4, 1, 3), (4,)], [(2, 4, 9), (2, 4, 2)], {"activation": "silu"},
     Work(macs=72 * 3, accumulators=72, bias_adds=72, adds=144, muls=72, divs=72, transcendentals=72)),
    (MS + "VarlenCausalConvWithState", [(9, 4), (4, 1, 3), (3,), (4,), (2, 4, 2)], [(9, 4), (2, 4, 2)], {},
     Work(macs=36 * 3, accumulators=36, bias_adds=36)),
    # 1 word of 5 characters, 3 windows of 3, 7 filters on 3·6 numbers; the maximum of 3 for each filter
    (MS + "WordConvEmbedding", [(1, 5), (7, 1, 3, 6), (7,), (9, 6)], [(1, 7)], {},
     Work(macs=21 * 18, accumulators=21, bias_adds=21, transcendentals=21, compares=14)),
    (MS + "FusedGemm", [(4, 3), (5, 4), (5,)], [(3, 5)], {"transA": 1, "transB": 1, "activation": "Tanh"},
     Work(macs=60, accumulators=15, bias_adds=15, transcendentals=15)),
    # beta is 0 unless it is given: no bias
    (MS + "GemmFloat8", [(3, 4), (5, 4), (5,), (1,), (1,)], [(3, 5)], {"transB": 1},
     Work(macs=60, accumulators=15, muls=15)),
    (MS + "FusedMatMul", [(2, 3, 4), (2, 5, 4)], [(2, 3, 5)], {"transB": 1, "alpha": 0.5},
     Work(macs=120, accumulators=30, muls=30)),
    # A of 3 × 2 × 4 is two matrices of 3 × 4, turned
    (MS + "FusedMatMul", [(3, 2, 4), (2, 3, 5)], [(2, 4, 5)], {"transBatchA": 1, "transA": 1}, Work(macs=120, accumulators=40)),
    (MS + "TransposeMatMul", [(4, 3), (4, 5)], [(3, 5)], {"transA": 1}, Work(macs=60, accumulators=15)),
    # rows of 5: maximum, subtraction, exp, sum, division
    (MS + "FusedMatMulActivation", [(3, 4), (4, 5)], [(3, 5)], {"activation": "Softmax"},
     Work(macs=60, accumulators=15, adds=15 + 12, compares=12, transcendentals=15, divs=15)),
    # along the first axis, columns of 3; a vector has nothing to transpose
    (MS + "FusedMatMulActivation", [(3, 4), (4, 5)], [(3, 5)], {"activation": "Softmax", "activation_axis": 0},
     Work(macs=60, accumulators=15, adds=15 + 10, compares=10, transcendentals=15, divs=15)),
    (MS + "FusedMatMul", [(4,), (4, 5)], [(5,)], {"transA": 1, "transBatchA": 1}, Work(macs=20, accumulators=5)),
    # x², ·c, + b, ·x, tanh, + 1, ·½, ·x
    (MS + "GemmFastGelu", [(3, 4), (4, 5), (5,)], [(3, 5)], {},
     Work(macs=60, accumulators=15, bias_adds=15, muls=75, adds=30, transcendentals=15)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)


# What each activation does to an element.
ACTIVATIONS = {
    "Relu": Work(compares=1),
    "LeakyRelu": Work(compares=1, muls=1),
    "ThresholdedRelu": Work(compares=1),
    "Clip": Work(compares=2),
    "Tanh": Work(transcendentals=1),
    "ScaledTanh": Work(muls=2, transcendentals=1),
    "Affine": Work(muls=1, adds=1),
    "Sigmoid": Work(adds=2, transcendentals=1, divs=1),
    "HardSigmoid": Work(muls=1, adds=1, compares=2),
    "HardSwish": Work(muls=2, adds=1, compares=2),
    # x·σ(x), x·σ(α·x), whose negation is in α
    "silu": Work(adds=2, transcendentals=1, divs=1, muls=1),
    "QuickGelu": Work(muls=2, adds=1, transcendentals=1, divs=1),
    "Gelu": Work(muls=2, adds=1, divs=1, transcendentals=1),
    "Elu": Work(compares=1, muls=1, adds=1, transcendentals=1),
    "ScaledElu": Work(compares=1, muls=2, adds=1, transcendentals=1),
    "Softplus": Work(adds=1, transcendentals=2),
    "Softsign": Work(compares=1, adds=1, divs=1),
    "None": Work(),
}


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name: str) -> None:
    plain = Work(macs=32 * 27, accumulators=32)
    check(
        (MS + "FusedConv", [(1, 3, 6, 6), (2, 3, 3, 3)], [(1, 2, 4, 4)], {"activation": name}, plain + 32 * ACTIVATIONS[name])
    )
