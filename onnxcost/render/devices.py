"""Devices as terminal text, JSON, CSV and Markdown: a table of many, or all figures of one with their sources."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from onnxcost.hardware.device import (
    ACCUMULATES,
    BYTES,
    BYTES_PER_SECOND,
    DOLLARS,
    DOLLARS_PER_HOUR,
    FIGURES,
    HERTZ,
    KINDS,
    PARTS,
    WATTS,
    Device,
    Figure,
    Peak,
    Quantity,
    Source,
)
from onnxcost.render.escaping import markdown
from onnxcost.render.formats import csv_text, markdown_table, space_blocks
from onnxcost.render.layout import INDENT, Column, Line, Screen, paragraph, spell_out_all, table, wrap
from onnxcost.render.units import binary, rate, si, strip_zeros

MARKS: Mapping[str, str] = {"published": " ", "derived": "*", "reported": "~", "unverified": "?", "given": "!"}
LEGEND: Mapping[str, str] = {
    "derived": "* derived", "reported": "~ reported by a third party", "unverified": "? not verified",
    "given": "! given by you",
}  # fmt: skip
RATES = "Rates are dense operations per second; a multiply-accumulate counts as two. 'onnxcost devices NAME' shows the sources."
TITLES: Mapping[str, str] = {
    "memory": "Memory", "bandwidth": "Bandwidth", "sram": "SRAM", "sram_bandwidth": "SRAM bandwidth",
    "flash": "Flash", "flash_bandwidth": "Flash bandwidth", "power": "Power", "price": "Launch price",
    "hourly": "Price per hour",
}  # fmt: skip
HALVES = ("float16", "bfloat16")
NONE = ("", "")
LEAST_TEXT = 20


class FigureEntry(NamedTuple):
    """A figure of a device: its part ("" for the device itself), its name, the figure as text, and a remark."""

    part: str
    name: str
    text: str
    figure: Figure
    remark: str = ""


def amount_text(value: float, quantity: Quantity) -> str:
    """A quantity as in the data sheet of a device: ``8 GiB``, ``68 GB/s``, ``$249``."""
    if quantity is DOLLARS:
        return f"${value:,.0f}"
    if quantity is DOLLARS_PER_HOUR:
        return f"${value:,.3g}/h"
    if quantity is BYTES:
        return strip_zeros(binary(int(value)) if value % 1024 == 0 else f"{si(value)}B")
    return strip_zeros(rate(value, {id(BYTES_PER_SECOND): "B/s", id(HERTZ): "Hz", id(WATTS): "W"}[id(quantity)]))


def speed_text(peak: Peak) -> str:
    """A rate with its unit: ``1.28 TFLOP/s``, ``40 TOP/s``."""
    return strip_zeros(rate(peak.rate, "OP/s" if peak.dtype.startswith("int") else "FLOP/s"))


def figure_entries(device: Device) -> Iterator[FigureEntry]:
    """All figures of a device, its own first, then those of each part."""
    for name, figure in device.figures.items():
        yield FigureEntry("", name, amount_text(figure.value, FIGURES[name]), figure)
    for kind, part in device.parts.items():
        if part.clock:
            yield FigureEntry(kind, "clock", amount_text(part.clock.value, HERTZ), part.clock, part.clock_basis)
        if part.boost:
            yield FigureEntry(kind, "boost", amount_text(part.boost.value, HERTZ), part.boost)
        for dtype, peak in part.peaks.items():
            sums = f"sums in {peak.accumulate}" if peak.accumulate not in ("", dtype) else ""
            yield FigureEntry(kind, dtype, speed_text(peak), peak.figure, sums)


def sources(device: Device) -> list[Source]:
    """The distinct sources of a device's figures."""
    return list(dict.fromkeys(entry.figure.source for entry in figure_entries(device)))


def cite(source: Source) -> str:
    """A source's title and date."""
    return ", ".join(filter(None, (source.title, source.date)))


def sort_devices(devices: Sequence[Device]) -> list[Device]:
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


def device_cells(device: Device) -> list[tuple[str, str]]:
    """The cells of all columns but the first, each with the basis of its figure."""
    halves = [peak for dtype in HALVES if (peak := device.peak(dtype))]
    peaks = (device.peak("float32"), max(halves, key=lambda peak: peak.rate, default=None), device.peak("int8"))
    rates = [(strip_zeros(si(peak.rate)), peak.figure.basis) if peak else NONE for peak in peaks]
    figures = (
        (name, device.figures.get(name))
        for name in ("bandwidth", "memory", "power", "hourly" if device.value("price") is None else "price")
    )
    return rates + [(amount_text(figure.value, FIGURES[name]), figure.basis) if figure else NONE for name, figure in figures]


def devices_lines(devices: Sequence[Device], screen: Screen) -> list[Line]:
    """A table of the devices under headings of their kinds, and what its marks mean."""
    shown = sort_devices(devices)
    none = f"{screen.glyphs.none} "
    rows = [[device.name, *(text + MARKS[basis] if text else none for text, basis in device_cells(device))] for device in shown]
    header, *body = table(COLUMNS, rows, screen.width, screen.glyphs)
    lines = [header]
    for kind, group in groupby(zip(shown, body, strict=True), key=lambda pair: pair[0].kind):
        lines += [((kind, "title"),), *(line for _, line in group), ()]
    bases = {basis for device in shown for text, basis in device_cells(device) if text}
    legend = ", ".join(text for basis, text in LEGEND.items() if basis in bases)
    return lines + paragraph(RATES + (f" {legend}." if legend else ""), screen.width)


def device_lines(devices: Sequence[Device], screen: Screen) -> list[Line]:
    """Each device with every figure, its basis, source and derivation."""
    return spell_out_all(space_blocks([_device(device, screen.width) for device in devices]), screen.glyphs)


def _device(device: Device, width: int) -> list[Line]:
    vendor = device.vendor if device.vendor not in device.title else ""
    about = " · ".join(filter(None, (device.title, vendor, device.kind)))
    lines: list[Line] = [((device.name, "title"), (f"  {about}", "faint"))]
    lines += paragraph(device.note, width) if device.note else []
    numbers = {source: at for at, source in enumerate(sources(device), 1)}
    every = list(figure_entries(device))
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
        lines += _hanging(f"  [{number}] ", cite(source), width)
        lines += [((" " * 6 + source.url, "faint"),)] if source.url else []
    return lines


def _title(entry: FigureEntry) -> str:
    return TITLES.get(entry.name, entry.name)


def _hanging(head: str, text: str, width: int) -> list[Line]:
    """The head, followed by the text in as many lines as needed, or below it if the width is insufficient for both."""
    if len(head) + LEAST_TEXT > width:
        below = wrap(text, width - 2 * INDENT)
        return [*(((line, ""),) for line in wrap(head, width, "    ")), *(((f"    {line}", "faint"),) for line in below)]
    parts = wrap(text, width - len(head)) or [""]
    return [((" " * len(head) if at else head, ""), (part, "faint")) for at, part in enumerate(parts)]


def device_to_dict(device: Device) -> dict[str, Any]:
    """The device as plain data."""
    parts = [
        {
            "kind": part.kind,
            "title": part.title,
            "clock": _figure(part.clock),
            "clock_basis": part.clock_basis or None,
            "boost": _figure(part.boost),
            "peaks": [
                {"dtype": dtype, "accumulate": peak.accumulate or None, **(_figure(peak.figure) or {})}
                for dtype, peak in part.peaks.items()
            ],
        }
        for part in device.parts.values()
    ]
    own = {name: getattr(device, name) for name in ("name", "title", "vendor", "kind", "note")}
    return own | {name: _figure(device.figures.get(name)) for name in FIGURES} | {"parts": parts}


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    if figure is None:
        return None
    source = {"source": figure.source.title, "url": figure.source.url, "date": figure.source.date}
    return {"value": _plain(figure.value), "basis": figure.basis, **source, "how": figure.how}


def _plain(value: float) -> float:
    return int(value) if value.is_integer() else value


def devices_csv(devices: Sequence[Device]) -> str:
    """One line per device: the highest rate in each type, and its other figures."""
    header = ["name", "title", "vendor", "kind", *ACCUMULATES, *FIGURES]
    rows: list[list[object]] = []
    for device in devices:
        rates = [_plain(peak.rate) if (peak := device.peak(dtype)) else None for dtype in ACCUMULATES]
        figures = [_plain(figure.value) if (figure := device.figures.get(name)) else None for name in FIGURES]
        rows.append([device.name, device.title, device.vendor, device.kind, *rates, *figures])
    return csv_text(header, rows)


def figures_csv(devices: Sequence[Device]) -> str:
    """One line per figure, with its device, part and source."""
    header = ("device", "part", "figure", "value", "remark", "basis", "source", "url", "date", "how")
    rows = (
        [device.name, part, name, _plain(figure.value), remark, figure.basis, *figure.source, figure.how]
        for device in devices
        for part, name, _, figure, remark in figure_entries(device)
    )
    return csv_text(header, rows)


def devices_markdown(devices: Sequence[Device]) -> str:
    """A table with a line for each device."""
    rows = [
        [device.name, device.kind, *((text + MARKS[basis]).rstrip() if text else "–" for text, basis in device_cells(device))]
        for device in sort_devices(devices)
    ]
    titles = [COLUMNS[0].title, "Kind", *(column.title for column in COLUMNS[1:])]
    lines = markdown_table(titles, [False, False, *[True] * (len(titles) - 2)], rows)
    return "\n".join([*lines, "", f"{markdown('* derived, ~ reported by a third party, ? unverified.')} {RATES}"]) + "\n"


def figures_markdown(devices: Sequence[Device]) -> str:
    """For each device a table of its figures, and its sources."""
    return "\n\n".join("\n".join(_block(device)) for device in devices) + "\n"


def _block(device: Device) -> list[str]:
    numbers = {source: at for at, source in enumerate(sources(device), 1)}
    rows = []
    for part, name, text, figure, remark in figure_entries(device):
        how = "; ".join(filter(None, (remark, figure.how)))
        rows.append([PARTS.get(part, ""), TITLES.get(name, name), text, figure.basis, str(numbers[figure.source]), how])
    titles = ("Part", "Figure", "Value", "Basis", "Source", "")
    listed = []
    for source, number in numbers.items():
        # Markdown turns a URL into a link; anything else is text.
        is_link = re.fullmatch(r"https?://[\w.:/?=&%#~+,;@-]+", source.url, re.ASCII)
        listed.append(f"{number}. {markdown(cite(source))} {source.url if is_link else markdown(source.url)}".rstrip())
    about = [markdown(device.note), ""] if device.note else []
    lines = markdown_table(titles, [False, False, True, False, True, False], rows)
    return [f"### {device.name}: {markdown(device.title)}", "", *about, *lines, "", *listed]
