"""``onnxcost devices``: what is known of the devices that a model may run on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from onnxcost.cli.calibrate import DevicesCommand
from onnxcost.cli.output import Document, chosen_format, deliver, output_options
from onnxcost.errors import InputError
from onnxcost.hardware.device import KINDS

if TYPE_CHECKING:
    from onnxcost.hardware.device import Device

HELP = """List devices: dense peak rates, bandwidth, memory, power, price. A NAME shows one with the source of every figure;
any other WORD lists the devices that have it in their name, title, vendor or kind.

\b
Examples:
  onnxcost devices
  onnxcost devices --kind gpu
  onnxcost devices jetson
  onnxcost devices jetson-orin-nano-8gb
  onnxcost devices -o devices.csv
  onnxcost devices calibrate -o here.toml    measure this machine

\b
A file for --device-file, at the least (what else it can say, the files in onnxcost/hardware/catalogue show):
  name = "my-board"
  kind = "board"
  memory = "4 GiB"
  bandwidth = "10 GB/s"
  cpu.peak.float32 = "50 GFLOP/s"
"""


@click.command(help=HELP, cls=DevicesCommand)
@click.argument("words", nargs=-1, metavar="[NAME | WORD]...")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="Only devices of this kind; repeatable.")
@click.option("--device-file", "files", multiple=True, metavar="FILE", help="Add the devices of a TOML file; repeatable.")
@output_options
def devices(
    words: tuple[str, ...], kinds: tuple[str, ...], files: tuple[str, ...], format_: str | None, output: str | None
) -> None:
    """Parse, call, render."""
    chosen = chosen_format(format_, output)
    named = _named(words, files)
    document = _sheets(named) if named else _overview(_matching(words, kinds, files))
    deliver(document, chosen, output)


def _named(words: Sequence[str], files: Sequence[str]) -> list[Device]:
    """The devices that the words name, with what they change of them; none unless all of them are names."""
    from onnxcost.hardware import catalogue

    names = catalogue.devices(files)
    is_named = all(word.partition(",")[0] in names for word in words)
    return [catalogue.device_named(word, files) for word in words] if is_named else []


def _matching(words: Sequence[str], kinds: Sequence[str], files: Sequence[str]) -> list[Device]:
    """The devices of the kinds that have all the words somewhere; raises InputError where there are none."""
    from onnxcost.hardware import catalogue
    from onnxcost.hardware.reader import meant

    names = catalogue.devices(files)
    found = [
        device
        for device in names.values()
        if (not kinds or device.kind in kinds)
        and all(word.lower() in f"{device.name} {device.title} {device.vendor} {device.kind}".lower() for word in words)
    ]
    if not found:
        of_kind = f" of the kind {' or '.join(kinds)}" if kinds else ""
        hint = meant(words[0].lower().partition(",")[0], names) if len(words) == 1 else ""
        raise InputError(f"there is no device{of_kind} with '{' '.join(words)}'{hint or ': onnxcost devices lists all'}")
    return found


def _overview(found: Sequence[Device]) -> Document:
    from onnxcost.render.device_formats import devices_csv, devices_json, devices_markdown
    from onnxcost.render.devices import devices_lines

    return Document(
        table=lambda screen: devices_lines(found, screen),
        json=lambda: devices_json(found),
        csv=lambda: devices_csv(found),
        markdown=lambda: devices_markdown(found),
    )


def _sheets(named: Sequence[Device]) -> Document:
    from onnxcost.render.device_formats import devices_json, figures_csv, figures_markdown
    from onnxcost.render.devices import device_lines

    return Document(
        table=lambda screen: device_lines(named, screen),
        json=lambda: devices_json(named),
        csv=lambda: figures_csv(named),
        markdown=lambda: figures_markdown(named),
    )
