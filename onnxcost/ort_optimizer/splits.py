"""Gathers and Slices that together take all of a value: onnxruntime replaces them by one Split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from onnxcost.graph import Dim, Graph, Node, Tensor

MADE = "made by onnxruntime"
"""The name of nodes that are not in the file."""
SPLIT_OPSET = 13


def join_slices(graph: Graph) -> Graph:
    """The graph with one Split instead of Gathers and Slices that together take each element of a value once:
    GatherSliceToSplitFusion.
    """
    if graph.opsets.get("", 0) < SPLIT_OPSET or not any(node.key in ("Gather", "Slice") for node in graph.nodes):
        return graph
    uses = graph.uses
    symbols = dict(graph.symbolic_dims) if graph.symbolic_dims is not None else None
    made: dict[int, list[Node]] = {}
    gone: set[int] = set()
    made_alone = (node.outputs[0] for node in graph.nodes if len(node.outputs) == 1 and node.key != "Shape")
    for tensor in (*graph.inputs, *filter(None, made_alone)):
        places = dict.fromkeys(
            place
            for place in uses.positions(tensor.name)
            if graph.nodes[place].key in ("Gather", "Slice") and graph.nodes[place].x.name == tensor.name
        )
        if len(places) > 1:
            nodes = [graph.nodes[place] for place in places]
            known = tensor.dims if symbols is None else symbols.get(tensor.name)
            split = _split(tensor, known, nodes)
            if split and known is not None:
                made[min(places)] = split
                gone.update(places)
                if symbols is not None:
                    axis = split[0].attributes["axis"]
                    parts = [part for part in split[0].outputs if part is not None]
                    dims = [(part.name, part.dims[axis]) for part in parts if part.dims is not None]
                    symbols |= {name: (*known[:axis], size, *known[axis + 1 :]) for name, size in dims}
    if not made:
        return graph
    nodes = [each for place, node in enumerate(graph.nodes) for each in made.get(place, () if place in gone else (node,))]
    return replace(graph, nodes=tuple(nodes), symbolic_dims=symbols)


def _split(tensor: Tensor, known: Sequence[Dim] | None, nodes: Sequence[Node]) -> list[Node]:
    """The Split for these Gathers and Slices of a tensor of which these dims are ``known``, and a Squeeze for each Gather that
    drops the axis; [] for none.
    """
    if tensor.dims is None or known is None:
        return []
    axes = {_axis_of(node, len(tensor.dims)) for node in nodes}
    axis = axes.pop()
    if axes or axis is None or not isinstance(known[axis], int) or not isinstance(size := tensor.dims[axis], int):
        return []
    parts: dict[int, tuple[int, Node]] = {}
    for node in nodes:
        first, last = _range_of(node, size) or (0, 0)
        if first in parts or first >= last:
            return []
        parts[first] = last, node
    starts = sorted(parts)
    if [0, *(parts[first][0] for first in starts)] != [*starts, size]:
        return []
    outputs, behind = [], []
    for first in starts:
        last, node = parts[first]
        out = node.out
        if node.key == "Gather" and not node.required(1).rank:
            part = replace(out, name=f"{out.name}/part", dims=(*tensor.dims[:axis], 1, *tensor.dims[axis + 1 :]))
            behind.append(Node(MADE, "Squeeze", "", (part, axes_constant(axis)), (out,), {"axes": (axis,)}))
            out = part
        outputs.append(out)
    return [Node(MADE, "Split", "", (tensor,), tuple(outputs), {"axis": axis}), *behind]


def axes_constant(*axes: int) -> Tensor:
    """An input that has these axes."""
    return Tensor("", "int64", (len(axes),), is_constant=True, value=axes)


def _scalar(tensor: Tensor | None) -> int | None:
    """The element of a constant of one element."""
    known = tensor.value if tensor is not None and tensor.is_constant else None
    return int(known[0]) if known is not None and len(known) == 1 and tensor is not None and tensor.dtype == "int64" else None


def _axis_of(node: Node, rank: int) -> int | None:
    axis = int(node.attributes.get("axis", 0)) if node.key == "Gather" else _scalar(node.input(3))
    return None if axis is None or not -rank <= axis < rank else axis % rank


def _range_of(node: Node, size: int) -> tuple[int, int] | None:
    """The first element along the axis that it takes, and the one after the last; None if unknown."""
    first = _scalar(node.input(1))
    if first is None:
        return None
    if node.key == "Gather":
        first += size if first < 0 else 0
        return (first, first + 1) if 0 <= first < size else None
    last, step = _scalar(node.input(2)), node.input(4)
    if last is None or (step is not None and _scalar(step) != 1):
        return None
    first, last = (min(max(place + (size if place < 0 else 0), 0), size) for place in (first, last))
    return first, last
