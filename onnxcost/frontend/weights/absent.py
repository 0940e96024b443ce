"""Weights that a model names but does not have: which they are, and random ones in their place, so that it runs."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from onnxcost.documents import is_whole
from onnxcost.errors import MeasurementError, ModelError
from onnxcost.frontend.nodes import as_tensor
from onnxcost.frontend.skeleton import NOT_STORED, read_whereabouts
from onnxcost.frontend.stored import Stored, stored_tensors
from onnxcost.frontend.values import Value, tensor_type
from onnxcost.frontend.weights.fillings import Filling, Positions, Spread, filled
from onnxcost.frontend.weights.outline import Outline, outline
from onnxcost.frontend.weights.roles import filling_by_type, filling_of
from onnxcost.graph import BITS, Tensor

if TYPE_CHECKING:
    from onnx import ModelProto

MODEL, DATA = "synthesised.onnx", "synthesised.weights"
"""The files that ``fill_weights`` makes."""
PAGE = 4096
"""Data begins at multiples of this, so that it can be mapped into memory."""


def absent_weights(path: str | os.PathLike[str]) -> tuple[Tensor, ...]:
    """The tensors whose data is nowhere: not in the model, and not where it says, as far as that can be told without reading
    it. Raises ModelError and InputError as ``read_skeleton`` does.
    """
    return tuple(_described(stored) for stored in _absent(read_whereabouts(path), Path(path).parent))


def fill_weights(path: str | os.PathLike[str], folder: str | os.PathLike[str], seed: int = 0) -> str:
    """Writes the model into ``folder`` with random weights in place of the absent ones, and returns its path there; ``path``
    itself where nothing is absent. The same tensor gets the same elements from the same seed.

    They are spread such that activations stay in range: see ``weight_roles``. Data that is there is linked to or copied.
    Raises ModelError for a model that no made up elements would do for, MeasurementError where there is no room for them.
    """
    if not absent_weights(path):
        return os.fspath(path)
    import onnx

    home, folder = Path(path).parent, Path(folder).absolute()
    model = onnx.load(path, load_external_data=False)
    try:
        _bring_data(model, home, folder)
        found = outline(model)
        with (folder / DATA).open("wb") as file:
            for stored in list(_absent(model, home)):
                _fill(stored, found, seed, file)
        (folder / MODEL).write_bytes(model.SerializeToString())
    except OSError as error:
        raise MeasurementError(f"the weights that are absent cannot be made up in '{folder}': {error.strerror}") from error
    return str(folder / MODEL)


def _absent(model: ModelProto, home: Path) -> Iterator[Stored]:
    sizes: dict[str, int] = {NOT_STORED: 0}
    for stored in stored_tensors(model):
        if stored.is_external:
            location = stored.location
            if location not in sizes:
                sizes[location] = (home / location).stat().st_size if (home / location).is_file() else 0
            offset = int(text) if is_whole(text := stored.whereabouts.get("offset", "")) else 0
            if sizes[location] < offset + max(1, _described(stored).nbytes):
                yield stored


def _described(stored: Stored) -> Tensor:
    value = Value(stored.scope + stored.name)
    value.learn(tensor_type(stored.tensor.data_type, stored.tensor.dims))
    return as_tensor(value)


def _bring_data(model: ModelProto, home: Path, folder: Path) -> None:
    """Puts the files with the data that is there beside the model: onnxruntime reads no others, and follows no symbolic
    links.
    """
    for location in {stored.location for stored in stored_tensors(model) if stored.is_external}:
        source, target = home / location, folder / location
        is_inside = Path(os.path.normpath(target)).is_relative_to(folder)
        if is_inside and source.is_file() and not target.exists():
            target.parent.mkdir(parents=True, exist_ok=True)
            try:
                os.link(source.resolve(), target)
            except OSError:
                shutil.copyfile(source, target)


def _fill(stored: Stored, found: Outline, seed: int, file: BinaryIO) -> None:
    """Writes elements for a tensor to the file, and into the tensor where they are; strings have no place but the tensor."""
    tensor, described = stored.tensor, _described(stored)
    del tensor.external_data[:]
    if described.dtype == "string":
        tensor.ClearField("data_location")
        tensor.string_data.extend(f"word {index}".encode() for index in range(described.size))
        return
    if described.dtype not in BITS:
        raise ModelError(f"'{described.name}' is not stored and of no type that there is: it cannot be made up")
    start = -(-file.tell() // PAGE) * PAGE
    file.seek(start)
    for piece in filled(_filling(stored, described, found), described.dtype, described.size, described.name, seed):
        file.write(piece)
    for key, value in (("location", DATA), ("offset", start), ("length", file.tell() - start)):
        tensor.external_data.add(key=key, value=str(value))


def _filling(stored: Stored, described: Tensor, found: Outline) -> Filling:
    if stored.sparse is not None and not stored.value:
        return Positions(tuple(stored.sparse.dims), stored.sparse.values.dims[0], len(stored.tensor.dims) > 1)
    if stored.value:
        return filling_of(replace(described, dims=tuple(stored.sparse.dims)) if stored.sparse else described, found)
    if stored.attribute == "keys_tensor":
        return Positions(described.shape, described.size)
    return Spread(0, 0) if stored.attribute == "nodes_modes" else filling_by_type(described.dtype)
