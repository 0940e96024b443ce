"""The ``onnxcost`` command group, its error messages on stderr, and exit codes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from onnxcost.errors import REFUSALS, MeasurementError, OnnxCostError, did_you_mean, refusal
from onnxcost.processes import STOP
from onnxcost.render.escaping import plain
from onnxcost.results import group_by
from onnxcost.version import __version__

if TYPE_CHECKING:
    from click.shell_completion import CompletionItem

    from onnxcost.graph import BoundDim
    from onnxcost.measurement import Advice
    from onnxcost.report import CostReport

DEBUG = "ONNXCOST_DEBUG"
COMPLETE = "_ONNXCOST_COMPLETE"
"""The variable that a shell's script sets to ask for completions."""
INTERRUPTED = 130
BAD_INPUT = 2
CLICK_PIPE_BROKEN = 1


def say(kind: str, message: str) -> int:
    """One line on stderr: ``onnxcost: error: …``, wrapped if stderr is a terminal; returns the number of its lines.

    Control characters in it become ``?``.
    """
    lines = _wrap_message(kind, message)
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    # A message that cannot be printed affects neither the result nor the exit code.
    with suppress(OSError, ValueError):
        for line in lines:
            click.echo(line.encode(encoding, "replace").decode(encoding), err=True)
    return len(lines)


def _wrap_message(kind: str, message: str) -> list[str]:
    line = f"onnxcost: {kind}: {plain(' '.join(message.split()))}"
    if not sys.stderr.isatty():
        return [line]
    from onnxcost.render.layout import detect_screen, wrap

    return wrap(line, detect_screen(sys.stderr).width, indent="  ")


class Notice(NamedTuple):
    """A message on stderr: ``kind`` is a key of URGENCY."""

    kind: str
    text: str


URGENCY = ("warning", "advice", "note")
"""The kinds of messages; those that change what the figures mean come first."""
MOST_MESSAGES = 2


def say_first(messages: Iterable[Notice], *, shows_all: bool, rows: int | None = None) -> int:
    """Say the most urgent messages, each once, and how many more there are; returns the number of lines.

    They are MOST_MESSAGES at most unless all are asked for, and fewer if a terminal has only ``rows`` for them.
    """
    waiting = sorted(dict.fromkeys(messages), key=lambda message: URGENCY.index(message.kind))
    shown = len(waiting) if shows_all else 0
    while shown < min(len(waiting), MOST_MESSAGES):
        needed = len(_wrap_message(*waiting[shown])) + (shown + 1 < len(waiting))
        if rows is not None and sys.stderr.isatty() and needed > rows:
            break
        rows = None if rows is None else rows - needed + (shown + 1 < len(waiting))
        shown += 1
    if rest := len(waiting) - shown:
        waiting[shown:] = [Notice("note", f"{rest} more: --warnings")]
    return sum(say(*message) for message in waiting)


def assumed_text(dims: Iterable[BoundDim]) -> str:
    """The dims that were assumed, each with the option that sets it: ``batch = 1 (--dim batch=8)``; "" if none was."""
    texts = (f"{dim.name} = {dim.value} ({dim.option})" for dim in dims if dim.source == "assumed")
    return ", ".join(dict.fromkeys(texts))


def caveat_messages(report: CostReport) -> list[Notice]:
    """Why the numbers of a report are not exact."""
    return [Notice("note" if caveat.kind == "note" else "warning", caveat.text) for caveat in report.caveats]


def merge_advice(labeled: Iterable[tuple[str, Advice]]) -> list[tuple[str, str]]:
    """Each kind of advice once: the labels of all models with it, and the text of the first."""
    by_kind = group_by(labeled, lambda pair: pair[1].kind)
    return [(", ".join(label for label, _ in pairs), pairs[0][1].text) for pairs in by_kind.values()]


def note(message: str) -> None:
    """Print a note that changes no figure."""
    say("note", message)


def exit_code(command: Callable[[], object]) -> int:
    """Run the command; returns the code that the process ends with."""
    try:
        result = command()
    except SystemExit as end:
        # click exits like this when the reader has closed the pipe (onnxcost --help | head): that is not a failure.
        if end.code != CLICK_PIPE_BROKEN:
            raise
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.UsageError as usage:
        where = usage.ctx.command_path if usage.ctx else "onnxcost"
        text = _usage_text(usage)
        say("error", f"{text}{' See' if text.endswith('?') else '; see'} '{where} --help'")
        return BAD_INPUT
    except OnnxCostError as error:
        say("error", str(error))
        return error.exit_code
    except Exception as error:
        refused = refusal(error)
        if refused is None or _shows_tracebacks():
            return _bug(error)
    else:
        return result if isinstance(result, int) else 0
    # The exception is gone now, and with it the objects of its frames: without memory, not even a line could be printed.
    say("error", refused)
    return BAD_INPUT


def _usage_text(usage: click.UsageError) -> str:
    """What is wrong, and the option or choice that was probably meant."""
    text = usage.format_message().strip().removesuffix(".")
    if isinstance(usage, click.NoSuchOption):
        options = usage.ctx.command.params if usage.ctx else ()
        known = ["--help", *(name for option in options for name in option.opts if name.startswith("--"))]
        near = did_you_mean(usage.option_name, known)
        return f"there is no option '{usage.option_name}'{near}"
    if usage.ctx and isinstance(usage.ctx.command, click.Group) and text.startswith("No such command"):
        name = text.partition("'")[2].partition("'")[0]
        return f"there is no command '{name}'{did_you_mean(name, usage.ctx.command.list_commands(usage.ctx))}"
    if isinstance(usage, click.BadParameter) and isinstance(usage.param and usage.param.type, click.Choice):
        value = text.partition(": '")[2].partition("'")[0]
        return text + did_you_mean(value, usage.param.type.choices)  # type: ignore[union-attr]
    return text


@contextmanager
def refusals_of_measuring() -> Iterator[None]:
    """Raises MeasurementError if the system refuses something in the block, so that the counts are still printed."""
    try:
        yield
    except OnnxCostError:
        raise
    except REFUSALS as error:
        if (refused := refusal(error)) is None or _shows_tracebacks():
            raise
        raise MeasurementError(refused) from None


class End:
    """Why something ended early, and the exit code for that; "" and 0 if it did not. With results, there is only a code.

    ``rows`` is the number of lines about it on stderr.
    """

    reason = ""
    code = 0
    rows = 0

    def stop_if(self, interrupted: bool) -> None:
        """Stop with the results so far if Ctrl-C was pressed."""
        self.code = INTERRUPTED if interrupted else 0


def start_child() -> None:
    """Start the process that will run the model: it loads its libraries in the meantime, and ends with the command."""
    from onnxcost.runtime.supervisor import start_early

    click.get_current_context().with_resource(start_early())


@contextmanager
def catch_failure(what: str) -> Iterator[End]:
    """Catch a model that cannot be run, a refusal by the system, and Ctrl-C: the command continues after a line with the
    reason.

    The first Ctrl-C ends a run with the samples so far; the second ends it without them.
    """
    end = End()
    try:
        with STOP.from_keyboard(), refusals_of_measuring():
            yield end
    except MeasurementError as error:
        end.reason, end.code = str(error), error.exit_code
    except KeyboardInterrupt:
        end.reason, end.code = "interrupted", INTERRUPTED
    if end.reason:
        end.rows = say("error", f"{what}: {end.reason}")
    elif end.code == INTERRUPTED:
        end.rows = say("error", "interrupted: the results are from the runs completed so far")


def _shows_tracebacks() -> bool:
    return os.environ.get(DEBUG, "0") not in ("", "0")


def _bug(error: Exception) -> int:
    """The line for an unexpected error, or its traceback if requested."""
    if _shows_tracebacks():
        raise error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""  # noqa: PTH119
    message = f"{type(error).__name__}{f' ({error})' if str(error) else ''}{where}"
    say("error", f"this is a bug in onnxcost: {message}. Please run it again with {DEBUG}=1 and report the output")
    return BAD_INPUT


class CommandEntry(NamedTuple):
    """A command of the group: its module, and its line in ``onnxcost --help``, which is printed without importing it."""

    module: str
    summary: str


COMMANDS: Mapping[str, CommandEntry] = {
    "estimate": CommandEntry("onnxcost.cli.estimate", "Count operations, bytes and memory, then measure (the default)."),
    "measure": CommandEntry("onnxcost.cli.measure", "Measure latency, FPS, achieved FLOP/s and memory."),
    "profile": CommandEntry("onnxcost.cli.profile", "Profile the model: time, FLOP/s and bytes/s, node by node."),
    "compare": CommandEntry("onnxcost.cli.compare", "Compare models: what each costs, and why they differ."),
    "scan": CommandEntry("onnxcost.cli.scan", "Count many models in parallel, one row each."),
    "scale": CommandEntry("onnxcost.cli.scale", "Show how cost scales with the open dims, as polynomials."),
    "view": CommandEntry("onnxcost.cli.view", "Open the report in a web browser."),
    "plot": CommandEntry("onnxcost.cli.plot", "Draw a chart as an SVG, PNG or PDF file."),
    "strip": CommandEntry("onnxcost.cli.strip", "Write the model without its weights, to share its cost."),
    "annotate": CommandEntry("onnxcost.cli.annotate", "Write the model with the cost of each node, for Netron."),
    "formulas": CommandEntry("onnxcost.cli.formulas", "Show how each operator is counted."),
    "budget": CommandEntry("onnxcost.cli.budget", "Check which devices run the model within a budget, and how fast."),
    "llm": CommandEntry("onnxcost.cli.llm", "Show the prefill, decode and KV cache costs of a language model."),
    "devices": CommandEntry("onnxcost.cli.devices", "List devices: peak rates, memory, prices and sources."),
    "schema": CommandEntry("onnxcost.cli.schema", "Print the JSON Schema of the JSON output."),
    "fleet": CommandEntry("onnxcost.cli.fleet", "Check and set up boards for measuring over SSH."),
}
"""The name of a command in its module is the last part of the module's name."""

DEFAULT = "estimate"
WITHOUT_MODEL = ("formulas", "devices", "fleet", "schema")
NUMPY_BYTES = 112 * 2**20
"""The address space that onnx and numpy need to be loaded."""
OWN_OPTIONS = ("-h", "--help", "--version")

HELP = """Show what an ONNX model costs to run: MACs, FLOPs, parameters, bytes and memory, node by node, from the graph alone;
then latency, FPS and achieved FLOP/s, measured with onnxruntime.

`onnxcost MODEL` is short for `onnxcost estimate MODEL`; see `onnxcost estimate --help` for all options.

\b
Examples:
  onnxcost model.onnx                  totals, most expensive nodes, latency
  onnxcost model.onnx --no-run         count only
  onnxcost model.onnx --dim batch=8    set a dynamic dim
  onnxcost model.onnx --depth 2        show a tree of modules
  onnxcost model.onnx -o cost.json     write JSON (or .csv, .md, .html, .txt)
  onnxcost model.onnx --strict         exit 1 if anything is not exact
  onnxcost measure model.onnx          measure only: latency, FPS, memory
  onnxcost scan models/                count many models, one row each
  onnxcost formulas Conv               show how an operator is counted
"""


FIRST_STEPS = """\
Usage: onnxcost MODEL, or onnxcost COMMAND ...

Show what an ONNX model costs to run. For example:
  onnxcost model.onnx                   MACs, parameters, memory, latency
  onnxcost compare a.onnx b.onnx        two models side by side, and why they differ
  onnxcost budget model.onnx --fps 30   which devices run it fast enough

Run 'onnxcost --help' for all commands."""


class LazyGroup(click.Group):
    """A group that imports a command when it is called, and passes anything else to the default command."""

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
        if ctx.resilient_parsing:
            from onnxcost.cli.completion import equip

            equip(command)
        return command

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """``onnxcost MODEL …`` becomes ``onnxcost estimate MODEL …``."""
        if not args and not ctx.resilient_parsing:
            click.echo(FIRST_STEPS, err=True)
            ctx.exit(BAD_INPUT)
        if args and args[0] not in COMMANDS and args[0] not in OWN_OPTIONS:
            args = [DEFAULT, *args]
        elif args and args[0] in COMMANDS and os.path.isfile(args[0]):  # noqa: PTH113  # pathlib costs start-up time
            note(f"'{args[0]}' is also a file here: to open it as a model, write ./{args[0]}")
        return super().parse_args(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command; some of click's errors lack the context of the command."""
        try:
            return super().invoke(ctx)
        except click.UsageError as usage:
            if usage.ctx is None and ctx.invoked_subcommand in COMMANDS:
                usage.ctx = click.Context(self, ctx, ctx.invoked_subcommand)
            raise

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem[str]]:
        """The completions of the first word: commands, and those of the default command."""
        from click.shell_completion import CompletionItem

        default = self.get_command(ctx, DEFAULT)
        assert default is not None
        with default.make_context(DEFAULT, [], ctx, resilient_parsing=True) as inner:
            if incomplete.startswith("-"):
                return [*super().shell_complete(ctx, incomplete), *default.shell_complete(inner, incomplete)]
            argument = next(param for param in default.params if isinstance(param, click.Argument))
            models = argument.shell_complete(inner, incomplete)
        fitting = [(name, entry.summary) for name, entry in COMMANDS.items() if name.startswith(incomplete)]
        return [*(CompletionItem(name, help=summary) for name, summary in fitting), *models]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list of commands, without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.summary) for name, entry in COMMANDS.items()])

    def main(self, args: Sequence[str] | None = None, prog_name: str | None = None, *rest: Any, **extra: Any) -> Any:
        """Run the command and exit with its code: errors become one line on stderr."""
        extra["standalone_mode"] = False
        if COMPLETE in os.environ:
            from onnxcost.cli.completion import register

            register()
        sys.exit(exit_code(lambda: super(LazyGroup, self).main(args, prog_name, *rest, **extra)))


@click.group(
    "onnxcost", cls=LazyGroup, help=HELP, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, prog_name="onnxcost", message="%(prog)s %(version)s")
def cli() -> None:
    """The group itself does nothing."""


cli.epilog = (
    "Exit codes: 0 done, 1 a check failed (--strict), 2 bad usage or input, 3 not measured (the counts are printed), "
    f"130 interrupted. If several apply, 130 takes priority, then 1. {DEBUG}=1 shows tracebacks."
)


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; returns its exit code."""
    try:
        cli.main(list(arguments) if arguments is not None else None, "onnxcost")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else 0 if end.code is None else 2
    return 0
