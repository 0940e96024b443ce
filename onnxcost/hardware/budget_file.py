"""The file that holds the budgets of several models, for CI: onnxcost.toml, or a table in pyproject.toml."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from onnxcost.documents import read_document, read_toml
from onnxcost.errors import InputError
from onnxcost.hardware.budgets import EXAMPLES, Limits, limits_of
from onnxcost.hardware.reader import meant

FILES, KEY = ("onnxcost.toml", "pyproject.toml"), "budget"


@dataclass(frozen=True, slots=True)
class Budget:
    """The limits of one model of a budget file, and the devices that are to keep them; without any, those of the model alone.

    ``model`` is the file's path, as from where the command runs.
    """

    model: str
    limits: Limits
    devices: tuple[str, ...] = ()
    batch: int | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def found_file(folder: str | Path = ".") -> Path:
    """The folder's budget file; raises InputError where there is none."""
    for name in FILES:
        path = Path(folder) / name
        if path.is_file() and (name != FILES[-1] or f"tool.onnxcost.{KEY}".encode() in read_document(path)):
            return path
    raise InputError(f"there is no budget here: neither {FILES[0]} nor [tool.onnxcost.{KEY}] in {FILES[1]}")


def budgets_in(path: str | Path) -> tuple[Budget, ...]:
    """The budgets of a file: what stands in the table ``budget`` is asked of all models, in a model's own table of that one.

    Raises InputError for a file that cannot be read, and for what is misspelt in it.
    """
    document = read_toml(path)
    table: Any = document
    for key in (KEY,) if KEY in document else ("tool", "onnxcost", KEY):
        table = table.get(key) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        where = f"[tool.onnxcost.{KEY}]" if Path(path).name == "pyproject.toml" else f"[{KEY}]"
        raise InputError(f"'{path}' has no table {where}")
    models = table.get("models", {})
    if not isinstance(models, dict) or not models:
        raise InputError(f"'{path}' names no model: write [{KEY}.models.\"model.onnx\"] for each")
    shared = {key: value for key, value in table.items() if key != "models"}
    found = []
    for name, own in models.items():
        try:
            if not isinstance(own, dict):
                raise InputError("this is no table")
            found.append(_budget(str(Path(path).parent / name), {**shared, **own}))
        except InputError as error:
            raise InputError(f"{path}: {name}: {error}") from None
    return tuple(found)


def _budget(model: str, table: Mapping[str, Any]) -> Budget:
    known = (*EXAMPLES, *_READERS)
    for key in table:
        if key not in known:
            raise InputError(f"there is no key '{key}'{meant(key, known)}")
    return Budget(model, limits=limits_of(table), **{key: read(table[key]) for key, read in _READERS.items() if key in table})


def _names(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value) or not value:
        raise InputError("devices wants a list of names, as in devices = ['raspberry-pi-5-8gb']")
    return tuple(value)


def _sizes(value: Any) -> Mapping[str, int]:
    if not isinstance(value, dict) or not all(type(size) is int and size >= 0 for size in value.values()):
        raise InputError("dims wants a table of whole numbers, as in dims = { batch = 8 }")
    return value


def _shapes(value: Any) -> Mapping[str, tuple[int, ...]]:
    if not isinstance(value, dict) or not all(
        isinstance(dims, list) and all(type(d) is int and d >= 0 for d in dims) for dims in value.values()
    ):
        raise InputError("shapes wants a table of lists, as in shapes = { image = [1, 3, 224, 224] }")
    return {name: tuple(dims) for name, dims in value.items()}


def _batch(value: Any) -> int:
    if type(value) is not int or value < 1:
        raise InputError(f"batch wants a whole number from 1 up, not {value!r}")
    return value


_READERS: Mapping[str, Callable[[Any], Any]] = {"devices": _names, "batch": _batch, "dims": _sizes, "shapes": _shapes}
