"""The catalog of devices: the TOML files of the package and the user, devices by name, and changes of their figures."""

from __future__ import annotations

import datetime
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any

from onnxcost.documents import parse_toml, read_toml
from onnxcost.errors import InputError, did_you_mean
from onnxcost.hardware.device import (
    ACCUMULATES,
    BASES,
    CLOCK_BASES,
    FIGURES,
    HERTZ,
    KINDS,
    OPERATIONS_PER_SECOND,
    PARTS,
    Device,
    Figure,
    Part,
    Peak,
    Quantity,
    Source,
    parse_figure,
)
from onnxcost.registers import DEVICES, load_registered

NAME = re.compile(r"[a-z0-9]+(-[a-z0-9]+)*")
_TEXTS = ("name", "title", "vendor", "kind", "note", "of", "source")
_NUMBER_KEYS = ("value", "source", "basis", "how")
_PART_KEYS = ("title", "source", "clock", "clock_basis", "boost", "peak")

Table = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class FileLocation:
    """A position in a file, for messages, and the sources that can be named there."""

    text: str
    sources: Mapping[str, tuple[Source, str]]
    source: str = ""

    def wrong(self, what: str) -> InputError:
        """An error that names the place."""
        return InputError(f"{self.text}: {what}")

    def inside(self, key: str, table: Any = None) -> FileLocation:
        """The position of a key; a table there may name the source of all its figures."""
        source = self.text_of(table, "source", default=self.source) if isinstance(table, dict) else self.source
        return FileLocation(f"{self.text}.{key}", self.sources, source)

    def check_keys(self, table: Any, keys: Iterable[str]) -> Table:
        """The table; raises InputError for another value, and for a key that is not one of ``keys``."""
        if not isinstance(table, dict):
            raise self.wrong("this is not a table")
        for key in table:
            if key not in (known := list(keys)):
                raise self.wrong(f"unknown key '{key}'{did_you_mean(key, known)}")
        return table

    def text_of(self, table: Table, key: str, among: Iterable[str] = (), default: str | None = None) -> str:
        """The text at a key, one of ``among`` if any are given; raises InputError for a missing key without a default."""
        value = table.get(key, default)
        if value is None:
            raise self.wrong(f"the key '{key}' is missing")
        if not isinstance(value, str):
            raise self.wrong(f"'{key}' must be text, not {value!r}")
        if (known := list(among)) and value not in known and value != default:
            raise self.wrong(f"there is no {key} '{value}': choose from {', '.join(known)}")
        return value


def load_devices(path: str | Path) -> tuple[Device, ...]:
    """The devices of a file; raises InputError for one that cannot be read or is invalid.

    Keys at the top of the file are shared by all its ``[[device]]`` tables; without such tables they are the one device. A
    device ``of`` another of the file or the catalog has its parts and figures.
    """
    found = _read_devices(read_toml(path), Path(path).name)
    return tuple(complete(found, catalogue())) if any(device.of for device in found) else found


def complete(found: Iterable[Device], known: Mapping[str, Device]) -> Iterator[Device]:
    """The devices; those ``of`` another one, in the file or in ``known``, get its parts and the figures that they lack.

    The launch price is not inherited: an instance is rented.
    """
    found = list(found)
    named = {**known, **{device.name: device for device in found}}
    for device in found:
        if not device.of:
            yield device
        elif device.of not in named or named[device.of].of:
            raise InputError(f"{device.name}: there is no device '{device.of}'{did_you_mean(device.of, named)}")
        else:
            base = named[device.of]
            own = {name: figure for name, figure in base.figures.items() if name != "price"}
            yield replace(device, parts={**base.parts, **device.parts}, figures={**own, **device.figures}, of="")


def _read_devices(document: Table, name: str) -> tuple[Device, ...]:
    """The devices in the document of the file ``name``."""
    shared = {key: value for key, value in document.items() if key not in ("sources", "device")}
    place = FileLocation(name, _sources(document.get("sources", {}), FileLocation(f"{name}: sources", {})))
    variants = document.get("device", [{}])
    if not isinstance(variants, list) or not all(isinstance(variant, dict) for variant in variants):
        raise place.wrong("write [[device]], with two brackets, above each device")
    return tuple(_device(_merge_tables(shared, variant), place) for variant in variants)


def _merge_tables(shared: Table, own: Table) -> dict[str, Any]:
    """Nested tables are merged; a figure of ``own`` replaces the whole figure of ``shared``."""
    both = {
        key: _merge_tables(shared[key], own[key])
        for key in shared.keys() & own.keys()
        if all(isinstance(value, dict) and "value" not in value for value in (shared[key], own[key]))
    }
    return {**shared, **own, **both}


def _sources(table: Any, place: FileLocation) -> dict[str, tuple[Source, str]]:
    """The sources by name, each with the basis of the figures from it."""
    found = {}
    for name, entry in place.check_keys(table, table if isinstance(table, dict) else ()).items():
        here = place.inside(name)
        entry = here.check_keys(entry, ("title", "url", "date", "basis"))
        date = entry.get("date")
        if not isinstance(date, datetime.date):
            raise here.wrong("'date' must be the day on which it was read, as in date = 2026-11-23")
        source = Source(here.text_of(entry, "title"), here.text_of(entry, "url", default=""), date.isoformat())
        found[name] = (source, here.text_of(entry, "basis", BASES, default="published"))
    return found


def _device(table: Table, file: FileLocation) -> Device:
    file.check_keys(table, (*_TEXTS, *FIGURES, *PARTS))
    name = file.text_of(table, "name")
    place = FileLocation(f"{file.text}: {name}", file.sources, file.text_of(table, "source", default=""))
    if not NAME.fullmatch(name):
        raise place.wrong("a name consists of lowercase letters and digits, with hyphens between them")
    parts = {kind: _part(table[kind], kind, place.inside(kind, table[kind])) for kind in PARTS if kind in table}
    if not parts and "of" not in table:
        raise place.wrong(f"a device needs at least one of {', '.join(PARTS)}")
    return Device(
        name=name,
        title=place.text_of(table, "title", default=name),
        vendor=place.text_of(table, "vendor", default=""),
        kind=place.text_of(table, "kind", KINDS),
        parts=parts,
        figures={key: _figure(table[key], quantity, place.inside(key)) for key, quantity in FIGURES.items() if key in table},
        note=place.text_of(table, "note", default=""),
        of=place.text_of(table, "of", default=""),
    )


def _part(table: Any, kind: str, place: FileLocation) -> Part:
    table = place.check_keys(table, _PART_KEYS)
    peaks = place.check_keys(table.get("peak", {}), ACCUMULATES)
    if not peaks:
        raise place.wrong(f"a part needs a peak in at least one type, as in peak.float32 = '{OPERATIONS_PER_SECOND.example}'")
    clocks = {key: _figure(table[key], HERTZ, place.inside(key)) for key in ("clock", "boost") if key in table}
    found = {}
    for dtype, number in peaks.items():
        here, given = place.inside(f"peak.{dtype}"), number if isinstance(number, dict) else {}
        figure = _figure(number, OPERATIONS_PER_SECOND, here, ("accumulate",))
        sums = here.text_of(given, "accumulate", ("float64", "float32", "float16", "int64", "int32"), ACCUMULATES[dtype])
        found[dtype] = Peak(kind, dtype, sums, figure)
    return Part(
        kind=kind,
        title=place.text_of(table, "title", default=""),
        peaks=found,
        clock=clocks.get("clock"),
        clock_basis=place.text_of(table, "clock_basis", CLOCK_BASES) if "clock" in clocks else "",
        boost=clocks.get("boost"),
    )


def _figure(number: Any, quantity: Quantity, place: FileLocation, others: tuple[str, ...] = ()) -> Figure:
    """A figure from text with a unit, or from a table with that as ``value`` and with its source, basis and derivation."""
    table = place.check_keys({"value": number} if not isinstance(number, dict) else number, (*_NUMBER_KEYS, *others))
    try:
        value = parse_figure(place.text_of(table, "value"), quantity)
    except ValueError as error:
        raise place.wrong(str(error)) from None
    source, basis = _source(table, place)
    how = place.text_of(table, "how", default="")
    basis = place.text_of(table, "basis", BASES, default="derived" if how and basis == "published" else basis)
    if basis == "derived" and not how:
        raise place.wrong("a derived figure must say how, as in how = '1024 cores × 2 × 625 MHz'")
    return Figure(value, basis, source, how)


def _source(table: Table, place: FileLocation) -> tuple[Source, str]:
    """The source named by the figure or the table around it; without one, the file itself."""
    name = place.text_of(table, "source", default=place.source)
    if not name:
        return Source(place.text.partition(":")[0]), "given"
    if name not in place.sources:
        raise place.wrong(f"there is no source '{name}' in [sources]{did_you_mean(name, place.sources)}")
    return place.sources[name]


_GIVEN = Source("the command line")


@cache
def catalogue() -> Mapping[str, Device]:
    """The devices of the package by name."""
    return _by_name(complete(_read_folder(resources.files(__package__).joinpath("catalogue")), {}))


@cache
def registered_devices() -> Mapping[str, Device]:
    """The devices of the TOML files that installed packages register.

    Raises InputError for an entry point that is no file or folder, and for a file that is invalid.
    """
    found: list[Device] = []
    for point, place in load_registered(DEVICES):
        here = Path(place) if isinstance(place, str | os.PathLike) else place
        if not isinstance(here, Traversable) or not (here.is_dir() or here.is_file()):
            raise InputError(f"the entry point '{point.name}' of {point.group} is no TOML file, and no folder: {point.value}")
        found += _read_folder(here)
    return _by_name(complete(found, catalogue()))


def _read_folder(place: Traversable) -> Iterator[Device]:
    """The devices of a TOML file or of a folder, which may be in an archive like its package."""
    files = [place] if place.is_file() else [file for file in place.iterdir() if file.name.endswith(".toml")]
    for file in sorted(files, key=lambda file: file.name):
        yield from _read_devices(parse_toml(file.read_text("utf-8"), file.name), file.name)


def devices(files: Iterable[str | Path] = ()) -> Mapping[str, Device]:
    """The devices in the catalog, in installed packages and in ``files``, by name.

    If a name occurs more than once, files take precedence over the catalog, and the catalog over packages.
    """
    return {**registered_devices(), **catalogue(), **_by_name(device for path in files for device in load_devices(path))}


def find_device(text: str, files: Iterable[str | Path] = ()) -> Device:
    """The device ``NAME`` or ``NAME,memory=4GiB,float16=10TFLOP/s``; raises InputError with the nearest name."""
    name, *changes = text.split(",")
    known = {**catalogue(), **_by_name(device for path in files for device in load_devices(path))}
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted not in known:
        known = {**registered_devices(), **known}
    if wanted not in known:
        hint = did_you_mean(wanted, known) or ": 'onnxcost devices' lists them"
        raise InputError(f"there is no device '{name}'{hint}")
    device = known[wanted]
    for change in changes:
        key, equals, value = (word.strip() for word in change.partition("="))
        if not equals:
            raise InputError(f"--device expects NAME,KEY=VALUE, not '{text}'")
        device = _change_figure(device, key, value)
    return device


def _by_name(found: Iterable[Device]) -> dict[str, Device]:
    named: dict[str, Device] = {}
    for device in found:
        if device.name in named:
            raise InputError(f"the device '{device.name}' is defined twice")
        named[device.name] = device
    return named


def _change_figure(device: Device, key: str, value: str) -> Device:
    """The device with a figure of FIGURES, or the peak in a type, changed to the user's value."""
    known = (*FIGURES, *ACCUMULATES)
    if key not in known:
        raise InputError(f"--device cannot change '{key}'{did_you_mean(key, known) or ': it can ' + ', '.join(known)}")
    try:
        figure = Figure(parse_figure(value, FIGURES.get(key, OPERATIONS_PER_SECOND)), "given", _GIVEN)
    except ValueError as error:
        raise InputError(f"--device {key}: {error}") from None
    return replace(device, figures={**device.figures, key: figure}) if key in FIGURES else _change_peak(device, key, figure)


def with_hourly(device: Device, dollars: float) -> Device:
    """The device with the user's price per hour."""
    return replace(device, figures={**device.figures, "hourly": Figure(dollars, "given", _GIVEN)})


def _change_peak(device: Device, dtype: str, figure: Figure) -> Device:
    """The device with a single peak in the type, in the part that was the fastest in it."""
    best = device.peak(dtype)
    home = best.part if best else next(iter(device.parts))
    own = {dtype: Peak(home, dtype, best.accumulate if best else ACCUMULATES[dtype], figure)}
    parts = {}
    for kind, part in device.parts.items():
        others = {name: peak for name, peak in part.peaks.items() if name != dtype}
        parts[kind] = replace(part, peaks=others | own if kind == home else others)
    return replace(device, parts=parts)
