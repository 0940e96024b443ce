"""Where a model's bytes come from: a file, bytes in memory, an open file, a pipe, a URL. Only requested ranges are read, and
from a URL also the rest of each request.

Nothing is memory-mapped: reading a mapped file that shrinks kills the process, and its pages count as the process's memory.
"""

from __future__ import annotations

import io
import os
import threading
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from itertools import pairwise
from typing import Any, BinaryIO, Protocol

from onnxcost.errors import InputError, ModelError, OnnxCostError, UnreadableFile
from onnxcost.files import CHUNK, Readable, open_file, read_error, read_up_to
from onnxcost.frontend.containers import HEAD, UnpackedStream, explained, find_container
from onnxcost.remote.downloads import find_download
from onnxcost.remote.models import FIRST, open_remote
from onnxcost.remote.urls import SMALL, RemoteFile, Span, is_remote
from onnxcost.spec import ModelSource

LARGEST = 2**31 - 1
"""The bytes of the longest message that protobuf reads."""


class ByteSource(Protocol):
    """Bytes that are read in ranges; positions count from the model's first byte."""

    path: str
    """"" if the bytes are not those of a file."""
    step: int
    """The fewest bytes for which a separate read pays off."""
    size: int | None
    """The number of bytes; None for a stream, which is only read forward, until its end is reached."""

    def read(self, start: int, end: int) -> bytes | memoryview:
        """The bytes from ``start`` to ``end``, or to the last one if that comes first."""

    def check(self) -> None:
        """Raises InputError if the source has changed since it was opened."""


@contextmanager
def open_source(source: ModelSource | None, *, has_weights: bool = False) -> Iterator[ByteSource]:
    """The source to read from; for a container, the model in it. An open file is read from its position, which is restored
    afterwards if the file is seekable. ``has_weights`` as in ``unpack``.

    Raises InputError for what cannot be read.
    """
    with _open_plain(source) as plain:
        yield _unpack(plain, has_weights)


def is_packed(source: ModelSource | None) -> bool:
    """Whether the source is a container with a model in it. Raises InputError for what cannot be read."""
    with _open_plain(source) as plain:
        return plain.size is not None and find_container(bytes(plain.read(0, HEAD))) is not None


def _unpack(plain: ByteSource, has_weights: bool) -> ByteSource:
    """The model in a container, or the source itself. Without ``has_weights``, weights may be left out to save time.

    Raises ModelError for a container that cannot be read.
    """
    container = find_container(bytes(plain.read(0, HEAD))) if plain.size is not None else None
    if container is None:
        return plain
    try:
        with explained(container.name):
            opened = container.open(io.BufferedReader(SourceFile(plain)), has_weights)
    except ModelError as error:
        raise ModelError(f"{plain.path or 'the model'} is not a readable ONNX model: {error}") from None
    if opened is None:
        return plain
    if isinstance(opened, bytes):
        return _MemorySource(opened, plain.path)
    return _StreamSource(UnpackedStream(opened, container.name), plain.path)


@contextmanager
def _open_plain(source: ModelSource | None) -> Iterator[ByteSource]:
    name = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "")
    path = name if isinstance(name, str) and not name.startswith("<") else ""  # such as "<stdin>"
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            yield _MemorySource(source)
        elif is_remote(source):
            with _open_url(source) as found:
                yield found
        elif isinstance(source, (str, os.PathLike)):
            with open_file(path) as (file, head):
                yield _FileSource(file, path) if head is None else _StreamSource(file, path, head)
        elif hasattr(source, "SerializeToString"):
            yield _MemorySource(_serialize(source))
        elif isinstance(source, TextIOBase):
            raise InputError("a model is read from a file in binary mode: open it with 'rb'")
        elif hasattr(source, "read"):
            opened: Any = source
            start = position_of(opened)
            try:
                yield _StreamSource(opened, path) if start is None else _FileSource(opened, path, start)
            finally:
                if start is not None:
                    opened.seek(start)
        else:
            raise InputError(f"a model is a path, a binary file, bytes or a ModelProto, not {type(source).__name__}")
    except OnnxCostError:  # some are OSErrors, too
        raise
    except (OSError, ValueError) as error:
        raise read_error(error, path, repr(path) if path else "the model") from None


def read_stream(source: ModelSource) -> bytes:
    """All bytes of a pipe, of standard input, or of the model in a container.

    Raises InputError for more than LARGEST and if nothing is written to it.
    """
    with open_source(source, has_weights=True) as data:
        content = bytes(data.read(0, LARGEST + 1))
    if len(content) > LARGEST:
        raise InputError(f"{data.path or 'the model'} is a stream of more than 2 GiB: write it to a file first")
    return content


class SourceFile(io.RawIOBase):
    """A source as a seekable file."""

    def __init__(self, source: ByteSource) -> None:
        self._source, self._at = source, 0

    def readable(self) -> bool:
        """True."""
        return True

    def seekable(self) -> bool:
        """True."""
        return True

    def tell(self) -> int:
        """The position."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Moves to a position."""
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._source.size or 0}[whence]
        self._at = max(0, start + offset)
        return self._at

    def readinto(self, buffer: Any, /) -> int:
        """Reads into a buffer."""
        end = min(self._at + len(buffer), self._source.size or 0)
        content = self._source.read(self._at, end) if end > self._at else b""
        buffer[: len(content)] = content
        self._at += len(content)
        return len(content)


class _MemorySource:
    def __init__(self, content: bytes | bytearray | memoryview, path: str = "") -> None:
        self.path = path
        self._content = memoryview(content).cast("B")
        self.size: int | None = len(self._content)
        self.step = len(self._content)

    def read(self, start: int, end: int) -> memoryview:
        return self._content[start:end]

    def check(self) -> None:
        """Does nothing: bytes in memory do not change."""


class _FileSource:
    """A seekable file. The model begins at ``start``; without one, the file is the one at ``path``."""

    step = 1024

    def __init__(self, file: BinaryIO, path: str, start: int | None = None) -> None:
        self.path = path
        self._file, self._start, self._named = file, start or 0, start is None
        self._state = self._identify(named=False)
        self._length = max(0, file.seek(0, os.SEEK_END) - self._start)
        self.size: int | None = self._length

    def read(self, start: int, end: int) -> bytes:
        wanted = min(end, self._length) - start
        self._file.seek(self._start + start)
        content = read_up_to(self._file, wanted)
        if len(content) < wanted:
            raise self._change_error()
        return content

    def check(self) -> None:
        if self._identify(self._named) != self._state:
            raise self._change_error()

    def _identify(self, named: bool) -> tuple[int, ...]:
        """The identity and state of the file; with ``named``, of the file that now has its name."""
        try:
            now = os.stat(self.path) if named and os.path.exists(self.path) else os.fstat(self._file.fileno())  # noqa: PTH110, PTH116
        except (OSError, ValueError, AttributeError):
            return ()
        return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)

    def _change_error(self) -> UnreadableFile:
        return UnreadableFile(f"{self.path or 'the model'} changed while it was read: try again when it is complete")


class _StreamSource:
    """A source that can only be read once, forward; ``head`` has already been read from it."""

    step = 2**16

    def __init__(self, file: Readable, path: str, head: bytes = b"") -> None:
        self.path = path
        self.size: int | None = None
        self._file, self._head, self._at = file, head, 0

    def read(self, start: int, end: int) -> bytes:
        while self._at < start:
            if not self._read_next(min(start - self._at, CHUNK)):
                raise ModelError(f"it ends in the middle of a field, after {self._at} bytes")
        return self._read_next(end - start)

    def check(self) -> None:
        """Does nothing: a stream cannot be read twice."""

    def _read_next(self, count: int) -> bytes:
        taken, self._head = self._head[:count], self._head[count:]
        taken += read_up_to(self._file, count - len(taken))
        self._at += len(taken)
        if len(taken) < count:
            self.size = self._at
        return taken


NEAR = 2**15
"""A gap of up to this many bytes is read instead of sending another request."""
AFTER_JUMP, LARGEST_READ, GROWTH = 2**12, 2**20, 4
"""The bytes that are read after a gap, the most that are read at once, and the growth factor of consecutive reads."""
BEFORE_FORESEEN, AT_FORESEEN = 2**10, 2**14
"""The bytes that are read before and after a position where the reader is expected."""
DRIFT = 2**6
"""How far the distances between two payloads of a series may differ: numbers in names have different lengths."""
LONGEST_SERIES, MOST_AHEAD = 64, 256
"""The most distances in a series, and the most that are predicted."""


class _RemoteSource:
    """A model at a URL. The bytes that were read are cached, so that reading it again takes only one request.

    The reader jumps from payload to payload. If the distances repeat, like those of the layers of a network, the next positions
    are requested in parallel.
    """

    step = 1024

    def __init__(self, file: RemoteFile) -> None:
        self.path, self.file = file.name, file
        self.size: int | None = file.state.size
        self._starts, self._parts = [0], [file.head]
        if not file.has_ranges:
            content = file.read_whole(SMALL)
            if content is None:
                size = f" has {self.size / 10**6:,.0f} MB and" if self.size else ""
                raise InputError(
                    f"'{self.path}'{size} comes from a server that does not support range requests: fetch it with --download"
                )
            self.size, self._parts = len(content), [content]
        self._grown, self._arrived = FIRST, 0
        self._jumps: list[int] = []
        self._lock = threading.Lock()

    @property
    def held(self) -> int:
        """The bytes in memory."""
        return sum(map(len, self._parts))

    def read(self, start: int, end: int) -> bytes:
        with self._lock:
            end = min(end, self.size or 0)
            if start - self._arrived > NEAR:
                self._jumps.append(start)
                self._grown = AFTER_JUMP // GROWTH
            self._arrived = max(self._arrived, end)
            pieces = []
            while start < end:
                at = bisect_right(self._starts, start) - 1
                piece = self._parts[at][start - self._starts[at] : end - self._starts[at]]
                if not piece:
                    self._fetch(start, end)
                    continue
                pieces.append(piece)
                start += len(piece)
            return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def check(self) -> None:
        self.file.check()

    def _fetch(self, start: int, end: int) -> None:
        """Requests bytes from ``start`` on, as many as pay off, and those that will be read after a jump."""
        self._grown = min(GROWTH * self._grown, LARGEST_READ)
        asked = [(start, max(end, start + self._grown))]
        asked += [(place - BEFORE_FORESEEN, place + AT_FORESEEN) for place in self._foresee(start)]
        spans: list[Span] = []
        for first, last in asked:
            span = self._missing(first, last)
            if span and (not spans or span[0] >= spans[-1][1]):
                spans.append(span)
        for (first, _), content in zip(spans, self.file.fetch(spans), strict=True):
            at = bisect_right(self._starts, first)
            self._starts.insert(at, first)
            self._parts.insert(at, content)

    def _missing(self, first: int, last: int) -> Span | None:
        """The part of a range from its first missing byte to the next cached one; None if nothing is missing."""
        at = bisect_right(self._starts, first)
        first = max(first, self._starts[at - 1] + len(self._parts[at - 1]))
        last = min(last, self.size or 0, *self._starts[at : at + 1])
        return (first, last) if first < last else None

    def _foresee(self, start: int) -> list[int]:
        """The positions that the reader will jump to from ``start``, if its latest jumps are a repeating series."""
        jumps = self._jumps if self._jumps and self._jumps[-1] == start else []
        distances = [after - before for before, after in pairwise(jumps)]
        longest, length = 0, 1
        for each in range(1, min(LONGEST_SERIES, len(distances) // 2) + 1):
            pairs = zip(reversed(distances), reversed(distances[:-each]), strict=False)
            repeated = next((at for at, (new, old) in enumerate(pairs) if abs(new - old) > DRIFT), len(distances) - each)
            if repeated >= each and repeated > longest:
                longest, length = repeated, each
        places = []
        for at in range(min(longest, MOST_AHEAD)):
            start += distances[len(distances) - length + at % length]
            places.append(start)
        return [place for place in places if place < (self.size or 0)]


_KEPT: dict[str, _RemoteSource] = {}
"""The models at URLs that were read last, by URL, the oldest first."""
_KEPT_LOCK = threading.Lock()


@contextmanager
def _open_url(url: str) -> Iterator[_RemoteSource | _FileSource]:
    """The model at a URL: its download if there is one, else with the bytes read before if it has not changed."""
    with _KEPT_LOCK:
        known = _KEPT.pop(url, None)
    file = open_remote(url, FIRST if known is None else 1)
    if path := find_download(url, file.state):
        with path.open("rb", buffering=0) as opened:
            yield _FileSource(opened, file.name, 0)
        return
    if known is None or known.file.state != file.state or not file.state.tag:
        known = _RemoteSource(file)
    with _KEPT_LOCK:
        _KEPT[url] = known
        while len(_KEPT) > 1 and sum(each.held for each in _KEPT.values()) > SMALL:
            del _KEPT[next(iter(_KEPT))]
    yield known


def position_of(file: BinaryIO) -> int | None:
    """The position of an open file; None if it is not seekable."""
    try:
        if not file.seekable():
            return None
        start = file.tell()
        file.seek(0, os.SEEK_END)
        file.seek(start)
    except (OSError, ValueError, AttributeError):
        return None
    return start


def _serialize(model: Any) -> bytes:
    from google.protobuf.message import EncodeError

    try:
        return model.SerializeToString()  # type: ignore[no-any-return]
    except (EncodeError, ValueError) as error:
        raise InputError(
            f"the model cannot be serialized, perhaps because it is larger than 2 GiB: save it and pass its path ({error})"
        ) from None
