"""Which constants are weights, and how many."""

from __future__ import annotations

from collections.abc import Mapping
from types import ModuleType
from typing import NamedTuple

from onnxcost.graph import Graph, Node, Tensor
from onnxcost.operators import inputs

_STORED_AS_WEIGHTS = frozenset(
    {"float16", "bfloat16", "float32", "float64", "complex64", "complex128", "int8", "uint8", "int4", "uint4", "int2", "uint2"}
    | {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1"}
)
# A constant of one element is a factor, an exponent or an epsilon, except where the operator learns it.
_LEARNS_SCALARS = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "PRelu", "LSTM", "GRU", "RNN", "QLinearConv", "ConvInteger", "MatMulInteger"}
    | {"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"}
)
_RUNNING_STATISTICS: Mapping[str, frozenset[int]] = {"BatchNormalization": frozenset({3, 4})}


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
        if tensor is None or tensor.name not in graph.constants or tensor.name in seen or not _is_weight(node, index, tensor):
            continue
        seen.add(tensor.name)
        if index in _RUNNING_STATISTICS.get(node.key, ()):
            running_statistics += _weights_in(node, index, tensor)
        else:
            parameters += _weights_in(node, index, tensor)
    return Weights(parameters, running_statistics) if parameters or running_statistics else NONE


def _roles(node: Node) -> ModuleType:
    """The tables of what inputs hold. Those of onnxruntime's operators are imported when one occurs."""
    if node.domain.startswith("com.microsoft"):
        from onnxcost.operators import contrib_inputs as own

        return own
    return inputs


def _weights_in(node: Node, index: int, tensor: Tensor) -> int:
    """How many weights a tensor holds: its elements, or more where an operator packs several into one."""
    packed = _roles(node).WEIGHTS.get(node.key, {}).get(index)
    try:
        return packed(node, tensor) if packed else tensor.size
    # A node that does not fit its operator is left with what is stored.
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return tensor.size


def _is_weight(node: Node, index: int, tensor: Tensor) -> bool:
    roles = _roles(node)
    if not tensor.is_shaped or index in roles.STEERING.get(node.key, ()):
        return False
    if tensor.dtype not in _STORED_AS_WEIGHTS:
        return tensor.dtype == "int32" and roles.QUANTIZED_BIAS.get(node.key) == index
    return tensor.size != 1 or node.op_type in _LEARNS_SCALARS
