"""``onnxcost devices calibrate``: how fast this machine is, as a file for ``--device-file``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from onnxcost.cli.arguments import AT_ONCE, Whole
from onnxcost.cli.failures import refusals_of_measuring, say
from onnxcost.cli.output import check_folder
from onnxcost.files import replace_file
from onnxcost.render.progress import progress_on

HELP = """Measure this machine in a minute: small models timed through onnxruntime, with one thread and with all.

The file says how fast each kind of kernel runs, over sizes, and names the machine. With it `onnxcost budget` predicts the
latency of a model here without running it.

\b
Examples:
  onnxcost devices calibrate -o here.toml
  onnxcost budget model.onnx --device-file here.toml --fps 30
"""
RESTLESS = 1.1
"""From here on the machine was too busy for its times to be trusted."""


@click.command("calibrate", help=HELP)
@click.option("-o", "--output", metavar="FILE", required=True, help="The TOML file to write.")
@click.option("--name", default="", metavar="NAME", help="What to call the machine.  [default: after its processor]")
@click.option("--provider", default="cpu", metavar="NAME", help="What runs the models: cpu, cuda, …  [default: cpu]")
@click.option("--threads", multiple=True, type=Whole(1, AT_ONCE), metavar="N", help="Only this number; repeatable.")
def calibrate(output: str, name: str, provider: str, threads: tuple[int, ...]) -> None:
    """Parse, call, write."""
    from onnxcost.hardware.calibration_file import dumps
    from onnxcost.measurement import Settings
    from onnxcost.measuring.calibrating import BOTH
    from onnxcost.measuring.calibrating import calibrate as calibrated

    check_folder(output)
    with refusals_of_measuring(), progress_on(sys.stderr) as shown:
        found = calibrated(Settings(provider=provider), name=name, threads=threads or BOTH, on_progress=shown)
    replace_file(Path(output), dumps(found).encode())
    if found.unrest > RESTLESS:
        say(
            "warning",
            f"other work slowed the probes down by {100 * (found.unrest - 1):.0f} %: calibrate again when it is quiet",
        )


class DevicesCommand(click.Command):
    """The command ``devices``, which takes words; with ``calibrate`` as the first it is that command."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """That of ``calibrate`` where it is asked for."""
        if args[:1] == [calibrate.name]:
            return calibrate.make_context(f"{info_name} {calibrate.name}", args[1:], parent, **extra)
        return super().make_context(info_name, args, parent, **extra)
