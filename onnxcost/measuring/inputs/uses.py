"""What becomes of the elements of an input: the nodes that read them, as they are or moved about."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from onnxcost.formulas import CONTROL_FLOW
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.traffic import VIEWS

_SAME = VIEWS | {"Cast", "CastLike"}
"""Operators that hand on all elements of their first input, in their order."""
_FIRST, _BOTH, _ALL = range(1), range(2), range(1 << 31)
_KEPT: Mapping[str, Sequence[int]] = {
    **dict.fromkeys(_SAME, _FIRST),
    **dict.fromkeys(("Transpose", "Slice", "Expand", "Tile", "Pad", "Clip", "Trilu", "ReverseSequence"), _FIRST),
    **dict.fromkeys(("DepthToSpace", "SpaceToDepth", "CenterCropPad", "Compress", "TopK", "Unique"), _FIRST),
    **dict.fromkeys(("Split", "Gather", "GatherElements", "GatherND", "ReduceMax", "ReduceMin"), _FIRST),
    **dict.fromkeys(("SplitToSequence", "SequenceAt", "SequenceErase", "ConcatFromSequence"), _FIRST),
    **dict.fromkeys(("Optional", "OptionalGetElement"), _FIRST),
    **dict.fromkeys(("Concat", "Max", "Min", "SequenceConstruct"), _ALL),
    **dict.fromkeys(("Scatter", "ScatterElements", "ScatterND"), (0, 2)),
    "SequenceInsert": _BOTH,
    "Where": range(1, 3),
    "Add": _BOTH,
    "Sub": _FIRST,
}
"""Operators whose outputs hold elements of these inputs: in another order, some of them, along with others, or shifted."""
_SIGNS: Mapping[str, int] = {"Add": 1, "Sub": -1}


class Use(NamedTuple):
    """A node that reads what an input holds; ``place`` is that among the node's own inputs.

    ``shift`` has been added to the elements on the way; ``is_whole`` says that they are all there, in their order.
    """

    node: Node
    place: int
    shift: int
    is_whole: bool


Readers = Mapping[str, Sequence[tuple[Node, int]]]
"""By value, the nodes that read it and as which input."""


def readers_in(graph: Graph) -> Readers:
    """The readers of every value, in bodies and branches too."""
    readers: dict[str, list[tuple[Node, int]]] = {}
    waiting = list(graph.nodes)
    while waiting:
        node = waiting.pop()
        waiting += [inner for branch in node.branches.values() for inner in branch]
        for index, tensor in enumerate(node.inputs):
            if tensor is not None:
                readers.setdefault(tensor.name, []).append((node, index))
    return readers


def uses_of(name: str, readers: Readers) -> Iterator[Use]:
    """Every node that reads the value, at once or behind nodes that hand its elements on."""
    waiting, seen = [(name, 0, True)], {name}
    while waiting:
        name, shift, is_whole = waiting.pop()
        for node, place in readers.get(name, ()):
            yield Use(node, place, shift, is_whole)
            shifts = _shift(node, place)
            for output in _outputs_with(node, place) if shifts is not None else ():
                if output is not None and output.name not in seen:
                    seen.add(output.name)
                    waiting.append((output.name, shift + (shifts or 0), is_whole and node.key in _SAME))


def _outputs_with(node: Node, place: int) -> Sequence[Tensor | None]:
    """The outputs that hold elements of the input."""
    if node.key in CONTROL_FLOW:
        # It hands on, at the same place, what its body made; where the branch is not known, nothing.
        return node.outputs[place : place + 1] if not node.branches else ()
    if place not in _KEPT.get(node.key, ()):
        return ()
    return node.outputs if node.key == "Split" else node.outputs[:1]


def _shift(node: Node, place: int) -> int | None:
    """The largest number that the node adds to the elements of the input; None where that is not known."""
    if node.key not in _SIGNS:
        return 0
    other = node.required(1 - place)
    return int(max(_SIGNS[node.key] * element for element in other.value)) if other.value else None
