"""Parameters, weight bytes and the peak of live activations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnxcost.errors import UnknownShape
from onnxcost.formulas import CONTROL_FLOW, activation, contrib_activation, contrib_inputs, elementwise
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.report import Memory
from onnxcost.traffic import VIEWS

_STORED_AS_WEIGHTS = frozenset(
    {"float16", "bfloat16", "float32", "float64", "complex64", "complex128", "int8", "uint8", "int4", "uint4", "int2", "uint2"}
    | {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1"}
)
# Integers of 32 bits are weights only where quantized operators keep their biases.
_QUANTIZED_BIAS: Mapping[str, int] = {"DequantizeLinear": 0, "QLinearConv": 8, **contrib_inputs.QUANTIZED_BIAS}
# Inputs that steer an operator (sizes, scales, zero points, bounds) and hold no weights.
_STEERING: Mapping[str, frozenset[int]] = {
    "Resize": frozenset({1, 2, 3}),
    "Upsample": frozenset({1}),
    "Pad": frozenset({1, 2, 3}),
    "Clip": frozenset({1, 2}),
    "QuantizeLinear": frozenset({1, 2}),
    "DequantizeLinear": frozenset({1, 2}),
    "QLinearConv": frozenset({1, 2, 4, 5, 6, 7}),
    "QLinearMatMul": frozenset({1, 2, 4, 5, 6, 7}),
    "ConvInteger": frozenset({2, 3}),
    "MatMulInteger": frozenset({2, 3}),
    **contrib_inputs.STEERING,
}
# A constant of one element is a factor, an exponent or an epsilon, except where the operator learns it.
_LEARNS_SCALARS = frozenset(
    {"Conv", "ConvTranspose", "Gemm", "MatMul", "PRelu", "LSTM", "GRU", "RNN", "QLinearConv", "ConvInteger", "MatMulInteger"}
    | {"BatchNormalization", "InstanceNormalization", "LayerNormalization", "GroupNormalization", "RMSNormalization"}
)
_RUNNING_STATISTICS: Mapping[str, frozenset[int]] = {"BatchNormalization": frozenset({3, 4})}

# Operators that can write over the input that they read, element by element or row by row.
_IN_PLACE = elementwise.TABLE.keys() | activation.TABLE.keys() | contrib_activation.TABLE.keys() | {"BatchNormalization"}


@dataclass(frozen=True, slots=True)
class Weights:
    """The weights a node reads first: elements that are parameters, and those that are running statistics."""

    parameters: int = 0
    running_statistics: int = 0


def weights_by_node(graph: Graph) -> tuple[Weights, ...]:
    """For each node the weights that no earlier node has read, so that shared ones count once."""
    seen: set[str] = set()
    found = []
    for node in graph.nodes:
        counts: Counter[str] = Counter()
        for index, tensor in enumerate(node.inputs):
            if (
                tensor is None
                or tensor.name in seen
                or tensor.name not in graph.constants
                or not _is_weight(node, index, tensor)
            ):
                continue
            seen.add(tensor.name)
            is_statistic = index in _RUNNING_STATISTICS.get(node.key, ())
            counts["running_statistics" if is_statistic else "parameters"] += _weights_in(node, index, tensor)
        found.append(Weights(**counts))
    return tuple(found)


def _weights_in(node: Node, index: int, tensor: Tensor) -> int:
    """How many weights a tensor holds: its elements, or more where an operator packs several into one."""
    packed = contrib_inputs.WEIGHTS.get(node.key, {}).get(index)
    try:
        return packed(node, tensor) if packed else tensor.size
    # A node that does not fit its operator is left with what is stored.
    except (ArithmeticError, LookupError, TypeError, ValueError):
        return tensor.size


def _is_weight(node: Node, index: int, tensor: Tensor) -> bool:
    if not tensor.is_shaped or index in _STEERING.get(node.key, ()):
        return False
    if tensor.dtype not in _STORED_AS_WEIGHTS:
        return tensor.dtype == "int32" and _QUANTIZED_BIAS.get(node.key) == index
    return tensor.size != 1 or node.op_type in _LEARNS_SCALARS


def memory(graph: Graph, weights: Sequence[Weights]) -> Memory:
    """The memory of a graph; ``weights`` are those of ``weights_by_node``.

    ``weight_bytes`` are those of every constant that some node reads, whatever for, as stored.
    """
    read = {tensor.name for node in graph.nodes for tensor in node.inputs if tensor is not None}
    by_dtype: Counter[str] = Counter()
    for name, tensor in graph.constants.items():
        if name in read and tensor.is_shaped:
            by_dtype[tensor.dtype] += tensor.nbytes
    return Memory(
        parameters=sum(item.parameters for item in weights),
        running_statistics=sum(item.running_statistics for item in weights),
        weight_bytes=by_dtype.total(),
        weight_bytes_by_dtype=dict(by_dtype.most_common()),
        peak_activation_bytes=_peak(graph),
    )


def _peak(graph: Graph) -> int | None:
    try:
        return peak_activation_bytes(graph)
    except UnknownShape:
        return None


def peak_activation_bytes(graph: Graph) -> int:
    """The largest sum of the values that are alive at one time, in execution order, constants left out; UnknownShape.

    The model's inputs belong to the caller and live throughout, its outputs live to the end. A view lives in its input's
    buffer. An elementwise node writes into the buffer of an input of the same bytes that dies there, unless it is the caller's.
    """
    owner = _owners(graph.nodes)
    last_use = _last_uses(graph, owner)
    callers = {tensor.name for tensor in graph.inputs}
    buffers = {tensor.name: tensor.nbytes for tensor in graph.inputs}
    live = peak = sum(buffers.values())
    for index, node in enumerate(graph.nodes):
        read = {owner[t.name] for t in node.inputs if t is not None and owner.get(t.name) in buffers}
        dying = {name for name in read - callers if last_use[name] == index}
        for tensor in node.outputs:
            if tensor is None or tensor.is_constant or owner[tensor.name] != tensor.name:
                continue
            reusable = sorted(n for n in dying if buffers[n] == tensor.nbytes) if node.key in _IN_PLACE else []
            if reusable:
                dying.discard(reusable[0])
                buffers[tensor.name] = buffers.pop(reusable[0])
            else:
                buffers[tensor.name] = tensor.nbytes
                live += tensor.nbytes
            if last_use.get(tensor.name, index) == index:
                dying.add(tensor.name)
        peak = max(peak, live)
        live -= sum(buffers.pop(name) for name in dying)
    return peak


def _owners(nodes: Sequence[Node]) -> dict[str, str]:
    """For every value that is no constant the one whose buffer it lives in: its own, or what it is a view of."""
    owner: dict[str, str] = {}
    for node in nodes:
        for tensor in node.inputs:
            if tensor is not None and not tensor.is_constant:
                owner.setdefault(tensor.name, tensor.name)
        for index, tensor in enumerate(node.outputs):
            if tensor is not None:
                source = _viewed(node, index)
                owner[tensor.name] = owner[source.name] if source is not None and not source.is_constant else tensor.name
    return owner


def _viewed(node: Node, index: int) -> Tensor | None:
    """The input in whose buffer an output lies; control flow hands on, at the same position, what its body made."""
    if node.key in CONTROL_FLOW and not node.branches:
        return node.input(index)
    return node.input(0) if node.key in VIEWS and index == 0 else None


def _last_uses(graph: Graph, owner: Mapping[str, str]) -> dict[str, int]:
    """For every buffer the index of the last node that reads it; one past the end for what the model returns."""
    last: dict[str, int] = {}
    for index, node in enumerate(graph.nodes):
        for tensor in node.inputs:
            if tensor is not None and tensor.name in owner:
                last[owner[tensor.name]] = index
    for tensor in graph.outputs:
        last[owner.get(tensor.name, tensor.name)] = len(graph.nodes)
    return last
