"""MODEL…: files, folders and patterns as the models to compare, each under a short name of its own."""

from __future__ import annotations

from collections.abc import Iterable
from glob import glob, has_magic
from pathlib import Path

import click

from onnxcost.cli.arguments import checked_path
from onnxcost.comparing import Source
from onnxcost.comparison.labels import labels
from onnxcost.errors import InputError
from onnxcost.files import models_in


def sources_of(given: Iterable[str]) -> list[Source]:
    """The models in the order in which they are given; what a folder or a pattern finds again is left out.

    Raises InputError for what is not there, and for a folder or a pattern that finds nothing.
    """
    paths: list[str] = []
    known: set[Path] = set()
    for argument in given:
        found = _found(argument)
        paths += found if found == [argument] else [path for path in found if Path(path).resolve() not in known]
        known.update(Path(path).resolve() for path in found)
    return [Source(label, path) for label, path in zip(labels(paths), paths, strict=True)]


def _found(argument: str) -> list[str]:
    path = Path(argument)
    if path.is_dir():
        return models_in(argument)
    if has_magic(argument) and not path.exists():
        found = sorted(file for file in glob(argument, recursive=True) if Path(file).is_file())  # noqa: PTH207  # takes any path
        if not found:
            raise InputError(f"there is no file '{argument}'")
        return found
    group = click.get_current_context().find_root().command
    commands = group.list_commands(click.get_current_context()) if isinstance(group, click.Group) else []
    return [checked_path(argument, commands)]
