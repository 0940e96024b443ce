"""A report as it would be in other types: the tensors' bytes scaled, the work as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace

from onnxcost.analysis.memory import memory
from onnxcost.analysis.weights import weights_by_node
from onnxcost.errors import MISFITS
from onnxcost.graph import Dim, Graph, Node, Tensor
from onnxcost.operators.inputs import places_of
from onnxcost.operators.traffic import traffic
from onnxcost.operators.traits import CONVOLUTIONS, PRODUCTS
from onnxcost.report import CostReport, Counted, NodeCost

_NARROW_INTEGERS = frozenset({"int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16"})
_CHANNELS: Mapping[str, slice] = {
    **dict.fromkeys(PRODUCTS, slice(-1, None)),
    **dict.fromkeys(CONVOLUTIONS | {"ConvTranspose"}, slice(1, 2)),
}
"""Which of the dims of a product are its channels."""

Retype = Callable[[Tensor], Tensor]


def retype_report(report: CostReport, types: Mapping[str, str]) -> CostReport:
    """The report of the same graph with each tensor of a type in ``types`` in the type that stands there for it.

    Where that is a narrow integer, biases are int32, as in QLinearConv and TensorFlow Lite: the type that products are summed
    up in.
    """
    if not types:
        return report
    retype = _make_retype(report.graph, types)
    nodes = [_node(cost.node, retype) for cost in report.costs]
    graph = replace(
        report.graph,
        inputs=tuple(map(retype, report.graph.inputs)),
        outputs=tuple(map(retype, report.graph.outputs)),
        nodes=tuple(nodes),
        constants={name: retype(tensor) for name, tensor in report.graph.constants.items()},
    )
    costs = tuple(_cost(cost, node, types) for cost, node in zip(report.costs, nodes, strict=True))
    return CostReport(graph, costs, memory(graph, weights_by_node(report.graph)), report.caveats)


def _make_retype(graph: Graph, types: Mapping[str, str]) -> Retype:
    """What gives a tensor its new type."""
    biases = frozenset(_biases(graph))
    wide = {dtype: "int32" if other in _NARROW_INTEGERS else other for dtype, other in types.items()}

    def retype(tensor: Tensor) -> Tensor:
        other = (wide if tensor.name in biases else types).get(tensor.dtype)
        return replace(tensor, dtype=other) if other else tensor

    return retype


def _biases(graph: Graph) -> Iterator[str]:
    """The names of the constants that operators take as their bias, or that are added to a product, one element a channel."""
    channels: dict[str, tuple[Dim, ...]] = {}
    for node in graph.nodes:
        constants = [tensor for tensor in node.inputs if tensor is not None and tensor.is_constant and tensor.is_shaped]
        biases = [node.input(place) for place in places_of(node.key, "bias")]
        yield from (tensor.name for tensor in constants if tensor in biases)
        if node.key in _CHANNELS:
            made = (tensor for tensor in node.outputs if tensor is not None)
            channels |= {tensor.name: (tensor.dims or ())[_CHANNELS[node.key]] for tensor in made}
        elif node.key == "Add":
            sizes = {channels[tensor.name] for tensor in node.inputs if tensor is not None and tensor.name in channels}
            yield from (tensor.name for tensor in constants if (tensor.size,) in sizes)


def _cost(cost: NodeCost, node: Node, types: Mapping[str, str]) -> NodeCost:
    if not isinstance(cost, Counted):
        return replace(cost, node=node)
    try:
        moved = traffic(node) if cost.traffic_once.total else cost.traffic_once
    except MISFITS:
        moved = cost.traffic_once
    return replace(cost, node=node, traffic_once=moved, dtype=types.get(cost.dtype, cost.dtype))


def _node(node: Node, retype: Retype) -> Node:
    return replace(node, inputs=_each(node.inputs, retype), outputs=_each(node.outputs, retype))


def _each(tensors: tuple[Tensor | None, ...], retype: Retype) -> tuple[Tensor | None, ...]:
    return tuple(tensor and retype(tensor) for tensor in tensors)
