"""A node that onnxruntime runs, with the nodes that it absorbed."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from onnxcost.graph import Node, Tensor, record


class Reuse(NamedTuple):
    """Bytes that are read, or written, and the number of other bytes since their last use."""

    nbytes: int
    distance: float
    is_written: bool = False


@record(frozen=True, slots=True)
class FusedNode:
    """A node that runs, and the ``absorbed`` ones that run as a part of it.

    ``residuals`` are the other inputs of the absorbed nodes. ``is_blocked`` says that it works on another layout than the plain
    one; ``reordered`` are the tensors that are converted to that layout or from it before it runs, and ``channels_last`` says
    that their other layout has the channels last. ``reuses`` are its reads and writes of values. ``kind`` is the operator that
    it runs as, if that is not the node's own.
    """

    node: Node
    absorbed: tuple[Node, ...] = ()
    residuals: tuple[Tensor, ...] = ()
    is_blocked: bool = False
    reordered: tuple[Tensor, ...] = ()
    channels_last: bool = False
    reuses: tuple[Reuse, ...] = ()
    kind: str = ""

    @property
    def data(self) -> list[Tensor]:
        """The values that it reads (constants left out), each once."""
        inputs = (tensor for tensor in self.node.inputs if tensor is not None and not tensor.is_constant)
        return list({tensor.name: tensor for tensor in (*inputs, *self.residuals)}.values())

    def as_node(self) -> Node:
        """One node with all inputs of its parts; a convolution with a residual is a FusedConv, with the residual as input 3."""
        node = self.node
        if not (self.absorbed or self.residuals or self.kind):
            return node
        known = {tensor.name for tensor in (*node.inputs, *self.residuals) if tensor is not None}
        others = (tensor for part in self.absorbed for tensor in part.inputs if tensor is not None and tensor.name not in known)
        if node.key == "Conv" and self.residuals and not self.kind:
            inputs = (node.x, node.input(1), node.input(2), *self.residuals, *others)
            return replace(node, op_type="FusedConv", domain="com.microsoft", inputs=inputs)
        made = node.rewire((*node.inputs, *self.residuals, *others))
        return replace(made, op_type=self.kind) if self.kind else made


def constants_of(node: Node) -> list[Tensor]:
    """The constants of known shape that it reads."""
    return [tensor for tensor in node.inputs if tensor is not None and tensor.is_constant and tensor.is_shaped]


def axes_of(node: Node) -> list[int]:
    """The axes of a reduction, without negative ones; an empty list if it reduces all."""
    given = node.input(1)
    axes = node.attributes.get("axes") or (given.value if given is not None else None) or ()
    return [int(axis) % node.x.rank for axis in axes]
