"""Weights in packed blocks.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.errors import UnknownShape
from onnxcost.formulas import FORMULAS
from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, i32, label, node_of, u8


def softmax(rows: int, n: int) -> Work:
    """The maximum, differences, exponentials, their sum and n divisions in each row."""
    return Work(compares=rows * (n - 1), adds=rows * n + rows * (n - 1), transcendentals=rows * n, divs=rows * n)


CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # 6 rows of 64 to 5, 320 weights of Q4_0: a difference and a product
    (MS + "MatMulPacked", [(2, 3, 64), u8(5, 36)], [(2, 3, 5)], {"packed_type": 2, "K": 64, "N": 5},
     Work(macs=1920, accumulators=30, dequantizations=640)),
    # Q6_K: and a product for each of 80 scales; the result scaled, SiLU (−, exp, + 1, 1/, ·)
    (MS + "MatMulPacked", [(2, 3, 256), u8(5, 210), ()], [(2, 3, 5)],
     {"packed_type": 14, "K": 256, "N": 5, "activation_type": "silu"},
     Work(macs=7680, accumulators=30, adds=60, muls=30 + 30, divs=30, transcendentals=30,
          dequantizations=2 * 1280 + 80)),
    (MS + "MatMulPacked", [(6, 64), u8(5, 68)], [(6, 5)],
     {"packed_type": 8, "K": 64, "N": 5, "activation_type": "relu2"},
     Work(macs=1920, accumulators=30, muls=30, compares=30, dequantizations=320)),
    (MS + "GatherPacked", [u8(9, 144), i32(1, 2, 3)], [(3, 256)], {"packed_type": 20, "K": 256}, Work(dequantizations=768)),
    # 6 tokens, 2 of 8 experts each: 12 times 256 to 512 and back, max and square of 6144; 12·256 products and 6·256 sums mix
    # them. Routing: a softmax, the 2 largest of 8, a sum and two divisions a token. All experts' 2·512·256 weights of IQ2_XXS:
    # two products, and for each 32 of them two and a sum
    (MS + "MoEPacked", [(6, 256), (6, 8), u8(8, 512, 66), None, u8(8, 256, 132)], [(6, 256)],
     {"gate_type": 16, "down_type": 16, "activation_type": "relu2", "k": 2},
     Work(macs=2 * 12 * 512 * 256, accumulators=6144 + 3072, compares=6144 + 84, adds=1536 + 6, divs=12,
          muls=6144 + 3072, dequantizations=2 * 2097152 + 3 * 65536) + softmax(6, 8)),
    # one token, 2 of 4 experts, 32 to 64: SiLU of 128 times as many; a router's weights, their sum + ε, two divisions, scaled.
    # 2·2048 weights each of Q4_0, Q8_0 and Q4_0
    (MS + "MoEPacked", [(1, 32), (1, 4), u8(4, 64, 18), u8(4, 64, 34), u8(4, 32, 36), (1, 4)], [(1, 32)],
     {"gate_type": 2, "up_type": 8, "down_type": 2, "k": 2, "routing_epsilon": 1e-20, "routed_scaling_factor": 2.5},
     Work(macs=3 * 2 * 64 * 32, accumulators=256 + 64, compares=6, adds=256 + 32 + 2, divs=128 + 2,
          muls=128 + 128 + 64 + 2, transcendentals=128, dequantizations=8192 + 12288)),
    # not made to sum to 1
    (MS + "MoEPacked", [(1, 32), (1, 4), u8(4, 64, 18), u8(4, 64, 18), u8(4, 32, 36), (1, 4)], [(1, 32)],
     {"gate_type": 0, "up_type": 1, "down_type": 30, "normalize_routing_weights": 0},
     Work(macs=3 * 64 * 32, accumulators=128 + 32, compares=3, adds=128, divs=64, muls=64 + 64 + 32, transcendentals=64)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)


# GGML's number, and what 1,024 weights are: 64 runs of 16 or 32 of 32
FORMATS = {
    "F32": (0, Work()),
    "F16": (1, Work()),
    "Q4_0: (q − 8)·d": (2, Work(dequantizations=2 * 1024)),
    "Q5_0: (q − 16)·d": (6, Work(dequantizations=2 * 1024)),
    "Q8_0: q·d": (8, Work(dequantizations=1024)),
    "Q5_K: (d·s)·q − d₀·m, of 32 each": (13, Work(dequantizations=2 * 1024 + 2 * 32)),
    "Q6_K: (d·s)·(q − 32), of 16 each": (14, Work(dequantizations=2 * 1024 + 64)),
    "IQ2_XXS: (d·(½ + s)·¼)·magnitude·sign, of 32 each": (16, Work(dequantizations=2 * 1024 + 3 * 32)),
    "IQ2_XS: the same, of 16 each": (17, Work(dequantizations=2 * 1024 + 3 * 64)),
    "IQ3_XXS: (d·(½ + s)·½)·magnitude·sign, of 32 each": (18, Work(dequantizations=2 * 1024 + 3 * 32)),
    "IQ4_NL: code·d": (20, Work(dequantizations=1024)),
    "IQ2_S: as IQ2_XS": (22, Work(dequantizations=2 * 1024 + 3 * 64)),
    "IQ4_XS: (d·(s − 32))·code, of 32 each": (23, Work(dequantizations=1024 + 2 * 32)),
    "BF16": (30, Work()),
    "NVFP4: code·s": (40, Work(dequantizations=1024)),
    "Q2_0: (q − 1)·d": (42, Work(dequantizations=2 * 1024)),
}


@pytest.mark.parametrize(("number", "work"), FORMATS.values(), ids=FORMATS.keys())
def test_what_dequantizes_a_format(number: int, work: Work) -> None:
    check((MS + "GatherPacked", [u8(9, 264), i32(1)], [(1, 1024)], {"packed_type": number, "K": 1024}, work))


def test_a_format_that_is_not_known_leaves_the_node_open() -> None:
    node = node_of((MS + "GatherPacked", [u8(9, 66), i32(1)], [(1, 256)], {"packed_type": 99, "K": 256}, None))
    with pytest.raises(UnknownShape, match="the format 99 in 'packed_type' is not known"):
        FORMULAS[node.key](node)
