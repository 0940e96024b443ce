"""MODEL…: files, folders and patterns as the models to compare, each under a short name of its own."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from glob import escape, glob, has_magic
from pathlib import Path

import click

from onnxcost.cli.arguments import checked_path
from onnxcost.comparing import Source
from onnxcost.comparison.labels import labels
from onnxcost.errors import InputError
from onnxcost.files import is_pipe, models_in


def sources_of(given: Iterable[str]) -> list[Source]:
    """The models in the order in which they are given; what a folder or a pattern finds again is left out.

    Raises InputError for what is not there, and for a folder or a pattern that finds nothing.
    """
    paths: list[str] = []
    known: set[str] = set()
    for argument in given:
        found = _found(argument)
        # Not Path.resolve: a link to itself is an error to it.
        paths += found if found == [argument] else [path for path in found if os.path.realpath(path) not in known]
        known.update(map(os.path.realpath, found))
    return [Source(label, path) for label, path in zip(labels(paths), paths, strict=True)]


def _found(argument: str) -> list[str]:
    path = Path(argument)
    if path.is_dir():
        return models_in(argument)
    if has_magic(argument) and not path.exists():
        found = sorted({file for file in _matching(argument) if Path(file).is_file()})
        if not found:
            raise InputError(f"there is no file '{argument}'")
        return found
    if argument == "-" or is_pipe(argument):
        raise InputError(f"'{argument}' can be read only once: write the model to a file first, or give it to 'onnxcost' alone")
    group = click.get_current_context().find_root().command
    commands = group.list_commands(click.get_current_context()) if isinstance(group, click.Group) else []
    return [checked_path(argument, commands)]


def _matching(pattern: str) -> Iterator[str]:
    """What the pattern finds. ``**`` enters no linked directories, as in bash and in ``models_in``: a link may lead back."""
    before, *after = re.split(r"(?:(?<=/)|^)(?:\*\*/+)*\*\*(?:/+|$)", pattern, maxsplit=1)
    if not after:
        yield from glob(pattern)  # noqa: PTH207  # takes any path
        return
    for folder in glob(before) if before else ["."]:  # noqa: PTH207
        for place, inside, _ in os.walk(folder):
            inside[:] = (name for name in inside if not name.startswith("."))
            here = place.removeprefix(".").removeprefix("/") if not before else place
            yield from _matching(os.path.join(escape(here), after[0] or "*"))  # noqa: PTH118
