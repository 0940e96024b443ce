"""From a model to its report: totals, what stays uncounted and why, the user's own formulas."""

from __future__ import annotations

import gc
from contextlib import nullcontext

import pytest

import onnxcost
from onnxcost.estimator import compute_dtype
from onnxcost.formulas import FORMULAS, per_output
from onnxcost.graph import Node
from tests.graphs import node, tensor
from tests.modeltext import model

MLP = model("(float[n,4] x) => (float y) { h = Gemm(x, w, b) r = Relu(h) y = Softmax(r) }", w=(4, 8), b=(8,))


def test_totals_of_a_small_network() -> None:
    """Gemm: 2·(8·(2·4 − 1) + 8) = 128, Relu 16, Softmax 2 rows · (7 compares, 8 subs, 8 exps, 7 adds, 8 divs) = 76."""
    report = onnxcost.estimate(MLP, dims={"n": 2})
    assert (report.macs, report.flops) == (2 * 4 * 8, 128 + 16 + 76)
    assert report.parameters == 40
    assert report.complete
    assert report.assumed == ()


def test_the_batch_is_linear() -> None:
    one, eight = (onnxcost.estimate(MLP, dims={"n": n}) for n in (1, 8))
    assert (eight.flops, eight.macs, eight.parameters) == (8 * one.flops, 8 * one.macs, one.parameters)


def test_a_custom_operator_does_not_stop_the_rest() -> None:
    report = onnxcost.estimate(model("(float[4] x) => (float y) { h = my.Op(x) y = Relu(x) }", domains=', "my" : 1'))
    assert report.flops == 4
    assert not report.complete
    assert [(cost.node.key, cost.reason) for cost in report.uncounted] == [("my.Op", "no formula for the operator my.Op")]


def test_the_user_adds_a_formula() -> None:
    custom = model("(float[4] x) => (float y) { y = my.Op(x) }", domains=', "my" : 1')
    custom.graph.output[0].type.tensor_type.shape.dim.add().dim_value = 4
    mine = {"my.Op": per_output("Y = 3·X + 1", muls=1, adds=1)}
    assert onnxcost.estimate(custom, formulas=FORMULAS | mine).flops == 8


def test_an_open_shape_is_uncounted_with_its_reason() -> None:
    text = "(int64 n) => (float y) <int64 a = {0}, int64 b = {1}> { r = Range(a, n, b) y = Cast <to = 1> (r) }"
    report = onnxcost.estimate(model(text))
    assert "the shape of 'r' is unknown" in report.uncounted[-1].reason
    assert report.memory.peak_activation_bytes is None


def test_a_shape_that_data_decides_is_counted_at_its_largest() -> None:
    report = onnxcost.estimate(model("(float[4] x) => (float y) { n = NonZero(x) f = Cast <to = 1> (n) y = Relu(f) }"))
    assert report.complete
    assert (report.bound, report.counted[-1].work.compares) == ("upper", 4)
    assert "starting at 'NonZero_0' (NonZero)" in report.warnings[0]


def test_a_formula_that_fails_leaves_its_node_uncounted() -> None:
    def broken(node: Node) -> onnxcost.Work:
        return onnxcost.Work(adds=node.attributes["missing"])

    report = onnxcost.estimate(model("(float[4] x) => (float y) { y = Relu(x) }"), formulas={"Relu": broken})
    assert report.uncounted[0].reason == "the node does not fit its formula (KeyError: 'missing')"


def test_zero_sized_dims_cost_nothing() -> None:
    assert onnxcost.estimate(model("(float[0,4] x, float[4,5] w) => (float y) { y = MatMul(x, w) }")).flops == 0


X = tensor("x", 4)
DTYPES = {
    "float": (node("Relu", [X], [X]), "float32"),
    "comparison": (node("Less", [X, X], [tensor("y", 4, dtype="bool")]), "float32"),
    "selection": (node("Where", [tensor("c", 4, dtype="bool"), X, X], [X]), "float32"),
    "logic": (node("And", [tensor("c", 4, dtype="bool")] * 2, [tensor("y", 4, dtype="bool")]), "bool"),
    "quantize": (node("QuantizeLinear", [X, X], [tensor("y", 4, dtype="uint8")]), "uint8"),
    "dequantize": (node("DequantizeLinear", [tensor("q", 4, dtype="int8"), X], [X]), "int8"),
    "integer product": (node("MatMulInteger", [tensor("q", 4, dtype="int8")] * 2, [tensor("y", 4, dtype="int32")]), "int8"),
    "index": (node("ArgMax", [X], [tensor("y", 4, dtype="int64")]), "float32"),
}


@pytest.mark.parametrize(("made", "dtype"), DTYPES.values(), ids=DTYPES.keys())
def test_the_type_that_arithmetic_is_done_in(made: Node, dtype: str) -> None:
    assert compute_dtype(made) == dtype


@pytest.mark.parametrize("is_collecting", [True, False])
@pytest.mark.parametrize("is_model", [True, False])
def test_the_garbage_collector_is_left_as_it_was(is_model: bool, is_collecting: bool) -> None:
    before = gc.isenabled()
    (gc.enable if is_collecting else gc.disable)()
    try:
        with nullcontext() if is_model else pytest.raises(onnxcost.OnnxCostError):
            onnxcost.estimate(MLP if is_model else b"no model")
        assert gc.isenabled() == is_collecting
    finally:
        (gc.enable if before else gc.disable)()


UNUSED = (
    "of {} nodes contribute to no output of the model, {} % of the FLOPs (from '{}', MatMul); they still run and are counted"
)
DEAD = {
    "a head that nothing reads": ("a = MatMul(x, w) b = Relu(a) y = Neg(x)", "2 " + UNUSED.format(3, 94, "MatMul_0")),
    "and what leads to an output": ("a = MatMul(x, w) b = Relu(a) y = MatMul(x, w)", "2 " + UNUSED.format(3, 52, "MatMul_0")),
    "little": ("a = Sqrt(one) b = MatMul(x, w) y = MatMul(b, w)", None),
    "nothing": ("a = MatMul(x, w) y = Relu(a)", None),
    "the body of a branch": ("a = MatMul(x, w) y = If (one) <then_branch = g1 () => (float[4,8] p) { p = Neg(a) }, "
                             "else_branch = g2 () => (float[4,8] q) { q = Relu(a) }>", None),
    "what a loop stacks": ("e = If (one) <then_branch = g1 () => (float p) { p = Identity(half) }, "
                           "else_branch = g2 () => (float q) { q = Identity(half) }> "
                           "y = Loop (three, yes) <body = b (int64 i, bool c) => (bool d, float[4,8] s) "
                           "{ d = Identity(c) s = MatMul(x, w) }>", None),
}  # fmt: skip


@pytest.mark.parametrize(("body", "note"), DEAD.values(), ids=DEAD.keys())
def test_what_reaches_no_output_is_said(body: str, note: str | None) -> None:
    constants = "bool one = {1}, bool yes = {1}, int64 three = {3}, float half = {0.5}"
    if "Sqrt" in body:
        body = body.replace("Sqrt(one)", "Sqrt(half)")
    report = onnxcost.estimate(model(f"(float[4,8] x) => (float y) <{constants}> {{ {body} }}", w=(8, 8)))
    assert [text for text in report.warnings if "to no output" in text] == ([note] if note else [])


@pytest.mark.parametrize(("opset", "is_old"), [(1, True), (6, True), (7, False), (17, False)])
def test_an_opset_before_onnxruntime_s_first_is_said(opset: int, is_old: bool) -> None:
    report = onnxcost.estimate(model("(float[4] x) => (float y) { y = Relu(x) }", opset=opset))
    assert [text.split(":")[0] for text in report.warnings] == ([f"opset {opset}"] if is_old else [])


@pytest.mark.parametrize(
    ("graph", "hint"),
    [
        ("(float[8,16] x, int64[1] n) => (float y) <int64[1] z = {0}> { s = Slice(x, z, n) y = Relu(s) }", "n=N"),
        (
            "(float[8,16] x, int64 n) => (float y) <int64[1] z = {0}> { k = Unsqueeze(n, z) s = Slice(x, z, k) y = Relu(s) }",
            "n=N",
        ),
        ("(float[1,1] x, int64[2] n) => (float y) { s = Reshape(x, n) y = Relu(s) }", "n=N,N"),
        ("(float[1,3,8,16] x, float[4] n) => (float y) { s = Resize(x, , n) y = Relu(s) }", "n=N,N,N,N"),
        ("(int64 n) => (float y) <int64 a = {0}, int64 b = {1}> { s = Range(a, n, b) t = Cast<to = 1>(s) y = Relu(t) }", "n=N"),
        ("(int64[1] n) => (float y) { s = ConstantOfShape(n) y = Relu(s) }", "n=N"),
        ("(float[8,16] x, int64[2] n) => (float y) { s = Tile(x, n) y = Relu(s) }", "n=N,N"),
        ("(int64[8] x, int64 n) => (float y) <float[2] v = {0, 1}> { s = OneHot(x, n, v) y = Relu(s) }", "n=N"),
        # Two inputs, and what is no number.
        ("(int64[1] n, int64[1] m) => (float y) { k = Add(n, m) s = ConstantOfShape(k) y = Relu(s) }", None),
        ("(float[8,16] x, int64[64] n) => (float y) { k = ReduceMax<keepdims = 1>(n) s = Reshape(x, k) y = Relu(s) }", None),
        ("(float[8,16] x) => (float y) { y = Relu(x) }", None),
    ],
)
def test_the_input_whose_value_decides_a_shape_is_named(graph: str, hint: str | None) -> None:
    """And given, the value makes the count complete."""
    made = model(graph, opset=18)
    found = [caveat.text.partition("--value ")[2].split(" ")[0] for caveat in onnxcost.estimate(made).caveats]
    assert [text for text in found if text] == ([hint] if hint else [])
    if hint:
        values = {"n": [1] * hint.count("N") if "," in hint or "[1] n" in graph else 1}
        assert onnxcost.estimate(made, values=values).whole.complete
