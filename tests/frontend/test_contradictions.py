"""Nodes that cannot exist with their shapes although onnx's inference lets them pass: which sizes, and what is said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import pytest
from onnx import ModelProto

from onnxcost import estimate
from onnxcost.errors import ModelError
from onnxcost.frontend.contradictions import Contradiction
from onnxcost.frontend.values import Step
from tests.modeltext import model


class Row(NamedTuple):
    """A node on inputs of these dims, which is valid; an input with other dims, and what is said then."""

    node: str
    dims: dict[str, tuple[int, ...]]
    name: str
    wrong: tuple[int, ...]
    said: str


LSTM = "y, h, c = LSTM <hidden_size = 3> (x, w, r, b, , h0, c0)"
LSTM_DIMS = {"x": (5, 2, 4), "w": (1, 12, 4), "r": (1, 12, 3), "b": (1, 24), "h0": (1, 2, 3), "c0": (1, 2, 3)}
GRU = "y, h = GRU <hidden_size = 3> (x, w, r, b, , h0)"
GRU_DIMS = {"x": (5, 2, 4), "w": (1, 9, 4), "r": (1, 9, 3), "b": (1, 18), "h0": (1, 2, 3)}
# 8 heads of 16, of keys and values 4
GROUPED = "y = com.microsoft.GroupQueryAttention <num_heads = 8, kv_num_heads = 4> (q, k, v, pk, pv, s, t)"
PAST = {"pk": (2, 4, 10, 16), "pv": (2, 4, 10, 16), "s": (2, 1), "t": (1,)}
GROUPED_DIMS = {"q": (2, 1, 128), "k": (2, 1, 64), "v": (2, 1, 64), **PAST}
TOGETHER = GROUPED.replace("k, v,", ", ,")
TOGETHER_DIMS = {"q": (2, 1, 256), **PAST}
HEADS = "y = com.microsoft.MultiHeadAttention <num_heads = 8> (q, k, v, , , , pk, pv)"
HEADS_DIMS = {"q": (2, 1, 128), "k": (2, 1, 128), "v": (2, 1, 128), "pk": (2, 8, 10, 16), "pv": (2, 8, 10, 16)}

ROWS = [
    *(Row(node, dims, *changed)
      for node, dims in ((LSTM, LSTM_DIMS), (GRU, GRU_DIMS))
      for changed in (("x", (5, 2, 6), "dim 2 of its input 0 is 6, but must be 4"),
                      ("h0", (2, 2, 3), "dim 0 of its input 5 is 2, but must be 1"),
                      ("h0", (1, 3, 3), "dim 1 of its input 5 is 3, but must be 2"),
                      ("h0", (1, 2, 4), "dim 2 of its input 5 is 4, but must be 3"))),
    Row(LSTM, LSTM_DIMS, "c0", (2, 2, 3), "dim 0 of its input 6 is 2, but must be 1"),
    Row(LSTM, LSTM_DIMS, "c0", (1, 3, 3), "dim 1 of its input 6 is 3, but must be 2"),
    Row(LSTM, LSTM_DIMS, "c0", (1, 2, 4), "dim 2 of its input 6 is 4, but must be 3"),
    Row("y = ConvTranspose(x, w)", {"x": (1, 3, 5, 5), "w": (3, 4, 3, 3)}, "x", (1, 2, 5, 5),
        "dim 1 of its input 0 is 2, but must be 3"),
    Row("y = BatchNormalization(x, s, b, m, v)", {"x": (1, 3, 5), "s": (3,), "b": (3,), "m": (3,), "v": (3,)}, "x", (1, 4, 5),
        "dim 1 of its input 0 is 4, but must be 3"),
    Row("y = InstanceNormalization(x, s, b)", {"x": (1, 3, 5), "s": (3,), "b": (3,)}, "x", (1, 4, 5),
        "dim 1 of its input 0 is 4, but must be 3"),
    Row("y = LayerNormalization(x, s)", {"x": (2, 7), "s": (7,)}, "x", (2, 8), "dim -1 of its input 0 is 8, but must be 7"),
    Row("y = RMSNormalization(x, s)", {"x": (2, 7), "s": (7,)}, "x", (2, 8), "dim -1 of its input 0 is 8, but must be 7"),
    Row("y = SimplifiedLayerNormalization(x, s)", {"x": (2, 7), "s": (7,)}, "x", (2, 8),
        "dim -1 of its input 0 is 8, but must be 7"),
    Row("y = com.microsoft.SkipLayerNormalization(x, k, g)", {"x": (1, 2, 7), "k": (1, 2, 7), "g": (7,)}, "g", (8,),
        "dim -1 of its input 0 is 7, but must be 8"),
    Row("y = com.microsoft.SkipSimplifiedLayerNormalization(x, k, g, b)",
        {"x": (1, 2, 7), "k": (1, 2, 7), "g": (7,), "b": (7,)}, "g", (8,), "dim -1 of its input 0 is 7, but must be 8"),
    Row("y = com.microsoft.Attention <num_heads = 2> (x, w, b)", {"x": (1, 3, 8), "w": (8, 24), "b": (24,)}, "x", (1, 3, 6),
        "dim 2 of its input 0 is 6, but must be 8"),
    Row("y = com.microsoft.MatMulNBits <K = 64, N = 4, block_size = 32> (x, w, s)",
        {"x": (2, 64), "w": (4, 2, 16), "s": (8,)}, "x", (2, 32), "dim -1 of its input 0 is 32, but must be 64"),
    Row("y = PRelu(x, s)", {"x": (1, 3, 5, 7), "s": (3, 1, 1)}, "x", (1, 4, 5, 7),
        "dim -3 of its input 0 is 4, but must be 3"),
    Row('y = Einsum <equation = "ij,jk->ik"> (x, w)', {"x": (2, 3), "w": (3, 4)}, "w", (5, 4),
        "dim 0 of its input 1 is 5, but must be 3"),
    # A cache has a batch, heads and a size of each that fit.
    *(Row(node, dims, name, wrong, said)
      for node, dims, place in ((GROUPED, GROUPED_DIMS, 3), (TOGETHER, TOGETHER_DIMS, 3))
      for at, name in enumerate(("pk", "pv"))
      for wrong, said in (((3, 4, 10, 16), f"dim 0 of its input {place + at} is 3, but must be 2"),
                          ((2, 8, 10, 16), f"dim 1 of its input {place + at} is 8, but must be 4"),
                          ((2, 4, 10, 32), f"dim 3 of its input {place + at} is 32, but must be 16"))),
    *(Row(HEADS, HEADS_DIMS, name, wrong, said)
      for at, name in enumerate(("pk", "pv"))
      for wrong, said in (((3, 8, 10, 16), f"dim 0 of its input {6 + at} is 3, but must be 2"),
                          ((2, 4, 10, 16), f"dim 1 of its input {6 + at} is 4, but must be 8"),
                          ((2, 8, 10, 32), f"dim 3 of its input {6 + at} is 32, but must be 16"))),
    Row("y = SpaceToDepth <blocksize = 2> (x)", {"x": (1, 1, 6, 4)}, "x", (1, 1, 5, 4),
        "dim 2 of its input is 5, but must be a multiple of 2"),
    Row("y = SpaceToDepth <blocksize = 2> (x)", {"x": (1, 1, 6, 4)}, "x", (1, 1, 6, 5),
        "dim 3 of its input is 5, but must be a multiple of 2"),
    Row("y = DepthToSpace <blocksize = 2> (x)", {"x": (1, 8, 3, 3)}, "x", (1, 6, 3, 3),
        "dim 1 of its input is 6, but must be a multiple of 4"),
    Row("y = GroupNormalization <num_groups = 3> (x, s, b)", {"x": (1, 6, 5), "s": (6,), "b": (6,)}, "x", (1, 7, 5),
        "dim 1 of its input is 7, but must be a multiple of 3"),
    Row("y = Conv(x, w)", {"x": (1, 3, 9, 9), "w": (4, 3, 3, 3)}, "x", (1, 2, 9, 9), "its weight is for 3 channels, not 2"),
    Row("y = Conv(x, w)", {"x": (1, 3, 9), "w": (4, 3, 3)}, "x", (1, 2, 9), "its weight is for 3 channels, not 2"),
    Row("y = Conv <group = 2> (x, w)", {"x": (1, 6, 9, 9), "w": (4, 3, 3, 3)}, "x", (1, 3, 9, 9),
        "its weight is for 6 channels, not 3"),
    # A kernel of 3 every second element is a window of 5; with padding there is room for it.
    Row("y = Conv <dilations = [2, 2], pads = [1, 0, 0, 0]> (x, w)", {"x": (1, 3, 4, 5), "w": (4, 3, 3, 3)}, "x", (1, 3, 3, 5),
        "a window of 5 does not fit in the 4 of dim 2, including padding"),
    Row("y = MaxPool <kernel_shape = [3, 3]> (x)", {"x": (1, 3, 3, 3)}, "x", (1, 3, 3, 2),
        "a window of 3 does not fit in the 2 of dim 3, including padding"),
]  # fmt: skip


def built(node: str, dims: dict[str, tuple[int, ...]]) -> ModelProto:
    """The node, beside another one whose size is assumed: only then is it looked at what onnx's inference lets pass."""
    whole = {"s": "int32", "t": "int32"} if "GroupQuery" in node else {"w": "uint8"} if "NBits" in node else {}
    inputs = ", ".join(f"{whole.get(name, 'float')}[{', '.join(map(str, each))}] {name}" for name, each in dims.items())
    text = f"({inputs}, float[other] o) => (float y, float p) {{ {node} p = Relu(o) }}"
    return model(text, opset=23, domains=', "com.microsoft" : 1')


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.node.partition('= ')[2].partition(' ')[0]} {row.name} {row.wrong}")
def test_sizes_that_do_not_fit(row: Row) -> None:
    assert estimate(built(row.node, row.dims)).complete
    with pytest.raises(ModelError, match="is invalid") as caught:
        estimate(built(row.node, row.dims | {row.name: row.wrong}))
    assert row.said in str(caught.value)


# A graph, and what is said of it.
GRAPHS = {
    "a dim of no tensor": ("(float[2, 3] x) => (float y) { y = Softmax <axis = 64> (x) }", "its axis names dim 64"),
    "a dim before the first": ("(float[2, 3] x) => (float y) { y = ReduceSum <axes = [-65]> (x) }", "its axes names dim -65"),
    "a dim that its input lacks": ("(float[2, 3] x, float[3] s) => (float y) { y = LayerNormalization <axis = 2> (x, s) }",
                                   "its axis names dim 2"),
    "outputs that are not counted": ("(float[6] x) => (float a, float b) { a, b = Split <num_outputs = 3> (x) }",
                                     "it has 2 outputs, but its num_outputs is 3"),
    "a convolution without a weight": ("(float[2, 3, 4, 4] x) => (float y) { y = Conv(x) }", "node 'Conv_0'"),
    "a dim that Reshape cannot copy": ("(float[1, n] x) => (float y) <int64[3] s = {1, 5, 0}> { y = Reshape(x, s) }",
                                       "node 'Reshape_0' (Reshape) is invalid"),
    "blocks of no size": ("(float[1, 3, H, W] x) => (float y) { y = SpaceToDepth <blocksize = 0> (x) }",
                          "node 'SpaceToDepth_0'"),
    "elements that are too few": ("(float[4, 6] x) => (float y) <int64[2] s = {5, 5}> { y = Reshape(x, s) }",
                                  "24 elements cannot be reshaped to [5, 5]"),
    "positions behind a table": (
        "(float[other] o) => (float y, float p) <int64 a = {0}, int64 b = {10}, int64 c = {1}, float[8, 2] w = "
        "{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> { i = Range(a, b, c) y = Gather(w, i) p = Relu(o) }",
        "it looks up 10 positions in a table of 8"),
    "a sequence without a batch": (
        "(float[5, 4] x, float[1, 12, 4] w, float[1, 12, 3] r) => (float y) { y = LSTM <hidden_size = 3> (x, w, r) }",
        "First input tensor must have rank 3"),
}  # fmt: skip


@pytest.mark.parametrize(("graph", "said"), GRAPHS.values(), ids=GRAPHS.keys())
def test_nodes_that_cannot_be(graph: str, said: str) -> None:
    with pytest.raises(ModelError) as caught:
        estimate(model(graph, opset=11 if "Reduce" in graph else 18))
    assert said in str(caught.value)


ROOM = "{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}"
# A graph; the pairs of a size that its node gets and one that it may be made for, and what its elements must be a multiple of.
PAIRS = {
    "channels": ("(float[1,4,9,9] x, float[2,3,3,3] w, float[o] q) => (float y, float p) { y = Conv(x, w) p = Relu(q) }",
                 [(4, 3)], ()),
    # 100 elements in rows of 16: 7 or 6 of them. The target itself has 3 elements.
    "what is left": ("(float[4,25] x) => (float y) <int64[3] s = {2,-1,8}> { y = Reshape(x, s) }",
                     [(100, 112), (100, 96), (25, 3), (4, 3)], (2, 8)),
    "all elements": ("(float[4,25] x) => (float y) <int64[2] s = {4,24}> { y = Reshape(x, s) }",
                     [(100, 96), (25, 2), (4, 2)], (4, 24)),
    # Rows of 4 · 7.
    "a dim as it is": ("(float[4,25] x) => (float y) <int64[3] s = {0,7,-1}> { y = Reshape(x, s) }",
                       [(100, 112), (100, 84), (25, 3), (4, 3)], (7,)),
    "rows of one":  ("(float[4,25] x) => (float y) <int64[3] s = {1,-1,8}> { y = Reshape(x, s) }",
                     [(100, 104), (100, 96), (25, 3), (4, 3)], (8,)),
    "fewer than a row": ("(float[2,3] x) => (float y) <int64[2] s = {-1,7}> { y = Reshape(x, s) }", [(6, 7), (3, 2)], (7,)),
    "the largest factor": ("(float[2,3] x) => (float y) <int64[2] s = {-1,65535}> { y = Reshape(x, s) }",
                           [(6, 65535), (3, 2)], (65535,)),
    "one that is larger": ("(float[2,3] x) => (float y) <int64[2] s = {-1,65536}> { y = Reshape(x, s) }",
                           [(6, 65536), (3, 2)], ()),
    "pieces": ("(float[2,7] x) => (float a, float b) <int64[2] s = {3,5}> { a, b = Split<axis=1>(x, s) }",
               [(7, 8), (7, 2)], ()),
    "equal pieces": ("(float[7] x) => (float a, float b) { a, b = Split(x) }", [(7, 8), (7, 6)], ()),
    "what is repeated": ("(float[2,7] x) => (float y) <int64[2] s = {3,7}> { y = Expand(x, s) }", [(3, 2), (2, 3)], ()),
    "what one is repeated to": ("(float[2,1] x) => (float y) <int64[2] s = {3,5}> { y = Expand(x, s) }", [(3, 2), (2, 3)], ()),
    # Four columns are a multiple of 2 already.
    "rows of blocks": ("(float[1,1,5,4] x, float[o] q) => (float y, float p) { y = SpaceToDepth<blocksize=2>(x) p = Relu(q)}",
                       [(5, 6), (5, 4)], ()),
    "channels of blocks": ("(float[1,3,4,4] x, float[o] q) => (float y, float p) "
                           "{ y = DepthToSpace<blocksize=2>(x) p = Relu(q)}", [(3, 4)], ()),
    "a window": ("(float[1,3,5,2] x, float[o] q) => (float y, float p) { y = MaxPool<kernel_shape=[3,3]>(x) p = Relu(q) }",
                 [(2, 3)], ()),
    "a product": ("(float[2,5] x, float[4,6] w) => (float y) { y = MatMul(x, w) }", [(5, 4), (5, 6), (6, 5), (4, 2)], ()),
    "columns of a product": ("(float[2,5] x, float[6,4] w) => (float y) { y = Gemm<transB=1>(x, w) }", [(5, 4)], ()),
    "rows of a product": ("(float[2,5] x, float[4,6] w) => (float y) { y = Gemm(x, w) }", [(5, 4)], ()),
    "a sum": ("(float[2,5] x, float[3] z) => (float y) { y = Add(x, z) }", [(5, 3), (2, 3), (3, 5), (3, 2)], ()),
    "what is joined": ("(float[2,5] x, float[3,4] z) => (float y) { y = Concat<axis=1>(x, z) }",
                       [(5, 4), (2, 3), (4, 5), (3, 2)], ()),
    "slopes": ("(float[1,3,5] x, float[4,1] s, float[o] q) => (float y, float p) { y = PRelu(x, s) p = Relu(q) }",
               [(3, 4)], ()),
    "a table": (
        f"(float[o] q) => (float y, float p) <int64 a = {{0}}, int64 b = {{10}}, int64 c = {{1}}, float[8, 2] w = {ROOM}>"
        "{ i = Range(a, b, c) y = Gather(w, i) p = Relu(q) }", [(10, 8)], ()),
    "a table, from the third on": (
        f"(float[o] q) => (float y, float p) <int64 a = {{0}}, int64 b = {{7}}, int64 c = {{1}}, int64 d = {{2}}, "
        f"float[8, 2] w = {ROOM}> {{ i = Range(a, b, c) j = Add(i, d) y = Gather(w, j) p = Relu(q) }}", [(9, 8)], ()),
    # Each of the two may be the one to change.
    "a state": ("(float[5,2,4] x, float[1,12,4] w, float[1,12,3] r, float[1,3,3] h, float[1,2,3] c, float[o] q) => "
                "(float y, float p) { y, k, l = LSTM<hidden_size=3>(x, w, r, , , h, c) p = Relu(q) }", [(3, 2), (2, 3)], ()),
}  # fmt: skip


@pytest.mark.parametrize(("graph", "pairs", "factors"), PAIRS.values(), ids=PAIRS.keys())
def test_sizes_to_try(
    graph: str, pairs: list[tuple[int, int]], factors: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Contradiction] = []
    begin = Contradiction.__init__

    def keep(self: Contradiction, message: str, step: Step | None = None, pairs: Sequence[tuple[int, int]] = ()) -> None:
        begin(self, message, step, pairs)
        made.append(self)

    monkeypatch.setattr(Contradiction, "__init__", keep)
    with pytest.raises(ModelError):
        estimate(model(graph, opset=13 if "Split(x)" in graph else 18))
    assert (list(made[0].pairs), made[0].factors) == (pairs, factors)


@pytest.mark.parametrize(
    "graph",
    [
        "(float[2, 3] x) => (float y) { y = Softmax <axis = 1> (x) }",
        "(float[2, 3] x) => (float y) { y = ReduceSum <axes = [-2]> (x) }",
        "(float[2, 3] x, float[3] s) => (float y) { y = LayerNormalization <axis = -1> (x, s) }",
        "(float[2, 3] x, float[2, 3] s) => (float y) { y = LayerNormalization <axis = -2> (x, s) }",
        "(float[2, 3] x, float[2, 3] s) => (float y) { y = RMSNormalization <axis = -2> (x, s) }",
        "(float[6] x) => (float a, float b) { a, b = Split <num_outputs = 2> (x) }",
        "(float[4, 6] x) => (float y) <int64[2] s = {3, 8}> { y = Reshape(x, s) }",
        "(float[other] o) => (float y, float p) <int64 a = {0}, int64 b = {8}, int64 c = {1}, float[8, 2] w = "
        "{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> { i = Range(a, b, c) y = Gather(w, i) p = Relu(o) }",
        "(float[other] o) => (float y, float p) <int64 a = {0}, int64 b = {7}, int64 c = {1}, int64 d = {2}, float[8, 2] w = "
        "{0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0}> { i = Range(a, b, c) j = Sub(i, d) y = Gather(w, j) p = Relu(o) }",
        "(float[5, 2, 4] x, float[1, 12, 4] w, float[1, 12, 3] r) => (float y, float c) "
        "{ y, , c = LSTM <hidden_size = 3> (x, w, r) }",
        # K is the width of a packed table's rows when they are unpacked.
        "(float[other] o, uint8[9, 144] t, int64[3] i) => (float y, float p) "
        "{ y = com.microsoft.GatherPacked <packed_type = 2, K = 256> (t, i) p = Relu(o) }",
    ],
)
def test_nodes_that_just_can_be(graph: str) -> None:
    made = model(graph, opset=11 if "Reduce" in graph else 23 if "RMS" in graph else 18, domains=', "com.microsoft" : 1')
    assert estimate(made).complete


@pytest.mark.parametrize("node", [GROUPED, TOGETHER])
def test_no_heads_are_no_node(node: str) -> None:
    """It is left uncounted, and ends nothing."""
    dims = GROUPED_DIMS if node is GROUPED else TOGETHER_DIMS
    none = node.replace("num_heads = 8, kv_num_heads = 4", "num_heads = 0, kv_num_heads = 0")
    assert [cost.node.op_type for cost in estimate(built(none, dims)).uncounted] == ["GroupQueryAttention"]


@pytest.mark.parametrize("node", ["DepthToSpace <blocksize = 2> (x)", "SpaceToDepth <blocksize = 2> (x)"])
def test_blocks_where_channels_are_last(node: str) -> None:
    """Six rows and ten columns are multiples of 2, and four channels one of 4; dim 1 is no channel here."""
    text = f"(float[batch,6,10,4] x) => (float y) {{ y = com.ms.internal.nhwc.{node} }}"
    assert estimate(model(text, domains=', "com.ms.internal.nhwc": 1')).complete
