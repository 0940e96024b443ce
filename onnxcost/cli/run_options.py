"""The options of commands that run models."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from onnxcost.cli.options import (
    AT_ONCE,
    SECONDS,
    Command,
    Decorator,
    Number,
    Whole,
    parse_pairs,
    parse_size,
    with_options,
)
from onnxcost.errors import InputError
from onnxcost.spec import parse_input_files

if TYPE_CHECKING:
    from onnxcost.measurement import Settings

OPTION, BATCHES = "KEY=VALUE", "1,2,4,8"
DEFAULT_PROVIDER = "cpu"
OPTIMIZATIONS = ("none", "basic", "extended", "all")


class MeasuringOption(click.Option):
    """An option that ``--help`` lists under "Measuring"."""


class MeasuringCommand(click.Command):
    """A command whose ``--help`` has a separate heading for the options on how the model is run."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write both lists."""
        for heading, is_measuring in (("Options", False), ("Measuring", True)):
            options = [param for param in self.get_params(ctx) if isinstance(param, click.Option)]
            of_it = [option for option in options if isinstance(option, MeasuringOption) == is_measuring]
            records = [record for option in of_it if (record := option.get_help_record(ctx))]
            with formatter.section(heading):
                formatter.write_dl(records)


def _option(*names: str, **attributes: Any) -> Decorator:
    return click.option(*names, cls=MeasuringOption, **attributes)


MOST_RUNS = 10**9
MEASURING_OPTIONS: Mapping[str, Decorator] = {
    "provider": _option(
        "--provider", default=DEFAULT_PROVIDER, metavar="NAME", help="cpu, cuda, tensorrt, openvino, …  [default: cpu]"
    ),
    "provider_options": _option(
        "--provider-option",
        "provider_options",
        multiple=True,
        metavar=OPTION,
        help="Set an option of the provider; repeatable.",
    ),
    "threads": _option(
        "--threads", type=Whole(1, AT_ONCE), metavar="N", help="Number of threads within an operator.  [default: one per core]"
    ),
    "inter_threads": _option(
        "--inter-threads", type=Whole(1, AT_ONCE), metavar="N", help="Number of operators run in parallel.  [default: 1]"
    ),
    "optimization": _option(
        "--optimization", type=click.Choice(OPTIMIZATIONS), default="all", help="Level of graph optimization.  [default: all]"
    ),
    "runs": _option("--runs", type=Whole(1, MOST_RUNS), metavar="N", help="Time N runs.  [default: 2 seconds, at least 10]"),
    "seconds": _option("--seconds", type=Number(most=SECONDS), metavar="S", help="Time runs for at least S seconds."),
    "warmup": _option(
        "--warmup", type=Whole(0, MOST_RUNS), metavar="N", help="Number of runs before timing starts.  [default: until stable]"
    ),
    "timeout": _option("--timeout", type=Number(above=0, most=SECONDS), metavar="S", help="Stop after S seconds."),
    "concurrency": _option("--concurrency", type=Whole(1, AT_ONCE), default=1, metavar="N", help="Run N streams in parallel."),
    "seed": _option("--seed", type=Whole(0), default=0, metavar="N", help="Seed for the synthetic inputs."),
    "arena": _option(
        "--arena/--no-arena",
        default=None,
        help="Load the model a second time to measure the arena's peak.  [default: if that is quick]",
    ),
    "inputs": _option(
        "--input",
        "inputs",
        multiple=True,
        metavar="NAME=FILE",
        help="Use a .npy or .npz file as input; repeatable. Several files for one NAME are used in turn. An .npz file with all "
        "inputs needs no NAME.",
    ),
    "batches": _option("--batches", metavar=BATCHES, help="Measure each of these batch sizes."),
}
"""By the name of the parameter, which is the field's name for fields of Settings."""


class Measuring(NamedTuple):
    """How to run a model: the fields of Settings that were given, and batch sizes."""

    changes: Mapping[str, Any]
    batches: tuple[int, ...] = ()

    def settings(self) -> Settings:
        """The settings, made on demand so that their module is imported late."""
        from onnxcost.measurement import Settings

        return Settings(**self.changes)


def measuring_options(*without: str) -> Decorator:
    """Add MEASURING_OPTIONS except for some; the command gets them as ``measuring``, and input files in its ``spec``."""
    options = {name: option for name, option in MEASURING_OPTIONS.items() if name not in without}

    def decorated(command: Command) -> Command:
        def with_measuring(**given: Any) -> Any:
            own = {name: given.pop(name) for name in options}
            if files := own.pop("inputs", ()):
                given["spec"] = replace(given["spec"], inputs=parse_input_files(files))
            batches = _batches(own.pop("batches", None))
            if own["provider"] != DEFAULT_PROVIDER:
                from onnxcost.runtime.providers import find_provider

                own["provider"] = find_provider(own["provider"]).name
            own["provider_options"] = parse_pairs("--provider-option", OPTION, own["provider_options"], str)
            return command(measuring=Measuring(own, batches), **given)

        return with_options(options.values(), wraps(command)(with_measuring))

    return decorated


def _batches(given: str | None) -> tuple[int, ...]:
    if given is None:
        return ()
    try:
        sizes = tuple(map(parse_size, given.split(",")))
    except ValueError:
        sizes = (0,)
    if 0 in sizes or len(set(sizes)) < len(sizes):
        raise InputError(f"--batches expects sizes of 1 or more, each once, such as {BATCHES}, not '{given}'")
    return sizes
