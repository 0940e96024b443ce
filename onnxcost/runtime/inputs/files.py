"""Inputs from files: arrays in .npy files, and .npz archives of several. Their headers say what the estimator needs."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from onnxcost.documents import MOST_WHOLE
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.files import did_you_mean_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


MOST_ELEMENTS = 1024
"""Elements of the largest integer array whose values are read because they may decide shapes."""


class Header(NamedTuple):
    """What a file says of its array before the elements come."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def parse_input_files(arguments: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The files by input, of ``NAME=FILE`` arguments and of .npz files alone, whose arrays are for the inputs of their names.

    Raises InputError for an argument that is neither and for an archive that cannot be read.
    """
    found: dict[str, list[str]] = {}
    for argument in arguments:
        name, equals, path = argument.rpartition("=")
        if not path or (equals and not name):
            raise InputError(f"--input wants NAME=FILE.npy or FILE.npz, not '{argument}'")
        for input_name in [name] if equals else _names_in(path):
            found.setdefault(input_name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def _names_in(path: str) -> list[str]:
    with _open_file(path) as file:
        if not zipfile.is_zipfile(file):
            raise InputError(f"--input wants the name of the input that '{path}' is for: --input NAME={path}")
        with zipfile.ZipFile(file) as archive:
            return _members(archive)


def input_shapes(files: Mapping[str, Sequence[str]]) -> dict[str, tuple[int, ...]]:
    """The shapes of the arrays, by input. Raises InputError for files that cannot be read or whose shapes differ."""
    return {name: _common_shape(name, paths) for name, paths in files.items()}


def _common_shape(name: str, paths: Sequence[str]) -> tuple[int, ...]:
    first, *others = (header(path, name).shape for path in paths)
    for path, shape in zip(paths[1:], others, strict=True):
        if shape != first:
            raise InputError(
                f"the files for input '{name}' differ in shape: '{paths[0]}' has {list(first)}, '{path}' {list(shape)}; "
                "measure one shape at a time"
            )
    return first


def input_values(files: Mapping[str, Sequence[str]]) -> dict[str, NDArray[Any]]:
    """The integers and truth values that may decide shapes: of small arrays, where all files of an input have the same.

    Errors as in ``header``.
    """
    import numpy as np

    values = {}
    for name, paths in files.items():
        shape, dtype = header(paths[0], name)
        if dtype.kind in "iub" and prod(shape) <= MOST_ELEMENTS:
            first, *others = (load(path, name) for path in paths)
            if all(np.array_equal(first, other) for other in others):
                values[name] = first
    return values


def header(path: str, name: str) -> Header:
    """The shape and type of the array for an input. Raises InputError for what is no file of plain elements."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    with _array_in(path, name) as file:
        shape, _, dtype = readers[npy.read_magic(file)](file)
        if any(type(size) is not int or not 0 <= size <= MOST_WHOLE for size in shape):
            raise ValueError(f"{shape} is not a shape")
    if dtype.hasobject or dtype.names:
        raise InputError(f"'{path}' holds Python objects or records: save plain numbers, or strings as numpy's type 'U'")
    return Header(shape, dtype)


def load(path: str, name: str) -> NDArray[Any]:
    """The array for an input. Raises InputError for what is no file of plain elements, or not all of one."""
    from numpy.lib import format as npy

    with _array_in(path, name) as file:
        return npy.read_array(file, allow_pickle=False)


@contextmanager
def _array_in(path: str, name: str) -> Iterator[IO[bytes]]:
    """The file, or the array in an archive that is for an input, open; InputError for what goes wrong while it is."""
    with _open_file(path) as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            yield file
            return
        with zipfile.ZipFile(file) as archive, archive.open(f"{_member(archive, path, name)}.npy") as member:
            yield member


@contextmanager
def _open_file(path: str) -> Iterator[IO[bytes]]:
    try:
        with Path(path).open("rb") as file:
            yield file
    except OnnxCostError:
        raise
    except MemoryError:
        raise InputError(f"cannot read '{path}': there is not enough memory for the array that it says it has") from None
    # The readers of numpy and zipfile let through what the parsers below them raise: SyntaxError, zlib.error, RuntimeError, …
    except Exception as error:
        reason = getattr(error, "strerror", None) or "it is no .npy or .npz file of plain elements, or not all of one"
        hint = did_you_mean_file(path) if isinstance(error, FileNotFoundError) else ""
        raise InputError(f"cannot read '{path}': {reason}{hint}") from None


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _member(archive: zipfile.ZipFile, path: str, name: str) -> str:
    """The array that is for an input: the one of its name, or the only one."""
    members = _members(archive)
    if name in members or len(members) == 1:
        return name if name in members else members[0]
    there = ", ".join(map(repr, members)) or "none"
    raise InputError(f"'{path}' has no array for input '{name}': it has {there}; name the arrays after the inputs")
