"""``onnxcost scan PATH…``: many models, a row for each, and a file to go on from."""

from __future__ import annotations

import gc
import sys
from collections import deque
from collections.abc import Mapping
from contextlib import closing, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from onnxcost.cli import arguments
from onnxcost.cli.asked import DIM, SHAPE, VALUE
from onnxcost.cli.measuring import Measuring, MeasuringCommand, MeasuringOption, measuring_options
from onnxcost.cli.output import FORMAT_HELP, FORMATS, Document, check_folder, chosen_format, deliver, stream
from onnxcost.cli.sources import sources_of
from onnxcost.cli.watching import Watch, end, kept, warn
from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.render.progress import Shown, progress_on

if TYPE_CHECKING:
    from onnxcost.comparing import Source
    from onnxcost.render.layout import Line
    from onnxcost.render.screen import Screen
    from onnxcost.scanned import Scan, Scanned

HELP = """Count many models, several side by side: a row for each.

A PATH is a file, a folder (all *.onnx in it and in the folders inside it) or a pattern such as 'v*.onnx'. A model that cannot
be counted is a row with the reason; when all others are done, the exit code is 2.

With --resume FILE each result is a JSON line in FILE as soon as it is there. The same command goes on where it was
interrupted, however that was; later it counts what is new or changed. One scan at a time can use FILE (Windows does not see to
that). --format jsonl prints the same lines as they come.

With --run the models are run and timed as well, one after the other, so that none disturbs the timing of another. That takes
some seconds for each; one that cannot be run is counted all the same, and the exit code is 3.

\b
Examples:
  onnxcost scan models/
  onnxcost scan models/ --resume scan.jsonl --sort macs
  onnxcost scan models/ --dim batch=8 -o costs.csv
  onnxcost scan 'zoo/**/*.onnx' --format jsonl | jq -r '[.path, .totals.macs] | @tsv'
  onnxcost scan models/ --run --threads 1 --sort latency
"""
LINES = "jsonl"


@click.command(help=HELP, cls=MeasuringCommand)
@click.argument("paths", nargs=-1, required=True, metavar="PATH...")
@click.option("--shape", "shapes", multiple=True, metavar=SHAPE, help="Fix an input's shape in the models that have it.")
@click.option("--dim", "dims", multiple=True, metavar=DIM, help="Fix a dynamic dim in the models that have it.")
@click.option("--value", "values", multiple=True, metavar=VALUE, help="Fix an input's value in the models that have it.")
@click.option(
    "-j",
    "--jobs",
    type=arguments.Whole(1, arguments.AT_ONCE),
    metavar="N",
    help="Count N models side by side.  [default: one a core]",
)
@click.option("--resume", metavar="FILE", help="Keep each result in FILE as it comes, and do not do again what is there.")
@click.option(
    "--timeout", type=arguments.Number(above=0, most=arguments.SECONDS), metavar="S",
    help="Give up on a model after S seconds.  [default: 300 to count, none to run]",
)  # fmt: skip
@click.option("--sort", metavar="METRIC", help="Order the models by a metric, the best first.  [default: as given]")
@click.option("--format", "format_", type=click.Choice((*FORMATS, LINES)), help=FORMAT_HELP)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE; its suffix (.txt .json .jsonl .csv .md) tells the format.")
@click.option("--run/--no-run", default=False, help="Run and time the models, or only count them.  [default: --no-run]")
@click.option("--quiet", is_flag=True, help="Print no warnings and assumptions on stderr.")
@measuring_options("batches", "inputs", "timeout")
def scan(
    paths: tuple[str, ...],
    measuring: Measuring,
    shapes: tuple[str, ...],
    dims: tuple[str, ...],
    values: tuple[str, ...],
    jobs: int | None,
    resume: str | None,
    timeout: float | None,
    sort: str | None,
    format_: str | None,
    output: str | None,
    run: bool,
    quiet: bool,
) -> None:
    """Parse, call, render."""
    from onnxcost.scanned import key_of, scan_of
    from onnxcost.scanning.scanning import TIMEOUT

    chosen = LINES if format_ is None and Path(output or "").suffix.lower() == ".jsonl" else chosen_format(format_, output)
    check_folder(output)
    check_folder(resume)
    _refuse_what_wants_a_run(run, sort)
    given: dict[str, Mapping[str, Any]] = {
        "shapes": arguments.pairs("--shape", SHAPE, shapes, arguments.shape),
        "dims": arguments.pairs("--dim", DIM, dims, arguments.size),
        "values": arguments.pairs("--value", VALUE, values, arguments.value),
    }
    models: dict[str, Source] = {}
    for source in sources_of(paths):
        models.setdefault(key_of(source.path), source)
    settings = replace(measuring.settings(), timeout=timeout) if run else None
    asked = {**given, "jobs": jobs, "timeout": timeout or TIMEOUT, "settings": settings, "resume": resume}
    streams = chosen == LINES and output in (None, "-")
    results = _results(models, asked, streams)
    if len(results) < len(models):
        return  # the reader of the stream has seen enough
    found = scan_of(((source.label, results[key]) for key, source in models.items()), sort)
    if not streams:
        _deliver(found, chosen, output)
    if not quiet:
        warn(found)
    end(found, given)


def _refuse_what_wants_a_run(run: bool, sort: str | None) -> None:
    """Raises InputError for an option that would do nothing where nothing is run, and for a metric that there is not."""
    from onnxcost.comparison.metrics import MEASURED, metric_named

    if sort is not None:
        metric_named(sort)
    if run:
        return
    if sort in MEASURED:
        raise InputError(f"--sort {sort} wants --run: that is measured")
    context = click.get_current_context()
    for option in context.command.params:
        is_given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if isinstance(option, MeasuringOption) and is_given:
            raise InputError(f"{option.opts[0]} wants --run: it says how the models are run")


def _results(models: Mapping[str, Source], asked: Mapping[str, Any], streams: bool) -> Mapping[str, Scanned]:
    """The results by the keys of their paths: all of them, unless they are streamed and nobody reads on."""
    from onnxcost.scanning.scanning import scan

    # What one model leaves behind must not stay for all the others.
    gc.enable()
    results: dict[str, Scanned] = {}
    # A stream and a bar on the same terminal would tear each other.
    bar = nullcontext(Shown(None)) if streams and sys.stdout.isatty() else progress_on(sys.stderr, shows_rest=True)
    with kept(results, len(models), asked["resume"]), bar as shown:
        watch = Watch(models, results, shown)
        with closing(scan([source.path for source in models.values()], on_progress=watch.running, **asked)) as found:
            watched = watch.watched(found)
            if streams:
                stream(result.to_line() for result in watched)
            else:
                deque(watched, maxlen=0)
    return results


def _deliver(scan: Scan, format_: str, output: str | None) -> None:
    from onnxcost.render import scanned_formats

    if format_ == LINES:
        assert output is not None  # what is printed was streamed
        replace_file(Path(output), scanned_formats.scan_jsonl(scan).encode())
        return

    def table(screen: Screen) -> list[Line]:
        from onnxcost.render.scanned import scan_lines

        return scan_lines(scan, screen)

    writers = (scanned_formats.scan_json, scanned_formats.scan_csv, scanned_formats.scan_markdown)
    deliver(Document(table, *(partial(write, scan) for write in writers)), format_, output)
