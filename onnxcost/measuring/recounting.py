"""What an executed node cost: the static count where its executions had the shapes of that, a count at their own elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import combinations

from onnxcost.dtypes import compute_dtype
from onnxcost.estimator import node_cost
from onnxcost.formulas.table import FormulaTable
from onnxcost.graph import Node, Tensor
from onnxcost.measuring.messages import Executed, Types
from onnxcost.profiled import ProfiledNode
from onnxcost.report import Counted, Group, NodeCost, Uncounted

NOT_IN_THE_GRAPH = "it is not in the graph that onnxruntime wrote"


def cost_of(
    executed: Executed, nodes: Sequence[Node], runs: int, known: Mapping[int, NodeCost], formulas: FormulaTable
) -> ProfiledNode:
    """The executed node with its costs. ``nodes`` are what it is in the graph: none, or several where a loop was unrolled;
    ``known`` has the static costs, by the id of their node.
    """
    node = nodes[0] if nodes else Node(executed.name, executed.op_type, "", (), ())
    shapes = Counter(zip(executed.inputs, executed.outputs, strict=True))
    costs = (
        _times(count, _cost(nodes, *types, known, formulas) if nodes else Uncounted(node, NOT_IN_THE_GRAPH))
        for types, count in shapes.items()
    )
    return ProfiledNode(
        runs=runs,
        executions=len(executed.durations),
        total_seconds=sum(executed.durations),
        costs=Group((node.domain, node.op_type), tuple(costs)),
        name=node.name,
        op_type=node.op_type,
        domain=node.domain,
        provider=executed.provider,
    )


def _times(count: int, cost: NodeCost) -> NodeCost:
    return replace(cost, node=replace(cost.node, repeat=count))


def _cost(
    nodes: Sequence[Node], inputs: Types, outputs: Types, known: Mapping[int, NodeCost], formulas: FormulaTable
) -> NodeCost:
    """The cost of one execution: the static one of the first node that was counted at its shapes, else the first node's at
    these.
    """
    executed = [_retyped(node, inputs, outputs) for node in nodes]
    for each, node in zip(executed, nodes, strict=True):
        cost = known.get(id(node))
        if each is node and isinstance(cost, Counted):
            return cost
    static = known.get(id(nodes[0]))
    dtype = static.dtype if isinstance(static, Counted) else compute_dtype(executed[0])
    return node_cost(executed[0], formulas, dtype, static.parameters if static is not None else 0)


def _retyped(node: Node, inputs: Types, outputs: Types) -> Node:
    """The node at the shapes of an execution; itself where it has them."""
    new_inputs, new_outputs = _with_types(node.inputs, inputs), _with_types(node.outputs, outputs)
    if new_inputs == node.inputs and new_outputs == node.outputs:
        return node
    return replace(node, inputs=new_inputs, outputs=new_outputs)


def _with_types(tensors: tuple[Tensor | None, ...], types: Types) -> tuple[Tensor | None, ...]:
    """The tensors at the shapes that the events tell; as they are where the one does not fit the other.

    The events leave out what is absent, what is no tensor, and constants that a node has packed for itself.
    """
    told = {index: tensor for index, tensor in enumerate(tensors) if tensor is not None and "(" not in tensor.dtype}
    constants = [index for index, tensor in told.items() if tensor.is_constant]
    surplus = len(told) - len(types)
    for fits in (_is, _may_be):
        for packed in combinations(constants, surplus) if surplus >= 0 else ():
            pairs = dict(zip((index for index in told if index not in packed), types, strict=True))
            if not surplus or all(fits(told[index], shape) for index, (_, shape) in pairs.items()):
                return tuple(_as(tensor, *pairs[at]) if tensor and at in pairs else tensor for at, tensor in enumerate(tensors))
    return tensors


def _is(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether nothing that is known of the tensor's shape speaks against this one."""
    if tensor.dims is None or tensor.is_bound:
        return True
    known = len(tensor.dims) == len(shape)
    return known and all(size == true for size, true in zip(tensor.dims, shape, strict=True) if isinstance(size, int))


def _may_be(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """The same, for constants; what data decides may have been another one when the graph was counted."""
    return not tensor.is_constant or _is(tensor, shape)


def _as(tensor: Tensor, dtype: str, shape: tuple[int, ...]) -> Tensor:
    if (tensor.dtype, tensor.dims, tensor.is_bound) == (dtype, shape, False):
        return tensor
    return replace(tensor, dtype=dtype, dims=shape, is_bound=False)
