"""``onnxcost profile MODEL``: time, work and traffic, node by node, of the graph that onnxruntime executes."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import Notice, catch_failure, start_child
from onnxcost.cli.boards import Boards, board_options
from onnxcost.cli.measure import Outcome, header
from onnxcost.cli.options import Whole, model_options
from onnxcost.cli.output import Document, Output, message_options, output_options, show
from onnxcost.cli.run_options import Measuring, MeasuringCommand, measuring_options
from onnxcost.render.layout import progress_on

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.measurement import Measurement
    from onnxcost.render.profile import ProfileView
    from onnxcost.report import CostReport
    from onnxcost.runtime.profile import Profile
    from onnxcost.spec import ModelSpec


HELP = """Run MODEL with onnxruntime's profiler and show the time, share, achieved FLOP/s and bytes per second of each node.
MODEL is a file, a URL, or - for standard input.

The nodes and their counts are those of the optimized graph that onnxruntime executes, with fused nodes, folded constants and
possibly other layouts. Profiling slows a model down, so it is also measured without the profiler, and the difference is shown.

\b
Examples:
  onnxcost profile model.onnx
  onnxcost profile model.onnx --by operator
  onnxcost profile model.onnx --top 30 --sort flops
  onnxcost profile model.onnx --optimization none -o profile.csv
  onnxcost profile model.onnx -o trace.json           for ui.perfetto.dev
  onnxcost profile model.onnx -o model.nodedata.json  for Model Explorer
  onnxcost profile model.onnx --on pi5,orin           on other machines
"""
TABLES = ("operator", "node")
SORTS = ("time", "flops", "rate", "order")
DEFAULT_TOP = 10
PROGRAMS = ("nodedata", "trace")


@click.command(help=HELP, cls=MeasuringCommand)
@board_options
@model_options
@click.option("--by", type=click.Choice((*TABLES, "module")), help="Show only the table by operator, by node or by module.")
@click.option("--top", type=Whole(0), metavar="N", help=f"Show N nodes.  [default: {DEFAULT_TOP}; csv: all]")
@click.option("--sort", type=click.Choice(SORTS), help="Sort order of the tables.  [default: time; csv: order of execution]")
@partial(output_options, names=PROGRAMS)
@message_options("Do not print advice.")
@measuring_options("batches", "concurrency")
def profile(
    spec: ModelSpec,
    formulas: FormulaTable | None,
    measuring: Measuring,
    boards: Boards | None,
    by: str | None,
    top: int | None,
    sort: str | None,
    out: Output,
) -> int:
    """Parse, call, render. Without a profile, the measurement that was made before is shown."""
    if boards is None:
        start_child()
    from onnxcost.estimator import estimate_spec
    from onnxcost.runtime.api import profile_spec

    report = estimate_spec(spec, formulas)
    if boards is not None:
        return boards.run_model("profile", spec, report, out)
    if out.is_screen:
        show(lambda screen: header(report, screen))
    measured: list[Measurement] = []
    with catch_failure("not profiled") as end, progress_on(sys.stderr) as shown:
        made = profile_spec(spec, measuring.settings(), formulas, shown, measured.append)
        end.stop_if(made.interrupted)
    outcome = Outcome(tuple(measured), status="failed", reason=end.reason, code=end.code)
    document = outcome.document(report) if end.reason else _document(report, made, _view(out.format, by, top, sort))
    if out.is_screen and (measured or not end.reason):
        show(lambda screen: document.table(screen)[len(header(report, screen)) :])
    elif not out.is_screen and not (end.reason and out.format in ("csv", *PROGRAMS)):
        out.deliver(document)
    warnings = () if end.reason else made.warnings
    out.say_first([*(Notice("warning", warning) for warning in warnings), *outcome.advice()])
    return end.code


def _view(format_: str, by: str | None, top: int | None, sort: str | None) -> ProfileView:
    """What to show. CSV is for other programs: by default, it has all nodes in execution order."""
    from onnxcost.render.profile import ProfileView

    if format_ == "csv":
        return ProfileView((by or "node",), top, sort or ("order" if top is None else "time"))
    return ProfileView((by,) if by else TABLES, DEFAULT_TOP if top is None else top, sort or "time")


def _document(report: CostReport, profile: Profile, view: ProfileView) -> Document:
    from onnxcost.frontend.annotate import function_calls
    from onnxcost.render import profile as formats
    from onnxcost.render.formats import header_markdown
    from onnxcost.render.node_data import profile_node_data
    from onnxcost.render.trace import chrome_trace

    return Document(
        table=lambda screen: [*header(report, screen), (), *formats.profile_lines(profile, view, screen)],
        json=profile.to_dict,
        csv=partial(formats.profile_csv, profile, view),
        markdown=lambda: f"{header_markdown(report)}\n{formats.profile_markdown(profile, view)}",
        others={
            "nodedata": lambda: profile_node_data(profile, report, function_calls(report.graph.path)),
            "trace": partial(chrome_trace, profile, report),
        },
    )
