"""Options that several commands share: the model, its inputs, and how it is run; and the parsing of their values."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from glob import has_magic
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import click
from click.core import ParameterSource

from onnxcost.cli.app import note
from onnxcost.documents import MOST_WHOLE, is_whole, parse_number
from onnxcost.errors import InputError, did_you_mean
from onnxcost.files import did_you_mean_file, is_pipe, match_paths, models_in
from onnxcost.remote.models import Listed, list_models
from onnxcost.remote.urls import is_remote, redact
from onnxcost.spec import ModelSource, ModelSpec, load_array, model_in

if TYPE_CHECKING:
    from onnxcost.comparison.api import LabeledSource
    from onnxcost.formulas import FormulaTable

Command = Callable[..., Any]
Decorator = Callable[[Command], Command]

MANY = "'onnxcost scan' (one row each) or 'onnxcost compare'"
SHAPE, DIM, VALUE, TRIPS = "INPUT=1x3x224x224", "SYMBOL=8", "INPUT=16000", "LOOP=100"

DOWNLOADS = "onnxcost.download"
"""The key of a command's context that says whether models at URLs are downloaded."""


def _note_download(context: click.Context, _: click.Parameter, is_given: bool) -> None:
    context.meta[DOWNLOADS] = is_given


DOWNLOAD = click.option(
    "--download",
    is_flag=True,
    expose_value=False,
    callback=_note_download,
    help="Download the whole model at a URL, to run it. By default, only models up to 64 MB.",
)
MODEL_OPTIONS: tuple[Decorator, ...] = (
    click.argument("model", required=False, metavar="MODEL"),
    # Not in the usage line: with a second model, the error names the commands that take several.
    click.argument("others", nargs=-1, metavar=""),
    click.option(
        "--shape",
        "shapes",
        multiple=True,
        metavar=SHAPE,
        help="Set the shape of an input, or of an unknown operator's output; repeatable. INPUT= can be omitted if the "
        "shape fits only one input.",
    ),
    click.option("--dim", "dims", multiple=True, metavar=DIM, help="Set a dynamic dim by name; repeatable."),
    click.option(
        "--value",
        "values",
        multiple=True,
        metavar=VALUE,
        help="Set an input's value, where shapes or branches depend on it: a number, a list 1,2,3 or a .npy file; repeatable.",
    ),
    click.option("--trips", multiple=True, metavar=TRIPS, help="Set the number of iterations of a Loop by name; repeatable."),
    click.option(
        "--formulas",
        metavar="FILE.py",
        help="Count more operators, with the table FORMULAS of a Python file, which is executed. Installed packages that "
        "register formulas are also executed, for operators that onnxcost does not know.",
    ),
    DOWNLOAD,
)

COMMON_OPTIONS: tuple[Decorator, ...] = (
    click.option("--shape", "shapes", multiple=True, metavar=SHAPE, help="Set an input's shape in the models that have it."),
    click.option("--dim", "dims", multiple=True, metavar=DIM, help="Set a dynamic dim in the models that have it."),
    click.option("--value", "values", multiple=True, metavar=VALUE, help="Set an input's value in the models that have it."),
)
"""Options of commands that take several models."""


def model_options(command: Command) -> Command:
    """Add MODEL_OPTIONS; the command gets them as ``spec`` and ``formulas``."""

    def with_model(*, model: str | None, others: tuple[str, ...], formulas: str | None, **given: Any) -> Any:
        if model is None:
            raise click.MissingParameter(param_hint="'MODEL'", param_type="argument")
        given_shapes = given["shapes"]
        # A mistyped command is taken for a model: report first that it is not one.
        spec = take_spec(given, read_source(model))
        if others:
            if given_shapes and re.search(r"=[0-9]+([x×,*][0-9]+)+$", others[0]):
                raise InputError(
                    f"'{others[0]}' is not a model: put --shape 'INPUT=1x3x{{320,640}}' in quotes, as shells expand braces"
                )
            raise InputError(f"only one MODEL is allowed, but got '{redact(others[0])}' too: for several, use {MANY}")
        return command(spec=spec, formulas=load_formulas(formulas), **given)

    return with_options(MODEL_OPTIONS, wraps(command)(with_model))


def common_options(command: Command) -> Command:
    """Add COMMON_OPTIONS; the command gets them as ``spec``, without a source."""

    def with_common(**given: Any) -> Any:
        return command(spec=take_spec(given, None), **given)

    return with_options(COMMON_OPTIONS, wraps(command)(with_common))


def take_spec(given: dict[str, Any], source: ModelSource | None) -> ModelSpec:
    """A spec from the options in ``given``, which are removed from it. Raises InputError for invalid values, for several sizes,
    and for a shape without a name that fits no input or several.
    """
    if several := find_several(given):
        takes = "only 'onnxcost estimate', 'measure' and 'budget' accept them, for one MODEL"
        raise InputError(f"{several[0]} asks for several sizes: {takes}")
    shapes: Mapping[str, Sequence[int]] = parse_shapes(given.pop("shapes"))
    if source is not None and "" in shapes:
        from onnxcost.frontend.dims import name_shape

        shapes = name_shape(source, shapes)
    return ModelSpec(
        source,
        shapes,
        parse_pairs("--dim", DIM, given.pop("dims"), parse_size),
        parse_pairs("--value", VALUE, given.pop("values"), parse_value),
        parse_pairs("--trips", TRIPS, given.pop("trips", ()), parse_size),
    )


def with_options(options: Iterable[Decorator], command: Command) -> Command:
    """The command with the options, in their order."""
    for option in reversed([*options]):
        command = option(command)
    return command


def refuse_others(taken: Iterable[str], beside: str) -> None:
    """Raises InputError if a parameter was given that is not one of ``taken``, the ones that ``beside`` allows."""
    context = click.get_current_context()
    for param in context.command.params:
        name = param.name or ""
        is_given = context.params.get(name) and context.get_parameter_source(name) == ParameterSource.COMMANDLINE
        if is_given and name not in taken:
            if isinstance(param, click.Argument):
                raise InputError(f"{beside} names the models: omit MODEL")
            raise InputError(f"{param.opts[0]} cannot be used with {beside}")


def load_formulas(path: str | None) -> FormulaTable | None:
    """The formulas of the file, and all others; None without a file."""
    if not path:
        return None
    from onnxcost.formulas import FORMULAS, load_file, load_installed

    return {**load_installed(), **FORMULAS, **load_file(path)}


def read_source(model: str) -> str | bytes | BinaryIO:
    """The model's path; for a pipe its bytes, because it can be read only once; for a file on standard input that file.

    Raises InputError for a model that does not exist.
    """
    if model == "-" and (sys.stdin is None or sys.stdin.isatty()):
        raise InputError("standard input is closed or a terminal: pipe a model into 'onnxcost -'")
    if model == "-" or is_pipe(model):
        from onnxcost.frontend.byte_source import position_of, read_stream  # which imports everything that reads models

        if model == "-" and position_of(sys.stdin.buffer) is not None:
            return sys.stdin.buffer
        return read_stream(sys.stdin.buffer if model == "-" else model)
    if os.path.isdir(model):  # noqa: PTH112  # pathlib costs start-up time
        return model_in(model)
    return check_path(model, _list_commands())


def fetch(model: str, most: int | None = None) -> Path:
    """The file of a model at a URL, downloaded with a progress bar on stderr. Raises InputError, also for too many bytes."""
    from onnxcost.remote.downloads import download
    from onnxcost.render.layout import progress_on
    from onnxcost.runtime.protocol import Progress

    with progress_on(sys.stderr) as shown:
        return download(model, lambda done, size: shown(Progress("fetching the model", size and done / size)), most)


def _list_commands() -> list[str]:
    context = click.get_current_context()
    group = context.find_root().command
    return group.list_commands(context) if isinstance(group, click.Group) else []


T = TypeVar("T")


class Whole(click.IntRange):
    """A whole number in ASCII digits: click's own type accepts "1_000" and the digits of every script."""

    def __init__(self, least: int, most: int = MOST_WHOLE) -> None:
        super().__init__(least, most)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; a usage error for any other text."""
        if isinstance(value, str) and not (is_whole(value.strip()) and self.min <= int(value) <= self.max):  # type: ignore[operator]
            self.fail(f"'{value}' is not a whole number from {self.min} to {self.max}", param, ctx)
        return super().convert(value, param, ctx)

    def _describe_range(self) -> str:
        """Empty: ``--help`` would print 0<=x<=9223372036854775807."""
        return ""


class Number(click.FloatRange):
    """A finite number: click's own type accepts "nan", which no range check stops, "inf" and "1_000"."""

    def __init__(self, *, above: float | None = None, most: float | None = None) -> None:
        super().__init__(0 if above is None else above, most, min_open=above is not None)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """The number; a usage error for any other text."""
        if isinstance(value, str):
            try:
                value = parse_number(value)
            except ValueError as error:
                self.fail(str(error), param, ctx)
            try:
                return super().convert(value, param, ctx)
            except click.BadParameter:
                self.fail(f"{value:g} is not in the range {super()._describe_range()}", param, ctx)
        return super().convert(value, param, ctx)

    def _describe_range(self) -> str:
        """Nothing, as for Whole."""
        return ""


SECONDS = 10**9
"""The longest time that an option accepts: clocks and locks have limits."""
AT_ONCE = 4096
"""The most threads or processes that an option accepts."""


def parse_pairs(option: str, example: str, given: Iterable[str], parse: Callable[[str], T]) -> dict[str, T]:
    """``NAME=TEXT`` arguments by name. Raises InputError for one that is not a pair, cannot be parsed, or repeats a name."""
    found: dict[str, T] = {}
    for argument in given:
        name, equals, text = argument.rpartition("=")
        if not (equals and name):
            raise InputError(f"{option} expects {example}, not '{argument}'")
        if name in found:
            raise InputError(f"{option} is given more than once for '{name}'")
        try:
            found[name] = parse(text.strip())
        except ValueError as error:
            raise InputError(f"{option} expects {example}, not '{argument}'{f': {error}' if str(error) else ''}") from None
    return found


def parse_shapes(given: Iterable[str]) -> dict[str, tuple[int, ...]]:
    """``NAME=1x3x224x224`` by name, and ``1x3x224x224`` under ""."""
    found: dict[str, tuple[int, ...]] = {}
    named = [argument for argument in given if not re.fullmatch(r"[0-9]+([x×,*][0-9]+)*", argument.strip())]
    for argument in given:
        if argument not in named:
            if found:
                raise InputError(f"--shape is given twice without a name: add INPUT= to {argument}")
            found[""] = parse_shape(argument.strip())
    return {**found, **parse_pairs("--shape", SHAPE, named, parse_shape)}


def find_several(given: Mapping[str, Any]) -> list[str]:
    """The options ``--dim`` and ``--shape`` with several sizes: ``--dim batch=1,2,4``, ``--shape images=1x3x{320,640}x640``."""
    dims = (text for text in given.get("dims", ()) if re.search("[,{]", text.rpartition("=")[2]))
    shapes = (text for text in given.get("shapes", ()) if "{" in text.rpartition("=")[2])
    return [*(f"--dim {text}" for text in dims), *(f"--shape {text}" for text in shapes)]


def parse_shape(text: str) -> tuple[int, ...]:
    """The shape in ``1x3x224x224`` or ``1,3,224,224``; an empty text is the shape of a scalar."""
    return tuple(map(parse_size, re.split("[x×,*]", text))) if text else ()


def parse_size(text: str) -> int:
    """A dim: digits only, so neither negative nor ``1_000`` nor ``1e3``."""
    if not is_whole(text.strip()):
        raise ValueError("a dim must be a whole number from 0 to 2^63 - 1" if text else "a dim is missing")
    return int(text)


def parse_value(text: str) -> Any:
    """A number, a list of numbers separated by commas, or the array in a .npy file."""
    if text.lower().endswith(".npy"):
        return load_array(text, "")
    return [_number(part) for part in text.rstrip(",").split(",")] if "," in text else _number(text)


def _number(text: str) -> bool | int | float:
    words = {"true": True, "false": False}
    if text.strip().lower() in words:
        return words[text.strip().lower()]
    digits = text.strip().removeprefix("-")
    return int(text) if is_whole(digits) else parse_number(text)


def check_path(path: str, commands: Iterable[str]) -> str:
    """The path, if it exists, even as a broken link, or is a URL; with --download, the model is downloaded.

    Raises InputError for one that does not, with the command or the file that was probably meant.
    """
    if is_remote(path):
        if click.get_current_context().meta.get(DOWNLOADS):
            note(f"use '{fetch(path)}', which has the model")
        return path
    with suppress(OSError, ValueError):
        if Path(path).exists() or Path(path).is_symlink():
            return path
    if hint := did_you_mean(path, commands):
        raise InputError(f"'{path}' is neither a file nor a command{hint}")
    raise InputError(f"there is no file '{path}'{did_you_mean_file(path)}")


def expand_sources(given: Iterable[str]) -> list[LabeledSource]:
    """The models in the given order, without duplicates from folders or patterns.

    Raises InputError for a path that does not exist, and for a folder or a pattern without models.
    """
    from onnxcost.comparison.api import LabeledSource
    from onnxcost.comparison.candidates import label_paths

    paths: list[str] = []
    known: set[str] = set()
    listed: dict[str, Listed] = {}
    for argument in given:
        if is_remote(argument):
            models = list_models(argument)
            listed |= {model.url: model for model in models}
            found = [check_path(model.url, ()) for model in models]
        else:
            found = _expand(argument)
        # Not Path.resolve, which fails for a link to itself.
        paths += found if found == [argument] else [path for path in found if os.path.realpath(path) not in known]
        known.update(map(os.path.realpath, found))
    return [LabeledSource(label, path, listed.get(path)) for label, path in zip(label_paths(paths), paths, strict=True)]


def _expand(argument: str) -> list[str]:
    path = Path(argument)
    if path.is_dir():
        return models_in(argument)
    if has_magic(argument) and not path.exists():
        found = sorted({file for file in match_paths(argument) if Path(file).is_file()})
        if not found:
            raise InputError(f"there is no file '{argument}'")
        return found
    if argument == "-" or is_pipe(argument):
        raise InputError(f"'{argument}' can be read only once: write the model to a file first")
    return [check_path(argument, _list_commands())]
