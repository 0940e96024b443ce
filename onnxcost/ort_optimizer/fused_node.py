"""A node as it is executed, together with those that run as a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from onnxcost.graph import Graph, Node, Tensor


class Reuse(NamedTuple):
    """Bytes that are read or written, and how many others were since they were it the last time."""

    nbytes: int
    distance: float


@dataclass(frozen=True, slots=True)
class FusedNode:
    """A node that runs: ``absorbed`` are those that run as a part of it, ``residuals`` what these read beside its result.

    ``is_blocked`` says that it works on another layout than the plain one; ``reordered`` are the tensors that are brought there
    or back for it; with ``turns`` they are elsewhere with their channels last. ``recalls`` are what it
    reads and writes of values. ``kind`` is the operator that it runs as, where that is not the node's own.
    """

    node: Node
    absorbed: tuple[Node, ...] = ()
    residuals: tuple[Tensor, ...] = ()
    is_blocked: bool = False
    reordered: tuple[Tensor, ...] = ()
    turns: bool = False
    recalls: tuple[Reuse, ...] = ()
    kind: str = ""

    @property
    def data(self) -> list[Tensor]:
        """What it reads of what is no constant, each once."""
        inputs = (tensor for tensor in self.node.inputs if tensor is not None and not tensor.is_constant)
        return list({tensor.name: tensor for tensor in (*inputs, *self.residuals)}.values())


class Readers:
    """Which nodes read a tensor; the model's outputs are read by the caller."""

    def __init__(self, graph: Graph, nodes: Sequence[Node]) -> None:
        self.nodes = nodes
        self.places: dict[str, list[int]] = {}
        for index, node in enumerate(nodes):
            for tensor in node.inputs:
                if tensor is not None:
                    self.places.setdefault(tensor.name, []).append(index)
        self.outputs = {tensor.name for tensor in graph.outputs}
        self.made = {tensor.name: node for node in nodes for tensor in node.outputs if tensor is not None}
        """The node that makes a tensor, by name."""

    def only(self, tensor: Tensor) -> int | None:
        """The one reader; None where there are several, or the caller reads it, too."""
        places = set(self.places.get(tensor.name, ()))
        return places.pop() if len(places) == 1 and tensor.name not in self.outputs else None

    def of(self, tensor: Tensor) -> list[Node]:
        """Those that read it, one as often as it does."""
        return [self.nodes[place] for place in self.places.get(tensor.name, ())]


def constants_of(node: Node) -> list[Tensor]:
    """What it reads of constants whose shapes are known."""
    return [tensor for tensor in node.inputs if tensor is not None and tensor.is_constant and tensor.is_shaped]


def axes_of(node: Node) -> list[int]:
    """The dims that a reduction names, counted from the first; none where it reduces all."""
    given = node.input(1)
    axes = node.attributes.get("axes") or (given.value if given is not None else None) or ()
    return [int(axis) % node.x.rank for axis in axes]
