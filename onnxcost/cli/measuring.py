"""The options that say how a model is run, and what they mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from onnxcost.cli import arguments
from onnxcost.cli.arguments import AT_ONCE, SECONDS, Number, Whole
from onnxcost.cli.asked import Command, Decorator, with_options
from onnxcost.errors import InputError

if TYPE_CHECKING:
    from onnxcost.measurement import Settings

OPTION, BATCHES = "KEY=VALUE", "1,2,4,8"
DEFAULT_PROVIDER = "cpu"
OPTIMIZATIONS = ("none", "basic", "extended", "all")


class MeasuringOption(click.Option):
    """An option that ``--help`` lists apart, under "Measuring"."""


class MeasuringCommand(click.Command):
    """A command whose ``--help`` has a heading of its own for the options that say how the model is run."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Both lists."""
        for heading, is_measuring in (("Options", False), ("Measuring", True)):
            options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
            of_it = [option for option in options if isinstance(option, MeasuringOption) == is_measuring]
            records = [record for option in of_it if (record := option.get_help_record(ctx))]
            with formatter.section(heading):
                formatter.write_dl(records)


def _option(*names: str, **attributes: Any) -> Decorator:
    return click.option(*names, cls=MeasuringOption, **attributes)


MOST_RUNS = 10**9
OPTIONS: Mapping[str, Decorator] = {
    "provider": _option(
        "--provider", default=DEFAULT_PROVIDER, metavar="NAME", help="cpu, cuda, tensorrt, openvino, …  [default: cpu]"
    ),
    "provider_options": _option(
        "--provider-option", "provider_options", multiple=True, metavar=OPTION, help="An option of the provider's; repeatable."
    ),
    "threads": _option(
        "--threads", type=Whole(1, AT_ONCE), metavar="N", help="Threads inside an operator.  [default: one a core]"
    ),
    "inter_threads": _option(
        "--inter-threads", type=Whole(1, AT_ONCE), metavar="N", help="Operators side by side.  [default: 1]"
    ),
    "optimization": _option(
        "--optimization", type=click.Choice(OPTIMIZATIONS), default="all", help="How far to optimize the graph.  [default: all]"
    ),
    "runs": _option(
        "--runs", type=Whole(1, MOST_RUNS), metavar="N", help="Time N runs.  [default: 10 at least, for 2 seconds]"
    ),
    "seconds": _option("--seconds", type=Number(most=SECONDS), metavar="S", help="Time runs for S seconds at least."),
    "warmup": _option("--warmup", type=Whole(0, MOST_RUNS), metavar="N", help="Runs before.  [default: until stable]"),
    "timeout": _option("--timeout", type=Number(above=0, most=SECONDS), metavar="S", help="Give up after S seconds."),
    "concurrency": _option(
        "--concurrency", type=Whole(1, AT_ONCE), default=1, metavar="N", help="Run in N streams side by side."
    ),
    "seed": _option("--seed", type=Whole(0), default=0, metavar="N", help="Seed of the inputs that are made up."),
    "inputs": _option(
        "--input",
        "inputs",
        multiple=True,
        metavar="NAME=FILE",
        help="Feed a .npy or .npz file; repeatable: several of one name take turns. An .npz of all inputs needs no NAME.",
    ),
    "batches": _option("--batches", metavar=BATCHES, help="Measure at each of these batch sizes."),
}
"""By the name of the parameter; those that are fields of Settings have the field's name."""


class Measuring(NamedTuple):
    """How to run a model: the fields of Settings that were given, files by input name, and batch sizes."""

    changes: Mapping[str, Any]
    inputs: Mapping[str, Sequence[str]]
    batches: tuple[int, ...] = ()

    def settings(self) -> Settings:
        """Made when it is needed, as its module is."""
        from onnxcost.measurement import Settings

        return Settings(**self.changes)


def measuring_options(*without: str) -> Decorator:
    """The options of OPTIONS, save some; the command gets them as ``measuring``."""
    options = {name: option for name, option in OPTIONS.items() if name not in without}

    def decorated(command: Command) -> Command:
        def with_measuring(**given: Any) -> Any:
            own = {name: given.pop(name) for name in options}
            inputs, batches = _inputs(own.pop("inputs", ())), _batches(own.pop("batches", None))
            own["provider"] = _provider(own["provider"])
            own["provider_options"] = arguments.pairs("--provider-option", OPTION, own["provider_options"], str)
            return command(measuring=Measuring(own, inputs, batches), **given)

        return with_options(options.values(), wraps(command)(with_measuring))

    return decorated


def _inputs(given: tuple[str, ...]) -> Mapping[str, Sequence[str]]:
    if not given:
        return {}
    from onnxcost.measuring.inputs.files import named_files

    return named_files(given)


def _provider(name: str) -> str:
    if name == DEFAULT_PROVIDER:
        return name
    from onnxcost.measuring.providers import provider_named

    return provider_named(name).name


def _batches(given: str | None) -> tuple[int, ...]:
    if given is None:
        return ()
    try:
        sizes = tuple(map(arguments.size, given.split(",")))
    except ValueError:
        sizes = (0,)
    if 0 in sizes or len(set(sizes)) < len(sizes):
        raise InputError(f"--batches wants sizes from 1 up, each once, as in {BATCHES}, not '{given}'")
    return sizes
