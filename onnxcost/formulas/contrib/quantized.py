"""onnxruntime's operators on 8-bit integers. A scale is one multiplication per element, a zero point one addition.

If the runtime looks a function up in a table of 256 entries (such as QLinearSigmoid), the function itself is counted. Operators
on matrices in the orders of cuBLASLt are included: the order of a matrix does not change the count. Page of com.microsoft.X:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from onnxcost.formulas.activation import POINTWISE, softmax_work
from onnxcost.formulas.contraction import bias_work, dot_products, matmul
from onnxcost.formulas.contrib.attention import AttentionSizes, projection, sdpa
from onnxcost.formulas.normalization import layer
from onnxcost.formulas.quantized import SATURATE, dequantize_linear, dynamic_quantize_linear, qlinear_conv, quantize_linear
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, MUL, POOLING, reduction_work
from onnxcost.formulas.shapes import (
    broadcast,
    conv_rule,
    gemm_type,
    join_shapes,
    pool_rule,
    product,
    reduction_dims,
    with_shapes,
)
from onnxcost.formulas.table import Formula, FormulaTable, Types, formula, like_input, per_output
from onnxcost.graph import NO_WORK, Node, Work

DEQUANTIZE, QUANTIZE = ADD + MUL, DIV + SATURATE + ADD
"""(x − x₀)·s and saturate(x/s + y₀), per element."""
REQUANTIZE = MUL + SATURATE + ADD
"""saturate(s·x + y₀) of an integer sum, per element."""


def requantize_row(maths: str, flops: str, row: Formula) -> Formula:
    """A row on dequantized elements: (x − x₀)·s before it, saturate(y/s + y₀) after it."""
    return Formula(lambda node: node.x.size * DEQUANTIZE + row(node) + node.out.size * QUANTIZE, maths, "0", flops, like_input)


@formula("Y = quantize(softmax(dequantize(X)))", flops="2·in + rows·(5n − 2) + 5·out", shapes=like_input)
def qlinear_softmax(node: Node) -> Work:
    """Rows of n along ``axis``, or before opset 13 along it and all axes after it."""
    axis = node.attributes.get("axis", -1) % node.x.rank
    last = axis + 1 if node.attributes.get("opset", 13) >= 13 else node.x.rank
    length = prod(node.x.shape[axis:last])
    return node.x.size * (DEQUANTIZE + QUANTIZE) + softmax_work(node.x.size, node.x.size // length if length else 0)


def _broadcast_type(node: Node) -> Types:
    return [(node.x.dtype, broadcast(node.x.shape, node.required(3).shape))]


@formula("Y = saturate((s_a·(A − a₀) + s_b·(B − b₀)) / s_y + y₀)", flops="2·A + 2·B + 6·out", shapes=_broadcast_type)
def qlinear_add(node: Node) -> Work:
    """Both dequantized, added, quantized."""
    return (node.x.size + node.required(3).size) * DEQUANTIZE + node.out.size * (ADD + QUANTIZE)


@formula("Y = saturate(s·(A − a₀)·(B − b₀) + y₀)", flops="A + B + 6·out + 2", shapes=_broadcast_type)
def qlinear_mul(node: Node) -> Work:
    """s = s_a·s_b / s_y."""
    centered = (node.x.size + node.required(3).size) * ADD
    return centered + node.out.size * (MUL + REQUANTIZE) + (MUL + DIV if node.out.size else NO_WORK)


@formula("Z = requantize(X where C, else Y)", flops="out + 7·(X + Y)",
         shapes=lambda node: [
             (node.required(1).dtype, broadcast(node.x.shape, node.required(1).shape, node.required(4).shape))
         ])  # fmt: skip
def qlinear_where(node: Node) -> Work:
    """X and Y are each rescaled to Z, then selected."""
    return node.out.size * COMPARE + (node.required(1).size + node.required(4).size) * (DEQUANTIZE + QUANTIZE)


@formula(
    "Y = the inputs, each requantized, concatenated",
    flops="7·out",
    shapes=lambda node: [
        (node.required(2).dtype, join_shapes([tensor.shape for tensor in node.inputs[2::3] if tensor], node.attributes["axis"]))
    ],
)
def qlinear_concat(node: Node) -> Work:
    """Each input is rescaled to Y; the inputs come with scale and zero point from the third on."""
    return node.out.size * (DEQUANTIZE + QUANTIZE)


@formula("Y = quantize(mean of dequantize(X))", flops="3·in + 5·out",
         shapes=lambda node: [(node.x.dtype, reduction_dims(node))])  # fmt: skip
def qlinear_reduce_mean(node: Node) -> Work:
    """Over ``axes``."""
    return node.x.size * DEQUANTIZE + reduction_work(node.x.size, node.out.size, ADD, end=DIV) + node.out.size * QUANTIZE


def _pool(name: str) -> Formula:
    """A pooling of integers minus their zero point, its sums rescaled to Y."""
    pooling = POOLING[name]

    def count(node: Node) -> Work:
        return node.x.size * ADD + pooling(node) + node.out.size * REQUANTIZE

    return Formula(count, f"Y = saturate(s·{name}(X − x₀) + y₀)", "0", f"{name}, + in + 5·out", pool_rule(channels_last=None))


@formula("Y = saturate(s·((A − a₀)·(B − b₀) + C) + y₀)", macs="out·K",
         flops="out·(2K−1) + A + B + 5·out + 2·scales, + out for C (floats: 1·out)",
         shapes=lambda node: [
             (zero.dtype if (zero := node.input(8)) else "float32", gemm_type(node, node.x, node.required(3))[1])
         ])  # fmt: skip
def q_gemm(node: Node) -> Work:
    """s = α·s_a·s_b / s_y, one or one per column; without s_y the output is float32, s·(sum)."""
    weight, is_quantized = node.required(3), node.input(7) is not None
    inner = node.x.shape[0 if node.attributes.get("transA") else 1]
    ends = node.out.size * (REQUANTIZE if is_quantized else MUL)
    scales = node.required(4).size * (MUL + DIV if is_quantized else MUL)
    return dot_products(node.out.size, inner) + bias_work(node, 6) + (node.x.size + weight.size) * ADD + ends + scales


def _float_product(node: Node, dtype: str) -> Types:
    return [(dtype, product(node.x.shape, node.required(1).shape))]


def _to_float(node: Node, zeros: Sequence[tuple[int, int]], scale: int, bias: int) -> Work:
    """A product of integers, centered where there are zero points, times s_a·s_b, plus a bias."""
    centered = Work(adds=sum(node.required(at).size for at, zero in zeros if node.input(zero)))
    return matmul(node) + centered + Work(muls=node.out.size + node.required(scale).size) + bias_work(node, bias)


@formula("Y = s_a·s_b·(A − a₀)·(B − b₀) + bias", macs="out·K", flops="out·(2K−1) + A + B + out + scales, + out for the bias",
         shapes=lambda node: _float_product(node, node.required(2).dtype))  # fmt: skip
def matmul_integer_to_float(node: Node) -> Work:
    """MatMulInteger, and the sums scaled to floats."""
    return _to_float(node, ((0, 4), (1, 5)), 3, 6)


@formula("Y = s_a·s_b·(A' − a₀)·(B − b₀) + bias", macs="out·K", flops="7·A + 7, + as MatMulIntegerToFloat",
         shapes=lambda node: _float_product(node, node.x.dtype))  # fmt: skip
def dynamic_quantize_matmul(node: Node) -> Work:
    """A' is A quantized to its own range, as DynamicQuantizeLinear does."""
    return dynamic_quantize_linear(node) + node.x.size * ADD + _to_float(node, ((1, 3),), 2, 4)


@formula("Y = (A − a₀)·(B − b₀)", flops="out, + A for a₀, + B for b₀",
         shapes=lambda node: [("int32", broadcast(node.x.shape, node.required(2).shape))])  # fmt: skip
def mul_integer(node: Node) -> Work:
    """In 32-bit integers."""
    centered = sum(node.required(at).size for at in (0, 2) if node.input(at + 1))
    return Work(adds=centered, muls=node.out.size)


@formula("Y = Σ X in 32-bit integers", flops="in − out", shapes=lambda node: [("int32", reduction_dims(node))])
def reduce_sum_integer(node: Node) -> Work:
    """Over ``axes``."""
    return reduction_work(node.x.size, node.out.size, ADD)


# fmt: off
TABLE: FormulaTable = {
    "com.microsoft.QuantizeLinear":       with_shapes(quantize_linear, lambda node: [
        (zero.dtype if (zero := node.input(2)) else "uint8", node.x.shape)]),
    "com.microsoft.DequantizeLinear":     with_shapes(dequantize_linear, lambda node: [(node.required(1).dtype, node.x.shape)]),
    "com.microsoft.QLinearConv":          with_shapes(qlinear_conv, conv_rule(3, channels_last=None, dtype=7)),
    "com.microsoft.QLinearAdd":           qlinear_add,
    "com.microsoft.QLinearMul":           qlinear_mul,
    "com.microsoft.QLinearWhere":         qlinear_where,
    "com.microsoft.QLinearConcat":        qlinear_concat,
    "com.microsoft.QLinearSigmoid":       requantize_row("Y = quantize(σ(dequantize(X)))", "11·out", POINTWISE["Sigmoid"]),
    "com.microsoft.QLinearLeakyRelu":     requantize_row("Y = quantize(leaky(dequantize(X)))", "9·out", POINTWISE["LeakyRelu"]),
    "com.microsoft.QLinearSoftmax":       qlinear_softmax,
    "com.microsoft.QLinearReduceMean":    qlinear_reduce_mean,
    "com.microsoft.QLinearAveragePool":   _pool("AveragePool"),
    "com.microsoft.QLinearGlobalAveragePool": _pool("GlobalAveragePool"),
    "com.microsoft.QGemm":                q_gemm,
    "com.microsoft.MatMulIntegerToFloat": matmul_integer_to_float,
    "com.microsoft.DynamicQuantizeMatMul": dynamic_quantize_matmul,
    "com.microsoft.MatMulInteger16":      with_shapes(matmul, lambda node: _float_product(node, "int32")),
    "com.microsoft.MulInteger":           mul_integer,
    "com.microsoft.ReduceSumInteger":     reduce_sum_integer,
}

QUANTIZE_ORDERED = DIV + SATURATE


def _sizes(node: Node, width: int, past: int) -> AttentionSizes:
    batch, queries, _ = node.x.shape
    heads, cache = node.attributes["num_heads"], node.input(past)
    keys = queries + (cache.shape[3] if cache else 0)
    return AttentionSizes(batch, heads, queries, keys, width // heads, width // heads)


@formula("Attention, its projections in integers", macs="tokens·D·3·d·heads + Attention's",
         flops="as Attention, + X and W for zero points, + the projections and scales for scales",
         shapes=lambda node: [
             (node.required(3).dtype, (*node.x.shape[:2], node.required(1).shape[1] // 3)),
             (node.required(3).dtype, (2, *_sizes(node, node.required(1).shape[1] // 3, 8).cache)),
         ])  # fmt: skip
def q_attention(node: Node) -> Work:
    """(X − x₀)·(W − w₀)·s + b makes Q, K and V in floats."""
    weight = node.required(1)
    made = node.x.shape[0] * node.x.shape[1] * weight.shape[1]
    centered = Work(adds=(node.x.size if node.input(6) else 0) + (weight.size if node.input(7) else 0))
    scaled = Work(muls=made + node.required(4).size)
    return projection(node, weight, node.input(2)) + centered + scaled + sdpa(node, _sizes(node, weight.shape[1] // 3, 8), (5,))


@formula("Attention on 8 bits", macs="tokens·D·3·d·heads + Attention's", flops="as Attention, + 4 per element requantized",
         shapes=lambda node: [(node.x.dtype, (*node.x.shape[:2], node.required(5).shape[1]))])  # fmt: skip
def ordered_attention(node: Node) -> Work:
    """Q, K, V, the scores, their softmax and the output are each scaled and brought back to 8 bits."""
    width = node.required(5).shape[1]
    sizes = _sizes(node, width, 18)
    made = node.x.shape[0] * node.x.shape[1] * width
    products = 3 * projection(node, node.required(5), node.required(11))
    return products + sdpa(node, sizes, (17, 19)) + (4 * made + 2 * sizes.scores) * (MUL + SATURATE)


@formula("Y = quantize(s·A·B + bias + s_c·C)", macs="out·K", flops="out·(2K−1) + 5·out, + out for the bias, + 2·out for C",
         shapes=lambda node: [(node.x.dtype, product(node.x.shape, node.required(2).shape))])  # fmt: skip
def ordered_matmul(node: Node) -> Work:
    """The sums are scaled once, for A, B and Y together."""
    residual = node.out.size * (MUL + ADD if node.input(6) else NO_WORK)
    return matmul(node) + bias_work(node, 5) + residual + node.out.size * (MUL + SATURATE)


@formula("Y = quantize(LayerNormalization(s·X))", flops="LayerNormalization, + in + 4·out", shapes=like_input)
def ordered_layer_normalization(node: Node) -> Work:
    """Inputs are X, its scale, γ, β and the scale of Y."""
    inner = replace(node, inputs=(node.x, node.input(2), node.input(3)))
    return layer(inner) + node.x.size * (MUL + QUANTIZE_ORDERED)


ONNX_TYPES = {1: "float32", 10: "float16"}


ORDERED: FormulaTable = {
    "com.microsoft.QAttention": q_attention,
    "com.microsoft.QOrderedAttention": ordered_attention,
    "com.microsoft.QOrderedMatMul": ordered_matmul,
    "com.microsoft.QOrderedLayerNormalization": ordered_layer_normalization,
    "com.microsoft.QOrderedGelu": per_output(
        "Y = quantize(Gelu(s·X))", shapes=like_input, muls=3, adds=1, divs=2, compares=3, transcendentals=1
    ),
    "com.microsoft.QuantizeWithOrder": per_output(
        "Y = saturate(X/s)", shapes=lambda node: [("int8", node.x.shape)], divs=1, compares=3
    ),
    "com.microsoft.DequantizeWithOrder": per_output(
        "Y = s·X", shapes=lambda node: [(ONNX_TYPES[node.attributes["to"]], node.x.shape)], muls=1
    ),
}
