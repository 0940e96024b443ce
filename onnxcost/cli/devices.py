"""``onnxcost devices``: the catalog of devices; ``onnxcost devices calibrate``: the speed of this machine, as a file."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from onnxcost.cli.app import catch_failure, say
from onnxcost.cli.boards import Boards, board_options
from onnxcost.cli.options import AT_ONCE, Whole
from onnxcost.cli.output import Document, Output, check_folder, output_options
from onnxcost.errors import InputError, did_you_mean
from onnxcost.files import replace_file
from onnxcost.hardware.device import KINDS
from onnxcost.render.layout import progress_on
from onnxcost.results import make_document

if TYPE_CHECKING:
    from onnxcost.hardware.device import Device


CALIBRATE_HELP = """Measure the speed of this machine in about a minute, by running small models with onnxruntime on one
thread and on all.

The file names the machine and has the speed of each kind of kernel at several sizes. `onnxcost budget` uses it to predict the
latency of a model on this machine without running the model. Kernels with inconsistent times are timed again; if their times
remain inconsistent, predictions have a wider range.

\b
Examples:
  onnxcost devices calibrate -o here.toml
  onnxcost budget model.onnx --device-file here.toml --fps 30
  onnxcost devices calibrate --on pi5,orin -o boards/
"""
NOISY = 1.1
"""From this ratio on, the machine was too busy for reliable times."""


@click.command("calibrate", help=CALIBRATE_HELP)
@board_options
@click.option("-o", "--output", metavar="FILE", required=True, help="The TOML file to write; with several boards, a folder.")
@click.option("--name", default="", metavar="NAME", help="Name of the machine.  [default: derived from its processor]")
@click.option("--provider", default="cpu", metavar="NAME", help="Execution provider: cpu, cuda, …  [default: cpu]")
@click.option(
    "--threads", multiple=True, type=Whole(1, AT_ONCE), metavar="N", help="Use only this number of threads; repeatable."
)
def calibrate(output: str | None, name: str, provider: str, threads: tuple[int, ...], boards: Boards | None) -> int:
    """Parse, call, write. After Ctrl-C, the file has the times so far."""
    if boards is not None:
        return _calibrate_on(boards, output, name)
    assert output is not None  # click requires it; with boards, it may be a folder
    from onnxcost.hardware.calibration.model import dumps
    from onnxcost.measurement import Settings
    from onnxcost.runtime.calibrate import BOTH
    from onnxcost.runtime.calibrate import calibrate as calibrated

    check_folder(output)
    with catch_failure("not calibrated") as end, progress_on(sys.stderr) as shown:
        found = calibrated(Settings(provider=provider), name=name, threads=threads or BOTH, on_progress=shown)
        end.stop_if(found.interrupted)
    if end.reason:
        return end.code
    replace_file(Path(output), dumps(found).encode())
    if not found.is_settled:
        load = f", with {found.load:.1f} cores busy with other work" if found.load else ""
        say(
            "warning",
            f"{found.unsettled:.0%} of the kernels had inconsistent times{load}, so predictions have a wider range: "
            "calibrate again on an idle machine",
        )
    elif found.noise > NOISY:
        say(
            "warning",
            f"other work slowed the measurements down by {100 * (found.noise - 1):.0f} %: calibrate again on an idle machine",
        )
    return end.code


def _calibrate_on(boards: Boards, output: str | None, name: str) -> int:
    """Calibrate all boards, and write a file for each; returns the exit code."""
    from onnxcost.hardware.calibration.model import loads

    if len(boards.hosts) > 1 and (output is not None or name):
        what = f"'{output}' is not a folder" if output is not None else "--name names one"
        raise InputError(f"several boards: {what}; use '-o FOLDER/' to write one file per board")
    check_folder(output)
    job = boards.job(
        ["devices", "calibrate"], [], read=lambda text: loads(text, "its result").to_dict(), suffix=".toml", has_name=True
    )
    run = boards.run("calibrate", job)
    for board in run.boards:
        if board.document is not None:
            path = boards.folder / f"{board.host.file_name}.toml" if boards.folder else Path(output or "")
            replace_file(path, board.text.encode())
    return boards._replace(folder=None).deliver(run, Output("table", None))


class DevicesCommand(click.Command):
    """The command ``devices``, which takes words; if ``calibrate`` is the first, that command runs."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """The context, of ``calibrate`` if that is the first word."""
        if args[:1] == [calibrate.name]:
            return calibrate.make_context(f"{info_name} {calibrate.name}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)


HELP = """List devices with their dense peak rates, bandwidth, memory, power and price. A device NAME shows that device, with
the source of each value; any other WORD lists the devices with that word in their name, title, vendor or kind.

\b
Examples:
  onnxcost devices
  onnxcost devices --kind gpu
  onnxcost devices jetson
  onnxcost devices jetson-orin-nano-8gb
  onnxcost devices -o devices.csv
  onnxcost devices calibrate -o here.toml    measure this machine

\b
A minimal file for --device-file (all keys: see onnxcost/hardware/catalogue):
  name = "my-board"
  kind = "board"
  memory = "4 GiB"
  bandwidth = "10 GB/s"
  cpu.peak.float32 = "50 GFLOP/s"
"""


@click.command(help=HELP, cls=DevicesCommand)
@click.argument("words", nargs=-1, metavar="[NAME | WORD]...")
@click.option("--kind", "kinds", type=click.Choice(KINDS), multiple=True, help="List only devices of this kind; repeatable.")
@click.option("--device-file", "files", multiple=True, metavar="FILE", help="Add the devices in a TOML file; repeatable.")
@output_options
def devices(words: tuple[str, ...], kinds: tuple[str, ...], files: tuple[str, ...], out: Output) -> None:
    """Parse, call, render."""
    from onnxcost.render import devices as formats

    named = _find_devices(words, files)
    found = named or _match_devices(words, kinds, files)
    lines, csv, markdown = (
        (formats.device_lines, formats.figures_csv, formats.figures_markdown)
        if named
        else (formats.devices_lines, formats.devices_csv, formats.devices_markdown)
    )
    out.deliver(
        Document(
            table=partial(lines, found),
            json=lambda: make_document(devices=[formats.device_to_dict(device) for device in found]),
            csv=partial(csv, found),
            markdown=partial(markdown, found),
        )
    )


def _find_devices(words: Sequence[str], files: Sequence[str]) -> list[Device]:
    """The devices that the words name, with the changes in the words; none unless all words are names."""
    from onnxcost.hardware import catalogue

    names = catalogue.devices(files)
    is_named = all(word.partition(",")[0] in names for word in words)
    return [catalogue.find_device(word, files) for word in words] if is_named else []


def _match_devices(words: Sequence[str], kinds: Sequence[str], files: Sequence[str]) -> list[Device]:
    """The devices of the kinds that match all words; raises InputError if there are none."""
    from onnxcost.hardware import catalogue

    names = catalogue.devices(files)
    found = [
        device
        for device in names.values()
        if (not kinds or device.kind in kinds)
        and all(word.lower() in f"{device.name} {device.title} {device.vendor} {device.kind}".lower() for word in words)
    ]
    if not found:
        of_kind = f" of the kind {' or '.join(kinds)}" if kinds else ""
        hint = did_you_mean(words[0].lower().partition(",")[0], [*names, "calibrate"]) if len(words) == 1 else ""
        raise InputError(f"there is no device{of_kind} with '{' '.join(words)}'{hint or ': onnxcost devices lists all'}")
    return found
