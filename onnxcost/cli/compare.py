"""``onnxcost compare A B …``: models side by side, why they differ, and a gate on what may grow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import click

from onnxcost.cli import arguments
from onnxcost.cli.asked import DIM, SHAPE, VALUE
from onnxcost.cli.failures import note, say
from onnxcost.cli.output import Document, check_folder, chosen_format, deliver, output_options
from onnxcost.cli.sources import sources_of
from onnxcost.comparing import Read, Timing
from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import CheckFailed, InputError

if TYPE_CHECKING:
    from onnxcost.comparison import Broken, Comparison
    from onnxcost.differences import Differences
    from onnxcost.gate import Limit
    from onnxcost.render.layout import Line
    from onnxcost.render.screen import Screen

HELP = """Compare models: what each costs, which is the best, and why the others differ from the first.

A MODEL is a file, a folder (all *.onnx in it), a pattern such as 'v*.onnx', or a report that was saved as JSON with
'onnxcost MODEL -o cost.json'; all may be mixed.

\b
Examples:
  onnxcost compare pytorch.onnx keras.onnx
  onnxcost compare models/ --sort macs --pareto macs,parameters --no-explain
  onnxcost compare a.onnx b.onnx --dim batch=8 -o comparison.md
  onnxcost compare baseline.json model.onnx --max-increase flops=1%
"""
LIMIT, METRICS_LIST = "METRIC=LIMIT", "METRIC,METRIC"
MOST_EXPLAINED = 4
LATER = "timing several models in alternation is still to come; what is compared is counted, as with --no-run"


@click.command(help=HELP)
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
@output_options
@click.option("--no-run", is_flag=True, help="Only count.")
@click.option("--quiet", is_flag=True, help="Print no warnings and assumptions on stderr.")
def compare(
    models: tuple[str, ...],
    shapes: tuple[str, ...],
    dims: tuple[str, ...],
    values: tuple[str, ...],
    convention: str,
    sort: str | None,
    pareto: str | None,
    explain: bool | None,
    limits: tuple[str, ...],
    format_: str | None,
    output: str | None,
    no_run: bool,
    quiet: bool,
) -> None:
    """Parse, call, render."""
    from onnxcost.comparing import Given, comparison_of, read
    from onnxcost.differences import Differences
    from onnxcost.gate import limit_of
    from onnxcost.metrics import directed, metric_named

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
    )
    sources = sources_of(models)
    if len(sources) < 2:
        raise InputError(f"compare wants two models or more: 'onnxcost {sources[0].path}' shows a single one")
    results = read(sources, given)
    comparison = comparison_of(results, convention, sort, front, _timed(results, no_run))
    explains = len(comparison.candidates) <= MOST_EXPLAINED if explain is None else explain
    differences = [Differences(comparison.baseline, other) for other in comparison.others] if explains else []
    deliver(_document(comparison, differences), chosen, output)
    if not quiet:
        _warn(comparison, gate)
    _check(comparison, gate, first=sources[0].label)


def _timed(results: Sequence[Read | Broken], no_run: bool) -> Mapping[str, Timing]:
    """The models that are no saved reports, measured in alternation: by label. So far there are none."""
    if not no_run and any(isinstance(result, Read) and not result.source.is_saved for result in results):
        note(LATER)
    return {}


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
        from onnxcost.render.compared_formats import comparison_markdown

        return comparison_markdown(comparison, differences)

    return Document(table, json, csv, markdown)


def _warn(comparison: Comparison, gate: Sequence[Limit]) -> None:
    """What keeps the figures from being exact, or from being compared."""
    from onnxcost.gate import bounded
    from onnxcost.saved import conditions_that_differ

    noted: dict[str, list[str]] = {}
    for candidate in comparison.candidates:
        for text in candidate.notes:
            noted.setdefault(text, []).append(candidate.label)
    for text, labels in noted.items():
        say("note", f"{', '.join(labels)}: {text}")
    for condition in conditions_that_differ(comparison.candidates):
        say("warning", f"the latencies are not of the same conditions: {condition}")
    for metric, label in bounded(comparison, gate):
        say("warning", f"--max-increase {metric}: the figure of {label} is a bound, no exact number")


def _check(comparison: Comparison, gate: Sequence[Limit], first: str) -> None:
    """Raises CheckFailed with what grew over its limit, else InputError with what could not be compared."""
    has_first = comparison.baseline.label == first
    grown = _grown(comparison, gate) if gate and has_first else ""
    broken = ""
    if comparison.broken:
        many = len(comparison.broken) + len(comparison.candidates)
        labels = ", ".join(each.label for each in comparison.broken)
        stand_in = "" if has_first else f"; in the first one's place is {comparison.baseline.label}"
        broken = f"{len(comparison.broken)} of {many} models could not be compared: {labels}{stand_in}"
    if grown and broken:
        say("error", broken)
    if grown:
        raise CheckFailed(grown)
    if broken:
        raise InputError(broken)


def _grown(comparison: Comparison, gate: Sequence[Limit]) -> str:
    """A sentence on all that grew over its limit."""
    from onnxcost.gate import excesses
    from onnxcost.render.figures import growth

    grown = [f"{excess.label}: {growth(excess)}" for excess in excesses(comparison, gate)]
    return f"--max-increase: {'; '.join(grown)}" if grown else ""
