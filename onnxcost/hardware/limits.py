"""Limits of a model, and files with limits and the devices that must meet them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from onnxcost.documents import UNITS, is_figure, parse_quantity, read_document, read_toml
from onnxcost.errors import InputError, did_you_mean
from onnxcost.remote.urls import locate


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for a model in base units; None is no limit.

    ``fps`` are items per second, ``latency`` seconds of one inference, ``memory`` and ``flash`` bytes; ``macs`` are those of
    one inference, ``params`` the parameters. ``ttft`` (seconds to the first token) and ``tokens_per_second`` of a sequence are
    for language models.
    """

    fps: float | None = None
    latency: float | None = None
    memory: float | None = None
    flash: float | None = None
    macs: float | None = None
    params: float | None = None
    ttft: float | None = None
    tokens_per_second: float | None = None

    @property
    def given(self) -> Mapping[str, float]:
        """The limits that are set, by name."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return {name: value for name, value in values.items() if value is not None}


EXAMPLES: Mapping[str, str] = {
    "fps": "30", "latency": "33ms", "memory": "512MiB", "flash": "2MiB", "macs": "500M", "params": "5M",
    "ttft": "500ms", "tokens_per_second": "20",
}  # fmt: skip
_UNITS = {
    "fps": "", "latency": "seconds", "memory": "bytes", "flash": "bytes", "macs": "count", "params": "count",
    "ttft": "seconds", "tokens_per_second": "",
}  # fmt: skip


def parse_budget_limit(name: str, given: object) -> float:
    """A limit in base units; raises InputError for anything but a positive quantity of its kind."""
    units = UNITS[_UNITS[name]]
    if _UNITS[name] == "seconds":
        units = {unit: size for unit, size in units.items() if unit}
    value = parse_quantity(given, units) if isinstance(given, str) else given if "" in units and is_figure(given) else None
    if not isinstance(value, int | float) or not value:
        raise InputError(f"{name} expects a quantity such as {EXAMPLES[name]}, not '{given}'")
    return value


def limits_of(given: Mapping[str, object]) -> Limits:
    """The limits among ``given``; None is no limit."""
    return Limits(
        **{name: parse_budget_limit(name, value) for name, value in given.items() if name in EXAMPLES and value is not None}
    )


def parse_limits(limits: Mapping[str, float | str]) -> Limits:
    """The limits of one run that a function was given as keywords, seconds as a number, too; raises InputError for others."""
    if of_tokens := limits.keys() & {"ttft", "tokens_per_second"}:
        raise InputError(f"{min(of_tokens)} does not apply to a single run: use onnxcost.llm(model, devices=…)")
    if unknown := limits.keys() - EXAMPLES.keys():
        raise InputError(f"there is no limit '{min(unknown)}': choose from {', '.join(EXAMPLES)}")
    return limits_of({name: f"{value}s" if name == "latency" and is_figure(value) else value for name, value in limits.items()})


FILES, KEY = ("onnxcost.toml", "pyproject.toml"), "budget"


@dataclass(frozen=True, slots=True)
class Budget:
    """One model of a budget file, its limits, and the devices that must meet them; without devices, only the model is checked.

    ``model`` is the path of its file, relative to where the command runs.
    """

    model: str
    limits: Limits
    devices: tuple[str, ...] = ()
    batch: int | None = None
    dims: Mapping[str, int] = field(default_factory=dict)
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def find_budget_file(folder: str | Path = ".") -> Path:
    """The folder's budget file; raises InputError if there is none."""
    for name in FILES:
        path = Path(folder) / name
        if path.is_file() and (name != FILES[-1] or f"tool.onnxcost.{KEY}".encode() in read_document(path)):
            return path
    raise InputError(f"no budget found: there is neither a file {FILES[0]} nor [tool.onnxcost.{KEY}] in {FILES[1]}")


def load_budgets(path: str | Path) -> tuple[Budget, ...]:
    """The budgets of a file: keys in the table ``budget`` apply to all models, those in a model's own table to that model.

    Raises InputError for a file that cannot be read, and for unknown keys and invalid values.
    """
    document = read_toml(path)
    table: Any = document
    keys = (KEY,) if KEY in document else ("tool", "onnxcost", KEY)
    for key in keys:
        table = table.get(key) if isinstance(table, dict) else None
    if not isinstance(table, dict):
        where = f"[tool.onnxcost.{KEY}]" if Path(path).name == "pyproject.toml" else f"[{KEY}]"
        raise InputError(f"'{path}' has no table {where}")
    models = table.get("models", {})
    if not isinstance(models, dict) or not models:
        raise InputError(f"'{path}' has no models: write [{'.'.join(keys)}.models.\"model.onnx\"] for each")
    shared = {key: value for key, value in table.items() if key != "models"}
    found = []
    for name, own in models.items():
        try:
            if not isinstance(own, dict):
                raise InputError("this is not a table")
            found.append(_budget(locate(name, path), {**shared, **own}))
        except InputError as error:
            raise InputError(f"{path}: {name}: {error}") from None
    return tuple(found)


_WANTED: Mapping[str, str] = {
    "devices": "a list of names, as in devices = ['raspberry-pi-5-8gb']",
    "batch": "a whole number of 1 or more",
    "dims": "a table of whole numbers, as in dims = { batch = 8 }",
    "shapes": "a table of lists, as in shapes = { image = [1, 3, 224, 224] }",
}
"""The keys of a budget that are not limits, and the requirements on their values."""


def _is_valid(key: str, value: Any) -> bool:
    """Whether the value meets the requirements of the key."""
    match key:
        case "devices":
            return isinstance(value, list) and bool(value) and all(isinstance(name, str) for name in value)
        case "batch":
            return type(value) is int and value >= 1
        case "dims":
            return isinstance(value, dict) and _are_sizes(value.values())
        case _:
            return isinstance(value, dict) and all(isinstance(dims, list) and _are_sizes(dims) for dims in value.values())


def _are_sizes(values: Iterable[Any]) -> bool:
    return all(type(value) is int and value >= 0 for value in values)


def _budget(model: str, table: Mapping[str, Any]) -> Budget:
    known = (*EXAMPLES, *_WANTED)
    for key, value in table.items():
        if key not in known:
            raise InputError(f"unknown key '{key}'{did_you_mean(key, known)}")
        if key in _WANTED and not _is_valid(key, value):
            raise InputError(f"{key} expects {_WANTED[key]}, not {value!r}")
    return Budget(
        model,
        limits_of(table),
        devices=tuple(table.get("devices", ())),
        batch=table.get("batch"),
        dims=table.get("dims", {}),
        shapes={name: tuple(dims) for name, dims in table.get("shapes", {}).items()},
    )
