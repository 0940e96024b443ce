"""What onnxruntime makes one kernel of, of operators that write out another: a table of chains."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from onnxcost.graph import Graph, Node, Tensor
from onnxcost.hardware.kernels.executed import Executed, Readers, axes_of, constants_of

PATTERNS: Mapping[tuple[str, ...], str] = {
    ("Div", "Erf", "Add", "Mul", "Mul"): "Gelu",
    ("Pow", "Mul", "Add", "Mul", "Tanh", "Add", "Mul"): "FastGelu",
    ("ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"): "LayerNormalization",
    ("Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Mul"): "SimplifiedLayerNormalization",
    ("Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul"): "SimplifiedLayerNormalization",
    ("Mul", "Sigmoid", "Mul"): "QuickGelu",
    ("Sigmoid", "Mul"): "QuickGelu",
}
"""Operators along the way of the data that one kernel does, and which."""


def patterns(graph: Graph, nodes: list[Node]) -> list[Executed]:
    """The nodes, and in place of those that are written out as PATTERNS the one kernel that does their work."""
    readers = Readers(graph, nodes)
    taken: set[int] = set()
    made: dict[int, Executed] = {}
    for start, node in enumerate(nodes):
        if start in taken:
            continue
        for pattern, kind in PATTERNS.items():
            if node.key == pattern[0] and (places := _matched(nodes, readers, start, pattern)) and not taken & set(places):
                places = sorted({*places, *_beside(nodes, readers, places)})
                taken.update(places)
                members = tuple(nodes[place] for place in places)
                last = members[-1]
                head = replace(node, inputs=(entry(members), *node.inputs[1:]), outputs=last.outputs)
                made[places[-1]] = Executed(head, members[1:], kind=kind)
                break
    return [made.get(i) or Executed(node) for i, node in enumerate(nodes) if i not in taken or i in made]


def _beside(nodes: list[Node], readers: Readers, places: list[int]) -> list[int]:
    """The places of nodes that read what the first one reads, and of which those in the places alone read the result."""
    read, inside = entry((nodes[places[0]],)).name, set(places)
    return [
        place
        for place in readers.places.get(read, ())
        if place not in inside
        and nodes[place].key in ("Mul", "Div")
        and inside.issuperset(readers.places.get(nodes[place].out.name, (place,)))
    ]


def entry(members: tuple[Node, ...]) -> Tensor:
    """What the first of them is given: of its inputs the largest that is no constant."""
    return max((t for t in members[0].inputs if t is not None), key=lambda t: (not t.is_constant, t.size if t.is_shaped else 0))


def _matched(nodes: list[Node], readers: Readers, start: int, pattern: tuple[str, ...]) -> list[int]:
    """The places of nodes of these operators, each one reading what the one before makes; [] where they are not so."""
    places = [start]
    for wanted in pattern[1:]:
        here = nodes[places[-1]]
        if here.key != "Sub" and readers.only(here.out) is None:
            return []
        following = [place for place in readers.places.get(here.out.name, ()) if nodes[place].key == wanted]
        if not following or (wanted == "ReduceMean" and not _reduces_rows(nodes[following[0]])):
            return []
        places.append(following[0])
    if pattern[0] == "Pow" and "Sqrt" in pattern:
        # Divided by the root, or multiplied by 1 over it; then scaled.
        by_inverse = nodes[places[4]].x.is_constant
        return places if by_inverse == (len(pattern) == 7) and constants_of(nodes[places[-1]]) else []
    if pattern[0] == "Mul" and [tensor.size for tensor in constants_of(nodes[start])] != [1]:
        return []
    if pattern[-2] == "Sigmoid":
        other = [t.name for t in nodes[places[-1]].inputs if t is not None]
        return places if entry((nodes[start],)).name in other else []
    return places


def _reduces_rows(node: Node) -> bool:
    """Whether it reduces the last dim, and no other."""
    return axes_of(node) == [node.x.rank - 1]
