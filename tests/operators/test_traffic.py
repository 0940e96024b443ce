"""Bytes read and written, one row a rule."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onnxcost.errors import UnknownShape
from onnxcost.graph import Node
from onnxcost.operators.traffic import Traffic, traffic
from tests.graphs import node, tensor

X, Y = tensor("x", 2, 3), tensor("y", 2, 3)  # 24 bytes each
TABLE, IDS = tensor("t", 1000, 4, constant=True), tensor("i", 5, dtype="int64")
MIXTURE = [tensor("x", 6, 4), tensor("r", 6, 5), tensor("a", 5, 8, 4), None, tensor("b", 5, 4, 8)]
ONE = [tensor("x", 1, 4), tensor("r", 1, 5)]
TOTAL = replace(tensor("total", dtype="int32"), value=(7,))
ANGLES = [tensor("cos", 100, 4), tensor("sin", 100, 4)]
CACHE, GROWN = tensor("c", 1, 1, 10, 4), tensor("g", 1, 1, 11, 4)
STEP = [tensor("q", 1, 1, 8), tensor("k", 1, 1, 4), tensor("v", 1, 1, 4), CACHE, CACHE, tensor("last", 1, dtype="int32")]
PAGES, TOKENS = tensor("pages", 2, 16, 1, 4), [tensor("ids", 2, 3, dtype="int32"), tensor("segments", 2, 3, dtype="int32")]
LENGTHS = [tensor(name, 2, dtype="int32") for name in ("starts", "pasts", "blocks")]
PACKED = [tensor("t", 8, 16, dtype="uint8"), tensor("i", 3, dtype="int64"), tensor("s", 8, 1), tensor("z", 8, 1, dtype="uint8")]

TRAFFIC = {
    "inputs and outputs once": (node("Add", [X, X], [Y]), 48, 24),
    "absent inputs move nothing": (node("Clip", [X, None, tensor("max", dtype="float32")], [Y]), 28, 24),
    "weights are read": (node("MatMul", [X, tensor("w", 3, 3, constant=True)], [Y]), 60, 24),
    "4-bit weights are packed": (node("MatMul", [X, tensor("w", 3, 3, dtype="uint4", constant=True)], [Y]), 29, 24),
    "a view": (node("Reshape", [X, tensor("s", 1, dtype="int64")], [tensor("y", 6)]), 0, 0),
    "a shape": (node("Shape", [X], [tensor("y", 2, dtype="int64")]), 0, 0),
    "a constant": (node("Constant", [], [Y]), 0, 0),
    "an embedding reads what it picks": (node("Gather", [TABLE, IDS], [tensor("y", 5, 4)]), 80 + 40, 80),
    "a slice reads what it picks": (node("Slice", [X, tensor("b", 1, dtype="int64")], [tensor("y", 1, 3)]), 12 + 8, 12),
    "a split reads its input once": (node("Split", [X], [tensor("a", 1, 3), tensor("b", 1, 3)]), 24, 24),
    # Six tokens of hidden size 4, the two experts of each among five: all of them may be taken, 5·(4·8 + 8·4) floats.
    "a mixture of which all experts may be taken": (
        node("com.microsoft.MoE", MIXTURE, [tensor("y", 6, 4)], k=2),
        96 + 120 + 1280,
        96,
    ),
    # One token: two of the five.
    "a mixture of which two experts are taken": (
        node("com.microsoft.MoE", [*ONE, *MIXTURE[2:]], [tensor("y", 1, 4)], k=2),
        16 + 20 + 512,
        16,
    ),
    "a mixture whose experts have scales": (
        node("com.microsoft.QMoE", [*ONE, tensor("a", 5, 8, 2, dtype="uint8"), tensor("s", 5, 8)], [tensor("y", 1, 4)], k=1),
        16 + 20 + 16 + 32,
        16,
    ),
    "a mixture with a scalar": (
        node("com.microsoft.MoE", [*ONE, tensor("a", 5, 8, 4), tensor("s")], [tensor("y", 1, 4)], k=2),
        16 + 20 + 256 + 4,
        16,
    ),
    "a mixture without experts": (
        node("com.microsoft.MoE", [tensor("x", 1, 4), tensor("r", 1, 0), tensor("a", 0, 8, 4)], [tensor("y", 1, 4)], k=2),
        16,
        16,
    ),
    # Of 100 rows of 4 floats each table's three.
    "angles of three positions": (
        node(
            "com.microsoft.RotaryEmbedding",
            [tensor("x", 1, 3, 8), tensor("p", 1, 3, dtype="int64"), *ANGLES],
            [tensor("y", 1, 3, 8)],
            num_heads=1,
        ),
        96 + 24 + 2 * 48,
        96,
    ),
    "angles where heads come first": (
        node(
            "RotaryEmbedding", [tensor("x", 1, 2, 3, 8), *ANGLES, tensor("p", 1, 3, dtype="int64")], [tensor("y", 1, 2, 3, 8)]
        ),
        192 + 24 + 2 * 48,
        192,
    ),
    # Two sequences of three positions; tables of two rows are read whole.
    "angles of two sequences": (
        node("com.microsoft.RotaryEmbedding", [tensor("x", 2, 3, 8), IDS, *ANGLES], [tensor("y", 2, 3, 8)], num_heads=1),
        192 + 40 + 2 * 96,
        192,
    ),
    "angles of a short table": (
        node(
            "com.microsoft.RotaryEmbedding",
            [tensor("x", 1, 3, 8), IDS, tensor("cos", 2, 4), tensor("sin", 2, 4)],
            [tensor("y", 1, 3, 8)],
        ),
        96 + 40 + 2 * 32,
        96,
    ),
    "angles of five tokens": (
        node(
            "com.microsoft.PagedAttention",
            [tensor("q", 5, 8), tensor("k", 5, 4), tensor("v", 5, 4), PAGES, PAGES, *LENGTHS, *ANGLES],
            [tensor("y", 5, 8)],
            num_heads=2,
            kv_num_heads=1,
        ),
        160 + 80 + 80 + 2 * 512 + 3 * 8 + 2 * 80,
        160,
    ),
    # Six tokens look up a row of 4 floats in each of three tables.
    "embeddings that are added and normalized": (
        node(
            "com.microsoft.EmbedLayerNormalization",
            [*TOKENS, tensor("w", 100, 4), tensor("p", 50, 4), tensor("s", 2, 4), tensor("g", 4), tensor("b", 4)],
            [tensor("y", 2, 3, 4)],
        ),
        2 * 24 + 3 * 6 * 16 + 2 * 16,
        96,
    ),
    # Of 8 rows with 16 + 4 + 1 bytes each three, of 16 columns three.
    "packed rows": (node("com.microsoft.GatherBlockQuantized", PACKED, [tensor("y", 3, 16)]), 3 * 21 + 24, 192),
    "packed columns": (
        node("com.microsoft.GatherBlockQuantized", PACKED, [tensor("y", 8, 3)], gather_axis=1),
        168 * 3 // 16 + 24,
        96,
    ),
    # A decode step: q, k and v of 8, 4 and 4 floats; caches of 10 positions of 4 floats, 7 attended to and 1 of them new.
    "attention with a shared buffer": (
        node(
            "com.microsoft.GroupQueryAttention",
            [*STEP, TOTAL, *ANGLES],
            [tensor("y", 1, 1, 8), CACHE, CACHE],
            num_heads=2,
            kv_num_heads=1,
        ),
        32 + 16 + 16 + 4 + 4 + 2 * 7 * 16 + 2 * 16,
        32 + 2 * 16,
    ),
    "attention with a shared buffer that may be full": (
        node("com.microsoft.GroupQueryAttention", STEP, [tensor("y", 1, 1, 8), CACHE, CACHE], num_heads=2, kv_num_heads=1),
        32 + 16 + 16 + 4 + 2 * 10 * 16,
        32 + 2 * 16,
    ),
    "attention with a cache that grows": (
        node(
            "com.microsoft.GroupQueryAttention",
            [*STEP, tensor("total", dtype="int32"), *ANGLES],
            [tensor("y", 1, 1, 8), GROWN, GROWN],
            num_heads=2,
            kv_num_heads=1,
        ),
        32 + 16 + 16 + 4 + 4 + 2 * 160 + 2 * 16,
        32 + 2 * 176,
    ),
}


@pytest.mark.parametrize(("made", "read", "write"), TRAFFIC.values(), ids=TRAFFIC.keys())
def test_traffic(made: Node, read: int, write: int) -> None:
    assert traffic(made) == Traffic(read, write)


def test_an_open_shape_has_no_traffic() -> None:
    with pytest.raises(UnknownShape, match="the shape of 'y' is unknown"):
        traffic(node("Relu", [X], [tensor("y", None)]))


def test_traffic_adds_and_scales() -> None:
    assert (3 * Traffic(1, 2) + Traffic(10, 20)).total == 39
