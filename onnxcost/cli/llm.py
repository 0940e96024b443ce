"""``onnxcost llm MODEL``: what a language model costs: prefill, decode, cache, tokens per second."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

import click

from onnxcost.cli.app import caveat_messages
from onnxcost.cli.options import Whole, model_options
from onnxcost.cli.output import Document, Output, message_options, output_options

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.spec import ModelSpec

HELP = """What a language model with a KV cache costs: the prefill of a prompt and the decode step of one token, the cache a
token and at a context, the memory at a batch, and on devices the time to the first token and tokens per second.

Nothing is run. On a device each figure is an estimate with a range, from the weights and the cache that a step reads at the
device's bandwidth and its arithmetic at the peak; no run has more tokens per second than "at most" says.

\b
Examples:
  onnxcost llm model.onnx
  onnxcost llm model.onnx --prompt 2000 --context 8192 --batch 4
  onnxcost llm model.onnx --device rtx-4090 --device jetson-orin-nano-8gb
  onnxcost llm model.onnx --context 32768 --memory 8GiB
  onnxcost llm model.onnx --format json
"""


@click.command(help=HELP)
@model_options
@click.option("--prompt", type=Whole(1), metavar="N", help="Tokens of the prompt.  [default: 1024]")
@click.option("--context", type=Whole(1), metavar="N", help="Positions in the cache after the decode step.  [default: 4096]")
@click.option("--batch", type=Whole(1), metavar="N", help="Sequences.  [default: 1; on devices 1, 4, 16, 64]")
@click.option("--memory", metavar="8GiB", help="Say which context and which batch fit into this memory.")
@click.option("--device", "devices", multiple=True, metavar="NAME[,KEY=VALUE]", help="Predict this device; repeatable.")
@click.option("--device-file", "files", multiple=True, metavar="FILE", help="A TOML file of devices; repeatable.")
@output_options
@message_options("Print no warnings on stderr.")
def llm(
    spec: ModelSpec,
    formulas: FormulaTable | None,
    prompt: int | None,
    context: int | None,
    batch: int | None,
    memory: str | None,
    devices: tuple[str, ...],
    files: tuple[str, ...],
    out: Output,
) -> None:
    """Parse, call, render."""
    from onnxcost.generation.language import count_language
    from onnxcost.hardware.budget import predictors
    from onnxcost.render.llm import llm_csv, llm_lines, llm_markdown

    asked = predictors(devices, files) if devices or files else []
    found = count_language(spec, prompt, context, batch, memory, asked, formulas)
    out.deliver(
        Document(
            table=partial(llm_lines, found),
            json=found.to_dict,
            csv=partial(llm_csv, found),
            markdown=partial(llm_markdown, found),
        )
    )
    report = found.decode.report
    out.say_first(caveat_messages(replace(report, caveats=tuple(each for each in report.caveats if each.kind != "note"))))
