"""What the inputs of operators hold: weights, or what only steers the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxcost.graph import Node, Tensor

STEERING: Mapping[str, frozenset[int]] = {
    "Resize": frozenset({1, 2, 3}),
    "Upsample": frozenset({1}),
    "Pad": frozenset({1, 2, 3}),
    "Clip": frozenset({1, 2}),
    "QuantizeLinear": frozenset({1, 2}),
    "DequantizeLinear": frozenset({1, 2}),
    "QLinearConv": frozenset({1, 2, 4, 5, 6, 7}),
    "QLinearMatMul": frozenset({1, 2, 4, 5, 6, 7}),
    "ConvInteger": frozenset({2, 3}),
    "MatMulInteger": frozenset({2, 3}),
}
"""Inputs that steer an operator (sizes, scales, zero points, bounds) and hold no weights."""

BIAS: Mapping[str, int] = {
    **dict.fromkeys(("Conv", "ConvTranspose", "Gemm", "com.microsoft.FusedConv", "com.microsoft.FusedGemm"), 2),
    **dict.fromkeys(("DeformConv", "LSTM", "GRU", "RNN"), 3),
}
"""The input that is added to a product as its bias."""

QUANTIZED_BIAS: Mapping[str, int] = {"DequantizeLinear": 0, "QLinearConv": 8}
"""The input that keeps a bias in integers of 32 bits, which are no weights elsewhere."""

WEIGHTS: Mapping[str, Mapping[int, Callable[[Node, Tensor], int]]] = {}
"""How many weights an input holds where that is not its number of elements."""
