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
    "centers and sizes of one box a place": (  # 4 coordinates from 4 channels, in 16 places
        """(float[1,3,8,8] x) => (float y) <int64[3] s = {1, 16, 4}> { c = Conv <strides = [2, 2]> (x, w) r = Reshape(c, s)
            m = Mul(r, sizes) y = Add(m, centers) }""", {"w": (4, 3, 2, 2), "sizes": (16, 4), "centers": (16, 4)}, 48, 128,
    ),
    "a cache that is written to": (
        "(float[1,2,1,4] k, int64[1] at) => (float y) { y = TensorScatter(cache, k, at) }", {"cache": (1, 2, 16, 4)}, 0, 128,
    ),
    "anchors and strides of keypoints": (  # (2·x + a − 0.5)·s of 4 coordinates in 16 places: 2 keypoints
        """(float[1,3,8,8] x) => (float y) <int64[4] s = {1, 2, 2, 16}, float two = {2}> { c = Conv <strides = [2, 2]> (x, w)
            r = Reshape(c, s) d = Mul(r, two) a = Add(d, grid) y = Mul(a, stride) }""",
        {"w": (4, 3, 2, 2), "grid": (2, 16), "stride": (1, 16)}, 48, 32 + 16,
    ),
    "anchors and strides of rotated boxes": (  # distances, turned by an angle, around the anchors
        """(float[1,3,8,8] x) => (float y) <int64[3] s = {1, 5, 16}, int64[3] parts = {2, 2, 1}, float half = {0.5}> {
            c = Conv <strides = [2, 2]> (x, w) r = Reshape(c, s) lt, rb, t = Split <axis = 1> (r, parts) g = Sigmoid(t)
            cos = Cos(g) sin = Sin(g) d = Sub(rb, lt) f = Mul(d, half) p = Mul(f, cos) q = Mul(f, sin) u = Sub(p, q)
            xy = Add(u, grid) wh = Add(lt, rb) b = Concat <axis = 1> (xy, wh) y = Mul(b, stride) }""",
        {"w": (5, 3, 2, 2), "grid": (1, 2, 16), "stride": (1, 16)}, 60, 32 + 16,
    ),
    "angles of a rotary embedding": (
        """(float[1,16,8] x) => (float y) <int64[1] z = {0}, int64[1] n = {16}> { q = MatMul(x, w) c = Slice(cos, z, n, z)
            s = Slice(sin, z, n, z) k = Neg(q) a = Mul(q, c) b = Mul(k, s) r = Add(a, b) y = MatMul(r, v) }""",
        {"w": (8, 8), "v": (8, 8), "cos": (32, 8), "sin": (32, 8)}, 128, 512,
    ),
    "two scales of features that are no angles": (
        """(float[1,16,8] x) => (float y) { q = MatMul(x, w) k = Neg(q) a = Mul(q, c) b = Mul(k, s) r = Add(a, b)
            y = MatMul(r, v) }""", {"w": (8, 8), "v": (8, 8), "c": (1, 8), "s": (1, 8)}, 128 + 16, 0,
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
    "a bias in front of a softmax over classes": (
        "(float[2,8] x) => (float y) { m = MatMul(x, w) a = Add(m, b) y = Softmax(a) }", {"w": (8, 4), "b": (1, 4)}, 36, 0,
    ),
    "a mask of two dims": (
        """(float[4,8] q, float[8,4] k) => (float y) { s = MatMul(q, k) m = Add(s, mask) p = Softmax(m) y = MatMul(p, v) }""",
        {"mask": (4, 4), "v": (4, 8)}, 32, 16,
    ),
    "what replaces masked scores": (
        """(float[1,2,4,8] q, float[1,2,8,4] k, bool[1,1,4,4] at) => (float y) { s = MatMul(q, k) m = Where(at, s, least)
            p = Softmax(m) y = MatMul(p, v) }""", {"least": (1, 2, 4, 4), "v": (1, 2, 4, 8)}, 64, 32,
    ),
    "a state that a recurrent layer starts from": (
        "(float[5,1,3] x) => (float y) { y, h = GRU <hidden_size = 2> (x, w, r, , , h0) }",
        {"w": (1, 6, 3), "r": (1, 6, 2), "h0": (1, 1, 2)}, 30, 2,
    ),
    "sines and cosines in one table": (
        """(float[1,16,8] x, int64[1,16] i) => (float y) { q = MatMul(x, w) t = Gather(table, i)
            s, c = Split <axis = 2> (t) k = Neg(q) a = Mul(q, c) b = Mul(k, s) r = Add(a, b) y = MatMul(r, w) n = Shape(s) }""",
        {"w": (8, 8), "table": (32, 16)}, 64, 512,
    ),
    "slopes of distances, added to attention's scores": (
        """(float[1,2,4,8] q, float[1,2,8,4] k, float[1,4] mask) => (float y) <int64 one = {1}> { s = MatMul(q, k)
            d = CumSum(mask, one) a = Mul(slopes, d) b = Add(s, a) p = Softmax(b) y = MatMul(p, v) }""",
        {"slopes": (2, 1, 1), "v": (1, 2, 4, 8)}, 64, 2,
    ),
    "a bias that all queries share": (
        """(float[1,2,4,8] q, float[1,2,8,4] k) => (float y) { s = MatMul(q, k) b = Add(s, alibi) p = Softmax(b)
            y = MatMul(p, v) }""", {"alibi": (2, 1, 4), "v": (1, 2, 4, 8)}, 64, 8,
    ),
    "relative positions that are cut to length and projected": (
        """(float[1,4,8] x, int64[1] end) => (float y) <int64[1] z = {0}, int64[1] one = {1}> { q = MatMul(x, w)
            p = Slice(table, z, end, one) k = MatMul(p, v) t = Transpose <perm = [0, 2, 1]> (k) y = MatMul(q, t) }""",
        {"w": (8, 8), "v": (8, 8), "table": (1, 9, 8)}, 128, 72,
    ),
    "coordinates from which a bias of attention is computed": (
        """(float[1,2,4,8] q, float[1,2,8,4] k) => (float y) <int64[3] s = {4, 4, 2}> { s0 = MatMul(q, k) a = MatMul(places, v)
            r = Relu(a) b = MatMul(r, w) c = Reshape(b, s) t = Transpose <perm = [2, 0, 1]> (c) d = Add(s0, t)
            y = Softmax(d) }""", {"places": (16, 2), "v": (2, 8), "w": (8, 2)}, 32, 32,
    ),
    "coordinates that an Identity hands on": (
        """(float[1,2,4,8] q, float[1,2,8,4] k) => (float y) <int64[3] s = {4, 4, 2}> { s0 = MatMul(q, k) p = Identity(places)
            a = MatMul(p, v) r = Relu(a) b = MatMul(r, w) c = Reshape(b, s) t = Transpose <perm = [2, 0, 1]> (c)
            d = Add(s0, t) y = Softmax(d) }""", {"places": (16, 2), "v": (2, 8), "w": (8, 2)}, 32, 32,
    ),
    "an embedding that is cut to length and projected": (
        """(float[4,8] x, int64[1] end) => (float y) <int64[1] z = {0}> { p = Slice(table, z, end) k = MatMul(p, v)
            t = Transpose(k) y = MatMul(x, t) }""", {"v": (8, 8), "table": (9, 8)}, 136, 0,
    ),
    "a table of one row that is cut and projected": (
        """(float[4,8] x, int64[1] end) => (float y) <int64[1] z = {0}> { p = Slice(table, z, end) k = MatMul(p, v)
            t = Transpose(k) y = MatMul(x, t) }""", {"v": (8, 8), "table": (1, 8)}, 72, 0,
    ),
    "coordinates in three dims, four nodes before an activation": (
        """(float[4,8] x) => (float y) <int64[2] s = {16, 8}> { a = MatMul(places, v) h = Add(a, b) r = Reshape(h, s)
            t = Transpose(r) u = Relu(t) y = MatMul(x, u) }""", {"places": (16, 3), "v": (3, 8), "b": (8,)}, 32, 48,
    ),
    "factors and terms of five features of a place": (
        """(float[1,3,8,8] x) => (float y) <int64[3] s = {1, 16, 5}> { c = Conv <strides = [2, 2]> (x, w) r = Reshape(c, s)
            m = Mul(r, g) y = Add(m, b) }""", {"w": (5, 3, 2, 2), "g": (16, 5), "b": (16, 5)}, 60 + 160, 0,
    ),
    "a normalization that reads the input": (
        "(float[1,3,4,4] x) => (float y) { n = InstanceNormalization(x, g, b) y = Relu(n) }", {"g": (3,), "b": (3,)}, 6, 0,
    ),
    "a normalization behind a view": (
        """(float[1,3,4,4] x) => (float y) <int64[3] s = {1, 3, 16}> { v = Reshape(x, s) n = InstanceNormalization(v, g, b)
            y = Relu(n) }""", {"g": (3,), "b": (3,)}, 6, 0,
    ),
    "a table that is added to features before regions are cut out": (
        """(float[1,3,8,8] x, float[2,4] boxes, int64[2] images) => (float y) { c = Conv(x, w) r = Relu(c) a = Add(r, p)
            g = RoiAlign <output_height = 2, output_width = 2> (a, boxes, images) f = Flatten(g) y = MatMul(f, v) }""",
        {"w": (6, 3, 1, 1), "p": (1, 1, 8, 8), "v": (24, 5)}, 18 + 64 + 120, 0,
    ),
    "an image that is multiplied first": (
        "(float[1,3,8,8] x) => (float y) { a = Mul(scale, x) y = Conv(a, w) }",
        {"scale": (1, 3, 1, 1), "w": (2, 3, 1, 1)}, 6, 3,
    ),
    "an image that is prepared first": (
        "(float[1,3,8,8] x) => (float y) { a = Sub(x, mean) b = Div(a, std) y = Conv(b, w) }",
        {"mean": (1, 3, 1, 1), "std": (1, 3, 1, 1), "w": (2, 3, 1, 1)}, 6, 6,
    ),
    "numbers that become tokens": (
        """(float[2,3,1] x) => (float y) { a = Mul(x, scale) b = Add(a, shift) y = MatMul(b, w) }""",
        {"scale": (3, 4), "shift": (3, 4), "w": (4, 5)}, 44, 0,
    ),
    "a normalization of an input, spelled out": (
        """(float[2,8] x) => (float y) { m = ReduceMean <axes = [1]> (x) d = Sub(x, m) g = Mul(d, gain) s = Add(g, shift)
            y = MatMul(s, w) }""", {"gain": (8,), "shift": (8,), "w": (8, 2)}, 32, 0,
    ),
    "groups of channels, normalized": (
        """(float[1,4,2,2] x) => (float y) <int64[3] s = {1, 2, 8}, int64[4] t = {1, 4, 2, 2}> { c = Conv(x, w)
            a = Reshape(c, s) n = InstanceNormalization(a, ones, zeros)
            b = Reshape(n, t) g = Mul(b, gain) y = Add(g, shift) }""",
        {"w": (4, 4, 1, 1), "ones": (2,), "zeros": (2,), "gain": (4, 1, 1), "shift": (4, 1, 1)}, 24, 4,
    ),
    "sines of places, projected": (
        """(float[1,4,6] x) => (float y) { d = Div(places, frequencies) s = Sin(d) p = MatMul(s, v) a = MatMul(x, w)
            y = Add(a, p) }""", {"places": (4, 1), "frequencies": (8,), "v": (8, 8), "w": (6, 8)}, 64 + 48, 4 + 8,
    ),
    "a rate of sines that is learned": (
        """(float[1,4,6] x) => (float y) { c = Conv(x, w) a = Mul(c, rate) s = Sin(a) d = Div(s, rate) e = Add(c, d)
            y = Conv(e, w) }""", {"w": (4, 4, 1), "rate": (1, 4, 1)}, 16 + 4, 0,
    ),
    "weights that a loop hands on": (
        """(float[2,4] x, float[2,4] h) => (float y) <int64 n = {3}, bool go = {1}> { y, last = Loop (n, go, h, w) <body =
            g (int64 i, bool c, float[2,4] a, float[4,4] v) => (bool again, float[2,4] b, float[4,4] same) {
                again = Identity(c) m = MatMul(a, v) b = Tanh(m) same = Identity(v) }> }""", {"w": (4, 4)}, 16, 0,
    ),
    "weights that a scan hands on": (
        """(float[5,2,4] x, float[2,4] h) => (float y) { last, end, y = Scan <num_scan_inputs = 1, body =
            g (float[2,4] a, float[4,4] v, float[2,4] e) => (float[2,4] b, float[4,4] same, float[2,4] f) {
                m = MatMul(a, v) b = Add(m, e) same = Identity(v) f = Identity(b) }> (h, w, x) }""", {"w": (4, 4)}, 16, 0,
    ),
    "the window of a transform": (
        """(float[1,64,1] x) => (float y) <int64 step = {8}, int64 n = {16}> { y = STFT(x, step, window, n) }""",
        {"window": (16,)}, 0, 16,
    ),
    "a grid of places": (
        "(float[1,1,4,4] x) => (float y) { g = GridSample(x, grid) y = Conv(g, w) }",
        {"grid": (1, 3, 3, 2), "w": (2, 1, 1, 1)}, 2, 18,
    ),
    "a scale of features of tokens": (
        "(float[1,5,8] x) => (float y) { m = MatMul(x, w) r = Relu(m) y = Mul(r, g) }", {"w": (8, 4), "g": (4,)}, 36, 0,
    ),
    "a scale of channels": (
        "(float[1,3,8,8] x) => (float y) { m = Conv(x, w) r = Relu(m) y = Mul(r, g) }",
        {"w": (4, 3, 1, 1), "g": (4, 1, 1)}, 16, 0,
    ),
    "a weight that is the second part of a table": (
        "(float[2,4] x) => (float y) { a, b = Split <axis = 0> (w) y = MatMul(x, b) }", {"w": (8, 4)}, 32, 0,
    ),
    "a scale of features behind an activation": (
        "(float[2,8] x) => (float y) { m = MatMul(x, w) r = Relu(m) y = Mul(r, g) }", {"w": (8, 4), "g": (4,)}, 36, 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize(("text", "constants", "parameters", "buffers"), CONSTANTS.values(), ids=CONSTANTS.keys())
def test_constants(text: str, constants: dict[str, tuple[int, ...]], parameters: int, buffers: int) -> None:
    memory = onnxcost.estimate(model(text, opset=24 if "TensorScatter" in text else 17, **constants)).memory
    assert (memory.parameters, memory.buffers, memory.buffer_bytes) == (parameters, buffers, 4 * buffers)


def test_statistics_that_normalizations_share() -> None:
    """An exporter stores equal tensors once, and hands them on by Identity."""
    text = """(float[1,4,2,2] x) => (float y) { other = Identity(mean) a = BatchNormalization(x, g, b, mean, variance)
        y = BatchNormalization(a, g, b, other, variance) }"""
    memory = onnxcost.estimate(model(text, g=(4,), b=(4,), mean=(4,), variance=(4,))).memory
    assert (memory.parameters, memory.running_statistics, memory.buffers) == (8, 8, 0)


def test_a_mean_that_is_a_variance_too() -> None:
    """Equal tensors that are stored once."""
    text = "(float[1,4,2,2] x) => (float y) { y = BatchNormalization(x, g, b, same, same) }"
    memory = onnxcost.estimate(model(text, g=(4,), b=(4,), same=(4,))).memory
    assert (memory.parameters, memory.running_statistics, memory.buffers) == (8, 4, 0)


@pytest.mark.parametrize("flipped", [False, True])
def test_a_statistic_that_other_nodes_read(flipped: bool) -> None:
    """The same normalization, once as an operator and once spelled out, in either order."""
    nodes = ["a = BatchNormalization(x, g, b, mean, var)", "d = Sub(x, mean) e = Add(var, eps) s = Sqrt(e) q = Div(d, s)"]
    text = f"(float[1,4,4,4] x) => (float y) {{ {' '.join(nodes[::-1] if flipped else nodes)} y = Add(a, q) }}"
    memory = onnxcost.estimate(model(text, g=(4,), b=(4,), mean=(4,), var=(4,), eps=())).memory
    assert (memory.parameters, memory.running_statistics, memory.buffers) == (8, 8, 0)


@pytest.mark.parametrize("places", ["ones, zeros, zeros, ones", "one, zero, zeros, ones"])
def test_a_statistic_that_is_a_gain_too(places: str) -> None:
    """Equal tensors that are stored once: what training decides is a parameter."""
    text = f"""(float[1,4,2,2] x) => (float y) {{ one = Identity(ones) zero = Identity(zeros)
        a = BatchNormalization(x, {places}) y = BatchNormalization(a, one, zero, zeros, ones) }}"""
    memory = onnxcost.estimate(model(text, ones=(4,), zeros=(4,))).memory
    assert (memory.parameters, memory.running_statistics, memory.buffers) == (8, 0, 0)


def test_a_normalization_that_ends_a_model() -> None:
    """Its gain and shift are behind everything else, and not right behind the last product."""
    text = """(float[2,8] x) => (float y) { p = MatMul(x, w) r = Add(p, x) m = ReduceMean <axes = [1]> (r) d = Sub(r, m)
        q = Mul(d, d) v = ReduceMean <axes = [1]> (q) s = Sqrt(v) n = Div(d, s) g = Mul(gain, n) y = Add(g, shift) }"""
    memory = onnxcost.estimate(model(text, w=(8, 8), gain=(8,), shift=(8,))).memory
    assert (memory.parameters, memory.buffers) == (80, 0)
