"""Files: written completely or not at all, and found in folders."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from onnxcost.errors import InputError


def replace_file(path: Path, content: bytes) -> None:
    """Replace the file in one step, so that it is not left half-written; a device or pipe is written to directly.

    Raises InputError where it cannot be written.
    """
    import tempfile

    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = path.resolve()
        # The folder alone decides whether a file can be replaced, but a read-only file is meant to stay.
        if target.exists() and not target.stat().st_mode & 0o222:
            raise InputError(f"cannot write '{path}': it is read-only")
        umask = os.umask(0)
        os.umask(umask)
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~umask
        with tempfile.NamedTemporaryFile(dir=target.parent, delete=False) as part:
            try:
                part.write(content)
                part.close()
                os.chmod(part.name, mode)  # noqa: PTH101
                os.replace(part.name, target)  # noqa: PTH105
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error


def create_file(path: Path) -> BinaryIO:
    """Opens a new file for writing, which only this user can read. Raises OSError, also where the file exists."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def models_in(folder: str) -> list[str]:
    """The paths of all *.onnx in a folder and its subfolders, sorted, broken links among them.

    Raises InputError where there are none.
    """
    found = sorted(str(path) for path in Path(folder).rglob("*.onnx") if path.is_file() or not path.exists())
    if not found:
        raise InputError(f"there is no .onnx file in the folder '{folder}'")
    return found


def is_pipe(path: object) -> bool:
    """Whether this is the path of a pipe, which can be read only once."""
    try:
        return isinstance(path, (str, os.PathLike)) and stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116  # takes any path
    except (OSError, ValueError):
        return False
