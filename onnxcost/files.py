"""Files: written whole or not at all, and found in folders."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

from onnxcost.errors import InputError, did_you_mean


def replace_file(path: Path, content: bytes) -> None:
    """Replace the file at once, so that it is never half-written; a device or pipe is written to directly.

    Raises InputError where it cannot be written.
    """
    import tempfile

    try:
        if path.exists() and not path.is_file():
            path.write_bytes(content)
            return
        target = path.resolve()
        # Its folder alone decides whether a file can be replaced: that nobody may write to it was meant to protect it.
        if target.exists() and not target.stat().st_mode & 0o222:
            raise InputError(f"cannot write '{path}': it is read-only")
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
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
    """Opens a file that was not there before, to be written, and read by this user alone. Raises OSError."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    return os.fdopen(os.open(path, flags, 0o600), "wb")


def models_in(folder: str) -> list[str]:
    """The paths of all *.onnx in a folder and in those inside it, sorted; links that lead nowhere are among them.

    Raises InputError where there are none.
    """
    found = sorted(str(path) for path in Path(folder).rglob("*.onnx") if path.is_file() or not path.exists())
    if not found:
        raise InputError(f"there is no .onnx file in the folder '{folder}'")
    return found


def did_you_mean_file(path: str | Path) -> str:
    """``; did you mean 'model.onnx'?`` for a file that is not there: models, files of its kind and folders of a like name."""
    place = Path(path)
    with suppress(OSError, ValueError):
        if place.is_symlink():  # the name is right, what it leads to is gone
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
    """Whether it is the path of a pipe, which can be read only once."""
    try:
        return isinstance(path, (str, os.PathLike)) and stat.S_ISFIFO(os.stat(path).st_mode)  # noqa: PTH116  # takes any path
    except (OSError, ValueError):
        return False


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
