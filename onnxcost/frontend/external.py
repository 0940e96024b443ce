"""External data: the files beside a model that its tensors lie in, and what is refused as one.

The rules are those of onnx's docs/security.md, as far as onnxruntime keeps them: a file lies in the model's folder, also when
all symbolic links are followed, and is a regular one. Unlike onnx, a file with several names (hard links) is read: conda and uv
install packages so.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO

from onnxcost.errors import MeasurementError
from onnxcost.frontend.reader import NOT_STORED, Stored

MOST_CHARACTERS = 100


def leaves_folder(location: str) -> bool:
    """Whether a location is outside the model's folder by its words alone: what is there need not be looked at."""
    is_absolute = Path(location).is_absolute() or os.path.splitdrive(location)[0]
    return bool(is_absolute) or os.pardir in Path(os.path.normpath(location)).parts


def data_file(model: str | os.PathLike[str], stored: Stored) -> Path | None:
    """The file that the tensor of the model in the file ``model`` lies in, links followed; None where there is none. Nothing is
    opened.

    Raises MeasurementError for a location outside the model's folder and for what is no regular file.
    """
    location = stored.location
    if not location or location == NOT_STORED:
        return None
    path = Path(model)
    if leaves_folder(location) or "\0" in location:
        raise _refusal(stored, "outside the model's folder")
    named = path.parent / location
    file = Path(os.path.realpath(named))
    homes = (os.path.realpath(path.parent), Path(os.path.realpath(path)).parent)
    if not any(file.is_relative_to(home) for home in homes):
        raise _refusal(stored, "outside the model's folder, where a symbolic link leads")
    try:
        found = named.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(stored, error) from None
    if not stat.S_ISREG(found.st_mode):
        raise _refusal(stored, "in no regular file")
    return file


def open_data(file: Path, stored: Stored) -> BinaryIO:
    """Opens what ``data_file`` returned, to be read. Raises MeasurementError where another file has taken its place."""
    try:
        # Never waits, as opening a pipe would.
        opened = os.open(
            file, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        )
    except OSError as error:
        raise _unreadable(stored, error) from None
    found = os.fstat(opened)
    if not stat.S_ISREG(found.st_mode):
        os.close(opened)
        raise _refusal(stored, "in a file that was replaced meanwhile")
    return os.fdopen(opened, "rb")


def _refusal(stored: Stored, where: str) -> MeasurementError:
    what = f"the weight '{shorten(stored.name)}' lies {where} ('{shorten(stored.location)}'): it is not read"
    return MeasurementError(f"{what}; put a copy of the file beside the model, or count with --no-run")


def _unreadable(stored: Stored, error: OSError) -> MeasurementError:
    where = shorten(stored.location)
    return MeasurementError(f"the weight '{shorten(stored.name)}' cannot be read ('{where}'): {error.strerror}")


def shorten(text: str) -> str:
    """What a model says of itself, for an error of one line."""
    return text if len(text) <= MOST_CHARACTERS else f"{text[: MOST_CHARACTERS - 1]}…"
