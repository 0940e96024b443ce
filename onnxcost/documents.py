"""Numbers and documents from outside (options, TOML, JSON), read strictly; errors say where the problem is."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import inf, isfinite
from pathlib import Path
from typing import Any

from onnxcost.errors import InputError
from onnxcost.files import open_file, read_error, read_up_to

MOST_WHOLE = 2**63 - 1
"""The largest whole number that is accepted: sizes in ONNX and integers in TOML have 64 bits with a sign."""
MOST_COUNT = 10**4000
"""The largest count accepted from JSON: a model with 64 huge dims has 1,200 digits, and Python reads no more than 4,300."""
MOST_TOML, MOST_JSON = 2**24, 2**29
"""Bytes of the largest documents that are read: a report has a line for each node, and there may be a million."""
DEEPEST = 64
"""The depth to which tables and lists may be nested."""

_SI: Mapping[str, float] = {"": 1, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
_BINARY: Mapping[str, float] = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
UNITS: Mapping[str, Mapping[str, float]] = {
    "count": _SI,
    "bytes": {"": 1, **{f"{prefix}B": size for prefix, size in _SI.items()}, **_BINARY},
    "seconds": {"": 1, "s": 1, "ms": 1e-3, "us": 1e-6, "µs": 1e-6},
    "": {"": 1},
}
"""The units that a limit may have, by the limited quantity."""

_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_QUANTITY = re.compile(r"(\d+(?:\.\d*)?|\.\d+)\s*(\D*)", re.ASCII)
_MANY_DIGITS = re.compile(r"[\d_]{4300,}")

Trail = tuple["Trail", str] | None
"""The path to a value: that of the table or list around it, and its key there."""


def is_whole(text: str) -> bool:
    """Whether the text is only ASCII digits, of a number of at most 64 bits. ``str.isdigit`` also accepts "²"."""
    return text.isascii() and text.isdigit() and len(text) < 20 and int(text) <= MOST_WHOLE


def parse_number(text: str) -> float:
    """A finite number in ASCII. Raises ValueError for "nan", "inf", "1_000" and numbers too large for a float."""
    if not _NUMBER.fullmatch(text.strip()):
        raise ValueError(f"'{text}' is not a number")
    if not isfinite(value := float(text)):
        raise ValueError(f"'{text}' is too large")
    return value


def parse_quantity(text: str, units: Mapping[str, float]) -> float | None:
    """A text like ``512MiB`` in the base unit; None for anything but a finite number with one of the units."""
    match = _QUANTITY.fullmatch(text.strip())
    if match is None or match[2] not in units:
        return None
    value = float(match[1]) * units[match[2]]
    return value if isfinite(value) else None


def is_figure(value: object) -> bool:
    """Whether a value of a document is a finite number of 0 or more; True and False are not."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < inf


def read_document(path: str | Path, most: int = MOST_TOML) -> bytes:
    """The content of a file. Raises InputError for one that cannot be read, or has more bytes."""
    try:
        with open_file(path) as (file, head):
            content = (head or b"") + read_up_to(file, most + 1)
    except (OSError, ValueError) as error:
        raise read_error(error, path) from None
    if len(content) > most:
        raise InputError(f"cannot read '{path}': it is larger than {most // 2**20} MiB")
    return content


def read_toml(path: str | Path) -> dict[str, Any]:
    """The document in a TOML file. Raises InputError as ``parse_toml`` does, and for a file that cannot be read."""
    try:
        text = read_document(path).decode().replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise InputError(f"cannot read '{path}': {error}") from None
    return parse_toml(text, str(path))


def parse_toml(text: str, name: str) -> dict[str, Any]:
    """The document in the text of the file ``name``.

    Raises InputError for invalid TOML, and for NaN, infinity, integers of more than 64 bits, and deep nesting.
    """
    import tomllib

    try:
        document = tomllib.loads(text)
        _check(document, MOST_WHOLE)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"cannot read '{name}': {error}") from None
    except RecursionError:
        raise InputError(f"cannot read '{name}': {_TOO_DEEP}") from None
    except ValueError as error:
        # Python refuses integers of more than 4,300 digits, and does not report their position.
        long = _MANY_DIGITS.search(text)
        line = text.count("\n", 0, long.start()) + 1 if long else 0
        beginning = text.splitlines()[line - 1][:40] if long else ""
        reason = f"line {line} ({beginning}…) has an integer of more than 64 bits" if long else str(error)
        raise InputError(f"cannot read '{name}': {reason}") from None
    return document


def parse_json(text: str | bytes) -> Any:
    """The document in the text.

    Raises ValueError for invalid JSON, and for NaN, infinity, numbers beyond MOST_COUNT, duplicate keys, and documents that
    are nested too deeply.
    """
    import json

    try:
        # Python refuses more digits without reporting their position; as infinity, they are found below.
        document = json.loads(
            text, parse_int=lambda digits: int(digits) if len(digits) < 4300 else float(digits), object_pairs_hook=_unique
        )
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    _check(document, MOST_COUNT)
    return document


def to_json(value: Any, indent: int | None = None) -> str:
    """The value as JSON in ASCII, on one line unless it is to be indented."""
    import json

    # json escapes every control character but this one.
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


_TOO_DEEP = f"it is nested more than {DEEPEST} levels deep"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"the key '{key}' appears twice")
        found[key] = value
    return found


def _check(document: Any, most: int) -> None:
    """Raises ValueError for a number that is not finite or too large, with its place, and for deep nesting."""
    waiting: list[tuple[Any, Trail, int]] = [(document, None, 0)]
    while waiting:
        value, trail, depth = waiting.pop()
        if isinstance(value, dict | list):
            if depth == DEEPEST:
                raise ValueError(_TOO_DEEP)
            children = value.items() if isinstance(value, dict) else enumerate(value)
            waiting += [(child, (trail, str(key)), depth + 1) for key, child in children]
        elif isinstance(value, float) and not isfinite(value):
            raise ValueError(f"'{_place(trail)}' is {value}: a finite number is expected")
        elif isinstance(value, int) and abs(value) > most:
            raise ValueError(f"'{_place(trail)}' is an integer of {value.bit_length()} bits: that is too large")


def _place(trail: Trail) -> str:
    keys: list[str] = []
    while trail is not None:
        trail, key = trail
        keys.insert(0, key)
    return ".".join(keys)
