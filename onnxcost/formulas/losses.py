"""Losses: the negative log likelihood of the target class. C classes lie along axis 1 of the scores.

Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from onnxcost.formulas.activation import log_softmax_work
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, MUL, reduced, slices
from onnxcost.formulas.table import FormulaTable, formula
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work


@formula("Y = mean of −w[t]·X[t], or their sum, or each", flops="(1 + 1 for weights)·targets + targets, + targets for weights")
def negative_log_likelihood(node: Node) -> Work:
    """A target ``ignore_index`` is a comparison with it, and weights of 0 or 1; a weighted mean is by the sum of the weights.

    https://onnx.ai/onnx/operators/onnx__NegativeLogLikelihoodLoss.html
    """
    targets, reduction = node.required(1).size, node.attributes.get("reduction", "mean")
    ignores = node.attributes.get("ignore_index") is not None
    weighted = ignores or node.input(2) is not None
    each = ADD + (COMPARE if ignores else NO_WORK) + (MUL if weighted else NO_WORK)
    sums = 0 if reduction == "none" else 2 if weighted and reduction == "mean" else 1
    mean = DIV if reduction == "mean" and targets else NO_WORK
    return targets * each + sums * reduced(targets, 1, ADD) + mean


@formula("Y = the negative log likelihood of log softmax X", flops="rows·(5C − 1) + as NegativeLogLikelihoodLoss")
def softmax_cross_entropy(node: Node) -> Work:
    """The logarithms of all classes, in rows along axis 1: https://onnx.ai/onnx/operators/onnx__SoftmaxCrossEntropyLoss.html."""
    return log_softmax_work(node.x.size, slices(node.x, (1,))) + negative_log_likelihood(node)


TABLE: FormulaTable = {
    "NegativeLogLikelihoodLoss": negative_log_likelihood,
    "SoftmaxCrossEntropyLoss": softmax_cross_entropy,
}
