"""What the inputs of operators hold: weights, or what only steers the operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import prod

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

FanIn = Callable[[Node, tuple[int, ...]], float]


def _axis(index: int) -> FanIn:
    return lambda node, dims: dims[index]


def _operand(transposed: str, index: int) -> FanIn:
    """An operand of a matrix product whose attribute may transpose it; of a vector its length."""
    return lambda node, dims: dims[-1] if len(dims) < 2 else dims[-3 - index if node.attributes.get(transposed) else index]


def _kernel(node: Node, dims: tuple[int, ...]) -> float:
    return prod(dims[1:])


def _transposed_kernel(node: Node, dims: tuple[int, ...]) -> float:
    """Each output is reached by every stride-th element of the kernel."""
    return float(prod(dims) / dims[1] / prod(node.attributes.get("strides") or (1,)) / node.attributes.get("group", 1))


def _labels(place: int) -> FanIn:
    """The labels of an Einsum's operand that its output lacks."""

    def count(node: Node, dims: tuple[int, ...]) -> float:
        operands, _, output = node.attributes["equation"].replace(" ", "").partition("->")
        labels = operands.split(",")[place].replace("...", "")
        return prod(size for label, size in zip(labels, dims[-len(labels) :], strict=True) if label not in output)

    return count


def _inner(node: Node, dims: tuple[int, ...]) -> float:
    return float(node.attributes["K"])


def _of_expert(node: Node, dims: tuple[int, ...]) -> float:
    return float(dims[-1] * 8 / node.attributes.get("expert_weight_bits", 4))


_KERNEL = {1: _kernel}
_MATRIX = {0: _axis(-1), 1: _operand("transB", -2)}

FAN_IN: Mapping[str, Mapping[int, FanIn]] = {
    **dict.fromkeys(("Conv", "ConvInteger", "DeformConv", "FusedConv", "NhwcConv", "NhwcFusedConv"), _KERNEL),
    "ConvTranspose": {1: _transposed_kernel},
    "ConvTransposeWithDynamicPads": {1: _transposed_kernel},
    **dict.fromkeys(("MatMul", "FusedMatMul", "MatMulInteger", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"), _MATRIX),
    **dict.fromkeys(("Gemm", "FusedGemm", "GemmFastGelu"), _MATRIX | {0: _operand("transA", -1)}),
    **dict.fromkeys(("LSTM", "GRU", "RNN"), _KERNEL | {1: _axis(-1), 2: _axis(-1)}),
    "DynamicQuantizeLSTM": {1: _axis(1), 2: _axis(1)},
    "Attention": {1: _axis(0)},
    "QAttention": {1: _axis(0)},
    "QLinearConv": {3: _kernel},
    "QLinearMatMul": {0: _axis(-1), 3: _axis(-2)},
    "QGemm": {3: _operand("transB", -2)},
    "MatMulNBits": {1: _inner},
    "MatMulBnb4": {1: _inner},
    "MoE": {2: _axis(1), 4: _axis(1), 6: _axis(1)},
    "QMoE": {2: _of_expert, 5: _of_expert, 8: _of_expert},
    "Einsum": {place: _labels(place) for place in range(4)},
}
"""By operator, of whatever domain, and the input that the dims are of."""
