"""MODEL and what is said of its inputs: the arguments that every command on a model takes."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from onnxcost.cli import arguments
from onnxcost.errors import InputError

if TYPE_CHECKING:
    from onnxcost.formulas import FormulaTable

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

MANY = "'onnxcost scan', a row for each, and 'onnxcost compare'"
SHAPE, DIM, VALUE, TRIPS = "INPUT=1x3x224x224", "SYMBOL=8", "INPUT=16000", "LOOP=100"

OPTIONS: tuple[Decorator, ...] = (
    click.argument("model"),
    # What the usage line does not show: to say which commands take many models.
    click.argument("others", nargs=-1, metavar=""),
    click.option("--shape", "shapes", multiple=True, metavar=SHAPE, help="Fix an input's shape; repeatable."),
    click.option("--dim", "dims", multiple=True, metavar=DIM, help="Fix a dynamic dim by its name; repeatable."),
    click.option(
        "--value",
        "values",
        multiple=True,
        metavar=VALUE,
        help="Fix an input's value where it decides shapes or branches: a number, a list 1,2,3 or a .npy file; repeatable.",
    ),
    click.option("--trips", multiple=True, metavar=TRIPS, help="Say how often a Loop runs, by its name; repeatable."),
    click.option(
        "--formulas",
        metavar="FILE.py",
        help="Count more operators: the table FORMULAS of a Python file, which is executed. So are installed packages that "
        "register formulas, for operators that onnxcost does not know.",
    ),
)


class Asked(NamedTuple):
    """A model, and the arguments that ``onnxcost.estimate`` and ``onnxcost.measure`` both take."""

    source: str | bytes
    shapes: Mapping[str, tuple[int, ...]]
    dims: Mapping[str, int]
    values: Mapping[str, Any]
    trips: Mapping[str, int]
    formulas: FormulaTable | None

    @property
    def arguments(self) -> dict[str, Any]:
        """All but the source, by their names."""
        return {name: value for name, value in self._asdict().items() if name != "source"}


def model_options(command: Command) -> Command:
    """The options of OPTIONS; the command gets them as ``asked``."""

    def with_asked(
        *,
        model: str,
        others: tuple[str, ...],
        shapes: tuple[str, ...],
        dims: tuple[str, ...],
        values: tuple[str, ...],
        trips: tuple[str, ...],
        formulas: str | None,
        **own: Any,
    ) -> Any:
        if others:
            raise InputError(f"one MODEL at a time, not '{others[0]}' as well: for many there are {MANY}")
        return command(asked=asked_of(model, shapes, dims, values, trips, formulas), **own)

    return with_options(OPTIONS, wraps(command)(with_asked))


def asked_of(
    model: str,
    shapes: Iterable[str],
    dims: Iterable[str],
    values: Iterable[str],
    trips: Iterable[str],
    formulas: str | None,
) -> Asked:
    """What the options say. Raises InputError for what is not written as they are, and for a model that is not there."""
    return Asked(
        _source(model),
        arguments.pairs("--shape", SHAPE, shapes, arguments.shape),
        arguments.pairs("--dim", DIM, dims, arguments.size),
        arguments.pairs("--value", VALUE, values, arguments.value),
        arguments.pairs("--trips", TRIPS, trips, arguments.size),
        _with_own(formulas) if formulas else None,
    )


def with_options(options: Iterable[Decorator], command: Command) -> Command:
    """The command with the options, in their order."""
    for option in reversed([*options]):
        command = option(command)
    return command


def _with_own(path: str) -> FormulaTable:
    from onnxcost.formulas import FORMULAS
    from onnxcost.formulas.sources import from_file, installed

    return {**installed(), **FORMULAS, **from_file(path)}


def _source(model: str) -> str | bytes:
    """The model's path; its bytes where it comes through a pipe, which can be read only once."""
    from onnxcost.files import is_pipe
    from onnxcost.frontend.byte_source import read_stream

    if model == "-":
        if sys.stdin is None or sys.stdin.isatty():
            raise InputError("standard input is closed or a terminal: pipe a model into 'onnxcost -'")
        return read_stream(sys.stdin.buffer)
    if is_pipe(model):
        return read_stream(model)
    group = click.get_current_context().find_root().command
    commands = group.list_commands(click.get_current_context()) if isinstance(group, click.Group) else []
    if os.path.isdir(model):  # noqa: PTH112  # pathlib costs start-up time
        raise InputError(f"'{model}' is a directory: 'onnxcost scan {model}' counts all models in it")
    return arguments.checked_path(model, commands)
