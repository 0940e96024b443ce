"""``onnxcost strip MODEL``: the model without its weights."""

from __future__ import annotations

from pathlib import Path

import click

from onnxcost.cli import options
from onnxcost.remote.urls import redact
from onnxcost.render.escaping import plain
from onnxcost.render.units import binary

HELP = """Write the skeleton of MODEL, the same graph without its weights, to share a model's cost or to archive it.

The skeleton is usually a few kilobytes, and onnxcost reports the same counts for it. Netron can open it, and `onnxcost measure`
runs it with random weights in place of the missing ones.

Removed: the data of tensors larger than 1 KiB and of tensors in other files; strings longer than 1 KiB in attributes; doc
strings and metadata of graphs, functions, nodes and values (stack traces, paths of source files, class names); training graphs;
and fields that ONNX does not define.

Kept: tensors of up to 1 KiB (biases, scales, shapes) with their data; all numeric attributes, such as the nodes of decision
trees and the coefficients of linear models; types and dims. Without --anonymize, also all names, shorter strings in attributes,
and the doc string, metadata and producer of the model itself.

\b
Examples:
  onnxcost strip model.onnx -o skeleton.onnx
  onnxcost strip model.onnx -o skeleton.onnx --anonymize
  onnxcost strip model.onnx -o skeleton.onnx --annotate
"""


@click.command(help=HELP)
@click.argument("model")
@click.option("-o", "--output", required=True, metavar="SKELETON", help="The file to write.")
@click.option(
    "--anonymize",
    is_flag=True,
    help="Replace names (of nodes, values, modules, functions, dims) and strings (labels, patterns), and remove metadata. "
    "Operators, domains, attribute names, values that ONNX defines, module numbers, and words that give the role of a dim "
    "or an input, such as batch or mask, are kept.",
)
@click.option("--annotate", "is_annotated", is_flag=True, help="Add the cost of each node to its metadata, which Netron shows.")
def strip(model: str, output: str, anonymize: bool, is_annotated: bool) -> None:
    """Parse, call, render."""
    from onnxcost.frontend.strip import strip as write_skeleton

    done = write_skeleton(options.check_path(model, ()), output, anonymize=anonymize)
    if is_annotated:
        from onnxcost.estimator import estimate
        from onnxcost.frontend.annotate import annotate, function_calls
        from onnxcost.render.node_data import model_notes, report_notes

        report = estimate(output)
        annotate(output, output, report_notes(report, function_calls(output)), model_notes(report))
        done = done._replace(after=Path(output).stat().st_size)
    click.echo(plain(f"{redact(model)}: {binary(done.before)}, {output}: {binary(done.after)}"))
