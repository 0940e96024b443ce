"""onnxruntime's attention operators: the standard Attention between projections, caches and biases of their own layout.

As there, masked scores are computed and counted. The keys are those of the cache and the new ones.
The packed operators project only real tokens, and their attention is counted with the length that each sequence is padded to.
Delta networks, engrams, hyper-connections and relative positions, states and gates of the newest language models, are here as
well. Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import NamedTuple

from onnxcost.formulas.activation import SIGMOID
from onnxcost.formulas.attention import ROTATION, attention, linear_attention
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.activation import SILU, branchwise_rms
from onnxcost.formulas.normalization import rms
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, rows_in
from onnxcost.formulas.shapes import element
from onnxcost.formulas.table import FormulaTable, Types, formula, like_input
from onnxcost.graph import NO_WORK, Node, Tensor, Work


class AttentionSizes(NamedTuple):
    """The sizes of one attention: ``size`` and ``value_size`` are elements of a head."""

    batch: int
    heads: int
    queries: int
    keys: int
    size: int
    value_size: int

    @property
    def scores(self) -> int:
        """The number of pairs of a query and a key, in all heads."""
        return self.batch * self.heads * self.queries * self.keys

    @property
    def cache(self) -> tuple[int, ...]:
        """The dims of the keys, cached and new."""
        return self.batch, self.heads, self.keys, self.size


def sdpa(node: Node, sizes: AttentionSizes, masks: Sequence[int], each: Work = NO_WORK) -> Work:
    """softmax(s·Q·Kᵀ + masks)·V, per score an addition for each of ``masks`` (inputs) that is present, and ``each``."""
    batch, heads, queries, keys, size, value_size = sizes
    dims = ((queries, size), (keys, size), (keys, value_size))
    inputs = tuple(Tensor("", node.x.dtype, (batch, heads, *pair)) for pair in dims)
    added = sum(node.input(index) is not None for index in masks)
    causal = COMPARE if node.attributes.get("unidirectional") else NO_WORK
    return attention(Node("", "Attention", "", inputs, ())) + sizes.scores * (added * ADD + each + causal)


def past_length(node: Node, length: int, known_by: int, new: int) -> int:
    """The number of positions in use of a cache of ``length``: all, or of a shared buffer with room for ``new`` ones what input
    ``known_by`` says, at most those that leave this room.
    """
    told = node.input(known_by)
    return length if told is None else int(told.value[0]) if told.value else max(0, length - new)


def _is_past_open(node: Node) -> bool:
    """Whether the elements of the input that says the past length of a shared buffer are unknown."""
    index = 6 if node.op_type in ("Attention", "DecoderMaskedSelfAttention") else _inputs_of(node).past_length
    told = node.input(index)
    return told is not None and not told.value


def merged_widths(node: Node, columns: int) -> tuple[int, int, int]:
    """The columns of Q, K and V in merged weights."""
    third = columns // 3
    first, second, last = node.attributes.get("qkv_hidden_sizes") or (third, third, third)
    return first, second, last


def _merged_sizes(node: Node) -> AttentionSizes:
    """Sizes where one input is projected to Q, K and V."""
    heads = node.attributes["num_heads"]
    width, _, value_width = merged_widths(node, node.required(1).shape[1])
    batch, queries = node.x.shape[:2]
    past = node.input(4)
    keys = queries + (past_length(node, past.shape[3], 6, queries) if past else 0)
    return AttentionSizes(batch, heads, queries, keys, width // heads, value_width // heads)


def projection(node: Node, weight: Tensor, bias: Tensor | None) -> Work:
    """X·W + b of tokens × inputs."""
    inner = node.x.shape[-1]
    made = node.x.size // inner * weight.shape[1] if inner else 0
    return dot_products(made, inner) + Work(bias_adds=made if bias else 0)


def _attention_types(node: Node) -> Types:
    _, _, value_width = merged_widths(node, node.required(1).shape[1])
    out, past = (node.x.dtype, (*node.x.shape[:2], value_width)), node.input(4)
    if past and node.input(6):
        return [out, (past.dtype, past.shape)]
    return [out, (node.x.dtype, (2, *_merged_sizes(node).cache))]


@formula("Y = softmax(s·Q·Kᵀ + mask)·V, Q, K, V = X·W + b", macs="tokens·D·(2·d_qk + d_v)·heads + Attention's",
         flops="2·macs − sums, + biases, + Q for s, + the scores' softmax and masks", shapes=_attention_types,
         at_most=_is_past_open)  # fmt: skip
def merged_attention(node: Node) -> Work:
    """Self-attention with the projections inside; D is the input's width. Rotary embedding, if requested, rotates Q and K."""
    sizes, weight = _merged_sizes(node), node.required(1)
    rotated = sum(merged_widths(node, weight.shape[1])[:2]) * sizes.batch * sizes.queries
    rotary = rotated * ROTATION if node.attributes.get("do_rotary") else NO_WORK
    return projection(node, weight, node.input(2)) + rotary + sdpa(node, sizes, (3, 5))


class AttentionInputs(NamedTuple):
    """Where an operator of the MultiHeadAttention family has its optional inputs."""

    bias: int
    masks: tuple[int, int]
    past_key: int
    past_length: int


def _inputs_of(node: Node) -> AttentionInputs:
    is_decoder = node.op_type.startswith("Decoder")
    return AttentionInputs(10, (3, 4), 5, 7) if is_decoder else AttentionInputs(3, (4, 5), 6, 8)


def _kv_sizes(node: Node, heads: int) -> tuple[int, int, int]:
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


def _multi_head_sizes(node: Node) -> tuple[AttentionSizes, AttentionInputs]:
    places, heads = _inputs_of(node), node.attributes["num_heads"]
    keys, size, value_size = _kv_sizes(node, heads)
    if past := node.input(places.past_key):
        keys += past_length(node, past.shape[2], places.past_length, keys)
    return AttentionSizes(node.x.shape[0], heads, node.x.shape[1], keys, size, value_size), places


def _multi_head_types(node: Node) -> Types:
    places, heads = _inputs_of(node), node.attributes["num_heads"]
    value_size = _kv_sizes(node, heads)[2]
    out, past = (node.x.dtype, (*node.x.shape[:2], heads * value_size)), node.input(places.past_key)
    if past and node.input(places.past_length):
        return [out, (past.dtype, past.shape), (past.dtype, past.shape)]
    sizes, _ = _multi_head_sizes(node)
    dims = [sizes.cache, (*sizes.cache[:3], value_size), (sizes.batch, heads, sizes.queries, sizes.keys)]
    return [out, *((node.x.dtype, each) for each in dims)]


@formula("Y = softmax(s·Q·Kᵀ + mask)·V", macs="B·heads·S_q·S_kv·(d_qk + d_v)",
         flops="2·macs − sums, + biases, + Q for s, + the scores' softmax and masks", shapes=_multi_head_types,
         at_most=_is_past_open)  # fmt: skip
def multi_head_attention(node: Node) -> Work:
    """The projections are nodes of their own; their biases are added here. K of four dims is a complete cache."""
    sizes, places = _multi_head_sizes(node)
    batch, heads, queries, _, size, value_size = sizes
    new = 0 if node.input(1) is not None and node.required(1).rank == 4 else _kv_sizes(node, heads)[0]
    biased = batch * heads * (queries * size + new * (size + value_size))
    bias = Work(bias_adds=biased if node.input(places.bias) else 0)
    return bias + sdpa(node, sizes, places.masks)


def _decoder_cross(node: Node) -> tuple[AttentionSizes, int]:
    """The sizes of DecoderAttention, and how many positions' keys and values it projects."""
    queries, batch, width = node.x.shape
    heads, cache = node.attributes["num_heads"], node.input(6)
    uses_cache = all(element(node, index, "whether there is a cache") for index in (9, 10))
    is_static = element(node, 8, "whether keys are static")
    cached = node.required(6).shape[2] if uses_cache and cache else 0
    new = (0 if uses_cache else node.required(1).shape[0]) if is_static else queries
    size = width // heads
    return AttentionSizes(batch, heads, queries, cached + new, size, size), new


@formula("Y = softmax(s·Q·Kᵀ + mask)·V, Q, K, V = X·W + b", macs="D·D·(S_q + 2·new keys)·B + Attention's",
         flops="2·macs − sums, + biases, + Q for s, + the scores' softmax and mask",
         shapes=lambda node: [*like_input(node), *[(node.x.dtype, _decoder_cross(node)[0].cache)] * 2])  # fmt: skip
def decoder_attention(node: Node) -> Work:
    """On positions × batch × D. ``static_kv``, ``use_past`` and ``has_layer_state`` (inputs 8 to 10) say what is projected."""
    sizes, new = _decoder_cross(node)
    width = node.x.shape[2]
    made = sizes.batch * width * (sizes.queries + 2 * new)
    return dot_products(made, width) + Work(bias_adds=made) + sdpa(node, sizes, (5,))


TABLE: FormulaTable = {
    "com.microsoft.Attention": merged_attention,
    "com.microsoft.DecoderMaskedSelfAttention": merged_attention,
    "com.microsoft.MultiHeadAttention": multi_head_attention,
    "com.microsoft.DecoderMaskedMultiHeadAttention": multi_head_attention,
    "com.microsoft.DecoderAttention": decoder_attention,
}


def _packed_sizes(node: Node, offsets: int, width: int, value_width: int) -> AttentionSizes:
    (batch, length), heads = node.required(offsets).shape, node.attributes["num_heads"]
    return AttentionSizes(batch, heads, length, length, width // heads, value_width // heads)


@formula(
    "Attention without its padding",
    macs="tokens·D·(2·d_qk + d_v)·heads + Attention's",
    flops="as Attention",
    shapes=lambda node: [(node.x.dtype, (node.x.shape[0], merged_widths(node, node.required(1).shape[1])[2]))],
)
def packed_attention(node: Node) -> Work:
    """Only real tokens are projected; input 3 has batch × length."""
    width, _, value_width = merged_widths(node, node.required(1).shape[1])
    return projection(node, node.required(1), node.input(2)) + sdpa(node, _packed_sizes(node, 3, width, value_width), (5,))


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
    return bias + sdpa(node, _packed_sizes(node, 4, width, value_width), (6,))


PACKED: FormulaTable = {
    "com.microsoft.PackedAttention": packed_attention,
    "com.microsoft.PackedMultiHeadAttention": packed_multi_head_attention,
}


def _delta_sizes(node: Node) -> tuple[int, int, int, int, int]:
    """Tokens, heads of queries, elements of a key's head, heads of values, elements of a value's head."""
    key, value = node.input(1), node.input(2)
    if key and value:
        *positions, heads, size = node.x.shape
        value_heads, value_size = value.shape[-2:]
        return prod(positions), heads, size, value_heads, value_size
    _, value_heads, value_size, size = node.required(6).shape
    *positions, width = node.x.shape
    return prod(positions), (width - value_heads * value_size) // (2 * size), size, value_heads, value_size


def _delta_types(node: Node) -> Types:
    _, heads, size, value_heads, value_size = _delta_sizes(node)
    state, capacity = node.input(6), node.attributes.get("state_update_capacity") or 0
    positions = node.x.shape[: -2 if node.input(1) else -1]
    out = (node.x.dtype, (*positions, max(heads, value_heads), value_size))
    if state is None:
        return [out]
    update = (state.shape[0], capacity * (value_heads + heads * size + value_heads * value_size))
    return [out, (state.dtype, state.shape), (state.dtype, update)]


@formula("S = exp(g)·S + k ⊗ β·(v − exp(g)·Sᵀk), o = s·Sᵀq", macs="LinearAttention's",
         flops="as LinearAttention, + gates and norms if the attributes ask for them", shapes=_delta_types)  # fmt: skip
def gated_delta_net(node: Node) -> Work:
    """LinearAttention on packed tokens; ``qk_l2_norm`` divides q and k by their lengths, the activations make g and β."""
    tokens, heads, size, value_heads, value_size = _delta_sizes(node)
    decay, read = node.input(4), node.attributes
    normed = 2 * tokens * heads * (size * (MUL + ADD + DIV) + FUNCTION) if read.get("qk_l2_norm") else NO_WORK
    gated = 2 * ADD + MUL + 2 * FUNCTION if read.get("gate_activation", "none") == "qwen" else NO_WORK
    beta = SIGMOID if read.get("beta_activation", "none") == "sigmoid" else NO_WORK
    widths = (heads * size, heads * size, value_heads * value_size, max(heads, value_heads) * value_size)
    query, key, value, out = (Tensor("", node.x.dtype, (1, tokens, width)) for width in widths)
    attributes = {"q_num_heads": heads, "kv_num_heads": value_heads, "update_rule": read.get("update_rule", "gated_delta")}
    steps = linear_attention(Node("", "", "", (query, key, value, None, decay), (out,), attributes))
    return steps + normed + (decay.size if decay else 0) * gated + tokens * value_heads * beta


@formula("Y = σ(sign(d)·√max(|d|, ε))·V, d = Σ RMSNorm(K)·RMSNorm(Q) / √H", macs="in",
         flops="2·macs − rows, + two norms (three with output 2), + 10·rows + out",
         shapes=lambda node: [(node.x.dtype, node.x.shape)] * 2)  # fmt: skip
def engram_gate(node: Node) -> Work:
    """K and Q of rows × H, rows for each token and hyper-connection; V is shared by the hyper-connections."""
    rows = rows_in(node.x)
    norm = rms(replace(node, attributes={"axis": -1}))
    norms = 3 if len(node.outputs) > 1 and node.outputs[1] else 2
    gate = DIV + 3 * COMPARE + FUNCTION + MUL + SIGMOID
    return dot_products(rows, node.x.shape[-1]) + norms * norm + rows * gate + Work(muls=node.x.size)


def _branches(node: Node) -> int:
    return int(node.attributes.get("num_branches") or node.x.shape[-2])


def _pre_mix_types(node: Node) -> Types:
    flat = node.attributes.get("num_branches")
    return [(node.x.dtype, (*node.x.shape[:-1], node.x.shape[-1] // flat) if flat else (*node.x.shape[:-2], node.x.shape[-1]))]


@formula("Y = s·Σ_c X_c·gate_c", macs="in", flops="2·in − out, + out if s≠1", shapes=_pre_mix_types)
def hyper_connection_pre_mix(node: Node) -> Work:
    """C streams become one."""
    scaled = Work(muls=node.out.size if node.attributes.get("reduction_scale", 1.0) != 1 else 0)
    return dot_products(node.out.size, _branches(node)) + scaled


@formula("Y_k = Σ_c mix_ck·X_c + gate_k·block", macs="out·C (no mix: 0)", flops="2·macs − out, + 2·out", shapes=like_input)
def hyper_connection_post_mix(node: Node) -> Work:
    """C streams are mixed and combined with the block's output."""
    mixed = dot_products(node.x.size, _branches(node)) if node.input(3) else NO_WORK
    return mixed + node.x.size * (MUL + ADD)


_GATE = {"gate_div": DIV, "gate_mul": MUL}
"""What scales a stream's gate if it is not 1."""


def _mixed_types(node: Node) -> Types:
    """The block's input, the gate of each stream, the streams."""
    *positions, width = node.x.shape
    branches = node.attributes["num_branches"]
    dims = (*positions, width // branches), (*positions, branches), node.x.shape
    return [(node.x.dtype, each) for each in dims]


@formula("N = RMSNorm(S), Y = s·Σ_c N_c·σ(SiLU(α·N·D)·U)_c, gate = m·σ(N·W / d)", macs="in·(2·rank + C + 1)",
         flops="2·macs − sums, + 8·in + 7·C·rows + 6·rank·rows, + 2·in for S, + out if s≠1, + C·rows if d≠1, if m≠1",
         shapes=_mixed_types)  # fmt: skip
def low_rank_mix(node: Node) -> Work:
    """C streams become one, by gates of low rank; S are the streams, plus the output of the previous block if it is given."""
    branches: int = node.attributes["num_branches"]
    width, rank, rows = node.x.shape[-1], node.required(2).shape[1], rows_in(node.x)
    taken_up = node.x.size * (MUL + ADD) if node.input(5) else NO_WORK
    hidden = dot_products(rows * rank, width) + rows * rank * (SILU + MUL)
    gated = dot_products(node.x.size, rank) + node.x.size * SIGMOID
    scaled = sum((each for name, each in _GATE.items() if node.attributes.get(name, 1.0) != 1), NO_WORK)
    injected = dot_products(rows * branches, width) + rows * branches * (SIGMOID + scaled)
    return taken_up + branchwise_rms(node) + hidden + gated + hyper_connection_pre_mix(node) + injected


@formula("Y = (σ(u)·(σ(r)·a − 1) + 2)·bias, u, r = sums of halves of (Q + b)·W + c", macs="in·D",
         flops="2·macs − sums, + in + 2·sums + 12·rows + out", shapes=lambda node: [
             (node.x.dtype, ((node.input(6) or node.x).shape[0], *node.required(2).shape[1:3], node.required(2).shape[2]))
         ])  # fmt: skip
def gated_relative_position_bias(node: Node) -> Work:
    """W of head size × D; rows for each token and head."""
    size, width = node.required(3).shape
    rows = node.x.size // size if size else 0
    gates = 2 * SIGMOID + 2 * MUL + 2 * ADD
    sums = Work(adds=rows * max(0, width - 2), bias_adds=rows * width)
    return Work(adds=node.x.size) + dot_products(rows * width, size) + sums + rows * gates + Work(muls=node.out.size)


STATE: FormulaTable = {
    "com.microsoft.GatedDeltaNet": gated_delta_net,
    "com.microsoft.EngramGate": engram_gate,
    "com.microsoft.HyperConnectionPreMix": hyper_connection_pre_mix,
    "com.microsoft.HyperConnectionPostMix": hyper_connection_post_mix,
    "com.microsoft.HyperConnectionLowRankMix": low_rank_mix,
    "com.microsoft.GatedRelativePositionBias": gated_relative_position_bias,
}
