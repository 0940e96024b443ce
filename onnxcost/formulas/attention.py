"""Attention and rotary embedding as single operators."""

from __future__ import annotations

from dataclasses import replace

from onnxcost.formulas.activation import softmax_work
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, Types, formula
from onnxcost.graph import NO_WORK, Node, Tensor, Work


def _heads(tensor: Tensor, heads: int | None) -> tuple[int, int, int]:
    """Heads, positions and elements per head of a B×heads×positions×size or B×positions×(heads·size) tensor."""
    if tensor.rank == 4:
        return tensor.shape[1], tensor.shape[2], tensor.shape[3]
    heads = heads or 1
    return heads, tensor.shape[1], tensor.shape[2] // heads


def _scores_work(node: Node) -> Work:
    """The work on each score between the contraction and the softmax."""
    mask = node.input(3)
    work = (COMPARE if mask.dtype == "bool" else ADD) if mask else NO_WORK
    hidden = [node.attributes.get("is_causal"), node.input(6)]
    windows = [node.attributes.get(side, -1) >= 0 for side in ("left_window_size", "right_window_size")]
    capped = DIV + FUNCTION + MUL if node.attributes.get("softcap") else NO_WORK
    return work + sum(map(bool, [*hidden, *windows])) * COMPARE + capped


@formula(
    "Y = softmax(s·Q·Kᵀ + mask)·V",
    macs="B·heads·S_q·S_kv·(d_qk + d_v)",
    flops="2·macs − sums, + Q for s, + the scores' softmax",
)
def attention(node: Node) -> Work:
    """S_kv includes the cached positions; masked scores are computed and counted, with a selection or an addition each.

    https://onnx.ai/onnx/operators/onnx__Attention.html
    """
    heads, queries, size = _heads(node.x, node.attributes.get("q_num_heads"))
    kv_heads = node.attributes.get("kv_num_heads")
    _, keys, _ = _heads(node.required(1), kv_heads)
    _, _, value_size = _heads(node.required(2), kv_heads)
    cached = node.input(4)
    keys += cached.shape[2] if cached else 0
    rows = node.x.shape[0] * heads * queries
    contractions = dot_products(rows * keys, size) + dot_products(rows * value_size, keys)
    scores = rows * keys * _scores_work(node) + softmax_work(rows * keys, rows if keys else 0)
    return contractions + Work(muls=node.x.size) + scores


ROTATION = 2 * MUL + ADD
"""Rotary embedding, per element: two products and their sum or difference."""


def rotate_heads(node: Node, size: int) -> Work:
    """The rotation of X, or of the first ``rotary_embedding_dim`` elements of each head of this size."""
    return (node.x.size // size * (node.attributes.get("rotary_embedding_dim") or size) if size else 0) * ROTATION


@formula("Y = (x₁cos − x₂sin, x₁sin + x₂cos) on pairs of X", flops="3·in·rotary_embedding_dim/head size")
def rotary_embedding(node: Node) -> Work:
    """Two products and their sum or difference per element: https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html."""
    return rotate_heads(node, _heads(node.x, node.attributes.get("num_heads"))[2])


@formula("Y = softmax(s·Q·Kᵀ)·V", macs="B·heads·S_q·S_kv·(d_qk + d_v)", flops="2·macs − sums, + Q for s, + the scores' softmax")
def flex_attention(node: Node) -> Work:
    """Like Attention, without a mask. The nodes of the graphs ``score_mod`` and ``prob_mod`` are counted separately.

    https://onnx.ai/onnx/operators/onnx_aionnxpreview_FlexAttention.html
    """
    return attention(node)


UPDATES = {"linear": (False, False), "gated": (True, False), "delta": (False, True), "gated_delta": (True, True)}
"""Whether an update rule lets the state decay, and whether it writes only what the state does not hold yet."""


@formula("S = e^g·S + k⊗β(v − Sᵀk), Y = s·Sᵀq", macs="T·B·d_k·d_v·(H_kv + H_kv if delta + H_q)",
         flops="2·macs − sums, + states if gated, + e^g, + 2·v if delta, + out for s")  # fmt: skip
def linear_attention(node: Node) -> Work:
    """At each of T steps, for each of B·H_kv states S of d_k × d_v: a decay e^g (gated), what is written, k times v, or
    (delta) times β(v − Sᵀk), and what the H_q queries read. An initial state of zeros counts like any other.

    https://onnx.ai/onnx/operators/onnx__LinearAttention.html
    """
    is_gated, is_delta = UPDATES[node.attributes.get("update_rule", "gated_delta")]
    size = node.x.shape[2] // node.attributes["q_num_heads"]
    values = node.required(2).size
    states = values * size
    gates = node.required(4).size * FUNCTION + states * MUL if is_gated else NO_WORK
    corrections = dot_products(values, size) + values * (ADD + MUL) if is_delta else NO_WORK
    return gates + corrections + Work(macs=states) + dot_products(node.out.size, size) + node.out.size * MUL


def _state_types(node: Node) -> Types:
    batch, steps, width = node.x.shape
    heads, kv_heads = node.attributes["q_num_heads"], node.attributes["kv_num_heads"]
    value_size = node.required(2).shape[2] // kv_heads
    past = node.input(3)
    state = (past.dtype if past else node.x.dtype, (batch, kv_heads, width // heads, value_size))
    return (node.x.dtype, (batch, steps, heads * value_size)), state


TABLE: FormulaTable = {
    "Attention": attention,
    "ai.onnx.preview.FlexAttention": flex_attention,
    "LinearAttention": replace(linear_attention, shapes=_state_types),
    "RotaryEmbedding": rotary_embedding,
}
