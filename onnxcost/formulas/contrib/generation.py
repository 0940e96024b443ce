"""Operators of generative Transformers: grouped-query attention, rotary embeddings, linear attention with a state, its gates.

Speculative decoding runs several tokens at once and keeps each state, finds out which tokens are right, and restores the state
after the last of them.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from math import prod

from onnxcost.formulas.attention import ROTATION, linear_attention, rotate_heads
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.activation import SILU
from onnxcost.formulas.contrib.attention import AttentionSizes, sdpa
from onnxcost.formulas.normalization import rms
from onnxcost.formulas.quantized import SATURATE
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, rows_in
from onnxcost.formulas.shapes import elements, like, with_shapes
from onnxcost.formulas.table import FormulaTable, TensorType, Types, always, formula, like_input, no_arithmetic
from onnxcost.graph import NO_WORK, Node, Tensor, Work


def _grouped_sizes(node: Node) -> tuple[AttentionSizes, int, int]:
    """The sizes, how many heads the keys have, and how many keys are new."""
    heads, kv_heads = node.attributes["num_heads"], node.attributes["kv_num_heads"]
    batch, queries, width = node.x.shape
    key, past, total = node.input(1), node.input(3), node.input(6)
    size = width // heads if key else width // (heads + 2 * kv_heads)
    new = key.shape[1] if key else queries
    known: int = int(total.value[0]) if total and total.value else 0
    keys = known or new + (past.shape[2] if past else 0)
    if node.attributes.get("sliding_window_cache") and past:
        keys = min(keys, past.shape[2])
    return AttentionSizes(batch, heads, queries, keys, size, size), kv_heads, new


def _grouped_types(node: Node) -> Types:
    """The cache is as long as it was, if that is a buffer that has room, or as long as all keys."""
    (batch, heads, queries, keys, size, _), kv_heads, _ = _grouped_sizes(node)
    past, out = node.input(3), (node.x.dtype, (batch, queries, heads * size))
    if past and node.attributes.get("sliding_window_cache"):
        cache: TensorType = past.dtype, past.shape
    else:
        held = max(keys, past.shape[2]) if past else keys
        cache = (past.dtype if past else node.x.dtype), (batch, kv_heads, held, past.shape[3] if past else size)
    return [out, cache, cache, (node.x.dtype, (batch, heads, queries, keys))]


@formula("Y = softmax(s·Q·Kᵀ + mask)·V, several heads of Q to one of K and V", macs="2·B·heads·S_q·S_kv·d",
         flops="2·macs − sums, + Q for s, + the scores' softmax and masks, + 3·(Q + K) if rotary",
         shapes=_grouped_types)  # fmt: skip
def group_query_attention(node: Node) -> Work:
    """S_kv is the total length in input 6 if that is known, else the cache's and the new positions together.

    ``softcap``, ``local_window_size``, a bias (input 10), a sink (11) and norms of Q and K (14) are counted if they are used.
    """
    sizes, kv_heads, new = _grouped_sizes(node)
    batch, heads, queries, keys, size, _ = sizes
    of_keys, read = batch * new * kv_heads * size, node.attributes
    rotated = (batch * queries * heads * size + of_keys) * ROTATION if read.get("do_rotary") else NO_WORK
    each = sum((bool(read.get("causal", 1)), read.get("local_window_size", -1) >= 0)) * COMPARE
    each += DIV + FUNCTION + MUL if read.get("softcap") else NO_WORK
    has_sink = node.input(11) is not None or read.get("smooth_softmax", -1) > 0
    sink = batch * heads * queries * (ADD + FUNCTION) if has_sink else NO_WORK
    normed = NO_WORK
    if weight := node.input(14):
        rows = batch * (queries * heads + new * kv_heads)
        normed = rms(replace(node, inputs=(Tensor("", node.x.dtype, (rows, size)), weight), attributes={"axis": -1}))
    # Of a quantized cache of keys or values what is new is quantized, and all of it dequantized.
    quantized: int = sum(read.get(f"{side}_quant_type", "NONE") != "NONE" for side in "kv")
    cache = quantized * batch * kv_heads * size * (new * (DIV + SATURATE) + keys * MUL)
    return sdpa(node, sizes, (10,), each) + rotated + sink + normed + cache


def _paged_sizes(node: Node) -> tuple[int, int, int]:
    """Tokens, heads and elements of a head; Q, K and V may be side by side."""
    heads, kv_heads = node.attributes["num_heads"], node.attributes["kv_num_heads"]
    tokens, width = node.x.shape
    return tokens, heads, width // (heads if node.input(1) else heads + 2 * kv_heads)


def _paged_sequences(node: Node) -> list[tuple[int, int]]:
    """The new tokens of each sequence, and how many keys they attend to at most."""
    pages, page = node.required(3).shape[:2]
    room = min(pages, node.required(7).shape[1]) * page
    starts, pasts = node.required(5).value, node.required(6).value
    news = [node.x.shape[0]] if starts is None else [int(last - first) for first, last in pairwise(starts)]
    if pasts is None:
        return [(new, room) for new in news]
    if starts is None:
        return [(new, min(room, new + int(max(pasts, default=0)))) for new in news]
    return [(new, new + int(past)) for new, past in zip(news, pasts, strict=False)]


@formula("Y = softmax(s·Q·Kᵀ)·V, of each sequence in pages of a cache", macs="2·heads·d·Σ new·(past + new)",
         flops="as GroupQueryAttention", shapes=lambda node: [
             (node.x.dtype, (_paged_sizes(node)[0], prod(_paged_sizes(node)[1:]))), *like(3, 4)(node)
         ], at_most=lambda node: None in (node.required(5).value, node.required(6).value))  # fmt: skip
def paged_attention(node: Node) -> Work:
    """The new tokens of the sequences, one after the other; input 5 says where each begins, input 6 how long its past is.
    If these are unknown, a token attends to at most all positions in the pages of a sequence (input 7). The caches
    are written in place.
    """
    tokens, heads, size = _paged_sizes(node)
    kv_heads: int = node.attributes["kv_num_heads"]
    work = tokens * (heads + kv_heads) * size * ROTATION if node.attributes.get("do_rotary") else NO_WORK
    each = COMPARE + (DIV + FUNCTION + MUL if node.attributes.get("softcap") else NO_WORK)
    for new, keys in _paged_sequences(node):
        work += sdpa(node, AttentionSizes(1, heads, new, keys, size, size), (), each)
    return work


def _head_size(node: Node) -> int:
    """Elements of a head: of the last dim where heads have their own, else as attributes or the table of cosines say."""
    if node.x.rank == 4:
        return node.x.shape[3]
    heads = node.attributes.get("num_heads")
    return node.x.shape[-1] // heads if heads else 2 * node.required(2).shape[1]


@formula("Y = (x₁cos − x₂sin, x₁sin + x₂cos) on pairs of X", flops="3·in·rotary_embedding_dim/head size", shapes=like_input)
def contrib_rotary_embedding(node: Node) -> Work:
    """The part of each head that is rotated; positions are only looked up."""
    return rotate_heads(node, _head_size(node))


@formula("Q·cos(E) + Q'·sin(E), K·cos(E) + K'·sin(E)", flops="2·E + 3·(Q + K)", shapes=like(1, 3))
def gemma_rotary_embedding(node: Node) -> Work:
    """E of batch × positions × size; Q' and K' are given half rotated."""
    return node.x.size * 2 * FUNCTION + (node.required(1).size + node.required(3).size) * ROTATION


def _rotated_types(node: Node) -> Types:
    """Heads side by side in the first output, positions too with ``flatten_batch``; normalized and unrotated in the second."""
    batch, positions, heads, stride = node.x.shape
    width = node.attributes.get("input_width") or stride
    rows = (1, batch * positions) if node.attributes.get("flatten_batch") else (batch, positions)
    dtype = "float16" if node.attributes.get("output_fp16") else "bfloat16"
    return [(dtype, (*rows, heads * width)), ("float32", (batch, positions, heads, width))]


@formula("Y = RotaryEmbedding(RMSNormalization(X))", flops="4·normalized + 3·heads, + 3·heads·rotary_embedding_dim",
         shapes=_rotated_types)  # fmt: skip
def rms_norm_rotary(node: Node) -> Work:
    """Of each head ``input_width`` elements are normalized (0: all), and of these ``rotary_embedding_dim`` are rotated."""
    heads = rows_in(node.x)
    taken = Tensor("", node.x.dtype, (heads, node.attributes.get("input_width") or node.x.shape[-1]))
    normed = rms(replace(node, inputs=(taken, node.input(1)), attributes={"axis": -1}))
    rotated: int = node.attributes["rotary_embedding_dim"]
    return normed + heads * rotated * ROTATION


def _linear_types(node: Node) -> Types:
    heads, kv_heads = node.attributes["q_num_heads"], node.attributes["kv_num_heads"]
    size, value_size = (node.required(index).shape[2] // kv_heads for index in (1, 2))
    past, window = node.input(3), node.attributes.get("state_window") or 0
    state = (*((window,) if window else ()), node.x.shape[0], kv_heads, size, value_size)
    out = (*node.x.shape[:2], max(heads, kv_heads) * value_size)
    return [(node.x.dtype, out), (past.dtype if past else node.x.dtype, state)]


@formula("decay = c·softplus(a + bias), β = σ(b)", flops="5·a (+ 4·b)", shapes=like(0, 3))
def linear_attention_gate(node: Node) -> Work:
    """softplus is log(1 + exp(x))."""
    beta = node.input(3)
    return node.x.size * (2 * ADD + MUL + 2 * FUNCTION) + (beta.size if beta else 0) * (2 * ADD + FUNCTION + DIV)


TABLE: FormulaTable = {
    "com.microsoft.GroupQueryAttention": group_query_attention,
    "com.microsoft.PagedAttention": paged_attention,
    "com.microsoft.RotaryEmbedding": contrib_rotary_embedding,
    "com.microsoft.MRotaryEmbedding": contrib_rotary_embedding,
    "com.microsoft.GemmaRotaryEmbedding": gemma_rotary_embedding,
    "com.microsoft.RMSNormRotary": rms_norm_rotary,
    "com.microsoft.LinearAttention": with_shapes(linear_attention, _linear_types),
    "com.microsoft.LinearAttentionGate": linear_attention_gate,
}

_TAPS = 4


def _mamba_sizes(node: Node) -> tuple[int, int, int]:
    """Heads, elements of a head, elements of a state for each of them."""
    return node.attributes["heads"], node.attributes.get("head_dim", 64), node.attributes.get("d_state", 128)


def _mamba_types(node: Node) -> Types:
    """Y, both states after each token, what the convolution gives, what is read from the states."""
    tokens, (heads, size, _) = node.x.shape[0], _mamba_sizes(node)
    wide, state = node.required(1), node.required(2)
    types = [(node.x.dtype, (tokens, heads * size)), (wide.dtype, wide.shape), (state.dtype, state.shape)]
    return [*types, (node.x.dtype, (tokens, wide.shape[1])), (state.dtype, (tokens, heads * size))]


@formula("S = exp(A·dt)·S + dt·x⊗B, Y = RMSNorm((Sᵀ·C + D·x)·SiLU(z)), x, B, C = SiLU(X∗W + b)",
         macs="tokens·(4·channels + 2·inner·d_state)",
         flops="2·macs − sums, + states for exp(A·dt), + 6·channels, + 13·inner + 3·groups, + 8·heads",
         shapes=_mamba_types)  # fmt: skip
def mamba2_verify(node: Node) -> Work:
    """A depthwise convolution of 4 taps, the recurrence with dt = max(softplus(X + bias), least), and a norm of groups.

    ``inner`` is heads·head_dim; each figure is of one token.
    """
    tokens, (heads, size, states), groups = node.x.shape[0], _mamba_sizes(node), node.attributes["n_groups"]
    inner, channels = tokens * heads * size, tokens * node.required(1).shape[1]
    convolved = dot_products(channels, _TAPS) + Work(bias_adds=channels) + channels * SILU
    softplus = COMPARE + ADD + 2 * FUNCTION
    steps = tokens * heads * (ADD + softplus + COMPARE + MUL + FUNCTION)
    recurrence = Work(muls=inner + inner * states, macs=inner * states)
    read = dot_products(inner, states) + inner * (MUL + ADD)
    rows = Tensor("", "float32", (tokens * groups, heads * size // groups))
    normed = rms(replace(node, inputs=(rows, node.input(8)), attributes={"axis": -1}))
    return convolved + steps + recurrence + read + inner * (SILU + MUL) + normed


@formula("s = decay·s + key·delta for each token that is kept", macs="kept·states", flops="3·kept·states", shapes=like(2))
def delta_net_replay(node: Node) -> Work:
    """H_v·D_v·D_k states; these and how many tokens are kept are in input 3."""
    *_, heads, value_size, key_size, _, _, kept = elements(node, 3, "the states and how many tokens are kept")
    states = heads * value_size * key_size
    return Work(macs=kept * states, muls=kept * states)


@formula("Y = how many drafts the predictions confirm", flops="batch·(rows − 1) + the status words", at_most=always,
         shapes=lambda node: [("int32", (node.x.shape[0] if node.x.rank == 2 else 1,)), *like(3, 4)(node)])  # fmt: skip
def prefix_commit(node: Node) -> Work:
    """Each row's prediction except the last is compared with the draft of the next; what a request commits is only copied."""
    predictions, status = node.x, node.required(2)
    return Work(compares=predictions.size - rows_in(predictions) + status.size)


SPECULATIVE: FormulaTable = {
    "com.microsoft.Mamba2Verify": mamba2_verify,
    "com.microsoft.GatedDeltaNetStateReplay": delta_net_replay,
    "com.microsoft.ConvStateReplay": no_arithmetic("Y = the last inputs that are kept, after the state", shapes=like(2)),
    "com.microsoft.SpeculativePrefixCommit": prefix_commit,
}
