"""``onnxcost scan PATH…``: many models, a row for each, and a file to go on from."""

from __future__ import annotations

import gc
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from onnxcost.cli import arguments
from onnxcost.cli.asked import DIM, SHAPE, VALUE
from onnxcost.cli.measuring import Measuring, MeasuringCommand, MeasuringOption, measuring_options
from onnxcost.cli.output import FORMATS, Document, check_folder, chosen_format, deliver, stream
from onnxcost.cli.sources import sources_of
from onnxcost.cli.watching import Watch, end, kept, warn
from onnxcost.errors import InputError
from onnxcost.files import replace_file

if TYPE_CHECKING:
    from onnxcost.render.layout import Line
    from onnxcost.render.screen import Screen
    from onnxcost.scanned import Scan

HELP = """Count many models, several side by side: a row for each.

A PATH is a file, a folder (all *.onnx in it and in the folders inside it) or a pattern such as 'v*.onnx'. A model that cannot be
counted is a row with the reason; the exit code is 2 then, when all others are done.

With --resume FILE each result is a JSON line in FILE as soon as it is there. The same command goes on where it was
interrupted, however that was; later it counts what is new or changed. --format jsonl prints the same lines as they come.

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
    "-j", "--jobs", type=click.IntRange(min=1), metavar="N", help="Count N models side by side.  [default: one a core]"
)
@click.option("--resume", metavar="FILE", help="Keep each result in FILE as it comes, and do not do again what is there.")
@click.option(
    "--timeout", type=click.FloatRange(min=0, min_open=True), metavar="S",
    help="Give up on a model after S seconds.  [default: 300 to count, none to run]",
)  # fmt: skip
@click.option("--sort", metavar="METRIC", help="Order the models by a metric, the best first.  [default: as given]")
@click.option("--format", "format_", type=click.Choice((*FORMATS, LINES)), help="How to print the results.  [default: table]")
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
    from onnxcost.scanning import scanning

    # What one model leaves behind must not stay for all the others.
    gc.enable()
    chosen = LINES if format_ is None and Path(output or "").suffix.lower() == ".jsonl" else chosen_format(format_, output)
    check_folder(output)
    check_folder(resume)
    _refuse_what_wants_a_run(run, sort)
    given = {
        "shapes": arguments.pairs("--shape", SHAPE, shapes, arguments.shape),
        "dims": arguments.pairs("--dim", DIM, dims, arguments.size),
        "values": arguments.pairs("--value", VALUE, values, arguments.value),
    }
    sources = {key_of(source.path): source for source in reversed(sources_of(paths))}
    models = list(reversed(sources.values()))
    settings = replace(measuring.settings(), timeout=timeout) if run else None
    streams = chosen == LINES and output in (None, "-")
    watch = Watch([(key, sources[key].label) for key in sources])
    ...
