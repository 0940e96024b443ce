"""``onnxcost llm MODEL``: the cost of a language model: prefill, decode, cache, tokens per second."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from onnxcost.cli.app import caveat_messages, start_child
from onnxcost.cli.boards import Boards, board_options
from onnxcost.cli.generation import RunAsked, RunOutcome, run_model, run_options
from onnxcost.cli.options import Whole, model_options
from onnxcost.cli.output import Document, Output, message_options, output_options, show
from onnxcost.cli.run_options import MeasuringCommand
from onnxcost.errors import InputError

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.generation.language import LanguageCost
    from onnxcost.spec import ModelSpec

HELP = """Show what a language model with a KV cache costs: prefilling a prompt, decoding a token, the size of the cache, and
memory by batch size and context; on devices, also the time to first token and the tokens per second.

Nothing is run without --run. Results for devices are estimates with a range, computed from the arithmetic of a step at the
device's peak rate, and from the weights and cache that it reads at the device's bandwidth. "at most" is an upper bound on the
tokens per second.

With --run, onnxruntime runs a prompt, then decodes one token at a time with the cache of the previous step. A second row has
tokens at the end of --context, decoded with a synthetic cache.

\b
Examples:
  onnxcost llm model.onnx
  onnxcost llm model.onnx --prompt 2000 --context 8192 --batch 4
  onnxcost llm model.onnx --device rtx-4090 --device jetson-orin-nano-8gb
  onnxcost llm model.onnx --context 32768 --memory 8GiB
  onnxcost llm model.onnx --run --prompt 256 --device-file here.toml
  onnxcost llm model.onnx --run --on pi5,orin
  onnxcost llm model.onnx --format json
"""


@click.command(help=HELP, cls=MeasuringCommand)
@board_options
@model_options
@click.option("--prompt", type=Whole(1), metavar="N", help="Number of prompt tokens.  [default: 1024]")
@click.option(
    "--context", type=Whole(1), metavar="N", help="Number of positions in the cache after the decode step.  [default: 4096]"
)
@click.option("--batch", type=Whole(1), metavar="N", help="Number of sequences.  [default: 1; on devices 1, 4, 16, 64]")
@click.option("--memory", metavar="8GiB", help="Show the largest context and batch that fit in this memory.")
@click.option(
    "--device", "devices", multiple=True, metavar="NAME[,KEY=VALUE]", help="Estimate the speed on this device; repeatable."
)
@click.option("--device-file", "files", multiple=True, metavar="FILE", help="Add the devices in a TOML file; repeatable.")
@output_options
@message_options("Do not print warnings.")
@run_options
def llm(
    spec: ModelSpec,
    formulas: FormulaTable | None,
    prompt: int | None,
    context: int | None,
    batch: int | None,
    memory: str | None,
    devices: tuple[str, ...],
    files: tuple[str, ...],
    asked: RunAsked | None,
    boards: Boards | None,
    out: Output,
) -> int:
    """Parse, call, render."""
    if boards is not None and asked is None:
        raise InputError("--on needs --run")
    if asked is not None and boards is None:
        start_child()
    from onnxcost.generation.language import count_language
    from onnxcost.hardware.budget import predictors
    from onnxcost.render.page import context_data

    machines = predictors(devices, files) if devices or files else []
    found = count_language(spec, prompt, context, batch, memory, machines, formulas)
    if boards is not None:
        return boards.run_model("llm", spec, found.decode.report, out)
    document, outcome = _document(found, partial(context_data, found, spec, machines, formulas)), RunOutcome()
    if out.is_screen or asked is None:
        out.deliver(document)
    if asked is not None:
        outcome = run_model(found, spec, asked, machines, formulas)
        if out.is_screen:
            show(lambda screen: [(), *outcome.lines(screen)])
        else:
            out.deliver(_with_run(document, outcome))
    report = found.decode.report
    out.say_first(caveat_messages(replace(report, caveats=tuple(each for each in report.caveats if each.kind != "note"))))
    return outcome.code


def _document(found: LanguageCost, page: Callable[[], Mapping[str, Any]]) -> Document:
    from onnxcost.render.llm import llm_csv, llm_lines, llm_markdown

    return Document(
        table=partial(llm_lines, found),
        json=found.to_dict,
        csv=partial(llm_csv, found),
        markdown=partial(llm_markdown, found),
        page=page,
    )


def _with_run(document: Document, outcome: RunOutcome) -> Document:
    """The document with the measurement; its CSV has only that, a line for each context."""
    from onnxcost.render.generation import run_csv

    run = outcome.run
    return document._replace(
        table=lambda screen: [*document.table(screen), (), *outcome.lines(screen)],
        json=lambda: {**document.json(), **outcome.for_json()},
        csv=(lambda: run_csv(run)) if run is not None else document.csv,
        markdown=lambda: document.markdown() + outcome.markdown(),
    )
