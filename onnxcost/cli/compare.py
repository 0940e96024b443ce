"""``onnxcost compare A B …``: models side by side, why they differ, and a gate on what may grow."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from onnxcost.cli import arguments
from onnxcost.cli.asked import DIM, SHAPE, VALUE
from onnxcost.cli.measuring import Measuring, MeasuringCommand, measuring_options
from onnxcost.cli.output import Document, check_folder, chosen_format, deliver, output_options
from onnxcost.cli.running import survived
from onnxcost.cli.sources import sources_of
from onnxcost.cli.verdict import Run, end, warn
from onnxcost.comparing import Given, Read, comparison_of, read
from onnxcost.contest import Timings, checked, refuse_too_few, timed, untimed
from onnxcost.conventions import CONVENTIONS
from onnxcost.render.progress import progress_on

if TYPE_CHECKING:
    from onnxcost.comparison.agreement import Agreement
    from onnxcost.comparison.candidates import Broken, Comparison
    from onnxcost.comparison.differences import Differences
    from onnxcost.measurement import Settings
    from onnxcost.render.layout import Line
    from onnxcost.render.screen import Screen

HELP = """Compare models: what each costs, how fast it is, which is the best, and why the others differ from the first.

A MODEL is a file, a folder (all *.onnx in it), a pattern such as 'v*.onnx', or a report that was saved as JSON with
'onnxcost MODEL -o cost.json'; all may be mixed.

The models are timed by turns (A B C A B C ...), so that all meet the same machine. Of each the ratio of its latency to the
first one's is given with its 95 % confidence interval; no difference is seen where that has 1 in it. It takes in that two
processes of one model differ by up to 0.5 %. A saved report keeps the latency that it was saved with.

With --check-outputs all models are run on the same inputs. Inputs and outputs are matched by name, else by position, type
and shape; NCHW is transposed to NHWC and back. An output's relative difference is the largest difference between two elements,
divided by the largest magnitude in the first model's output.

\b
Examples:
  onnxcost compare pytorch.onnx keras.onnx --check-outputs
  onnxcost compare models/ --sort latency --pareto macs,latency
  onnxcost compare models/ --no-run --sort macs --no-explain
  onnxcost compare a.onnx b.onnx --dim batch=8 -o comparison.md
  onnxcost compare baseline.json model.onnx --max-increase flops=1%
  onnxcost compare fp32.onnx int8.onnx --max-difference 0.05 --no-run
"""
LIMIT, METRICS_LIST = "METRIC=LIMIT", "METRIC,METRIC"
MOST_EXPLAINED = 4


@click.command(help=HELP, cls=MeasuringCommand)
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--shape", "shapes", multiple=True, metavar=SHAPE, help="Fix an input's shape in the models that have it.")
@click.option("--dim", "dims", multiple=True, metavar=DIM, help="Fix a dynamic dim in the models that have it.")
@click.option("--value", "values", multiple=True, metavar=VALUE, help="Fix an input's value in the models that have it.")
@click.option("--convention", type=click.Choice(list(CONVENTIONS)), default="flops", help="What to explain differences in.")
@click.option("--sort", metavar="METRIC", help="Order the models by a metric, the best first.  [default: as given]")
@click.option("--pareto", metavar=METRICS_LIST, help="Mark the models that no other beats in all of these metrics.")
@click.option(
    "--explain/--no-explain",
    default=None,
    help=f"Say why the others differ from the first.  [default: up to {MOST_EXPLAINED} models]",
)
@click.option(
    "--max-increase",
    "limits",
    multiple=True,
    metavar=LIMIT,
    help="Exit with 1 if a metric is more than LIMIT above the first model's: 1%, 1MiB, 2ms, 0; repeatable.",
)
@click.option("--check-outputs", "checks", is_flag=True, help="Run all on the same inputs, and compare their outputs.")
@click.option(
    "--max-difference",
    type=arguments.Number(),
    metavar="X",
    help="Exit with 1 if an output's relative difference is above X, such as 1e-3; checks the outputs.",
)
@output_options
@click.option("--no-run", is_flag=True, help="Only count; do not time. Outputs are checked if that is asked for.")
@click.option("--quiet", is_flag=True, help="Print no warnings, assumptions and advice on stderr.")
@measuring_options("batches", "concurrency")
def compare(
    models: tuple[str, ...],
    measuring: Measuring,
    shapes: tuple[str, ...],
    dims: tuple[str, ...],
    values: tuple[str, ...],
    convention: str,
    sort: str | None,
    pareto: str | None,
    explain: bool | None,
    limits: tuple[str, ...],
    checks: bool,
    max_difference: float | None,
    format_: str | None,
    output: str | None,
    no_run: bool,
    quiet: bool,
) -> int:
    """Parse, call, render."""
    from onnxcost.comparison.differences import Differences
    from onnxcost.comparison.gate import limit_of
    from onnxcost.comparison.metrics import directed, metric_named

    chosen = chosen_format(format_, output)
    check_folder(output)
    gate = [limit_of(metric, text) for metric, text in arguments.pairs("--max-increase", "flops=1%", limits, str).items()]
    front = directed(pareto.split(","), "--pareto") if pareto is not None else ()
    if sort is not None:
        metric_named(sort)
    given = Given(
        arguments.pairs("--shape", SHAPE, shapes, arguments.shape),
        arguments.pairs("--dim", DIM, dims, arguments.size),
        arguments.pairs("--value", VALUE, values, arguments.value),
        measuring.inputs,
    )
    settings, checks = measuring.settings(), checks or max_difference is not None
    sources = sources_of(models)
    refuse_too_few(sources, checks)
    results = read(sources, given)
    found = _run(results, settings, times=not no_run, checks=checks)
    comparison = comparison_of(results, convention, sort, front, found.timings.by_label, found.agreements)
    explains = len(comparison.candidates) <= MOST_EXPLAINED if explain is None else explain
    differences = [Differences(comparison.baseline, other) for other in comparison.others] if explains else []
    deliver(_document(comparison, differences), chosen, output)
    if not quiet:
        warn(comparison, gate, found)
    return end(comparison, gate, max_difference, found, first=sources[0].label)


def _run(results: Sequence[Read | Broken], settings: Settings, *, times: bool, checks: bool) -> Run:
    """The models run with a progress bar on stderr. What was found before Ctrl-C stands."""
    timings = untimed(results, "interrupted") if times else Timings()
    agreements: Mapping[str, Agreement] = {}
    with survived("not measured") as ended, progress_on(sys.stderr) as shown:
        timings = timed(results, settings, shown) if times else timings
        agreements = checked(results, settings, shown) if checks else agreements
    return Run(timings, agreements, ended.code)


def _document(comparison: Comparison, differences: Sequence[Differences]) -> Document:
    """The comparison in every format; a format's renderer is imported when it is asked for."""

    def table(screen: Screen) -> list[Line]:
        from onnxcost.render.compared import comparison_lines

        return comparison_lines(comparison, differences, screen)

    def json() -> str:
        from onnxcost.render.compared_formats import comparison_json

        return comparison_json(comparison, differences)

    def csv() -> str:
        from onnxcost.render.compared_formats import comparison_csv

        return comparison_csv(comparison)

    def markdown() -> str:
        from onnxcost.render.compared_markdown import comparison_markdown

        return comparison_markdown(comparison, differences)

    return Document(table, json, csv, markdown)
