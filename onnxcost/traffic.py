"""Bytes a node must read and write: its inputs once and its outputs once, with the exceptions below and no others."""

from __future__ import annotations

from dataclasses import dataclass

from onnxcost.graph import Node


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes moved between memory and the processor."""

    read_bytes: int = 0
    write_bytes: int = 0

    @property
    def total(self) -> int:
        return self.read_bytes + self.write_bytes

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.read_bytes + other.read_bytes, self.write_bytes + other.write_bytes)

    def __rmul__(self, times: int) -> Traffic:
        return Traffic(times * self.read_bytes, times * self.write_bytes)


NO_TRAFFIC = Traffic()


def traffic(node: Node) -> Traffic:
    """The traffic of one execution of the node; raises UnknownShape."""
    read = sum(tensor.nbytes for tensor in node.inputs if tensor is not None)
    write = sum(tensor.nbytes for tensor in node.outputs if tensor is not None)
    return Traffic(read, write)
