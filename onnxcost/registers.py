"""Formulas, devices and formats that installed packages register as entry points."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from onnxcost.errors import InputError

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

FORMULAS, DEVICES, FORMATS = "onnxcost.formulas", "onnxcost.devices", "onnxcost.formats"
"""The groups of entry points."""


def registered_names(group: str) -> frozenset[str]:
    """The names of the entry points in a group. None of their packages is imported."""
    from importlib.metadata import entry_points

    return frozenset(point.name for point in entry_points(group=group))


def load_registered(group: str, name: str = "") -> Iterator[tuple[EntryPoint, object]]:
    """The entry points of a group with their objects, or only those with the name.

    Raises InputError for one that does not load.
    """
    from importlib.metadata import entry_points

    for point in entry_points(group=group):
        if name not in ("", point.name):
            continue
        try:
            found = point.load()
        # Another package may raise anything.
        except Exception as error:
            raise InputError(
                f"the entry point '{point.name}' of {group} cannot be loaded: {type(error).__name__}: {error}; "
                f"uninstall or fix the package of '{point.value}'"
            ) from None
        yield point, found
