"""Pooling over windows of any rank. Page of X: https://onnx.ai/onnx/operators/onnx__X.html.

Every window counts in full, with the positions that lie in the padding: k is the number of kernel elements.
"""

from __future__ import annotations

from math import prod

from onnxcost.errors import UnknownShape
from onnxcost.formulas.reduction import ADD, COMPARE, DIV, FUNCTION, reduction, reduction_work
from onnxcost.formulas.table import Formula, FormulaTable, Types, no_arithmetic
from onnxcost.graph import NO_WORK, Node, Work


def _window(maths: str, flops: str, join: Work, each: Work = NO_WORK, end: Work = NO_WORK) -> Formula:
    def count(node: Node) -> Work:
        elements = prod(node.attributes["kernel_shape"]) * node.out.size
        return reduction_work(elements, node.out.size, join, each, end)

    return Formula(count, maths, "0", flops)


def _output_shape(node: Node) -> Types:
    """MaxUnpool's input 2, where it is given."""
    shape = node.required(2).value
    if shape is None:
        raise UnknownShape("output_shape is not known")
    return ((node.x.dtype, tuple(map(int, shape))),)


# fmt: off
TABLE: FormulaTable = {
    "MaxPool":           _window("Y = max of the window", "(k−1)·out", COMPARE),
    "AveragePool":       _window("Y = (Σ window) / k", "k·out", ADD, end=DIV),
    "LpPool":            _window("Y = (Σ |window|^p)^(1/p)", "3k·out", ADD, each=COMPARE + FUNCTION, end=FUNCTION),
    "MaxUnpool":         no_arithmetic("Y = X where its indices say, else 0", shapes=_output_shape),
    "GlobalMaxPool":     reduction("Y = max X over the space", "in − out", COMPARE),
    "GlobalAveragePool": reduction("Y = (Σ X) / n over the space", "in", ADD, end=DIV),
    "GlobalLpPool":      reduction("Y = (Σ |X|^p)^(1/p) over the space", "3·in", ADD, each=COMPARE + FUNCTION, end=FUNCTION),
}
