"""Grouped-query attention, rotary embeddings, linear attention.

Each number follows from the definition in words beside it.
"""

import pytest

from onnxcost.graph import Work
from tests.formulas.contrib import MS, Row, check, i32, label


def softmax(rows: int, n: int) -> Work:
    """The maximum, differences, exponentials, their sum and n divisions in each row."""
    return Work(compares=rows * (n - 1), adds=rows * n + rows * (n - 1), transcendentals=rows * n, divs=rows * n)


CASES: list[Row] = []  # ONNX's reference evaluator has none of them

BY_HAND: list[Row] = [
    # 4 heads of 8 for Q, 2 for K and V; 3 queries and keys: 36 scores, 96 outputs; the later ones hidden
    (MS + "GroupQueryAttention", [(1, 3, 32), (1, 3, 16), (1, 3, 16), None, None, i32(2), i32(3)], [(1, 3, 32)],
     {"num_heads": 4, "kv_num_heads": 2},
     Work(macs=288 + 288, accumulators=36 + 96, muls=96, compares=36) + softmax(12, 3)),
    # packed; 1 query, 6 keys with the cache; Q and K turned (32 + 16), a window, softcap (/, tanh, ·) on 24 scores
    (MS + "GroupQueryAttention", [(1, 1, 64), None, None, (1, 2, 5, 8), (1, 2, 5, 8), i32(5), None], [(1, 1, 32)],
     {"num_heads": 4, "kv_num_heads": 2, "do_rotary": 1, "local_window_size": 4, "softcap": 2.0},
     Work(macs=192 + 192, accumulators=24 + 32, muls=32 + 96 + 24, adds=48, compares=48, divs=24, transcendentals=24)
     + softmax(4, 6)),
    # three tokens of two sequences: one behind a past of 5, two with none; 2 heads of 4: 12 + 8 scores, 24 outputs
    (MS + "PagedAttention", [(3, 8), (3, 4), (3, 4), (2, 16, 1, 4), (2, 16, 1, 4), i32(0, 1, 3), i32(5, 0), (2, 1)], [(3, 8)],
     {"num_heads": 2, "kv_num_heads": 1},
     Work(macs=80 + 80, accumulators=20 + 24, muls=24, compares=20) + softmax(2, 6) + softmax(4, 2)),
    # the same, queries, keys and values side by side: (2 + 2·1)·4
    (MS + "PagedAttention", [(3, 16), None, None, (2, 16, 1, 4), (2, 16, 1, 4), i32(0, 1, 3), i32(5, 0), (2, 1)], [(3, 8)],
     {"num_heads": 2, "kv_num_heads": 1},
     Work(macs=80 + 80, accumulators=20 + 24, muls=24, compares=20) + softmax(2, 6) + softmax(4, 2)),
    # nothing of the lengths is known: 3 tokens, each on up to the 16 positions of a page: 2·3·16 scores
    (MS + "PagedAttention", [(3, 8), (3, 4), (3, 4), (2, 16, 1, 4), (2, 16, 1, 4), (3,), (2,), (2, 1)], [(3, 8)],
     {"num_heads": 2, "kv_num_heads": 1},
     Work(macs=384 + 384, accumulators=96 + 24, muls=24, compares=96) + softmax(6, 16)),
    # of 4 pages a sequence, 3 that are there: 48 positions
    (MS + "PagedAttention", [(3, 8), (3, 4), (3, 4), (3, 16, 1, 4), (3, 16, 1, 4), (3,), (2,), (2, 4)], [(3, 8)],
     {"num_heads": 2, "kv_num_heads": 1},
     Work(macs=1152 + 1152, accumulators=288 + 24, muls=24, compares=288) + softmax(6, 48)),
    # the pasts are known: up to 5 + 3 positions for each token
    (MS + "PagedAttention", [(3, 8), (3, 4), (3, 4), (2, 16, 1, 4), (2, 16, 1, 4), (3,), i32(5, 0), (2, 1)], [(3, 8)],
     {"num_heads": 2, "kv_num_heads": 1},
     Work(macs=192 + 192, accumulators=48 + 24, muls=24, compares=48) + softmax(6, 8)),
    # where each sequence begins is known: 1 and 2 tokens on 16 positions
    (MS + "PagedAttention", [(3, 8), (3, 4), (3, 4), (2, 16, 1, 4), (2, 16, 1, 4), i32(0, 1, 3), (2,), (2, 1)], [(3, 8)],
     {"num_heads": 2, "kv_num_heads": 1},
     Work(macs=384 + 384, accumulators=96 + 24, muls=24, compares=96) + softmax(6, 16)),
    # the scores bounded: /, tanh, ·
    (MS + "PagedAttention", [(3, 16), None, None, (2, 16, 1, 4), (2, 16, 1, 4), i32(0, 1, 3), i32(5, 0), (2, 1)], [(3, 8)],
     {"num_heads": 2, "kv_num_heads": 1, "softcap": 2.0},
     Work(macs=80 + 80, accumulators=20 + 24, muls=24 + 20, divs=20, transcendentals=20, compares=20) + softmax(2, 6)
     + softmax(4, 2)),
    # the total length decides over a longer buffer
    (MS + "GroupQueryAttention", [(1, 1, 64), None, None, (1, 2, 9, 8), (1, 2, 9, 8), i32(5), i32(6)], [(1, 1, 32)],
     {"num_heads": 4, "kv_num_heads": 2, "causal": 0},
     Work(macs=192 + 192, accumulators=24 + 32, muls=32) + softmax(4, 6)),
    # a sink: an exponential and a sum in each of 4 rows; norms of 4 + 2 rows of 8: 144 products, 42 + 6 sums, 12 divisions, 6 √
    (MS + "GroupQueryAttention", [(1, 1, 64), *[None] * 5, i32(1), *[None] * 4, (4,), None, None, (8,), (8,)], [(1, 1, 32)],
     {"num_heads": 4, "kv_num_heads": 2, "causal": 0},
     Work(macs=64, accumulators=4 + 32, muls=32 + 144, adds=4 + 48, divs=12, transcendentals=4 + 6) + softmax(4, 1)),
    # a cache of 8 bits: 16 elements a position, in K and V; 1 new quantized (/, round, two bounds), 6 dequantized
    (MS + "GroupQueryAttention", [(1, 1, 64), None, None, (1, 2, 5, 8), (1, 2, 5, 8), i32(5), i32(6)], [(1, 1, 32)],
     {"num_heads": 4, "kv_num_heads": 2, "causal": 0, "k_quant_type": "PER_TENSOR", "v_quant_type": "PER_TENSOR"},
     Work(macs=192 + 192, accumulators=24 + 32, muls=32 + 192, divs=32, compares=96) + softmax(4, 6)),
    (MS + "RotaryEmbedding", [(2, 3, 8), (1,), (9, 2), (9, 2)], [(2, 3, 8)], {}, Work(muls=96, adds=48)),
    # half of each head of 4 is turned
    (MS + "RotaryEmbedding", [(2, 3, 8), (1,), (9, 1), (9, 1)], [(2, 3, 8)], {"num_heads": 2, "rotary_embedding_dim": 2},
     Work(muls=48, adds=24)),
    (MS + "MRotaryEmbedding", [(2, 2, 3, 4), (3, 2, 3), (9, 2), (9, 2)], [(2, 2, 3, 4)], {}, Work(muls=96, adds=48)),
    # 24 heads, 8 of 16 normalized: 192·3 products, 24·7 + 24 sums, 2·24 divisions, √; 4 of these turned
    (MS + "RMSNormRotary", [(2, 3, 4, 16), (8,), (1,), (9, 2), (9, 2)], [(2, 3, 32)],
     {"rotary_embedding_dim": 4, "input_width": 8},
     Work(muls=576 + 192, adds=168 + 24 + 96, divs=48, transcendentals=24)),
    (MS + "RMSNormRotary", [(2, 3, 4, 8), (8,), (1,), (9, 2), (9, 2)], [(2, 3, 32)], {"rotary_embedding_dim": 4},
     Work(muls=576 + 192, adds=168 + 24 + 96, divs=48, transcendentals=24)),
    (MS + "GemmaRotaryEmbedding", [(1, 3, 4), *[(1, 2, 3, 4)] * 4], [(1, 2, 3, 4)] * 2, {},
     Work(transcendentals=24, muls=96, adds=48)),
    # 3 tokens, 2 heads, a state of 4 × 6: 6 steps. 24 products of k ⊗ v added to it; o: 24 to 6 sums, scaled
    (MS + "LinearAttention", [(1, 3, 8), (1, 3, 8), (1, 3, 12)], [(1, 3, 12)],
     {"q_num_heads": 2, "kv_num_heads": 2, "update_rule": "linear"},
     Work(muls=36, macs=288, accumulators=36)),
    # one exponential a step and head, the state times it (24), and Sᵀk (24 to 6), v − Sᵀk, ·β
    (MS + "LinearAttention", [(1, 3, 8), (1, 3, 8), (1, 3, 12), None, (1, 3, 2), (1, 3, 2)], [(1, 3, 12)],
     {"q_num_heads": 2, "kv_num_heads": 2},
     Work(muls=36 + 144 + 36, adds=36, macs=144 + 288, accumulators=72, transcendentals=6)),
    # 4 heads read the state of 2; a decay of each of 4 keys
    (MS + "LinearAttention", [(1, 3, 16), (1, 3, 8), (1, 3, 12), None, (1, 3, 8)], [(1, 3, 24)],
     {"q_num_heads": 4, "kv_num_heads": 2, "update_rule": "gated"},
     Work(muls=72 + 144, macs=144 + 288, accumulators=72, transcendentals=24)),
    # + bias, exp, + 1, log, ·c; −, exp, + 1, 1/
    (MS + "LinearAttentionGate", [(1, 3, 2), (2,), (2,), (1, 3, 2)], [(1, 3, 2), (1, 3, 2)], {},
     Work(adds=12 + 12, transcendentals=12 + 6, muls=6, divs=6)),
]  # fmt: skip


@pytest.mark.parametrize("row", BY_HAND, ids=label)
def test_by_hand(row: Row) -> None:
    check(row)
