"""Small graphs, built by hand."""

from __future__ import annotations

from typing import Any

from onnxcost.graph import Graph, Node, Tensor


def tensor(name: str, *dims: int | str | None, dtype: str = "float32", constant: bool = False) -> Tensor:
    return Tensor(name, dtype, dims, constant)


def node(op_type: str, inputs: list[Tensor | None], outputs: list[Tensor | None], **attributes: Any) -> Node:
    domain, _, name = op_type.rpartition(".")
    made = next((output.name for output in outputs if output is not None), "")
    return Node(f"make_{made}", name, domain, tuple(inputs), tuple(outputs), attributes)


def graph(inputs: list[Tensor], outputs: list[Tensor], *nodes: Node) -> Graph:
    constants = {t.name: t for n in nodes for t in n.inputs if t is not None and t.is_constant}
    return Graph("g", tuple(inputs), tuple(outputs), nodes, constants)
