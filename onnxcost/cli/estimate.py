"""``onnxcost estimate MODEL``: the static cost of a model, and its time and memory in a run."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import INTERRUPTED, assumed_text, caveat_messages, say, start_child
from onnxcost.cli.measure import SKIPPED, Outcome, measure_model, trace_model
from onnxcost.cli.options import Whole, fetch, model_options
from onnxcost.cli.output import Document, Output, message_options, output_options, show
from onnxcost.cli.pipeline import MEASURING, estimate_pipeline, pipeline_option
from onnxcost.cli.run_options import Measuring, MeasuringCommand, measuring_options
from onnxcost.cli.sweep import MEASURED, estimate_sweep, sweep_option
from onnxcost.conventions import CONVENTIONS
from onnxcost.errors import CheckFailed, InputError
from onnxcost.remote.urls import SMALL, is_remote
from onnxcost.render.tables import SORTS, View

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.generation.language import LanguageCost
    from onnxcost.render.layout import Line, Screen
    from onnxcost.report import CostReport
    from onnxcost.spec import ModelSpec


HELP = """Count what MODEL costs to run (MACs, FLOPs, parameters, bytes and memory), then run and time it. MODEL is a file,
a URL, or - for standard input.

Counting reads no weights. Sizes are assumed for dims that the model leaves open, and reported. Measuring takes about two
seconds, in a process of its own. A model that cannot be run is still counted; the exit code is 3.

The table fits on one screen; -v, --nodes and --by show more. --format json has everything, markdown the same as -v, and csv one
line per node (with --by module, per module) without measuring.

With several sizes, as in --dim batch=1,2,4 or --shape 'images=1x3x{320,640}x{320,640}' (in quotes), the output is a table of
all combinations.

\b
Examples:
  onnxcost model.onnx
  onnxcost model.onnx --no-run --dim batch=8 --dim sequence=512
  onnxcost model.onnx --shape images=1x3x640x640 --convention macs
  onnxcost model.onnx -o model.nodedata.json    for Model Explorer
  onnxcost model.onnx --by module --depth 3 --sort parameters
  onnxcost model.onnx --provider cuda --batches 1,8,32
  onnxcost model.onnx -o cost.json
  onnxcost model.onnx --dim batch=1,2,4,8 --dim sequence=128,512 --no-run
  curl -s https://example.org/model.onnx | onnxcost - --format csv
"""
ROWS = 24
"""Rows of a terminal: the default output fits on it, together with the prompt."""
DEFAULT_TOP = 10
DEFAULT_DEPTH = 2
TABLES = ("operator", "node", "module")


@click.command(help=HELP, cls=MeasuringCommand)
@pipeline_option(estimate_pipeline, *MEASURING, "strict", "no_run")
@sweep_option(estimate_sweep, *MEASURED, "strict", "no_run")
@model_options
@click.option(
    "--convention",
    type=click.Choice(list(CONVENTIONS)),
    metavar="CONVENTION",
    default="flops",
    help=f"Convention for ranking and shares: {', '.join(CONVENTIONS)}.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show everything: outputs, exact totals, operators, nodes, run statistics.")
@click.option("--by", type=click.Choice(TABLES), help="Show a table by operator, by node or by module.")
@click.option("--top", type=Whole(0), help=f"Show the N most expensive nodes.  [default: {DEFAULT_TOP}]", metavar="N")
@click.option("--nodes", "all_nodes", is_flag=True, help="Show all nodes.")
@click.option("--depth", type=Whole(1), metavar="N", help=f"Show modules N levels deep.  [default: {DEFAULT_DEPTH}]")
@click.option("--sort", type=click.Choice(list(SORTS)), help="Sort order of the tables.  [default: the convention's number]")
@partial(output_options, names=("nodedata",))
@click.option("--strict", is_flag=True, help="Exit with code 1 if anything is assumed, bounded or not counted.")
@click.option("--no-run", is_flag=True, help="Only count; do not measure.")
@click.option(
    "--trace", is_flag=True, help="Run the model once first, to count what depends on data: shapes, branches, iterations."
)
@message_options("Do not print warnings, assumptions or advice.")
@measuring_options()
def estimate(
    spec: ModelSpec,
    formulas: FormulaTable | None,
    measuring: Measuring,
    convention: str,
    verbose: bool,
    by: str | None,
    top: int | None,
    all_nodes: bool,
    depth: int | None,
    sort: str | None,
    out: Output,
    strict: bool,
    no_run: bool,
    trace: bool,
) -> int:
    """Parse, call, render. The exit code is that of an interrupt, else of a failed check, else of a failed measurement."""
    view = _view(out.format, convention, by, top, all_nodes, depth, sort)
    is_brief = not (verbose or by or all_nodes or depth or sort) and top is None
    if trace or not (no_run or out.format == "csv"):
        start_child()
    from onnxcost.estimator import estimate_spec
    from onnxcost.frontend import read_model

    stored = spec if trace else read_model(spec)  # a decoder is counted at several sizes
    report, outcome = trace_model(spec, formulas, measuring) if trace else (estimate_spec(stored, formulas), SKIPPED)
    if out.is_screen and is_brief and measuring.changes["arena"] is None:
        measuring = measuring._replace(changes={**measuring.changes, "arena": False})  # it is not shown
    language = None
    # A decoder has at least two inputs: tokens, and a cache or a state.
    if is_brief and out.format == "table" and not (spec.shapes or spec.dims) and len(report.graph.inputs) > 1:
        from onnxcost.generation.language import describe_decoder

        language = describe_decoder(stored, report, formulas)
    rows = show(lambda screen: _report_lines(report, view, screen, is_brief, language)) if out.is_screen else 0
    if outcome is SKIPPED and not no_run and out.format not in ("csv", "nodedata"):
        outcome = _measure(spec, formulas, measuring, report)
    if not out.is_screen:
        out.deliver(report_document(report, view, outcome, is_brief, language))
        # With --strict the error names them.
        if not (out.quiet or strict) and (assumed := assumed_text(report.graph.dims)):
            say("assumed", assumed)
    elif outcome.measurements:
        rows += show(lambda screen: [(), *outcome.lines(report, screen, is_brief)])
    rows += outcome.rows
    rows += out.say_first([*caveat_messages(report), *outcome.advice()], ROWS - rows - 2 if is_brief else None)
    if out.is_screen:
        show(lambda screen: [*([] if is_brief and rows + 3 > ROWS else [()]), *_verdict_lines(report, view, screen, outcome)])
    if strict and outcome.code != INTERRUPTED:
        _check(report)
    return outcome.code


def _measure(spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, report: CostReport) -> Outcome:
    """The results of a run of the model; a large model at a URL is not downloaded for it."""
    if is_remote(spec.source):
        try:
            fetch(spec.source, SMALL)
        except InputError as error:
            return Outcome(status="skipped", reason=str(error), rows=say("note", f"not measured: {error}"))
    return measure_model(spec, formulas, measuring, report)


def _view(
    format_: str, convention: str, by: str | None, top: int | None, all_nodes: bool, depth: int | None, sort: str | None
) -> View:
    """What to show. A CSV file is for other programs: by default, it has all nodes in execution order."""
    if all_nodes and top is not None:
        raise InputError("--nodes and --top cannot be used together")
    if depth and by not in (None, "module"):
        raise InputError(f"--depth applies to modules and cannot be used with --by {by}")
    if by == "module":
        depth = depth or DEFAULT_DEPTH
    if format_ == "csv":
        if by == "operator":
            raise InputError("CSV output has one line per node, or per module with --by module: --by operator is not available")
        sort = sort or ("order" if top is None else None)
    elif top is None and not all_nodes:
        top = 0 if depth or by == "operator" else DEFAULT_TOP
    return View(CONVENTIONS[convention], top, depth, sort, has_groups=by != "node")


def _report_lines(report: CostReport, view: View, screen: Screen, is_brief: bool, language: LanguageCost | None) -> list[Line]:
    from onnxcost.render.overview import overview_lines
    from onnxcost.render.report import report_lines

    return overview_lines(report, view, screen, language) if is_brief else report_lines(report, view, screen)


def _verdict_lines(report: CostReport, view: View, screen: Screen, outcome: Outcome) -> list[Line]:
    from onnxcost.render.overview import verdict_lines

    return verdict_lines(report, view, screen, max(outcome.measurements, key=lambda each: each.fps, default=None))


def report_document(
    report: CostReport, view: View, outcome: Outcome, is_brief: bool, language: LanguageCost | None = None
) -> Document:
    """The report with what was measured, in every format."""
    from onnxcost.frontend.annotate import function_calls
    from onnxcost.render.formats import space_blocks
    from onnxcost.render.node_data import report_node_data
    from onnxcost.render.page import roofline_data
    from onnxcost.render.report import report_csv, report_markdown

    return Document(
        table=lambda screen: space_blocks(
            [
                _report_lines(report, view, screen, is_brief, language),
                outcome.lines(report, screen, is_brief),
                _verdict_lines(report, view, screen, outcome),
            ]
        ),
        json=lambda: report.to_dict(view.convention, *outcome.for_json()),
        csv=partial(report_csv, report, view),
        markdown=lambda: report_markdown(report, view) + outcome.markdown(report),
        page=partial(roofline_data, report),
        others={"nodedata": lambda: report_node_data(report, view.convention, function_calls(report.graph.path))},
    )


def _check(report: CostReport) -> None:
    """Raises CheckFailed with what keeps the numbers from being exact."""
    found = []
    if report.uncounted:
        operators = ", ".join(dict.fromkeys(cost.node.key for cost in report.uncounted))
        found.append(f"{len(report.uncounted)} of {len(report.costs)} nodes are not counted ({operators})")
    found += [caveat.text for caveat in dict.fromkeys(report.caveats) if caveat.kind != "note"]
    if assumed := assumed_text(report.graph.dims):
        found.append(f"assumed {assumed}")
    if found:
        raise CheckFailed("--strict: " + "; ".join(found))
