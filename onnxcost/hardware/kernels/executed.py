"""A node as it is executed, together with those that run as a part of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onnxcost.graph import Graph, Node, Tensor


@dataclass(frozen=True, slots=True)
class Executed:
    """A node that runs: ``absorbed`` are those that run as a part of it, ``residuals`` what these read beside its result.

    ``is_blocked`` says that it works on blocked channels; ``reordered`` are the tensors that are brought into blocks or out of
    them for it. ``kind`` is the operator that it runs as, where that is not the node's own.
    """

    node: Node
    absorbed: tuple[Node, ...] = ()
    residuals: tuple[Tensor, ...] = ()
    is_blocked: bool = False
    reordered: tuple[Tensor, ...] = ()
    kind: str = ""


class Readers:
    """Which nodes read a tensor; the model's outputs are read by the caller."""

    def __init__(self, graph: Graph, nodes: Sequence[Node]) -> None:
        self.places: dict[str, list[int]] = {}
        for index, node in enumerate(nodes):
            for tensor in node.inputs:
                if tensor is not None:
                    self.places.setdefault(tensor.name, []).append(index)
        self.outputs = {tensor.name for tensor in graph.outputs}

    def only(self, tensor: Tensor) -> int | None:
        """The one reader; None where there are several, or the caller reads it, too."""
        places = set(self.places.get(tensor.name, ()))
        return places.pop() if len(places) == 1 and tensor.name not in self.outputs else None
