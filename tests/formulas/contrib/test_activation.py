"""Activations with biases, gates and residuals.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, label

CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # /√2, erf, + 1, ·½, ·x
    (MS + "Gelu", [(2, 3)], [(2, 3)], {}, Work(divs=6, transcendentals=6, adds=6, muls=12)),
    (MS + "BiasGelu", [(2, 3), (3,)], [(2, 3)], {}, Work(divs=6, transcendentals=6, adds=12, muls=12)),
    # x², ·c, + b, ·x, tanh, + 1, ·½, ·x
    (MS + "FastGelu", [(2, 3)], [(2, 3)], {}, Work(muls=30, adds=12, transcendentals=6)),
    (MS + "FastGelu", [(2, 3), (3,)], [(2, 3)], {}, Work(muls=30, adds=18, transcendentals=6)),
    # ·−α, exp, + 1, 1/, ·x
    (MS + "QuickGelu", [(2, 3)], [(2, 3)], {}, Work(muls=12, adds=6, divs=6, transcendentals=6)),
    # ·α, −, exp, + 1, 1/, ·
    (MS + "ScaledSiLU", [(2, 3)], [(2, 3)], {}, Work(muls=12, adds=12, divs=6, transcendentals=6)),
    # 2·4 sums with the bias, of 2·2 the Gelu and a product
    (MS + "BiasSplitGelu", [(1, 2, 4), (4,)], [(1, 2, 2)], {}, Work(adds=8 + 4, muls=4 + 8, divs=4, transcendentals=4)),
    # ·−α, exp, + 1, 1/, ·G, ·L
    (MS + "SwiGLU", [(2, 3), (2, 3)], [(2, 3)], {}, Work(muls=18, adds=6, divs=6, transcendentals=6)),
    # G and L in one; one bound and two, + β
    (MS + "SwiGLU", [(2, 6)], [(2, 3)], {"limit": 7.0, "activation_beta": 1.0},
     Work(muls=18, adds=12, divs=6, transcendentals=6, compares=18)),
    (MS + "BiasAdd", [(1, 2, 3), (3,), (1, 2, 3)], [(1, 2, 3)], {}, Work(adds=12)),
    (MS + "GatedAdd", [(2, 3), (2, 3), (2, 1)], [(2, 3)], {}, Work(adds=6, muls=6)),
    # 2 rows of 12, then 6 rows of 4
    (MS + "BiasSoftmax", [(2, 3, 4), (2, 3, 4)], [(2, 3, 4)], {"is_inner_broadcast": 0},
     Work(adds=24 + 24 + 22, compares=22, divs=24, transcendentals=24)),
    (MS + "BiasSoftmax", [(2, 3, 4), (4,)], [(2, 3, 4)], {"axis": -1, "is_inner_broadcast": 0},
     Work(adds=24 + 24 + 18, compares=18, divs=24, transcendentals=24)),
    (MS + "BiasDropout", [(2, 3), (3,), (2, 3)], [(2, 3)], {}, Work(adds=12)),
    (MS + "BitmaskBiasDropout", [(2, 3), (3,)], [(2, 3)], {}, Work(adds=6)),
    (MS + "BitmaskDropout", [(2, 3)], [(2, 3)], {}, Work()),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
