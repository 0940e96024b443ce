"""``onnxcost plot MODEL``: one chart as a file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import caveat_messages, say_first
from onnxcost.cli.options import Measuring, MeasuringCommand, measuring_options, model_options
from onnxcost.cli.output import check_folder
from onnxcost.errors import InputError
from onnxcost.files import replace_file

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.results import Result
    from onnxcost.spec import ModelSpec

HELP = """Draw a chart of MODEL as an SVG, PNG or PDF file. It needs matplotlib: pip install 'onnxcost[plot]'.

\b
share     FLOPs by operator; with --profile, the time of each
memory    the memory of the activations over the execution, and its peak
roofline  FLOP/s over arithmetic intensity, estimated for a Raspberry Pi 5;
          with --profile, each executed node as it was measured
latency   how many runs took how long

\b
Examples:
  onnxcost plot model.onnx --kind memory -o memory.svg
  onnxcost plot model.onnx --kind roofline --profile -o roofline.pdf
  onnxcost plot model.onnx --kind latency --seconds 10 -o latency.png
"""
PLOTS = ("share", "memory", "roofline", "latency")
PROFILED = ("share", "roofline")


@click.command(help=HELP, cls=MeasuringCommand)
@model_options
@click.option("--kind", type=click.Choice(PLOTS), default="share", help="What to draw.")
@click.option("--profile", "is_profiled", is_flag=True, help="Run the model with onnxruntime's profiler and draw its nodes.")
@click.option("-o", "--output", required=True, metavar="FILE", help="The file to write; its suffix (.svg .png .pdf) says how.")
@measuring_options("batches")
def plot(
    spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, kind: str, is_profiled: bool, output: str
) -> None:
    """Parse, call, draw."""
    from onnxcost.render.plots import SUFFIXES, draw, save_figure

    if (format_ := SUFFIXES.get(Path(output).suffix.lower())) is None:
        raise InputError(f"'{output}' has none of the suffixes {', '.join(SUFFIXES)}")
    if is_profiled and kind not in PROFILED:
        raise InputError(f"--profile draws {' or '.join(PROFILED)}, not {kind}")
    check_folder(output)
    result = _make_result(spec, formulas, measuring, kind, is_profiled)
    replace_file(Path(output), save_figure(draw(result, kind), format_))


def _make_result(spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, kind: str, is_profiled: bool) -> Result:
    """What the chart is drawn from."""
    from onnxcost.estimator import estimate_spec

    if not is_profiled and kind != "latency":
        report = estimate_spec(spec, formulas)
        say_first(caveat_messages(report), shows_all=False)
        return report
    from onnxcost.runtime.api import measure_spec, profile_spec

    if is_profiled:
        return profile_spec(spec, measuring.settings(), formulas)
    return measure_spec(spec, measuring.settings(), formulas=formulas)
