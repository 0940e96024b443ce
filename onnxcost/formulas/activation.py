"""Activations and the Softmax family. Page of X: https://onnx.ai/onnx/operators/onnx__X.html.

``σ(x) = 1 / (1 + exp(−x))``. Of two branches, one counts, and the comparison that selects it.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, reduction_work, slices
from onnxcost.formulas.table import Formula, FormulaTable, formula, per_output
from onnxcost.graph import Node, Work

GELU: Mapping[str, Work] = {
    "none": Work(muls=2, adds=1, divs=1, transcendentals=1),
    "tanh": Work(muls=4, adds=2, transcendentals=2),
}
"""½x(1 + erf(x/√2)), or ½x(1 + tanh(√(2/π)·(x + 0.044715·x³))), per element."""


@formula("Y = ½X(1 + erf(X/√2)), or its tanh approximation", flops="5·out (tanh: 8·out)")
def gelu(node: Node) -> Work:
    """Exact or with tanh, depending on ``approximate``: https://onnx.ai/onnx/operators/onnx__Gelu.html."""
    return node.out.size * GELU[node.attributes.get("approximate", "none")]


SIGMOID = 2 * ADD + FUNCTION + DIV
"""σ, per element: a negation, an exponential, an addition, a division."""


def softmax_work(elements: int, rows: int) -> Work:
    """exp(x − m) / Σ exp(x − m), m = max x, in each row."""
    return reduction_work(elements, rows, ADD + COMPARE, each=ADD + FUNCTION + DIV)


def log_softmax_work(elements: int, rows: int) -> Work:
    """x − m − log Σ exp(x − m), m = max x, in each row."""
    return reduction_work(elements, rows, ADD + COMPARE, each=2 * ADD + FUNCTION, end=FUNCTION)


@formula("Y = exp(X − m) / Σ exp(X − m), m = max X", flops="rows·(5n − 2)")
def softmax(node: Node) -> Work:
    """Each row, n long, over ``axes``: https://onnx.ai/onnx/operators/onnx__Softmax.html."""
    return softmax_work(node.x.size, slices(node.x, node.attributes["axes"]))


@formula("Y = X − m − log Σ exp(X − m), m = max X", flops="rows·(5n − 1)")
def log_softmax(node: Node) -> Work:
    """Each row, n long, over ``axes``: https://onnx.ai/onnx/operators/onnx__LogSoftmax.html."""
    return log_softmax_work(node.x.size, slices(node.x, node.attributes["axes"]))


@formula("Y = 1 at the first largest X, else 0", flops="rows·(n − 1)")
def hardmax(node: Node) -> Work:
    """Each row, n long, over ``axes``: https://onnx.ai/onnx/operators/onnx__Hardmax.html."""
    return reduction_work(node.x.size, slices(node.x, node.attributes["axes"]), COMPARE)


# fmt: off
POINTWISE: Mapping[str, Formula] = {
    "Relu":            per_output("Y = max(X, 0)", compares=1),
    "LeakyRelu":       per_output("Y = X if X ≥ 0, else α·X", compares=1, muls=1),
    "PRelu":           per_output("Y = X if X ≥ 0, else slope·X", compares=1, muls=1),
    "ThresholdedRelu": per_output("Y = X if X > α, else 0", compares=1),
    "Sigmoid":         per_output("Y = σ(X)", adds=2, transcendentals=1, divs=1),
    "HardSigmoid":     per_output("Y = max(0, min(1, α·X + β))", muls=1, adds=1, compares=2),
    "HardSwish":       per_output("Y = X·max(0, min(1, X/6 + ½))", muls=2, adds=1, compares=2),
    "Swish":           per_output("Y = X·σ(α·X)", muls=2, adds=1, transcendentals=1, divs=1),
    "SwiGLU":          per_output("Y = A·σ(α·A)·B", muls=3, adds=1, transcendentals=1, divs=1),
    "Mish":            per_output("Y = X·tanh(log(1 + exp(X)))", muls=1, adds=1, transcendentals=3),
    "Elu":             per_output("Y = X if X > 0, else α·(exp(X) − 1)", compares=1, muls=1, adds=1, transcendentals=1),
    "Selu":            per_output("Y = γ·Elu(X)", compares=1, muls=2, adds=1, transcendentals=1),
    "Celu":            per_output("Y = max(0, X) + min(0, α·(exp(X/α) − 1))", compares=2, muls=1, divs=1, adds=2,
                                  transcendentals=1),
    "Softplus":        per_output("Y = log(1 + exp(X))", adds=1, transcendentals=2),
    "Softsign":        per_output("Y = X / (1 + |X|)", compares=1, adds=1, divs=1),
    "Shrink":          per_output("Y = X − bias if X > λ, X + bias if X < −λ, else 0", compares=2, adds=1),
}
# fmt: on

TABLE: FormulaTable = {
    **POINTWISE, "Gelu": gelu, "Softmax": softmax, "LogSoftmax": log_softmax, "Hardmax": hardmax,
}  # fmt: skip
