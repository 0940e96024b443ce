"""Attention on real tokens alone: projected without padding, and counted with the length that every sequence is padded to.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxcost.formulas.contrib.attention import Sizes, core, merged_widths, projected
from onnxcost.formulas.table import FormulaTable, TensorType, formula
from onnxcost.graph import Node
from onnxcost.work import Work


def _packed_sizes(node: Node, offsets: int, width: int, value_width: int) -> Sizes:
    (batch, length), heads = node.required(offsets).shape, node.attributes["num_heads"]
    return Sizes(batch, heads, length, length, width // heads, value_width // heads)


def _packed_type(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, (node.x.shape[0], merged_widths(node, node.required(1).shape[1])[2]))]


@formula("Attention without its padding", macs="tokens·D·(2·d_qk + d_v)·heads + Attention's", flops="as Attention",
         shapes=_packed_type)  # fmt: skip
def packed_attention(node: Node) -> Work:
    """Only real tokens are projected; input 3 has batch × length."""
    width, _, value_width = merged_widths(node, node.required(1).shape[1])
    return projected(node, node.required(1), node.input(2)) + core(node, _packed_sizes(node, 3, width, value_width), (5,))


def _packed_widths(node: Node) -> tuple[int, int]:
    if node.x.rank == 4:
        return (node.x.shape[1] * node.x.shape[3],) * 2
    return node.x.shape[1], node.required(2).shape[1]


@formula("MultiHeadAttention without its padding", macs="B·heads·S·S·(d_qk + d_v)", flops="as MultiHeadAttention",
         shapes=lambda node: [(node.x.dtype, (node.x.shape[0], _packed_widths(node)[1]))])  # fmt: skip
def packed_multi_head_attention(node: Node) -> Work:
    """Biases on real tokens; input 4 has batch × length."""
    width, value_width = _packed_widths(node)
    bias = Work(bias_adds=node.x.shape[0] * (2 * width + value_width) if node.input(3) else 0)
    return bias + core(node, _packed_sizes(node, 4, width, value_width), (6,))


TABLE: FormulaTable = {
    "com.microsoft.PackedAttention": packed_attention,
    "com.microsoft.PackedMultiHeadAttention": packed_multi_head_attention,
}
