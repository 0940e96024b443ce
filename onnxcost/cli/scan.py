"""``onnxcost scan PATH…``: many models, one row each, with a progress bar and a checkpoint to resume from."""

from __future__ import annotations

import gc
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from onnxcost.cli import options
from onnxcost.cli.app import INTERRUPTED, say
from onnxcost.cli.options import (
    DIM,
    SHAPE,
    VALUE,
    Measuring,
    MeasuringCommand,
    MeasuringOption,
    expand_sources,
    measuring_options,
)
from onnxcost.cli.output import FORMAT_HELP, FORMATS, Document, check_folder, choose_format, deliver, stream
from onnxcost.errors import InputError, MeasurementError, OnnxCostError
from onnxcost.files import replace_file
from onnxcost.render.progress import Shown, progress_on
from onnxcost.render.units import exact, plural

if TYPE_CHECKING:
    from onnxcost.comparison.api import LabeledSource
    from onnxcost.render.layout import Line, Screen
    from onnxcost.runtime.protocol import Progress
    from onnxcost.scanning.results import Scan, Scanned


REDRAWN_SECONDS = 0.1


class ScanProgress:
    """Puts the results of a scan into ``results`` as they come, by the keys of their paths, and shows how many there are."""

    def __init__(self, models: Mapping[str, LabeledSource], results: dict[str, Scanned], shown: Shown) -> None:
        self._models, self._results, self._shown = models, results, shown
        self._next_drawn = 0.0

    def watched(self, found: Iterable[Scanned]) -> Iterator[Scanned]:
        """The results."""
        from onnxcost.scanning.results import key_of

        for result in found:
            self._results[key_of(result.path)] = result
            if time.monotonic() >= self._next_drawn:
                self._next_drawn = time.monotonic() + REDRAWN_SECONDS
                self._draw(f"{exact(len(self._results))} of {plural(len(self._models), 'model')}")
            yield result

    def running(self, path: str, progress: Progress) -> None:
        """A model is being measured."""
        from onnxcost.scanning.results import key_of

        which = f"{exact(len(self._results) + 1)} of {exact(len(self._models))}"
        self._draw(f"{which}, {self._models[key_of(path)].label}: {progress.phase}")

    def _draw(self, text: str) -> None:
        from onnxcost.runtime.protocol import Progress

        self._shown(Progress(text, len(self._results) / len(self._models)))


@contextmanager
def save_on_interrupt(results: Mapping[str, Scanned], many: int, resume: str | None) -> Iterator[None]:
    """Where what is inside is interrupted, the results are kept in a file, and the last line on stderr says how to go on."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit) as end:
        done = f"interrupted with {exact(len(results))} of {plural(many, 'model')} done"
        how = (
            "the same command"
            if resume
            else f"the same command with --resume {saved}"
            if (saved := _save_results(results))
            else ""
        )
        say("error", f"{done}: {how} goes on from there" if how else done)
        # Of a KeyboardInterrupt click would make an empty line more.
        raise end if isinstance(end, SystemExit) else click.exceptions.Exit(INTERRUPTED) from None


def _save_results(results: Mapping[str, Scanned]) -> str:
    """The path of a file with the results; "" where there are none, or none can be written."""
    if not results:
        return ""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="onnxcost-scan-", suffix=".jsonl", delete=False) as file:
            file.writelines(result.to_line() for result in results.values())
    except OSError:
        return ""
    return file.name


def warn_of_scan(scan: Scan) -> None:
    """What was assumed or is synthetic, and how many models have warnings or advice: a line each."""
    reports = [row.result.report for row in scan.rows if row.result.report]
    measurements = [each["measurement"] for each in reports if each.get("measurement")]
    dims = [dim for each in reports for dim in each["dims"] if dim["source"] == "assumed"]
    assumed = Counter(f"{dim['name']} = {dim['value']} ({dim['option']})" for dim in dims)
    if assumed:
        say("assumed", ", ".join(f"{text} in {plural(number, 'model')}" for text, number in assumed.most_common()))
    if number := sum(each.get("weights") == "synthesised" for each in measurements):
        say("note", f"{plural(number, 'model')} timed with random weights, as the file lacks them")
    for key, found in (("warnings", reports), ("advice", measurements)):
        if number := sum(bool(each.get(key)) for each in found):
            say("note", f"of {plural(number, 'model')} there is more to know: '{key}' in --format json or jsonl")


def end_scan(scan: Scan, given: Mapping[str, Mapping[str, object]]) -> None:
    """Raises the first of what failed, and says the others: names that no model has, models not counted, models not run."""
    from onnxcost.render.scan import some_labels

    many = plural(len(scan.rows), "model")
    errors: list[OnnxCostError] = list(_check_names(scan, given))
    for error, what, statuses in (
        (InputError, "counted", ("failed", "unfinished")),
        (MeasurementError, "run", ("unmeasured",)),
    ):
        if rows := scan.having(*statuses):
            errors.append(
                error(f"{exact(len(rows))} of {many} could not be {what}: {some_labels([row.label for row in rows])}")
            )
    for other in errors[1:]:
        say("error", str(other))
    if errors:
        raise errors[0]


def _check_names(scan: Scan, given: Mapping[str, Mapping[str, object]]) -> Iterator[OnnxCostError]:
    reports = [row.result.report for row in scan.rows if row.result.report]
    inputs = {each.get("name") for report in reports for each in report["inputs"]}
    dims = {each.get("name") for report in reports for each in report["dims"]}
    for option, names, known in (
        ("--shape", given["shapes"], inputs),
        ("--dim", given["dims"], dims),
        ("--value", given["values"], inputs),
    ):
        if unknown := [name for name in names if name not in known]:
            yield InputError(f"{option} {unknown[0]}: no model that could be counted has it")


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
  onnxcost scan zoo --format jsonl | jq -r '[.path, .totals.macs] | @tsv'
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
    type=options.Whole(1, options.AT_ONCE),
    metavar="N",
    help="Count N models side by side.  [default: one a core]",
)
@click.option("--resume", metavar="FILE", help="Keep each result in FILE as it comes, and do not do again what is there.")
@click.option(
    "--timeout", type=options.Number(above=0, most=options.SECONDS), metavar="S",
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
    from onnxcost.scanning.api import TIMEOUT
    from onnxcost.scanning.results import build_scan, key_of

    chosen = LINES if format_ is None and Path(output or "").suffix.lower() == ".jsonl" else choose_format(format_, output)
    check_folder(output)
    check_folder(resume)
    _refuse_run_options(run, sort)
    given: dict[str, Mapping[str, Any]] = {
        "shapes": options.parse_pairs("--shape", SHAPE, shapes, options.parse_shape),
        "dims": options.parse_pairs("--dim", DIM, dims, options.parse_size),
        "values": options.parse_pairs("--value", VALUE, values, options.parse_value),
    }
    models: dict[str, LabeledSource] = {}
    for source in expand_sources(paths):
        models.setdefault(key_of(source.path), source)
    settings = replace(measuring.settings(), timeout=timeout) if run else None
    asked = {**given, "jobs": jobs, "timeout": timeout or TIMEOUT, "settings": settings, "resume": resume}
    streams = chosen == LINES and output in (None, "-")
    results = _results(models, asked, streams)
    if len(results) < len(models):
        return  # the reader of the stream has seen enough
    found = build_scan(((source.label, results[key]) for key, source in models.items()), sort)
    if not streams:
        _deliver(found, chosen, output)
    if not quiet:
        warn_of_scan(found)
    end_scan(found, given)


def _refuse_run_options(run: bool, sort: str | None) -> None:
    """Raises InputError for an option that would do nothing where nothing is run, and for a metric that there is not."""
    from onnxcost.comparison.candidates import MEASURED, find_metric

    if sort is not None:
        find_metric(sort)
    if run:
        return
    if sort in MEASURED:
        raise InputError(f"--sort {sort} wants --run: that is measured")
    context = click.get_current_context()
    for option in context.command.params:
        is_given = context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE
        if isinstance(option, MeasuringOption) and is_given:
            raise InputError(f"{option.opts[0]} wants --run: it says how the models are run")


def _results(models: Mapping[str, LabeledSource], asked: Mapping[str, Any], streams: bool) -> Mapping[str, Scanned]:
    """The results by the keys of their paths: all of them, unless they are streamed and nobody reads on."""
    from onnxcost.scanning.api import scan

    # What one model leaves behind must not stay for all the others.
    gc.enable()
    results: dict[str, Scanned] = {}
    # A stream and a bar on the same terminal would tear each other.
    bar = nullcontext(Shown(None)) if streams and sys.stdout.isatty() else progress_on(sys.stderr, shows_rest=True)
    with save_on_interrupt(results, len(models), asked["resume"]), bar as shown:
        watch = ScanProgress(models, results, shown)
        with closing(scan([source.path for source in models.values()], on_progress=watch.running, **asked)) as found:
            watched = watch.watched(found)
            if streams:
                stream(result.to_line() for result in watched)
            else:
                deque(watched, maxlen=0)
    return results


def _deliver(scan: Scan, format_: str, output: str | None) -> None:
    from onnxcost.render.scan import scan_csv, scan_json, scan_jsonl, scan_lines, scan_markdown

    if format_ == LINES:
        assert output is not None  # what is printed was streamed
        replace_file(Path(output), scan_jsonl(scan).encode())
        return

    def table(screen: Screen) -> list[Line]:
        return scan_lines(scan, screen)

    writers = (scan_json, scan_csv, scan_markdown)
    deliver(Document(table, *(partial(write, scan) for write in writers)), format_, output)
