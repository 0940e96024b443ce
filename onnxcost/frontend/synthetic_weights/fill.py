"""Finds the absent weights of a model, and fills in random ones, so that it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, NamedTuple

from onnxcost.documents import is_whole
from onnxcost.errors import MeasurementError, ModelError
from onnxcost.files import create_file
from onnxcost.frontend.external import Stored, data_file, open_data, shorten, stored_tensors
from onnxcost.frontend.nodes import as_tensor
from onnxcost.frontend.reader import read_locations
from onnxcost.frontend.synthetic_weights.noise import Filling, Positions, Spread, generate_bytes
from onnxcost.frontend.synthetic_weights.outline import Outline, outline
from onnxcost.frontend.synthetic_weights.weight_roles import choose_filling, filling_by_type
from onnxcost.frontend.values import Value, tensor_type
from onnxcost.graph import BITS, Tensor

if TYPE_CHECKING:
    from onnx import ModelProto


MODEL, DATA = "synthetic.onnx", "synthetic.weights"
"""The files that ``fill_weights`` makes."""
PAGE = 4096
"""Data begins at multiples of this, so that it can be mapped into memory."""
COPIED = 1 << 20
"""Bytes of data that are copied at a time."""


def find_absent_weights(path: str | os.PathLike[str]) -> tuple[Tensor, ...]:
    """The tensors whose data is absent: not in the model, and not in the file that it names, as far as can be seen without
    reading it. Raises ModelError and InputError as ``read_skeleton`` does, MeasurementError as ``data_file`` does.
    """
    return tuple(_describe(stored) for stored, place in _locate_data(read_locations(path), path) if place is None)


def fill_weights(path: str | os.PathLike[str], folder: str | os.PathLike[str], seed: int = 0) -> str:
    """Writes the model into ``folder`` with random weights instead of the absent ones, and returns its path there; returns
    ``path`` if nothing is absent. The same seed gives a tensor the same elements.

    They are spread so that activations stay in range: see ``weight_roles``. Data in other files is copied, because no file in
    ``folder`` may have a name that the model chose. Raises ModelError for a model that cannot run with random elements,
    MeasurementError if there is no room for them, and as ``data_file`` does.
    """
    if not find_absent_weights(path):
        return os.fspath(path)
    folder = Path(folder).absolute()
    model = _load(path)
    placed = list(_locate_data(model, path))
    try:
        _check_room(sum(_describe(stored).nbytes + PAGE for stored, _ in placed), folder)
        with create_file(folder / DATA) as file:
            writer = _Writer(file, outline(model), seed)
            for stored, place in placed:
                writer.write(stored, place)
        with create_file(folder / MODEL) as file:
            file.write(model.SerializeToString())
    except OSError as error:
        raise MeasurementError(f"the missing weights cannot be synthesized in '{folder}': {error.strerror}") from error
    except MemoryError:
        raise MeasurementError("there is not enough memory to synthesize the missing weights") from None
    return str(folder / MODEL)


class DataLocation(NamedTuple):
    """Where a tensor's data is."""

    file: Path
    offset: int


def _locate_data(model: ModelProto, path: str | os.PathLike[str]) -> Iterator[tuple[Stored, DataLocation | None]]:
    """The tensors whose data is not in the model's own file, each with its location, or None if it is absent."""
    files: dict[str, tuple[Path, int] | None] = {}
    for stored in stored_tensors(model):
        if stored.is_external:
            if stored.location not in files:
                file = data_file(path, stored)
                files[stored.location] = None if file is None else (file, file.stat().st_size)
            if (found := files[stored.location]) is None:
                yield stored, None
                continue
            offset, length, nbytes = _number(stored, "offset"), _number(stored, "length"), _describe(stored).nbytes
            if length not in (0, nbytes):
                raise _wrong(stored, f"takes {nbytes:,} bytes, but has {length:,} in its file")
            yield stored, DataLocation(found[0], offset) if found[1] >= offset + max(1, nbytes) else None


def _number(stored: Stored, key: str) -> int:
    text = stored.external_data.get(key, "0")
    if not is_whole(text):
        raise _wrong(stored, f"has the {key} '{shorten(text)}' in its file, which is not a number of bytes")
    return int(text)


def _wrong(stored: Stored, what: str) -> MeasurementError:
    return MeasurementError(f"the weight '{shorten(stored.name)}' {what}")


def _load(path: str | os.PathLike[str]) -> ModelProto:
    import onnx
    from google.protobuf.message import DecodeError

    try:
        return onnx.load(path, load_external_data=False)
    except (DecodeError, RuntimeError) as error:
        raise ModelError(f"{os.fspath(path)} is not a readable ONNX model: {error}") from None


def _describe(stored: Stored) -> Tensor:
    value = Value(stored.scope + stored.name)
    value.learn(tensor_type(stored.tensor.data_type, stored.tensor.dims))
    return as_tensor(value)


def _check_room(needed: int, folder: Path) -> None:
    disk = shutil.disk_usage(folder)
    if disk.total and needed > disk.free:
        raise MeasurementError(
            f"the missing weights take {needed / 2**20:,.0f} MiB, but '{folder.parent}' has only {disk.free / 2**20:,.0f} MiB"
            " free: set TMPDIR to a folder with more space"
        )


class _Writer:
    """Writes the data of tensors to the file, and its location into the tensors."""

    def __init__(self, file: BinaryIO, found: Outline, seed: int) -> None:
        self._file, self._found, self._seed = file, found, seed
        self._copied: dict[tuple[DataLocation, int], int] = {}

    def write(self, stored: Stored, place: DataLocation | None) -> None:
        """Write the data at ``place``, or random elements if that is None; strings go into the tensor itself."""
        tensor, described = stored.tensor, _describe(stored)
        if described.dtype == "string" and place is None:
            del tensor.external_data[:]
            tensor.ClearField("data_location")
            tensor.string_data.extend(f"word {index}".encode() for index in range(described.size))
            return
        if described.dtype not in BITS:
            raise ModelError(f"'{described.name}' is not stored, and its type is unknown: it cannot be synthesized")
        if place is None:
            start = self._begin()
            filling = _choose_filling(stored, described, self._found)
            for piece in generate_bytes(filling, described.dtype, described.size, described.name, self._seed):
                self._file.write(piece)
        elif (known := self._copied.get((place, described.nbytes))) is not None:
            start = known
        else:
            start = self._copied[place, described.nbytes] = self._begin()
            self._copy(stored, place, described.nbytes)
        del tensor.external_data[:]
        nbytes = self._file.tell() - start if place is None else described.nbytes
        for key, value in (("location", DATA), ("offset", start), ("length", nbytes)):
            tensor.external_data.add(key=key, value=str(value))

    def _begin(self) -> int:
        start = -(-self._file.tell() // PAGE) * PAGE
        self._file.seek(start)
        return start

    def _copy(self, stored: Stored, place: DataLocation, nbytes: int) -> None:
        with open_data(place.file, stored) as source:
            source.seek(place.offset)
            while nbytes:
                piece = source.read(min(nbytes, COPIED))
                if not piece:
                    raise _wrong(stored, "cannot be copied: its file was truncated while it was read")
                self._file.write(piece)
                nbytes -= len(piece)


def _choose_filling(stored: Stored, described: Tensor, found: Outline) -> Filling:
    if stored.sparse is not None and not stored.value:
        return Positions(tuple(stored.sparse.dims), stored.sparse.values.dims[0], len(stored.tensor.dims) > 1)
    if stored.value:
        return choose_filling(replace(described, dims=tuple(stored.sparse.dims)) if stored.sparse else described, found)
    if stored.attribute == "keys_tensor":
        return Positions(described.shape, described.size)
    return Spread(0, 0) if stored.attribute == "nodes_modes" else filling_by_type(described.dtype)
