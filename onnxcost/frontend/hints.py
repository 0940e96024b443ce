"""The sizes of inputs in a model's metadata and in the documents next to its file."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from re import findall
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.documents import parse_json, read_document
from onnxcost.errors import InputError
from onnxcost.remote.urls import is_remote

if TYPE_CHECKING:
    from onnx import ModelProto


Hints = dict[str, tuple[int, str]]
"""By the kind of a dim: its size, and the source."""

SIDE_KEYS = ("imgsz", "img_size", "image_size", "input_size", "imagesize")
_DOCUMENTS = ("genai_config.json", "config.json", "preprocessor_config.json")
_MOST_BYTES, _LARGEST = 2**20, 2**24
_KEYS: Mapping[str, str] = {
    "num_key_value_heads": "heads",
    "head_size": "head size",
    "head_dim": "head size",
    "num_channels": "channels",
    "max_position_embeddings": "tokens",
    "n_positions": "tokens",
    "max_source_positions": "source",
    "context_length": "context",
}


def read_hints(model: ModelProto, path: str) -> Hints:
    """The stated sizes of images and texts, and the number and size of heads. ``path`` is the model's file, or "".

    Documents that cannot be read and values that are not sizes are ignored.
    """
    found: Hints = {}
    for entry in model.metadata_props:
        if str(entry.key).lower() in SIDE_KEYS and len(entry.value) < 100:
            numbers = [int(digits) for digits in findall(r"[0-9]{1,7}", entry.value)]
            _note_sides(found, numbers, f"{entry.key} in the model's metadata")
    for file, document in _documents_beside(path):
        _note_document(found, document, file.name)
    return found


class Setting(NamedTuple):
    """A value that a document states, and where."""

    value: Any
    where: str


def settings_beside(path: str) -> dict[str, Setting]:
    """The numbers and truth values in the documents next to a model's file by their keys, at any depth; the first of a key."""
    found: dict[str, Setting] = {}
    for file, document in _documents_beside(path):
        for level in _levels(document):
            for key, value in level.items():
                if isinstance(value, int | float):
                    found.setdefault(key, Setting(value, f"{key} in {file.name}"))
    return found


def _documents_beside(path: str) -> Iterator[tuple[Path, Any]]:
    """The documents that can be read, each with its file."""
    folder = Path(path).absolute().parent
    folders = (folder, *([folder.parent] if folder.name == "onnx" else [])) if path and not is_remote(path) else ()
    for file in (place / name for place in folders for name in _DOCUMENTS):
        if file.is_file():
            with suppress(InputError, ValueError):
                yield file, parse_json(read_document(file, _MOST_BYTES))


def _levels(document: Any) -> Iterator[dict[str, Any]]:
    """The tables in a document, the outer ones first."""
    waiting = deque([document])
    while waiting:
        level = waiting.popleft()
        if isinstance(level, dict):
            yield level
            waiting += [value for key, value in level.items() if key not in ("size", "crop_size")]


def _note_sides(found: Hints, numbers: list[int], where: str) -> None:
    sides = [number for number in numbers if 8 <= number <= _LARGEST][-2:]
    if sides:
        found.setdefault("height", (sides[0], where))
        found.setdefault("width", (sides[-1], where))


def _note_document(found: Hints, document: Any, where: str) -> None:
    for level in _levels(document):
        for key, kind in _KEYS.items():
            if is_size(level.get(key)):
                found.setdefault(kind, (level[key], f"{key} in {where}"))
        for key in (*SIDE_KEYS, "crop_size", "size"):
            _note_sides(found, _sides(level.get(key)), f"{key} in {where}")
        width: Any = level.get("hidden_size")
        heads: Any = level.get("num_attention_heads")
        if is_size(width) and is_size(heads):
            found.setdefault("head size", (width // heads, f"hidden_size in {where}"))
            found.setdefault("heads", (heads, f"num_attention_heads in {where}"))


def _sides(value: Any) -> list[int]:
    """The sizes of the sides: one, a pair, or those of ``{"height": 224, "width": 224}``."""
    if isinstance(value, dict):
        value = [value.get("height", value.get("shortest_edge")), value.get("width", value.get("shortest_edge"))]
    numbers = value if isinstance(value, list) else [value]
    return numbers if len(numbers) < 4 and all(map(is_size, numbers)) else []


def is_size(value: object) -> bool:
    """Whether a value of a document can be the size of a dim."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= _LARGEST
