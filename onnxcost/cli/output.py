"""Where results go: which format, to stdout or, whole or not at all, to a file."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple, TextIO, TypeVar

import click

from onnxcost.errors import InputError
from onnxcost.render.layout import Line
from onnxcost.render.screen import Screen, screen_of, text_of, write

FORMATS = ("table", "json", "csv", "markdown")
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
    return click.option("--format", "format_", type=click.Choice(FORMATS), help="How to print the result.  [default: table]")(
        command
    )


def chosen_format(format_: str | None, output: str | None) -> str:
    """The format asked for, or that of the file's suffix; raises InputError for a suffix that has none."""
    if format_ is not None:
        return format_
    if output is None or output == "-":
        return "table"
    suffix = Path(output).suffix.lower()
    if suffix not in SUFFIXES:
        raise InputError(f"'{output}' does not tell its format: end it in {', '.join(SUFFIXES)} or give --format")
    return SUFFIXES[suffix]


def deliver(document: Document, format_: str, output: str | None) -> None:
    """Write the document in the format to the file, or to stdout where there is none."""
    if output is not None and output != "-":
        _write_file(
            text_of(document.table(screen_of(None))) if format_ == "table" else getattr(document, format_)(), Path(output)
        )
        return
    stream = sys.stdout
    try:
        if format_ == "table":
            screen = screen_of(stream)
            write(document.table(screen), _forgiving(stream), screen)
        else:
            _forgiving(stream).write(getattr(document, format_)())
        stream.flush()
    except BrokenPipeError:
        # The reader has seen enough (| head). Python would complain once more when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _forgiving(stream: TextIO) -> TextIO:
    """The stream, writing ``?`` for what its encoding lacks: a name inside a model must not end the command."""
    if hasattr(stream, "reconfigure"):
        stream.reconfigure(errors="replace")
    return stream


def _write_file(text: str, path: Path) -> None:
    """Replace the file at once, so that it is never half-written; a device or pipe is written to directly."""
    import tempfile

    try:
        if path.exists() and not path.is_file():
            path.write_text(text, encoding="utf-8")
            return
        target = path.resolve()
        mode = target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask()
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", newline="\n", dir=target.parent, delete=False) as part:
            try:
                part.write(text)
                part.close()
                os.chmod(part.name, mode)  # noqa: PTH101
                os.replace(part.name, target)  # noqa: PTH105
            except BaseException:
                Path(part.name).unlink(missing_ok=True)
                raise
    except OSError as error:
        raise InputError(f"cannot write '{path}': {error.strerror or error}") from error


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
