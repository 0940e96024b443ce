"""``onnxcost scan PATH…``: many models, one row each, with a progress bar and a checkpoint to resume from."""

from __future__ import annotations

import gc
import os
import sys
import tempfile
import time
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click
from click.core import ParameterSource

from onnxcost.cli import options
from onnxcost.cli.app import INTERRUPTED, say
from onnxcost.cli.options import common_options, expand_sources
from onnxcost.cli.output import FORMAT_HELP, FORMATS, Document, FormatName, Output, check_folder, print_on
from onnxcost.cli.run_options import Measuring, MeasuringCommand, MeasuringOption, measuring_options
from onnxcost.documents import is_whole
from onnxcost.errors import InputError, MeasurementError, OnnxCostError
from onnxcost.files import read_error, replace_file
from onnxcost.render.layout import ProgressBar, progress_on
from onnxcost.render.units import exact, plural
from onnxcost.results import make_document

if TYPE_CHECKING:
    from distributed import Client

    from onnxcost.comparison.api import LabeledSource
    from onnxcost.runtime.protocol import Progress
    from onnxcost.scanning.listing import Shard
    from onnxcost.scanning.results import Scan, Scanned
    from onnxcost.spec import ModelSpec

REDRAWN_SECONDS = 0.1


class ScanProgress:
    """Collects the results of a scan in ``results``, by the keys of their paths, and shows how many there are."""

    def __init__(self, models: Mapping[str, LabeledSource], results: dict[str, Scanned], shown: ProgressBar) -> None:
        self._models, self._results, self._shown = models, results, shown
        self._next_drawn = 0.0

    def collect(self, found: Iterable[Scanned]) -> Iterator[Scanned]:
        """Pass the results through."""
        from onnxcost.scanning.results import key_of

        for result in found:
            self._results[key_of(result.path)] = result
            if time.monotonic() >= self._next_drawn:
                self._next_drawn = time.monotonic() + REDRAWN_SECONDS
                self._draw(f"{exact(len(self._results))} of {plural(len(self._models), 'model')}")
            yield result

    def show_model(self, path: str, progress: Progress) -> None:
        """Show the progress of a model that is being measured."""
        from onnxcost.scanning.results import key_of

        which = f"{exact(len(self._results) + 1)} of {exact(len(self._models))}"
        self._draw(f"{which}, {self._models[key_of(path)].label}: {progress.phase}")

    def _draw(self, text: str) -> None:
        from onnxcost.runtime.protocol import Progress

        self._shown(Progress(text, len(self._results) / len(self._models)))


@contextmanager
def save_on_interrupt(results: Mapping[str, Scanned], many: int, resume: str | None) -> Iterator[None]:
    """On an interrupt, save the results in a file; the last line on stderr says how to continue."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, OnnxCostError) as end:
        done = f"{exact(len(results))} of {plural(many, 'model')} done"
        saved = "" if resume else _save_results(results)
        again = (
            f": the same command{f' with --resume {saved}' if saved else ''} continues from there" if resume or saved else ""
        )
        if isinstance(end, OnnxCostError):  # a cluster was lost
            if not results:
                raise
            raise type(end)(f"{end} ({done}{again})") from None
        say("error", f"interrupted with {done}{again}")
        # For a KeyboardInterrupt click would print an empty line.
        raise end if isinstance(end, SystemExit) else click.exceptions.Exit(INTERRUPTED) from None


def _save_results(results: Mapping[str, Scanned]) -> str:
    """The path of a new file with the results; "" if there are none, or the file cannot be written."""
    if not results:
        return ""
    try:
        with tempfile.NamedTemporaryFile("w", prefix="onnxcost-scan-", suffix=".jsonl", delete=False) as file:
            file.writelines(result.to_line() for result in results.values())
    except OSError:
        return ""
    return file.name


def warn_of_scan(scan: Scan) -> None:
    """Print what was assumed and what is synthetic, and how many models have warnings or advice: a line each."""
    reports = [row.result.report for row in scan.rows if row.result.report]
    measurements = [each["measurement"] for each in reports if each.get("measurement")]
    dims = [dim for each in reports for dim in each["dims"] if dim["source"] == "assumed"]
    assumed = Counter(f"{dim['name']} = {dim['value']} ({dim['option']})" for dim in dims)
    if assumed:
        say("assumed", ", ".join(f"{text} in {plural(number, 'model')}" for text, number in assumed.most_common()))
    if number := sum(each.get("weights") == "synthesised" for each in measurements):
        say("note", f"{plural(number, 'model')} timed with random weights in place of missing ones")
    for key, found in (("warnings", reports), ("advice", measurements)):
        if number := sum(bool(each.get(key)) for each in found):
            say("note", f"{plural(number, 'model')} with {key}: see '{key}' in --format json or jsonl")


def end_scan(scan: Scan, spec: ModelSpec) -> None:
    """Raise the first failure after printing the others: names that no model has, models not counted, models not run."""
    from onnxcost.render.scan import some_labels

    many = plural(len(scan.rows), "model")
    errors: list[OnnxCostError] = list(_check_names(scan, spec))
    kinds = ((InputError, "counted", ("failed", "unfinished")), (MeasurementError, "run", ("unmeasured",)))
    for error, what, statuses in kinds:
        if rows := scan.having(*statuses):
            labels = some_labels([row.label for row in rows])
            errors.append(error(f"{exact(len(rows))} of {many} could not be {what}: {labels}"))
    for other in errors[1:]:
        say("error", str(other))
    if errors:
        raise errors[0]


def _check_names(scan: Scan, spec: ModelSpec) -> Iterator[OnnxCostError]:
    reports = [row.result.report for row in scan.rows if row.result.report]
    inputs = {each.get("name") for report in reports for each in report["inputs"]}
    dims = {each.get("name") for report in reports for each in report["dims"]}
    shaped = {str(name).rpartition("[")[0] for name in dims if str(name).endswith("]")}
    shapes = [each.get("shape") for report in reports for each in report["inputs"]]
    shaped |= {"" for shape in shapes if shape and tuple(shape) == spec.shapes.get("")}
    for option, names, known in (
        ("--shape", spec.shapes, inputs | shaped),
        ("--dim", spec.dims, dims),
        ("--value", spec.values, inputs),
    ):
        if unknown := [name for name in names if name not in known]:
            text = unknown[0] or "x".join(map(str, spec.shapes[""]))
            yield InputError(f"{option} {text}: no model that could be counted has it")


HELP = """Count many models in parallel, one row each.

A PATH is a file, a folder (all *.onnx in it and in its subfolders), a pattern such as 'v*.onnx', or the URL of one of these.
If a model cannot be counted, its row has the reason, the others are still counted, and the exit code is 2.

With --resume FILE, each result is appended to FILE as a JSON line as soon as it is known. After an interrupt, the same command
continues where it stopped; when rerun later, it counts only new and changed models. Only one scan at a time can use FILE (not
enforced on Windows). --format jsonl prints the same lines as they are produced.

--shard 3/16 runs the third of 16 jobs that share the work, each with its own FILE. With --merge, the PATHs are such files, and
the result is the same as that of a single scan.

With --run, the models are also run and timed, one at a time so that they do not disturb each other. This takes a few seconds
per model. A model that cannot be run is still counted, and the exit code is 3.

\b
Examples:
  onnxcost scan models/
  onnxcost scan models/ --resume scan.jsonl --sort macs
  onnxcost scan models/ --dim batch=8 -o costs.csv
  onnxcost scan zoo --format jsonl | jq -r '[.path, .totals.macs] | @tsv'
  onnxcost scan models/ --run --threads 1 --sort latency
  onnxcost scan models/ --shard 3/16 --resume 3.jsonl
  onnxcost scan --merge *.jsonl -o zoo.jsonl
  onnxcost scan s3://bucket/zoo/ --io 64 --resume zoo.jsonl
"""
LINES = "jsonl"


@click.command(help=HELP, cls=MeasuringCommand)
@click.argument("paths", nargs=-1, metavar="PATH...")
@common_options
@click.option("--files-from", metavar="FILE", help="Read more PATHs from FILE, one per line; - is standard input.")
@click.option(
    "-j", "--jobs", type=options.Whole(1, options.AT_ONCE), metavar="N",
    help="Count N models in parallel.  [default: one per core]",
)  # fmt: skip
@click.option(
    "--io", type=options.Whole(1, options.AT_ONCE), metavar="N",
    help="Fetch up to N models at URLs in parallel, ahead of counting.  [default: 64]",
)  # fmt: skip
@click.option("--shard", metavar="I/N", help="Count only the I-th of N parts of the models.")
@click.option(
    "--cluster",
    metavar="ADDRESS",
    help="Count on a Dask cluster: tcp://HOST:8786, or local:N for N workers here (pip install 'onnxcost[dask]').",
)
@click.option("--merge", is_flag=True, help="Merge files written by --resume or --format jsonl into one result.")
@click.option("--resume", metavar="FILE", help="Append each result to FILE; skip unchanged models already in it.")
@click.option(
    "--timeout", type=options.Number(above=0, most=options.SECONDS), metavar="S",
    help="Stop a model after S seconds.  [default: 300 to count, none to run]",
)  # fmt: skip
@click.option("--sort", metavar="METRIC", help="Sort the models by a metric, best first.  [default: as given]")
@click.option("--format", "format_", type=FormatName((*FORMATS, LINES)), help=FORMAT_HELP)
@click.option("-o", "--output", metavar="FILE", help="Write to FILE. The suffix (.txt .json .jsonl .csv .md) sets the format.")
@click.option("--run/--no-run", default=False, help="Also run and time the models.  [default: --no-run]")
@click.option("--quiet", is_flag=True, help="Do not print warnings or assumptions.")
@measuring_options("batches", "inputs", "timeout")
def scan(
    paths: tuple[str, ...],
    spec: ModelSpec,
    measuring: Measuring,
    files_from: str | None,
    jobs: int | None,
    io: int | None,
    shard: str | None,
    cluster: str | None,
    merge: bool,
    resume: str | None,
    timeout: float | None,
    sort: str | None,
    format_: str | None,
    output: str | None,
    run: bool,
    quiet: bool,
) -> None:
    """Parse, call, render."""
    from onnxcost.scanning.api import IO, TIMEOUT
    from onnxcost.scanning.results import build_scan, key_of

    is_of_lines = format_ is None and Path(output or "").suffix.lower() == ".jsonl"
    out = Output.of(LINES if is_of_lines else format_, output, quiet)
    paths += () if files_from is None else tuple(_read_list(files_from))
    if not paths:
        raise click.MissingParameter(param_hint="'PATH...'", param_type="argument")
    if merge:
        merged = build_scan(_merge(paths, sort), sort)
        _deliver(merged, out)
        if not quiet:
            warn_of_scan(merged)
        end_scan(merged, _spec_of(merged))
        return
    check_folder(resume)
    _refuse_run_options(run, sort)
    if cluster is not None and (jobs is not None or run):
        raise InputError("--cluster uses its own workers and only counts: it cannot be used with --jobs or --run")
    models: dict[str, LabeledSource] = {}
    for source in expand_sources(paths):
        models.setdefault(key_of(source.path), source)
    if shard is not None:
        chosen = parse_shard(shard).select([source.path for source in models.values()], paths)
        models = {key_of(path): models[key_of(path)] for path in chosen}
    settings = replace(measuring.settings(), timeout=timeout) if run else None
    given = {"shapes": spec.shapes, "dims": spec.dims, "values": spec.values}
    how = {"jobs": jobs, "io": io or IO, "timeout": timeout or TIMEOUT, "settings": settings, "resume": resume}
    streams = out.format == LINES and out.path is None
    with _open_cluster(cluster) as client:
        results = _results(models, {**given, **how, "cluster": client}, streams)
    if len(results) < len(models):
        return  # the reader of the stream has closed it
    found = build_scan(((source.label, results[key]) for key, source in models.items()), sort)
    if not streams:
        _deliver(found, out)
    if not quiet:
        warn_of_scan(found)
    # A name that no model of a shard has may be for models of another shard.
    end_scan(found, replace(spec, shapes={}, dims={}, values={}) if shard else spec)


@contextmanager
def _open_cluster(address: str | None) -> Iterator[Client | None]:
    """A client of the cluster at the address, if any; the address of its dashboard is printed."""
    if address is None:
        yield None
        return
    from onnxcost.scanning.cluster import open_client

    with open_client(address) as client:
        say("note", f"the cluster's dashboard: {client.dashboard_link}")
        yield client


def _read_list(path: str) -> list[str]:
    """The lines of a file that are not empty. Raises InputError if it cannot be read."""
    try:
        content = sys.stdin.buffer.read() if path == "-" else Path(path).read_bytes()
    except (OSError, ValueError) as error:
        raise read_error(error, path) from None
    return [os.fsdecode(line) for line in content.splitlines() if line.strip()]


def parse_shard(text: str) -> Shard:
    """The shard I/N. Raises InputError unless 1 ≤ I ≤ N."""
    from onnxcost.scanning.listing import Shard

    number, _, count = text.partition("/")
    if not (is_whole(number) and is_whole(count)):
        raise InputError(f"--shard expects I/N, as in 3/16, not '{text}'")
    return Shard.of(int(number), int(count))


def _spec_of(scan: Scan) -> ModelSpec:
    """The options for the models, according to the results."""
    from onnxcost.spec import ModelSpec

    given = scan.rows[0].result.options if scan.rows else {}
    shapes = {name: tuple(shape) for name, shape in given.get("shapes", {}).items()}
    return ModelSpec(None, shapes, given.get("dims", {}), given.get("values", {}))


def _given_options() -> Iterator[click.Parameter]:
    """The options on the command line."""
    context = click.get_current_context()
    for option in context.command.params:
        if context.get_parameter_source(option.name or "") is ParameterSource.COMMANDLINE:
            yield option


def _merge(paths: Sequence[str], sort: str | None) -> Iterator[tuple[str, Scanned]]:
    """The results in the files, with their labels. Raises InputError for options that have no effect on results."""
    from onnxcost.comparison.candidates import find_metric, label_paths
    from onnxcost.scanning.checkpoint import merge_checkpoints

    if sort is not None:
        find_metric(sort)
    for option in _given_options():
        if option.name not in ("paths", "files_from", "merge", "sort", "format_", "output", "quiet"):
            raise InputError(f"{option.opts[0]} has no effect with --merge, which does not count models")
    results = merge_checkpoints(paths)
    return zip(label_paths([result.path for result in results]), results, strict=True)


def _refuse_run_options(run: bool, sort: str | None) -> None:
    """Raises InputError for an unknown metric, and without --run for an option that would have no effect."""
    from onnxcost.comparison.candidates import MEASURED, find_metric

    if sort is not None:
        find_metric(sort)
    if run:
        return
    if sort in MEASURED:
        raise InputError(f"--sort {sort} needs --run")
    for option in _given_options():
        if isinstance(option, MeasuringOption):
            raise InputError(f"{option.opts[0]} needs --run")


def _results(models: Mapping[str, LabeledSource], arguments: Mapping[str, Any], streams: bool) -> Mapping[str, Scanned]:
    """The results by the keys of their paths: all of them, unless they are streamed and the reader stops."""
    from onnxcost.scanning.api import scan

    # The garbage of one model must not remain during all the others.
    gc.enable()
    results: dict[str, Scanned] = {}
    # A stream and a progress bar on the same terminal would garble each other.
    bar = nullcontext(ProgressBar(None)) if streams and sys.stdout.isatty() else progress_on(sys.stderr)
    with save_on_interrupt(results, len(models), arguments["resume"]), bar as shown:
        progress = ScanProgress(models, results, shown)
        with closing(
            scan([source.listed or source.path for source in models.values()], on_progress=progress.show_model, **arguments)
        ) as found:
            collected = progress.collect(found)

            def write_lines(stream: TextIO) -> None:
                for result in collected:
                    stream.write(result.to_line())
                    stream.flush()

            if streams:
                print_on(write_lines)
            else:
                deque(collected, maxlen=0)
    return results


def _deliver(scan: Scan, out: Output) -> None:
    from onnxcost.render import scan as formats

    if out.format == LINES:
        lines = [row.result.to_line() for row in scan.rows]
        if out.path is None:
            print_on(lambda stream: stream.writelines(lines))
        else:
            replace_file(Path(out.path), "".join(lines).encode())
        return
    out.deliver(
        Document(
            table=partial(formats.scan_lines, scan),
            json=lambda: make_document(models=[row.result.to_dict() for row in scan.rows]),
            csv=partial(formats.scan_csv, scan),
            markdown=partial(formats.scan_markdown, scan),
        )
    )
