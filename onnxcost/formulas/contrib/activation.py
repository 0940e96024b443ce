"""onnxruntime's activations with their biases, gates and residuals fused in.

Page of com.microsoft.X: https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md#com.microsoft.X.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod

from onnxcost.formulas.activation import GELU, POINTWISE, softmax_work
from onnxcost.formulas.contrib.shapes import shaped_by
from onnxcost.formulas.reduction import ADD, COMPARE
from onnxcost.formulas.table import FormulaTable, TensorType, formula, like_input, no_arithmetic, per_output
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work

FAST_GELU = Work(muls=5, adds=2, transcendentals=1)
"""½x(1 + tanh(x·(c·x² + b))), an element: x², ·c, + b, ·x, tanh, + 1, ·½, ·x."""

SILU = Work(muls=1, adds=2, transcendentals=1, divs=1)
"""x·σ(x), an element."""


@formula("Y = FastGelu(X + bias)", flops="8·out, + out for the bias", shapes=like_input)
def fast_gelu(node: Node) -> Work:
    """½x(1 + tanh(0.797885x + 0.035677x³)) of x = X + bias."""
    return node.out.size * (FAST_GELU + (ADD if node.input(1) else Work()))


def _half(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, (*node.x.shape[:-1], node.x.shape[-1] // 2))]


@formula("Y = left·Gelu(right) of the halves of X + bias", flops="in + 6·out", shapes=_half)
def bias_split_gelu(node: Node) -> Work:
    """X of N × S × D is cut in two along its last axis after the bias is added."""
    return Work(adds=node.x.size, muls=node.out.size) + node.out.size * GELU["none"]


@formula("Y = softmax(X + bias) over the axes from axis on", flops="in + rows·(5n − 2)", shapes=like_input)
def bias_softmax(node: Node) -> Work:
    """Rows of n elements; the bias is broadcast along outer or inner dims, which costs nothing."""
    rows = prod(node.x.shape[: node.attributes.get("axis", 1) % node.x.rank])
    return Work(adds=node.x.size) + softmax_work(node.x.size, rows if node.x.size else 0)


def _with_mask(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, node.x.shape), ("bool", node.x.shape)]


def _with_bitmask(node: Node) -> Sequence[TensorType | None]:
    return [(node.x.dtype, node.x.shape), ("uint32", (-(-node.x.size // 32),))]


@formula("Y = X + bias + residual in inference", flops="out, + out for the residual", shapes=_with_mask)
def bias_dropout(node: Node) -> Work:
    """In training it drops elements at random as well; the mask is not counted."""
    return Work(adds=node.out.size * (2 if node.input(2) else 1))


def _gated(node: Node) -> Sequence[TensorType | None]:
    return like_input(node) if node.input(1) else _half(node)


@formula("Y = G·σ(α·G)·(L + β), G = min(A, limit), L = max(−limit, min(B, limit))",
         flops="6·out, + out for β, + 3·out for the limit", shapes=_gated)  # fmt: skip
def swiglu(node: Node) -> Work:
    """A and B are two inputs or the halves of one; β of 0 is not added, a limit of 0 is none."""
    shifted = ADD if node.attributes.get("activation_beta") else NO_WORK
    clamped = 3 * COMPARE if node.attributes.get("limit", 0) > 0 else NO_WORK
    return POINTWISE["SwiGLU"](node) + node.out.size * (shifted + clamped)


TABLE: FormulaTable = {f"com.microsoft.{name}": row for name, row in {
    "Gelu":               per_output("Y = ½X(1 + erf(X/√2))", shapes=like_input, muls=2, adds=1, divs=1, transcendentals=1),
    "BiasGelu":           per_output("Y = Gelu(X + bias)", shapes=like_input, muls=2, adds=2, divs=1, transcendentals=1),
    "FastGelu":           fast_gelu,
    "QuickGelu":          shaped_by(POINTWISE["Swish"], like_input),
    "ScaledSiLU":         per_output("Y = Z·σ(Z), Z = α·X", shapes=like_input, muls=2, adds=2, transcendentals=1, divs=1),
    "SwiGLU":             swiglu,
    "BiasSplitGelu":      bias_split_gelu,
    "BiasAdd":            per_output("Y = X + bias + skip", shapes=like_input, adds=2),
    "GatedAdd":           per_output("Y = A + B·gate", shapes=like_input, muls=1, adds=1),
    "BiasSoftmax":        bias_softmax,
    "BiasDropout":        bias_dropout,
    "BitmaskBiasDropout": replace(bias_dropout, shapes=_with_bitmask),
    "BitmaskDropout":     no_arithmetic("Y = X in inference", shapes=_with_bitmask),
}.items()}  # fmt: skip
