"""What an Einsum does in onnxruntime, by hand from its source, and its products against numpy's count of indices."""

from __future__ import annotations

from math import prod

import numpy as np
import pytest

from onnxcost.graph import Node, Tensor
from onnxcost.ort_optimizer.einsum import einsum_nodes
from onnxcost.ort_optimizer.fused_node import axes_of

Shapes = tuple[tuple[int, ...], ...]


def parts(equation: str, shapes: Shapes) -> list[Node]:
    inputs = tuple(Tensor(f"x{place}", "float32", shape) for place, shape in enumerate(shapes))
    return list(einsum_nodes(Node("e", "Einsum", "", inputs, (Tensor("y", "float32", None),), {"equation": equation})))


def described(node: Node) -> tuple[object, ...]:
    if node.op_type == "Transpose":
        return ("Transpose", node.x.shape, tuple(node.attributes["perm"]))
    if node.op_type == "ReduceSum":
        return ("ReduceSum", node.x.shape, tuple(axes_of(node)))
    return (node.op_type, *(tensor.shape for tensor in node.inputs if tensor is not None))


@pytest.mark.parametrize(
    ("equation", "shapes", "expected"),
    [
        # All in order: only the second operand is copied, since its dim of 1 for i moves behind j.
        ("ij,jk->ik", ((4, 3), (3, 5)), [("Expand", (1, 3, 5)), ("MatMul", (1, 4, 3), (1, 3, 5)), ("Expand", (4, 5))]),
        # The second operand has its labels in another order than they occur in.
        ("ij,kj->ik", ((4, 3), (5, 3)), [
            ("Transpose", (5, 3), (1, 0)), ("Expand", (1, 3, 5)), ("MatMul", (1, 4, 3), (1, 3, 5)), ("Expand", (4, 5)),
        ]),
        # Relative positions: l is in both and in the output, so it comes first.
        ("bhld,lrd->bhlr", ((2, 3, 4, 5), (4, 6, 5)), [
            ("Transpose", (4, 6, 5), (0, 2, 1)), ("Transpose", (2, 3, 4, 5, 1), (2, 0, 1, 3, 4)),
            ("Expand", (1, 1, 4, 5, 6)), ("MatMul", (4, 6, 5), (4, 5, 6)), ("Transpose", (4, 2, 3, 6), (1, 2, 0, 3)),
            ("Expand", (2, 3, 4, 6)),
        ]),
        # One operand: a transpose, a sum, a diagonal's dims once.
        ("ij->ji", ((4, 3),), [("Transpose", (4, 3), (1, 0)), ("Expand", (3, 4))]),
        ("ijk->ik", ((4, 3, 2),), [("ReduceSum", (4, 3, 2), (1,)), ("Expand", (4, 2))]),
        ("ij->ij", ((4, 3),), [("Expand", (4, 3))]),
        # What only one operand has is summed before the product.
        ("ij,k->i", ((4, 3), (5,)), [
            ("ReduceSum", (4, 3, 1), (1,)), ("ReduceSum", (1, 1, 5), (2,)), ("Expand", (4, 1, 1)),
            ("MatMul", (1, 4, 1), (1, 1, 1)), ("Expand", (4,)),
        ]),
    ],
)  # fmt: skip
def test_the_nodes_of_an_einsum(equation: str, shapes: Shapes, expected: list[tuple[object, ...]]) -> None:
    assert [described(node) for node in parts(equation, shapes)] == expected


@pytest.mark.parametrize(
    ("equation", "shapes"),
    [
        ("bhid,bhjd->bhij", ((2, 3, 4, 5), (2, 3, 6, 5))),
        ("bhij,bjhd->bihd", ((2, 3, 4, 6), (2, 6, 3, 5))),
        ("nctv,kvw->nktw", ((2, 3, 4, 5), (6, 5, 7))),
        ("ij,jk,kl->il", ((2, 3), (3, 4), (4, 5))),
        ("...ij,...jk->...ik", ((2, 3, 4), (2, 4, 5))),
        ("i,j->ij", ((3,), (4,))),
        ("bij,bjk,bkl->lbi", ((2, 3, 4), (2, 4, 5), (2, 5, 6))),
    ],
)
def test_the_products_give_the_output(equation: str, shapes: Shapes) -> None:
    """As many elements as numpy's result has, from products of matrices that fit each other."""
    nodes = parts(equation, shapes)
    expected = np.einsum(equation, *(np.ones(shape) for shape in shapes)).shape
    assert nodes[-1].out.shape == expected
    products = [node for node in nodes if node.op_type == "MatMul"]
    assert len(products) == len(shapes) - 1
    assert prod(products[-1].out.shape) == prod(expected)
    for node in products:
        left, right = node.x.shape, node.required(1).shape
        assert (left[0], left[2]) == right[:2]
        assert node.out.shape == (left[0], left[1], right[2])
