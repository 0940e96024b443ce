"""A report as it would be in other types: the tensors' bytes scaled, the work as it was."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnxcost.errors import UnknownShape
from onnxcost.graph import Node, Tensor
from onnxcost.memory import memory
from onnxcost.parameters import weights_by_node
from onnxcost.report import CostReport, Counted, NodeCost
from onnxcost.traffic import traffic


def retyped(report: CostReport, types: Mapping[str, str]) -> CostReport:
    """The report of the same graph with each tensor of a type in ``types`` in the type that stands there for it."""
    if not types:
        return report
    nodes = [_node(cost.node, types) for cost in report.costs]
    graph = replace(
        report.graph,
        inputs=_tensors(report.graph.inputs, types),
        outputs=_tensors(report.graph.outputs, types),
        nodes=tuple(nodes),
        constants={name: _tensor(tensor, types) for name, tensor in report.graph.constants.items()},
    )
    costs = tuple(_cost(cost, node, types) for cost, node in zip(report.costs, nodes, strict=True))
    return CostReport(graph, costs, memory(graph, weights_by_node(graph)), report.caveats)


def _cost(cost: NodeCost, node: Node, types: Mapping[str, str]) -> NodeCost:
    if not isinstance(cost, Counted):
        return replace(cost, node=node)
    try:
        moved = traffic(node) if cost.traffic_once.total else cost.traffic_once
    except (UnknownShape, ArithmeticError, LookupError):
        moved = cost.traffic_once
    return replace(cost, node=node, traffic_once=moved, dtype=types.get(cost.dtype, cost.dtype))


def _node(node: Node, types: Mapping[str, str]) -> Node:
    return replace(node, inputs=_optional(node.inputs, types), outputs=_optional(node.outputs, types))


def _optional(tensors: tuple[Tensor | None, ...], types: Mapping[str, str]) -> tuple[Tensor | None, ...]:
    return tuple(tensor and _tensor(tensor, types) for tensor in tensors)


def _tensors(tensors: tuple[Tensor, ...], types: Mapping[str, str]) -> tuple[Tensor, ...]:
    return tuple(_tensor(tensor, types) for tensor in tensors)


def _tensor(tensor: Tensor, types: Mapping[str, str]) -> Tensor:
    return replace(tensor, dtype=types[tensor.dtype]) if tensor.dtype in types else tensor
