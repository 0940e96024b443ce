"""Writes results in a format, to stdout or, completely or not at all, to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial, wraps
from pathlib import Path
from typing import Any, NamedTuple, TextIO

import click

from onnxcost import registers
from onnxcost.cli.app import Notice, say_first
from onnxcost.cli.options import Command, Decorator, with_options
from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.processes import is_closed_pipe
from onnxcost.render.layout import Line, Screen, detect_screen, text_of, write

FORMATS = ("table", "json", "csv", "markdown", "html")
FORMAT_HELP = "Output format. In CSV, text that a spreadsheet would run as a formula gets a leading '.  [default: table]"
SUFFIXES: Mapping[str, str] = {
    ".txt": "table", ".json": "json", ".csv": "csv", ".md": "markdown", ".markdown": "markdown",
    ".html": "html", ".htm": "html",
}  # fmt: skip
NAMES: Mapping[str, str] = {"nodedata.json": "nodedata", "trace.json": "trace"}
"""The suffixes of files for other programs, and the formats that some commands have for them."""


class FormatName(click.Choice[str]):
    """A format, or the name of one that an installed package registers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The name; fails for another one."""
        is_other = value not in self.choices and value in registers.registered_names(registers.FORMATS)
        return value if is_other else super().convert(value, param, ctx)


OUTPUT_OPTIONS: tuple[Decorator, ...] = (
    click.option("--format", "format_", type=FormatName(FORMATS), help=FORMAT_HELP),
    click.option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write to FILE. Without --format, the suffix (.txt .json .csv .md .html) sets the format.",
    ),
)


class Document(NamedTuple):
    """A result in every format, each created on demand; ``page`` is what the charts of an HTML page need in addition to the
    JSON.

    ``others`` are texts for other programs, by the formats in NAMES.
    """

    table: Callable[[Screen], list[Line]]
    json: Callable[[], Mapping[str, Any]]
    csv: Callable[[], str]
    markdown: Callable[[], str]
    page: Callable[[], Mapping[str, Any]] = dict
    others: Mapping[str, Callable[[], str]] = {}


class Output(NamedTuple):
    """The format of a result, its file, None for stdout, and which messages are printed on stderr."""

    format: str
    path: str | None
    quiet: bool = False
    all_warnings: bool = False

    @classmethod
    def of(
        cls, format_: str | None, path: str | None, quiet: bool = False, all_warnings: bool = False, names: Sequence[str] = ()
    ) -> Output:
        """The output that the options request; ``names`` are the command's formats in NAMES.

        Raises InputError for a suffix without a format, and for a folder that does not exist.
        """
        if path is None or path == "-":
            return cls(format_ or "table", None, quiet, all_warnings)
        named = (named for end, named in NAMES.items() if f".{Path(path).name.lower()}".endswith(f".{end}") and named in names)
        suffix = Path(path).suffix.lower()
        chosen = format_ or next(named, SUFFIXES.get(suffix))
        if chosen is None and suffix[1:] in registers.registered_names(registers.FORMATS):
            chosen = suffix[1:]
        if chosen is None:
            raise InputError(f"'{path}' has no known suffix: use {', '.join(SUFFIXES)}, or give --format")
        check_folder(path)
        return cls(chosen, path, quiet, all_warnings)

    @property
    def is_screen(self) -> bool:
        """Whether the result is a table on stdout, which is printed in parts as they become known."""
        return self.format == "table" and self.path is None

    def deliver(self, document: Document) -> None:
        """Write the document to the file, or to stdout without one."""

        def text() -> str:
            if self.format in ("csv", "markdown"):
                return document.csv() if self.format == "csv" else document.markdown()
            if self.format in document.others:
                return document.others[self.format]()
            if self.format == "json":
                from onnxcost.render.formats import dumps

                return dumps(document.json())
            if self.format != "html":
                return write_registered(self.format, document.json())
            from onnxcost.render.page import build_page

            return build_page(document.json(), text_of(document.table(detect_screen(None))), document.page())

        if self.is_screen:
            show(document.table)
        elif self.path is None:
            print_on(lambda stream: stream.write(text()))
        else:
            lines = text_of(document.table(detect_screen(None))) if self.format == "table" else text()
            replace_file(Path(self.path), lines.encode(errors="replace"))

    def say_first(self, messages: Iterable[Notice], rows: int | None = None) -> int:
        """Say the messages as ``app.say_first`` does, none of them with --quiet; returns the number of lines."""
        return 0 if self.quiet else say_first(messages, shows_all=self.all_warnings, rows=rows)


def write_registered(name: str, document: Mapping[str, Any]) -> str:
    """The document in a format that an installed package registers. Raises InputError if that fails."""
    for point, found in registers.load_registered(registers.FORMATS, name):
        try:
            if isinstance(text := found(document), str):  # type: ignore[operator]  # what is not callable is refused below
                return text
            reason = f"it returned {type(text).__name__}, not text"
        # Another package may raise anything.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
        raise InputError(f"the format '{name}' of '{point.value}' failed: {reason}")
    raise InputError(f"there is no format '{name}'")


def output_options(command: Command, names: Sequence[str] = ()) -> Command:
    """Add OUTPUT_OPTIONS; the command gets them, and those of ``message_options``, as ``out``.

    ``names`` are the formats in NAMES that it writes.
    """

    def with_output(
        *, format_: str | None, output: str | None, quiet: bool = False, all_warnings: bool = False, **given: Any
    ) -> Any:
        return command(out=Output.of(format_, output, quiet, all_warnings, names), **given)

    return with_options(OUTPUT_OPTIONS, wraps(command)(with_output))


def message_options(quiet: str) -> Decorator:
    """Add ``--warnings`` and ``--quiet``; ``quiet`` is the help of the latter."""
    warnings = click.option("--warnings", "all_warnings", is_flag=True, help="Print all warnings, not just the first two.")
    return partial(with_options, (warnings, click.option("--quiet", is_flag=True, help=quiet)))


def check_folder(output: str | None) -> None:
    """Raises InputError for a file that cannot be created in its folder, before the work starts."""
    if output is None:
        return
    folder = Path(output).absolute().parent
    if not folder.is_dir():
        raise InputError(f"cannot write '{output}': No such file or directory")
    if not os.access(folder, os.W_OK) and not Path(output).exists():
        raise InputError(f"cannot write '{output}': Permission denied")


def show(table: Callable[[Screen], list[Line]]) -> int:
    """Print the lines on stdout immediately; returns their number."""
    screen = detect_screen(sys.stdout)
    lines = table(screen)
    print_on(lambda stream: write(lines, stream, screen))
    return len(lines)


def print_on(to: Callable[[TextIO], object]) -> None:
    """Call a function that writes to stdout; it ends if the reader closes the pipe."""
    stream = sys.stdout
    # A character that the encoding lacks must not end the command: "?" is written instead.
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    try:
        to(stream)
        stream.flush()
    except OSError as error:
        if not is_closed_pipe(error):
            raise
        # The reader has closed the pipe (| head). Python would report it again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
