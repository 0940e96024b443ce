"""Writes results in a format, to stdout or, completely or not at all, to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

import click

from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.render.layout import Line, Screen, detect_screen, text_of, write

FORMATS = ("table", "json", "csv", "markdown")
FORMAT_HELP = "Output format. In CSV, a text that a spreadsheet would execute gets a leading '.  [default: table]"
SUFFIXES: Mapping[str, str] = {".txt": "table", ".json": "json", ".csv": "csv", ".md": "markdown", ".markdown": "markdown"}

Command = TypeVar("Command", bound=Callable[..., object])


class Document(NamedTuple):
    """A result in every format, each made on demand."""

    table: Callable[[Screen], list[Line]]
    json: Callable[[], str]
    csv: Callable[[], str]
    markdown: Callable[[], str]


def output_options(command: Command) -> Command:
    """Add ``--format`` and ``-o``."""
    command = click.option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write to FILE; without --format, its suffix (.txt .json .csv .md) sets the format.",
    )(command)
    return click.option("--format", "format_", type=click.Choice(FORMATS), help=FORMAT_HELP)(command)


def message_options(quiet: str) -> Callable[[Command], Command]:
    """Add ``--warnings`` and ``--quiet``; ``quiet`` is the help of the latter."""

    def decorated(command: Command) -> Command:
        command = click.option("--quiet", is_flag=True, help=quiet)(command)
        return click.option("--warnings", "all_warnings", is_flag=True, help="Print all warnings, not only the first two.")(
            command
        )

    return decorated


def choose_format(format_: str | None, output: str | None) -> str:
    """The given format, or that of the file's suffix; raises InputError for a suffix without a format."""
    if format_ is not None:
        return format_
    if output is None or output == "-":
        return "table"
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"'{output}' has no suffix of a format: use {', '.join(SUFFIXES)}, or give --format")
    return SUFFIXES[suffix]


def is_screen(format_: str, output: str | None) -> bool:
    """Whether the result is a table on stdout, which is printed as it becomes known."""
    return format_ == "table" and output in (None, "-")


def check_folder(output: str | None) -> None:
    """Raises InputError for a file whose folder does not exist, before the work is done."""
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise InputError(f"cannot write '{output}': No such file or directory")


def deliver(document: Document, format_: str, output: str | None) -> None:
    """Write the document in the format to the file, or to stdout without one."""
    if output is not None and output != "-":
        text = text_of(document.table(detect_screen(None))) if format_ == "table" else getattr(document, format_)()
        replace_file(Path(output), text.encode(errors="replace"))
    elif format_ == "table":
        show(document.table)
    else:
        _print(lambda stream: stream.write(getattr(document, format_)()))


def show(table: Callable[[Screen], list[Line]]) -> int:
    """Print the lines on stdout, now; returns how many there are."""
    screen = detect_screen(sys.stdout)
    lines = table(screen)
    _print(lambda stream: write(lines, stream, screen))
    return len(lines)


def stream(texts: Iterable[str]) -> None:
    """Print the texts on stdout, each as it comes, until the reader closes it."""

    def write_texts(stream: TextIO) -> None:
        for text in texts:
            stream.write(text)
            stream.flush()

    _print(write_texts)


def _print(to: Callable[[TextIO], object]) -> None:
    stream = sys.stdout
    # A name in a model that the encoding lacks must not end the command: "?" is written for it.
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    try:
        to(stream)
        stream.flush()
    except BrokenPipeError:
        # The reader has closed the pipe (| head). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
