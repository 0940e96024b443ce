"""One step of an optimizer. Inputs are the learning rate R, the count of steps T, and then groups of tensors: the weights X,
their gradients G and the state that the optimizer keeps for them. The regularized gradient is g = norm·X + G.

Losses are of scores whose C classes lie along axis 1. Page of an optimizer X:
https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_X.html, of a loss: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from onnxcost.formulas.activation import log_softmax_work
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, MUL, reduction_work, slices
from onnxcost.formulas.table import Formula, FormulaTable, TensorType, formula
from onnxcost.graph import NO_WORK, Node, Tensor, Work

DOMAIN = "ai.onnx.preview.training"


def _groups(node: Node, count: int) -> list[tuple[Tensor, ...]]:
    """The tensors after R and T, in ``count`` groups of equal length: the weights first, the gradients second."""
    tensors = [tensor for tensor in node.inputs[2:] if tensor is not None]
    length = len(tensors) // count
    return [tuple(tensors[start : start + length]) for start in range(0, count * length, length)]


def _optimizer(maths: str, flops: str, groups: int, each: Work, once: Work) -> Formula:
    """``each`` on every weight, ``once`` on the learning rate; ``groups`` of tensors, all but the gradients being updated."""

    def count(node: Node) -> Work:
        return sum(tensor.size for tensor in _groups(node, groups)[0]) * each + once

    def shapes(node: Node) -> list[TensorType]:
        weights, _, *remembered = _groups(node, groups)
        return [(tensor.dtype, tensor.shape) for group in (weights, *remembered) for tensor in group]

    return Formula(count, maths, "0", flops, shapes)


GRADIENT = MUL + ADD
ADAGRAD = GRADIENT + (MUL + ADD) + (FUNCTION + ADD) + (MUL + DIV + ADD)
ADAM = GRADIENT + (2 * MUL + ADD) + (3 * MUL + ADD) + (FUNCTION + ADD) + (MUL + DIV + ADD) + MUL
STANDARD = GRADIENT + (2 * MUL + ADD) + (MUL + ADD)
NESTEROV = STANDARD + (MUL + ADD)

_STANDARD, _NESTEROV = (_optimizer("", "", 3, each, COMPARE) for each in (STANDARD, NESTEROV))


@formula(
    "V' = α·V + β·g, X' = X − R·V' (nesterov: X − R·(g + α·V'))",
    flops="7·X (nesterov: 9·X), + 1 for T > 0",
    shapes=_STANDARD.shapes,
)
def momentum(node: Node) -> Work:
    """β is 1 at the first step: https://onnx.ai/onnx/operators/onnx_aionnxpreviewtraining_Momentum.html."""
    return (_NESTEROV if node.attributes.get("mode") == "nesterov" else _STANDARD)(node)


TABLE: FormulaTable = {
    f"{DOMAIN}.Adagrad": _optimizer(
        "H' = H + g², X' = X − R/(1 + T·decay)·g / (√H' + ε)", "9·X + 3", 3, ADAGRAD, MUL + ADD + DIV
    ),
    f"{DOMAIN}.Adam": _optimizer(
        "V' = α·V + (1−α)·g, H' = β·H + (1−β)·g², X' = (1 − norm_post)·(X − R·√(1−β^T)/(1−α^T)·V' / (√H' + ε))", "15·X + 8",
        4, ADAM, COMPARE + 3 * FUNCTION + 2 * ADD + MUL + DIV,
    ),
    f"{DOMAIN}.Momentum": momentum,
}  # fmt: skip


@formula("Y = mean of −w[t]·X[t], or their sum, or each", flops="(1 + 1 for weights)·targets + targets, + targets for weights")
def negative_log_likelihood(node: Node) -> Work:
    """With ``ignore_index``, each target is compared with it and gets weight 0 or 1; a weighted mean divides by the sum of the
    weights.

    https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html
    """
    targets, reduction = node.required(1).size, node.attributes.get("reduction", "mean")
    ignores = node.attributes.get("ignore_index") is not None
    weighted = ignores or node.input(2) is not None
    each = ADD + (COMPARE if ignores else NO_WORK) + (MUL if weighted else NO_WORK)
    sums = 0 if reduction == "none" else 2 if weighted and reduction == "mean" else 1
    mean = DIV if reduction == "mean" and targets else NO_WORK
    return targets * each + sums * reduction_work(targets, 1, ADD) + mean


@formula("Y = the negative log likelihood of log softmax X", flops="rows·(5C − 1) + as NegativeLogLikelihoodLoss")
def softmax_cross_entropy(node: Node) -> Work:
    """The logarithms of all classes, in rows along axis 1: https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html."""
    return log_softmax_work(node.x.size, slices(node.x, (1,))) + negative_log_likelihood(node)


LOSSES: FormulaTable = {"NegativeLogLikelihoodLoss": negative_log_likelihood, "SoftmaxCrossEntropyLoss": softmax_cross_entropy}
