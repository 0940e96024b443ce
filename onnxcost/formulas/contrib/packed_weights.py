"""Weights in the packed blocks of GGML's formats, dequantized where they are used; the arithmetic is of the activations' type.

Every weight is dequantized once a run. The formats: https://github.com/microsoft/onnxruntime/blob/main/docs/PackedWeightFormats.md.
Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from onnxcost.errors import UnknownShape
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.experts import EXPERT_ACTIVATIONS, Places, experts
from onnxcost.formulas.contrib.fused import FLOAT_TYPES
from onnxcost.formulas.reduction import ADD, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, formula, like_input
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work


class Packing(NamedTuple):
    """What dequantizes a weight, and the scale of each ``run`` of weights where it is itself a product."""

    each: Work
    run: int = 1
    scale: Work = NO_WORK


_STORED, _CODED, _OFFSET = Packing(NO_WORK), Packing(MUL), Packing(ADD + MUL)
_HALVES = 2 * MUL + ADD
"""d·(½ + q)·c, the scale of a run in a codebook's format; each weight is then scale·magnitude·sign."""

PACKINGS: Mapping[int, Packing] = {
    0: _STORED,  # F32
    1: _STORED,  # F16
    2: _OFFSET,  # Q4_0
    6: _OFFSET,  # Q5_0
    8: _CODED,  # Q8_0
    13: Packing(MUL + ADD, 32, 2 * MUL),  # Q5_K: (d·s)·q − d₀·m
    14: Packing(ADD + MUL, 16, MUL),  # Q6_K: (d·s)·(q − 32)
    16: Packing(2 * MUL, 32, _HALVES),  # IQ2_XXS
    17: Packing(2 * MUL, 16, _HALVES),  # IQ2_XS
    18: Packing(2 * MUL, 32, _HALVES),  # IQ3_XXS
    20: _CODED,  # IQ4_NL
    22: Packing(2 * MUL, 16, _HALVES),  # IQ2_S
    23: Packing(MUL, 32, ADD + MUL),  # IQ4_XS: (d·(s − 32))·code
    30: _STORED,  # BF16
    40: _CODED,  # NVFP4
    42: _OFFSET,  # Q2_0
}
"""By GGML's number of the format, which is what the attributes hold."""


def dequantized(node: Node, attribute: str, weights: int) -> Work:
    """So many weights in the format that the attribute says; raises UnknownShape for one that is not known."""
    number = node.attributes[attribute]
    if number not in PACKINGS:
        raise UnknownShape(f"the format {number} in '{attribute}' is not known")
    packing = PACKINGS[number]
    return weights * packing.each + weights // packing.run * packing.scale


def _product_type(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, (*node.x.shape[:-1], node.attributes["N"]))]


@formula("Y = activation(s·A·dequantize(B)ᵀ)", macs="out·K",
         flops="out·(2K−1), + N·K dequantized, + out for s, + the activation", shapes=_product_type)  # fmt: skip
def matmul_packed(node: Node) -> Work:
    """Weights of N × K; s is input 2."""
    inner, columns = node.attributes["K"], node.attributes["N"]
    weights = dequantized(node, "packed_type", inner * columns)
    scaled = Work(muls=node.out.size if node.input(2) else 0)
    activation = EXPERT_ACTIVATIONS[node.attributes.get("activation_type", "none")]
    return dot_products(node.out.size, inner) + weights + scaled + activation(node)


def _gathered(node: Node) -> Sequence[TensorType | None]:
    return [(FLOAT_TYPES[node.attributes.get("output_dtype", 16)], (*node.required(1).shape, node.attributes["K"]))]


@formula("Y = dequantize(X[indices])", flops="0 to 2·out, + 0 to 3 a run with a scale of its own", shapes=_gathered)
def gather_packed(node: Node) -> Work:
    """Gather of the rows of a packed table, of which only what is gathered is dequantized."""
    return dequantized(node, "packed_type", node.out.size)


@formula("As MoE, with packed weights", macs="tokens·k·hidden·inner·(2 or 3)",
         flops="MoE, + the used experts' weights dequantized, + tokens for ε, + tokens·k for s", shapes=like_input)  # fmt: skip
def moe_packed(node: Node) -> Work:
    """Gated by SiLU, or max(X, 0)² alone; the weights of the chosen experts are made to sum to 1 and times s.

    They are input 5's, or a softmax of what selects the experts. As many experts are used as the tokens can choose at most.
    """
    read, hidden, all_experts = node.attributes, node.x.shape[-1], node.required(1).shape[-1]
    tokens = node.x.size // hidden if hidden else 0
    chosen = tokens * min(read.get("k", 1), all_experts)
    weights = min(all_experts, chosen) * node.required(2).shape[1] * hidden
    formats = ("gate_type", "down_type", *(("up_type",) if node.input(3) else ()))
    name = read.get("activation_type", "swiglu")
    attributes = {"normalize_routing_weights": 1, **read, "activation_type": "silu" if name == "swiglu" else name}
    shifted = tokens if read.get("routing_epsilon") else 0
    scaled = chosen if read.get("routed_scaling_factor", 1.0) != 1 else 0
    unpacked = sum((dequantized(node, each, weights) for each in formats), Work(adds=shifted, muls=scaled))
    return unpacked + experts(replace(node, attributes=attributes), Places((2, 4, 3), router=5))


TABLE: FormulaTable = {
    "com.microsoft.MatMulPacked": matmul_packed,
    "com.microsoft.GatherPacked": gather_packed,
    "com.microsoft.MoEPacked": moe_packed,
}
