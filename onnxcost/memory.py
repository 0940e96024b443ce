"""The memory that a model takes: its weights as stored, and the peak of its live activations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from onnxcost.errors import UnknownShape
from onnxcost.formulas import CONTROL_FLOW, activation, elementwise
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.parameters import Weights
from onnxcost.report import Memory
from onnxcost.traffic import VIEWS

_IN_PLACE = elementwise.TABLE.keys() | activation.TABLE.keys() | {"BatchNormalization"}


def memory(graph: Graph, weights: Sequence[Weights]) -> Memory:
    """The memory of a graph; ``weights`` are those of ``parameters.weights_by_node``.

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
        read = [owner.get(tensor.name, "") for tensor in node.inputs if tensor is not None]
        dying = {name for name in read if last_use.get(name) == index and name in buffers and name not in callers}
        for tensor in node.outputs:
            if tensor is None or tensor.is_constant or owner[tensor.name] != tensor.name:
                continue
            size = tensor.nbytes
            reused = next((n for n in read if n in dying and buffers[n] == size), None) if _is_in_place(node) else None
            if reused is not None:
                dying.discard(reused)
                del buffers[reused]
            else:
                live += size
            buffers[tensor.name] = size
            if last_use.get(tensor.name, index) == index:
                dying.add(tensor.name)
        peak = max(peak, live)
        live -= sum(buffers.pop(name) for name in dying)
    return peak


def _is_in_place(node: Node) -> bool:
    """Whether an operator can write over the input that it reads, element by element or row by row."""
    if node.domain.startswith("com.microsoft"):
        from onnxcost.formulas.contrib import activation as own

        return node.key in own.TABLE
    return node.key in _IN_PLACE


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
