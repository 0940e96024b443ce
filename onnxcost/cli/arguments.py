"""What people write on the command line, as what ``onnxcost.estimate`` takes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

import click

from onnxcost.documents import MOST_WHOLE, is_whole, parse_number
from onnxcost.errors import InputError

T = TypeVar("T")


class Whole(click.IntRange):
    """A whole number in ASCII digits: click's own takes "1_000" and the digits of every script."""

    def __init__(self, least: int, most: int = MOST_WHOLE) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; a usage error for any other text."""
        if isinstance(value, str) and not (is_whole(value.strip()) and self.min <= int(value) <= self.max):  # type: ignore[operator]
            self.fail(f"'{value}' is not a whole number from {self.min} to {self.max}", param, ctx)
        return super().convert(value, param, ctx)


class Number(click.FloatRange):
    """A finite number: click's own takes "nan", for which no comparison holds, "inf" and "1_000"."""

    def __init__(self, *, above: float | None = None, most: float | None = None) -> None:
        super().__init__(0 if above is None else above, most, min_open=above is not None)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; a usage error for any other text."""
        if isinstance(value, str):
            try:
                value = parse_number(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
        return super().convert(value, param, ctx)


SECONDS = 10**9
"""The longest that can be asked for: clocks and locks take no more."""
AT_ONCE = 4096
"""The most threads or processes that can be asked for."""


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
    if not is_whole(text.strip()):
        raise ValueError("a dim is a whole number, 0 or more and below 2^63" if text else "a dim is missing")
    return int(text)


def value(text: str) -> Any:
    """A number, a comma list of them, or the array in a .npy file."""
    if text.lower().endswith(".npy"):
        from onnxcost.measuring.inputs.files import load

        return load(text, "")
    return [_number(part) for part in text.rstrip(",").split(",")] if "," in text else _number(text)


def _number(text: str) -> bool | int | float:
    words = {"true": True, "false": False}
    if text.strip().lower() in words:
        return words[text.strip().lower()]
    digits = text.strip().removeprefix("-")
    return int(text) if is_whole(digits) else parse_number(text)


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
