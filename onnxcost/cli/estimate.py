"""``onnxcost estimate MODEL``: the static cost of a model."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from onnxcost.cli import arguments
from onnxcost.cli.failures import say
from onnxcost.cli.output import Document, chosen_format, deliver, output_options
from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import CheckFailed, InputError
from onnxcost.render.view import SORTS, View

if TYPE_CHECKING:
    from onnxcost.formulas import FormulaTable
    from onnxcost.render.layout import Line
    from onnxcost.render.screen import Screen
    from onnxcost.report import CostReport

HELP = """Count what MODEL costs to run: MACs, FLOPs, parameters, bytes and memory. MODEL is a file, or - for standard input.

Nothing is run and no weights are read. Dims that the model leaves open are assumed, and the report says which.

--format json has everything, csv a line for each node (with --depth for each module), table and markdown what a person reads.

\b
Examples:
  onnxcost model.onnx
  onnxcost model.onnx --dim batch=8 --dim sequence=512
  onnxcost model.onnx --shape images=1x3x640x640 --convention macs
  onnxcost model.onnx --depth 2 --sort parameters
  onnxcost model.onnx -o cost.json
  curl -s https://example.org/model.onnx | onnxcost - --format csv
"""
SHAPE, DIM, VALUE, TRIPS = "INPUT=1x3x224x224", "SYMBOL=8", "INPUT=16000", "LOOP=100"
DEFAULT_TOP = 10


@click.command(help=HELP)
@click.argument("model")
@click.option("--shape", "shapes", multiple=True, metavar=SHAPE, help="Fix an input's shape; repeatable.")
@click.option("--dim", "dims", multiple=True, metavar=DIM, help="Fix a dynamic dim by its name; repeatable.")
@click.option(
    "--value",
    "values",
    multiple=True,
    metavar=VALUE,
    help="Fix an input's value where it decides shapes or branches: a number, a list 1,2,3 or a .npy file; repeatable.",
)
@click.option("--trips", multiple=True, metavar=TRIPS, help="Say how often a Loop runs, by its name; repeatable.")
@click.option("--formulas", metavar="FILE.py", help="Count more operators: the table FORMULAS of a Python file.")
@click.option("--convention", type=click.Choice(list(CONVENTIONS)), default="flops", help="What to rank by and show shares of.")
@click.option(
    "--top", type=click.IntRange(min=0), help=f"Show the N most expensive nodes.  [default: {DEFAULT_TOP}]", metavar="N"
)
@click.option("--nodes", "all_nodes", is_flag=True, help="Show all nodes.")
@click.option(
    "--depth", type=click.IntRange(min=1), metavar="N", help="Show a tree by module, N levels deep, not the operators."
)
@click.option("--sort", type=click.Choice(list(SORTS)), help="Order of the tables.  [default: the convention's number]")
@output_options
@click.option("--strict", is_flag=True, help="Exit with 1 if anything is assumed, bounded or not counted.")
@click.option("--no-run", is_flag=True, help="Only count. Counting is all there is so far, so this changes nothing yet.")
@click.option("--quiet", is_flag=True, help="Print no warnings and assumptions on stderr.")
def estimate(
    model: str,
    shapes: tuple[str, ...],
    dims: tuple[str, ...],
    values: tuple[str, ...],
    trips: tuple[str, ...],
    formulas: str | None,
    convention: str,
    top: int | None,
    all_nodes: bool,
    depth: int | None,
    sort: str | None,
    format_: str | None,
    output: str | None,
    strict: bool,
    no_run: bool,
    quiet: bool,
) -> None:
    """Parse, call, render."""
    from onnxcost.estimator import estimate as count

    chosen = chosen_format(format_, output)
    view = _view(chosen, convention, top, all_nodes, depth, sort)
    report = count(
        _source(model),
        shapes=arguments.pairs("--shape", SHAPE, shapes, arguments.shape),
        dims=arguments.pairs("--dim", DIM, dims, arguments.size),
        values=arguments.pairs("--value", VALUE, values, arguments.value),
        trips=arguments.pairs("--trips", TRIPS, trips, arguments.size),
        formulas=_with_own(formulas) if formulas else None,
    )
    deliver(_document(report, view), chosen, output)
    if not quiet:
        _warn(report, shows_assumed=strict or (chosen == "table" and output in (None, "-")))
    if strict:
        _check(report)


def _with_own(path: str) -> FormulaTable:
    from onnxcost.formulas import FORMULAS
    from onnxcost.formulas.sources import from_file, installed

    return {**installed(), **FORMULAS, **from_file(path)}


def _view(format_: str, convention: str, top: int | None, all_nodes: bool, depth: int | None, sort: str | None) -> View:
    """What to show. A CSV file is for other programs: it has all nodes, in execution order, unless told otherwise."""
    if all_nodes and top is not None:
        raise InputError("--nodes shows all nodes and --top some of them: give one of the two")
    if format_ == "csv":
        sort = sort or ("order" if top is None else None)
    elif top is None and not all_nodes:
        top = 0 if depth else DEFAULT_TOP
    return View(CONVENTIONS[convention], top, depth, sort)


def _source(model: str) -> str | bytes:
    if model != "-":
        group = click.get_current_context().find_root().command
        commands = group.list_commands(click.get_current_context()) if isinstance(group, click.Group) else []
        return arguments.checked_path(model, commands)
    if sys.stdin.isatty():
        raise InputError("standard input is a terminal: pipe a model into 'onnxcost -'")
    data: bytes = sys.stdin.buffer.read()
    return data


def _document(report: CostReport, view: View) -> Document:
    """The report in every format; a format's renderer is imported when it is asked for."""

    def table(screen: Screen) -> list[Line]:
        from onnxcost.render.terminal import report_lines

        return report_lines(report, view, screen)

    def json() -> str:
        from onnxcost.render.as_json import report_json

        return report_json(report, view.convention)

    def csv() -> str:
        from onnxcost.render.as_csv import report_csv

        return report_csv(report, view)

    def markdown() -> str:
        from onnxcost.render.as_markdown import report_markdown

        return report_markdown(report, view)

    return Document(table, json, csv, markdown)


def _warn(report: CostReport, *, shows_assumed: bool) -> None:
    """The warnings and, where the reader does not see it anyway, what was assumed."""
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
