"""The rules on small graphs, by the families of the kernels; test_rules_against_onnxruntime.py has their operators."""

from __future__ import annotations

import pytest

from onnxcost.ort_optimizer.kernels import kernel_runs
from onnxcost.ort_optimizer.memory_plan import footprint_of
from onnxcost.ort_optimizer.pipeline import optimize
from tests.modeltext import graph_of, model

IMAGE = "float[1,32,8,8] x"
MICROSOFT = ', "com.microsoft" : 1'


def all_families(text: str, blocked: bool = False, domains: str = MICROSOFT, **weights: tuple[int, ...]) -> list[str]:
    graph = graph_of(model(text, opset=18, domains=domains, **weights))
    return [task.family for step in optimize(graph, blocked=blocked) for task in kernel_runs(step)]


def families(text: str, blocked: bool = False, **weights: tuple[int, ...]) -> list[str]:
    """Without what every step has beside its kernel."""
    return [family for family in all_families(text, blocked, **weights) if family != "call" and not family.startswith("cold")]


CONV = {"w": (32, 32, 1, 1)}
SQUARES = {"w": (100, 100), "v": (100, 100)}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("y = Conv(x, w)", ["conv-plain-pointwise"]),
        ("t = Conv(x, w) y = Relu(t)", ["conv-plain-pointwise"]),
        ("t = Conv(x, w) u = Add(t, x) y = Relu(u)", ["conv-plain-pointwise", "residual"]),
        ("t = Conv(x, w) u = Relu(t) y = Relu(u)", ["conv-plain-pointwise", "cheap"]),
        ("t = Conv(x, w) u = Mul(t, k) y = Add(u, c)", ["conv-plain-pointwise"]),
        ("t = Conv(x, w) y = Add(t, k)", ["conv-plain-pointwise", "binary"]),
        # Another reader of what lies between, and nothing is merged.
        ("t = Conv(x, w) u = Relu(t) y = Add(u, t)", ["conv-plain-pointwise", "cheap", "binary"]),
        ("t = Conv(x, w) u = Sigmoid(t) y = Mul(t, u)", ["conv-plain-pointwise", "quick-gelu"]),
        ("t = Pad(x, pads) y = Conv(t, w)", ["conv-plain-pointwise"]),
        ("t = Pad(x, pads) y = MaxPool<kernel_shape = [2, 2]>(t)", ["pad", "pool"]),
        ("t = Identity(x) y = Neg(t)", ["cheap"]),
        ("t = Neg(k) y = Add(x, t)", ["binary"]),
        ("s = Shape(x) y = Reshape(x, s)", ["view"]),
    ],
)
def test_what_runs_of_a_graph_with_a_convolution(body: str, found: list[str]) -> None:
    text = f"({IMAGE}) => (float y) <int64[8] pads = {{0, 0, 1, 1, 0, 0, 1, 1}}> {{ {body} }}"
    assert families(text, **CONV, k=(), c=(32, 1, 1)) == found


GELU = "u = Erf(t) v = Add(u, c) k = Mul(x, v) y = Mul(k, c)"
TANH = "a = Pow(x, three) t = Mul(a, c) d = Add(x, t) e = Mul(d, c) f = Tanh(e) g = Add(f, c)"
MEAN = "m = ReduceMean(x, axis) d = Sub(x, m) p = Pow(d, c) v = ReduceMean(p, axis) e = Add(v, c) q = Sqrt(e)"
TRANSFORMER = {"w": (32, 32), "b": (32,), "c": ()}
LAST, FIRST = "<int64[1] axis = {-1}>", "<int64[1] axis = {0}>"


@pytest.mark.parametrize(
    ("inputs", "body", "found"),
    [
        # The bias is written first, and costs time. Where a dim is open it is added afterwards.
        ("float[4,8,32] x", "t = MatMul(x, w) y = Add(t, b)", ["gemm", "view", "gemm-bias"]),
        ("float[4,32] x", "y = Gemm(x, w, b)", ["gemm", "gemm-bias"]),
        ("float[4,8,32] x", "y = MatMul(x, w)", ["gemm"]),
        ("float[N,8,32] x", "t = MatMul(x, w) y = Add(t, b)", ["gemm", "broadcast"]),
        ("float[N,32] x", "t = MatMul(x, w) y = Add(t, b)", ["gemm", "gemm-bias"]),
        # Rows are made for the bias alone.
        ("float[4,8,32] x", "t = MatMul(x, w) y = Mul(t, c)", ["gemm"]),
        ("float[4,8,32] x", "t = Mul(x, c) y = MatMul(t, w)", ["gemm"]),
        # Of two values: what is transposed and scaled before, and scaled behind.
        ("float[4,32] x", "t = Transpose<perm = [1, 0]>(x) y = MatMul(x, t)", ["matmul"]),
        ("float[4,32] x", "t = Transpose<perm = [1, 0]>(x) u = MatMul(x, t) y = Div(u, c)", ["matmul"]),
        ("float[4,4] x", "t = Mul(x, c) u = Div(x, c) y = MatMul(t, u)", ["matmul"]),
        ("float[4,4] x", "t = Mul(x, x) y = MatMul(t, x)", ["binary", "matmul"]),
        ("float[4,4] x", "t = MatMul(x, x) y = Add(t, c)", ["matmul", "binary"]),
        ("float[4,8,32] x", "t = Transpose<perm = [1, 0, 2]>(x) y = MatMul(t, w)", ["transpose-rows", "gemm"]),
        # Sums that are normalized, with a bias before them.
        ("float[4,8,32] x", "t = Neg(x) u = Add(t, x) y = LayerNormalization(u, b, b)", ["cheap", "skip-layernorm"]),
        ("float[4,8,32] x", "t = Neg(x) u = Add(t, x) v = LayerNormalization(u, b, b) y = Add(u, v)",
         ["cheap", "binary", "layernorm", "binary"]),
        ("float[N,8,32] x", "t = MatMul(x, w) u = Add(t, b) v = Add(u, x) y = LayerNormalization(v, b, b)",
         ["gemm", "skip-layernorm"]),
        ("float[N,8,32] x", "t = MatMul(x, w) u = Add(t, b) y = com.microsoft.Gelu(u)", ["gemm", "bias-gelu"]),
        ("float[4,8,32] x", "t = MatMul(x, w) u = Add(t, b) y = com.microsoft.Gelu(u)", ["gemm", "view", "gemm-bias", "gelu"]),
        # What is written out, with what lies beside the way of the data.
        ("float[4,8,32] x", f"t = Div(x, c) {GELU}", ["gelu"]),
        ("float[4,8,32] x", f"s = Add(x, b) t = Div(s, c) {GELU.replace('x', 's')}", ["bias-gelu"]),
        ("float[4,8,32] x", f"{TANH} h = Mul(x, c) y = Mul(h, g)", ["gelu"]),
        ("float[4,8,32] x", "t = Sigmoid(x) y = Mul(t, x)", ["quick-gelu"]),
        ("float[4,8,32] x", "s = Mul(x, c) t = Sigmoid(s) y = Mul(t, x)", ["quick-gelu-scaled"]),
        ("float[4,8,32] x", "t = Sigmoid(x) u = Neg(x) y = Mul(t, u)", ["cheap", "sigmoid", "binary"]),
    ],
)  # fmt: skip
def test_what_runs_of_a_transformer(inputs: str, body: str, found: list[str]) -> None:
    text = f"({inputs}) => (float y) <float three = {{3}}> {{ {body} }}"
    assert families(text, **TRANSFORMER) == found


@pytest.mark.parametrize(
    ("axis", "found"),
    [
        (LAST, ["layernorm"]),
        (
            FIRST,
            ["reduce-before", "broadcast", "pow", "reduce-before", "binary", "sqrt", "broadcast", "broadcast", "broadcast"],
        ),
    ],
)
def test_only_over_the_last_dim_is_it_a_normalization(axis: str, found: list[str]) -> None:
    text = f"(float[4,8,32] x) => (float y) {axis} {{ {MEAN} n = Div(d, q) g = Mul(n, b) y = Add(g, b) }}"
    assert families(text, b=(32,), c=()) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        # In and out of the blocks once, however many kernels there are between.
        ("t = Conv(x, w) u = Relu(t) y = Conv(u, w)",
         ["reorder", "conv-blocked-pointwise", "reorder", "conv-blocked-pointwise"]),
        ("t = Conv(x, w) y = Erf(t)", ["reorder", "conv-blocked-pointwise", "reorder", "erf"]),
        ("t = Conv(x, w) u = Conv(x, w) y = Concat<axis = 1>(t, u)",
         ["reorder", "conv-blocked-pointwise", "conv-blocked-pointwise", "reorder", "concat"]),
        # Channels are brought to their end on the way out.
        ("t = Conv(x, w) u = Transpose<perm = [0, 2, 3, 1]>(t) y = Neg(u)",
         ["reorder", "conv-blocked-pointwise", "reorder-last", "view", "cheap"]),
        ("t = Conv(x, w) u = Transpose<perm = [0, 1, 3, 2]>(t) y = Neg(u)",
         ["reorder", "conv-blocked-pointwise", "reorder", "transpose", "cheap"]),
        ("t = Conv(x, w) y = Clip(t)", ["reorder", "reorder", "conv-blocked-pointwise", "fused-clip"]),
        # A sum with what the plain layout alone has is worked out there; with what is in blocks it is a part.
        ("t = Conv(x, w) u = Add(t, x) y = Neg(u)", ["reorder", "conv-blocked-pointwise", "reorder", "binary", "cheap"]),
        ("t = Conv(x, w) u = Conv(t, w) v = Add(t, u) y = Relu(v)",
         ["reorder", "conv-blocked-pointwise", "reorder", "conv-blocked-pointwise", "residual"]),
        # What multiplies each channel by a number of its own is a convolution there.
        ("t = Conv(x, w) u = Relu(t) v = Mul(u, c) y = Conv(v, w)",
         ["reorder", "conv-blocked-pointwise", "conv-blocked-depthwise", "reorder", "conv-blocked-pointwise"]),
        ("t = Conv(x, w) u = Relu(t) v = BatchNormalization(u, b, b, b, b) y = Conv(v, w)",
         ["reorder", "conv-blocked-pointwise", "conv-blocked-depthwise", "reorder", "conv-blocked-pointwise"]),
        # Weights that are no constants stay as they are.
        ("t = Neg(x) u = ReduceMean<keepdims = 1>(t, axes) v = Expand(u, wide) y = Conv(x, v)",
         ["cheap", "reduce", "expand", "conv-plain-pointwise"]),
    ],
)  # fmt: skip
def test_what_is_brought_into_blocks_and_out_of_them(body: str, found: list[str]) -> None:
    text = f"({IMAGE}) => (float y) <int64[2] axes = {{2, 3}}, int64[4] wide = {{32, 32, 1, 1}}> {{ {body} }}"
    assert families(text, blocked=True, **CONV, c=(32, 1, 1), b=(32,)) == found


def test_channels_are_brought_from_their_end_on_the_way_in() -> None:
    text = "(float[1,8,8,32] x) => (float y) { t = Transpose<perm = [0, 3, 1, 2]>(x) u = Conv(t, w) y = Erf(u) }"
    assert families(text, blocked=True, **CONV) == ["view", "reorder-last", "conv-blocked-pointwise", "reorder", "erf"]


@pytest.mark.parametrize(
    ("shape", "weight", "groups", "family"),
    [
        ((1, 3, 8, 8), (16, 3, 3, 3), 1, "conv-blocked-first"),
        ((1, 36, 8, 8), (16, 36, 3, 3), 1, "conv-blocked"),
        ((1, 38, 8, 8), (16, 38, 3, 3), 1, "conv-plain"),
        ((1, 32, 8, 8), (32, 1, 3, 3), 32, "conv-blocked-depthwise"),
        ((1, 30, 8, 8), (30, 1, 3, 3), 30, "conv-plain-depthwise"),
        ((1, 64, 8, 8), (64, 16, 3, 3), 4, "conv-blocked-grouped"),
        ((1, 64, 8, 8), (64, 8, 3, 3), 8, "conv-plain-grouped"),
        ((1, 32, 8), (32, 32, 3), 1, "conv-plain"),
        ((1, 32, 8), (32, 1, 3), 32, "conv-plain-depthwise"),
        ((1, 32, 4, 8, 8), (32, 32, 1, 1, 1), 1, "conv-plain-pointwise"),
    ],
)
def test_which_convolutions_work_on_blocks(shape: tuple[int, ...], weight: tuple[int, ...], groups: int, family: str) -> None:
    text = f"(float[{','.join(map(str, shape))}] x) => (float y) {{ y = Conv<group = {groups}>(x, w) }}"
    assert family in families(text, blocked=True, w=weight)


@pytest.mark.parametrize("body", ["y = Neg(x)", "t = Neg(x) u = Erf(t) y = Relu(u)", "t = Conv(x, w) u = Relu(t) y = Erf(u)"])
def test_every_step_is_called_once(body: str) -> None:
    text = f"({IMAGE}) => (float y) {{ {body} }}"
    steps = optimize(graph_of(model(text, opset=18, **CONV)), blocked=True)
    assert all_families(text, blocked=True, domains="", **CONV).count("call") == len(steps)


def test_the_working_set_is_constants_and_peak_activations() -> None:
    """Two matrices of 40,000 bytes, one of them read twice; the input, what is made, and what it is made of: 400 bytes each."""
    graph = graph_of(model("(float[1,100] x) => (float y) { t = MatMul(x, w) u = MatMul(t, v) y = MatMul(u, w) }", **SQUARES))
    assert footprint_of(graph, optimize(graph, blocked=False)) == 2 * 40_000 + 3 * 400


def test_the_working_set_where_a_shape_is_unknown() -> None:
    """The constants alone: 3 numbers of 4 bytes, read by two nodes."""
    text = "(float[4] x) => (float y) { t = acme.Mine(x) u = Mul(t, k) y = Add(u, k) }"
    graph = graph_of(model(text, domains=', "acme" : 1', k=(3, 1)))
    assert footprint_of(graph, optimize(graph, blocked=False)) == 3 * 4


CARRIED = """(float[1,4] x) => (float[1,4] y, float[4,4] r) <int64 count = {5}, bool yes = {1}> {
    y, r = Loop (count, yes, x, w) <body = b (int64 i, bool c, float[1,4] a, float[4,4] k)
        => (bool d, float[1,4] s, float[4,4] m)
        { d = Identity(c) t = Transpose<perm = [1, 0]>(k) s = MatMul(a, t) m = Identity(k) }> }"""
SEEN = """(float[1,4] x) => (float[1,4] y) <int64 count = {5}, bool yes = {1}> {
    y = Loop (count, yes, x) <body = b (int64 i, bool c, float[1,4] a) => (bool d, float[1,4] s)
        { d = Identity(c) t = Neg(w) s = MatMul(a, t) }> }"""


@pytest.mark.parametrize(("text", "unfolded", "kept"), [(CARRIED, {"w"}, True), (SEEN, set(), False)])
def test_what_a_loop_carries_is_no_constant(text: str, unfolded: set[str], kept: bool) -> None:
    """A body's input is a value for onnxruntime, whatever it holds; what the body sees around it may be a constant."""
    graph = graph_of(model(text, opset=18, w=(4, 4)))
    assert graph.unfolded == unfolded
    steps = [step for step in optimize(graph, blocked=False) if step.node.repeat == 5]
    parts = [part.op_type for step in steps for part in (step.node, *step.absorbed)]
    assert ("Transpose" in parts or "Neg" in parts) == kept
