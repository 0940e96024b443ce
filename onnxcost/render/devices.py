"""Devices on the terminal: a table of many, and one with all its figures and where they are from."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import NamedTuple

from onnxcost.hardware.device import FIGURES, KINDS, PARTS, Device, Figure, Peak, Source
from onnxcost.hardware.quantities import BYTES, BYTES_PER_SECOND, DOLLARS, HERTZ, WATTS, Quantity
from onnxcost.render.glyphs import Glyphs, spelled
from onnxcost.render.layout import INDENT, Column, Line, table
from onnxcost.render.screen import Screen
from onnxcost.render.units import binary, rate, si

MARKS: Mapping[str, str] = {"published": " ", "derived": "*", "unverified": "?", "given": "!"}
LEGEND: Mapping[str, str] = {"derived": "* derived", "unverified": "? not checked", "given": "! given by you"}
RATES = "Rates are dense operations per second, a multiply-accumulate being two. 'onnxcost devices NAME' names the sources."
TITLES: Mapping[str, str] = {
    "memory": "Memory", "bandwidth": "Bandwidth", "sram": "SRAM", "sram_bandwidth": "SRAM bandwidth",
    "flash": "Flash", "flash_bandwidth": "Flash bandwidth", "power": "Power", "price": "Launch price",
}  # fmt: skip
HALVES = ("float16", "bfloat16")
NONE = ("", "")
LEAST_TEXT = 20


class Entry(NamedTuple):
    """A figure of a device: which of which part ("" for the device's own), as text, and what else is to be said of it."""

    part: str
    name: str
    text: str
    figure: Figure
    remark: str = ""


def amount(value: float, quantity: Quantity) -> str:
    """A quantity as its device's datasheet would have it: ``8 GiB``, ``68 GB/s``, ``$249``."""
    if quantity is DOLLARS:
        return f"${value:,.0f}"
    if quantity is BYTES:
        return _bare(binary(int(value)) if value % 1024 == 0 else f"{si(value)}B")
    return _bare(rate(value, {id(BYTES_PER_SECOND): "B/s", id(HERTZ): "Hz", id(WATTS): "W"}[id(quantity)]))


def speed(peak: Peak) -> str:
    """A rate with its unit: ``1.28 TFLOP/s``, ``40 TOP/s``."""
    return _bare(rate(peak.rate, "OP/s" if peak.dtype.startswith("int") else "FLOP/s"))


def _bare(text: str) -> str:
    """The text without zeros at the end of its fraction: ``80 GiB`` for ``80.00 GiB``."""
    return re.sub(r"\.0+(?=\D|$)|(?<=\.)(\d*[1-9])0+(?=\D|$)", r"\1", text)


def entries(device: Device) -> Iterator[Entry]:
    """All figures of a device, its own first, then those of each part."""
    for name, figure in device.figures.items():
        yield Entry("", name, amount(figure.value, FIGURES[name]), figure)
    for kind, part in device.parts.items():
        if part.clock:
            yield Entry(kind, "clock", amount(part.clock.value, HERTZ), part.clock, part.clock_basis)
        if part.boost:
            yield Entry(kind, "boost", amount(part.boost.value, HERTZ), part.boost)
        for dtype, peak in part.peaks.items():
            sums = f"sums in {peak.accumulate}" if peak.accumulate not in ("", dtype) else ""
            yield Entry(kind, dtype, speed(peak), peak.figure, sums)


def sources(device: Device) -> list[Source]:
    """What a device's figures are from, each once."""
    return list(dict.fromkeys(entry.figure.source for entry in entries(device)))


def cited(source: Source) -> str:
    """A source's title and the day."""
    return ", ".join(filter(None, (source.title, source.date)))


def in_order(devices: Sequence[Device]) -> list[Device]:
    """By kind, then by name, numbers in a name by their value."""

    def key(device: Device) -> tuple[int, list[tuple[int, str]]]:
        return KINDS.index(device.kind), [(int(n or -1), word) for n, word in re.findall(r"(\d*)(\D*)", device.name)]

    return sorted(devices, key=key)


COLUMNS = (
    Column("Device", right=False, style="name"),
    Column("FP32"),
    Column("FP16/BF16"),
    Column("INT8"),
    Column("Bandwidth", drop=2),
    Column("Memory", drop=1),
    Column("Power", drop=5),
    Column("Price", drop=4),
)


def cells(device: Device) -> list[tuple[str, str]]:
    """What stands in the columns but the first, each with its figure's basis."""
    halves = [peak for dtype in HALVES if (peak := device.peak(dtype))]
    peaks = (device.peak("float32"), max(halves, key=lambda peak: peak.rate, default=None), device.peak("int8"))
    rates = [(_bare(si(peak.rate)), peak.figure.basis) if peak else NONE for peak in peaks]
    figures = ((name, device.figures.get(name)) for name in ("bandwidth", "memory", "power", "price"))
    return rates + [(amount(figure.value, FIGURES[name]), figure.basis) if figure else NONE for name, figure in figures]


def devices_lines(devices: Sequence[Device], screen: Screen) -> list[Line]:
    """A table of the devices under headings of their kinds, and what its marks mean."""
    shown = in_order(devices)
    rows = [[device.name, *(_marked(*cell, screen.glyphs) for cell in cells(device))] for device in shown]
    header, *body = table(COLUMNS, rows, screen.width, screen.glyphs)
    lines = [header]
    for kind, group in groupby(zip(shown, body, strict=True), key=lambda pair: pair[0].kind):
        lines += [((kind, "title"),), *(line for _, line in group), ()]
    bases = {basis for device in shown for text, basis in cells(device) if text}
    legend = ", ".join(text for basis, text in LEGEND.items() if basis in bases)
    return lines + _wrapped(RATES + (f" {legend}." if legend else ""), screen.width)


def _marked(text: str, basis: str, glyphs: Glyphs) -> str:
    return text + MARKS[basis] if text else f"{glyphs.none} "


def device_lines(devices: Sequence[Device], screen: Screen) -> list[Line]:
    """Each device with every figure, its basis, source and derivation."""
    blocks = [_device(device, screen.width) for device in devices]
    lines = [line for at, block in enumerate(blocks) for line in ([(), *block] if at else block)]
    return [tuple((spelled(text, screen.glyphs), style) for text, style in line) for line in lines]


def _device(device: Device, width: int) -> list[Line]:
    vendor = device.vendor if device.vendor not in device.title else ""
    about = " · ".join(filter(None, (device.title, vendor, device.kind)))
    lines: list[Line] = [((device.name, "title"), (f"  {about}", "faint"))]
    lines += _wrapped(device.note, width) if device.note else []
    numbers = {source: at for at, source in enumerate(sources(device), 1)}
    every = list(entries(device))
    names, texts = max(len(_title(entry)) for entry in every), max(len(entry.text) for entry in every)
    for kind, group in groupby(every, key=lambda entry: entry.part):
        if kind:
            title = ": ".join(filter(None, (PARTS[kind], device.parts[kind].title)))
            lines += [(), ((f"  {title}", "name"),)]
        for entry in group:
            number = numbers[entry.figure.source]
            head = f"  {_title(entry):<{names}}  {entry.text:>{texts}}  {entry.figure.basis:<10}  [{number}]  "
            lines += _hanging(head, "; ".join(filter(None, (entry.remark, entry.figure.how))), width)
    lines.append(())
    for source, number in numbers.items():
        lines += _hanging(f"  [{number}] ", cited(source), width)
        lines += [((" " * 6 + source.url, "faint"),)] if source.url else []
    return lines


def _title(entry: Entry) -> str:
    return TITLES.get(entry.name, entry.name)


def _hanging(head: str, text: str, width: int) -> list[Line]:
    """The head, and the text behind it in as many lines as it takes."""
    parts = textwrap.wrap(text, max(width - len(head), LEAST_TEXT), break_on_hyphens=False) or [""]
    return [((" " * len(head) if at else head, ""), (part, "faint")) for at, part in enumerate(parts)]


def _wrapped(text: str, width: int) -> list[Line]:
    return [((f"  {line}", "faint"),) for line in textwrap.wrap(text, width - INDENT)]
