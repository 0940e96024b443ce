"""Bytes a node must read and write: its inputs once and its outputs once, with the exceptions below and no others."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnxcost.graph import Node, Tensor
from onnxcost.operators.traits import CONTAINERS, GATHERS, SHAPE_READERS, VIEWS


@dataclass(frozen=True, slots=True)
class Traffic:
    """Bytes moved between memory and the processor."""

    read_bytes: int = 0
    write_bytes: int = 0

    @property
    def total(self) -> int:
        """Bytes read and written."""
        return self.read_bytes + self.write_bytes

    def __add__(self, other: Traffic) -> Traffic:
        return Traffic(self.read_bytes + other.read_bytes, self.write_bytes + other.write_bytes)

    def __rmul__(self, times: int) -> Traffic:
        return Traffic(times * self.read_bytes, times * self.write_bytes)


NO_TRAFFIC = Traffic()


def traffic(node: Node) -> Traffic:
    """The traffic of one execution of the node; raises UnknownShape."""
    exception = _EXCEPTIONS.get(node.key)
    return exception(node) if exception is not None else Traffic(_nbytes(node.inputs), _nbytes(node.outputs))


def _nbytes(tensors: tuple[Tensor | None, ...]) -> int:
    return sum([tensor.nbytes for tensor in tensors if tensor is not None])


def _reads_what_it_picks(node: Node) -> Traffic:
    """Of its first input a node reads as much as it writes, and the rest of its inputs, which say what to pick, whole."""
    written = _nbytes(node.outputs)
    return Traffic(written + _nbytes(node.inputs[1:]), written)


def _reads_packed_rows(node: Node) -> Traffic:
    """Of the table (input 0), its scales (2) and zero points (3) as large a part as is gathered."""
    rows = node.x.shape[int(node.attributes.get("gather_axis", 0))]
    indices = node.required(1)
    tables = _nbytes((node.x, *node.inputs[2:]))
    return Traffic(tables * indices.size // rows + indices.nbytes if rows else indices.nbytes, _nbytes(node.outputs))


def _reads_embeddings(node: Node) -> Traffic:
    """One row a token of each embedding (inputs 2 to 4), and the other inputs whole."""
    rows = sum(node.x.size * tensor.nbytes // tensor.shape[0] for tensor in node.inputs[2:5] if tensor and tensor.size)
    return Traffic(rows + _nbytes((*node.inputs[:2], *node.inputs[5:])), _nbytes(node.outputs))


_EXCEPTIONS: Mapping[str, Callable[[Node], Traffic]] = {
    **dict.fromkeys(VIEWS | CONTAINERS | SHAPE_READERS | {"Constant", "ai.onnx.ml.ZipMap"}, lambda node: NO_TRAFFIC),
    **dict.fromkeys(GATHERS | {"Slice", "Split", "CenterCropPad"}, _reads_what_it_picks),
    **dict.fromkeys(("com.microsoft.GatherBlockQuantized", "com.microsoft.GatherPacked"), _reads_packed_rows),
    **dict.fromkeys(("com.microsoft.EmbedLayerNormalization", "com.microsoft.QEmbedLayerNormalization"), _reads_embeddings),
}
