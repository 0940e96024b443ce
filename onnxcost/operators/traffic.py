"""Bytes a node must read and write: its inputs once and its outputs once, with the exceptions below and no others."""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import replace

from onnxcost.graph import Node, Tensor, record
from onnxcost.operators.inputs import role_of
from onnxcost.operators.traits import CONTAINERS, GATHERS, SHAPE_READERS, VIEWS


@record(frozen=True, slots=True)
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


def read_bytes_of(node: Node, names: Container[str]) -> int:
    """The bytes that one execution of the node reads of its inputs with these names; raises UnknownShape."""
    if node.key not in _EXCEPTIONS:
        return _nbytes([tensor for tensor in node.inputs if tensor is not None and tensor.name in names])
    others = [replace(each, dtype="string") if each is not None and each.name in names else each for each in node.inputs]
    return traffic(node).read_bytes - traffic(node.rewire(others)).read_bytes


def _nbytes(tensors: Iterable[Tensor | None]) -> int:
    return sum([tensor.nbytes for tensor in tensors if tensor is not None])


def _pick_packed_rows(node: Node) -> Traffic:
    """The gathered share of the table (input 0), its scales (2) and its zero points (3)."""
    rows = node.x.shape[int(node.attributes.get("gather_axis", 0))]
    indices = node.required(1)
    tables = _nbytes((node.x, *node.inputs[2:]))
    return Traffic(tables * indices.size // rows + indices.nbytes if rows else indices.nbytes, _nbytes(node.outputs))


def _pick_embeddings(node: Node) -> Traffic:
    """One row per token of each embedding (inputs 2 to 4), and the other inputs whole."""
    rows = sum(node.x.size * tensor.nbytes // tensor.shape[0] for tensor in node.inputs[2:5] if tensor and tensor.size)
    return Traffic(rows + _nbytes((*node.inputs[:2], *node.inputs[5:])), _nbytes(node.outputs))


def _pick_rotary_rows(node: Node) -> Traffic:
    """One row per position of the tables of sines and cosines, and the other inputs whole."""
    if node.x.rank < 3:
        positions = node.x.shape[0]
    else:
        has_heads_first = node.x.rank == 4 and node.op_type.endswith("RotaryEmbedding")
        positions = node.x.shape[0] * node.x.shape[2 if has_heads_first else 1]
    read = 0
    for place, tensor in enumerate(node.inputs):
        if tensor is not None:
            rows = tensor.shape[0] if role_of(node, place).name == "positions" and tensor.rank == 2 else 0
            read += tensor.nbytes * min(rows, positions) // rows if rows else tensor.nbytes
    return Traffic(read, _nbytes(node.outputs))


def _attend_to_cache(node: Node) -> Traffic:
    """The rows of the tables that are used. A cache that is as long before as after is a shared buffer: the positions that are
    attended to are read, and the new ones written.
    """
    moved = _pick_rotary_rows(node)
    read, written, new = moved.read_bytes, moved.write_bytes, (node.input(1) or node.x).shape[1]
    total = node.input(6)
    for before, after in zip(node.inputs[3:5], node.outputs[1:3], strict=False):
        if before is None or after is None or before.dims != after.dims or not before.size:
            continue
        room = before.shape[2]
        attended = int(total.value[0]) if total is not None and total.value else room
        read -= before.nbytes * (room - min(attended, room)) // room
        written -= after.nbytes * (room - min(new, room)) // room
    return Traffic(read, written)


def _pick_experts(node: Node) -> Traffic:
    """For tensors with an entry per expert, the share of the experts that the tokens can be routed to."""
    hidden, experts = node.x.shape[-1], node.required(1).shape[-1]
    tokens = node.x.size // hidden if hidden else 0
    taken = min(experts, tokens * int(node.attributes.get("k", 1)))
    read = _nbytes(node.inputs[:2])
    for tensor in node.inputs[2:]:
        if tensor is not None:
            is_by_expert = tensor.rank > 0 and experts > 0 and tensor.shape[0] == experts
            read += tensor.nbytes * taken // experts if is_by_expert else tensor.nbytes
    return Traffic(read, _nbytes(node.outputs))


_EXCEPTIONS: Mapping[str, Callable[[Node], Traffic]] = {
    **dict.fromkeys(VIEWS | CONTAINERS | SHAPE_READERS | {"Constant", "ai.onnx.ml.ZipMap"}, lambda node: NO_TRAFFIC),
    # A node reads as many bytes of its first input as it writes; its other inputs, which select them, it reads whole.
    **dict.fromkeys(
        GATHERS | {"Slice", "Split", "CenterCropPad"},
        lambda node: Traffic(_nbytes((*node.outputs, *node.inputs[1:])), _nbytes(node.outputs)),
    ),
    **dict.fromkeys(("com.microsoft.GatherBlockQuantized", "com.microsoft.GatherPacked"), _pick_packed_rows),
    **dict.fromkeys(("RotaryEmbedding", "com.microsoft.RotaryEmbedding", "com.microsoft.MRotaryEmbedding"), _pick_rotary_rows),
    **dict.fromkeys(("com.microsoft.RMSNormRotary", "com.microsoft.PagedAttention"), _pick_rotary_rows),
    "com.microsoft.GroupQueryAttention": _attend_to_cache,
    **dict.fromkeys(("com.microsoft.MoE", "com.microsoft.QMoE"), _pick_experts),
    **dict.fromkeys(("com.microsoft.EmbedLayerNormalization", "com.microsoft.QEmbedLayerNormalization"), _pick_embeddings),
}
