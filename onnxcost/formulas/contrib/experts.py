"""Mixtures of experts: every token passes through ``k`` of them.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from onnxcost.formulas.activation import SIGMOID, softmax_work
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.activation import swiglu
from onnxcost.formulas.contrib.fused import ACTIVATIONS
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, UNPACK, reduction_work, rows_in
from onnxcost.formulas.table import FormulaTable, Types, formula, like_input, per_output
from onnxcost.graph import NO_WORK, Node, Tensor, Work

_SQUARED = per_output("Y = max(X, 0)²", compares=1, muls=1)
EXPERT_ACTIVATIONS = {
    **ACTIVATIONS,
    "identity": per_output("Y = X"),
    **dict.fromkeys(("relu2", "relu_squared"), _SQUARED),
    "geglu": per_output("Y = Gelu(G)·L by tanh", muls=5, adds=2, transcendentals=2),
}
SWIGLU = Work(muls=3, adds=3, transcendentals=1, divs=1)
"""G·σ(α·G)·(L + β), per element."""


class ExpertInputs(NamedTuple):
    """Where an operator of the MoE family has fc1, fc2 and fc3 among its inputs, their biases, and a router's weights."""

    weights: tuple[int, int, int]
    biases: tuple[int, ...] = ()
    router: int | None = None


def _pick_work(picks: int, among: int) -> Work:
    """Finding the largest of ``among`` values, ``picks`` times."""
    return picks * max(0, among - 1) * COMPARE


def _routing_work(node: Node, tokens: int, chosen: int, router: int | None) -> Work:
    """Softmax over the experts unless a router gives weights, the ``k`` largest, and their weights normalized to a sum of 1."""
    experts = node.required(1).shape[-1]
    is_weighted = router is not None and node.input(router) is not None
    scored = NO_WORK if is_weighted else softmax_work(tokens * experts, tokens)
    normalized = reduction_work(chosen, tokens, ADD, each=DIV) if node.attributes.get("normalize_routing_weights") else NO_WORK
    return scored + _pick_work(chosen, experts) + normalized


def _activation_work(node: Node, elements: int, name: str) -> Work:
    if name == "swiglu":
        clamped = 3 * COMPARE if node.attributes.get("swiglu_limit") is not None else NO_WORK
        return elements * (SWIGLU + clamped)
    return EXPERT_ACTIVATIONS[name](Node("", "", "", (), (Tensor("", node.x.dtype, (elements,)),)))


def experts(node: Node, places: ExpertInputs) -> Work:
    """Two or three projections for each pair of a token and one of its experts; hidden → inner (twice if gated) → hidden."""
    weights, biases, router = places
    hidden, tokens = node.x.shape[-1], rows_in(node.x)
    chosen: int = tokens * min(node.attributes.get("k", 1), node.required(1).shape[-1])
    wide = node.required(weights[0]).shape[1]
    name, gated = node.attributes.get("activation_type", "relu"), node.input(weights[2]) is not None
    inner = wide // 2 if node.attributes.get("swiglu_fusion") else wide
    products = (1 + gated) * dot_products(chosen * wide, hidden) + dot_products(chosen * hidden, inner)
    widths = (wide, hidden, wide)
    bias = sum(chosen * width for width, place in zip(widths, biases, strict=False) if node.input(place))
    gate = chosen * inner * MUL if gated and name != "swiglu" else NO_WORK
    mixed = chosen * hidden * MUL + (chosen - tokens) * hidden * ADD
    activated = _activation_work(node, chosen * inner, name)
    return products + Work(bias_adds=bias) + activated + gate + mixed + _routing_work(node, tokens, chosen, router)


@formula("Y = Σ weight·fc2(activation(fc1(X))·fc3(X)) over the k experts of a token", macs="tokens·k·hidden·inner·(2 or 3)",
         flops="2·macs − sums, + biases, + activations, + 2·tokens·k·hidden, + the routing", shapes=like_input)  # fmt: skip
def moe(node: Node) -> Work:
    """Experts that a token is not routed to do no work for it, though their weights are stored."""
    return experts(node, ExpertInputs((2, 4, 6), (3, 5, 7)))


@formula("As MoE, with quantized weights", macs="tokens·k·hidden·inner·(2 or 3)",
         flops="MoE; also 2 dequantizations per weight of the experts that are used (FP: 1)", shapes=like_input)  # fmt: skip
def quantized_moe(node: Node) -> Work:
    """(q − q₀)·scale of each weight of an expert once per run, for the most experts that the tokens can choose."""
    hidden: int = node.x.shape[-1]
    used: int = min(node.required(1).shape[-1], rows_in(node.x) * node.attributes.get("k", 1))
    wide = node.required(2).shape[1]
    inner = wide // 2 if node.attributes.get("swiglu_fusion") else wide
    weights = hidden * wide * (2 if node.input(8) else 1) + inner * hidden
    dequantize = 2 if node.attributes.get("quant_type", "int") == "int" else 1
    return experts(node, ExpertInputs((2, 5, 8), (4, 7, 10), 14)) + used * weights * dequantize * UNPACK


def _scores(node: Node) -> tuple[int, int]:
    """Tokens and experts that MoEGroupRouter scores."""
    count = node.required(1).shape[0]
    return (node.x.shape[0] if node.input(2) else node.x.size // count), count


def _selection(node: Node, count: int) -> Work:
    """Of a token's groups those whose best experts have the largest sums, unless all are taken; the logarithms of their best
    experts' scores.
    """
    read = node.attributes
    groups: int = read.get("n_group", 1)
    kept: int = min(read.get("topk_group", 1), groups)
    size = count // groups
    best: int = min(read.get("group_topk", 2), size)
    chosen: int = min(read["top_k"], kept * size)
    ranked = groups * (_pick_work(best, size) + (best - 1) * ADD) + _pick_work(kept, groups) if kept < groups else NO_WORK
    return ranked + _pick_work(chosen, kept * size) + chosen * (COMPARE + FUNCTION)


@formula("Y = log s of the top_k experts of the best groups by s + bias, s = σ(X) or σ(X·W)", macs="scores·width with W",
         flops="2·macs − scores, + 5·scores, + the selection",
         shapes=lambda node: [(dtype, _scores(node)) for dtype in (node.x.dtype, "float32", "float32")])  # fmt: skip
def group_router(node: Node) -> Work:
    """A score for each token and expert. If all of them are outputs, nothing is selected."""
    tokens, count = _scores(node)
    projected = dot_products(tokens * count, node.x.shape[-1]) if node.input(2) else NO_WORK
    selected = tokens * _selection(node, count) if node.outputs[0] else NO_WORK
    return projected + tokens * count * (SIGMOID + ADD) + selected


def _split_types(node: Node) -> Types:
    columns, router = node.required(1).shape[1], node.attributes["router_size"]
    return [(node.x.dtype, (*node.x.shape[:-1], width)) for width in (router, (columns - router) // 2)]


@formula("router, G, U = X·W, activated = SwiGLU(G, U)", macs="rows·K·(router_size + 2·inner)",
         flops="2·macs − sums, + SwiGLU", shapes=_split_types)  # fmt: skip
def router_gate_up(node: Node) -> Work:
    """The router's logits and the shared expert's first projection in one."""
    router, activated = (Tensor("", *each) for each in _split_types(node) if each)
    projected = dot_products(router.size + 2 * activated.size, node.x.shape[-1])
    return projected + swiglu(replace(node, outputs=(activated,)))


TABLE: FormulaTable = {
    "com.microsoft.MoE": moe,
    "com.microsoft.QMoE": quantized_moe,
    "com.microsoft.MoEGroupRouter": group_router,
    "com.microsoft.RouterGateUpProj": router_gate_up,
}
