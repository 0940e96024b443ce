"""Random numbers. The bits themselves are not counted: what makes them is the generator's choice.

A uniform number is its bits scaled and shifted, 2 operations. A normal one is half a pair by Box and Muller, from a uniform
one each: √(−2·log u₁)·cos(2π·u₂) and √(−2·log u₁)·sin(2π·u₂) are 4 transcendentals and 4 multiplications (−2·log u₁ and
2π·u₂ among them). Page of X: https://onnx.ai/onnx/operators/onnx__X.html.
"""

from __future__ import annotations

from onnxcost.formulas.reduction import ADD, COMPARE, FUNCTION, MUL, reduced
from onnxcost.formulas.signal import ceil_log2
from onnxcost.formulas.table import Formula, FormulaTable, formula
from onnxcost.graph import Node
from onnxcost.work import NO_WORK, Work

UNIFORM = MUL + ADD
NORMAL = UNIFORM + 2 * FUNCTION + 2 * MUL


@formula("Y = samples of the classes, of log probabilities X", flops="4·in − rows + samples·(2 + ⌈log₂ classes⌉)")
def multinomial(node: Node) -> Work:
    """Running sums of exp(X − max X) in each row, and for each sample a uniform number up to their last, found in them by
    bisection: https://onnx.ai/onnx/operators/onnx__Multinomial.html
    """
    rows, classes = node.x.shape
    sums = reduced(node.x.size, rows, COMPARE + ADD, each=ADD + FUNCTION)
    return sums + node.out.size * (UNIFORM + ceil_log2(classes) * COMPARE)


@formula("Y = X in inference; X·mask·scale in training", flops="0 (4·out in training: a random number, its test, the scale)")
def dropout(node: Node) -> Work:
    """Training is where input 2 says so, since opset 12: https://onnx.ai/onnx/operators/onnx__Dropout.html."""
    training = node.input(2)
    is_training = training is not None and bool(training.value and training.value[0])
    return node.out.size * (UNIFORM + COMPARE + MUL) if is_training else NO_WORK


def _generator(maths: str, each: Work, words: str) -> Formula:
    return Formula(lambda node: node.out.size * each, maths, "0", words)


_UNIFORM = _generator("Y = low + (high − low)·u", UNIFORM, "2·out")
_NORMAL = _generator("Y = mean + scale·√(−2·log u₁)·cos(2π·u₂)", NORMAL + MUL + ADD, "8·out")

TABLE: FormulaTable = {
    **dict.fromkeys(("RandomUniform", "RandomUniformLike"), _UNIFORM),
    **dict.fromkeys(("RandomNormal", "RandomNormalLike"), _NORMAL),
    "Bernoulli": _generator("Y = 1 where a random number < X", UNIFORM + COMPARE, "3·out"),
    "Multinomial": multinomial,
    "Dropout": dropout,
}
