"""A node of onnxruntime's domains as a row of a test table: operator, inputs, outputs, attributes and its work, by hand."""

from __future__ import annotations

from typing import Any

import numpy as np

from onnxcost.formulas import FORMULAS
from onnxcost.graph import Node, Tensor, Work

Row = tuple[str, list[Any], list[Any], dict[str, Any], Work | None]
MS = "com.microsoft."


def tensor(name: str, each: Any) -> Tensor | None:
    """A tuple is a shape of float32, an array a constant, None absent."""
    if each is None:
        return None
    if isinstance(each, tuple):
        return Tensor(name, "float32", each)
    return Tensor(name, str(each.dtype), each.shape, True, tuple(each.ravel().tolist()))


def u8(*dims: int) -> np.ndarray:
    return np.zeros(dims, np.uint8)


def i32(*values: int) -> np.ndarray:
    return np.array(values, np.int32)


def node_of(row: Row) -> Node:
    key, inputs, outputs, attributes, _ = row
    domain, _, op_type = key.rpartition(".")
    ins = tuple(tensor(f"x{index}", each) for index, each in enumerate(inputs))
    return Node(op_type, op_type, domain, ins, tuple(tensor(f"y{i}", each) for i, each in enumerate(outputs)), attributes)


def check(row: Row) -> None:
    """The formula's work is the row's."""
    assert FORMULAS[row[0]](node_of(row)) == row[4]


def label(row: Row) -> str:
    return f"{row[0]} {' '.join(f'{k}={v}' for k, v in row[3].items())}"
