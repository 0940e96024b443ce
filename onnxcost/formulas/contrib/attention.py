"""onnxruntime's attention operators: the standard Attention between projections, caches and biases of their own layout.

As there, scores that a mask hides are computed and count. The keys are those of the cache and the new ones.
Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from onnxcost.formulas.attention import attention
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.shapes import element
from onnxcost.formulas.reduction import ADD, COMPARE, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, formula
from onnxcost.graph import Node, Tensor
from onnxcost.work import NO_WORK, Work


class Sizes(NamedTuple):
    """Of one attention: ``size`` and ``value_size`` are elements of a head."""

    batch: int
    heads: int
    queries: int
    keys: int
    size: int
    value_size: int

    @property
    def scores(self) -> int:
        """How many pairs of a query and a key, in all heads."""
        return self.batch * self.heads * self.queries * self.keys


def core(node: Node, sizes: Sizes, masks: Sequence[int], each: Work = NO_WORK) -> Work:
    """softmax(s·Q·Kᵀ + masks)·V, an addition a score for each of ``masks`` (inputs) that there is, and ``each`` a score."""
    batch, heads, queries, keys, size, value_size = sizes
    dims = ((queries, size), (keys, size), (keys, value_size))
    inputs = tuple(Tensor("", node.x.dtype, (batch, heads, *pair)) for pair in dims)
    added = sum(node.input(index) is not None for index in masks)
    causal = COMPARE if node.attributes.get("unidirectional") else NO_WORK
    return attention(Node("", "Attention", "", inputs, ())) + sizes.scores * (added * ADD + each + causal)


def past_length(node: Node, length: int, known_by: int) -> int:
    """How many positions of a cache ``length`` long are in use: all, or what input ``known_by`` says of a shared buffer."""
    return element(node, known_by, "the past length") if node.input(known_by) else length


def merged_widths(node: Node, columns: int) -> tuple[int, int, int]:
    """The columns of Q, K and V in merged weights."""
    third = columns // 3
    first, second, last = node.attributes.get("qkv_hidden_sizes") or (third, third, third)
    return first, second, last


def _merged(node: Node) -> Sizes:
    """Sizes where one input is projected to Q, K and V."""
    heads = node.attributes["num_heads"]
    width, _, value_width = merged_widths(node, node.required(1).shape[1])
    batch, queries = node.x.shape[:2]
    past = node.input(4)
    keys = queries + (past_length(node, past.shape[3], 6) if past else 0)
    return Sizes(batch, heads, queries, keys, width // heads, value_width // heads)


def projected(node: Node, weight: Tensor, bias: Tensor | None) -> Work:
    """X·W + b of tokens × inputs."""
    inner = node.x.shape[-1]
    made = node.x.size // inner * weight.shape[1] if inner else 0
    return dot_products(made, inner) + Work(bias_adds=made if bias else 0)


def _attention_types(node: Node) -> Sequence[TensorType | None]:
    _, _, value_width = merged_widths(node, node.required(1).shape[1])
    out, past = (node.x.dtype, (*node.x.shape[:2], value_width)), node.input(4)
    if past and node.input(6):
        return [out, (past.dtype, past.shape)]
    batch, heads, _, keys, size, _ = _merged(node)
    return [out, (node.x.dtype, (2, batch, heads, keys, size))]


@formula("Y = softmax(s·Q·Kᵀ + mask)·V, Q, K, V = X·W + b", macs="tokens·D·(2·d_qk + d_v)·heads + Attention's",
         flops="2·macs − sums, + biases, + Q for s, + the scores' softmax and masks", shapes=_attention_types)  # fmt: skip
def merged_attention(node: Node) -> Work:
    """Self-attention with the projections inside; D is the input's width. Rotary embedding, where asked for, turns Q and K."""
    sizes, weight = _merged(node), node.required(1)
    turned = sum(merged_widths(node, weight.shape[1])[:2]) * sizes.batch * sizes.queries
    rotary = turned * (2 * MUL + ADD) if node.attributes.get("do_rotary") else NO_WORK
    return projected(node, weight, node.input(2)) + rotary + core(node, sizes, (3, 5))


class Places(NamedTuple):
    """Where an operator of the MultiHeadAttention family has its optional inputs."""

    bias: int
    masks: tuple[int, int]
    past_key: int
    past_length: int


_MULTI_HEAD, _DECODER = Places(3, (4, 5), 6, 8), Places(10, (3, 4), 5, 7)


def _kv(node: Node, heads: int) -> tuple[int, int, int]:
    """New keys, elements of a head, and of a value's head, in each of the layouts that Q, K and V may be packed in."""
    query, key, value = node.x, node.input(1), node.input(2)
    if key is None:
        size = query.shape[4] if query.rank == 5 else query.shape[2] // heads // 3
        return query.shape[1], size, size
    if key.rank == 5:
        return key.shape[1], key.shape[4], key.shape[4]
    value = value or key
    if key.rank == 4:
        return key.shape[2], key.shape[3], value.shape[3]
    return key.shape[1], query.shape[2] // heads, value.shape[2] // heads


def _multi_head(node: Node) -> tuple[Sizes, Places]:
    places, heads = _DECODER if node.op_type.startswith("Decoder") else _MULTI_HEAD, node.attributes["num_heads"]
    keys, size, value_size = _kv(node, heads)
    if past := node.input(places.past_key):
        keys += past_length(node, past.shape[2], places.past_length)
    return Sizes(node.x.shape[0], heads, node.x.shape[1], keys, size, value_size), places


def _multi_head_types(node: Node) -> Sequence[TensorType | None]:
    places, heads = _DECODER if node.op_type.startswith("Decoder") else _MULTI_HEAD, node.attributes["num_heads"]
    value_size = _kv(node, heads)[2]
    out, past = (node.x.dtype, (*node.x.shape[:2], heads * value_size)), node.input(places.past_key)
    if past and node.input(places.past_length):
        return [out, (past.dtype, past.shape), (past.dtype, past.shape)]
    batch, _, queries, keys, size, _ = _multi_head(node)[0]
    dims = [(batch, heads, keys, size), (batch, heads, keys, value_size), (batch, heads, queries, keys)]
    return [out, *((node.x.dtype, each) for each in dims)]


@formula("Y = softmax(s·Q·Kᵀ + mask)·V", macs="B·heads·S_q·S_kv·(d_qk + d_v)",
         flops="2·macs − sums, + biases, + Q for s, + the scores' softmax and masks", shapes=_multi_head_types)  # fmt: skip
def multi_head_attention(node: Node) -> Work:
    """The projections are nodes of their own; their biases are added here. K of four dims is a cache that is complete."""
    sizes, places = _multi_head(node)
    batch, heads, queries, _, size, value_size = sizes
    new = 0 if node.input(1) is not None and node.required(1).rank == 4 else _kv(node, heads)[0]
    biased = batch * heads * (queries * size + new * (size + value_size))
    bias = Work(bias_adds=biased if node.input(places.bias) else 0)
    return bias + core(node, sizes, places.masks)


def _decoder_cross(node: Node) -> tuple[Sizes, int]:
    """The sizes of DecoderAttention, and how many positions' keys and values it projects."""
    queries, batch, width = node.x.shape
    heads, cache = node.attributes["num_heads"], node.input(6)
    uses_cache = all(element(node, index, "whether there is a cache") for index in (9, 10))
    is_static = element(node, 8, "whether keys are static")
    cached = node.required(6).shape[2] if uses_cache and cache else 0
    new = (0 if uses_cache else node.required(1).shape[0]) if is_static else queries
    size = width // heads
    return Sizes(batch, heads, queries, cached + new, size, size), new


def _decoder_types(node: Node) -> Sequence[TensorType | None]:
    out = (node.x.dtype, node.x.shape)
    batch, heads, _, keys, size, _ = _decoder_cross(node)[0]
    return [out, *[(node.x.dtype, (batch, heads, keys, size))] * 2]


@formula("Y = softmax(s·Q·Kᵀ + mask)·V, Q, K, V = X·W + b", macs="D·D·(S_q + 2·new keys)·B + Attention's",
         flops="2·macs − sums, + biases, + Q for s, + the scores' softmax and mask", shapes=_decoder_types)  # fmt: skip
def decoder_attention(node: Node) -> Work:
    """On positions × batch × D. ``static_kv``, ``use_past`` and ``has_layer_state`` (inputs 8 to 10) say what is projected."""
    sizes, new = _decoder_cross(node)
    width = node.x.shape[2]
    made = sizes.batch * width * (sizes.queries + 2 * new)
    return dot_products(made, width) + Work(bias_adds=made) + core(node, sizes, (5,))


TABLE: FormulaTable = {
    "com.microsoft.Attention": merged_attention,
    "com.microsoft.DecoderMaskedSelfAttention": merged_attention,
    "com.microsoft.MultiHeadAttention": multi_head_attention,
    "com.microsoft.DecoderMaskedMultiHeadAttention": multi_head_attention,
    "com.microsoft.DecoderAttention": decoder_attention,
}
