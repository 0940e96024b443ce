"""The ``onnxcost`` group: its commands, the default one, and how it ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

import click

from onnxcost.cli.failures import BAD_INPUT, DEBUG, exit_code, note
from onnxcost.version import __version__


class Entry(NamedTuple):
    """A command of the group: where it lives, and the line of it in ``onnxcost --help``, printed without importing it."""

    module: str
    summary: str


COMMANDS: Mapping[str, Entry] = {
    "estimate": Entry("onnxcost.cli.estimate", "Count operations, bytes and memory, then measure (the default)."),
    "measure": Entry("onnxcost.cli.measure", "Run the model: latency, FPS, achieved FLOP/s, memory."),
    "profile": Entry("onnxcost.cli.profile", "Run the model: time, FLOP/s and bytes/s, node by node."),
    "compare": Entry("onnxcost.cli.compare", "Compare models: what each costs, and why they differ."),
    "scan": Entry("onnxcost.cli.scan", "Count many models, several side by side: a row for each."),
    "strip": Entry("onnxcost.cli.strip", "Write the model without its weights: what it costs, to share."),
    "formulas": Entry("onnxcost.cli.formulas", "Show how each operator is counted."),
    "budget": Entry("onnxcost.cli.budget", "Will it run on that device, how fast, and what must change?"),
    "devices": Entry("onnxcost.cli.devices", "List devices: peak rates, memory, price, and their sources."),
}
"""A module here has its command under the module's last name."""

DEFAULT = "estimate"
WITHOUT_MODEL = ("formulas", "devices")
NUMPY_BYTES = 112 * 2**20
"""The address space that onnx and numpy want when they are loaded."""
OWN_OPTIONS = ("-h", "--help", "--version")

HELP = """What does an ONNX model cost to run? MACs, FLOPs, parameters, bytes and memory, node by node, from the graph alone.
Latency, FPS and achieved FLOP/s, from running it.

`onnxcost MODEL` is short for `onnxcost estimate MODEL`; `onnxcost estimate --help` lists all its options.

\b
Examples:
  onnxcost model.onnx                  operators, dearest nodes, latency
  onnxcost model.onnx --no-run         without running it
  onnxcost model.onnx --dim batch=8    with a dynamic dim fixed
  onnxcost model.onnx --depth 2        as a tree by module
  onnxcost model.onnx -o cost.json     as JSON (.csv, .md and .txt do, too)
  onnxcost model.onnx --strict         exit 1 if anything is not exact
  onnxcost measure model.onnx          latency, FPS, FLOP/s and memory alone
  onnxcost scan models/                many models: a row for each
  onnxcost formulas Conv               how an operator is counted
"""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and takes what is no command for the default command's arguments."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the table."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported now."""
        if cmd_name not in COMMANDS:
            return None
        if cmd_name not in WITHOUT_MODEL:
            from onnxcost.processes import check_address_space

            check_address_space(NUMPY_BYTES)
        command = getattr(import_module(COMMANDS[cmd_name].module), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """``onnxcost MODEL …`` becomes ``onnxcost estimate MODEL …``."""
        if not args:
            click.echo(ctx.get_help(), err=True)
            ctx.exit(BAD_INPUT)
        if args[0] not in COMMANDS and args[0] not in OWN_OPTIONS:
            args = [DEFAULT, *args]
        elif args[0] in COMMANDS and os.path.isfile(args[0]):  # noqa: PTH113  # pathlib costs start-up time
            note(f"'{args[0]}' is also a file here: for the model of that name write ./{args[0]}")
        return super().parse_args(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command and exit with its code: errors become one line on stderr."""
        extra["standalone_mode"] = False
        sys.exit(exit_code(lambda: super(LazyGroup, self).main(args, prog_name, *rest, **extra)))


@click.group(
    "onnxcost", cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="onnxcost", message="%(prog)s %(version)s")
def cli() -> None:
    """The group itself does nothing."""


cli.epilog = (
    "Exit codes: 0 done, 1 a check failed (--strict), 2 bad usage or input, 3 not measured (what was counted is printed), "
    f"130 interrupted. Of two, 130 comes first, then 1. {DEBUG}=1 shows tracebacks."
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    try:
        cli.main(list(arguments) if arguments is not None else None, "onnxcost")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 2
    return 0
