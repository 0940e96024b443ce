"""Where a model's bytes come from: a file, bytes in memory, an open file, a pipe. Only the ranges that are asked for are read.

Nothing is memory-mapped: reading a mapped file that shrinks kills the process, and its pages count as the process's memory.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from typing import Any, BinaryIO, Protocol

from onnxcost.errors import InputError, ModelError
from onnxcost.files import CHUNK, open_file, read_error, read_up_to
from onnxcost.spec import ModelSource

LARGEST = 2**31 - 1
"""The bytes of the longest message that protobuf reads."""


class ByteSource(Protocol):
    """Bytes that are read in ranges; positions count from the model's first byte."""

    path: str
    """"" where the bytes are not those of a file."""
    step: int
    """The fewest bytes that are worth a separate read."""
    size: int | None
    """The number of bytes; None for a stream, which is read forward only, until its end has been reached."""

    def read(self, start: int, end: int) -> bytes | memoryview:
        """The bytes from ``start`` to ``end``, or to the last one where that comes first."""

    def check(self) -> None:
        """Raises InputError if the source has changed since it was opened."""


@contextmanager
def open_source(source: ModelSource | None) -> Iterator[ByteSource]:
    """The source to read from. An open file is read from its position, which is restored afterwards if the file is seekable.

    Raises InputError for what cannot be read.
    """
    name = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "")
    path = name if isinstance(name, str) else ""
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            yield _MemorySource(source)
        elif isinstance(source, (str, os.PathLike)):
            with open_file(path) as (file, head):
                yield _FileSource(file, path) if head is None else _StreamSource(file, path, head)
        elif hasattr(source, "SerializeToString"):
            yield _MemorySource(_serialize(source))
        elif isinstance(source, TextIOBase):
            raise InputError("a model is read from a file in binary mode: open it with 'rb'")
        elif hasattr(source, "read"):
            opened: Any = source
            start = _position(opened)
            try:
                yield _StreamSource(opened, path) if start is None else _FileSource(opened, path, start)
            finally:
                if start is not None:
                    opened.seek(start)
        else:
            raise InputError(f"a model is a path, a binary file, bytes or a ModelProto, not {type(source).__name__}")
    except (OSError, ValueError) as error:
        raise read_error(error, path, repr(path) if path else "the model") from None


def read_stream(source: str | BinaryIO) -> bytes:
    """All bytes of a pipe or of standard input. Raises InputError for more than LARGEST and where nothing is written to it."""
    with open_source(source) as data:
        content = bytes(data.read(0, LARGEST + 1))
    if len(content) > LARGEST:
        raise InputError(f"{data.path or 'the model'} is a stream of more than 2 GiB: write it to a file first")
    return content


class _MemorySource:
    path = ""

    def __init__(self, content: bytes | bytearray | memoryview) -> None:
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
        """What tells one state of the file from another; with ``named``, of the file that now has its name."""
        try:
            now = os.stat(self.path) if named and os.path.exists(self.path) else os.fstat(self._file.fileno())  # noqa: PTH110, PTH116
        except (OSError, ValueError, AttributeError):
            return ()
        return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)

    def _change_error(self) -> InputError:
        return InputError(f"{self.path or 'the model'} changed while it was read: try again when it is complete")


class _StreamSource:
    """A source that can be read only once, forward; ``head`` has been read from it already."""

    step = 2**16

    def __init__(self, file: BinaryIO, path: str, head: bytes = b"") -> None:
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


def _position(file: BinaryIO) -> int | None:
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
            f"the model cannot be serialized, perhaps because it has more than 2 GiB: save it and give its path ({error})"
        ) from None
