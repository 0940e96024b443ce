"""Quantized operators: the same work on integers. Zero points are subtracted before the products, as the operators define."""

from __future__ import annotations

from onnxcost.formulas.contraction import bias_work, matmul
from onnxcost.formulas.convolution import window_products
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, MUL, UNPACK
from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import NO_WORK, Node, Work

SATURATE = 3 * COMPARE
"""Rounding and the two bounds of the integer type."""


def _zero_point_work(node: Node, *pairs: tuple[int, int]) -> Work:
    """The subtraction of a zero point from every element, for each (tensor, zero point) among the inputs."""
    return Work(adds=sum(node.required(tensor).size for tensor, zero in pairs if node.input(zero)))


def requantize_work(node: Node) -> Work:
    """Each output times a scale a·b/y, plus a zero point, saturated; as many scales as input 4 has elements."""
    zero = ADD if node.input(7) else NO_WORK
    return node.out.size * (MUL + SATURATE + zero) + node.required(4).size * (MUL + DIV)


@formula("Y = (A − a₀)·(B − b₀)", macs="out·K", flops="out·(2K−1), + A for a₀, + B for b₀")
def matmul_integer(node: Node) -> Work:
    """In 32-bit integers: https://onnx.ai/onnx/operators/onnx__MatMulInteger.html."""
    return matmul(node) + _zero_point_work(node, (0, 2), (1, 3))


@formula("Y = (X − x₀)∗(W − w₀)", macs="out·C_in/groups·k", flops="out·(2·C_in/groups·k − 1), + X for x₀, + W for w₀")
def conv_integer(node: Node) -> Work:
    """In 32-bit integers: https://onnx.ai/onnx/operators/onnx__ConvInteger.html."""
    return window_products(node, node.required(1)) + _zero_point_work(node, (0, 2), (1, 3))


@formula("Y = saturate(s·(A − a₀)·(B − b₀) + y₀)", macs="out·K", flops="out·(2K−1) + A + B + 5·out + 2·scales")
def qlinear_matmul(node: Node) -> Work:
    """s = s_a·s_b / s_y: https://onnx.ai/onnx/operators/onnx__QLinearMatMul.html."""
    return matmul(node) + _zero_point_work(node, (0, 2), (3, 5)) + requantize_work(node)


@formula("Y = saturate(s·((X − x₀)∗(W − w₀) + B) + y₀)", macs="out·C_in/groups·k",
         flops="out·(2·C_in/groups·k − 1) + X + W + 5·out + 2·scales, + out for B")  # fmt: skip
def qlinear_conv(node: Node) -> Work:
    """s = s_x·s_w / s_y, one or one per channel: https://onnx.ai/onnx/operators/onnx__QLinearConv.html."""
    products = window_products(node, node.required(3)) + _zero_point_work(node, (0, 2), (3, 5))
    return products + requantize_work(node) + bias_work(node, 8)


@formula("Y = saturate(X/s + y₀)", flops="4·out, + out for y₀")
def quantize_linear(node: Node) -> Work:
    """A division, rounding, the zero point, two bounds: https://onnx.ai/onnx/operators/onnx__QuantizeLinear.html."""
    return node.out.size * (DIV + SATURATE + (ADD if node.input(2) else NO_WORK))


@formula("Y = (X − x₀)·s", flops="out, + out for x₀; for a weight as dequantizations")
def dequantize_linear(node: Node) -> Work:
    """In the type of the scale: https://onnx.ai/onnx/operators/onnx__DequantizeLinear.html."""
    if node.x.is_constant:
        return node.out.size * (2 if node.input(2) else 1) * UNPACK
    return node.out.size * (MUL + (ADD if node.input(2) else NO_WORK))


@formula("Y = saturate(X/s + y₀), s = (max X − min X)/255, y₀ = saturate(−min X/s)", flops="7·in + 7")
def dynamic_quantize_linear(node: Node) -> Work:
    """The range holds 0; y₀ is computed as 0 − min X/s: https://onnx.ai/onnx/operators/onnx__DynamicQuantizeLinear.html."""
    span = 2 * ADD + 2 * DIV + SATURATE
    return node.x.size * (2 * COMPARE + DIV + ADD + SATURATE) + span if node.x.size else NO_WORK


TABLE: FormulaTable = {
    "MatMulInteger": matmul_integer,
    "ConvInteger": conv_integer,
    "QLinearMatMul": qlinear_matmul,
    "QLinearConv": qlinear_conv,
    "QuantizeLinear": quantize_linear,
    "DequantizeLinear": dequantize_linear,
    "DynamicQuantizeLinear": dynamic_quantize_linear,
}
