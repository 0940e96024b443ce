"""``onnxcost measure MODEL``: latency, throughput and memory of a model on this machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import say_first
from onnxcost.cli.options import Measuring, MeasuringCommand, measuring_options, model_options
from onnxcost.cli.output import check_folder, choose_format, deliver, is_screen, message_options, output_options, show
from onnxcost.cli.running import header, measure_model

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.spec import ModelSpec


HELP = """Run MODEL with onnxruntime in a separate process and time it: latency, FPS, achieved FLOP/s, memory. MODEL is a file,
or - for standard input.

Timing starts when runs are stable, and lasts at least two seconds and ten runs. Inputs without --input are synthetic.

--format json has all samples; csv has a line for each run (with --batches, for each batch size); table and markdown are
summaries.

\b
Examples:
  onnxcost measure model.onnx
  onnxcost measure model.onnx --threads 1 --seconds 10
  onnxcost measure model.onnx --batches 1,2,4,8
  onnxcost measure model.onnx --provider cuda --concurrency 4
  onnxcost measure model.onnx --input image=cat.npy -o latency.json
"""


@click.command(help=HELP, cls=MeasuringCommand)
@model_options
@output_options
@message_options("Print no advice on stderr.")
@measuring_options()
def measure(
    spec: ModelSpec,
    formulas: FormulaTable | None,
    measuring: Measuring,
    format_: str | None,
    output: str | None,
    all_warnings: bool,
    quiet: bool,
) -> int:
    """Parse, call, render."""
    from onnxcost.estimator import estimate_spec

    chosen = choose_format(format_, output)
    check_folder(output)
    report = estimate_spec(spec, formulas)
    on_screen = is_screen(chosen, output)
    if on_screen:
        show(lambda screen: header(report, screen))
    outcome = measure_model(spec, formulas, measuring, report)
    if on_screen and outcome.measurements:
        show(lambda screen: [(), *outcome.lines(report, screen)])
    if not on_screen and (outcome.measurements or chosen != "csv"):
        deliver(outcome.document(report), chosen, output)
    if not quiet:
        say_first(outcome.advice(), shows_all=all_warnings)
    return outcome.code
