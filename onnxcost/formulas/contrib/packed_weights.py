"""Weights of few bits, dequantized when they are used; the arithmetic has the type of the activations.

Every weight is dequantized once per run, (q − zero point)·scale: two operations, counted separately. GGML's formats:
https://github.com/microsoft/onnxruntime/blob/main/docs/PackedWeightFormats.md. Page of com.microsoft.X:
https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from onnxcost.errors import UnknownShape
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.experts import EXPERT_ACTIVATIONS, ExpertInputs, experts
from onnxcost.formulas.contrib.fused import ACTIVATIONS, FLOAT_TYPES
from onnxcost.formulas.normalization import rms
from onnxcost.formulas.reduction import MUL, UNPACK, rows_in
from onnxcost.formulas.shapes import elements
from onnxcost.formulas.table import FormulaTable, ShapeRule, Types, formula, like_input
from onnxcost.graph import NO_WORK, Node, Work


class Packing(NamedTuple):
    """What dequantizes a weight, and the scale of each ``run`` of weights if it is itself a product."""

    each: Work
    run: int = 1
    scale: Work = NO_WORK


_STORED, _CODED, _OFFSET = Packing(NO_WORK), Packing(UNPACK), Packing(2 * UNPACK)
_HALVES = 3 * UNPACK
"""d·(½ + q)·c, the scale of a run in a codebook's format; each weight is then scale·magnitude·sign."""

PACKINGS: Mapping[int, Packing] = {
    0: _STORED,  # F32
    1: _STORED,  # F16
    2: _OFFSET,  # Q4_0
    6: _OFFSET,  # Q5_0
    8: _CODED,  # Q8_0
    13: Packing(2 * UNPACK, 32, 2 * UNPACK),  # Q5_K: (d·s)·q − d₀·m
    14: Packing(2 * UNPACK, 16, UNPACK),  # Q6_K: (d·s)·(q − 32)
    16: Packing(2 * UNPACK, 32, _HALVES),  # IQ2_XXS
    17: Packing(2 * UNPACK, 16, _HALVES),  # IQ2_XS
    18: Packing(2 * UNPACK, 32, _HALVES),  # IQ3_XXS
    20: _CODED,  # IQ4_NL
    22: Packing(2 * UNPACK, 16, _HALVES),  # IQ2_S
    23: Packing(UNPACK, 32, 2 * UNPACK),  # IQ4_XS: (d·(s − 32))·code
    30: _STORED,  # BF16
    40: _CODED,  # NVFP4
    42: _OFFSET,  # Q2_0
}
"""By GGML's number of the format, which is what the attributes hold."""


def dequantize_work(node: Node, attribute: str, weights: int) -> Work:
    """The work on ``weights`` in the format that the attribute names; raises UnknownShape for an unknown format."""
    number = node.attributes[attribute]
    if number not in PACKINGS:
        raise UnknownShape(f"the format {number} in '{attribute}' is not known")
    packing = PACKINGS[number]
    return weights * packing.each + weights // packing.run * packing.scale


def _projection_rule(columns: str | int) -> ShapeRule:
    """A's dims with the last one replaced: by an attribute's value or a weight's first dim."""

    def rule(node: Node) -> Types:
        last = node.attributes[columns] if isinstance(columns, str) else node.required(columns).shape[0]
        return [(node.x.dtype, (*node.x.shape[:-1], last))]

    return rule


@formula("Y = activation(s·A·dequantize(B)ᵀ)", macs="out·K",
         flops="out·(2K−1), + out for s, + the activation; also N·K dequantizations",
         shapes=_projection_rule("N"))  # fmt: skip
def matmul_packed(node: Node) -> Work:
    """Weights of N × K; s is input 2."""
    inner, columns = node.attributes["K"], node.attributes["N"]
    weights = dequantize_work(node, "packed_type", inner * columns)
    scaled = Work(muls=node.out.size if node.input(2) else 0)
    activation = EXPERT_ACTIVATIONS[node.attributes.get("activation_type", "none")]
    return dot_products(node.out.size, inner) + weights + scaled + activation(node)


@formula(
    "Y = dequantize(X[indices])",
    flops="0; also 0 to 2·out dequantizations, + 0 to 3 per run with its own scale",
    shapes=lambda node: [
        (FLOAT_TYPES[node.attributes.get("output_dtype", 16)], (*node.required(1).shape, node.attributes["K"]))
    ],
)
def gather_packed(node: Node) -> Work:
    """Gather of the rows of a packed table; only the gathered rows are dequantized."""
    return dequantize_work(node, "packed_type", node.out.size)


@formula("As MoE, with packed weights", macs="tokens·k·hidden·inner·(2 or 3)",
         flops="MoE, + tokens for ε, + tokens·k for s; also the dequantizations of the used experts' weights",
         shapes=like_input)  # fmt: skip
def moe_packed(node: Node) -> Work:
    """Gated by SiLU, or only max(X, 0)²; the weights of the chosen experts are normalized to a sum of 1, times s.

    The weights are input 5, or a softmax of the scores that select the experts. The most experts that the tokens can choose are
    used.
    """
    read, tokens, all_experts = node.attributes, rows_in(node.x), node.required(1).shape[-1]
    chosen = tokens * min(read.get("k", 1), all_experts)
    weights = min(all_experts, chosen) * node.required(2).shape[1] * node.x.shape[-1]
    formats = ("gate_type", "down_type", *(("up_type",) if node.input(3) else ()))
    name = read.get("activation_type", "swiglu")
    attributes = {"normalize_routing_weights": 1, **read, "activation_type": "silu" if name == "swiglu" else name}
    shifted = tokens if read.get("routing_epsilon") else 0
    scaled = chosen if read.get("routed_scaling_factor", 1.0) != 1 else 0
    unpacked = sum((dequantize_work(node, each, weights) for each in formats), Work(adds=shifted, muls=scaled))
    return unpacked + experts(replace(node, attributes=attributes), ExpertInputs((2, 4, 3), router=5))


TABLE: FormulaTable = {
    "com.microsoft.MatMulPacked": matmul_packed,
    "com.microsoft.GatherPacked": gather_packed,
    "com.microsoft.MoEPacked": moe_packed,
}


def dequantized_projection(rows: int, inner: int, columns: int, *, bias: bool, dequantize: int = 2) -> Work:
    """rows × inner by inner × columns weights that are dequantized first."""
    made = rows * columns
    return dot_products(made, inner) + inner * columns * dequantize * UNPACK + Work(bias_adds=made if bias else 0)


@formula(
    "Y = A·((q − q₀)·s)ᵀ + bias",
    macs="out·K",
    flops="out·(2K−1), + out for the bias; also 2·N·K dequantizations",
    shapes=_projection_rule("N"),
)
def matmul_n_bits(node: Node) -> Work:
    """Weights of N × K; without zero points q₀ is the middle of the range. ``accuracy_level`` does not change the count."""
    attributes = node.attributes
    return dequantized_projection(rows_in(node.x), attributes["K"], attributes["N"], bias=node.input(5) is not None)


@formula("Y = activation(A·G + g)·(A·U + u)", macs="2·out·K", flops="twice MatMulNBits, + the activation + out, + the norm",
         shapes=lambda node: [*_projection_rule("N")(node), (node.x.dtype, node.x.shape)])  # fmt: skip
def matmul_n_bits_mlp(node: Node) -> Work:
    """Two projections of one input, after (Skip)SimplifiedLayerNormalization if it has a scale."""
    inner, columns = node.attributes["K"], node.attributes["N"]
    products = [dequantized_projection(rows_in(node.x), inner, columns, bias=node.input(bias) is not None) for bias in (5, 8)]
    return _norm(node) + sum(products, NO_WORK) + ACTIVATIONS[node.attributes["activation"].lower()](node) + node.out.size * MUL


def _norm(node: Node) -> Work:
    if node.input(2) is None:
        return NO_WORK
    skipped = Work(adds=node.x.size if node.input(1) else 0)
    return skipped + rms(replace(node, inputs=(node.x, node.input(2)), attributes={"axis": -1}))


@formula("Q, K, V = RMSNorm(A)·W + b", macs="rows·K·(N_q + 2·N_kv)", flops="three MatMulNBits, + the norm",
         shapes=lambda node: [
             (node.x.dtype, (*node.x.shape[:-1], width))
             for width in (*(node.attributes[name] for name in ("Nq", "Nkv", "Nkv")), node.x.shape[-1])
         ])  # fmt: skip
def matmul_n_bits_qkv(node: Node) -> Work:
    """Three projections of one normalized input."""
    wide = {5: "Nq", 8: "Nkv", 11: "Nkv"}
    made = (
        dequantized_projection(rows_in(node.x), node.attributes["K"], node.attributes[name], bias=node.input(bias) is not None)
        for bias, name in wide.items()
    )
    return _norm(node) + sum(made, NO_WORK)


@formula("Y = X·W + (X·A)·B", macs="out·K, + rows·R·(K + N)",
         flops="three MatMulNBits, + out (one without B, two without A)", shapes=_projection_rule("N"))  # fmt: skip
def matmul_n_bits_qlora(node: Node) -> Work:
    """An adapter of rank R in addition to the weights, all quantized; an empty A or B is left out, without B also the sum."""
    rows, inner, columns, rank = rows_in(node.x), node.attributes["K"], node.attributes["N"], node.required(4).shape[0]
    base = dequantized_projection(rows, inner, columns, bias=False)
    if not node.required(5).size:
        return base
    down = dequantized_projection(rows, inner, rank, bias=False) if node.required(3).size else NO_WORK
    return base + down + dequantized_projection(rows, rank, columns, bias=False) + Work(adds=rows * columns)


@formula(
    "Y = A·dequantize(B)ᵀ",
    macs="out·K",
    flops="out·(2K−1); also N·K dequantizations",
    shapes=lambda node: _projection_rule("N" if node.attributes.get("transB", 1) else "K")(node),
)
def matmul_bnb4(node: Node) -> Work:
    """FP4 or NF4 codes looked up, times the block's largest magnitude: one multiplication per weight."""
    inner = node.x.shape[-1]
    columns = node.attributes["N"] * node.attributes["K"] // inner if inner else 0
    return dequantized_projection(rows_in(node.x), inner, columns, bias=False, dequantize=1)


@formula(
    "Y = A·dequantize(B)",
    macs="out·K",
    flops="out·(2K−1); also 2·K·N dequantizations (1·K·N without offset)",
    shapes=lambda node: [(node.x.dtype, (*node.x.shape[:-1], elements(node, 2, "the weight's dims")[1]))],
)
def matmul_fp_q4(node: Node) -> Work:
    """K × N in input 2; ``blk_quant_type`` 1 has an offset per block, 0 and 2 have none."""
    inner, columns = elements(node, 2, "the weight's dims")
    offset = node.attributes.get("blk_quant_type", 1) == 1
    return dequantized_projection(rows_in(node.x), inner, columns, bias=False, dequantize=1 + offset)


@formula("Y = A·(s·q)ᵀ + bias", macs="out·K",
         flops="out·(2K−1), + 2·A for FP8 activations, + out for the bias; also N·K dequantizations (FP4: 2·N·K)",
         shapes=_projection_rule(1))  # fmt: skip
def matmul_block_quantized(node: Node) -> Work:
    """Weights of N × K in FP8 with a scale per block, or N × K/2 bytes of FP4 with one more scale for all."""
    is_fp4 = "Fp4" in node.op_type
    activations = NO_WORK if is_fp4 or node.input(3) is None else Work(divs=node.x.size, muls=node.x.size)
    bias = node.input(5 if is_fp4 else 4) is not None
    return (
        dequantized_projection(rows_in(node.x), node.x.shape[-1], node.required(1).shape[0], bias=bias, dequantize=1 + is_fp4)
        + activations
    )


def packing_factor(node: Node) -> int:
    """How many elements a stored one of the table holds: uint8 is packed along the last axis."""
    return 8 // node.attributes.get("bits", 4) if node.x.dtype == "uint8" else 1


def _gather_block_types(node: Node) -> Types:
    axis = node.attributes.get("gather_axis", 0) % node.x.rank
    table = (*node.x.shape[:-1], node.x.shape[-1] * packing_factor(node))
    return [(node.required(2).dtype, (*table[:axis], *node.required(1).shape, *table[axis + 1 :]))]


@formula("Y = (X[indices] − zero point)·scale", flops="0; also 2·out dequantizations (floating-point codes: out)",
         shapes=_gather_block_types)  # fmt: skip
def gather_block_quantized(node: Node) -> Work:
    """Gather from a quantized table; only the gathered elements are dequantized."""
    return node.out.size * (1 if node.x.dtype.startswith("float") else 2) * UNPACK


WEIGHT_ONLY: FormulaTable = {
    "com.microsoft.MatMulNBits": matmul_n_bits,
    "com.microsoft.MatMulNBitsMlp": matmul_n_bits_mlp,
    "com.microsoft.MatMulNBitsQkv": matmul_n_bits_qkv,
    "com.microsoft.MatMulNBitsQLoRA": matmul_n_bits_qlora,
    "com.microsoft.MatMulBnb4": matmul_bnb4,
    "com.microsoft.MatMulFpQ4": matmul_fp_q4,
    "com.microsoft.MatMulBlockQuantizedFp4Weight": matmul_block_quantized,
    "com.microsoft.MatMulBlockQuantizedFp8Weight": matmul_block_quantized,
    "com.microsoft.GatherBlockQuantized": gather_block_quantized,
}
