"""``onnxcost annotate``: a model with notes in the metadata of its nodes, where Netron shows them.

The file is copied field by field in protobuf's wire format: notes are entries that are appended to a node's message. Tensors
are copied in pieces without parsing; those in other files stay there.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NamedTuple

from onnxcost.errors import InputError, ModelError
from onnxcost.files import CHUNK, read_error, replace_file
from onnxcost.frontend.external import scope_of, stored_tensors
from onnxcost.frontend.file_kinds import FILE_BYTES, NOT_STORED
from onnxcost.frontend.normalize import nodes_in
from onnxcost.frontend.reader import FIXED_SIZES, bytes_field, read_locations, read_skeleton, varint_bytes
from onnxcost.remote.downloads import download
from onnxcost.remote.urls import SMALL, is_remote

PREFIX = "onnxcost."
"""The prefix of the keys of notes; those of an earlier annotation are replaced."""
Notes = Mapping[str, str]

_GRAPH, _MODEL_METADATA = 7, 14
_NODE, _OUTPUT, _NAME, _OPERATOR, _ATTRIBUTE, _NODE_METADATA = 1, 2, 3, 4, 5, 9
"""The numbers of fields: of a model, of a graph, and of a node."""
_BODIES = (6, 11)
"""The fields of an attribute that are graphs."""
_BYTES, _GROUP, _END_OF_GROUP = 2, 3, 4
_LARGEST_ENTRY = 2**16
"""The most bytes of a metadata entry that is read to see whether it is a note."""


class _Field(NamedTuple):
    """A field of a message: its number, where it begins, where its payload begins, and where both end.

    The number is 0 for fields without bytes, and for those in a group: ONNX has no groups.
    """

    number: int
    start: int
    payload: int
    end: int


Piece = bytes | tuple[int, int]
"""Bytes to write, or the range of the original that is copied there."""


def annotate(
    model: str | os.PathLike[str], path: str | os.PathLike[str], notes: Mapping[str, Notes], model_notes: Notes | None = None
) -> int:
    """Writes the model in the file ``model`` to ``path``, with notes in ``metadata_props``; returns the number of nodes with
    notes.

    ``notes`` are by the name of the first output of a node, in bodies as a report has it: ``if/then/x``, ``loop/x``. Keys get
    the prefix ``onnxcost.``; ``model_notes`` are the model's own.

    A model at a URL is downloaded if it is small, or read from an earlier download. Raises InputError for a file that cannot be
    read or written, or that would lose its weights in other files; ModelError for a source that is not a model.
    """
    source, target = download(model, most=SMALL) if is_remote(model) else Path(model), Path(path)
    _check_target(source, target)
    try:
        with source.open("rb") as file:
            copy = _Copy(file, notes)
            pieces = copy.message(0, os.fstat(file.fileno()).st_size, model_notes or {})
            replace_file(target, copy.read_pieces(pieces))
    except OSError as error:
        raise read_error(error, source) from None
    return copy.noted


def _check_target(source: Path, target: Path) -> None:
    """Raises InputError for a target in another folder than the external data, ModelError for a source that is not a model."""
    locations = {stored.location for stored in stored_tensors(read_locations(source)) if stored.is_external} - {NOT_STORED}
    home, goal = (Path(os.path.realpath(each)).parent for each in (source, target))
    if locations and home != goal:
        raise InputError(
            f"'{source}' has weights in other files ('{min(locations)}'): write the annotated model to the same folder, {home}"
        )
    # For a name that no file can have, os.path.exists returns False, while Path.exists raises OSError.
    files = (source.parent / name for name in locations if os.path.exists(source.parent / name))  # noqa: PTH110
    if target.exists() and any(map(target.samefile, files)):
        raise InputError(f"'{target}' has the weights of '{source}'")


def function_calls(path: str) -> frozenset[str]:
    """The first outputs of the nodes that call functions of the model in the file; none if it is no file."""
    if not Path(path).is_file():
        return frozenset()
    model = read_skeleton(path).model
    functions = {scope_of(each.domain, each.name, each.overload) for each in model.functions}
    nodes = nodes_in(model.graph.node) if functions else ()
    calls = (node for node in nodes if scope_of(node.domain, node.op_type, node.overload) in functions)
    return frozenset(name for node in calls for name in [next(filter(None, node.output), "")])


class _Copy:
    """A copy of a model with notes, as pieces; ``noted`` counts the nodes with notes."""

    def __init__(self, file: BinaryIO, notes: Mapping[str, Notes]) -> None:
        self._file, self._notes, self.noted = file, notes, 0

    def message(self, start: int, end: int, notes: Notes) -> list[Piece]:
        """The model's message."""
        pieces: list[Piece] = []
        for field in self._fields(start, end):
            if field.number == _GRAPH:
                pieces += _wrap(field.number, self._graph(field.payload, field.end, ""))
            elif field.number != _MODEL_METADATA or not self._is_note(field):
                pieces.append((field.start, field.end))
        return pieces + [_entry(_MODEL_METADATA, PREFIX + key, value) for key, value in notes.items()]

    def _graph(self, start: int, end: int, scope: str) -> list[Piece]:
        """A graph, or the body of a node: then the names of its values in a report begin with ``scope``."""
        pieces: list[Piece] = []
        count = 0
        for field in self._fields(start, end):
            if field.number == _NODE:
                pieces += _wrap(_NODE, self._node(field.payload, field.end, scope, count))
                count += 1
            else:
                pieces.append((field.start, field.end))
        return pieces

    def _node(self, start: int, end: int, scope: str, index: int) -> list[Piece]:
        pieces: list[Piece] = []
        fields = [each for each in self._fields(start, end) if each.number != _NODE_METADATA or not self._is_note(each)]
        texts = {number: self._texts(fields, number) for number in (_OUTPUT, _NAME, _OPERATOR)}
        name = next(filter(None, texts[_NAME]), f"{next(iter(texts[_OPERATOR]), '')}_{index}")
        for field in fields:
            is_attribute = field.number == _ATTRIBUTE
            pieces += self._attribute(field, f"{scope}{name}/") if is_attribute else [(field.start, field.end)]
        notes = self._notes.get(scope + next(filter(None, texts[_OUTPUT]), ""), {})
        self.noted += bool(notes)
        return pieces + [_entry(_NODE_METADATA, PREFIX + key, value) for key, value in notes.items()]

    def _texts(self, fields: Sequence[_Field], number: int) -> list[str]:
        return [self._read(each.payload, each.end).decode(errors="replace") for each in fields if each.number == number]

    def _attribute(self, attribute: _Field, scope: str) -> list[Piece]:
        """The attribute as it is, unless it has bodies. The scope of a branch has its name: ``then``, ``else``."""
        fields = list(self._fields(attribute.payload, attribute.end))
        if not any(each.number in _BODIES for each in fields):
            return [(attribute.start, attribute.end)]
        name = next(iter(self._texts(fields, 1)), "")
        inner = f"{scope}{name.removesuffix('_branch')}/" if name.endswith("_branch") else scope
        pieces: list[Piece] = []
        for each in fields:
            is_body = each.number in _BODIES
            pieces += _wrap(each.number, self._graph(each.payload, each.end, inner)) if is_body else [(each.start, each.end)]
        return _wrap(_ATTRIBUTE, pieces)

    def _is_note(self, field: _Field) -> bool:
        """Whether an entry of metadata is an earlier note. The size of a skeleton's original file is not a note."""
        if field.end - field.payload > _LARGEST_ENTRY:
            return False
        keys = [self._read(each.payload, each.end) for each in self._fields(field.payload, field.end) if each.number == 1]
        return any(key.startswith(PREFIX.encode()) and key != FILE_BYTES.encode() for key in keys)

    def _fields(self, start: int, end: int) -> Iterator[_Field]:
        position, groups = start, 0
        while position < end:
            tag, after = self._varint(position, end)
            wire_type, payload = tag & 7, after
            if wire_type == _BYTES:
                size, payload = self._varint(after, end)
            elif wire_type == 0:
                size = self._varint(after, end)[1] - after
            else:
                size = FIXED_SIZES.get(wire_type, -1)
                groups += (wire_type == _GROUP) - (wire_type == _END_OF_GROUP)
            if size < 0 or payload + size > end:
                raise ModelError(f"byte {position} does not start a protobuf field")
            yield _Field(tag >> 3 if wire_type == _BYTES and not groups else 0, position, payload, payload + size)
            position = payload + size

    def _varint(self, position: int, end: int) -> tuple[int, int]:
        """The number at the position, and the position after it."""
        value = 0
        for shift, byte in enumerate(self._read(position, min(position + 10, end))):
            value |= (byte & 0x7F) << 7 * shift
            if byte < 0x80:
                return value, position + shift + 1
        raise ModelError(f"byte {position} does not start a protobuf field")

    def _read(self, start: int, end: int) -> bytes:
        self._file.seek(start)
        if len(found := self._file.read(end - start)) < end - start:
            raise ModelError(f"it ends after {start + len(found)} bytes: it was truncated")
        return found

    def read_pieces(self, pieces: list[Piece]) -> Iterator[bytes]:
        """The bytes of the pieces; ranges are read block by block."""
        for piece in pieces:
            if isinstance(piece, bytes):
                yield piece
                continue
            for start in range(*piece, CHUNK):
                yield self._read(start, min(start + CHUNK, piece[1]))


def _wrap(number: int, pieces: list[Piece]) -> list[Piece]:
    """The pieces as one field of bytes; consecutive ranges are joined."""
    joined: list[Piece] = []
    for piece in pieces:
        last = joined[-1] if joined else None
        if isinstance(piece, tuple) and isinstance(last, tuple) and last[1] == piece[0]:
            joined[-1] = (last[0], piece[1])
        else:
            joined.append(piece)
    size = sum(len(piece) if isinstance(piece, bytes) else piece[1] - piece[0] for piece in joined)
    return [varint_bytes(number << 3 | _BYTES) + varint_bytes(size), *joined]


def _entry(number: int, key: str, value: str) -> bytes:
    """An entry of ``metadata_props``."""
    return bytes_field(number, bytes_field(1, key.encode()) + bytes_field(2, value.encode(errors="replace")))
