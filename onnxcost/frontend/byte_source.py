"""Where a model's bytes come from: a file, bytes in memory, an open file, a pipe. Only the ranges that are asked for are read.

Nothing is memory-mapped: reading a mapped file that shrinks kills the process, and its pages count as the process's memory.
"""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from io import TextIOBase
from typing import TYPE_CHECKING, BinaryIO, Protocol

from onnxcost.errors import InputError, ModelError
from onnxcost.files import did_you_mean_file

if TYPE_CHECKING:
    from onnx import ModelProto


ModelSource = "str | os.PathLike[str] | bytes | BinaryIO | ModelProto"

LARGEST = 2**31 - 1
"""Bytes of the longest message that protobuf reads."""

WRITER_TIMEOUT = 5.0
"""Seconds to wait until a pipe has a writer."""

_CHUNK = 2**20


class ByteSource(Protocol):
    """Bytes that are read by ranges; positions count from the model's first byte."""

    path: str
    """"" where the bytes are not those of a file."""
    step: int
    """The fewest bytes that are worth a read of their own."""
    size: int | None
    """Bytes in all; None for a stream, which is read forward only, until its end was read."""

    def read(self, start: int, end: int) -> bytes | memoryview:
        """The bytes from ``start`` to ``end``, or to the last one where that comes first."""

    def check(self) -> None:
        """Raises InputError if the source is no longer what it was when it was opened."""


@contextmanager
def open_source(source: ModelSource) -> Iterator[ByteSource]:  # type: ignore[valid-type]
    """The source to read from. An open file is read from its position, which it has again afterwards if it can be sought in.

    Raises InputError for what cannot be read.
    """
    name = os.fsdecode(source) if isinstance(source, (str, os.PathLike)) else getattr(source, "name", "")
    path = name if isinstance(name, str) else ""
    try:
        if isinstance(source, (bytes, bytearray, memoryview)):
            yield _MemorySource(source)
        elif isinstance(source, (str, os.PathLike)):
            with _open(path) as (file, head):
                yield _FileSource(file, path) if head is None else _StreamSource(file, path, head)
        elif hasattr(source, "SerializeToString"):
            yield _MemorySource(_serialize(source))
        elif isinstance(source, TextIOBase):
            raise InputError("a model is read from a file in binary mode: open it with 'rb'")
        elif hasattr(source, "read"):
            start = _position(source)
            try:
                yield _StreamSource(source, path) if start is None else _FileSource(source, path, start)
            finally:
                if start is not None:
                    source.seek(start)
        else:
            raise InputError(f"a model is a path, a binary file, bytes or a ModelProto, not {type(source).__name__}")
    except (OSError, ValueError) as error:
        hint = did_you_mean_file(path) if isinstance(error, FileNotFoundError) else ""
        reason = getattr(error, "strerror", None) or error
        raise InputError(f"cannot read {repr(path) if path else 'the model'}: {reason}{hint}") from None


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
        """Nothing: the bytes are there."""


class _FileSource:
    """A file that can be sought in. The model begins at ``start``; without one, the file is the one at ``path``."""

    step = 1024

    def __init__(self, file: BinaryIO, path: str, start: int | None = None) -> None:
        self.path = path
        self._file, self._start, self._named = file, start or 0, start is None
        self._state = self._seen(named=False)
        self._length = max(0, file.seek(0, os.SEEK_END) - self._start)
        self.size: int | None = self._length

    def read(self, start: int, end: int) -> bytes:
        wanted = min(end, self._length) - start
        self._file.seek(self._start + start)
        content = _read(self._file, wanted)
        if len(content) < wanted:
            raise self._changed()
        return content

    def check(self) -> None:
        if self._seen(self._named) != self._state:
            raise self._changed()

    def _seen(self, named: bool) -> tuple[int, ...]:
        """What tells one state of the file from another; of the file that now has its name, if ``named``."""
        try:
            now = os.stat(self.path) if named and os.path.exists(self.path) else os.fstat(self._file.fileno())  # noqa: PTH110, PTH116
        except (OSError, ValueError, AttributeError):
            return ()
        return (now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns)

    def _changed(self) -> InputError:
        return InputError(f"{self.path or 'the model'} changed while it was read: try again when it is complete")


class _StreamSource:
    """What can be read only once, forward; ``head`` was read of it already."""

    step = 2**16

    def __init__(self, file: BinaryIO, path: str, head: bytes = b"") -> None:
        self.path = path
        self.size: int | None = None
        self._file, self._head, self._at = file, head, 0

    def read(self, start: int, end: int) -> bytes:
        while self._at < start:
            if not self._next(min(start - self._at, _CHUNK)):
                raise ModelError(f"it ends in the middle of a field, after {self._at} bytes")
        return self._next(end - start)

    def check(self) -> None:
        """Nothing: it is not there a second time."""

    def _next(self, count: int) -> bytes:
        taken, self._head = self._head[:count], self._head[count:]
        taken += _read(self._file, count - len(taken))
        self._at += len(taken)
        if len(taken) < count:
            self.size = self._at
        return taken


def _read(file: BinaryIO, count: int) -> bytes:
    """``count`` bytes, or all up to the end of the file."""
    pieces = []
    while count > 0:
        piece = file.read(min(count, _CHUNK))
        if piece is None:
            raise BlockingIOError(0, "it has no bytes at the moment, and does not wait for any")
        if not piece:
            break
        pieces.append(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def _position(file: BinaryIO) -> int | None:
    """Where an open file stands; None if it cannot be sought in."""
    try:
        if not file.seekable():
            return None
        start = file.tell()
        file.seek(0, os.SEEK_END)
        file.seek(start)
    except (OSError, ValueError, AttributeError):
        return None
    return start


_NO_FILES = ((stat.S_ISCHR, "a character device"), (stat.S_ISBLK, "a block device"), (stat.S_ISSOCK, "a socket"))


@contextmanager
def _open(path: str) -> Iterator[tuple[BinaryIO, bytes | None]]:
    """The file, and for a pipe what was read of it to see that it has a writer."""
    mode = os.stat(path).st_mode  # noqa: PTH116  # takes any path
    for is_kind, kind in _NO_FILES:
        if is_kind(mode):
            raise InputError(f"cannot read '{path}': it is {kind}, not a file")
    if not stat.S_ISFIFO(mode):
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # takes any path
            if hasattr(os, "posix_fadvise"):  # else each range brings its neighbours into memory
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            yield file, None
        return
    with open(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as file:  # noqa: PTH123
        head = _first_bytes(file.fileno(), path)
        os.set_blocking(file.fileno(), True)
        yield file, head


def _first_bytes(descriptor: int, path: str) -> bytes:
    deadline = time.monotonic() + WRITER_TIMEOUT
    while time.monotonic() < deadline:
        try:
            if head := os.read(descriptor, _CHUNK):
                return head
        except BlockingIOError:  # a writer that has not written yet
            return b""
        time.sleep(0.01)
    raise InputError(f"cannot read '{path}': it is a pipe, and nothing was written to it for {WRITER_TIMEOUT:.0f} s")


def _serialize(model: ModelProto) -> bytes:
    from google.protobuf.message import EncodeError

    try:
        return model.SerializeToString()  # type: ignore[no-any-return]
    except (EncodeError, ValueError) as error:
        raise InputError(
            f"the model cannot be serialized, as one of more than 2 GiB: save it and give its path ({error})"
        ) from None
