"""Devices as JSON, CSV and Markdown: in base units, each figure with its basis and source."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from onnxcost.hardware.device import ACCUMULATES, FIGURES, PARTS, Device, Figure
from onnxcost.render.as_csv import csv_text
from onnxcost.render.as_json import dumps
from onnxcost.render.as_markdown import markdown_table
from onnxcost.render.devices import COLUMNS, MARKS, RATES, TITLES, cells, cited, entries, in_order, sources
from onnxcost.render.escaping import markdown
from onnxcost.schema import SCHEMA
from onnxcost.version import __version__


def devices_json(devices: Sequence[Device]) -> str:
    """A document with the key ``devices``, one record a device."""
    return dumps({"schema": SCHEMA, "version": __version__, "devices": [device_to_dict(device) for device in devices]})


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
                {"dtype": dtype, "accumulate": peak.accumulate or None, **_dict(peak.figure)}
                for dtype, peak in part.peaks.items()
            ],
        }
        for part in device.parts.values()
    ]
    own = {name: getattr(device, name) for name in ("name", "title", "vendor", "kind", "note")}
    return own | {name: _figure(device.figures.get(name)) for name in FIGURES} | {"parts": parts}


def _figure(figure: Figure | None) -> dict[str, Any] | None:
    return None if figure is None else _dict(figure)


def _dict(figure: Figure) -> dict[str, Any]:
    source = {"source": figure.source.title, "url": figure.source.url, "date": figure.source.date}
    return {"value": _plain(figure.value), "basis": figure.basis, **source, "how": figure.how}


def _plain(value: float) -> float:
    return int(value) if value.is_integer() else value


def devices_csv(devices: Sequence[Device]) -> str:
    """One line a device: the highest rate in each type, and its other figures."""
    header = ["name", "title", "vendor", "kind", *ACCUMULATES, *FIGURES]
    return csv_text(header, (_line(device) for device in devices))


def _line(device: Device) -> list[object]:
    rates = [_plain(peak.rate) if (peak := device.peak(dtype)) else None for dtype in ACCUMULATES]
    figures = [_plain(figure.value) if (figure := device.figures.get(name)) else None for name in FIGURES]
    return [device.name, device.title, device.vendor, device.kind, *rates, *figures]


def figures_csv(devices: Sequence[Device]) -> str:
    """One line a figure: of which device and part, and where it is from."""
    header = ("device", "part", "figure", "value", "remark", "basis", "source", "url", "date", "how")
    rows = (
        [device.name, part, name, _plain(figure.value), remark, figure.basis, *figure.source, figure.how]
        for device in devices
        for part, name, _, figure, remark in entries(device)
    )
    return csv_text(header, rows)


def devices_markdown(devices: Sequence[Device]) -> str:
    """A table with a line for each device."""
    rows = [
        [device.name, device.kind, *((text + MARKS[basis]).rstrip() if text else "–" for text, basis in cells(device))]
        for device in in_order(devices)
    ]
    titles = [COLUMNS[0].title, "Kind", *(column.title for column in COLUMNS[1:])]
    lines = markdown_table(titles, [False, False, *[True] * (len(titles) - 2)], rows)
    return "\n".join([*lines, "", f"{markdown('* derived, ? unverified.')} {RATES}"]) + "\n"


def figures_markdown(devices: Sequence[Device]) -> str:
    """For each device a table of its figures, and its sources."""
    return "\n\n".join("\n".join(_block(device)) for device in devices) + "\n"


def _block(device: Device) -> list[str]:
    numbers = {source: at for at, source in enumerate(sources(device), 1)}
    rows = []
    for part, name, text, figure, remark in entries(device):
        how = "; ".join(filter(None, (remark, figure.how)))
        rows.append([PARTS.get(part, ""), TITLES.get(name, name), text, figure.basis, str(numbers[figure.source]), how])
    titles = ("Part", "Figure", "Value", "Basis", "Source", "")
    listed = [f"{number}. {markdown(cited(source))} {_link(source.url)}".rstrip() for source, number in numbers.items()]
    about = [markdown(device.note), ""] if device.note else []
    lines = markdown_table(titles, [False, False, True, False, True, False], rows)
    return [f"### {device.name}: {markdown(device.title)}", "", *about, *lines, "", *listed]


def _link(url: str) -> str:
    """An address as it is, for Markdown to make a link of it; what is none is text."""
    return url if re.fullmatch(r"https?://[\w.:/?=&%#~+,;@-]+", url, re.ASCII) else markdown(url)
