"""The numbers of a count, each under a key that says what was counted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from onnxcost.conventions import FLOPS, MACS
from onnxcost.costs import Counted, Group, NodeCost, Uncounted
from onnxcost.errors import UnknownShape
from onnxcost.estimator import CountedNodes
from onnxcost.ort_optimizer.memory_plan import plan_memory

Key = tuple[str, ...]
"""What was counted: ("total", metric), ("operator", name, metric), ("module", path, metric), ("node", place, metric),
("memory", step), ("dim", tensor, axis).
"""
UNCOUNTED = ("uncounted",)
PEAK, CACHE = "peak_activation_bytes", "kv_cache_bytes"


def groups_of(cost: NodeCost) -> tuple[Key, ...]:
    """The sums that a node's numbers are part of."""
    return ("total",), ("operator", cost.node.key), ("module", "/".join(cost.node.scope[:2]))


def numbers_of(counted: CountedNodes, caches: Iterable[str]) -> dict[Key, int]:
    """The totals of the nodes, of each operator and of each module; and the bytes of the ``caches`` after the step."""
    found: dict[Key, int] = {
        ("total", "parameters"): sum(own.parameters for own in counted.weights),
        UNCOUNTED: sum(isinstance(cost, Uncounted) for cost in counted.costs),
    }
    groups: dict[Key, list[NodeCost]] = {}
    for cost in counted.costs:
        for key in groups_of(cost):
            groups.setdefault(key, []).append(cost)
    for key, costs in groups.items():
        group = Group((), tuple(costs))
        found[*key, "macs"], found[*key, "flops"] = group.total(MACS), group.total(FLOPS)
        found[*key, "read_bytes"], found[*key, "write_bytes"] = group.traffic.read_bytes, group.traffic.write_bytes
    ends = {tensor.name: tensor for tensor in (*counted.graph.inputs, *counted.graph.outputs)}
    if caches:
        found["total", CACHE] = sum(ends[name].nbytes for name in caches)
    return found


def members_of(costs: Iterable[NodeCost]) -> dict[str, tuple[Key, ...]]:
    """The sums that each node is part of, by the name of its first output."""
    return {cost.node.out.name: groups_of(cost) for cost in costs if isinstance(cost, Counted) and cost.node.first_output}


def nodes_of(counted: CountedNodes) -> dict[Key, int]:
    """The numbers of each node."""
    found: dict[Key, int] = {}
    for cost in counted.costs:
        if isinstance(cost, Counted) and cost.node.first_output:
            key, moved = ("node", cost.node.out.name), cost.traffic
            found[*key, "macs"], found[*key, "flops"] = cost.count(MACS), cost.count(FLOPS)
            found[*key, "read_bytes"], found[*key, "write_bytes"] = moved.read_bytes, moved.write_bytes
    return found


def memory_of(counted: CountedNodes) -> dict[Key, int]:
    """The memory while each executed node runs; empty if a shape is unknown."""
    try:
        plan = plan_memory(counted.graph)
        # By name: a step that does not run at some sizes, like a transpose of one row, must not shift the others.
        return {("memory", node.out.name): nbytes for node, nbytes in zip(plan.nodes, plan.curve, strict=True)}
    except UnknownShape:
        return {}


def dims_of(counted: CountedNodes) -> dict[Key, int]:
    """The known dims of the outputs of nodes."""
    return {
        ("dim", tensor.name, str(axis)): size
        for node in counted.graph.nodes
        for tensor in node.outputs
        if tensor is not None and not tensor.is_constant
        for axis, size in enumerate(tensor.dims or ())
        if isinstance(size, int)
    }


DETAILS: Mapping[str, Callable[[CountedNodes], dict[Key, int]]] = {"node": nodes_of, "memory": memory_of, "dim": dims_of}
"""What is computed only on request, by the first part of its keys."""
