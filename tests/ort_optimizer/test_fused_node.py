"""What a node reads that runs with others as its parts."""

from __future__ import annotations

import pytest

from onnxcost.ort_optimizer.fused_node import FusedNode
from tests.graphs import node, tensor

X, Y, R = (tensor(name, 1, 4, 8, 8) for name in "xyr")
W, B, C = tensor("w", 4, 4, 1, 1, constant=True), tensor("b", 4, constant=True), tensor("c", 4, 1, 1, constant=True)
CONV, PRODUCT = node("Conv", [X, W, B], [Y]), node("MatMul", [X, W], [Y])
SCALE, SUM, RELU = node("Mul", [Y, C], [Y]), node("Add", [Y, R], [Y]), node("Relu", [Y], [Y])

# the step, the operator that runs, what it reads
STEPS = {
    "alone": (FusedNode(CONV), "Conv", ["x", "w", "b"]),
    "with a constant of a part": (FusedNode(PRODUCT, (SCALE,)), "MatMul", ["x", "w", "c"]),
    "with a part that reads nothing else": (FusedNode(node("Relu", [X], [Y]), (RELU,)), "Relu", ["x"]),
    "a convolution with a sum": (FusedNode(CONV, (SUM,), (R,)), "FusedConv", ["x", "w", "b", "r"]),
    "a product with a sum": (FusedNode(PRODUCT, (), (R,)), "MatMul", ["x", "w", "r"]),
    "as another operator": (FusedNode(PRODUCT, kind="MatMulNBits"), "MatMulNBits", ["x", "w"]),
    "a convolution as another operator": (FusedNode(CONV, (), (R,), kind="QLinearConv"), "QLinearConv", ["x", "w", "b", "r"]),
}


@pytest.mark.parametrize(("step", "operator", "reads"), STEPS.values(), ids=STEPS.keys())
def test_one_node(step: FusedNode, operator: str, reads: list[str]) -> None:
    """Besides ``y``, which is inside."""
    made = step.as_node()
    assert (made.op_type, [read.name for read in made.inputs if read is not None and read != Y]) == (operator, reads)
