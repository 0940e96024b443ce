"""Matches the executed nodes with those of the graph.

Events name nodes, but not all nodes have names: one without is identified by its operator and an index that is in no file. The
nodes of a graph are matched by the order in which they ran, which is that of the file that onnxruntime writes; if the orders
differ, by their names, and those without names by their operators.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import combinations
from typing import NamedTuple

from onnxcost.analysis.dtypes import compute_dtype
from onnxcost.conventions import FLOPS
from onnxcost.costs import Counted, Group, NodeCost, Uncounted
from onnxcost.estimator import count_node
from onnxcost.formulas import CONTROL_FLOW, select_formulas
from onnxcost.formulas.table import FormulaTable
from onnxcost.graph import DefUse, Graph, Node, Tensor
from onnxcost.operators.traits import CASTS, DEQUANTIZERS, GATHERS, QUANTIZERS, REARRANGEMENTS, VIEWS
from onnxcost.ort_optimizer.fusion import fold_constants
from onnxcost.report import CostReport
from onnxcost.runtime.profile import ProfiledNode
from onnxcost.runtime.protocol import Around, ExecutedNode, Profiled, Types

NOT_IN_THE_GRAPH = "it is not in the graph that onnxruntime wrote"


def cost_of(
    executed: ExecutedNode, nodes: Sequence[Node], runs: int, known: Mapping[int, NodeCost], formulas: FormulaTable
) -> ProfiledNode:
    """The executed node with its costs. ``nodes`` are its nodes in the graph: none, or several if a loop was unrolled;
    ``known`` has the static costs by the id of their node.
    """
    node = nodes[0] if nodes else _unknown(executed)
    shapes = Counter(zip(executed.inputs, executed.outputs, strict=True))
    costs: list[NodeCost] = []
    for types, count in shapes.items():
        cost = _cost(nodes, *types, known, formulas) if nodes else Uncounted(node, NOT_IN_THE_GRAPH)
        costs.append(replace(cost, node=replace(cost.node, repeat=count)))
    return ProfiledNode(
        runs=runs,
        executions=len(executed.durations),
        total_seconds=sum(executed.durations),
        costs=Group((node.domain, node.op_type), tuple(costs)),
        name=node.name,
        op_type=node.op_type,
        domain=node.domain,
        provider=executed.provider,
        scope=node.scope,
    )


def _unknown(executed: ExecutedNode) -> Node:
    """A node that the graph does not have."""
    return Node(executed.name, executed.op_type, "", (), ())


def _cost(
    nodes: Sequence[Node], inputs: Types, outputs: Types, known: Mapping[int, NodeCost], formulas: FormulaTable
) -> NodeCost:
    """The cost of one execution: the static cost of the first node that was counted at these shapes, else the first node's,
    counted anew.
    """
    executed = [_with_executed_types(node, inputs, outputs) for node in nodes]
    for each, node in zip(executed, nodes, strict=True):
        cost = known.get(id(node))
        if each is node and isinstance(cost, Counted):
            return cost
    static = known.get(id(nodes[0]))
    dtype = static.dtype if isinstance(static, Counted) else compute_dtype(executed[0])
    return count_node(executed[0], formulas, dtype, static.parameters if static is not None else 0)


def _with_executed_types(node: Node, inputs: Types, outputs: Types) -> Node:
    """The node at the shapes of an execution; the same object if it has them."""
    new_inputs, new_outputs = _with_types(node.inputs, inputs), _with_types(node.outputs, outputs)
    if new_inputs == node.inputs and new_outputs == node.outputs:
        return node
    return replace(node, inputs=new_inputs, outputs=new_outputs)


def _with_types(tensors: tuple[Tensor | None, ...], types: Types) -> tuple[Tensor | None, ...]:
    """The tensors at the shapes in the events; unchanged if they do not fit.

    The events leave out absent inputs, what is not a tensor, and constants that a node has prepacked.
    """
    told = {index: tensor for index, tensor in enumerate(tensors) if tensor is not None and "(" not in tensor.dtype}
    constants = [index for index, tensor in told.items() if tensor.is_constant]
    surplus = len(told) - len(types)
    # Shapes of other tensors than constants may depend on data, and differ from the count.
    for fits in (_has_shape, lambda tensor, shape: not tensor.is_constant or _has_shape(tensor, shape)):
        for packed in combinations(constants, surplus) if surplus >= 0 else ():
            pairs = dict(zip((index for index in told if index not in packed), types, strict=True))
            if not surplus or all(fits(told[index], shape) for index, (_, shape) in pairs.items()):
                return tuple(
                    replace(tensor, dtype=pairs[at][0], dims=pairs[at][1], is_bound=False) if tensor and at in pairs else tensor
                    for at, tensor in enumerate(tensors)
                )
    return tensors


def _has_shape(tensor: Tensor, shape: tuple[int, ...]) -> bool:
    """Whether the shape agrees with the tensor's known dims."""
    if tensor.dims is None or tensor.is_bound:
        return True
    known = len(tensor.dims) == len(shape)
    return known and all(size == true for size, true in zip(tensor.dims, shape, strict=True) if isinstance(size, int))


class Body(NamedTuple):
    """A graph as in a report: the nodes of a body come before the node that has it. All names begin with ``prefix``."""

    prefix: str
    nodes: Sequence[Node]


class GraphNode(NamedTuple):
    """A node of a graph, its name there, and its bodies: an unrolled loop has many."""

    node: Node
    name: str
    bodies: Sequence[Body]


def match_nodes(
    profiled: Profiled, report: CostReport, original: CostReport, formulas: FormulaTable | None = None
) -> tuple[ProfiledNode, ...]:
    """The executed nodes with what they cost, counted by ``formulas`` or else as ``estimate`` does, and with their origins in
    the ``original`` graph.

    ``report`` is that of the executed graph. A node that it counted at other shapes, or could not count, is counted again. A
    node that it does not have stays uncounted.
    """
    by_graph: dict[Around, list[ExecutedNode]] = {}
    for executed in profiled.executed:
        by_graph.setdefault(executed.around, []).append(executed)
    known = {id(cost.node): cost for cost in report.costs}
    found = {id(executed): nodes for executed, nodes in _matches((), [Body("", report.graph.nodes)], by_graph)}
    if formulas is None:
        formulas = select_formulas({node.key for nodes in found.values() for node in nodes})
    runs = len(profiled.run_seconds)
    matched = [cost_of(executed, found[id(executed)], runs, known, formulas) for executed in profiled.executed]
    work = {cost.node.name: cost.count(FLOPS) for cost in original.counted}
    origins = find_origins([next(iter(found[id(each)]), _unknown(each)) for each in profiled.executed], original.graph)
    return tuple(
        replace(
            node,
            origins=tuple(origin.name for origin in nodes),
            scope=max(nodes, key=lambda origin: work.get(origin.name, 0)).scope if nodes else node.scope,
        )
        for node, nodes in zip(matched, origins, strict=True)
    )


_ADDED = re.compile(r"(_nchwc|_token_\d+|/duplicated|/\w+Fusion/?)+$")
"""The suffixes that onnxruntime adds to the names of nodes and outputs that it replaces."""
_MOVES = {*VIEWS, *CASTS, *REARRANGEMENTS, *GATHERS, "ReorderInput", "ReorderOutput"}


def find_origins(executed: Sequence[Node], graph: Graph) -> list[list[Node]]:
    """For each executed node, the nodes of the original graph that it computes, in their order; none for one that onnxruntime
    added.

    An original node is recognized by an output or a name that is kept, or by a constant that no other reads. The nodes in
    between belong to the only reader of their results, else to the node that computes their input.
    """
    kept = fold_constants(graph).nodes
    made = {tensor.name for node in kept for tensor in node.outputs if tensor is not None}
    folded = [node for node in graph.nodes if all(tensor is None or tensor.name not in made for tensor in node.outputs)]
    uses = DefUse((*kept, *folded), graph.outputs)
    owners = _find_kept(executed, uses)
    values = {tensor.name for node in executed for tensor in node.inputs if tensor is not None} | uses.returned
    for place in reversed(range(len(kept))):
        outputs = [tensor.name for tensor in kept[place].outputs if tensor is not None]
        readers = {frozenset(owners.get(reader, ())) for name in outputs for reader in uses.positions(name)}
        if place not in owners and kept[place].key not in QUANTIZERS and values.isdisjoint(outputs) and len(readers) == 1:
            owners[place] = set(*readers)
    for place, node in enumerate(kept):
        makers = [uses.defined_at(tensor.name) for tensor in node.inputs if tensor is not None]
        before = [max(owners[maker]) for maker in makers if maker is not None and owners.get(maker)]
        if not owners.get(place) and before and node.key not in DEQUANTIZERS:
            owners[place] = {max(before)}
    found: list[list[Node]] = [[] for _ in executed]
    for place, node in enumerate(uses.nodes):
        if not owners.get(place) and node.key in DEQUANTIZERS:
            # Each integer operator that reads a dequantized value has its own dequantizer.
            owners[place] = {at for reader in uses.positions(node.out.name) for at in owners.get(reader, ())}
        for at in owners.get(place, ()):
            found[at].append(node)
    return found


def _find_kept(executed: Sequence[Node], uses: DefUse) -> dict[int, set[int]]:
    """The original nodes, by their place, that executed ones are known to compute, and the places of those."""
    by_name = {node.name: place for place, node in enumerate(uses.nodes)}
    owners: dict[int, set[int]] = {}

    def by_output(node: Node) -> list[int | None]:
        return [uses.defined_at(tensor.name) for tensor in node.outputs if tensor is not None]

    def by_own_name(node: Node) -> list[int | None]:
        name = _ADDED.sub("", node.name)
        # A node without a name is called by its number in its own graph.
        return [uses.defined_at(name), None if re.fullmatch(rf"{node.op_type}_\d+", name) else by_name.get(name)]

    def by_constant(node: Node) -> list[int | None]:
        constants = [] if node.key in DEQUANTIZERS else [t for t in node.inputs if t is not None and t.is_constant]
        readers = [{*uses.positions(tensor.name)} for tensor in constants]
        return [min(places) for places in readers if len(places) == 1]

    for find in (by_output, by_own_name, by_constant):
        for at, node in enumerate(executed):
            for place in find(node):
                if place is None or (node.op_type in _MOVES and uses.nodes[place].op_type not in (node.op_type, *_MOVES)):
                    continue
                if place not in owners or node.name.endswith("/duplicated"):
                    owners.setdefault(place, set()).add(at)
    # Others are recognized by their number: the third remaining node of an operator is its third one.
    taken = {at for places in owners.values() for at in places}
    for op_type in {node.op_type for node in executed}:
        same = [at for at, node in enumerate(executed) if node.op_type == op_type and at not in taken]
        operator = op_type.removeprefix("QLinear")
        left = [place for place, node in enumerate(uses.nodes) if node.op_type == operator and place not in owners]
        if len(same) == len(left):
            owners.update((place, {at}) for place, at in zip(left, same, strict=True))
    return owners


def _matches(
    around: Around, bodies: Sequence[Body], by_graph: Mapping[Around, Sequence[ExecutedNode]]
) -> Iterator[tuple[ExecutedNode, Sequence[Node]]]:
    """Each executed node of a graph and of its bodies, with its nodes: one in each of ``bodies``."""
    executed = by_graph.get(around, ())
    tries = [_align(executed, _places(body)) for body in bodies]
    most = max((len(found) for found in tries), default=0)
    for index, each in enumerate(executed):
        places = [found[index] for found in tries if len(found) == most and index in found]
        yield each, [place.node for place in places]
        inside = [body for place in places for body in place.bodies]
        which = 0
        while (within := (*around, (each.name, which))) in by_graph:
            yield from _matches(within, inside, by_graph)
            which += 1


def _places(body: Body) -> list[GraphNode]:
    """The nodes of a graph, without those of its bodies."""
    places: list[tuple[Node, Sequence[Body]]] = []
    end = len(body.nodes)
    while end:
        last = end - 1
        node, begin = body.nodes[last], last
        while node.key in CONTROL_FLOW and begin and body.nodes[begin - 1].name.startswith(f"{node.name}/"):
            begin -= 1
        places.append((node, _bodies(node, body.nodes[begin:last])))
        end = begin
    return [GraphNode(node, node.name.removeprefix(body.prefix), bodies) for node, bodies in reversed(places)]


def _bodies(node: Node, inside: Sequence[Node]) -> Sequence[Body]:
    """The graphs of a control-flow node from the nodes before it: its branches, its iterations, or its one body."""
    if node.branches:
        return [Body(f"{node.name}/{which}/", branch) for which, branch in node.branches.items()]
    prefix = f"{node.name}/"
    by_iteration: dict[str, list[Node]] = {}
    for each in inside:
        by_iteration.setdefault(each.name.removeprefix(prefix).partition("/")[0], []).append(each)
    if node.op_type != "If" and all(iteration.isdigit() for iteration in by_iteration):
        return [Body(f"{prefix}{iteration}/", nodes) for iteration, nodes in by_iteration.items()]
    return [Body(prefix, inside)]


def _align(executed: Sequence[ExecutedNode], places: Sequence[GraphNode]) -> Mapping[int, GraphNode]:
    """The node of the graph for each executed node, by its index."""
    if len(executed) == len(places) and all(
        each.op_type == place.node.op_type and (each.name == place.name or _may_be_unnamed(each))
        for each, place in zip(executed, places, strict=True)
    ):
        return dict(enumerate(places))
    by_name = {(place.name, place.node.op_type): place for place in places}
    found = {
        index: place
        for index, each in enumerate(executed)
        if not _may_be_unnamed(each) and (place := by_name.get((each.name, each.op_type))) is not None
    }
    taken = {place.node.name for place in found.values()}
    for op_type in {each.op_type for each in executed}:
        rest = sorted(
            (each.index, index) for index, each in enumerate(executed) if each.op_type == op_type and index not in found
        )
        left = [place for place in places if place.node.op_type == op_type and place.node.name not in taken]
        if len(rest) == len(left):
            by_own = {place.name: place for place in left}
            names = [executed[index].name for _, index in rest]
            found |= {
                index: by_own[name] if by_own.keys() == set(names) else place
                for (_, index), name, place in zip(rest, names, left, strict=True)
            }
    return found


def _may_be_unnamed(executed: ExecutedNode) -> bool:
    """Whether its name is the one that onnxruntime gives to nodes without names."""
    return executed.name == f"{executed.op_type}_{executed.index}"
