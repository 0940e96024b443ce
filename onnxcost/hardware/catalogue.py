"""The devices that come with the package, one by its name, and what the command line changes of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

from onnxcost.errors import InputError
from onnxcost.hardware.device import ACCUMULATES, FIGURES, Device, Figure, Peak, Source
from onnxcost.hardware.quantities import OPERATIONS_PER_SECOND, parsed
from onnxcost.hardware.reader import load, meant

FOLDER = Path(__file__).parent / "catalogue"
_GIVEN = Source("the command line")


@cache
def catalogue() -> Mapping[str, Device]:
    """The devices of the package by name."""
    return _by_name(device for path in sorted(FOLDER.glob("*.toml")) for device in load(path))


def devices(files: Iterable[str | Path] = ()) -> Mapping[str, Device]:
    """The catalogue and the devices of files; one of a file stands in the place of a catalogue's with its name."""
    return {**catalogue(), **_by_name(device for path in files for device in load(path))}


def device_named(text: str, files: Iterable[str | Path] = ()) -> Device:
    """The device ``NAME`` or ``NAME,memory=4GiB,float16=10TFLOP/s``; raises InputError with the nearest name."""
    name, *changes = text.split(",")
    known = devices(files)
    wanted = name.strip().lower().replace("_", "-").replace(" ", "-")
    if wanted not in known:
        hint = meant(wanted, known) or ": 'onnxcost devices' lists those there are"
        raise InputError(f"there is no device '{name}'{hint}")
    device = known[wanted]
    for change in changes:
        key, equals, value = (word.strip() for word in change.partition("="))
        if not equals:
            raise InputError(f"--device wants NAME,KEY=VALUE, not '{text}'")
        device = _changed(device, key, value)
    return device


def _by_name(found: Iterable[Device]) -> dict[str, Device]:
    named: dict[str, Device] = {}
    for device in found:
        if device.name in named:
            raise InputError(f"there are two devices '{device.name}'")
        named[device.name] = device
    return named


def _changed(device: Device, key: str, value: str) -> Device:
    """The device with a figure of FIGURES, or the peak in a type, as the user says it is."""
    known = (*FIGURES, *ACCUMULATES)
    if key not in known:
        raise InputError(f"--device cannot change '{key}'{meant(key, known) or ': it can ' + ', '.join(known)}")
    try:
        figure = Figure(parsed(value, FIGURES.get(key, OPERATIONS_PER_SECOND)), "given", _GIVEN)
    except ValueError as error:
        raise InputError(f"--device {key}: {error}") from None
    return replace(device, figures={**device.figures, key: figure}) if key in FIGURES else _with_peak(device, key, figure)


def _with_peak(device: Device, dtype: str, figure: Figure) -> Device:
    """The device with one peak in the type, in the part that was the fastest in it."""
    best = device.peak(dtype)
    home = best.part if best else next(iter(device.parts))
    own = {dtype: Peak(home, dtype, best.accumulate if best else ACCUMULATES[dtype], figure)}
    parts = {}
    for kind, part in device.parts.items():
        others = {name: peak for name, peak in part.peaks.items() if name != dtype}
        parts[kind] = replace(part, peaks=others | own if kind == home else others)
    return replace(device, parts=parts)
