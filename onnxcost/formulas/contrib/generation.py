"""Operators of generative Transformers: grouped-query attention, rotary embeddings, linear attention with a state, its gates.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxcost.formulas.attention import linear_attention
from onnxcost.formulas.contrib.attention import Sizes, core
from onnxcost.formulas.contrib.shapes import like, shaped_by
from onnxcost.formulas.normalization import rms
from onnxcost.formulas.quantized import SATURATE
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, formula, like_input
from onnxcost.graph import Node, Tensor
from onnxcost.work import NO_WORK, Work

TURN = 2 * MUL + ADD
"""Rotary embedding, an element: two products and their sum or difference."""


def _grouped(node: Node) -> tuple[Sizes, int, int]:
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
    return Sizes(batch, heads, queries, keys, size, size), kv_heads, new


def _grouped_types(node: Node) -> Sequence[TensorType | None]:
    """The cache is as long as it was, if that is a buffer that has room, or as long as all keys."""
    (batch, heads, queries, keys, size, _), kv_heads, _ = _grouped(node)
    past, out = node.input(3), (node.x.dtype, (batch, queries, heads * size))
    if past and node.attributes.get("sliding_window_cache"):
        cache: TensorType = past.dtype, past.shape
    else:
        held = max(keys, past.shape[2]) if past else keys
        cache = (past.dtype if past else node.x.dtype), (batch, kv_heads, held, past.shape[3] if past else size)
    return [out, cache, cache, (node.x.dtype, (batch, heads, queries, keys))]


def _cache_work(node: Node, keys: int, new: int, row: int) -> Work:
    """A quantized cache: what is new is quantized, all of it dequantized; ``row`` elements a position in K, as many in V."""
    kinds: int = sum(node.attributes.get(f"{side}_quant_type", "NONE") != "NONE" for side in "kv")
    return kinds * row * (new * (DIV + SATURATE) + keys * MUL)


@formula("Y = softmax(s·Q·Kᵀ + mask)·V, several heads of Q to one of K and V", macs="2·B·heads·S_q·S_kv·d",
         flops="2·macs − sums, + Q for s, + the scores' softmax and masks, + 3·(Q + K) if rotary",
         shapes=_grouped_types)  # fmt: skip
def group_query_attention(node: Node) -> Work:
    """S_kv is the total length in input 6 where that is known, else the cache's and the new positions together.

    ``softcap``, ``local_window_size``, a bias (input 10), a sink (11) and norms of Q and K (14) count where they are used.
    """
    sizes, kv_heads, new = _grouped(node)
    batch, heads, queries, keys, size, _ = sizes
    of_keys, read = batch * new * kv_heads * size, node.attributes
    turned = (batch * queries * heads * size + of_keys) * TURN if read.get("do_rotary") else NO_WORK
    each = sum((bool(read.get("causal", 1)), read.get("local_window_size", -1) >= 0)) * COMPARE
    each += DIV + FUNCTION + MUL if read.get("softcap") else NO_WORK
    has_sink = node.input(11) is not None or read.get("smooth_softmax", -1) > 0
    sink = batch * heads * queries * (ADD + FUNCTION) if has_sink else NO_WORK
    normed = NO_WORK
    if weight := node.input(14):
        rows = batch * (queries * heads + new * kv_heads)
        normed = rms(replace(node, inputs=(Tensor("", node.x.dtype, (rows, size)), weight), attributes={"axis": -1}))
    cache = _cache_work(node, keys, new, batch * kv_heads * size)
    return core(node, sizes, (10,), each) + turned + sink + normed + cache


def _head_size(node: Node, cosines: int) -> int:
    """Elements of a head: of the last dim where heads have their own, else as attributes or the table of cosines say."""
    if node.x.rank == 4:
        return node.x.shape[3]
    heads = node.attributes.get("num_heads")
    return node.x.shape[-1] // heads if heads else 2 * node.required(cosines).shape[1]


@formula("Y = (x₁cos − x₂sin, x₁sin + x₂cos) on pairs of X", flops="3·in·rotary_embedding_dim/head size", shapes=like_input)
def rotary_embedding(node: Node) -> Work:
    """The part of each head that is turned; positions are only looked up."""
    size = _head_size(node, 2)
    return (node.x.size // size * (node.attributes.get("rotary_embedding_dim") or size) if size else 0) * TURN


@formula("Q·cos(E) + Q'·sin(E), K·cos(E) + K'·sin(E)", flops="2·E + 3·(Q + K)", shapes=like(1, 3))
def gemma_rotary_embedding(node: Node) -> Work:
    """E of batch × positions × size; Q' and K' are given half rotated."""
    return node.x.size * 2 * FUNCTION + (node.required(1).size + node.required(3).size) * TURN


def _rotated_types(node: Node) -> Sequence[TensorType | None]:
    """Heads side by side in the first output, positions too with ``flatten_batch``; normalized and unturned in the second."""
    batch, positions, heads, stride = node.x.shape
    width = node.attributes.get("input_width") or stride
    rows = (1, batch * positions) if node.attributes.get("flatten_batch") else (batch, positions)
    dtype = "float16" if node.attributes.get("output_fp16") else "bfloat16"
    return [(dtype, (*rows, heads * width)), ("float32", (batch, positions, heads, width))]


@formula("Y = RotaryEmbedding(RMSNormalization(X))", flops="4·normalized + 3·heads, + 3·heads·rotary_embedding_dim",
         shapes=_rotated_types)  # fmt: skip
def rms_norm_rotary(node: Node) -> Work:
    """Of each head ``input_width`` elements are normalized (0: all), and of these ``rotary_embedding_dim`` are turned."""
    stride = node.x.shape[-1]
    heads = node.x.size // stride if stride else 0
    taken = Tensor("", node.x.dtype, (heads, node.attributes.get("input_width") or stride))
    normed = rms(replace(node, inputs=(taken, node.input(1)), attributes={"axis": -1}))
    turned: int = node.attributes["rotary_embedding_dim"]
    return normed + heads * turned * TURN


def _linear_sizes(node: Node) -> tuple[int, int, int, int]:
    """Heads of queries, heads of keys, elements of a key's head, of a value's."""
    heads, kv_heads = node.attributes["q_num_heads"], node.attributes["kv_num_heads"]
    return heads, kv_heads, node.required(1).shape[2] // kv_heads, node.required(2).shape[2] // kv_heads


def _linear_types(node: Node) -> Sequence[TensorType | None]:
    heads, kv_heads, size, value_size = _linear_sizes(node)
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
    "com.microsoft.RotaryEmbedding": rotary_embedding,
    "com.microsoft.MRotaryEmbedding": rotary_embedding,
    "com.microsoft.GemmaRotaryEmbedding": gemma_rotary_embedding,
    "com.microsoft.RMSNormRotary": rms_norm_rotary,
    "com.microsoft.LinearAttention": shaped_by(linear_attention, _linear_types),
    "com.microsoft.LinearAttentionGate": linear_attention_gate,
}
