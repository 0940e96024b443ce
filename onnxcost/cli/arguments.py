"""What people write on the command line, as what ``onnxcost.estimate`` takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from onnxcost.errors import InputError

T = TypeVar("T")


def pairs(option: str, example: str, given: Iterable[str], parse: Callable[[str], T]) -> dict[str, T]:
    """``NAME=TEXT`` arguments by name. Raises InputError for one that is no pair, that does not parse, or that comes twice."""
    found: dict[str, T] = {}
    for argument in given:
        name, equals, text = argument.rpartition("=")
        if not (equals and name):
            raise InputError(f"{option} wants {example}, not '{argument}'")
        if name in found:
            raise InputError(f"{option} is given twice for '{name}'")
        try:
            found[name] = parse(text.strip())
        except ValueError as error:
            raise InputError(f"{option} wants {example}, not '{argument}'{f': {error}' if str(error) else ''}") from None
    return found


def shape(text: str) -> tuple[int, ...]:
    """``1x3x224x224`` or ``1,3,224,224``; nothing is the shape of a scalar."""
    return tuple(map(size, re.split("[x×,*]", text))) if text else ()


def size(text: str) -> int:
    """A dim: digits alone, so neither negative nor ``1_000`` nor ``1e3``."""
    if not re.fullmatch(r"\s*\d+\s*", text, re.ASCII):
        raise ValueError("a dim is a whole number, 0 or more" if text else "a dim is missing")
    return int(text)


def value(text: str) -> Any:
    """A number, a comma list of them, or the array in a .npy file."""
    if text.lower().endswith(".npy"):
        return _array(text)
    return [_number(part) for part in text.rstrip(",").split(",")] if "," in text else _number(text)


def _number(text: str) -> bool | int | float:
    words = {"true": True, "false": False}
    if text.strip().lower() in words:
        return words[text.strip().lower()]
    try:
        return int(text)
    except ValueError:
        pass
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"'{text}' is not a number") from None


def _array(path: str) -> Any:
    import numpy

    try:
        return numpy.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = getattr(error, "strerror", None) or "not a .npy file of plain numbers"
        raise InputError(f"cannot read '{path}': {reason}") from None


def checked_path(path: str, commands: Iterable[str]) -> str:
    """The path, if something is there, be it a link that leads nowhere.

    Raises InputError with the command or the file that was probably meant.
    """
    place = Path(path)
    try:
        if place.exists() or place.is_symlink():
            return path
        beside = [str(place.parent / entry.name) for entry in place.parent.iterdir() if entry.suffix == ".onnx"]
    except (OSError, ValueError):
        beside = []
    from difflib import get_close_matches

    if command := get_close_matches(path, list(commands), 1):
        raise InputError(f"'{path}' is neither a file nor a command; is the command '{command[0]}' meant?")
    nearest = get_close_matches(str(place), beside, 1)
    raise InputError(f"there is no file '{path}'" + (f"; is '{nearest[0]}' meant?" if nearest else ""))
