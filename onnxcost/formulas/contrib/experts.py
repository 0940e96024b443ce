"""Mixtures of experts: every token passes through ``k`` of them.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from onnxcost.formulas.activation import softmax_work
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.contrib.fused import ACTIVATIONS
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, MUL, reduced
from onnxcost.formulas.table import FormulaTable, formula, like_input, per_output
from onnxcost.graph import Node, Tensor
from onnxcost.work import NO_WORK, Work

_ACTIVATIONS = {**ACTIVATIONS, "identity": per_output("Y = X")}
SWIGLU = Work(muls=3, adds=3, transcendentals=1, divs=1)
"""G·σ(α·G)·(L + β), an element."""


def _routing(node: Node, tokens: int, chosen: int) -> Work:
    """Softmax over the experts, the ``k`` largest of them, and their weights made to sum to 1."""
    experts = node.required(1).shape[-1]
    picked = chosen // tokens if tokens else 0
    work = softmax_work(tokens * experts, tokens) + tokens * picked * max(0, experts - 1) * COMPARE
    return work + (reduced(chosen, tokens, ADD, each=DIV) if node.attributes.get("normalize_routing_weights") else NO_WORK)


def _activation(node: Node, elements: int, name: str, fused: bool) -> Work:
    if name == "swiglu" or fused:
        clamped = 3 * COMPARE if node.attributes.get("swiglu_limit") is not None else NO_WORK
        return elements * (SWIGLU + clamped)
    return _ACTIVATIONS[name](Node("", "", "", (), (Tensor("", node.x.dtype, (elements,)),)))


def experts(node: Node, weights: tuple[int, int, int], biases: tuple[int, int, int]) -> Work:
    """Two or three projections for each pair of a token and one of its experts; hidden → inner (twice if gated) → hidden.

    ``weights`` and ``biases`` are the places of fc1, fc2 and fc3 among the inputs.
    """
    hidden: int = node.x.shape[-1]
    tokens = node.x.size // hidden if hidden else 0
    chosen: int = tokens * min(node.attributes.get("k", 1), node.required(1).shape[-1])
    wide = node.required(weights[0]).shape[1]
    name, fused = node.attributes.get("activation_type", "relu"), bool(node.attributes.get("swiglu_fusion"))
    gated = node.input(weights[2]) is not None
    inner = wide // 2 if fused else wide
    products = (1 + gated) * dot_products(chosen * wide, hidden) + dot_products(chosen * hidden, inner)
    widths = (wide, hidden, wide)
    bias = sum(chosen * width for width, place in zip(widths, biases, strict=True) if node.input(place))
    gate = chosen * inner * MUL if gated and name != "swiglu" else NO_WORK
    mixed = chosen * hidden * MUL + (chosen - tokens) * hidden * ADD
    return (
        products
        + Work(bias_adds=bias)
        + _activation(node, chosen * inner, name, fused)
        + gate
        + mixed
        + _routing(node, tokens, chosen)
    )


@formula("Y = Σ weight·fc2(activation(fc1(X))·fc3(X)) over the k experts of a token", macs="tokens·k·hidden·inner·(2 or 3)",
         flops="2·macs − sums, + biases, + activations, + 2·tokens·k·hidden, + the routing", shapes=like_input)  # fmt: skip
def moe(node: Node) -> Work:
    """The experts that a token is not sent to do nothing for it, though their weights are stored."""
    return experts(node, (2, 4, 6), (3, 5, 7))


@formula("As MoE, with quantized weights", macs="tokens·k·hidden·inner·(2 or 3)",
         flops="MoE, + 2 a weight of the experts that are used (FP: 1)", shapes=like_input)  # fmt: skip
def quantized_moe(node: Node) -> Work:
    """(q − q₀)·scale of each weight of an expert once a run; of the experts as many as the tokens can choose at most."""
    hidden, all_experts = node.x.shape[-1], node.required(1).shape[-1]
    tokens = node.x.size // hidden if hidden else 0
    used: int = min(all_experts, tokens * node.attributes.get("k", 1))
    wide = node.required(2).shape[1]
    inner = wide // 2 if node.attributes.get("swiglu_fusion") else wide
    weights = hidden * wide * (2 if node.input(8) else 1) + inner * hidden
    dequantize = ADD + MUL if node.attributes.get("quant_type", "int") == "int" else MUL
    return experts(node, (2, 5, 8), (4, 7, 10)) + used * weights * dequantize


TABLE: FormulaTable = {"com.microsoft.MoE": moe, "com.microsoft.QMoE": quantized_moe}
