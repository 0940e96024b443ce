"""MODEL…: files, folders and patterns as the models to compare, each under a short name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from glob import glob, has_magic
from pathlib import Path, PurePath

import click

from onnxcost.cli.arguments import checked_path
from onnxcost.comparing import Source
from onnxcost.errors import InputError
from onnxcost.files import models_in

SUFFIXES = (".onnx", ".json")


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


def labels(paths: Sequence[str]) -> list[str]:
    """Names as short as can be, all different: ``resnet``, ``resnet.onnx``, ``v1/resnet.onnx``, ``resnet (2)``."""
    names = _shortest(dict.fromkeys(paths, 0))
    seen: Counter[str] = Counter()
    found = []
    for path in paths:
        seen[path] += 1
        found.append(f"{names[path]} ({seen[path]})" if seen[path] > 1 else names[path])
    return found


def _shortest(depths: Mapping[str, int]) -> dict[str, str]:
    """A name for each path, of as many of its last parts as ``depths`` says, and of more where two names would be the same."""
    names = {path: _name(PurePath(path), depth) for path, depth in depths.items()}
    often = Counter(names.values())
    deeper = {path: min(depth + (often[names[path]] > 1), len(PurePath(path).parts)) for path, depth in depths.items()}
    return names if deeper == depths else _shortest(deeper)


def _name(path: PurePath, depth: int) -> str:
    if not depth:
        return path.stem if path.suffix.lower() in SUFFIXES else path.name
    return str(PurePath(*path.parts[-depth:]))
