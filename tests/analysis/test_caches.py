from __future__ import annotations

import pytest

from onnxcost.analysis.caches import CROSS, KV, STATE, find_cache_pairs
from onnxcost.graph import Graph
from tests.graphs import graph, tensor
from tests.hardware.machines import report


def of(inputs: dict[str, tuple[int, ...]], outputs: dict[str, tuple[int, ...]]) -> Graph:
    return graph(
        [tensor(name, *dims) for name, dims in inputs.items()], [tensor(name, *dims) for name, dims in outputs.items()]
    )


@pytest.mark.parametrize(
    ("past", "present", "axis"),
    [
        (("past_key_values.0.key", 1, 8, 7, 64), ("present.0.key", 1, 8, 8, 64), 2),
        (("past_key_values.11.decoder.value", 1, 8, 7, 64), ("present.11.decoder.value", 1, 8, 8, 64), 2),
        (("past_0", 2, 1, 12, 7, 64), ("present_0", 2, 1, 12, 9, 64), 3),
        (("past_key_0", 1, 7, 2, 64), ("present_key_0", 1, 8, 2, 64), 1),
        (("key_cache_3", 1, 8, 100, 64), ("updated_key_cache_3", 1, 8, 100, 64), 2),
        (("past_key_values.0.key", 1, 8, 7, 64), ("present.1.key", 1, 8, 8, 64), None),
        (("past_key_values.0.key", 1, 8, 7, 64), ("present.0.value", 1, 8, 8, 64), None),
        (("past_key_values.0.key", 1, 8, 7, 64), ("present.0.key", 1, 4, 8, 64), None),
        (("h0", 1, 8, 7, 64), ("hn", 1, 8, 8, 64), None),
        (("state_in", 1, 8, 64), ("state_out", 1, 8, 64), None),
    ],
)
def test_by_names_and_shapes(past: tuple[str, int], present: tuple[str, int], axis: int | None) -> None:
    pairs = find_cache_pairs(of({past[0]: past[1:]}, {present[0]: present[1:]}))
    assert [pair.axis for pair in pairs] == ([] if axis is None else [axis])


@pytest.mark.parametrize(
    ("past", "present", "is_state"),
    [
        (("wkv_in", 1, 8, 64, 64), ("wkv_out", 1, 8, 64, 64), True),
        (("h_state", 1, 64), ("h_state_out", 1, 64), True),
        (("ssm_state_3", 1, 64, 16), ("ssm_3_new", 1, 64, 16), True),
        (("h_state", 1, 64), ("c_state_out", 1, 64), False),
        (("x_in", 1, 64), ("x_out", 1, 64), False),
        (("h_state", 64), ("h_state_out", 64), False),
    ],
)
def test_states_by_names(past: tuple[str, int], present: tuple[str, int], is_state: bool) -> None:
    """What no path of moved elements leads from one to the other of: an activation stands between them."""
    pairs = find_cache_pairs(of({past[0]: past[1:]}, {present[0]: present[1:]}))
    assert [(pair.kind, pair.axes) for pair in pairs] == ([(STATE, ())] if is_state else [])


GROWS = "(float[1,1,64] x, float[1,8,7,16] a, float[1,8,7,16] b) => (float[1,8,8,16] p, float[1,8,8,16] q)"
SPLIT = """{ s = Constant<value_ints = [1, 1, 8, 16]>() k = MatMul(x, wk) kh = Reshape(k, s)
    kt = Transpose<perm = [0, 2, 1, 3]>(kh)
    v = MatMul(x, wv) vh = Reshape(v, s) vt = Transpose<perm = [0, 2, 1, 3]>(vh)"""
GQA = "com.microsoft.GroupQueryAttention<num_heads = 8, kv_num_heads = 2, local_window_size = {}, sliding_window_cache = {}>"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            f"{GROWS} {SPLIT} p = Concat<axis = 2>(a, kt) q = Concat<axis = 2>(b, vt) }}",
            [("a", "p", KV, (2,)), ("b", "q", KV, (2,))],
        ),
        (
            f"{GROWS} {SPLIT} p = Concat<axis = 2>(b, kt) q = Concat<axis = 2>(a, vt) }}",
            [("a", "q", KV, (2,)), ("b", "p", KV, (2,))],
        ),
        (
            """(float[1,1,64] x, float[1,8,16,7] a) => (float[1,8,16,8] p) { s = Constant<value_ints = [1, 8, 16, 1]>()
            k = MatMul(x, wk) kh = Reshape(k, s) p = Concat<axis = 3>(a, kh) }""",
            [("a", "p", KV, (3,))],
        ),
        (
            """(float[1,1,128] x, float[1,8,99,16] a, int64[1] at) => (float[1,8,99,16] p) {
            s = Constant<value_ints = [1, 8, 1, 16]>() k = Reshape(x, s) p = TensorScatter(a, k, at) }""",
            [("a", "p", KV, (2,))],
        ),
        (
            """(float[1,1,64] x, float[1,64,3] a) => (float[1,64,3] p) { t = Transpose<perm = [0, 2, 1]>(x)
            c = Concat<axis = 2>(a, t) one = Constant<value_ints = [1]>() four = Constant<value_ints = [4]>()
            two = Constant<value_ints = [2]>() p = Slice(c, one, four, two) }""",
            [("a", "p", STATE, ())],
        ),
        (
            """(float[1,5,64] x, float[1,64,3,1] a) => (float[1,64,3,1] p, float y) { s = Constant<value_ints = [1, 64, 5, 1]>()
            t = Transpose<perm = [0, 2, 1]>(x) h = Reshape(t, s) c = Concat<axis = 2>(a, h) y = Conv<group = 64>(c, taps)
            from = Constant<value_ints = [5]>() to = Constant<value_ints = [8]>() two = Constant<value_ints = [2]>()
            p = Slice(c, from, to, two) }""",
            [("a", "p", STATE, ())],
        ),
        (
            """(float[1,5,64] x, float[1,8,9,8] a) => (float[1,8,9,8] p, float y) { s = Constant<value_ints = [1, 5, 8, 8]>()
            z = MatMul(x, w64) h = Reshape(z, s) t = Transpose<perm = [0, 2, 1, 3]>(h) c = Concat<axis = 2>(a, t)
            k = Transpose<perm = [0, 1, 3, 2]>(c) y = MatMul(t, k) from = Constant<value_ints = [5]>()
            to = Constant<value_ints = [14]>() two = Constant<value_ints = [2]>() p = Slice(c, from, to, two) }""",
            [("a", "p", KV, (2,))],
        ),
        (
            """(float[1,64,16] x, float[1,64,16] a) => (float[1,64,16] p, float[1,64,16] y) {
            decay = Sigmoid(x) held = Mul(a, decay) w = MatMul(x, w16) p = Add(held, w) y = MatMul(p, w16) }""",
            [("a", "p", STATE, ())],
        ),
        (
            """(float[1,1,64] x, float[1,8,9,16] a) => (float[1,8,1,9] y) { s = Constant<value_ints = [1, 8, 1, 16]>()
            k = MatMul(x, wk) q = Reshape(k, s) t = Transpose<perm = [0, 1, 3, 2]>(a) y = MatMul(q, t) }""",
            [("a", None, CROSS, (2,))],
        ),
        ("(float[1,9,64] a, float[1,9,64] b) => (float[1,9,64] y) { c = Add(a, b) y = MatMul(c, w64) }", []),
    ],
    ids=[
        "key and value", "names do not decide", "transposed", "in place", "convolution", "a convolution of images",
        "a window of keys", "recurrence", "encoder", "none",
    ],
)  # fmt: skip
def test_by_the_graph(text: str, found: list[tuple[str, str | None, str, tuple[int, ...]]]) -> None:
    """The names of these inputs and outputs say nothing."""
    shaped = report(text, wk=(64, 128), wv=(64, 128), w16=(16, 16), w64=(64, 64), taps=(64, 1, 4, 1)).graph
    pairs = find_cache_pairs(shaped)
    assert [(p.past.name, p.present and p.present.name, p.kind, p.axes) for p in pairs] == found


@pytest.mark.parametrize(("slides", "room"), [(0, None), (1, 4)])
def test_of_a_window(slides: int, room: int | None) -> None:
    """A window bounds what is read; what is held only where the cache slides."""
    cache = f"float[1,2,{4 if slides else 9},16]"
    text = f"""(float[1,1,192] x, {cache} a, {cache} b, int32[1] n, int32 t)
    => (float[1,1,128] y, float p, float q) {{
        y, p, q = {GQA.format(4, slides)}(x, , , a, b, n, t) }}"""
    pairs = find_cache_pairs(report(text).graph)
    assert [(p.past.name, p.kind, p.axes, p.window, p.room, p.position_bytes) for p in pairs] == [
        (name, KV, (2,), 4, room, 2 * 16 * 4) for name in "ab"
    ]
