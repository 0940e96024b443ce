"""The model to count: its source, and the user's settings for its inputs and loops, including arrays in files."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, BinaryIO, NamedTuple, Protocol, TypeAlias

from onnxcost.documents import MOST_WHOLE, parse_json, read_document
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.files import is_pipe, models_in, read_error

if TYPE_CHECKING:
    import zipfile

    import numpy as np
    from numpy.typing import NDArray


class ModelMessage(Protocol):
    """A model in memory: onnx's ModelProto."""

    def SerializeToString(self) -> bytes:  # its name in protobuf
        """The bytes of the model's file."""


ModelSource: TypeAlias = "str | os.PathLike[str] | bytes | BinaryIO | ModelMessage"


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """A model and the settings for it, as in the arguments of the public functions.

    ``source`` is a path, an open binary file, bytes or a ModelProto; None in a spec that is meant for several models.
    ``shapes`` maps input names to shapes, ``dims`` symbols to sizes, ``values`` input names to arrays or numbers, ``trips`` the
    names of Loops to their iterations, and ``inputs`` input names to the .npy or .npz files to feed.
    """

    source: ModelSource | None
    shapes: Mapping[str, Sequence[int]] = field(default_factory=dict)
    dims: Mapping[str, int] = field(default_factory=dict)
    values: Mapping[str, Any] = field(default_factory=dict)
    trips: Mapping[str, int] = field(default_factory=dict)
    inputs: Mapping[str, Sequence[str]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        source: ModelSource | None,
        shapes: Mapping[str, Sequence[int]] | None = None,
        dims: Mapping[str, int] | None = None,
        values: Mapping[str, Any] | None = None,
        trips: Mapping[str, int] | None = None,
        inputs: Mapping[str, str | Sequence[str]] | None = None,
    ) -> ModelSpec:
        """A spec from a public function's arguments: None means nothing given, and the path of one input file a list of it."""
        if isinstance(source, (str, os.PathLike)) and os.path.isdir(source):  # noqa: PTH112  # takes any path
            source = model_in(os.fsdecode(source))
        files = {name: (given,) if isinstance(given, str) else tuple(given) for name, given in (inputs or {}).items()}
        return cls(source, shapes or {}, dims or {}, values or {}, trips or {}, files)

    def read_inputs(self) -> ModelSpec:
        """The spec with the shapes of its input files, and with values in them that may decide other shapes.

        Those are integers and truth values of small arrays, if all files of an input have the same. Raises InputError for files
        that cannot be read, and for files of one input that differ in shape.
        """
        if not self.inputs:
            return self
        import numpy as np

        shapes: dict[str, Sequence[int]] = {}
        values: dict[str, Any] = {}
        for name, paths in self.inputs.items():
            (shape, dtype), *others = (read_header(path, name) for path in paths)
            for path, other in zip(paths[1:], others, strict=True):
                if other.shape != shape:
                    differ = f"'{paths[0]}' has {list(shape)}, '{path}' {list(other.shape)}"
                    raise InputError(f"the files for input '{name}' differ in shape: {differ}; measure one shape at a time")
            shapes[name] = shape
            if dtype.kind in "iub" and prod(shape) <= MOST_ELEMENTS:
                first, *more = (load_array(path, name) for path in paths)
                if all(np.array_equal(first, array) for array in more):
                    values[name] = first
        return replace(self, shapes={**shapes, **self.shapes}, values={**values, **self.values})


def model_in(folder: str) -> str:
    """The path of the one model in a folder and below it, or of the decoder that a genai_config.json in it names.

    Raises InputError for a folder without a model, or with several.
    """
    with suppress(InputError, ValueError):
        match parse_json(read_document(Path(folder, "genai_config.json"), 2**20)):
            case {"model": {"decoder": {"filename": str(name)}}} if Path(name).name == name and Path(folder, name).is_file():
                return str(Path(folder, name))
    found = models_in(folder)
    if len(found) > 1:
        names = ", ".join(f"'{Path(path).relative_to(folder)}'" for path in found[:3]) + (", …" if len(found) > 3 else "")
        raise InputError(
            f"'{folder}' is a folder with {len(found)} models, {names}: use 'onnxcost scan {folder}' to count all models in it"
        )
    return found[0]


MOST_ELEMENTS = 1024
"""The most elements of an array whose values are read because they may decide shapes."""


class Header(NamedTuple):
    """The header of an array in a file."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]


def parse_input_files(arguments: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """The files by input, from ``NAME=FILE`` arguments and from .npz files whose arrays are named after the inputs.

    Raises InputError for an argument that is neither, and for an archive that cannot be read.
    """
    found: dict[str, list[str]] = {}
    for argument in arguments:
        name, equals, path = argument.rpartition("=")
        if not path or (equals and not name):
            raise InputError(f"--input expects NAME=FILE.npy or FILE.npz, not '{argument}'")
        for input_name in [name] if equals else _names_in(path):
            found.setdefault(input_name, []).append(path)
    return {name: tuple(paths) for name, paths in found.items()}


def _names_in(path: str) -> list[str]:
    import zipfile

    with _open_file(path) as file:
        if not zipfile.is_zipfile(file):
            raise InputError(f"--input needs the name of the input for '{path}': --input NAME={path}")
        with zipfile.ZipFile(file) as archive:
            return _members(archive)


def read_header(path: str, name: str) -> Header:
    """The shape and type of the array for an input. Raises InputError for a file without an array of plain elements."""
    from numpy.lib import format as npy

    readers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    with _array_in(path, name) as file:
        shape, _, dtype = readers[npy.read_magic(file)](file)
        if any(type(size) is not int or not 0 <= size <= MOST_WHOLE for size in shape):
            raise ValueError(f"{shape} is not a shape")
    if dtype.hasobject or dtype.names:
        raise InputError(f"'{path}' has Python objects or records: save plain numbers, or strings of numpy's type 'U'")
    return Header(shape, dtype)


def load_array(path: str, name: str) -> NDArray[Any]:
    """The array for an input. Raises InputError for a file without an array of plain elements, and for a truncated one."""
    from numpy.lib import format as npy

    with _array_in(path, name) as file:
        return npy.read_array(file, allow_pickle=False)


@contextmanager
def _array_in(path: str, name: str) -> Iterator[IO[bytes]]:
    """The opened file, or for an archive the array for the input. Every error while it is open becomes an InputError."""
    import zipfile

    with _open_file(path) as file:
        if not zipfile.is_zipfile(file):
            file.seek(0)
            yield file
            return
        with zipfile.ZipFile(file) as archive, archive.open(f"{_member(archive, path, name)}.npy") as member:
            yield member


@contextmanager
def _open_file(path: str) -> Iterator[IO[bytes]]:
    if is_pipe(path):
        raise InputError(f"cannot read '{path}': it is a pipe, but arrays are read more than once: write it to a file first")
    try:
        with Path(path).open("rb") as file:
            yield file
    except OnnxCostError:
        raise
    except MemoryError:
        raise InputError(f"cannot read '{path}': there is not enough memory for the array in it") from None
    # numpy and zipfile pass on what their parsers raise: SyntaxError, zlib.error, RuntimeError, …
    except Exception as error:
        reason = "it is not a .npy or .npz file of plain elements, or it is truncated"
        raise read_error(error, path, reason=reason) from None


def _members(archive: zipfile.ZipFile) -> list[str]:
    return [name.removesuffix(".npy") for name in archive.namelist() if name.endswith(".npy")]


def _member(archive: zipfile.ZipFile, path: str, name: str) -> str:
    """The name of the array for an input: the one of its name, or the only one."""
    members = _members(archive)
    if name in members or len(members) == 1:
        return name if name in members else members[0]
    there = ", ".join(map(repr, members)) or "none"
    raise InputError(f"'{path}' has no array for input '{name}': it has {there}; name the arrays after the inputs")
