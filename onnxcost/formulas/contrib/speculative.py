"""Speculative decoding: several tokens at once with every state kept, which of them hold, the states taken back to those.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.activation import SILU
from onnxcost.formulas.contrib.shapes import elements, like
from onnxcost.formulas.normalization import rms
from onnxcost.formulas.reduction import ADD, COMPARE, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, always, formula, no_arithmetic
from onnxcost.graph import Node, Tensor
from onnxcost.work import Work

_TAPS = 4


def _mamba_sizes(node: Node) -> tuple[int, int, int]:
    """Heads, elements of a head, elements of a state for each of them."""
    return node.attributes["heads"], node.attributes.get("head_dim", 64), node.attributes.get("d_state", 128)


def _mamba_types(node: Node) -> Sequence[TensorType | None]:
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


def _committed(node: Node) -> Sequence[TensorType | None]:
    batch = node.x.shape[0] if node.x.rank == 2 else 1
    return [("int32", (batch,)), *like(3, 4)(node)]


@formula("Y = how many drafts the predictions confirm", flops="batch·(rows − 1) + the status words", shapes=_committed,
         at_most=always)  # fmt: skip
def prefix_commit(node: Node) -> Work:
    """A prediction for each row but the last is held against the draft of the next; what a request commits is only copied."""
    predictions, status = node.x, node.required(2)
    requests = predictions.size // predictions.shape[-1] if predictions.size else 0
    return Work(compares=predictions.size - requests + status.size)


TABLE: FormulaTable = {
    "com.microsoft.Mamba2Verify": mamba2_verify,
    "com.microsoft.GatedDeltaNetStateReplay": delta_net_replay,
    "com.microsoft.ConvStateReplay": no_arithmetic("Y = the last inputs that are kept, after the state", shapes=like(2)),
    "com.microsoft.SpeculativePrefixCommit": prefix_commit,
}
