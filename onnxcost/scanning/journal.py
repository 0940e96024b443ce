"""The file that a scan goes on from: a JSON line a model, written as soon as the model is done."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from onnxcost.documents import parse_json
from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.scanned import Document, Scanned, key_of, stamp_of
from onnxcost.schema import SCHEMA
from onnxcost.version import __version__

BEGINNING = f'{{"schema": "{SCHEMA}"'.encode()
OPTIONS: Mapping[str, str] = {"shapes": "--shape", "dims": "--dim", "values": "--value", "run": "--run"}


class Journal:
    """A file of results. ``done`` are those that stood in it and still hold, by the keys of their paths."""

    def __init__(self, path: str, done: Mapping[str, Scanned]) -> None:
        self.done = done
        self._path = path

    def add(self, result: Scanned) -> None:
        """Write the result's line, now: however this process ends, the line stays."""
        with _accessed("write", self._path), Path(self._path).open("ab") as file:
            file.write(result.to_line().encode())


def opened(path: str, options: Document, models: Iterable[str]) -> Journal:
    """The journal in the file, which is made where there is none. Lines on ``models`` that hold no more are taken out of it.

    Raises InputError for a file that is something else or cannot be written, and for the results of other options.
    """
    place = Path(path)
    with _accessed("read", path):
        content = place.read_bytes() if place.exists() else b""
    results = {key_of(result.path): result for result in _results(content, path)}
    for result in results.values():
        if others := [option for key, option in OPTIONS.items() if result.options.get(key) != options[key]]:
            which = " and ".join(others)
            raise InputError(f"'{path}' has results of a scan with another {which}: repeat its options, or take a new file")
    asked = set(map(key_of, models))
    kept = {key: result for key, result in results.items() if key not in asked or _holds(result)}
    lines = "".join(result.to_line() for result in kept.values()).encode()
    if lines != content:
        replace_file(place, lines)
    with _accessed("write", path):
        place.open("ab").close()
    return Journal(path, {key: result for key, result in kept.items() if key in asked})


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
