"""Where results go: which format, to stdout or, whole or not at all, to a file."""

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
FORMAT_HELP = "How to print the result. In CSV a text that a spreadsheet would run gets a leading '.  [default: table]"
SUFFIXES: Mapping[str, str] = {".txt": "table", ".json": "json", ".csv": "csv", ".md": "markdown", ".markdown": "markdown"}

Command = TypeVar("Command", bound=Callable[..., object])


class Document(NamedTuple):
    """A result in every format, each made only when it is asked for."""

    table: Callable[[Screen], list[Line]]
    json: Callable[[], str]
    csv: Callable[[], str]
    markdown: Callable[[], str]


def output_options(command: Command) -> Command:
    """``--format`` and ``-o``, which every command that prints a table takes."""
    command = click.option(
        "-o",
        "--output",
        metavar="FILE",
        help="Write to FILE; its suffix (.txt .json .csv .md) chooses the format without --format.",
    )(command)
    return click.option("--format", "format_", type=click.Choice(FORMATS), help=FORMAT_HELP)(command)


def message_options(quiet: str) -> Callable[[Command], Command]:
    """``--warnings`` and ``--quiet``, which ``quiet`` says the help of."""

    def decorated(command: Command) -> Command:
        command = click.option("--quiet", is_flag=True, help=quiet)(command)
        return click.option("--warnings", "all_warnings", is_flag=True, help="Print all warnings, not only the first two.")(
            command
        )

    return decorated


def choose_format(format_: str | None, output: str | None) -> str:
    """The format asked for, or that of the file's suffix; raises InputError for a suffix that has none."""
    if format_ is not None:
        return format_
    if output is None or output == "-":
        return "table"
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"'{output}' does not tell its format: end it in {', '.join(SUFFIXES)} or give --format")
    return SUFFIXES[suffix]


def is_screen(format_: str, output: str | None) -> bool:
    """Whether somebody may be watching as the result comes: a table on stdout."""
    return format_ == "table" and output in (None, "-")


def check_folder(output: str | None) -> None:
    """Raises InputError for a file in no folder, before work is done that could not be kept."""
    if output is not None and not Path(output).absolute().parent.is_dir():
        raise InputError(f"cannot write '{output}': No such file or directory")


def deliver(document: Document, format_: str, output: str | None) -> None:
    """Write the document in the format to the file, or to stdout where there is none."""
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
    """Print the texts on stdout, each as it comes, until its reader has seen enough."""

    def write_texts(stream: TextIO) -> None:
        for text in texts:
            stream.write(text)
            stream.flush()

    _print(write_texts)


def _print(to: Callable[[TextIO], object]) -> None:
    stream = sys.stdout
    try:
        to(_replace_unencodable(stream))
        stream.flush()
    except BrokenPipeError:
        # The reader has seen enough (| head). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _replace_unencodable(stream: TextIO) -> TextIO:
    """The stream, writing ``?`` for what its encoding lacks: a name inside a model must not end the command."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    return stream
