"""Attention and rotary embedding as single operators."""

from __future__ import annotations

from onnxcost.formulas.activation import softmax_work
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import Node, Tensor
from onnxcost.work import NO_WORK, Work


def _heads(tensor: Tensor, heads: int | None) -> tuple[int, int, int]:
    """Heads, positions and elements a head of a B×heads×positions×size or B×positions×(heads·size) tensor."""
    if tensor.rank == 4:
        return tensor.shape[1], tensor.shape[2], tensor.shape[3]
    heads = heads or 1
    return heads, tensor.shape[1], tensor.shape[2] // heads


def _scores_work(node: Node) -> Work:
    """What happens to each score between the contraction and the softmax."""
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
    """S_kv counts the cached positions too; scores that a mask hides are computed and count, a selection or addition each.

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


@formula("Y = (x₁cos − x₂sin, x₁sin + x₂cos) on pairs of X", flops="3·in·rotary_embedding_dim/head size")
def rotary_embedding(node: Node) -> Work:
    """Two products and their sum or difference an element: https://onnx.ai/onnx/operators/onnx__RotaryEmbedding.html."""
    _, _, size = _heads(node.x, node.attributes.get("num_heads"))
    rotated = node.x.size // size * (node.attributes.get("rotary_embedding_dim") or size) if size else 0
    return rotated * (2 * MUL + ADD)


TABLE: FormulaTable = {"Attention": attention, "RotaryEmbedding": rotary_embedding}
