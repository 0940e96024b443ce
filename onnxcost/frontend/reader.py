"""Reads a model and skips its weights' bytes: a walk over the protobuf wire format that copies all but large payloads.

Only the ranges of the file with the graph in them are read; external data is never opened.
Wire format: https://protobuf.dev/programming-guides/encoding. Field numbers: onnx.proto (ModelProto and what it holds).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.documents import is_whole
from onnxcost.errors import ModelError
from onnxcost.frontend.byte_source import LARGEST, ByteSource, open_source
from onnxcost.frontend.file_kinds import FILE_BYTES, NOT_STORED, describe_file
from onnxcost.frontend.long_lists import FLOATS, INTS, LONG, NAMES, STRINGS, LongList, short_string, tagged
from onnxcost.frontend.node_index import NodeIndex
from onnxcost.frontend.stored_graphs import StoredGraphs, read_graphs
from onnxcost.spec import ModelSource

if TYPE_CHECKING:
    from onnx import ModelProto


LARGE = 1024
"""A tensor loses a payload of more bytes than this in the file."""

MAX_DEPTH = 64
"""Graphs nested more deeply than this are refused: protobuf itself refuses a hundred nested messages."""

HEAD = 1024
"""Bytes at the start of a file that show its kind."""

_VARINT, _BYTES, _GROUP, _END_OF_GROUP = 0, 2, 3, 4
FIXED_SIZES: Mapping[int, int] = {1: 8, 5: 4, _GROUP: 0, _END_OF_GROUP: 0}
"""The bytes of the payload by wire type, for payloads of a fixed size."""
_HEADER = 20
"""The most bytes that a tag and a length take, or a tag and a number."""
_LARGEST_STEP = 2**18
"""The most bytes that the window reads at once."""
_ENDLESS = sys.maxsize
"""The end of a stream of unknown size."""

# Which fields of a message hold a message that may hold a tensor.
_CHILDREN: Mapping[str, Mapping[int, str]] = {
    "Model": {7: "Graph", 25: "Function"},
    "Graph": {1: "Node", 5: "Tensor", 15: "SparseTensor"},
    "Function": {7: "Node", 11: "Attribute"},
    "Node": {5: "Attribute"},
    "Attribute": {5: "Tensor", 6: "Graph", 10: "Tensor", 11: "Graph", 22: "SparseTensor", 23: "SparseTensor"},
    "SparseTensor": {1: "Tensor", 2: "Tensor"},
}
# Which fields are left out: a model's training graphs, which inference never runs.
_DROPPED: Mapping[str, frozenset[int]] = {"Model": frozenset({20})}
# A tensor's payload and location: left out if the payload is large, with NOT_STORED as the location.
_PAYLOAD, _LOCATION_FIELDS = frozenset({4, 5, 6, 7, 9, 10, 11}), frozenset({13, 14})
# A string that is left out if it is large: a compiled model, in the nodes that hold one.
_STRING: Mapping[str, int] = {"Attribute": 4}
# A Constant's lists, which are large as a tensor is: TensorProto's numbers of their types.
_CONSTANT_LISTS: Mapping[bytes, int] = {b"value_floats": 1, b"value_ints": 7, b"value_strings": 8}


class Skeleton(NamedTuple):
    """A model without its large payloads.

    ``path`` is "" if it did not come from a file. ``file_bytes`` is the size of the file, for a stored skeleton that of the
    original one. ``known`` is for what counts of the model at other sizes have in common.
    """

    model: ModelProto
    path: str
    file_bytes: int
    graphs: StoredGraphs
    node_index: NodeIndex
    known: list[Any]


def read_skeleton(source: ModelSource | Skeleton | None) -> Skeleton:
    """The model at ``source`` (a path, an open binary file, bytes or a ModelProto) without its large payloads; a skeleton is
    returned as it is.

    Raises ModelError for a source that is not an ONNX model, InputError for one that cannot be read.
    """
    if isinstance(source, Skeleton):
        return source
    with open_source(source) as data:
        model, graphs = _read(data, _EXTERNAL)
        original = next((entry.value for entry in model.metadata_props if entry.key == FILE_BYTES), "")
        file_bytes = (int(original) if is_whole(original) else 0) or data.size or 0
        return Skeleton(model, data.path, file_bytes, graphs, NodeIndex(graphs), [])


def read_locations(source: ModelSource) -> ModelProto:
    """Like ``read_skeleton``, but only tensors that are external in the file are external, with the locations in it."""
    with open_source(source) as data:
        return _read(data, b"")[0]


def _read(source: ByteSource, mark: bytes) -> tuple[ModelProto, StoredGraphs]:
    is_stream = source.size is None  # and then it cannot be read again
    try:
        walk = _Walk(source, mark)
    except ModelError as error:  # of a container
        raise ModelError(f"{source.path or 'the model'} is not a readable ONNX model: {error}") from None
    if not walk.head:
        raise ModelError(f"{source.path or 'the model'} is empty (0 bytes)")
    try:
        small = walk.message("Model")
        source.check()
        return _parse(small)
    except ModelError as error:
        source.check()  # a file that has changed is reported as that
        said = describe_file(walk.head, source.path) or (not is_stream and _other_message(source)) or error
        raise ModelError(f"{source.path or 'the model'} is not a readable ONNX model: {said}") from None


def _other_message(source: ByteSource) -> str:
    """Which other message of ONNX the source is; "" for none."""
    from google.protobuf.message import DecodeError
    from onnx import FunctionProto, GraphProto, TensorProto

    for kind, message in (("Tensor", TensorProto), ("Graph", GraphProto), ("Function", FunctionProto)):
        try:
            found = message.FromString(_Walk(source, b"").message(kind))
        except (ModelError, DecodeError, RuntimeError):
            continue
        size = found.ByteSize()
        found.DiscardUnknownFields()
        if _TELLING[kind](found) and found.ByteSize() == size:
            return f"it is a single {kind.lower()} ({kind}Proto), not a model, which has a graph and its opsets"
    return ""


_TELLING: Mapping[str, Callable[[Any], bool]] = {
    "Tensor": lambda tensor: tensor.data_type in tensor.DataType.values()[1:],
    "Graph": lambda graph: bool(graph.node) and all(node.op_type for node in graph.node),
    "Function": lambda function: bool(function.name and function.node),
}
"""The difference between such a message and another one that happens to parse as one."""


def _parse(small: bytes) -> tuple[ModelProto, StoredGraphs]:
    from google.protobuf.message import DecodeError
    from onnx import ModelProto

    model = ModelProto()
    try:
        model.ParseFromString(small)
    except (DecodeError, RuntimeError, UnicodeDecodeError) as error:
        raise ModelError(f"its protobuf message does not parse ({error})") from None
    if not model.HasField("graph"):
        raise ModelError("it has no graph")
    return model, read_graphs(model)


class _Walk:
    """One pass over a model, from its first byte to its last, that collects the bytes to keep.

    It sees the source through a window, ``_data``, which begins at ``_start``. The window holds the tag and the length of any
    field that begins before ``_limit``. Bytes before ``_done`` have been collected or left out.
    """

    __slots__ = ("_data", "_done", "_kept", "_limit", "_mark", "_pieces", "_source", "_start", "_step", "head")

    def __init__(self, source: ByteSource, mark: bytes) -> None:
        self._source, self._mark = source, mark
        self._pieces: list[bytes | memoryview] = []
        self._kept = self._done = self._start = self._limit = 0
        self._step, self._data = source.step, source.read(0, 0)
        self._load(0)
        self.head = bytes(self._data[:HEAD])

    def message(self, kind: str) -> bytes:
        """The source as a message of type ``kind``, without the payloads of large tensors.

        Such a tensor gets the mark, if there is one, instead of its payload. Raises ModelError for other bytes.
        """
        try:
            self._copy(kind, 0, _ENDLESS if self._source.size is None else self._source.size, 0)
            self._keep_to(self._source.size or 0)
        except IndexError:
            raise ModelError(f"it ends in the middle of a number at byte {self._start + len(self._data)}") from None
        whole = b"".join(self._pieces)
        self._pieces.clear()
        return whole

    def _copy(self, kind: str, start: int, end: int, depth: int) -> None:
        if depth > 4 * MAX_DEPTH:
            raise ModelError(f"its graphs are nested more than {MAX_DEPTH} deep")
        if kind == "Tensor":
            self._copy_tensor(start, end)
            return
        if kind == "Attribute" and end - start > LONG and self._mark and self._copy_list(start, end):
            return
        children, dropped, string = _CHILDREN[kind], _DROPPED.get(kind, ()), _STRING.get(kind)
        for number, size, at, after in self._fields(start, end, tagged() if kind == "Attribute" else None):
            if number in dropped or (size > LARGE and number == string):
                self._keep_to(at)
                self._done = after
                if number == string:  # an attribute of this type has one
                    self._pieces.append(empty := bytes_field(number, b""))
                    self._kept += len(empty)
            elif size > LARGE and number in children:
                self._keep_to(at)
                self._done = after - size
                slot, before = len(self._pieces), self._kept
                self._pieces.append(b"")  # the tag and the length, when that is known
                self._copy(children[number], after - size, after, depth + 1)
                self._keep_to(after)
                self._pieces[slot] = varint_bytes(number << 3 | _BYTES) + varint_bytes(self._kept - before)
                self._kept += len(self._pieces[slot])

    def _copy_tensor(self, start: int, end: int) -> None:
        payload = 0
        held: list[slice] = []  # pieces that are dropped if the payload turns out to be large
        for number, size, at, after in self._fields(start, end):
            if number not in _PAYLOAD and not (number in _LOCATION_FIELDS and self._mark):
                continue
            self._keep_to(at)
            payload += size if number in _PAYLOAD else 0
            if payload <= LARGE:
                first = len(self._pieces)
                self._keep_to(after)
                held.append(slice(first, len(self._pieces)))
            self._done = after
        if payload > LARGE:
            self._keep_to(end)
            for pieces in held:
                self._kept -= sum(map(len, self._pieces[pieces]))
                self._pieces[pieces] = [b""] * (pieces.stop - pieces.start)
            self._pieces.append(self._mark)
            self._kept += len(self._mark)

    def _copy_list(self, start: int, end: int) -> bool:
        """Copies an attribute that is a long list, with a tensor for its numbers; False, and nothing is done, for others.

        A Constant's list becomes its tensor without data.
        """
        fields = self._fields(start, end, tagged())
        number, size, _, after = next(fields, (0, 0, start, start))
        name = bytes(self._data[after - size - self._start : after - self._start]) if number == 1 else b""
        constant = _CONSTANT_LISTS.get(name)
        if constant is None and not NAMES.fullmatch(name):
            return False
        self._keep_to(start)
        first, kept = len(self._pieces), self._kept
        found, strings = LongList(INTS), 0
        for number, size, at, after in fields:
            field = number or self._data[at - self._start] >> 3
            found = found if found.array or field not in (FLOATS, INTS, STRINGS) else LongList(field)
            if field != found.field:
                continue
            content = self._take(at, after)
            if constant and field == STRINGS:  # which are seldom the same
                strings += 1 if number else len(short_string().findall(content))
            elif number:
                found.add_payload(content[len(content) - size :])
            else:
                found.add_tagged(content)
        self._keep_to(end)
        tensor = b"\x08" + varint_bytes(strings or len(found.array)) + b"\x10"
        if constant:
            del self._pieces[first:]
            self._pieces.append(bytes_field(1, b"value") + b"\xa0\x01\x04")  # type: TENSOR
            tensor, data = tensor + varint_bytes(constant) + self._mark, memoryview(b"")
        else:
            self._pieces += [bytes_field(STRINGS, each) for each in found.strings]
            data = memoryview(found.array).cast("B")
            tensor += varint_bytes(found.data_type) + b"\x4a" + varint_bytes(len(data))
        if constant or data:
            self._pieces += [varint_bytes(5 << 3 | _BYTES) + varint_bytes(len(tensor) + len(data)) + tensor, data]
        self._kept = kept + sum(map(len, self._pieces[first:]))
        return True

    def _take(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to ``end``, which are not collected."""
        self._keep_to(start)
        first = len(self._pieces)
        self._keep_to(end)
        taken = b"".join(self._pieces[first:])
        del self._pieces[first:]
        self._kept -= len(taken)
        return taken

    def _fields(
        self, position: int, end: int, together: re.Pattern[bytes] | None = None
    ) -> Iterator[tuple[int, int, int, int]]:
        """The fields from ``position`` to ``end``: number, bytes of the payload, where it begins, where it ends.

        What ``together`` matches, many fields one after the other, is one with the number 0: a gradient-boosting model has
        millions of them.
        """
        data, start, limit = self._data, self._start, self._limit
        groups = 0  # open ones: no field of ONNX is a group, and their contents are kept as they are
        while position < end:
            if position > limit:
                self._load(position)
                data, start, limit = self._data, self._start, self._limit
                if not data and end == _ENDLESS:
                    return
            index = position - start
            if together is not None and not groups and (run := together.match(data, index, min(end - start, len(data)))):
                after = start + run.end()
                yield 0, run.end() - index, position, after
                position = after
                continue
            tag = data[index]
            index += 1
            if tag > 0x7F:
                tag, index = _varint(data, index - 1, start)
            wire_type = tag & 7
            if wire_type == _BYTES:
                size = data[index]
                index += 1
                if size > 0x7F:
                    size, index = _varint(data, index - 1, start)
            elif wire_type == _VARINT:
                size = _varint(data, index, start)[1] - index
            else:
                size = FIXED_SIZES.get(wire_type, -1)
                groups += (wire_type == _GROUP) - (wire_type == _END_OF_GROUP)
            if size < 0 or tag < 8 or groups < 0:
                raise ModelError(f"byte {position} does not start a protobuf field")
            after = start + index + size
            if after > end:
                raise ModelError(f"it ends in the middle of a field at byte {position}, as an incomplete download would")
            if not groups and wire_type != _END_OF_GROUP:
                yield tag >> 3, size, position, after
            if self._start != start:
                data, start, limit = self._data, self._start, self._limit
            position = after
        if groups:
            raise ModelError(f"a group of fields does not end before byte {end}")

    def _load(self, position: int) -> None:
        """Moves the window to ``position``. It grows while it moves without a gap, and is small again after one."""
        self._keep_to(position)
        stop = self._start + len(self._data)
        is_next = position <= stop + self._source.step
        self._step = max(min(2 * self._step, _LARGEST_STEP) if is_next else 0, self._source.step, _HEADER)
        rest = bytes(self._data[position - self._start :]) if position < stop else b""
        more = self._source.read(position + len(rest), position + len(rest) + self._step)
        self._data, self._start = rest + more if rest else more, position
        stop = position + len(self._data)
        self._limit = stop - (1 if stop == self._source.size else _HEADER)

    def _keep_to(self, end: int) -> None:
        """Collects the bytes before ``end``."""
        start, stop = self._done, self._start + len(self._data)
        if end <= start:
            return
        self._kept += end - start
        if self._kept > LARGEST:
            raise ModelError("it is larger than 2 GiB without its weights, which protobuf cannot read")
        if start < stop:
            self._pieces.append(self._data[start - self._start : end - self._start])
        if end > stop:
            self._pieces.append(piece := self._source.read(max(start, stop), end))
            if len(piece) < end - max(start, stop):
                raise ModelError(f"it ends in the middle of a field, after {self._source.size} bytes")
        self._done = end


def _varint(data: bytes | memoryview, index: int, start: int) -> tuple[int, int]:
    """The number at ``index``, and the index after it; ``start`` is the position of the data in the model."""
    value = shift = 0
    while shift < 70:
        byte = data[index]
        index += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, index
        shift += 7
    raise ModelError(f"it ends in the middle of a number at byte {start + index}")


def varint_bytes(value: int) -> bytes:
    """The number as protobuf writes it."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def bytes_field(number: int, payload: bytes) -> bytes:
    """A field with a payload of bytes: a text, or a message."""
    return varint_bytes(number << 3 | _BYTES) + varint_bytes(len(payload)) + payload


# external_data = [{key: "location", value: NOT_STORED}], data_location = EXTERNAL
_EXTERNAL = bytes_field(13, bytes_field(1, b"location") + bytes_field(2, NOT_STORED.encode())) + b"\x70\x01"
