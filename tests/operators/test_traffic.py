"""Bytes read and written, one row a rule."""

from __future__ import annotations

import pytest

from onnxcost.errors import UnknownShape
from onnxcost.graph import Node
from onnxcost.operators.traffic import Traffic, traffic
from tests.graphs import node, tensor

X, Y = tensor("x", 2, 3), tensor("y", 2, 3)  # 24 bytes each
TABLE, IDS = tensor("t", 1000, 4, constant=True), tensor("i", 5, dtype="int64")

TRAFFIC = {
    "inputs and outputs once": (node("Add", [X, X], [Y]), 48, 24),
    "absent inputs move nothing": (node("Clip", [X, None, tensor("max", dtype="float32")], [Y]), 28, 24),
    "weights are read": (node("MatMul", [X, tensor("w", 3, 3, constant=True)], [Y]), 60, 24),
    "4-bit weights are packed": (node("MatMul", [X, tensor("w", 3, 3, dtype="uint4", constant=True)], [Y]), 29, 24),
    "a view": (node("Reshape", [X, tensor("s", 1, dtype="int64")], [tensor("y", 6)]), 0, 0),
    "a shape": (node("Shape", [X], [tensor("y", 2, dtype="int64")]), 0, 0),
    "a constant": (node("Constant", [], [Y]), 0, 0),
    "an embedding reads what it picks": (node("Gather", [TABLE, IDS], [tensor("y", 5, 4)]), 80 + 40, 80),
    "a slice reads what it picks": (node("Slice", [X, tensor("b", 1, dtype="int64")], [tensor("y", 1, 3)]), 12 + 8, 12),
    "a split reads its input once": (node("Split", [X], [tensor("a", 1, 3), tensor("b", 1, 3)]), 24, 24),
}


@pytest.mark.parametrize(("made", "read", "write"), TRAFFIC.values(), ids=TRAFFIC.keys())
def test_traffic(made: Node, read: int, write: int) -> None:
    assert traffic(made) == Traffic(read, write)


def test_an_open_shape_has_no_traffic() -> None:
    with pytest.raises(UnknownShape, match="the shape of 'y' is not known"):
        traffic(node("Relu", [X], [tensor("y", None)]))


def test_traffic_adds_and_scales() -> None:
    assert (3 * Traffic(1, 2) + Traffic(10, 20)).total == 39
