"""Strips a model of its weights: what is left has the same graph, the same cost, and none of the large tensors' data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.frontend.external import leaves_folder
from onnxcost.frontend.nodes import NAME_SCOPES
from onnxcost.frontend.skeleton import FILE_BYTES, LARGE, NOT_STORED, ModelSource, read_skeleton
from onnxcost.frontend.stored import bodies, stored_tensors

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from onnx import ModelProto, NodeProto

EXPORTERS = "pkg."
"""How the keys begin under which PyTorch's exporter and the libraries below it keep notes."""


class Stripped(NamedTuple):
    """The bytes that a model took, data in other files included, and those that its skeleton takes."""

    before: int
    after: int


def strip(model: ModelSource, path: str | os.PathLike[str], *, anonymize: bool = False) -> Stripped:  # type: ignore[valid-type]
    """Writes the skeleton of ``model`` to ``path``: the model without the data of its large tensors (more than 1 KiB) and of
    those in other files, and without what exporters note beside the graph: where in whose source code a node is from, and doc
    strings. Modules' names stay. ``estimate`` says the same of both.

    With ``anonymize`` names, doc strings and metadata are replaced as well; sums stay the same, and so do the dims that are
    assumed. Raises ModelError for what is not a model, InputError for what cannot be read or written.
    """
    skeleton = read_skeleton(model)
    small, files = skeleton.model, _files(skeleton.model, skeleton.path)
    _refuse_own_files(path, files)
    _forget_data(small)
    _forget_notes(small)
    if all(entry.key != FILE_BYTES for entry in small.metadata_props):
        small.metadata_props.add(key=FILE_BYTES, value=str(skeleton.file_bytes))
    if anonymize:
        from onnxcost.frontend.anonymizing import anonymise

        # Another name may have made a message so long that it loses its payload.
        small = read_skeleton(anonymise(small)).model
    content = small.SerializeToString(deterministic=True)
    before = sum(file.stat().st_size for file in files) or skeleton.file_bytes
    replace_file(Path(path), content)
    return Stripped(before, len(content))


def _files(model: ModelProto, path: str) -> list[Path]:
    """The files that the model lies in, as far as they are there."""
    locations = dict.fromkeys(stored.location for stored in stored_tensors(model) if stored.is_external)
    own = Path(str(path))
    beside = (own.parent / name for name in locations if not leaves_folder(name))
    return [file for file in (own, *beside) if path and file.is_file()]


def _refuse_own_files(path: str | os.PathLike[str], files: list[Path]) -> None:
    target = Path(path)
    if target.exists() and any(target.samefile(file) for file in files):
        raise InputError(f"'{target}' is the model itself: a skeleton in its place would be all that is left of it")


def _forget_data(model: ModelProto) -> None:
    """Takes away where external data lay, and the large constants that are no tensors."""
    for part in (model.graph, *model.functions):
        _forget_lists(part.node)
    for stored in stored_tensors(model):
        if not stored.is_external:
            stored.tensor.ClearField("external_data")
        else:
            stored.tensor.ClearField("external_data")
            stored.tensor.external_data.add(key="location", value=NOT_STORED)


def _forget_notes(model: ModelProto) -> None:
    """Takes away fields that onnx does not know, doc strings, and metadata below the model's own but the names of modules."""
    model.DiscardUnknownFields()
    own = [entry for entry in model.metadata_props if not entry.key.startswith(EXPORTERS)]
    if len(own) < len(model.metadata_props):
        kept = [(entry.key, entry.value) for entry in own]
        del model.metadata_props[:]
        for key, value in kept:
            model.metadata_props.add(key=key, value=value)
    for part in (model.graph, *model.functions):
        _forget_notes_in(part)


def _forget_notes_in(message: Message) -> None:
    for field, value in message.ListFields():
        if field.name == "doc_string":
            message.ClearField(field.name)
        elif field.name == "metadata_props":
            scopes = [entry.value for entry in value if entry.key == NAME_SCOPES]
            del value[:]
            for scope in scopes:
                value.add(key=NAME_SCOPES, value=scope)
        elif field.message_type is not None:
            for child in [value] if hasattr(value, "ListFields") else value:
                _forget_notes_in(child)


def _forget_lists(nodes: Iterable[NodeProto]) -> None:
    """Constants that are written as lists become tensors without data. Lists elsewhere decide counts: those of trees."""
    for node in nodes:
        for graph in bodies(node):
            _forget_lists(graph.node)
        for attribute in node.attribute if node.op_type == "Constant" else ():
            field, data_type, size = _LISTS.get(attribute.name, ("ints", 0, 0))
            elements = getattr(attribute, field)
            if (count := len(elements)) * size > LARGE or (field == "strings" and sum(map(len, elements)) > LARGE):
                attribute.Clear()
                attribute.name, attribute.type = "value", attribute.TENSOR
                attribute.t.data_type, attribute.t.data_location = data_type, attribute.t.EXTERNAL
                attribute.t.dims.append(count)


_LISTS: Mapping[str, tuple[str, int, int]] = {
    "value_floats": ("floats", 1, 4),
    "value_ints": ("ints", 7, 8),
    "value_strings": ("strings", 8, 0),
}
"""The attributes of a Constant that are lists: their fields, TensorProto's numbers of their types, and bytes an element."""
