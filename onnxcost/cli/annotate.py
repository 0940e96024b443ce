"""``onnxcost annotate MODEL``: the model with what each node costs in its metadata."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import catch_failure, caveat_messages, say_first, start_child
from onnxcost.cli.options import model_options
from onnxcost.cli.output import check_folder
from onnxcost.cli.run_options import Measuring, MeasuringCommand, measuring_options
from onnxcost.errors import InputError
from onnxcost.remote.urls import is_remote
from onnxcost.render.escaping import plain
from onnxcost.render.layout import progress_on
from onnxcost.render.units import plural

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.spec import ModelSpec

HELP = """Write MODEL with the cost of each node in its metadata, where Netron shows it: onnxcost.macs, flops, parameters,
read_bytes and write_bytes; with --profile also seconds, share, flops_per_second, and what the node runs as.

The annotated model runs as before. Weights are copied without being parsed. If MODEL has external data, ANNOTATED must be in
the same folder. Existing onnxcost annotations are replaced.

\b
Examples:
  onnxcost annotate model.onnx -o annotated.onnx
  onnxcost annotate model.onnx -o annotated.onnx --profile
"""


@click.command(help=HELP, cls=MeasuringCommand)
@model_options
@click.option("-o", "--output", required=True, metavar="ANNOTATED", help="The file to write.")
@click.option("--profile", "is_profiled", is_flag=True, help="Also run the model, and add the time of each node.")
@measuring_options("batches", "concurrency")
def annotate(spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, output: str, is_profiled: bool) -> int:
    """Parse, call, render."""
    if is_profiled:
        start_child()
    from onnxcost.estimator import estimate_spec
    from onnxcost.frontend import annotate as writing
    from onnxcost.render import node_data

    check_folder(output)
    report, code = estimate_spec(spec, formulas), 0
    path = report.graph.path
    if not path:
        raise InputError("the model is not a file: annotate can only copy files")
    calls = writing.function_calls(path)
    notes = node_data.report_notes(report, calls)
    if is_profiled:
        from onnxcost.runtime.api import profile_spec

        with catch_failure("not annotated") as end, progress_on(sys.stderr) as shown:
            made = profile_spec(spec, measuring.settings(), formulas, shown)
            end.stop_if(made.interrupted)
        code = end.code
        if end.reason:
            return code
        notes = node_data.profile_notes(made, report, calls)
    count = writing.annotate(spec.source if is_remote(spec.source) else path, output, notes, node_data.model_notes(report))
    click.echo(plain(f"{output}: {plural(count, 'node')} annotated"))
    say_first(caveat_messages(report), shows_all=False)
    return code
