"""Linear models and support vector machines of ai.onnx.ml, on N rows of F features.

Page of X: https://onnx.ai/onnx/operators/onnx_aionnxml_X.html.
"""

from __future__ import annotations

from collections.abc import Sequence

from onnxcost.formulas.activation import SIGMOID, softmax_work
from onnxcost.formulas.contraction import dot_products
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL
from onnxcost.formulas.table import FormulaTable, TensorType, formula
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work

PROBIT = 7 * ADD + 7 * MUL + 3 * FUNCTION + 2 * COMPARE
"""√2·erf⁻¹(2p − 1) by Winitzki's approximation, as the reference evaluator has it: with x = 2p − 1 and l = log((1 − x)(1 + x)),
v = 2/(0.147·π) + ½·l, it is √2·sign(x)·√(−v + √(v² − l/0.147)); x = 0 and its sign are asked for."""


def transformed(rows: int, columns: int, transform: str | None) -> Work:
    """What ``post_transform`` does to the scores.

    SOFTMAX_ZERO asks of each whether it is close to 0, from two sides, which then counts as exp(−max), and whether all were.
    """
    elements = rows * columns
    softmax = softmax_work(elements, rows if columns else 0)
    zeros = elements * 2 * COMPARE + rows * (ADD + FUNCTION + COMPARE)
    work = {"SOFTMAX": softmax, "SOFTMAX_ZERO": softmax + zeros}
    each = {"LOGISTIC": SIGMOID, "PROBIT": PROBIT}
    return work.get(transform or "NONE") or elements * each.get(transform or "NONE", NO_WORK)


def rows_of(node: Node) -> tuple[int, int]:
    """N and F; one row where X is a vector."""
    *outer, features = node.x.shape
    return (outer[0] if outer else 1), features


def scores(columns: int, rows: int) -> tuple[str, tuple[int, ...]]:
    """The type of the scores."""
    return "float32", (rows, columns)


def classes_of(node: Node) -> int:
    """The labels, under whichever name the operator gives them."""
    lists = (node.attributes.get(f"classlabels_{kind}") for kind in ("ints", "int64s", "strings"))
    return max((len(labels) for labels in lists if labels), default=0)


def labels_of(node: Node, rows: int) -> tuple[str, tuple[int, ...]]:
    """The type of the labels of a classifier."""
    return "string" if node.attributes.get("classlabels_strings") else "int64", (rows,)


def best_class(rows: int, classes: int) -> Work:
    """The largest score, or whether the only one is large enough."""
    return rows * max(1, classes - 1) * COMPARE


def _targets(node: Node) -> Sequence[TensorType]:
    return (scores(int(node.attributes.get("targets", 1)), rows_of(node)[0]),)


@formula("Y = X·Cᵀ + b", macs="N·targets·F", flops="N·targets·(2F − 1), + N·targets for b, + post_transform", shapes=_targets)
def linear_regressor(node: Node) -> Work:
    """https://onnx.ai/onnx/operators/onnx_aionnxml_LinearRegressor.html."""
    rows, features = rows_of(node)
    targets = int(node.attributes.get("targets", 1))
    bias = Work(bias_adds=rows * targets if node.attributes.get("intercepts") else 0)
    return dot_products(rows * targets, features) + bias + transformed(rows, targets, node.attributes.get("post_transform"))


@formula("Z = X·Cᵀ + b, Y = argmax Z", macs="N·E·F", flops="N·E·(2F − 1), + N·E for b, + post_transform, + N·(classes − 1)")
def linear_classifier(node: Node) -> Work:
    """E rows of coefficients; the one of two classes is negated for the other.

    https://onnx.ai/onnx/operators/onnx_aionnxml_LinearClassifier.html
    """
    rows, features = rows_of(node)
    made = len(node.attributes["coefficients"]) // features if features else 0
    classes = max(classes_of(node), made)
    bias = Work(bias_adds=rows * made if node.attributes.get("intercepts") else 0)
    negated = rows * ADD if made == 1 and classes == 2 else NO_WORK
    shown = transformed(rows, classes, node.attributes.get("post_transform")) + best_class(rows, classes)
    return dot_products(rows * made, features) + bias + negated + shown


def kernels(count: int, features: int, kind: str) -> Work:
    """So many values of a kernel of two vectors: x·y, (γ·x·y + c)^d, tanh(γ·x·y + c) or exp(−γ·Σ (x − y)²)."""
    work = {
        "LINEAR": NO_WORK,
        "POLY": MUL + ADD + FUNCTION,
        "SIGMOID": MUL + ADD + FUNCTION,
        "RBF": features * ADD + MUL + FUNCTION,
    }
    return dot_products(count, features) + count * work[kind]


def _one_column(node: Node) -> Sequence[TensorType]:
    return (scores(1, rows_of(node)[0]),)


@formula("Y = Σ C_j·K(X, S_j) + ρ", macs="N·(S·F + S)", flops="2·macs − sums, + kernels, + N for ρ", shapes=_one_column)
def svm_regressor(node: Node) -> Work:
    """S support vectors, the kernel K of each; without any, X·C + ρ. A ``one_class`` is the sign of that.

    https://onnx.ai/onnx/operators/onnx_aionnxml_SVMRegressor.html
    """
    rows, features = rows_of(node)
    vectors = int(node.attributes.get("n_supports", 0))
    sides = rows * COMPARE if node.attributes.get("one_class") else NO_WORK
    shown = Work(bias_adds=rows) + sides + transformed(rows, 1, node.attributes.get("post_transform"))
    if not vectors:
        return dot_products(rows, features) + shown
    return kernels(rows * vectors, features, node.attributes.get("kernel_type", "LINEAR")) + dot_products(rows, vectors) + shown


def coupling(classes: int) -> Work:
    """The probabilities of the classes from those of their pairs: the iteration of Wu, Lin and Weng (2004), algorithm 2, to its
    limit of max(100, classes) rounds.

    Q (squares and products of the pairs) once; a round is Q·p and pᵀ·Q·p, the greatest error, and for each class: a difference
    and its quotient, pᵀ·Q·p anew (4 additions, 4 multiplications, 1 division), p and Q·p scaled (3·classes operations each).
    """
    squares = dot_products(classes, classes - 1) + classes * (classes - 1) * MUL
    error = classes * (ADD + 2 * COMPARE)
    each = (ADD + DIV) + (4 * ADD + 4 * MUL + DIV) + classes * (MUL + ADD + 2 * DIV)
    round_ = dot_products(classes, classes) + dot_products(1, classes) + error + classes * each
    return squares + max(100, classes) * round_


def _pairs(node: Node) -> int:
    classes = max(1, classes_of(node))
    return classes * (classes - 1) // 2


def _svm_columns(node: Node) -> int:
    """Scores a row: classes where there are probabilities or no support vectors, else pairs; two for the only pair."""
    classes, has_vectors = max(1, classes_of(node)), any(node.attributes.get("vectors_per_class") or ())
    if not has_vectors or node.attributes.get("prob_a"):
        return classes
    return max(2, _pairs(node)) if classes > 1 else 1


def _svm_types(node: Node) -> Sequence[TensorType]:
    rows, _ = rows_of(node)
    return labels_of(node, rows), scores(_svm_columns(node), rows)


@formula("Z = Σ C_j·K(X, S_j) + ρ for each pair of classes, Y = the class of most votes", macs="N·(S·F + (classes − 1)·S)",
         flops="2·macs − sums, + kernels, + N·pairs·3, + probabilities", shapes=_svm_types,
         at_most=lambda node: bool(node.attributes.get("prob_a")))  # fmt: skip
def svm_classifier(node: Node) -> Work:
    """S support vectors, the kernel K of each once; a pair of classes sums those of its two, adds ρ and gives a vote. Without
    any, X·C + ρ for each class. Probabilities are σ(A·z + B) of the pairs, kept from 0 and 1, and their coupling (an upper
    bound).

    https://onnx.ai/onnx/operators/onnx_aionnxml_SVMClassifier.html
    """
    rows, features = rows_of(node)
    classes, pairs = max(1, classes_of(node)), _pairs(node)
    vectors = sum(node.attributes.get("vectors_per_class") or ())
    shown = transformed(rows, _svm_columns(node), node.attributes.get("post_transform")) + best_class(rows, classes)
    if not vectors:
        return dot_products(rows * classes, features) + Work(bias_adds=rows * classes) + shown
    values = kernels(rows * vectors, features, node.attributes.get("kernel_type", "LINEAR"))
    sums = Work(macs=rows * (classes - 1) * vectors, accumulators=rows * pairs, bias_adds=rows * pairs)
    votes = rows * pairs * (COMPARE + ADD)
    probability = pairs * (MUL + ADD + SIGMOID + 2 * ADD + 2 * COMPARE) + coupling(classes)
    return values + sums + votes + (rows * probability if node.attributes.get("prob_a") else NO_WORK) + shown


TABLE: FormulaTable = {
    "ai.onnx.ml.LinearRegressor": linear_regressor,
    "ai.onnx.ml.LinearClassifier": linear_classifier,
    "ai.onnx.ml.SVMRegressor": svm_regressor,
    "ai.onnx.ml.SVMClassifier": svm_classifier,
}
