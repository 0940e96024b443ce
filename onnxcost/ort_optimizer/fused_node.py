"""A node as it is executed, together with those that run as a part of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import NamedTuple

from onnxcost.graph import Node, Tensor


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

    def as_node(self) -> Node:
        """One node that reads all that its parts do; a convolution the sum that it adds to as its input 3, as a FusedConv."""
        node = self.node
        if not (self.absorbed or self.residuals or self.kind):
            return node
        known = {tensor.name for tensor in (*node.inputs, *self.residuals) if tensor is not None}
        others = (tensor for part in self.absorbed for tensor in part.inputs if tensor is not None and tensor.name not in known)
        if node.key == "Conv" and self.residuals and not self.kind:
            inputs = (node.x, node.input(1), node.input(2), *self.residuals, *others)
            return replace(node, op_type="FusedConv", domain="com.microsoft", inputs=inputs)
        return replace(node, op_type=self.kind or node.op_type, inputs=(*node.inputs, *self.residuals, *others))


def constants_of(node: Node) -> list[Tensor]:
    """What it reads of constants whose shapes are known."""
    return [tensor for tensor in node.inputs if tensor is not None and tensor.is_constant and tensor.is_shaped]


def axes_of(node: Node) -> list[int]:
    """The dims that a reduction names, counted from the first; none where it reduces all."""
    given = node.input(1)
    axes = node.attributes.get("axes") or (given.value if given is not None else None) or ()
    return [int(axis) % node.x.rank for axis in axes]
