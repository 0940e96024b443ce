"""Which constants are parameters, which are buffers: by what reads them, and never by name."""

from __future__ import annotations

import pytest

import onnxcost
from tests.modeltext import model

# graph, constants, elements that are parameters, elements in buffers
CONSTANTS = {
    "a weight and its bias": (
        "(float[2,8] x) => (float y) { m = MatMul(x, w) y = Add(m, b) }", {"w": (8, 4), "b": (4,)}, 36, 0,
    ),
    "a weight that is reshaped, transposed and cast": (
        """(float[2,8] x) => (float y) <int64[2] s = {4, 8}> {
            r = Reshape(w, s) t = Transpose <perm = [1, 0]> (r) y = MatMul(x, t) }""", {"w": (32,)}, 32, 0,
    ),
    "two weights that are multiplied first": (
        "(float[2,8] x) => (float y) { p = MatMul(a, b) y = MatMul(x, p) }", {"a": (8, 2), "b": (2, 8)}, 32, 0,
    ),
    "positions that are added to features": (
        """(float[1,3,8,8] x) => (float y) <int64[3] s = {1, 6, 4}> { c = Conv <strides = [4, 4]> (x, w) r = Reshape(c, s)
            t = Transpose <perm = [0, 2, 1]> (r) y = Add(t, p) }""", {"w": (6, 3, 4, 4), "p": (1, 4, 6)}, 288 + 24, 0,
    ),
    "anchors and strides behind a head": (  # 6 features of 16 places, 2 of them their middles
        """(float[1,3,8,8] x) => (float y) <int64[3] s = {1, 6, 16}, int64[2] parts = {2, 4}> {
            c = Conv <strides = [2, 2]> (x, w) r = Reshape(c, s) xy, rest = Split <axis = 1> (r, parts)
            a = Add(xy, grid) b = Mul(a, stride) y = Concat <axis = 1> (b, rest) }""",
        {"w": (6, 3, 2, 2), "grid": (1, 2, 16), "stride": (1, 16)}, 72, 32 + 16,
    ),
    "angles of a rotary embedding": (
        """(float[1,16,8] x) => (float y) <int64[1] z = {0}, int64[1] n = {16}> { q = MatMul(x, w) c = Slice(cos, z, n, z)
            s = Slice(sin, z, n, z) k = Neg(q) a = Mul(q, c) b = Mul(k, s) r = Add(a, b) y = MatMul(r, v) }""",
        {"w": (8, 8), "v": (8, 8), "cos": (32, 8), "sin": (32, 8)}, 128, 512,
    ),
    "angles that positions look up": (
        """(float[1,16,8] x, int64[1,16] i) => (float y) { q = MatMul(x, w) c = Gather(cos, i) s = Gather(sin, i) k = Neg(q)
            a = Mul(q, c) b = Mul(k, s) r = Sub(a, b) y = MatMul(r, w) }""",
        {"w": (8, 8), "cos": (32, 8), "sin": (32, 8)}, 64, 512,
    ),
    "frequencies": (
        """(float[2,1] t) => (float y) { a = MatMul(t, f) s = Sin(a) c = Cos(a) e = Concat <axis = 1> (s, c)
            y = MatMul(e, w) }""",
        {"f": (1, 4), "w": (8, 3)}, 24, 4,
    ),
    "an embedding": ("(int64[1,5] i) => (float y) { e = Gather(w, i) y = MatMul(e, v) }", {"w": (9, 4), "v": (4, 4)}, 52, 0),
    "a table of relative positions": (
        """(float[1,3,4,4] a) => (float y) <int64[16] i = {0,1,2,3,4,5,6,0,1,2,3,4,5,6,0,1}, int64[3] s = {4, 4, 3}> {
            g = Gather(w, i) r = Reshape(g, s) t = Transpose <perm = [2, 0, 1]> (r) y = Add(a, t) }""", {"w": (7, 3)}, 21, 0,
    ),
    "a mask, and a bias for each head": (
        """(float[1,2,4,8] q, float[1,2,8,4] k, float[1,2,4,8] v) => (float y) { s = MatMul(q, k) b = Add(s, bias)
            m = Add(b, mask) p = Softmax(m) y = MatMul(p, v) }""", {"bias": (1, 2, 4, 4), "mask": (1, 1, 4, 4)}, 32, 16,
    ),
    "a state that a recurrent layer starts from": (
        "(float[5,1,3] x) => (float y) { y, h = GRU <hidden_size = 2> (x, w, r, , , h0) }",
        {"w": (1, 6, 3), "r": (1, 6, 2), "h0": (1, 1, 2)}, 30, 2,
    ),
    "the window of a transform": (
        """(float[1,64,1] x) => (float y) <int64 step = {8}, int64 n = {16}> { y = STFT(x, step, window, n) }""",
        {"window": (16,)}, 0, 16,
    ),
    "a grid of places": (
        "(float[1,1,4,4] x) => (float y) { g = GridSample(x, grid) y = Conv(g, w) }",
        {"grid": (1, 3, 3, 2), "w": (2, 1, 1, 1)}, 2, 18,
    ),
    "a scale of features behind an activation": (
        "(float[2,8] x) => (float y) { m = MatMul(x, w) r = Relu(m) y = Mul(r, g) }", {"w": (8, 4), "g": (4,)}, 36, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "constants", "parameters", "buffers"), CONSTANTS.values(), ids=CONSTANTS.keys())
def test_constants(text: str, constants: dict[str, tuple[int, ...]], parameters: int, buffers: int) -> None:
    memory = onnxcost.estimate(model(text, **constants)).memory
    assert (memory.parameters, memory.buffers, memory.buffer_bytes) == (parameters, buffers, 4 * buffers)


# node, parameters, bytes of its lists: 4 a float, 8 an integer
LEARNED = {
    "a linear classifier": (
        "y, z = ai.onnx.ml.LinearClassifier <coefficients = [0.1,0.2,0.3,0.4,0.5,0.6], intercepts = [0.1,0.2,0.3], "
        "classlabels_ints = [0,1,2]> (x)", 9, 4 * 9 + 8 * 3,
    ),
    "a tree of two thresholds and three leaves": (
        """y = ai.onnx.ml.TreeEnsembleRegressor <n_targets = 1, nodes_treeids = [0,0,0,0,0], nodes_nodeids = [0,1,2,3,4],
            nodes_featureids = [0,1,0,0,0], nodes_values = [0.5,0.25,0.0,0.0,0.0],
            nodes_modes = ["BRANCH_LEQ","BRANCH_LEQ","LEAF","LEAF","LEAF"], nodes_truenodeids = [1,3,0,0,0],
            nodes_falsenodeids = [2,4,0,0,0], target_treeids = [0,0,0], target_nodeids = [2,3,4], target_ids = [0,0,0],
            target_weights = [1.0,2.0,3.0]> (x)""", 5, 4 * (5 + 3) + 8 * (5 * 5 + 3 * 3),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("node", "parameters", "weight_bytes"), LEARNED.values(), ids=LEARNED.keys())
def test_models_that_are_attributes(node: str, parameters: int, weight_bytes: int) -> None:
    proto = model(f"(float[1,2] x) => (float y) {{ {node} }}", domains=', "ai.onnx.ml" : 3')
    memory = onnxcost.estimate(proto).memory
    assert (memory.parameters, memory.weight_bytes) == (parameters, weight_bytes)
