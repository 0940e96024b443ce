"""Recurrent layers: X of T×N×I (N×T×I with ``layout`` 1), W of D×G·H×I, R of D×G·H×H, for D directions and G gates.

Every sequence counts with all T steps, whatever ``sequence_lens`` says, and an initial state of zeros counts like any other.
The halves of B are added once if they are only used together.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import cycle
from typing import NamedTuple

from onnxcost.formulas.activation import SIGMOID
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import NO_WORK, Node, Work

ACTIVATIONS: Mapping[str, Work] = {
    "relu": COMPARE,
    "tanh": FUNCTION,
    "sigmoid": SIGMOID,
    "affine": MUL + ADD,
    "leakyrelu": COMPARE + MUL,
    "thresholdedrelu": COMPARE,
    "scaledtanh": 2 * MUL + FUNCTION,
    "hardsigmoid": MUL + ADD + 2 * COMPARE,
    "elu": COMPARE + MUL + ADD + FUNCTION,
    "softsign": COMPARE + ADD + DIV,
    "softplus": ADD + 2 * FUNCTION,
}
"""The work per element for each name that ``activations`` may hold, in lower case: it is not case-sensitive."""


class RecurrentSizes(NamedTuple):
    """``steps`` is T·N·H: the elements of one gate over all steps, in one direction."""

    steps: int
    inputs: int
    hidden: int
    directions: int


def _sizes(node: Node) -> RecurrentSizes:
    directions, _, hidden = node.required(2).shape
    *positions, inputs = node.x.shape
    return RecurrentSizes(positions[0] * positions[1] * hidden, inputs, hidden, directions)


def _activations(node: Node, default: tuple[str, ...], uses: tuple[int, ...]) -> Work:
    """The activations in all directions; ``uses`` says how often a step applies each of a direction's functions."""
    steps, _, _, directions = _sizes(node)
    names = node.attributes.get("activations")
    times = steps if names else steps * directions
    clip = 2 * COMPARE if node.attributes.get("clip") else NO_WORK
    in_order = zip((names or default)[: directions * len(uses)], cycle(uses), strict=False)
    return times * sum((use * (ACTIVATIONS[name.lower()] + clip) for name, use in in_order), NO_WORK)


def _gates(node: Node, count: int) -> Work:
    """The contractions X·Wᵀ + H·Rᵀ of ``count`` gates, and their biases Wb + Rb."""
    steps, inputs, hidden, directions = _sizes(node)
    biases = Work(bias_adds=count * steps, adds=count * hidden) if node.input(3) else NO_WORK
    return directions * (dot_products(count * steps, inputs + hidden) + biases)


@formula("H = tanh(X·Wᵀ + H·Rᵀ + B)", macs="D·T·N·H·(I + H)", flops="D·T·N·H·(2(I + H) − 1), + biases, + activations")
def rnn(node: Node) -> Work:
    """H_t = f(X_t·Wᵀ + H_(t−1)·Rᵀ + Wb + Rb): https://onnx.ai/onnx/operators/onnx__RNN.html."""
    return _gates(node, 1) + _activations(node, ("Tanh",), (1,))


def _reset_after(node: Node) -> Work:
    """GRU's h gate with ``linear_before_reset``: two sums that r keeps apart, and two biases."""
    steps, inputs, hidden, directions = _sizes(node)
    biases = Work(bias_adds=2 * steps if node.input(3) else 0)
    return directions * (dot_products(steps, inputs) + dot_products(steps, hidden) + steps * ADD + biases)


@formula("H = (1 − z)∘h + z∘H", macs="3·D·T·N·H·(I + H)", flops="D·T·N·H·(3·(2(I + H) − 1) + 5), + biases, + activations")
def gru(node: Node) -> Work:
    """z, r = σ(X·Wᵀ + H·Rᵀ + B) and h = tanh(X·Wᵀ + (r∘H)·Rᵀ + B).

    With ``linear_before_reset``, h = tanh(X·Wᵀ + Wb + r∘(H·Rᵀ + Rb)).
    https://onnx.ai/onnx/operators/onnx__GRU.html
    """
    contractions = _gates(node, 2) + _reset_after(node) if node.attributes.get("linear_before_reset") else _gates(node, 3)
    update = 2 * ADD + 3 * MUL
    return (
        contractions + _activations(node, ("Sigmoid", "Tanh"), (2, 1)) + _sizes(node).directions * _sizes(node).steps * update
    )


@formula(
    "C = f∘C + i∘c, H = o∘tanh(C)", macs="4·D·T·N·H·(I + H)", flops="D·T·N·H·(4·(2(I + H) − 1) + 4), + biases, + activations"
)
def lstm(node: Node) -> Work:
    """i, o, f = σ(X·Wᵀ + H·Rᵀ + P∘C + B) and c = tanh(X·Wᵀ + H·Rᵀ + B), P (input 7) where there are peepholes.

    https://onnx.ai/onnx/operators/onnx__LSTM.html
    """
    update = ADD + 3 * MUL + (3 * (ADD + MUL) if node.input(7) else NO_WORK)
    activations = _activations(node, ("Sigmoid", "Tanh", "Tanh"), (3, 1, 1))
    return _gates(node, 4) + activations + _sizes(node).directions * _sizes(node).steps * update


TABLE: FormulaTable = {"RNN": rnn, "GRU": gru, "LSTM": lstm}
