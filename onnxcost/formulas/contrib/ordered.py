"""Quantized attention, and the 8-bit Transformer layers that keep their matrices in the orders of cuBLASLt.

The order of a matrix changes no count. A scale is one multiplication an element, quantizing a division and its saturation.
Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxcost.formulas.contraction import matmul
from onnxcost.formulas.contrib.attention import Sizes, core, projected
from onnxcost.formulas.contrib.shapes import product
from onnxcost.formulas.normalization import layer
from onnxcost.formulas.quantized import SATURATE
from onnxcost.formulas.reduction import ADD, DIV, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, formula, like_input, per_output
from onnxcost.graph import Node
from onnxcost.work import Work

QUANTIZE = DIV + SATURATE


def _sizes(node: Node, width: int, past: int) -> Sizes:
    batch, queries, _ = node.x.shape
    heads, cache = node.attributes["num_heads"], node.input(past)
    keys = queries + (cache.shape[3] if cache else 0)
    return Sizes(batch, heads, queries, keys, width // heads, width // heads)


def _q_attention_types(node: Node) -> Sequence[TensorType | None]:
    width, dtype = node.required(1).shape[1] // 3, node.required(3).dtype
    batch, heads, _, keys, size, _ = _sizes(node, width, 8)
    return [(dtype, (*node.x.shape[:2], width)), (dtype, (2, batch, heads, keys, size))]


@formula("Attention, its projections in integers", macs="tokens·D·3·d·heads + Attention's",
         flops="as Attention, + X and W for zero points, + the projections and scales for scales",
         shapes=_q_attention_types)  # fmt: skip
def q_attention(node: Node) -> Work:
    """(X − x₀)·(W − w₀)·s + b makes Q, K and V in floats."""
    weight = node.required(1)
    made = node.x.shape[0] * node.x.shape[1] * weight.shape[1]
    centred = Work(adds=(node.x.size if node.input(6) else 0) + (weight.size if node.input(7) else 0))
    scaled = Work(muls=made + node.required(4).size)
    return projected(node, weight, node.input(2)) + centred + scaled + core(node, _sizes(node, weight.shape[1] // 3, 8), (5,))


@formula("Attention on 8 bits", macs="tokens·D·3·d·heads + Attention's", flops="as Attention, + 4 an element requantized",
         shapes=lambda node: [(node.x.dtype, (*node.x.shape[:2], node.required(5).shape[1]))])  # fmt: skip
def ordered_attention(node: Node) -> Work:
    """Q, K, V, the scores, their softmax and the output are each scaled and brought back to 8 bits."""
    width = node.required(5).shape[1]
    sizes = _sizes(node, width, 18)
    made = node.x.shape[0] * node.x.shape[1] * width
    products = 3 * projected(node, node.required(5), node.required(11))
    return products + core(node, sizes, (17, 19)) + (4 * made + 2 * sizes.scores) * (MUL + SATURATE)


@formula("Y = quantize(s·A·B + bias + s_c·C)", macs="out·K", flops="out·(2K−1) + 5·out, + out for the bias, + 2·out for C",
         shapes=lambda node: [(node.x.dtype, product(node.x.shape, node.required(2).shape))])  # fmt: skip
def ordered_matmul(node: Node) -> Work:
    """The sums are scaled once, for A, B and Y together."""
    bias = Work(bias_adds=node.out.size if node.input(5) else 0)
    residual = node.out.size * ((MUL + ADD) if node.input(6) else Work())
    return matmul(node) + bias + residual + node.out.size * (MUL + SATURATE)


@formula("Y = quantize(LayerNormalization(s·X))", flops="LayerNormalization, + in + 4·out", shapes=like_input)
def ordered_layer_normalization(node: Node) -> Work:
    """Inputs are X, its scale, γ, β and the scale of Y."""
    inner = replace(node, inputs=(node.x, node.input(2), node.input(3)))
    return layer(inner) + node.x.size * (MUL + QUANTIZE)


ONNX_TYPES = {1: "float32", 10: "float16"}


TABLE: FormulaTable = {
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
