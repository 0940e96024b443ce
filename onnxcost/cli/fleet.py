"""``onnxcost fleet``: what boards have, the wheels for one without a network, and the side of the board."""

from __future__ import annotations

import re
from pathlib import Path

import click

from onnxcost.cli.boards import Boards, find_hosts, hosts_option
from onnxcost.cli.output import Output, output_options
from onnxcost.errors import InputError
from onnxcost.render.escaping import plain
from onnxcost.render.units import binary, plural

HELP = """Boards that models are measured on over SSH: `onnxcost measure model.onnx --on pi5,orin`.

A board needs onnxcost of the same version, and an SSH server that lets you in without a password. Its name is one of the hosts
file, a TOML file with a table for each, or what you would write behind `ssh`.

\b
Examples:
  onnxcost fleet check pi5,orin
  onnxcost fleet check user@10.0.0.7
  onnxcost fleet bundle wheels --platform manylinux_2_28_aarch64
  onnxcost measure model.onnx --on pi5,orin

\b
A hosts file (all keys but the name of the table are optional):
  [pi5]
  address = "10.0.0.7"
  user = "pi"
  command = "~/onnxcost/bin/onnxcost"
  threads = 4
  tags = ["lab"]
"""


@click.group(help=HELP)
def fleet() -> None:
    """The group itself does nothing."""


@fleet.command(short_help="Ask boards what they have.")
@click.argument("boards", default="all")
@hosts_option
@output_options
def check(boards: str, hosts: str | None, out: Output) -> int:
    """Ask each of BOARDS what it has; all hosts of the file by default.

    \b
    Examples:
      onnxcost fleet check
      onnxcost fleet check pi5,user@10.0.0.7 --format json
    """
    asked = Boards(tuple(find_hosts(boards, hosts)), sends_weights=False)
    return asked.run_command("check", None, out)


@fleet.command(short_help="Write wheels for boards without a network.")
@click.argument("folder")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="TAG",
    help="Of the board, as pip names it; repeatable.  [default: this one]",
)
@click.option("--python", metavar="3.11", help="Version of Python on the board.  [default: the one here]")
def bundle(folder: str, platforms: tuple[str, ...], python: str | None) -> None:
    """Write wheels of onnxcost and of what it needs to FOLDER, with a script install.sh, for boards without a network.

    \b
    Examples:
      onnxcost fleet bundle wheels
      onnxcost fleet bundle wheels --platform manylinux_2_28_aarch64 --python 3.11
    """
    if python is not None and not re.fullmatch(r"3\.\d{1,2}", python, re.ASCII):
        raise InputError(f"--python expects a version such as 3.11, not '{python}'")
    if wrong := [tag for tag in platforms if not re.fullmatch(r"\w+", tag, re.ASCII)]:
        raise InputError(f"--platform expects a tag such as manylinux_2_28_aarch64, not '{wrong[0]}'")
    from onnxcost.fleet.bundle import make_bundle

    made = make_bundle(Path(folder), platforms, python or "")
    size = sum(made.wheels.values())
    click.echo(
        plain(f"{folder}: {plural(len(made.wheels), 'wheel')}, {binary(size)}: copy it to the board, run install.sh there")
    )


@fleet.command(hidden=True)
def board() -> int:
    """Take one job from standard input: what ssh starts on a board."""
    from onnxcost.cli.app import run
    from onnxcost.fleet.board import serve

    return serve(run)
