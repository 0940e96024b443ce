"""The checkpoint of a scan: a file of JSON lines to which each result is added, to resume from and to merge with others."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from onnxcost.documents import parse_json
from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.remote.urls import is_remote
from onnxcost.results import SCHEMA
from onnxcost.scanning.results import Document, Scanned, Stamp, key_of
from onnxcost.version import __version__

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

BEGINNING = f'{{"schema": "{SCHEMA}"'.encode()
MOST_NAMED = 5
OPTIONS: Mapping[str, str] = {"shapes": "--shape", "dims": "--dim", "values": "--value", "run": "--run"}


class Checkpoint:
    """A file of results. ``done`` are those that were in it and are still valid, by the keys of their paths."""

    def __init__(self, path: str, done: Mapping[str, Scanned], file: BinaryIO) -> None:
        self.done = done
        self._path, self._file = path, file

    def add(self, result: Scanned) -> None:
        """Write the result's line at once, so that it is kept however this process ends."""
        with _wrap_os_errors("write", self._path):
            self._file.write(result.to_line().encode())
            self._file.flush()

    def close(self) -> None:
        """Close the file, so that other scans can use it."""
        # Closing tries once more to write what add() already failed to write.
        with suppress(OSError):
            self._file.close()

    __del__ = close


def open_checkpoint(path: str, options: Document, stamps: Mapping[str, Stamp | None]) -> Checkpoint:
    """The checkpoint in a file, which is created if there is none. Outdated lines on models are removed from it;
    ``stamps`` has those of all models by the keys of their paths.

    Raises InputError for a file that is no checkpoint, cannot be written, is in use, or has results of other options.
    """
    place = Path(path)
    with _wrap_os_errors("read", path):
        if place.exists() and not place.is_file():
            raise InputError(f"cannot read '{path}': it is not a regular file")
    with ExitStack() as stack:
        file = stack.enter_context(_open_locked(path))
        with _wrap_os_errors("read", path):
            content = place.read_bytes()
        kept, done = _select_current(content, path, options, stamps)
        lines = "".join(result.to_line() for result in kept).encode()
        if lines != content:
            if fcntl is None:
                file.close()  # Windows cannot replace an open file
            replace_file(place, lines)
            # The lock was on the replaced file; another scan may have locked the new one first.
            replaced, file = file, stack.enter_context(_open_locked(path))
            replaced.close()
        checkpoint = Checkpoint(path, done, file)
        stack.pop_all()
    return checkpoint


def merge_checkpoints(paths: Iterable[str]) -> list[Scanned]:
    """The results in several files, one for each model, in the order of the models' paths.

    If one file has several lines for a model, the last one counts. The result of another file replaces an "unfinished" one.
    Raises InputError for a file that is no checkpoint or has results of other options than the first one, and for models for
    which the files have different results.
    """
    found: dict[str, tuple[str, Scanned]] = {}
    conflicts: list[str] = []
    options: Document | None = None
    for path in paths:
        with _wrap_os_errors("read", path):
            content = Path(path).read_bytes()
        for key, result in {key_of(result.path): result for result in _read_results(content, path)}.items():
            options = result.options if options is None else options
            _check_options(result, options, path, "the files to merge need the same options")
            other_path, other = found.get(key, (path, result))
            if "unfinished" not in (result.status, other.status) and (differ := _name_differences(other, result)):
                conflicts.append(f"'{result.path}' in '{other_path}' and '{path}' ({differ})")
            elif other.status == "unfinished" or result.status != "unfinished":
                found[key] = path, result
    if conflicts:
        more = f" and {len(conflicts) - MOST_NAMED} more" if len(conflicts) > MOST_NAMED else ""
        named = ", ".join(conflicts[:MOST_NAMED])
        raise InputError(f"the files differ on {len(conflicts)} of their models: {named}{more}; omit outdated files")
    return sorted((result for _, result in found.values()), key=lambda result: result.path)


def _name_differences(one: Scanned, other: Scanned) -> str:
    """The keys in which two results for the same model differ, other than time and place; "" if there are none."""
    if (one.status, one.reason, one.report) == (other.status, other.reason, other.report):
        return ""
    bytes_ = {None if each.file is None else each.file.bytes for each in (one, other)}
    causes = {"different versions of onnxcost": one.version != other.version, "different file sizes": len(bytes_) > 1}
    return " and ".join(cause for cause, holds in causes.items() if holds) or "different results"


def _check_options(result: Scanned, options: Document, path: str, remedy: str) -> None:
    if others := [option for key, option in OPTIONS.items() if result.options.get(key) != options[key]]:
        raise InputError(f"'{path}' has results of a scan with a different {' and '.join(others)}: {remedy}")


def _select_current(
    content: bytes, path: str, options: Document, stamps: Mapping[str, Stamp | None]
) -> tuple[list[Scanned], dict[str, Scanned]]:
    """The results that stay in the file, and those of them on ``models``, by the keys of their paths."""
    results = {key_of(result.path): result for result in _read_results(content, path)}
    for result in results.values():
        _check_options(result, options, path, "repeat its options, or use a new file")

    def is_current(result: Scanned) -> bool:
        """Whether this version of onnxcost completely counted the current state of the file."""
        if is_remote(result.path) and result.file is None:  # of an unknown state
            return False
        return result.status != "unfinished" and result.version == __version__ and result.file == stamps[key_of(result.path)]

    kept = {key: result for key, result in results.items() if key not in stamps or is_current(result)}
    return list(kept.values()), {key: result for key, result in kept.items() if key in stamps}


def _open_locked(path: str) -> BinaryIO:
    """The file, open for appending and locked while it is open. The system releases the lock when the process ends.

    Without file locks (Windows, some network file systems) the file is only opened. Raises InputError if another process has
    locked it.
    """
    with _wrap_os_errors("write", path):
        file = Path(path).open("ab")  # noqa: SIM115  # closed with the checkpoint
    if fcntl is None:
        return file
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # It may have been replaced between opening and locking.
        if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):  # noqa: PTH116
            return file
    except BlockingIOError:
        pass
    except OSError:
        return file
    file.close()
    raise InputError(f"'{path}' is in use by another 'onnxcost scan': wait until it is done, or use another file")


def _read_results(content: bytes, path: str) -> Iterator[Scanned]:
    """The results in the lines; an incomplete last line is left out."""
    *lines, last = content.split(b"\n")
    for number, line in enumerate([*lines, last], 1):
        try:
            if line:
                yield Scanned.from_dict(parse_json(line))
        except (KeyError, TypeError, ValueError, InputError):
            if line is last and line[: len(BEGINNING)] == BEGINNING[: len(line)]:
                return
            raise InputError(
                f"'{path}' was not written by 'onnxcost scan --resume': line {number} is not the result of a model"
            ) from None


@contextmanager
def _wrap_os_errors(how: str, path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise InputError(f"cannot {how} '{path}': {error.strerror or error}") from None
