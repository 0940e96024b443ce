"""The file that a scan goes on from: a JSON line a model, written as soon as the model is done."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from onnxcost.documents import parse_json
from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.scanned import Document, Scanned, key_of, stamp_of
from onnxcost.schema import SCHEMA
from onnxcost.version import __version__

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

BEGINNING = f'{{"schema": "{SCHEMA}"'.encode()
OPTIONS: Mapping[str, str] = {"shapes": "--shape", "dims": "--dim", "values": "--value", "run": "--run"}


class Journal:
    """A file of results. ``done`` are those that stood in it and still hold, by the keys of their paths."""

    def __init__(self, path: str, done: Mapping[str, Scanned], file: BinaryIO) -> None:
        self.done = done
        self._path, self._file = path, file

    def add(self, result: Scanned) -> None:
        """Write the result's line, now: however this process ends, the line stays."""
        with _accessed("write", self._path):
            self._file.write(result.to_line().encode())
            self._file.flush()

    def close(self) -> None:
        """Leave the file to other scans."""
        # What could not be written is tried again, and was said.
        with suppress(OSError):
            self._file.close()

    __del__ = close


def opened(path: str, options: Document, models: Iterable[str]) -> Journal:
    """The journal in the file, which is made where there is none. Lines on ``models`` that hold no more are taken out of it.

    Raises InputError for a file that is something else, cannot be written or is in use, and for the results of other options.
    """
    place = Path(path)
    with _accessed("read", path):
        if place.exists() and not place.is_file():
            raise InputError(f"cannot read '{path}': it is no file that can be gone on from")
    with ExitStack() as stack:
        file = stack.enter_context(_locked(path))
        with _accessed("read", path):
            content = place.read_bytes()
        kept, done = _that_hold(content, path, options, models)
        lines = "".join(result.to_line() for result in kept).encode()
        if lines != content:
            if fcntl is None:
                file.close()  # Windows replaces no file that is open
            replace_file(place, lines)
            # The lock was on the file that is gone; another scan may have got hold of the new one first.
            replaced, file = file, stack.enter_context(_locked(path))
            replaced.close()
        journal = Journal(path, done, file)
        stack.pop_all()
    return journal


def _that_hold(content: bytes, path: str, options: Document, models: Iterable[str]) -> tuple[list[Scanned], dict[str, Scanned]]:
    """The results that stay in the file, and those of them that are on ``models``, by the keys of their paths."""
    results = {key_of(result.path): result for result in _results(content, path)}
    for result in results.values():
        if others := [option for key, option in OPTIONS.items() if result.options.get(key) != options[key]]:
            which = " and ".join(others)
            raise InputError(f"'{path}' has results of a scan with another {which}: repeat its options, or take a new file")
    asked = set(map(key_of, models))
    kept = {key: result for key, result in results.items() if key not in asked or _holds(result)}
    return list(kept.values()), {key: result for key, result in kept.items() if key in asked}


def _locked(path: str) -> BinaryIO:
    """The file, open to be added to, and locked as long as it is: by the system, which sees to it that no lock outlives a
    process. Where there are no locks (Windows, some network file systems) it is open alone.

    Raises InputError where another process has it.
    """
    with _accessed("write", path):
        file = Path(path).open("ab")  # noqa: SIM115  # closed with the journal
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It may have been replaced between the two.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):  # noqa: PTH116
            return file
    except BlockingIOError:
        pass
    except OSError:
        return file
    file.close()
    raise InputError(f"'{path}' is in use by another 'onnxcost scan': wait until that is done, or take another file")


def _results(content: bytes, path: str) -> Iterator[Scanned]:
    """The results in the lines; of a line that was not written to its end, nothing."""
    *lines, last = content.split(b"\n")
    for number, line in enumerate([*lines, last], 1):
        try:
            if line:
                yield Scanned.from_dict(parse_json(line))
        except (KeyError, TypeError, ValueError, InputError):
            if line is last and line[: len(BEGINNING)] == BEGINNING[: len(line)]:
                return
            raise InputError(f"'{path}' is no file of 'onnxcost scan --resume': its line {number} is no model's") from None


def _holds(result: Scanned) -> bool:
    """Whether there is nothing to do anew: the file is as it was, and this version counted it, to the end."""
    return result.status != "unfinished" and result.version == __version__ and result.file == stamp_of(result.path)


@contextmanager
def _accessed(how: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot {how} '{path}': {error.strerror or error}") from None
