"""The boards that models are measured on: names and options from a hosts file, or destinations of ssh."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnxcost.documents import is_figure, read_toml
from onnxcost.errors import InputError, did_you_mean

ALL = "all"
"""The word for all hosts of the file."""
TIMEOUT = 1800.0
"""Seconds that a job may take on a board, by default."""

_NAME = re.compile(r"\w[\w.-]{0,63}", re.ASCII)
_ADDRESS = re.compile(r"(?:\w[\w.-]*(?:%\w+)?|\[?[0-9a-fA-F:]+(?:%\w+)?\]?)", re.ASCII)
_USER = re.compile(r"\w[\w.+-]*\$?", re.ASCII)
_DESTINATION = re.compile(r"(?P<scheme>ssh://)?(?:(?P<user>[^@]*)@)?(?P<address>\[[^\]]*\]|.*?)(?::(?P<port>\d+))?/?")


@dataclass(frozen=True, slots=True)
class Host:
    """A board. ``address`` is what ssh connects to; ssh's own configuration may define it, and the fields that are empty here.

    ``command`` are the words that start onnxcost there, ``timeout`` the seconds that a job may take. ``provider`` and
    ``threads`` are used if the command line has none.
    """

    name: str
    address: str
    user: str = ""
    port: int | None = None
    identity: str = ""
    command: tuple[str, ...] = ("onnxcost",)
    provider: str = ""
    threads: int | None = None
    tags: tuple[str, ...] = ()
    timeout: float = TIMEOUT

    @property
    def file_name(self) -> str:
        """The name, as that of a file or of a device: ``user-10-0-0-7``."""
        return "-".join(re.findall(r"[a-z0-9]+", self.name.lower())) or "board"


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value or not value.isprintable():
        raise ValueError("a text")
    return value


def _matching(pattern: re.Pattern[str], what: str) -> Callable[[Any], str]:
    def check(value: Any) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise ValueError(what)
        return value

    return check


def _whole(most: int) -> Callable[[Any], int]:
    def check(value: Any) -> int:
        if type(value) is not int or not 1 <= value <= most:
            raise ValueError(f"a whole number from 1 to {most}")
        return value

    return check


def _seconds(value: Any) -> float:
    if not is_figure(value) or not value:
        raise ValueError("a number of seconds above 0")
    return float(value)


def _words(value: Any) -> tuple[str, ...]:
    if not (words := tuple(shlex.split(_text(value)))):
        raise ValueError("a command")
    return words


def _tags(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ValueError("a list of strings")
    return tuple(map(_matching(_NAME, "a list of words"), value))


OPTIONS: Mapping[str, Callable[[Any], Any]] = {
    "address": _matching(_ADDRESS, "the name or the number of a host"),
    "user": _matching(_USER, "the name of a user"),
    "port": _whole(65_535),
    "identity": _text,
    "command": _words,
    "provider": _text,
    "threads": _whole(4096),
    "tags": _tags,
    "timeout": _seconds,
}
"""The keys of a host in the file; each check raises ValueError with what is expected."""


def load_hosts(path: str | Path) -> dict[str, Host]:
    """The hosts in a TOML file, a table for each. Raises InputError for a file that cannot be read or is invalid."""
    return {name: _read_host(name, table, f"'{path}': [{name}]") for name, table in read_toml(path).items()}


def _read_host(name: str, table: Any, where: str) -> Host:
    if not _NAME.fullmatch(name) or name == ALL:
        raise InputError(f"{where}: a host name consists of letters, digits, '.', '_' and '-', and is not '{ALL}'")
    if not isinstance(table, dict):
        raise InputError(f"{where}: a host must be a table: [{name}]")
    found: dict[str, Any] = {}
    for key, value in table.items():
        if key not in OPTIONS:
            hint = did_you_mean(key, OPTIONS) or f": choose from {', '.join(OPTIONS)}"
            raise InputError(f"{where} has no option '{key}'{hint}")
        try:
            found[key] = OPTIONS[key](value)
        except ValueError as error:
            raise InputError(f"{where}: {key} must be {error}, not {value!r}") from None
    return replace(Host(name, name), **found)


def select_hosts(text: str, known: Mapping[str, Host]) -> list[Host]:
    """The hosts in a list such as ``pi5,lab,user@10.0.0.7``: names and tags of known ones, "all" of them, else destinations.
    Raises InputError for anything else.
    """
    found: dict[str, Host] = {}
    for word in filter(None, map(str.strip, text.split(","))):
        tagged = [host for host in known.values() if word in host.tags or word == ALL]
        for host in [known[word]] if word in known else tagged or [_parse_destination(word, known)]:
            found[host.name] = host
    if not found:
        raise InputError(f"'{text}' names no host")
    return list(found.values())


def _parse_destination(word: str, known: Mapping[str, Host]) -> Host:
    """A host by its destination: ``pi5``, ``user@10.0.0.7``, ``ssh://user@10.0.0.7:2222``."""
    match = _DESTINATION.fullmatch(word)
    if match and (match["scheme"] or not match["port"]):
        user, address, port = match["user"], match["address"], int(match["port"] or 22)
        is_right = _ADDRESS.fullmatch(address) and (user is None or _USER.fullmatch(user)) and 1 <= port <= 65_535
        if is_right and word != ALL:
            return Host(word, address.strip("[]"), user or "", int(match["port"]) if match["port"] else None)
    hint = did_you_mean(word, known) or ": a host is a name in the hosts file, 'user@address', or 'ssh://user@address:port'"
    raise InputError(f"'{word}' is not a host{hint}")
