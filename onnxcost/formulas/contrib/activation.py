"""onnxruntime's activations and normalizations with the biases, gates, residuals and embeddings that it fuses into them.

``g`` is the number of rows normalized.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from dataclasses import replace
from math import prod

from onnxcost.formulas.activation import GELU, POINTWISE, SIGMOID, softmax_work
from onnxcost.formulas.normalization import group, layer, rms
from onnxcost.formulas.reduction import ADD, COMPARE, MUL, UNPACK
from onnxcost.formulas.shapes import like, with_shapes
from onnxcost.formulas.table import FormulaTable, Types, formula, like_input, no_arithmetic, per_output
from onnxcost.graph import NO_WORK, Node, Tensor, Work

FAST_GELU = Work(muls=5, adds=2, transcendentals=1)
"""½x(1 + tanh(x·(c·x² + b))), per element: x², ·c, + b, ·x, tanh, + 1, ·½, ·x."""

SILU = SIGMOID + MUL
"""x·σ(x), per element."""


@formula("Y = FastGelu(X + bias)", flops="8·out, + out for the bias", shapes=like_input)
def fast_gelu(node: Node) -> Work:
    """½x(1 + tanh(0.797885x + 0.035677x³)) of x = X + bias."""
    return node.out.size * (FAST_GELU + (ADD if node.input(1) else NO_WORK))


def _half_types(node: Node) -> Types:
    return [(node.x.dtype, (*node.x.shape[:-1], node.x.shape[-1] // 2))]


@formula("Y = left·Gelu(right) of the halves of X + bias", flops="in + 6·out", shapes=_half_types)
def bias_split_gelu(node: Node) -> Work:
    """X of N × S × D is split in two along its last axis after the bias is added."""
    return Work(adds=node.x.size, muls=node.out.size) + node.out.size * GELU["none"]


@formula("Y = softmax(X + bias) over the axes from axis on", flops="in + rows·(5n − 2)", shapes=like_input)
def bias_softmax(node: Node) -> Work:
    """Rows of n elements; the bias is broadcast along outer or inner dims, which is no work."""
    rows = prod(node.x.shape[: node.attributes.get("axis", 1) % node.x.rank])
    return Work(adds=node.x.size) + softmax_work(node.x.size, rows if node.x.size else 0)


def _bitmask_types(node: Node) -> Types:
    return [(node.x.dtype, node.x.shape), ("uint32", (-(-node.x.size // 32),))]


@formula(
    "Y = X + bias + residual in inference",
    flops="out, + out for the residual",
    shapes=lambda node: [(node.x.dtype, node.x.shape), ("bool", node.x.shape)],
)
def bias_dropout(node: Node) -> Work:
    """In training, it also drops random elements; the mask is not counted."""
    return Work(adds=node.out.size * (2 if node.input(2) else 1))


@formula("Y = G·σ(α·G)·(L + β), G = min(A, limit), L = max(−limit, min(B, limit))",
         flops="6·out, + out for β, + 3·out for the limit",
         shapes=lambda node: like_input(node) if node.input(1) else _half_types(node))  # fmt: skip
def swiglu(node: Node) -> Work:
    """A and B are two inputs or the halves of one; β of 0 is not added, a limit of 0 is none."""
    shifted = ADD if node.attributes.get("activation_beta") else NO_WORK
    clamped = 3 * COMPARE if node.attributes.get("limit", 0) > 0 else NO_WORK
    return POINTWISE["SwiGLU"](node) + node.out.size * (shifted + clamped)


TABLE: FormulaTable = {f"com.microsoft.{name}": row for name, row in {
    "Gelu":               per_output("Y = ½X(1 + erf(X/√2))", shapes=like_input, muls=2, adds=1, divs=1, transcendentals=1),
    "BiasGelu":           per_output("Y = Gelu(X + bias)", shapes=like_input, muls=2, adds=2, divs=1, transcendentals=1),
    "FastGelu":           fast_gelu,
    "QuickGelu":          with_shapes(POINTWISE["Swish"], like_input),
    "ScaledSiLU":         per_output("Y = Z·σ(Z), Z = α·X", shapes=like_input, muls=2, adds=2, transcendentals=1, divs=1),
    "SwiGLU":             swiglu,
    "BiasSplitGelu":      bias_split_gelu,
    "BiasAdd":            per_output("Y = X + bias + skip", shapes=like_input, adds=2),
    "GatedAdd":           per_output("Y = A + B·gate", shapes=like_input, muls=1, adds=1),
    "BiasSoftmax":        bias_softmax,
    "BiasDropout":        bias_dropout,
    "BitmaskBiasDropout": replace(bias_dropout, shapes=_bitmask_types),
    "BitmaskDropout":     no_arithmetic("Y = X in inference", shapes=_bitmask_types),
}.items()}  # fmt: skip


def _statistics_types(node: Node) -> Types:
    """Y, and 1 / √(mean(X²) + ε) of each row."""
    axis = node.attributes.get("axis", -1) % node.x.rank
    kept = (*node.x.shape[:axis], *(1,) * (node.x.rank - axis))
    return [(node.x.dtype, node.x.shape), ("float32", kept)]


def _skip_types(node: Node) -> Types:
    """Y, mean, 1 / deviation, X + skip + bias."""
    same, row = (node.x.dtype, node.x.shape), ("float32", (*node.x.shape[:-1], 1))
    return [same, row, row, same]


def _as_rows(node: Node, elements: Tensor, *others: Tensor | None) -> Node:
    """The node as a standard normalization of ``elements`` along the last axis."""
    return replace(node, inputs=(elements, *others), attributes={"axis": -1})


def _sum_inputs(node: Node, *others: int) -> Work:
    """The additions to X of those inputs at these places that are present."""
    return Work(adds=node.x.size * sum(node.input(index) is not None for index in others))


@formula("Y = LayerNormalization(X + skip + bias)", flops="7·in + 3·g, + in for β, + in for the bias", shapes=_skip_types)
def skip_layer(node: Node) -> Work:
    """LayerNormalization along the last axis; inputs are X, skip, γ, β, bias."""
    return _sum_inputs(node, 1, 4) + layer(_as_rows(node, node.x, node.input(2), node.input(3)))


@formula("Y = RMSNormalization(X + skip + bias)", flops="5·in + 3·g, + in for the bias", shapes=_skip_types)
def skip_rms(node: Node) -> Work:
    """RMSNormalization along the last axis; inputs are X, skip, γ, bias."""
    return _sum_inputs(node, 1, 3) + rms(_as_rows(node, node.x, node.input(2)))


def _embedding_sum(node: Node) -> Tensor:
    """Batch × positions × hidden size, in the embeddings' type."""
    table = node.required(2)
    return Tensor("", table.dtype, (*node.x.shape, table.shape[1]))


def _embedding_types(node: Node) -> Types:
    out, scale = _embedding_sum(node), node.input(8) if node.op_type.startswith("Q") else None
    made = (scale.dtype if scale else out.dtype, out.shape)
    return [made, (node.x.dtype, (node.x.shape[0],)), made]


@formula("Y = LayerNormalization(word + position + segment)", flops="9·out + 3·g (8 without segments), + the mask's elements",
         shapes=_embedding_types)  # fmt: skip
def embed_layer(node: Node) -> Work:
    """Embeddings are looked up, added and normalized; the mask is summed to count the words."""
    out, mask = _embedding_sum(node), node.input(7)
    sums = Work(adds=out.size * (2 if node.input(4) else 1) + (mask.size if mask else 0))
    return sums + layer(_as_rows(node, out, node.input(5), node.input(6)))


@formula("Y = LayerNormalization(word + position + segment), all dequantized",
         flops="EmbedLayerNormalization; also 2 dequantizations per element looked up and of γ and β",
         shapes=_embedding_types)  # fmt: skip
def quantized_embed_layer(node: Node) -> Work:
    """(x − x₀)·s of each element that is used, then as EmbedLayerNormalization."""
    tables, learned = 3 if node.input(4) else 2, node.required(5).size + node.required(6).size
    return embed_layer(node) + (tables * _embedding_sum(node).size + learned) * 2 * UNPACK


@formula("Y = SiLU(GroupNormalization(X))", flops="7·in + 2·g, + 5·in for SiLU", shapes=like_input)
def group_norm(node: Node) -> Work:
    """GroupNormalization of ``groups`` groups with channels last or second; SiLU if ``activation`` is 1."""
    silu = node.x.size * SILU if node.attributes.get("activation") else NO_WORK
    return group(replace(node, attributes={"num_groups": node.attributes["groups"]})) + silu


@formula("Y = SiLU(GroupNormalization(X + skip + bias))", flops="8·in + 2·g, + in for the bias, + 5·in for SiLU",
         shapes=like(0, 0))  # fmt: skip
def skip_group_norm(node: Node) -> Work:
    """Inputs are X, γ, β, skip, bias; the second output is the sum."""
    return _sum_inputs(node, 3, 4) + group_norm(node)


def _as_rows_of(node: Node, length: int) -> Node:
    """X as rows of that length."""
    return _as_rows(node, replace(node.x, dims=(node.x.size // length if length else 0, length)), node.input(1))


@formula("Y = X / √(mean(X²) + ε) · scale in each branch", flops="3·in + 3·g, + in for the scale", shapes=like_input)
def branchwise_rms(node: Node) -> Work:
    """The branches are the last axis, or ``num_branches`` equal parts of it."""
    length = node.x.shape[-1] // (node.attributes.get("num_branches") or 1)
    return rms(_as_rows_of(node, length)) + Work(muls=0 if node.input(1) else -node.x.size)


@formula("Y = RMSNormalization(X)·activation(gate)", flops="5·in + 3·g, + 5·in (sigmoid: 4·in)", shapes=like_input)
def gated_rms(node: Node) -> Work:
    """Rows as long as the scale; the gate's activation is SiLU or σ."""
    activation = SILU if node.attributes.get("activation", "silu") != "sigmoid" else SIGMOID
    return rms(_as_rows_of(node, node.required(1).size)) + node.x.size * (activation + MUL)


NORMALIZATION: FormulaTable = {
    "SimplifiedLayerNormalization": replace(rms, shapes=_statistics_types),
    "com.microsoft.SkipLayerNormalization": skip_layer,
    "com.microsoft.SkipSimplifiedLayerNormalization": skip_rms,
    "com.microsoft.EmbedLayerNormalization": embed_layer,
    "com.microsoft.QEmbedLayerNormalization": quantized_embed_layer,
    "com.microsoft.GroupNorm": group_norm,
    "com.microsoft.SkipGroupNorm": skip_group_norm,
    "com.microsoft.BranchwiseRMSNorm": branchwise_rms,
    "com.microsoft.GatedRMSNorm": gated_rms,
}
