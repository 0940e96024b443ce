"""``onnxcost estimate MODEL``: the static cost of a model, and what it takes to run it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import INTERRUPTED, say
from onnxcost.cli.options import Measuring, MeasuringCommand, Whole, measuring_options, model_options
from onnxcost.cli.output import Document, check_folder, choose_format, deliver, is_screen, output_options, show
from onnxcost.cli.running import SKIPPED, Outcome, measure_model, trace_model
from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import CheckFailed, InputError
from onnxcost.render.report import SORTS, View

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.render.layout import Line, Screen
    from onnxcost.report import CostReport
    from onnxcost.spec import ModelSpec


HELP = """Count what MODEL costs to run (MACs, FLOPs, parameters, bytes and memory), then run and time it. MODEL is a file, or -
for standard input.

No weights are read to count. Dims that the model leaves open are assumed, and the report says which. Measuring takes about two
seconds, in a process of its own. A model that cannot be run is counted all the same; the exit code is 3.

--format json has everything, table and markdown what a person reads, csv a line for each node (with --depth for each module):
for csv nothing is measured.

\b
Examples:
  onnxcost model.onnx
  onnxcost model.onnx --no-run --dim batch=8 --dim sequence=512
  onnxcost model.onnx --shape images=1x3x640x640 --convention macs
  onnxcost model.onnx --depth 2 --sort parameters
  onnxcost model.onnx --provider cuda --batches 1,8,32
  onnxcost model.onnx -o cost.json
  curl -s https://example.org/model.onnx | onnxcost - --format csv
"""
DEFAULT_TOP = 10


@click.command(help=HELP, cls=MeasuringCommand)
@model_options
@click.option("--convention", type=click.Choice(list(CONVENTIONS)), default="flops", help="What to rank by and show shares of.")
@click.option("--top", type=Whole(0), help=f"Show the N most expensive nodes.  [default: {DEFAULT_TOP}]", metavar="N")
@click.option("--nodes", "all_nodes", is_flag=True, help="Show all nodes.")
@click.option("--depth", type=Whole(1), metavar="N", help="Show a tree by module, N levels deep, not the operators.")
@click.option("--sort", type=click.Choice(list(SORTS)), help="Order of the tables.  [default: the convention's number]")
@output_options
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is assumed, bounded or not counted.")
@click.option("--no-run", is_flag=True, help="Only count; do not measure.")
@click.option("--trace", is_flag=True, help="Run once before, to count what data decides: shapes, branches, trips.")
@click.option("--quiet", is_flag=True, help="Print no warnings, assumptions and advice on stderr.")
@measuring_options()
def estimate(
    spec: ModelSpec,
    formulas: FormulaTable | None,
    measuring: Measuring,
    convention: str,
    top: int | None,
    all_nodes: bool,
    depth: int | None,
    sort: str | None,
    format_: str | None,
    output: str | None,
    strict: bool,
    no_run: bool,
    trace: bool,
    quiet: bool,
) -> int:
    """Parse, call, render. An interrupt decides the exit code before a check that fails, that before a failed measurement."""
    from onnxcost.estimator import estimate_spec

    chosen = choose_format(format_, output)
    view = _view(chosen, convention, top, all_nodes, depth, sort)
    check_folder(output)
    report, outcome = trace_model(spec, formulas, measuring) if trace else (estimate_spec(spec, formulas), SKIPPED)
    on_screen = is_screen(chosen, output)
    if on_screen:
        show(lambda screen: _lines(report, view, screen))
        _warn(report, quiet, shows_assumed=True)
    if outcome is SKIPPED and not no_run and chosen != "csv":
        outcome = measure_model(spec, formulas, measuring, report)
    if not on_screen:
        deliver(_document(report, view, outcome), chosen, output)
        _warn(report, quiet, shows_assumed=strict)
    elif outcome.measurements:
        show(lambda screen: [(), *outcome.lines(report, screen)])
    if not quiet:
        outcome.advise()
    if strict and outcome.code != INTERRUPTED:
        _check(report)
    return outcome.code


def _view(format_: str, convention: str, top: int | None, all_nodes: bool, depth: int | None, sort: str | None) -> View:
    """What to show. A CSV file is for other programs: it has all nodes, in execution order, unless told otherwise."""
    if all_nodes and top is not None:
        raise InputError("--nodes shows all nodes and --top some of them: give one of the two")
    if format_ == "csv":
        sort = sort or ("order" if top is None else None)
    elif top is None and not all_nodes:
        top = 0 if depth else DEFAULT_TOP
    return View(CONVENTIONS[convention], top, depth, sort)


def _lines(report: CostReport, view: View, screen: Screen) -> list[Line]:
    from onnxcost.render.formats import report_lines

    return report_lines(report, view, screen)


def _document(report: CostReport, view: View, outcome: Outcome) -> Document:
    """The report in every format; a format's renderer is imported when it is asked for."""

    def table(screen: Screen) -> list[Line]:
        measured_lines = outcome.lines(report, screen)
        return _lines(report, view, screen) + ([(), *measured_lines] if measured_lines else [])

    def json() -> str:
        from onnxcost.render.formats import report_json

        return report_json(report, view.convention, *outcome.for_json())

    def csv() -> str:
        from onnxcost.render.formats import report_csv

        return report_csv(report, view)

    def markdown() -> str:
        from onnxcost.render.formats import report_markdown

        return report_markdown(report, view) + outcome.markdown(report)

    return Document(table, json, csv, markdown)


def _warn(report: CostReport, quiet: bool, *, shows_assumed: bool) -> None:
    """The warnings and, where the reader does not see it anyway, what was assumed."""
    if quiet:
        return
    assumed = [dim for dim in report.graph.dims if dim.source == "assumed"]
    if assumed and not shows_assumed:
        say("assumed", ", ".join(f"{dim.name} = {dim.value} ({dim.option})" for dim in assumed))
    for caveat in dict.fromkeys(report.caveats):
        say("note" if caveat.kind == "note" else "warning", caveat.text)


def _check(report: CostReport) -> None:
    """Raises CheckFailed with what keeps the numbers from being exact."""
    found = []
    if not report.complete:
        operators = ", ".join(dict.fromkeys(cost.node.key for cost in report.uncounted))
        found.append(f"{len(report.uncounted)} of {len(report.costs)} nodes are not counted ({operators})")
    found += [caveat.text for caveat in dict.fromkeys(report.caveats) if caveat.kind != "note"]
    if assumed := [dim for dim in report.graph.dims if dim.source == "assumed"]:
        found.append(f"assumed {', '.join(f'{dim.name} = {dim.value} ({dim.option})' for dim in assumed)}")
    if found:
        raise CheckFailed("--strict: " + "; ".join(found))
