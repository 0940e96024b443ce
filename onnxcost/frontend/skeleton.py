"""Reads a model and skips its weights' bytes: a walk over the protobuf wire format that copies all but large payloads.

The file is memory-mapped and only the pages with the graph in them are ever touched; external data is never opened.
Wire format: https://protobuf.dev/programming-guides/encoding. Field numbers: onnx.proto (ModelProto and what it holds).
"""

from __future__ import annotations

import mmap
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.documents import is_whole
from onnxcost.errors import InputError, ModelError
from onnxcost.frontend.names import check_names

if TYPE_CHECKING:
    from onnx import ModelProto

ModelSource = "str | os.PathLike[str] | bytes | BinaryIO | ModelProto"

LARGE = 1024
"""A tensor whose message is longer than this many bytes loses its payload."""

NOT_STORED = "weights-not-stored"
"""The external location that a tensor without its payload names."""

FILE_BYTES = "onnxcost.file_bytes"
"""The key of a stored skeleton's metadata under which the bytes of the file that it was made of are kept."""

MAX_DEPTH = 64
"""Graphs nested deeper than this are refused: protobuf itself gives up at a hundred messages."""

_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5

# Which fields of a message hold a message that may hold a tensor.
_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
    "Tensor": {},
}
# Which fields are left out: a tensor's payload, a model's training graphs, which inference never runs.
_DROPPED: Mapping[str, frozenset[int]] = {"Tensor": frozenset({4, 5, 6, 7, 9, 10, 11}), "Model": frozenset({20})}
# Where a tensor's payload lies, left out where NOT_STORED says it instead.
_WHEREABOUTS = frozenset({13, 14})
# A string that is left out where it is large: a compiled model, in the nodes that hold one.
_STRING: Mapping[str, int] = {"Attribute": 4}


class Skeleton(NamedTuple):
    """A model without its large payloads. ``path`` is "" where it did not come from a file; ``file_bytes`` are all it had,
    or those of the file that it was stripped of them from.
    """

    model: ModelProto
    path: str
    file_bytes: int


_Field = tuple[int, int, int, int, int]
"""A field's number and wire type; where its tag starts, where its payload does (behind the length), where it ends."""


def read_skeleton(source: ModelSource) -> Skeleton:  # type: ignore[valid-type]
    """The model at ``source`` (a path, an open binary file, bytes or a ModelProto) without its large payloads.

    Raises ModelError for what is not an ONNX model, InputError for what cannot be read.
    """
    with _buffer(source) as (buffer, path):
        model = _read(buffer, path, _EXTERNAL)
        return Skeleton(model, path, _stripped_from(model) or len(buffer))


def read_whereabouts(source: ModelSource) -> ModelProto:  # type: ignore[valid-type]
    """As ``read_skeleton``, but what is external here is so in the file too, and lies where it says there."""
    with _buffer(source) as (buffer, path):
        return _read(buffer, path, b"")


def _stripped_from(model: ModelProto) -> int | None:
    sizes = [entry.value for entry in model.metadata_props if entry.key == FILE_BYTES]
    return int(sizes[0]) if sizes and is_whole(sizes[0]) else None


def _read(buffer: memoryview | mmap.mmap, path: str, mark: bytes) -> ModelProto:
    if not len(buffer):
        raise ModelError(f"{path or 'the model'} is empty: it has no bytes at all")
    try:
        return _parse(_without_payloads(buffer, "Model", 0, len(buffer), 0, mark))
    except ModelError as error:
        raise ModelError(f"{path or 'the model'} is not a readable ONNX model: {error}") from None


@contextmanager
def _buffer(source: ModelSource) -> Iterator[tuple[memoryview | mmap.mmap, str]]:  # type: ignore[valid-type]
    if isinstance(source, (bytes, bytearray, memoryview)):
        yield memoryview(source), ""
    elif isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        try:
            with Path(path).open("rb") as file:
                if os.fstat(file.fileno()).st_size == 0:
                    yield memoryview(b""), path
                    return
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    yield mapped, path
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise InputError(f"cannot read {path!r}: {reason}") from None
    elif hasattr(source, "SerializeToString"):
        yield memoryview(source.SerializeToString()), ""
    elif hasattr(source, "read"):
        yield memoryview(source.read()), getattr(source, "name", "")
    else:
        raise InputError(f"a model is a path, a binary file, bytes or a ModelProto, not {type(source).__name__}")


def _parse(small: bytes) -> ModelProto:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(small)
    except (DecodeError, RuntimeError, UnicodeDecodeError) as error:
        raise ModelError(f"its protobuf message does not parse ({error})") from None
    if not model.HasField("graph"):
        raise ModelError("it has no graph")
    check_names(model)
    return model


def _without_payloads(buffer: memoryview | mmap.mmap, kind: str, start: int, end: int, depth: int, mark: bytes) -> bytes:
    """The message of type ``kind`` in ``buffer[start:end]``, copied without the payloads of large tensors.

    Such a tensor gets the ``mark``; without one it keeps what it says of where its payload lies.
    """
    if depth > 4 * MAX_DEPTH:
        raise ModelError(f"its graphs are nested more than {MAX_DEPTH} deep")
    children, dropped, string = _CHILDREN[kind], _DROPPED.get(kind, frozenset()), _STRING.get(kind)
    if kind == "Tensor" and mark:
        dropped |= _WHEREABOUTS
    pieces: list[bytes | memoryview] = []
    copied = start
    for number, wire_type, at, payload, after in _fields(buffer, start, end):
        is_large = wire_type == _BYTES and after - payload > LARGE
        drop = number in dropped or (is_large and number == string)
        child = children.get(number)
        if drop or (child and is_large):
            pieces.append(buffer[copied:at])
            copied = after
            if child and not drop:
                message = _without_payloads(buffer, child, payload, after, depth + 1, mark)
                pieces += (_varint_bytes(number << 3 | _BYTES), _varint_bytes(len(message)), message)
    pieces.append(buffer[copied:end])
    if kind == "Tensor":
        pieces.append(mark)
    return b"".join(pieces)


def _fields(buffer: memoryview | mmap.mmap, position: int, end: int) -> Iterator[_Field]:
    while position < end:
        start = position
        tag, position = _varint(buffer, position, end)
        number, wire_type = tag >> 3, tag & 7
        payload = position
        if wire_type == _VARINT:
            _, position = _varint(buffer, position, end)
        elif wire_type == _BYTES:
            length, payload = _varint(buffer, position, end)
            position = payload + length
        elif wire_type in (_FIXED64, _FIXED32):
            position += 8 if wire_type == _FIXED64 else 4
        else:
            raise ModelError(f"byte {start} is no protobuf field")
        if position > end or number == 0:
            where = f"byte {start} is no protobuf field" if number == 0 else f"it ends in the middle of a field at byte {start}"
            raise ModelError(where)
        yield number, wire_type, start, payload, position


def _varint(buffer: memoryview | mmap.mmap, position: int, end: int) -> tuple[int, int]:
    value = shift = 0
    while position < end and shift < 70:
        byte = buffer[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
    raise ModelError(f"it ends in the middle of a number at byte {position}")


def _varint_bytes(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def _bytes_field(number: int, payload: bytes) -> bytes:
    return _varint_bytes(number << 3 | _BYTES) + _varint_bytes(len(payload)) + payload


# external_data = [{key: "location", value: NOT_STORED}], data_location = EXTERNAL
_EXTERNAL = _bytes_field(13, _bytes_field(1, b"location") + _bytes_field(2, NOT_STORED.encode())) + b"\x70\x01"
