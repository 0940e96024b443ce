"""Weights that are dequantized where they are used: in MatMulNBits, or by a node of their own in each run."""

from __future__ import annotations

import pytest
from onnx import ModelProto

from onnxcost import estimate
from onnxcost.ort_optimizer.memory_plan import buffers_of
from onnxcost.ort_optimizer.pipeline import optimize
from tests.modeltext import graph_of, model
from tests.ort_optimizer.oracle import optimised, why_not

ONE, COLUMN, BLOCK = "s", "t", "u"
"""Scales: one for all, one a column, one for 32 rows of a column."""
CONSTANTS = "float low = {0}, float high = {6}, float s = {0.1}, float[1] s1 = {0.1}, int64 zero = {0}"
MANY = {
    "t": (48,),
    "u": (2, 48),
    "rows": (64,),
    "across": (64, 3),
    "b": (48,),
    "wide": (3, 48),
    "row": (1, 48),
    "column": (4, 1),
}
DQ = "d = DequantizeLinear"
PRODUCT = "m = MatMul(x, d)"
TURNED = f"{DQ}(v, s) e = Transpose(d)"
INSIDE = [
    *((dtype, f"{DQ}(w, s) {PRODUCT}") for dtype in ("int8", "uint8", "int4", "uint4")),
    ("int8", f"{DQ}(w, s, z) {PRODUCT}"),
    ("int8", f"{DQ}<axis = 1>(w, t) {PRODUCT}"),
    ("int4", f"{DQ}<axis = 0, block_size = 32>(w, u) {PRODUCT}"),
    ("int8", f"{DQ}<axis = 0, block_size = 32>(w, u) m = Gemm(x, d, b)"),
    ("int8", f"{DQ}<axis = 1>(w, t) n = MatMul(x, d) m = Add(n, b)"),
    ("int8", f"{DQ}<axis = 1>(w, t) {PRODUCT} q = Sigmoid(m) r = Neg(q)"),
    ("int8", f"{DQ}(w, s) {PRODUCT} q = Relu(m) r = Neg(q) r2 = Exp(q)"),
    # a bound behind something that is no sum
    ("int8", f"{DQ}(w, s) n = MatMul(x, d) m = Mul(n, b) q = Relu(m) r = Neg(q)"),
    ("int8", f"{DQ}(w, s) n = MatMul(x, d) m = Mul(n, row)"),
    ("int8", f"{DQ}(w, s) n = MatMul(x, d) m = Add(n, n)"),
    # transposed
    ("int8", f"{TURNED} m = MatMul(x, e)"),
    ("int8", f"{TURNED.replace('Transpose(', 'Transpose<perm = [1, 0]>(')} m = MatMul(x, e)"),
    # a bias that is no constant
    ("int8", f"{DQ}(w, s) n = MatMul(x, d) g = Gather<axis = 1>(y, zero) k = Squeeze(g) m = Add(n, k)"),
]
OUTSIDE = [
    # another reader of the weight, of the scales, of what is dequantized
    ("int8", f"{DQ}(w, s) e = DequantizeLinear(w, s1) {PRODUCT} n = MatMul(x, e)"),
    ("int8", f"{DQ}<axis = 1>(w, t) {PRODUCT} n = Mul(m, t)"),
    ("int8", f"{DQ}(w, s) {PRODUCT} n = Neg(d)"),
    # scales that the kernel does not have
    ("int8", f"{DQ}<axis = 0>(w, rows) {PRODUCT}"),
    ("int8", f"{DQ}(w, s1) {PRODUCT}"),
    ("int4", f"{DQ}<axis = 1, block_size = 16>(w, across) {PRODUCT}"),
    ("int8", f"{TURNED} m = MatMul(x, e) n = Neg(e)"),
    ("int8", f"{TURNED} n = MatMul(x, e) k = ReduceMax(e) m = Add(n, k)"),
    ("int8", f"{DQ}<axis = 1>(v, rows) e = Transpose(d) m = MatMul(x, e)"),
    ("int8", f"{DQ}<axis = 0>(v, t) e = Transpose(d) m = MatMul(x, e)"),
    # a bias of two dims is none of the kernel; of more than two there is none, and a bound behind a sum is another's
    ("int8", f"{DQ}(w, s) n = MatMul(x, d) m = Add(n, row)"),
    ("int8", f"{DQ}(w, s) n = MatMul(x, d) m = Add(n, column)"),
    ("int8", f"{DQ}(w, s) n = MatMul(x, d) k = Transpose(y) m = Add(n, k) q = Relu(m) r = Neg(q)"),
    # a zero point that is made in each run
    ("int8", f"g = ReduceMax<keepdims = 0>(y) k = Cast<to = 3>(g) {DQ}(w, s, k) {PRODUCT}"),
    # another type, another product
    ("int16", f"{DQ}(w, s) {PRODUCT}"),
    ("int8", f"{DQ}(w, s) m = Gemm<beta = 0.5>(x, d, b)"),
    ("int8", f"{DQ}(w, s) m = Gemm<alpha = 0.5>(x, d)"),
    ("int8", f"{DQ}(w, s) m = MatMul(d, y)"),
    # a bound that nothing else reads
    ("int8", f"{DQ}(w, s) {PRODUCT} q = Relu(m) r = Neg(q)"),
    ("int8", f"{DQ}(w, s) {PRODUCT} q = Clip(m, low, high) r = Neg(q)"),
    ("int8", f"{DQ}(w, s) n = MatMul(x, d) m = Add(n, b) q = Relu(m) r = Neg(q)"),
]


def build(dtype: str, body: str, dims: str = "4,64") -> ModelProto:
    packed = ",".join(["1"] * (64 * 48 * min(int(dtype.strip("uint")), 8) // 8))
    stored = f"{dtype}[64,48] w = {{{packed}}}, {dtype}[48,64] v = {{{packed}}}, {dtype} z = {{0}}, {CONSTANTS}"
    text = f"(float[{dims}] x, float[48,4] y) => (float out) <{stored}> {{ {body} out = Sqrt(m) }}"
    return model(text, opset=21, domains=', "com.microsoft" : 1', **MANY)


@pytest.mark.parametrize("dims", ["4,64", "2,4,64", "N,64"])
@pytest.mark.parametrize(("dtype", "body"), [*INSIDE, *OUTSIDE])
def test_as_onnxruntime(dtype: str, body: str, dims: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    if "Gemm" in body and dims == "2,4,64":
        pytest.skip("Gemm multiplies matrices")
    made = build(dtype, body, dims)
    mine = [step.kind or step.node.op_type for step in optimize(graph_of(made), blocked=False)]
    real = [node.op_type for node in optimised(made.SerializeToString())]
    for operator in ("MatMulNBits", "DequantizeLinear"):
        assert mine.count(operator) == real.count(operator)


def test_what_the_product_reads() -> None:
    made = build("int8", f"{DQ}<axis = 0, block_size = 32>(w, u) m = Gemm(x, d, b)")
    (product,) = (step for step in optimize(graph_of(made), blocked=False) if step.kind == "MatMulNBits")
    assert [tensor and tensor.name for tensor in product.node.inputs] == ["x", "w", "u", "b"]


@pytest.mark.parametrize(("dtype", "bits"), [("int8", 8), ("int4", 4)])
def test_what_is_dequantized_inside_is_read_as_it_is_stored(dtype: str, bits: int) -> None:
    """4·64 floats and 3,072 weights with a scale come in, 4·48 floats go out, twice with Sqrt; no weight is expanded."""
    report = estimate(build(dtype, f"{DQ}(w, s) {PRODUCT}"))
    moved = report.whole.traffic
    assert moved.read_bytes == 4 * 64 * 4 + 3072 * bits // 8 + 4 + 4 * 48 * 4
    assert moved.write_bytes == 2 * 4 * 48 * 4
    assert max(buffer.size for buffer in buffers_of(report.graph)) == 4 * 48 * 4


def test_what_is_dequantized_outside_is_expanded_in_each_run() -> None:
    """A scale for each row is none that the kernel has: 3,072 bytes and 64 scales become 12,288 bytes, which are read again."""
    report = estimate(build("int8", f"{DQ}<axis = 0>(w, rows) {PRODUCT}"))
    moved = report.whole.traffic
    assert moved.read_bytes == 3072 + 64 * 4 + 4 * 64 * 4 + 3072 * 4 + 4 * 48 * 4
    assert moved.write_bytes == 3072 * 4 + 2 * 4 * 48 * 4
    assert max(buffer.size for buffer in buffers_of(report.graph)) == 3072 * 4


@pytest.mark.parametrize(("body", "each"), [(f"{DQ}(w, s)", 1), (f"{DQ}(w, s, z)", 2)])
def test_dequantizing_is_counted_apart(body: str, each: int) -> None:
    """The model's own work is that of the product and of 192 roots, as it is with weights of floats."""
    report = estimate(build("int8", f"{body} {PRODUCT}"))
    assert report.flops == 192 * (2 * 64 - 1) + 192
    assert report.to_dict()["totals"]["dequantization_flops"] == each * 3072
