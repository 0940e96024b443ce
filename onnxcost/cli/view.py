"""``onnxcost view MODEL``: the report as a page, in the browser."""

from __future__ import annotations

import os
import tempfile
import webbrowser
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import caveat_messages, say, say_first, start_child
from onnxcost.cli.estimate import report_document
from onnxcost.cli.measure import SKIPPED, measure_model
from onnxcost.cli.options import model_options
from onnxcost.cli.output import Output
from onnxcost.cli.run_options import Measuring, MeasuringCommand, measuring_options
from onnxcost.render.tables import View

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.spec import ModelSpec

HELP = """Count what MODEL costs to run and open the report in a web browser: shares by operator and module, a roofline, memory
over the execution, and a table of all nodes. MODEL is a file, a URL, or - for standard input.

The page is a single file that loads nothing from the network. It is written to the temporary folder, and its path is printed.
To choose the path, use onnxcost MODEL -o report.html.

\b
Examples:
  onnxcost view model.onnx
  onnxcost view model.onnx --run
  onnxcost view model.onnx --shape images=1x3x640x640 --no-browser
"""


@click.command(help=HELP, cls=MeasuringCommand)
@model_options
@click.option("--run", "is_run", is_flag=True, help="Also run and time the model.")
@click.option("--no-browser", is_flag=True, help="Write the page and print its path without opening it.")
@measuring_options("batches")
def view(spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, is_run: bool, no_browser: bool) -> int:
    """Parse, call, render."""
    if is_run:
        start_child()
    from onnxcost.estimator import estimate_spec

    report = estimate_spec(spec, formulas)
    outcome = measure_model(spec, formulas, measuring, report) if is_run else SKIPPED
    # Its name is known before it is created, so that it is removed whatever fails later.
    path = Path(tempfile.gettempdir()) / f"onnxcost-view-{os.urandom(8).hex()}" / "report.html"
    try:
        path.parent.mkdir(mode=0o700)
        Output("html", str(path)).deliver(report_document(report, View(), outcome, is_brief=True))
        click.echo(path)
    except BaseException:
        rmtree(path.parent, ignore_errors=True)
        raise
    say_first([*caveat_messages(report), *outcome.advice()], shows_all=False)
    if not no_browser and not webbrowser.open(path.as_uri()):
        say("note", "no browser was found: open the file manually")
    return outcome.code
