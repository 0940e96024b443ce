"""Normalizations with the sums, embeddings and gates that onnxruntime fuses. ``g`` is the number of rows normalised.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxcost.formulas.contrib.activation import SILU
from onnxcost.formulas.contrib.shapes import like
from onnxcost.formulas.normalization import group, layer, rms
from onnxcost.formulas.reduction import ADD, DIV, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, formula, like_input
from onnxcost.graph import Node, Tensor
from onnxcost.work import NO_WORK, Work


def _statistics(node: Node) -> Sequence[TensorType | None]:
    """Y, and 1 / √(mean(X²) + ε) of each row."""
    axis = node.attributes.get("axis", -1) % node.x.rank
    kept = (*node.x.shape[:axis], *(1,) * (node.x.rank - axis))
    return [(node.x.dtype, node.x.shape), ("float32", kept)]


def _skip_types(node: Node) -> Sequence[TensorType | None]:
    """Y, mean, 1 / deviation, X + skip + bias."""
    same, row = (node.x.dtype, node.x.shape), ("float32", (*node.x.shape[:-1], 1))
    return [same, row, row, same]


def _rows(node: Node, elements: Tensor, *others: Tensor | None) -> Node:
    """The node as a standard normalization of ``elements`` along the last axis."""
    return replace(node, inputs=(elements, *others), attributes={"axis": -1})


def _sums(node: Node, *others: int) -> Work:
    """X plus each of the inputs there are at these places."""
    return Work(adds=node.x.size * sum(node.input(index) is not None for index in others))


@formula("Y = LayerNormalization(X + skip + bias)", flops="7·in + 3·g, + in for β, + in for the bias", shapes=_skip_types)
def skip_layer(node: Node) -> Work:
    """LayerNormalization along the last axis; inputs are X, skip, γ, β, bias."""
    return _sums(node, 1, 4) + layer(_rows(node, node.x, node.input(2), node.input(3)))


@formula("Y = RMSNormalization(X + skip + bias)", flops="5·in + 3·g, + in for the bias", shapes=_skip_types)
def skip_rms(node: Node) -> Work:
    """RMSNormalization along the last axis; inputs are X, skip, γ, bias."""
    return _sums(node, 1, 3) + rms(_rows(node, node.x, node.input(2)))


def _embedded(node: Node) -> Tensor:
    """Batch × positions × hidden size, in the embeddings' type."""
    table = node.required(2)
    return Tensor("", table.dtype, (*node.x.shape, table.shape[1]))


def _embedding_types(node: Node) -> Sequence[TensorType | None]:
    out, scale = _embedded(node), node.input(8) if node.op_type.startswith("Q") else None
    made = (scale.dtype if scale else out.dtype, out.shape)
    return [made, (node.x.dtype, (node.x.shape[0],)), made]


@formula("Y = LayerNormalization(word + position + segment)", flops="9·out + 3·g (8 without segments), + the mask's elements",
         shapes=_embedding_types)  # fmt: skip
def embed_layer(node: Node) -> Work:
    """Embeddings looked up, added and normalised; the words of a mask are counted."""
    out, mask = _embedded(node), node.input(7)
    sums = Work(adds=out.size * (2 if node.input(4) else 1) + (mask.size if mask else 0))
    return sums + layer(_rows(node, out, node.input(5), node.input(6)))


@formula("Y = LayerNormalization(word + position + segment), all dequantized",
         flops="EmbedLayerNormalization, + 2 an element looked up and of γ and β", shapes=_embedding_types)  # fmt: skip
def quantized_embed_layer(node: Node) -> Work:
    """(x − x₀)·s of each element that is used, then as EmbedLayerNormalization."""
    tables, learned = 3 if node.input(4) else 2, node.required(5).size + node.required(6).size
    return embed_layer(node) + (tables * _embedded(node).size + learned) * (ADD + MUL)


def _silu(node: Node) -> Work:
    return node.x.size * SILU if node.attributes.get("activation") else NO_WORK


@formula("Y = SiLU(GroupNormalization(X))", flops="7·in + 2·g, + 5·in for SiLU", shapes=like_input)
def group_norm(node: Node) -> Work:
    """GroupNormalization of ``groups`` groups with channels last or second; SiLU where ``activation`` is 1."""
    return group(replace(node, attributes={"num_groups": node.attributes["groups"]})) + _silu(node)


@formula("Y = SiLU(GroupNormalization(X + skip + bias))", flops="8·in + 2·g, + in for the bias, + 5·in for SiLU",
         shapes=like(0, 0))  # fmt: skip
def skip_group_norm(node: Node) -> Work:
    """Inputs are X, γ, β, skip, bias; the second output is the sum."""
    return _sums(node, 3, 4) + group_norm(node)


def _grouped(node: Node, length: int) -> Node:
    """X as rows of that length."""
    return _rows(node, replace(node.x, dims=(node.x.size // length if length else 0, length)), node.input(1))


@formula("Y = X / √(mean(X²) + ε) · scale in each branch", flops="3·in + 3·g, + in for the scale", shapes=like_input)
def branchwise_rms(node: Node) -> Work:
    """The branches are the last axis, or ``num_branches`` equal parts of it."""
    length = node.x.shape[-1] // (node.attributes.get("num_branches") or 1)
    return rms(_grouped(node, length)) + Work(muls=0 if node.input(1) else -node.x.size)


@formula("Y = RMSNormalization(X)·activation(gate)", flops="5·in + 3·g, + 5·in (sigmoid: 4·in)", shapes=like_input)
def gated_rms(node: Node) -> Work:
    """Rows as long as the scale; the gate's activation is SiLU or σ."""
    activation = SILU if node.attributes.get("activation", "silu") != "sigmoid" else 2 * ADD + FUNCTION + DIV
    return rms(_grouped(node, node.required(1).size)) + node.x.size * (activation + MUL)


TABLE: FormulaTable = {
    "SimplifiedLayerNormalization": replace(rms, shapes=_statistics),
    "com.microsoft.SkipLayerNormalization": skip_layer,
    "com.microsoft.SkipSimplifiedLayerNormalization": skip_rms,
    "com.microsoft.EmbedLayerNormalization": embed_layer,
    "com.microsoft.QEmbedLayerNormalization": quantized_embed_layer,
    "com.microsoft.GroupNorm": group_norm,
    "com.microsoft.SkipGroupNorm": skip_group_norm,
    "com.microsoft.BranchwiseRMSNorm": branchwise_rms,
    "com.microsoft.GatedRMSNorm": gated_rms,
}
