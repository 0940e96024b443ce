"""Attention with projections, caches and biases of its own layout.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.formulas import FORMULAS, Formula
from onnxcost.graph import Node, Tensor, Work
from tests.formulas.contrib import MS, Row, check, i32, label


def softmax(rows: int, n: int) -> Work:
    """The maximum, differences, exponentials, their sum and n divisions in each row."""
    return Work(compares=rows * (n - 1), adds=rows * n + rows * (n - 1), transcendentals=rows * n, divs=rows * n)


CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # 2·3 tokens of 8 to 24: 6·24·8 products. 2·2 heads of 4: 36 scores of 4, 48 outputs of 3, 48 of Q scaled, 12 rows of 3
    (MS + "Attention", [(2, 3, 8), (8, 24), (24,)], [(2, 3, 8)], {"num_heads": 2},
     Work(macs=1152 + 144 + 144, accumulators=144 + 36 + 48, bias_adds=144, muls=48) + softmax(12, 3)),
    # 5 cached positions: 96 scores of 4, 48 outputs of 8; a mask and a bias are added, the later ones hidden
    (MS + "Attention", [(2, 3, 8), (8, 24), None, (2, 8), (2, 2, 2, 5, 4), (1, 1, 3, 8)], [(2, 3, 8)],
     {"num_heads": 2, "unidirectional": 1},
     Work(macs=1152 + 384 + 384, accumulators=144 + 96 + 48, muls=48, adds=192, compares=96) + softmax(12, 8)),
    # V of 4: 24 outputs; of a shared buffer of 9 positions 5 are in use
    (MS + "Attention", [(2, 3, 8), (8, 20), None, None, (2, 2, 2, 9, 4), None, i32(5)], [(2, 3, 4)],
     {"num_heads": 2, "qkv_hidden_sizes": (8, 8, 4)},
     Work(macs=6 * 20 * 8 + 384 + 24 * 8, accumulators=120 + 96 + 24, muls=48) + softmax(12, 8)),
    # Q and K (96 elements) turned: two products and a sum
    (MS + "Attention", [(2, 3, 8), (8, 24)], [(2, 3, 8)], {"num_heads": 2, "do_rotary": 1},
     Work(macs=1152 + 144 + 144, accumulators=144 + 36 + 48, muls=48 + 192, adds=96) + softmax(12, 3)),
    # one new token, 5 cached
    (MS + "DecoderMaskedSelfAttention", [(1, 1, 8), (8, 24), (24,), None, (2, 1, 2, 9, 4), None, i32(5)], [(1, 1, 8)],
     {"num_heads": 2}, Work(macs=192 + 48 + 48, accumulators=24 + 12 + 8, bias_adds=24, muls=8) + softmax(2, 6)),
    # 5 keys: 60 scores of 4, 36 outputs (V of 3) of 5
    (MS + "MultiHeadAttention", [(2, 3, 8), (2, 5, 8), (2, 5, 6)], [(2, 3, 6)], {"num_heads": 2},
     Work(macs=240 + 180, accumulators=60 + 36, muls=48) + softmax(12, 5)),
    # biases of Q (48), K and V (80 each); 4 more keys from the cache: 108 scores
    (MS + "MultiHeadAttention", [(2, 3, 8), (2, 5, 8), (2, 5, 8), (24,), (2, 9), None, (2, 2, 4, 4), (2, 2, 4, 4)], [(2, 3, 8)],
     {"num_heads": 2},
     Work(macs=432 + 48 * 9, accumulators=108 + 48, bias_adds=208, muls=48, adds=108) + softmax(12, 9)),
    # Q, K and V in one: as Attention without its projection
    (MS + "MultiHeadAttention", [(2, 3, 2, 3, 4)], [(2, 3, 8)], {"num_heads": 2},
     Work(macs=288, accumulators=36 + 48, muls=48) + softmax(12, 3)),
    # K and V in one
    (MS + "MultiHeadAttention", [(2, 3, 8), (2, 5, 2, 2, 4)], [(2, 3, 8)], {"num_heads": 2},
     Work(macs=240 + 240, accumulators=60 + 48, muls=48) + softmax(12, 5)),
    (MS + "DecoderMaskedMultiHeadAttention",
     [(1, 1, 8), (1, 1, 8), (1, 1, 8), None, None, (1, 2, 9, 4), (1, 2, 9, 4), i32(5)], [(1, 1, 8)], {"num_heads": 2},
     Work(macs=48 + 48, accumulators=12 + 8, muls=8) + softmax(2, 6)),
    # the past length is not known: the 9 positions of the buffer are in use, the new one among them
    (MS + "DecoderMaskedMultiHeadAttention",
     [(1, 1, 8), (1, 1, 8), (1, 1, 8), None, None, (1, 2, 9, 4), (1, 2, 9, 4), (1,)], [(1, 1, 8)], {"num_heads": 2},
     Work(macs=72 + 72, accumulators=18 + 8, muls=8) + softmax(2, 9)),
    (MS + "DecoderMaskedSelfAttention", [(1, 1, 8), (8, 24), (24,), None, (2, 1, 2, 9, 4), None, (1,)], [(1, 1, 8)],
     {"num_heads": 2}, Work(macs=192 + 72 + 72, accumulators=24 + 18 + 8, bias_adds=24, muls=8) + softmax(2, 9)),
    # a cross attention: K and V are the cache
    (MS + "DecoderMaskedMultiHeadAttention", [(1, 1, 8), (1, 2, 6, 4), (1, 2, 6, 4)] + [None] * 7 + [(24,)], [(1, 1, 8)],
     {"num_heads": 2}, Work(macs=48 + 48, accumulators=12 + 8, bias_adds=8, muls=8) + softmax(2, 6)),
    # self-attention of 3 positions, batch 2, width 8: Q, K and V of 48 elements each; positions × batch × width
    (MS + "DecoderAttention", [(3, 2, 8), (5, 2, 8), (8, 8), (8, 16), (24,), None, None, None, i32(0), i32(0), i32(0)],
     [(3, 2, 8)], {"num_heads": 2},
     Work(macs=144 * 8 + 288, accumulators=144 + 36 + 48, bias_adds=144, muls=48) + softmax(12, 3)),
    # cross attention: K and V of 5 positions
    (MS + "DecoderAttention", [(3, 2, 8), (5, 2, 8), (8, 8), (8, 16), (24,), None, None, None, i32(1), i32(0), i32(0)],
     [(3, 2, 8)], {"num_heads": 2},
     Work(macs=208 * 8 + 480, accumulators=208 + 60 + 48, bias_adds=208, muls=48) + softmax(12, 5)),
    # a cache of 4 is used where both the past and the layer's state are: 7 keys, 4 if they are static
    *[(MS + "DecoderAttention",
       [(3, 2, 8), (5, 2, 8), (8, 8), (8, 16), (24,), None, (2, 2, 4, 4), (2, 2, 4, 4), i32(static), i32(past), i32(state)],
       [(3, 2, 8)], {"num_heads": 2},
       Work(macs=made * 8 + 96 * keys, accumulators=made + 12 * keys + 48, bias_adds=made, muls=48) + softmax(12, keys))
      for static, past, state, made, keys in ((0, 1, 1, 144, 7), (1, 1, 1, 48, 4), (0, 1, 0, 144, 3), (0, 0, 1, 144, 3),
                                              (1, 1, 0, 208, 5), (1, 0, 1, 208, 5))],
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)


@pytest.mark.parametrize(
    ("op_type", "place"),
    [("Attention", 6), ("DecoderMaskedSelfAttention", 6), ("MultiHeadAttention", 8), ("DecoderMaskedMultiHeadAttention", 7)],
)
@pytest.mark.parametrize(("value", "is_bound"), [((5,), False), (None, True)])
def test_a_past_length_that_is_not_known_makes_a_bound(
    op_type: str, place: int, value: tuple[int] | None, is_bound: bool
) -> None:
    formula = FORMULAS[MS + op_type]
    node = Node("n", op_type, "com.microsoft", (*[None] * place, Tensor("past", "int32", (1,), value=value)), ())
    assert isinstance(formula, Formula)
    assert formula.at_most is not None
    assert formula.at_most(node) is is_bound
