"""Normalizations with what is fused into them.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # 2 rows of 4. RMS: 8 squares, mean (6 +, 2 /), + ε, √, 1/, ·r, ·γ
    ("SimplifiedLayerNormalization", [(2, 4), (4,)], [(2, 4)], {"axis": -1},
     Work(muls=24, adds=6 + 2, divs=2 + 2, transcendentals=2)),
    # LayerNormalization of 2 rows of 4: mean (6 +, 2 /), 8 differences and squares, variance (6 +, 2 /), + ε, √, 1/; ·r, ·γ
    (MS + "SkipLayerNormalization", [(2, 4), (2, 4), (4,), (4,), (4,)], [(2, 4)], {},
     Work(adds=16 + 6 + 8 + 6 + 2 + 8, divs=2 + 2 + 2, muls=8 + 16, transcendentals=2)),
    (MS + "SkipLayerNormalization", [(2, 4), (2, 4), (4,)], [(2, 4)], {},
     Work(adds=8 + 6 + 8 + 6 + 2, divs=2 + 2 + 2, muls=8 + 16, transcendentals=2)),
    (MS + "SkipSimplifiedLayerNormalization", [(2, 4), (2, 4), (4,), (4,)], [(2, 4)], {},
     Work(muls=24, adds=16 + 6 + 2, divs=2 + 2, transcendentals=2)),
    # two embeddings added (8), with a third 16; a mask of 2 summed
    (MS + "EmbedLayerNormalization", [(1, 2), None, (9, 4), (8, 4), None, (4,), (4,)], [(1, 2, 4)], {},
     Work(adds=8 + 6 + 8 + 6 + 2 + 8, divs=2 + 2 + 2, muls=8 + 16, transcendentals=2)),
    (MS + "EmbedLayerNormalization", [(1, 2), (1, 2), (9, 4), (8, 4), (2, 4), (4,), (4,), (1, 2)], [(1, 2, 4)], {},
     Work(adds=16 + 2 + 6 + 8 + 6 + 2 + 8, divs=2 + 2 + 2, muls=8 + 16, transcendentals=2)),
    # and 2·8 looked up, γ and β of 4 dequantized: 24 differences and products
    (MS + "QEmbedLayerNormalization", [(1, 2), None, (9, 4), (8, 4), None, (4,), (4,)], [(1, 2, 4)], {},
     Work(adds=8 + 6 + 8 + 6 + 2 + 8, divs=2 + 2 + 2, muls=8 + 16, transcendentals=2, dequantizations=48)),
    # 2 groups of 6·2 numbers: mean and variance (2·22 +, 4 /), 24 differences, squares, + ε, √, then /, ·γ, + β
    (MS + "GroupNorm", [(1, 3, 2, 4), (4,), (4,)], [(1, 3, 2, 4)], {"groups": 2, "activation": 0},
     Work(adds=44 + 24 + 2 + 24, divs=4 + 24, muls=24 + 24, transcendentals=2)),
    (MS + "GroupNorm", [(1, 3, 2, 4), (4,), (4,)], [(1, 3, 2, 4)], {"groups": 2, "activation": 1},
     Work(adds=44 + 24 + 2 + 24 + 48, divs=4 + 24 + 24, muls=24 + 24 + 24, transcendentals=2 + 24)),
    (MS + "SkipGroupNorm", [(1, 3, 2, 4), (4,), (4,), (1, 3, 2, 4), (4,)], [(1, 3, 2, 4)], {"groups": 2, "activation": 0},
     Work(adds=48 + 44 + 24 + 2 + 24, divs=4 + 24, muls=24 + 24, transcendentals=2)),
    # 2 rows of 8 in 2 branches of 4, without a scale
    (MS + "BranchwiseRMSNorm", [(2, 8)], [(2, 8)], {"num_branches": 2},
     Work(muls=32, adds=12 + 4, divs=4 + 4, transcendentals=4)),
    # 4 groups of 4; the gate: −, exp, + 1, 1/, ·z, and its product
    (MS + "GatedRMSNorm", [(2, 8), (4,), (2, 8)], [(2, 8)], {},
     Work(muls=48 + 32, adds=12 + 4 + 32, divs=4 + 4 + 16, transcendentals=4 + 16)),
    (MS + "GatedRMSNorm", [(2, 8), (4,), (2, 8)], [(2, 8)], {"activation": "sigmoid"},
     Work(muls=48 + 16, adds=12 + 4 + 32, divs=4 + 4 + 16, transcendentals=4 + 16)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
