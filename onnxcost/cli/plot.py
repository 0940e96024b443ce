"""``onnxcost plot MODEL``: one chart as a file."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import catch_failure, caveat_messages, say_first, start_child
from onnxcost.cli.options import model_options
from onnxcost.cli.output import check_folder
from onnxcost.cli.run_options import Measuring, MeasuringCommand, measuring_options
from onnxcost.cli.sweep import LEFT_OUT, MEASURED, end_sweep, name_axes, sweep_option
from onnxcost.errors import InputError
from onnxcost.files import replace_file
from onnxcost.render.layout import progress_on

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.render.layout import ProgressBar
    from onnxcost.results import Result
    from onnxcost.spec import ModelSpec
    from onnxcost.symbolic.points import SweepAxes

HELP = """Draw a chart of MODEL as an SVG, PNG or PDF file. Requires matplotlib: pip install 'onnxcost[plot]'.

\b
share     FLOPs by operator; with --profile, time by operator
memory    activation memory over the execution, and its peak
roofline  FLOP/s over arithmetic intensity, estimated for a Raspberry Pi 5;
          with --profile, measured for each executed node
latency   histogram of the latencies of the runs
scaling   MACs over the size of each open dim

With several sizes, as in --dim batch=1,2,4, memory and latency are plotted over the sizes.

\b
Examples:
  onnxcost plot model.onnx --kind memory -o memory.svg
  onnxcost plot model.onnx --kind roofline --profile -o roofline.pdf
  onnxcost plot model.onnx --kind latency --seconds 10 -o latency.png
  onnxcost plot model.onnx --kind latency --dim batch=1,2,4,8 -o batches.svg
  onnxcost plot bert.onnx --kind scaling -o scaling.svg
"""
PLOTS = ("share", "memory", "roofline", "latency", "scaling")
PROFILED = ("share", "roofline")
OVER_SIZES = ("memory", "latency")


@model_options
@measuring_options(*LEFT_OUT)
def plot_sweep(
    *,
    spec: ModelSpec,
    formulas: FormulaTable | None,
    axes: SweepAxes,
    measuring: Measuring,
    kind: str,
    is_profiled: bool,
    output: str,
) -> int:
    """``onnxcost plot`` of several sizes: memory or latency by size."""
    from onnxcost.symbolic.sweep import count_sweep, measure_sweep

    format_ = _check_asked(output, kind, is_profiled)
    if kind not in OVER_SIZES:
        raise InputError(f"with several sizes, {' and '.join(OVER_SIZES)} can be plotted, not {kind}")
    is_timed = kind == "latency"
    if is_timed:
        start_child()
    with catch_failure("not drawn") as end, progress_on(sys.stderr) as shown:
        swept = count_sweep(spec, name_axes(axes, spec), formulas, is_measured=is_timed, on_progress=shown)
        if is_timed:
            swept = measure_sweep(swept, spec, measuring.settings(), shown)
            end.stop_if(swept.is_interrupted)
    if end.reason:
        return end.code
    _write(swept, kind, output, format_)
    return end.code or end_sweep(swept, 0)


@click.command(help=HELP, cls=MeasuringCommand)
@sweep_option(plot_sweep, *MEASURED, "kind", "is_profiled")
@model_options
@click.option("--kind", type=click.Choice(PLOTS), default="share", help="Kind of chart.")
@click.option("--profile", "is_profiled", is_flag=True, help="Run the model with onnxruntime's profiler and plot the result.")
@click.option(
    "-o", "--output", required=True, metavar="FILE", help="The file to write; its suffix (.svg .png .pdf) sets the format."
)
@measuring_options("batches")
def plot(
    spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, kind: str, is_profiled: bool, output: str
) -> int:
    """Parse, call, draw."""
    format_ = _check_asked(output, kind, is_profiled)
    if is_profiled or kind == "latency":
        start_child()
    with catch_failure("not drawn") as end, progress_on(sys.stderr) as shown:
        result = _make_result(spec, formulas, measuring, kind, is_profiled, shown)
        end.stop_if(getattr(result, "interrupted", False))
    if not end.reason:
        _write(result, kind, output, format_)
    return end.code


def _check_asked(output: str, kind: str, is_profiled: bool) -> str:
    """The format of the file. Raises InputError for a file that cannot be written, and for a chart that a profile does not
    have.
    """
    from onnxcost.render.plots import SUFFIXES

    if (format_ := SUFFIXES.get(Path(output).suffix.lower())) is None:
        raise InputError(f"'{output}' has none of the suffixes {', '.join(SUFFIXES)}")
    if is_profiled and kind not in PROFILED:
        raise InputError(f"--profile draws {' or '.join(PROFILED)}, not {kind}")
    check_folder(output)
    return format_


def _write(result: Result, kind: str, output: str, format_: str) -> None:
    from onnxcost.render.plots import draw, save_figure

    replace_file(Path(output), save_figure(draw(result, kind), format_))


def _make_result(
    spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, kind: str, is_profiled: bool, shown: ProgressBar
) -> Result:
    """The result that the chart shows."""
    from onnxcost.estimator import estimate_spec

    if kind == "scaling":
        from onnxcost.symbolic.scaling import scale_spec

        return scale_spec(spec, formulas=formulas)
    if not is_profiled and kind != "latency":
        report = estimate_spec(spec, formulas)
        say_first(caveat_messages(report), shows_all=False)
        return report
    from onnxcost.runtime.api import measure_spec, profile_spec

    if is_profiled:
        return profile_spec(spec, measuring.settings(), formulas, shown)
    return measure_spec(spec, measuring.settings(), formulas=formulas, on_progress=shown)
