"""Files: opened without waiting forever, written completely or not at all, and found in folders."""

from __future__ import annotations

import os
import re
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from errno import ELOOP
from glob import escape, glob
from pathlib import Path
from typing import BinaryIO, Protocol

from onnxcost.errors import InputError, MissingFile, UnreadableFile, did_you_mean

WRITER_TIMEOUT = 5.0
"""Seconds to wait until a pipe has a writer."""

CHUNK = 2**20
"""Bytes that are read at once."""

MODEL_NAME = re.compile(r"\.(onnx|ort)(\.(gz|zst|bz2|xz))?$")
"""The names of models in folders, archives and buckets."""

_NO_FILES = ((stat.S_ISCHR, "a character device"), (stat.S_ISBLK, "a block device"), (stat.S_ISSOCK, "a socket"))


class Readable(Protocol):
    """A stream of bytes."""

    def read(self, size: int, /) -> bytes | None:
        """Up to ``size`` bytes: none at the end, None if there are none yet."""


@contextmanager
def open_file(path: str | Path) -> Iterator[tuple[BinaryIO, bytes | None]]:
    """A file to read from, and for a pipe the bytes that were read to see that it has a writer.

    Raises InputError for a device and for a pipe without a writer, OSError if the system refuses.
    """
    mode = os.stat(path).st_mode  # noqa: PTH116  # takes any path
    for is_kind, kind in _NO_FILES:
        if is_kind(mode):
            raise InputError(f"cannot read '{path}': it is {kind}, not a file")
    if not stat.S_ISFIFO(mode):
        with open(path, "rb", buffering=0) as file:  # noqa: PTH123  # takes any path
            if hasattr(os, "posix_fadvise"):  # else each range would load its neighbors into memory
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_RANDOM)
            yield file, None
        return
    with open(os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0)), "rb", buffering=0) as file:  # noqa: PTH123
        head = _first_bytes(file.fileno(), path)
        os.set_blocking(file.fileno(), True)
        yield file, head


def _first_bytes(descriptor: int, path: str | Path) -> bytes:
    deadline = time.monotonic() + WRITER_TIMEOUT
    while time.monotonic() < deadline:
        try:
            if head := os.read(descriptor, CHUNK):
                return head
        except BlockingIOError:  # a writer that has not written yet
            return b""
        time.sleep(0.01)
    raise InputError(f"cannot read '{path}': it is a pipe, and nothing was written to it for {WRITER_TIMEOUT:.0f} s")


def read_up_to(file: Readable, count: int) -> bytes:
    """``count`` bytes, or all up to the end of the file. Raises OSError."""
    pieces = []
    while count > 0:
        piece = file.read(min(count, CHUNK))
        if piece is None:
            raise BlockingIOError(0, "it is non-blocking and has no data at the moment")
        if not piece:
            break
        pieces.append(piece)
        count -= len(piece)
    return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def replace_file(path: Path, content: bytes | Iterator[bytes]) -> None:
    """Replace the file in one step, so that it is not left half-written; a device or pipe is written to directly.

    ``content`` may come in parts. Raises InputError if it cannot be written.
    """
    parts = iter((content,)) if isinstance(content, bytes) else content
    try:
        if path.exists() and not path.is_file():
            with path.open("wb") as file:
                file.writelines(parts)
            return
        target = Path(os.path.realpath(path))
        if target.is_symlink():  # a loop, for which Path.resolve raises no OSError
            raise OSError(ELOOP, os.strerror(ELOOP))
        # Only the folder decides whether a file can be replaced, but a read-only file is meant to stay.
        if target.exists() and not target.stat().st_mode & 0o222:
            raise InputError(f"cannot write '{path}': it is read-only")
        umask = os.umask(0)
        os.umask(umask)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask
        # Its name is known before it is created, so that it is removed whatever fails later.
        part = target.parent / f"tmp{os.urandom(8).hex()}"
        try:
            with create_file(part) as file:
                file.writelines(parts)
            part.chmod(mode)
            part.replace(target)
        except BaseException:
            part.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error


def create_file(path: Path) -> BinaryIO:
    """Opens a new file for writing, which only this user can read. Raises OSError, also if the file exists."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def models_in(folder: str) -> list[str]:
    """The sorted paths of all models in a folder and its subfolders, by their names, including broken links.

    Raises InputError if there are none, and for a folder that cannot be read.
    """

    def refuse(error: OSError) -> None:
        raise InputError(f"cannot read the folder '{error.filename}': {error.strerror or error}") from None

    paths = (Path(place, name) for place, _, names in os.walk(folder, onerror=refuse) for name in names)
    found = sorted(str(path) for path in paths if MODEL_NAME.search(path.name) and (path.is_file() or not path.exists()))
    if not found:
        raise InputError(f"there is no .onnx file in the folder '{folder}'")
    return found


def match_paths(pattern: str) -> Iterator[str]:
    """The paths that match. ``**`` follows no links to directories, as in bash and ``models_in``: they may form a loop."""
    before, *after = re.split(r"(?:(?<=/)|^)(?:\*\*/+)*\*\*(?:/+|$)", pattern, maxsplit=1)
    if not after:
        yield from glob(pattern)  # noqa: PTH207  # takes any path
        return
    for folder in glob(before) if before else ["."]:  # noqa: PTH207
        for place, inside, _ in os.walk(folder):
            inside[:] = (name for name in inside if not name.startswith("."))
            here = place.removeprefix(".").removeprefix("/") if not before else place
            yield from match_paths(os.path.join(escape(here), after[0] or "*"))  # noqa: PTH118


def read_error(error: Exception, path: str | Path, what: str = "", reason: str = "") -> UnreadableFile:
    """The error for a file that cannot be read: the system's message, else the reason, and the name that was probably meant."""
    kind, hint = (MissingFile, did_you_mean_file(path)) if isinstance(error, FileNotFoundError) else (UnreadableFile, "")
    named = what or f"'{path}'"
    return kind(f"cannot read {named}: {getattr(error, 'strerror', None) or reason or error}{hint}")


def did_you_mean_file(path: str | Path) -> str:
    """``; did you mean 'model.onnx'?`` for a missing file: models, files of its kind and folders with similar names."""
    place = Path(path)
    with suppress(OSError, ValueError):
        if place.is_symlink():  # the name is right, but its target is missing
            return ""
        if not place.parent.exists():
            folders = {folder.name: folder for folder in place.parent.parent.iterdir() if (folder / place.name).exists()}
            near = did_you_mean(place.parent.name, folders)
            return near and did_you_mean(str(place), [str(folder / place.name) for folder in folders.values()])
        kinds = {".onnx", place.suffix}
        return did_you_mean(
            str(place), [str(entry) for entry in place.parent.iterdir() if entry.suffix in kinds or entry.is_dir()]
        )
    return ""


def is_pipe(path: object) -> bool:
    """Whether this is the path of a pipe, which can be read only once."""
    try:
        return isinstance(path, (str, os.PathLike)) and stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116  # takes any path
    except (OSError, ValueError):
        return False
