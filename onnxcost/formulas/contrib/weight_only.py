"""Weights of few bits, dequantized where they are used: the arithmetic is that of the activations' type.

Every weight is dequantized once a run, (q − zero point)·scale: an addition and a multiplication.
Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.fused import ACTIVATIONS
from onnxcost.formulas.contrib.shapes import elements
from onnxcost.formulas.normalization import rms
from onnxcost.formulas.reduction import ADD, MUL
from onnxcost.formulas.table import FormulaTable, ShapeRule, TensorType, formula
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work


def _rows(node: Node) -> int:
    """How many vectors of ``K`` elements are multiplied."""
    inner = node.x.shape[-1]
    return node.x.size // inner if inner else 0


def _projected(columns: str | int) -> ShapeRule:
    """A's dims with the last one replaced: by an attribute's value or a weight's first dim."""

    def rule(node: Node) -> Sequence[TensorType | None]:
        last = node.attributes[columns] if isinstance(columns, str) else node.required(columns).shape[0]
        return [(node.x.dtype, (*node.x.shape[:-1], last))]

    return rule


def projection(rows: int, inner: int, columns: int, *, bias: bool, dequantize: Work = ADD + MUL) -> Work:
    """rows × inner by inner × columns weights that are dequantized first."""
    made = rows * columns
    return dot_products(made, inner) + inner * columns * dequantize + Work(bias_adds=made if bias else 0)


@formula("Y = A·((q − q₀)·s)ᵀ + bias", macs="out·K", flops="out·(2K−1) + 2·N·K, + out for the bias", shapes=_projected("N"))
def matmul_n_bits(node: Node) -> Work:
    """Weights of N × K; without zero points q₀ is the middle of the range. ``accuracy_level`` does not change the count."""
    attributes = node.attributes
    return projection(_rows(node), attributes["K"], attributes["N"], bias=node.input(5) is not None)


@formula("Y = activation(A·G + g)·(A·U + u)", macs="2·out·K", flops="twice MatMulNBits, + the activation + out, + the norm",
         shapes=lambda node: [*_projected("N")(node), (node.x.dtype, node.x.shape)])  # fmt: skip
def matmul_n_bits_mlp(node: Node) -> Work:
    """Two projections of one input, after (Skip)SimplifiedLayerNormalization where it has a scale."""
    inner, columns = node.attributes["K"], node.attributes["N"]
    products = [projection(_rows(node), inner, columns, bias=node.input(bias) is not None) for bias in (5, 8)]
    return _norm(node) + sum(products, NO_WORK) + ACTIVATIONS[node.attributes["activation"].lower()](node) + node.out.size * MUL


def _norm(node: Node) -> Work:
    if node.input(2) is None:
        return NO_WORK
    skipped = Work(adds=node.x.size if node.input(1) else 0)
    return skipped + rms(replace(node, inputs=(node.x, node.input(2)), attributes={"axis": -1}))


def _qkv_types(node: Node) -> Sequence[TensorType | None]:
    widths = [*(node.attributes[name] for name in ("Nq", "Nkv", "Nkv")), node.x.shape[-1]]
    return [(node.x.dtype, (*node.x.shape[:-1], width)) for width in widths]


@formula("Q, K, V = RMSNorm(A)·W + b", macs="rows·K·(N_q + 2·N_kv)", flops="three MatMulNBits, + the norm", shapes=_qkv_types)
def matmul_n_bits_qkv(node: Node) -> Work:
    """Three projections of one normalised input."""
    wide = {5: "Nq", 8: "Nkv", 11: "Nkv"}
    made = (
        projection(_rows(node), node.attributes["K"], node.attributes[name], bias=node.input(bias) is not None)
        for bias, name in wide.items()
    )
    return _norm(node) + sum(made, NO_WORK)


@formula("Y = X·W + (X·A)·B", macs="out·K, + rows·R·(K + N)",
         flops="three MatMulNBits, + out (one without B, two without A)", shapes=_projected("N"))  # fmt: skip
def matmul_n_bits_qlora(node: Node) -> Work:
    """An adapter of rank R beside the weights, all quantized; an empty A or B is left out, and with B the sum."""
    rows, inner, columns, rank = _rows(node), node.attributes["K"], node.attributes["N"], node.required(4).shape[0]
    base = projection(rows, inner, columns, bias=False)
    if not node.required(5).size:
        return base
    down = projection(rows, inner, rank, bias=False) if node.required(3).size else NO_WORK
    return base + down + projection(rows, rank, columns, bias=False) + Work(adds=rows * columns)


def _bnb4_type(node: Node) -> Sequence[TensorType | None]:
    return _projected("N" if node.attributes.get("transB", 1) else "K")(node)


@formula("Y = A·dequantize(B)ᵀ", macs="out·K", flops="out·(2K−1) + N·K", shapes=_bnb4_type)
def matmul_bnb4(node: Node) -> Work:
    """FP4 or NF4 codes looked up and times the block's largest magnitude: a multiplication a weight."""
    inner = node.x.shape[-1]
    columns = node.attributes["N"] * node.attributes["K"] // inner if inner else 0
    return projection(_rows(node), inner, columns, bias=False, dequantize=MUL)


def _fpq4_type(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, (*node.x.shape[:-1], elements(node, 2, "the weight's dims")[1]))]


@formula("Y = A·dequantize(B)", macs="out·K", flops="out·(2K−1) + 2·K·N (1·K·N without offset)", shapes=_fpq4_type)
def matmul_fp_q4(node: Node) -> Work:
    """K × N in input 2; ``blk_quant_type`` 1 has an offset a block, 0 and 2 have none."""
    inner, columns = elements(node, 2, "the weight's dims")
    offset = ADD if node.attributes.get("blk_quant_type", 1) == 1 else NO_WORK
    return projection(_rows(node), inner, columns, bias=False, dequantize=MUL + offset)


@formula("Y = A·(s·q)ᵀ + bias", macs="out·K", flops="out·(2K−1) + N·K (FP4: 2·N·K, FP8 activations: 2·A), + out for the bias",
         shapes=_projected(1))  # fmt: skip
def matmul_block_quantized(node: Node) -> Work:
    """Weights of N × K in FP8 with a scale a block, or N × K/2 bytes of FP4 with one more scale for all."""
    is_fp4 = "Fp4" in node.op_type
    activations = NO_WORK if is_fp4 or node.input(3) is None else Work(divs=node.x.size, muls=node.x.size)
    bias = node.input(5 if is_fp4 else 4) is not None
    return (
        projection(_rows(node), node.x.shape[-1], node.required(1).shape[0], bias=bias, dequantize=(1 + is_fp4) * MUL)
        + activations
    )


def packed_in_table(node: Node) -> int:
    """How many elements a stored one of the table holds: uint8 is packed along the last axis."""
    return 8 // node.attributes.get("bits", 4) if node.x.dtype == "uint8" else 1


def _gathered(node: Node) -> Sequence[TensorType | None]:
    axis = node.attributes.get("gather_axis", 0) % node.x.rank
    table = (*node.x.shape[:-1], node.x.shape[-1] * packed_in_table(node))
    return [(node.required(2).dtype, (*table[:axis], *node.required(1).shape, *table[axis + 1 :]))]


@formula("Y = (X[indices] − zero point)·scale", flops="2·out (floating-point codes: out)", shapes=_gathered)
def gather_block_quantized(node: Node) -> Work:
    """Gather of a quantized table, of which only what is gathered is dequantized."""
    return node.out.size * (MUL if node.x.dtype.startswith("float") else ADD + MUL)


TABLE: FormulaTable = {
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
