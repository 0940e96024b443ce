"""``onnxcost fleet``: descriptions of boards, wheels for boards without a network, and the program on a board."""

from __future__ import annotations

import re
from pathlib import Path

import click

from onnxcost.cli.boards import Boards, find_hosts, hosts_option
from onnxcost.cli.output import Output, output_options
from onnxcost.errors import InputError
from onnxcost.render.escaping import plain
from onnxcost.render.units import binary, plural

HELP = """Check and set up boards, machines that models are measured on over SSH: `onnxcost measure model.onnx --on pi5,orin`.

A board needs the same version of onnxcost, and an SSH server that accepts a login without a password. Refer to it by its name
in the hosts file, a TOML file with a table for each board, or as on the command line of `ssh`.

\b
Examples:
  onnxcost fleet check pi5,orin
  onnxcost fleet check user@10.0.0.7
  onnxcost fleet bundle wheels --platform manylinux_2_28_aarch64
  onnxcost measure model.onnx --on pi5,orin

\b
A hosts file (all keys are optional):
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


@fleet.command(short_help="Check the software and hardware of boards.")
@click.argument("boards", default="all")
@hosts_option
@output_options
def check(boards: str, hosts: str | None, out: Output) -> int:
    """Check the software and hardware of BOARDS, by default of all hosts in the hosts file.

    \b
    Examples:
      onnxcost fleet check
      onnxcost fleet check pi5,user@10.0.0.7 --format json
    """
    asked = Boards(tuple(find_hosts(boards, hosts)), sends_weights=False)
    return asked.run_command("check", None, out)


@fleet.command(short_help="Download wheels for boards without network access.")
@click.argument("folder")
@click.option(
    "--platform",
    "platforms",
    multiple=True,
    metavar="TAG",
    help="Platform tag of the board, as for pip; repeatable.  [default: this platform]",
)
@click.option("--python", metavar="3.11", help="Python version of the board.  [default: this version]")
def bundle(folder: str, platforms: tuple[str, ...], python: str | None) -> None:
    """Write wheels of onnxcost and its dependencies, and a script install.sh, to FOLDER, for boards without network access.

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
        plain(f"{folder}: {plural(len(made.wheels), 'wheel')}, {binary(size)}: copy it to the board and run install.sh there")
    )


@fleet.command(hidden=True)
def board() -> int:
    """Run one job from standard input: the command that ssh starts on a board."""
    from onnxcost.cli.app import run
    from onnxcost.fleet.board import serve

    return serve(run)
