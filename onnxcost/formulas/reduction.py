"""Reductions, from the sizes of input and output alone, and pooling. Page of X: https://onnx.ai/onnx/operators/onnx__X.html.

``in − out`` operations combine the elements: n − 1 for the n elements of each output. An empty reduction is no work. Every
window of a pooling is counted in full, including positions in the padding: k is the number of kernel elements.
"""

from __future__ import annotations

from math import prod

from onnxcost.formulas.shapes import element, elements
from onnxcost.formulas.table import Formula, FormulaTable, no_arithmetic
from onnxcost.graph import NO_WORK, Node, Tensor, Work


def slices(tensor: Tensor, axes: tuple[int, ...]) -> int:
    """The number of slices along ``axes`` of the tensor; 0 if it has no elements."""
    length = prod(tensor.shape[axis] for axis in axes)
    return tensor.size // length if length else 0


def rows_in(tensor: Tensor) -> int:
    """The number of vectors along the last axis of the tensor; 0 if it has no elements."""
    return slices(tensor, (-1,))


def reduction_work(elements: int, outputs: int, join: Work, each: Work = NO_WORK, end: Work = NO_WORK) -> Work:
    """``each`` on every element, ``join`` between them, ``end`` on every output."""
    return elements * each + max(0, elements - outputs) * join + outputs * end


def reduction(maths: str, flops: str, join: Work, each: Work = NO_WORK, end: Work = NO_WORK) -> Formula:
    """A row: the input reduced to the output, as ``reduction_work`` says."""
    return Formula(lambda node: reduction_work(node.x.size, node.out.size, join, each, end), maths, "0", flops)


ADD, MUL, DIV, COMPARE, FUNCTION, UNPACK = (
    Work(**{kind: 1}) for kind in ("adds", "muls", "divs", "compares", "transcendentals", "dequantizations")
)
"""One of each kind; UNPACK is one that dequantizes a weight."""


def _cumulative(maths: str, join: Work) -> Formula:
    def count(node: Node) -> Work:
        lines = slices(node.x, (element(node, 1, "the axis") if node.x.rank > 1 else 0,))
        outputs = node.x.size - (lines if node.attributes.get("exclusive") else 0)
        return max(0, outputs - lines) * join

    return Formula(count, maths, "0", "in − lines along the axis (− lines again if exclusive)")


def _window(maths: str, flops: str, join: Work, each: Work = NO_WORK, end: Work = NO_WORK) -> Formula:
    def count(node: Node) -> Work:
        elements = prod(node.attributes["kernel_shape"]) * node.out.size
        return reduction_work(elements, node.out.size, join, each, end)

    return Formula(count, maths, "0", flops)


_ARG_EXTREMUM = reduction("Y = index of the largest (smallest) X along the axis", "in − out", COMPARE)

# fmt: off
REDUCTIONS: FormulaTable = {
    "ReduceSum":       reduction("Y = Σ X", "in − out", ADD),
    "ReduceMean":      reduction("Y = (Σ X) / n", "in", ADD, end=DIV),
    "ReduceProd":      reduction("Y = Π X", "in − out", MUL),
    "ReduceMax":       reduction("Y = max X", "in − out", COMPARE),
    "ReduceMin":       reduction("Y = min X", "in − out", COMPARE),
    "ReduceL1":        reduction("Y = Σ |X|", "2·in − out", ADD, each=COMPARE),
    "ReduceL2":        reduction("Y = √(Σ X²)", "2·in", ADD, each=MUL, end=FUNCTION),
    "ReduceSumSquare": reduction("Y = Σ X²", "2·in − out", ADD, each=MUL),
    "ReduceLogSum":    reduction("Y = log Σ X", "in", ADD, end=FUNCTION),
    "ReduceLogSumExp": reduction("Y = m + log Σ exp(X − m), m = max X", "4·in", ADD + COMPARE, each=ADD + FUNCTION,
                               end=ADD + FUNCTION),
    "ArgMax":          _ARG_EXTREMUM,
    "ArgMin":          _ARG_EXTREMUM,
    "CumSum":          _cumulative("Y_i = X_0 + … + X_i along the axis", ADD),
    "CumProd":         _cumulative("Y_i = X_0 · … · X_i along the axis", MUL),
}

POOLING: FormulaTable = {
    "MaxPool":           _window("Y = max of the window", "(k−1)·out", COMPARE),
    "AveragePool":       _window("Y = (Σ window) / k", "k·out", ADD, end=DIV),
    "LpPool":            _window("Y = (Σ |window|^p)^(1/p)", "3k·out", ADD, each=COMPARE + FUNCTION, end=FUNCTION),
    "MaxUnpool":         no_arithmetic("Y = X where its indices say, else 0", shapes=lambda node: [
                             (node.x.dtype, elements(node, 2, "the output's dims"))]),
    "GlobalMaxPool":     reduction("Y = max X over the space", "in − out", COMPARE),
    "GlobalAveragePool": reduction("Y = (Σ X) / n over the space", "in", ADD, end=DIV),
    "GlobalLpPool":      reduction("Y = (Σ |X|^p)^(1/p) over the space", "3·in", ADD, each=COMPARE + FUNCTION, end=FUNCTION),
}
# fmt: on

TABLE: FormulaTable = {**REDUCTIONS, **POOLING}
