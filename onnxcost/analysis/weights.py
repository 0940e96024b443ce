"""Which constants are weights, and how many."""

from __future__ import annotations

from typing import NamedTuple

from onnxcost.errors import MISFITS
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.operators.inputs import InputRole, role_of

_STORED_AS_WEIGHTS = frozenset(
    {"float16", "bfloat16", "float32", "float64", "complex64", "complex128", "int8", "uint8", "int4", "uint4", "int2", "uint2"}
    | {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1"}
)


class Weights(NamedTuple):
    """The weights a node reads first: elements that are parameters, and those that are running statistics."""

    parameters: int = 0
    running_statistics: int = 0


NONE = Weights()


def weights_by_node(graph: Graph) -> tuple[Weights, ...]:
    """For each node the weights that no earlier node has read, so that shared ones count once."""
    seen: set[str] = set()
    return tuple(_first_read(node, graph, seen) for node in graph.nodes)


def _first_read(node: Node, graph: Graph, seen: set[str]) -> Weights:
    parameters = running_statistics = 0
    for index, tensor in enumerate(node.inputs):
        if tensor is None or tensor.name not in graph.constants or tensor.name in seen:
            continue
        role = role_of(node, index)
        if not _is_weight(tensor, role):
            continue
        seen.add(tensor.name)
        if role.name in ("mean", "variance"):
            running_statistics += tensor.size
        else:
            parameters += _weights_in(node, tensor, role)
    return Weights(parameters, running_statistics) if parameters or running_statistics else NONE


def _weights_in(node: Node, tensor: Tensor, role: InputRole) -> int:
    """How many weights a tensor holds: its elements, or more where an operator packs several into one."""
    try:
        return role.packed(node, tensor) if role.packed else tensor.size
    # A node that does not fit its operator is left with what is stored.
    except MISFITS:
        return tensor.size


def _is_weight(tensor: Tensor, role: InputRole) -> bool:
    if not tensor.is_shaped or role.steers:
        return False
    if tensor.dtype not in _STORED_AS_WEIGHTS:
        return tensor.dtype == "int32" and role.name in ("codes", "quantized bias")
    # A constant of one element is a factor, an exponent or an epsilon, except where the operator learns it.
    return tensor.size != 1 or role.is_learned
