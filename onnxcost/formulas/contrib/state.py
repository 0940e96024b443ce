"""Recurrent states and gates of the newest language models: delta networks, engrams, hyper-connections; relative positions.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from onnxcost.formulas.activation import SIGMOID
from onnxcost.formulas.attention import linear_attention
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.activation import SILU
from onnxcost.formulas.contrib.normalization import branchwise_rms
from onnxcost.formulas.normalization import rms
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, formula, like_input
from onnxcost.graph import Node, Tensor
from onnxcost.work import NO_WORK, Work


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


def _delta_types(node: Node) -> Sequence[TensorType | None]:
    _, heads, size, value_heads, value_size = _delta_sizes(node)
    state, capacity = node.input(6), node.attributes.get("state_update_capacity") or 0
    positions = node.x.shape[: -2 if node.input(1) else -1]
    out = (node.x.dtype, (*positions, max(heads, value_heads), value_size))
    if state is None:
        return [out]
    update = (state.shape[0], capacity * (value_heads + heads * size + value_heads * value_size))
    return [out, (state.dtype, state.shape), (state.dtype, update)]


@formula("S = exp(g)·S + k ⊗ β·(v − exp(g)·Sᵀk), o = s·Sᵀq", macs="LinearAttention's",
         flops="as LinearAttention, + gates and norms where they are asked for", shapes=_delta_types)  # fmt: skip
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
    steps = linear_attention(Node("", "", "", (query, key, value, None, decay, node.input(5)), (out,), attributes))
    return steps + normed + (decay.size if decay else 0) * gated + tokens * value_heads * beta


@formula("Y = σ(sign(d)·√max(|d|, ε))·V, d = Σ RMSNorm(K)·RMSNorm(Q) / √H", macs="in",
         flops="2·macs − rows, + two norms (three with output 2), + 10·rows + out",
         shapes=lambda node: [(node.x.dtype, node.x.shape)] * 2)  # fmt: skip
def engram_gate(node: Node) -> Work:
    """K and Q of rows × H, rows for each token and hyper-connection; V is shared by the hyper-connections."""
    rows = node.x.size // node.x.shape[-1] if node.x.size else 0
    norm = rms(replace(node, attributes={"axis": -1}))
    norms = 3 if len(node.outputs) > 1 and node.outputs[1] else 2
    gate = DIV + 3 * COMPARE + FUNCTION + MUL + SIGMOID
    return dot_products(rows, node.x.shape[-1]) + norms * norm + rows * gate + Work(muls=node.x.size)


def _branches(node: Node) -> int:
    return int(node.attributes.get("num_branches") or node.x.shape[-2])


def _premixed(node: Node) -> Sequence[TensorType | None]:
    flat = node.attributes.get("num_branches")
    return [(node.x.dtype, (*node.x.shape[:-1], node.x.shape[-1] // flat) if flat else (*node.x.shape[:-2], node.x.shape[-1]))]


@formula("Y = s·Σ_c X_c·gate_c", macs="in", flops="2·in − out, + out if s≠1", shapes=_premixed)
def hyper_connection_pre_mix(node: Node) -> Work:
    """C streams become one."""
    scaled = Work(muls=node.out.size if node.attributes.get("reduction_scale", 1.0) != 1 else 0)
    return dot_products(node.out.size, _branches(node)) + scaled


@formula("Y_k = Σ_c mix_ck·X_c + gate_k·block", macs="out·C (no mix: 0)", flops="2·macs − out, + 2·out", shapes=like_input)
def hyper_connection_post_mix(node: Node) -> Work:
    """C streams are mixed and take up the block's output."""
    mixed = dot_products(node.x.size, _branches(node)) if node.input(3) else NO_WORK
    return mixed + node.x.size * (MUL + ADD)


_GATE = {"gate_div": DIV, "gate_mul": MUL}
"""What scales a stream's gate where it is not 1."""


def _mixed_types(node: Node) -> Sequence[TensorType | None]:
    """The block's input, the gate of each stream, the streams."""
    *positions, width = node.x.shape
    branches = node.attributes["num_branches"]
    dims = (*positions, width // branches), (*positions, branches), node.x.shape
    return [(node.x.dtype, each) for each in dims]


@formula("N = RMSNorm(S), Y = s·Σ_c N_c·σ(SiLU(α·N·D)·U)_c, gate = m·σ(N·W / d)", macs="in·(2·rank + C + 1)",
         flops="2·macs − sums, + 8·in + 7·C·rows + 6·rank·rows, + 2·in for S, + out if s≠1, + C·rows if d≠1, if m≠1",
         shapes=_mixed_types)  # fmt: skip
def low_rank_mix(node: Node) -> Work:
    """C streams become one, by gates of low rank; S are the streams, and what the previous block gave where it is there."""
    branches: int = node.attributes["num_branches"]
    width, rank = node.x.shape[-1], node.required(2).shape[1]
    rows = node.x.size // width if width else 0
    taken_up = node.x.size * (MUL + ADD) if node.input(5) else NO_WORK
    hidden = dot_products(rows * rank, width) + rows * rank * (SILU + MUL)
    gated = dot_products(node.x.size, rank) + node.x.size * SIGMOID
    scaled = sum((each for name, each in _GATE.items() if node.attributes.get(name, 1.0) != 1), NO_WORK)
    injected = dot_products(rows * branches, width) + rows * branches * (SIGMOID + scaled)
    return taken_up + branchwise_rms(node) + hidden + gated + hyper_connection_pre_mix(node) + injected


def _bias_dims(node: Node) -> Sequence[TensorType | None]:
    _, heads, length, _ = node.required(2).shape
    offsets = node.input(6)
    batch = offsets.shape[0] if offsets else node.x.shape[0]
    return [(node.x.dtype, (batch, heads, length, length))]


@formula("Y = (σ(u)·(σ(r)·a − 1) + 2)·bias, u, r = sums of halves of (Q + b)·W + c", macs="in·D",
         flops="2·macs − sums, + in + 2·sums + 12·rows + out", shapes=_bias_dims)  # fmt: skip
def gated_relative_position_bias(node: Node) -> Work:
    """W of head size × D; rows for each token and head."""
    size, width = node.required(3).shape
    rows = node.x.size // size if size else 0
    gates = 2 * SIGMOID + 2 * MUL + 2 * ADD
    sums = Work(adds=rows * max(0, width - 2), bias_adds=rows * width)
    return Work(adds=node.x.size) + dot_products(rows * width, size) + sums + rows * gates + Work(muls=node.out.size)


TABLE: FormulaTable = {
    "com.microsoft.GatedDeltaNet": gated_delta_net,
    "com.microsoft.EngramGate": engram_gate,
    "com.microsoft.HyperConnectionPreMix": hyper_connection_pre_mix,
    "com.microsoft.HyperConnectionPostMix": hyper_connection_post_mix,
    "com.microsoft.HyperConnectionLowRankMix": low_rank_mix,
    "com.microsoft.GatedRelativePositionBias": gated_relative_position_bias,
}
