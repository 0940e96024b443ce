"""Which nodes of the graph the executed ones are.

The events name nodes, but not all nodes have names: one without goes by its operator and an index that is in no file. Inside a
graph nodes are told apart by the order in which they ran, which is that of the file that onnxruntime writes; where it is not,
by their names, and those without by their operators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from onnxcost.formulas import CONTROL_FLOW
from onnxcost.formulas.sources import known_formulas
from onnxcost.formulas.table import FormulaTable
from onnxcost.graph import Node
from onnxcost.measuring.messages import Around, Executed, Profiled
from onnxcost.measuring.recounting import cost_of
from onnxcost.profiled import ProfiledNode
from onnxcost.report import CostReport


class Body(NamedTuple):
    """A graph as a report has it: the nodes of its own bodies stand before the nodes that have them. All names begin alike."""

    prefix: str
    nodes: Sequence[Node]


class Place(NamedTuple):
    """A node of a graph, its name there, and the graphs that its bodies may be: a loop that was unrolled has many."""

    node: Node
    name: str
    bodies: Sequence[Body]


def matched(profiled: Profiled, report: CostReport, formulas: FormulaTable | None = None) -> tuple[ProfiledNode, ...]:
    """The executed nodes with what they cost, counted by ``formulas`` or else as ``estimate`` does.

    ``report`` is that of the graph that was executed. What it counted at other shapes than the executions had, or could not
    count, is counted anew. A node that it does not have stays uncounted.
    """
    by_graph: dict[Around, list[Executed]] = {}
    for executed in profiled.executed:
        by_graph.setdefault(executed.around, []).append(executed)
    known = {id(cost.node): cost for cost in report.costs}
    found = {id(executed): nodes for executed, nodes in _matches((), [Body("", report.graph.nodes)], by_graph)}
    if formulas is None:
        formulas = known_formulas({node.key for nodes in found.values() for node in nodes})
    runs = len(profiled.run_seconds)
    return tuple(cost_of(executed, found[id(executed)], runs, known, formulas) for executed in profiled.executed)


def _matches(
    around: Around, bodies: Sequence[Body], by_graph: Mapping[Around, Sequence[Executed]]
) -> Iterator[tuple[Executed, Sequence[Node]]]:
    """Each executed node of a graph and of the graphs in it, with the nodes that it is, one in each of the bodies."""
    executed = by_graph.get(around, ())
    tries = [_aligned(executed, _places(body)) for body in bodies]
    most = max((len(found) for found in tries), default=0)
    for index, each in enumerate(executed):
        places = [found[index] for found in tries if len(found) == most and index in found]
        yield each, [place.node for place in places]
        inside = [body for place in places for body in place.bodies]
        which = 0
        while (within := (*around, (each.name, which))) in by_graph:
            yield from _matches(within, inside, by_graph)
            which += 1


def _places(body: Body) -> list[Place]:
    """The nodes of a graph, those of its bodies apart."""
    places: list[tuple[Node, Sequence[Body]]] = []
    end = len(body.nodes)
    while end:
        last = end - 1
        node, begin = body.nodes[last], last
        while node.key in CONTROL_FLOW and begin and body.nodes[begin - 1].name.startswith(f"{node.name}/"):
            begin -= 1
        places.append((node, _bodies(node, body.nodes[begin:last])))
        end = begin
    return [Place(node, node.name.removeprefix(body.prefix), bodies) for node, bodies in reversed(places)]


def _bodies(node: Node, inside: Sequence[Node]) -> Sequence[Body]:
    """The graphs that the nodes before a node of control flow make: its branches, its iterations, or its one body."""
    if node.branches:
        return [Body(f"{node.name}/{which}/", branch) for which, branch in node.branches.items()]
    prefix = f"{node.name}/"
    by_iteration: dict[str, list[Node]] = {}
    for each in inside:
        by_iteration.setdefault(each.name.removeprefix(prefix).partition("/")[0], []).append(each)
    if node.op_type != "If" and all(iteration.isdigit() for iteration in by_iteration):
        return [Body(f"{prefix}{iteration}/", nodes) for iteration, nodes in by_iteration.items()]
    return [Body(prefix, inside)]


def _aligned(executed: Sequence[Executed], places: Sequence[Place]) -> Mapping[int, Place]:
    """Which place each executed node has, by its position."""
    if len(executed) == len(places) and all(map(_may_be, executed, places)):
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


def _may_be(executed: Executed, place: Place) -> bool:
    return executed.op_type == place.node.op_type and (executed.name == place.name or _may_be_unnamed(executed))


def _may_be_unnamed(executed: Executed) -> bool:
    """Whether its name is what onnxruntime calls a node without one."""
    return executed.name == f"{executed.op_type}_{executed.index}"
