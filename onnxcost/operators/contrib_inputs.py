"""What the inputs of onnxruntime's operators hold: weights, packed or not, or what only steers the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxcost.errors import UnknownShape
from onnxcost.formulas.contrib.packed_weights import packing_factor
from onnxcost.formulas.shapes import elements
from onnxcost.graph import Node, Tensor

_STEERING: Mapping[str, set[int]] = {
    "QuantizeLinear": {1, 2},
    "DequantizeLinear": {1, 2},
    "ConvTransposeWithDynamicPads": {2},
    "CropAndResize": {1, 2, 3},
    "QLinearConv": {1, 2, 4, 5, 6, 7},
    "QGemm": {1, 2, 4, 5, 7, 8},
    "MatMulIntegerToFloat": {2, 3, 4, 5},
    "DynamicQuantizeMatMul": {2, 3},
    "DynamicQuantizeLSTM": {8, 9, 10, 11},
    "QAttention": {3, 4, 6, 7},
    "QEmbedLayerNormalization": set(range(8, 18)),
    "QOrderedAttention": {1, 2, 3, 4, 8, 9, 10, 14, 15, 16},
    "QOrderedMatMul": {1, 3, 4, 7},
    "GemmFloat8": {3, 4, 5},
    "MatMulNBits": {2, 3, 4},
    "MatMulNBitsMlp": {4, 7},
    "MatMulNBitsQkv": {4, 7, 10},
    "MatMulNBitsQLoRA": {2, 4, 6},
    "MatMulPacked": {2},
    "MatMulBnb4": {2},
    "MatMulFpQ4": {2},
    "MatMulBlockQuantizedFp4Weight": {2, 3, 4},
    "MatMulBlockQuantizedFp8Weight": {2, 3},
    "GatherBlockQuantized": {2, 3},
    "QMoE": {3, 6, 9, *range(11, 14), *range(15, 21)},
    "RotaryEmbedding": {2, 3},
    "MRotaryEmbedding": {2, 3},
    "RMSNormRotary": {3, 4},
    "GroupQueryAttention": {7, 8, 12, 13},
}
STEERING: Mapping[str, frozenset[int]] = {f"com.microsoft.{name}": frozenset(places) for name, places in _STEERING.items()}
"""Scales, zero points, tables of positions, sizes: by operator, the inputs that hold no weights."""

QUANTIZED_BIAS: Mapping[str, int] = {
    "com.microsoft.DequantizeLinear": 0,
    "com.microsoft.QLinearConv": 8,
    "com.microsoft.QGemm": 6,
}
"""The input that holds a bias in integers of 32 bits."""


def _by_matrix(node: Node, tensor: Tensor) -> int:
    return int(node.attributes["N"] * node.attributes["K"])


def _by_shape(node: Node, tensor: Tensor) -> int:
    try:
        inner, columns = elements(node, 2, "the weight's dims")
    except UnknownShape:
        return 2 * tensor.size
    return inner * columns


def _expert_bits(fc: int) -> Callable[[Node, Tensor], int]:
    def count(node: Node, tensor: Tensor) -> int:
        bits = node.attributes.get(f"fc{fc}_expert_weight_bits") or node.attributes.get("expert_weight_bits", 4)
        bits = 4 if "fp4" in node.attributes.get("quant_type", "int") else bits
        return tensor.size * 8 // bits if tensor.dtype == "uint8" else tensor.size

    return count


def _qkv(width: str) -> Callable[[Node, Tensor], int]:
    return lambda node, tensor: int(node.attributes["K"] * node.attributes[width])


def _rows_of_inner(node: Node, tensor: Tensor) -> int:
    return int(tensor.shape[0] * node.attributes["K"])


def _adapter(node: Node, tensor: Tensor) -> int:
    return int(node.attributes["N"] * node.required(4).shape[0]) if tensor.size else 0


def _packed_experts(node: Node, tensor: Tensor) -> int:
    """Experts × inner × hidden, the rows of the gate's and of the down weights."""
    return tensor.shape[0] * node.required(2).shape[1] * node.required(4).shape[1]


WEIGHTS: Mapping[str, Mapping[int, Callable[[Node, Tensor], int]]] = {
    "com.microsoft.MatMulNBits": {1: _by_matrix},
    "com.microsoft.MatMulNBitsMlp": {3: _by_matrix, 6: _by_matrix},
    "com.microsoft.MatMulNBitsQkv": {3: _qkv("Nq"), 6: _qkv("Nkv"), 9: _qkv("Nkv")},
    "com.microsoft.MatMulNBitsQLoRA": {1: _by_matrix, 3: _rows_of_inner, 5: _adapter},
    "com.microsoft.MatMulPacked": {1: _by_matrix},
    "com.microsoft.GatherPacked": {0: _rows_of_inner},
    "com.microsoft.MoEPacked": {2: _packed_experts, 3: _packed_experts, 4: _packed_experts},
    "com.microsoft.MatMulBnb4": {1: _by_matrix},
    "com.microsoft.MatMulFpQ4": {1: _by_shape},
    "com.microsoft.MatMulBlockQuantizedFp4Weight": {1: lambda node, tensor: 2 * tensor.size},
    "com.microsoft.GatherBlockQuantized": {0: lambda node, tensor: packing_factor(node) * tensor.size},
    "com.microsoft.QMoE": {2: _expert_bits(1), 5: _expert_bits(2), 8: _expert_bits(3)},
}
"""How many weights a packed input holds, by operator and input."""
