"""Each rule is named after the pass of onnxruntime that it models: without that pass, onnxruntime leaves the nodes alone."""

from __future__ import annotations

from collections import Counter

import onnx
import pytest

from onnxcost.ort_optimizer.fusion import LATER_RULES, PATTERNS, RULES
from tests.modeltext import model
from tests.ort_optimizer.oracle import optimised, why_not
from tests.ort_optimizer.test_fusion_against_onnxruntime import (
    GELU,
    IMAGE,
    MEAN,
    MICROSOFT,
    NUMBERS,
    ROWS,
    SQUARES,
    TANH,
)

REGISTERED = {
    "PadFusion": ("Pad_Fusion",),
    **{name: (f"{name}L1", f"{name}L2") for name in ("GeluFusion", "LayerNormFusion")},
    **{"ReluQuantFusion": ("ReluQuantRewrite",), "ClipQuantFusion": ("ClipQuantRewrite",)},
}
"""What a class is called where passes are turned off, if that is not its own name."""
OF_IMAGES = (
    ("ConvBNFusion", "t = Conv(x, w) y = BatchNormalization(t, b, b, b, b)"),
    ("ConvBNFusion", "t = ConvTranspose(x, w) y = BatchNormalization(t, b, b, b, b)"),
    ("ConvAddFusion", "t = Conv(x, w) y = Add(t, c)"),
    ("ConvMulFusion", "t = Conv(x, w) y = Mul(t, c)"),
    ("ConvActivationFusion", "t = Conv<group = 4>(x, narrow) y = Relu(t)"),
    ("NchwcTransformer", "t = Conv(x, w) u = Conv(t, w1) y = Add(t, u)"),
    ("NchwcTransformer", "t = Conv(x, w) u = Relu(t) v = Mul(u, c) k = BatchNormalization(v, b, b, b, b) y = Relu(k)"),
    ("PadFusion", "t = Pad(x, pads) y = Conv(t, w)"),
    ("FuseReluClip", "t = Relu(x) y = Clip(t)"),
)  # fmt: skip
INTEGERS = "w8 = Cast<to = 3>(w) q, s, zero = DynamicQuantizeLinear(x) t = MatMulInteger(q, w8, zero) u = Cast<to = 1>(t)"
SKIP = "com.microsoft.SkipLayerNormalization"
OF_ROWS = (
    ("MatMulAddFusion", "N,32", "t = MatMul(x, w) y = Add(t, b)"),
    ("MatMulScaleFusion", "N,8,32", "t = MatMul(x, w) y = Mul(t, scale)"),
    ("MatMulScaleFusion", "N,8,32", "t = Div(x, scale) y = MatMul(t, w)"),
    ("MatmulTransposeFusion", "4,32,32", "t = Transpose<perm = [0, 2, 1]>(x) y = MatMul(x, t)"),
    ("GemmActivationFusion", "4,32", "t = Gemm(x, w, b) y = Relu(t)"),
    ("SkipLayerNormFusion", "N,8,32", "t = Neg(x) u = Add(t, x) y = LayerNormalization(u, b, b)"),
    ("SkipLayerNormFusion", "N,8,32", "t = MatMul(x, w) u = Add(t, b) v = Add(u, x) y = LayerNormalization(v, b, b)"),
    (
        "BiasSkipLayerNormFusion",
        "N,8,32",
        f"t = MatMul(x, w) u = Add(t, b) y = {SKIP}(u, x, b, b)",
    ),
    ("BiasGeluFusion", "N,8,32", "t = Add(x, b) y = com.microsoft.Gelu(t)"),
    ("MatMulIntegerToFloatFusion", "N,8,32", f"{INTEGERS} k = Mul(s, scale) y = Mul(u, k)"),
    ("MatMulIntegerToFloatFusion", "N,8,32", f"{INTEGERS} k = Mul(s, scale) v = Mul(u, k) y = Add(v, b)"),
    ("GeluFusion", "N,8,32", f"{GELU} k = Mul(x, v) y = Mul(k, half)"),
    ("MatMulNBitsFusion", "N,8,32", "v8 = Cast<to = 3>(w) d = DequantizeLinear(v8, scale) t = MatMul(x, d) y = Add(t, b)"),
    ("FastGeluFusion", "N,8,32", f"{TANH} g = Add(f, one) h = Mul(x, half) y = Mul(h, g)"),
    ("LayerNormFusion", "N,8,32", f"{MEAN.format('last')} g = Mul(n, b) y = Add(g, b)"),
    ("SimplifiedLayerNormFusion", "N,8,32", f"{SQUARES} n = Div(x, q) y = Mul(n, b)"),
    ("QuickGeluFusion", "N,8,32", "t = Sigmoid(x) y = Mul(x, t)"),
    ("QuickGeluFusion", "N,8,32", "t = Mul(x, scale) u = Sigmoid(t) y = Mul(x, u)"),
    # Without a rule in the tables.
    ("ConstantFolding", "N,8,32", "t = Neg(b) y = Add(x, t)"),
    ("ConstantFolding", "4,8,32", "t = Shape(x) y = Reshape(x, t)"),
    ("EliminateIdentity", "N,8,32", "t = Identity(x) y = Neg(t)"),
    ("EliminateDropout", "N,8,32", "t = Dropout(x) y = Neg(t)"),
    ("CastElimination", "N,8,32", "t = Cast<to = 1>(x) y = Neg(t)"),
    ("GatherSliceToSplitFusion", "N,8,32", "t = Slice(x, first, middle, last) u = Slice(x, middle, end, last) y = Add(t, u)"),
)
PASSES = [*((name, "1,32,8,8", body) for name, body in OF_IMAGES), *OF_ROWS]


def kernels(nodes: list[onnx.NodeProto]) -> Counter[str]:
    """What brings tensors into another layout left out."""
    return Counter(node.op_type for node in nodes if not node.op_type.startswith("Reorder"))


@pytest.mark.parametrize(("name", "dims", "body"), PASSES)
def test_without_the_pass_more_kernels_run(name: str, dims: str, body: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    text = f"(float[{dims}] x) => (float z) <{NUMBERS}> {{ {body} z = Neg(y) }}"
    source = model(text, opset=18, domains=MICROSOFT, **(IMAGE if dims == "1,32,8,8" else ROWS)).SerializeToString()
    assert kernels(optimised(source, REGISTERED.get(name, (name,)))).total() > kernels(optimised(source)).total()


def test_every_rule_is_named_after_a_pass_that_was_turned_off() -> None:
    assert {rule.name for rule in (*RULES, *LATER_RULES, *PATTERNS)} <= {name for name, *_ in PASSES}


QUANTIZED = (
    """int8 zw = {0}, float s = {0.1}, uint8 z = {128}, uint8 z0 = {0}, int8 zs = {0},
 float low = {0}, float high = {30}, int8[16,16,1,1] k = {"""
    + ",".join(["1"] * 256)
    + "}"
)
AROUND = "a = QuantizeLinear(x, s, {0}) b = DequantizeLinear(a, s, {0}) w = DequantizeLinear(k, s, zw)"
THEN = "u = QuantizeLinear(t, s, {0}) y = DequantizeLinear(u, s, {0})"


@pytest.mark.parametrize(
    ("name", "body"),
    [
        ("QDQSelectorActionTransformer", f"{AROUND.format('z')} t = Conv(b, w) {THEN.format('z')}"),
        ("QDQS8ToU8Transformer", f"{AROUND.format('zs')} t = Conv(b, w) {THEN.format('zs')}"),
        ("ReluQuantFusion", f"{AROUND.format('z')} t = Relu(b) {THEN.format('z0')}"),
        ("ClipQuantFusion", f"{AROUND.format('z')} t = Clip(b, low, high) {THEN.format('z0')}"),
        ("NhwcTransformer", f"{AROUND.format('z')} t = Conv(b, w) {THEN.format('z')}"),
    ],
)  # fmt: skip
def test_without_the_pass_quantized_operators_run_otherwise(name: str, body: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    text = f"(float[1,16,16,16] x) => (float v) <{QUANTIZED}> {{ {body} v = Neg(y) }}"
    source = model(text, opset=18, domains=MICROSOFT).SerializeToString()
    with_it, without = optimised(source), optimised(source, REGISTERED.get(name, (name,)))
    assert [(node.op_type, list(node.input)) for node in with_it] != [(node.op_type, list(node.input)) for node in without]
