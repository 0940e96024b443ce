"""``onnxcost budget MODEL``: the devices on which a model stays within its limits, and what would have to change."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from onnxcost.cli.app import assumed_text, caveat_messages, say
from onnxcost.cli.options import (
    MODEL_OPTIONS,
    Decorator,
    Whole,
    load_formulas,
    model_options,
    read_source,
    take_spec,
    with_options,
)
from onnxcost.cli.output import Document, Output, message_options, output_options
from onnxcost.cli.pipeline import PipelineOutcome, estimate_given, pipeline_option, say_assumed
from onnxcost.cli.sweep import end_sweep, name_axes, say_notes, sweep_document, sweep_option
from onnxcost.errors import CheckFailed, InputError
from onnxcost.graph import option_text
from onnxcost.remote.urls import redact
from onnxcost.render.layout import progress_on
from onnxcost.results import make_document
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.hardware.budget import Assessment, Verdicts
    from onnxcost.hardware.limits import Budget
    from onnxcost.hardware.prediction import Predictor
    from onnxcost.symbolic.points import SweepAxes


HELP = """Check which devices run MODEL within a budget, with which runtime, how fast, and what would have to change. Nothing is
run: times come from published measurements of the model, the device and the runtime where they exist, or else from the device's
peak rates and bandwidth.

Without --device, all devices in the catalog ('onnxcost devices' lists them) are checked, and those that meet the budget are
shown first, cheapest first. With --device, the exit code is 1 if any of the devices misses the budget.

With several sizes, as in --dim batch=1,2,4 or --shape 'images=1x3x{320,640}x{320,640}' (in quotes), all combinations are
checked, and the best batch size for each device is shown. The exit code is 1 if a named device meets the budget at no size.

\b
Examples:
  onnxcost budget model.onnx --fps 30
  onnxcost budget model.onnx --latency 33ms --device raspberry-pi-5-8gb
  onnxcost budget model.onnx --device jetson-nano,memory=2GiB --memory 1GiB
  onnxcost budget model.onnx --fps 30 --explain raspberry-pi-5-8gb
  onnxcost budget model.onnx --runtime ncnn --device jetson-nano
  onnxcost budget model.onnx --latency 50ms --dim batch=1,2,4,8
  onnxcost budget model.onnx --fps 200 --sort cost
  onnxcost budget model.onnx --device-file here.toml --fps 30
  onnxcost budget decoder.onnx --tokens-per-second 20 --context 8192
  onnxcost budget --check

\b
A file for --check, onnxcost.toml (or the tables tool.onnxcost.budget in
pyproject.toml):
  [budget]
  devices = ["raspberry-pi-5-8gb"]
  [budget.models."model.onnx"]
  fps = 30
  memory = "512MiB"
"""


ORDERS = ("price", "cost")
LIMITS = ("fps", "latency", "memory", "flash", "macs", "params")
OF_TOKENS = ("ttft", "tokens_per_second")
OPTIONS: tuple[Decorator, ...] = (
    click.argument("model", required=False),
    *MODEL_OPTIONS[2:],
    click.option("--fps", metavar="30", help="Minimum items per second."),
    click.option("--latency", metavar="33ms", help="Maximum time of one inference."),
    click.option("--memory", metavar="512MiB", help="Maximum memory for the model."),
    click.option("--flash", metavar="2MiB", help="Maximum flash on a microcontroller."),
    click.option("--macs", metavar="500M", help="Maximum MACs of one inference."),
    click.option("--params", metavar="5M", help="Maximum parameters."),
    click.option("--ttft", metavar="500ms", help="Maximum time to first token of a language model."),
    click.option("--tokens-per-second", metavar="20", help="Minimum tokens per second of a language model, per sequence."),
    click.option("--prompt", type=Whole(1), metavar="N", help="Prompt tokens of a language model.  [default: 1024]"),
    click.option("--context", type=Whole(1), metavar="N", help="Cache positions of a language model.  [default: 4096]"),
    click.option("--batch", type=Whole(1), metavar="N", help="Items per inference."),
    click.option("--device", "devices", multiple=True, metavar="NAME[,KEY=VALUE]", help="Check only this device; repeatable."),
    click.option("--device-file", "files", multiple=True, metavar="FILE", help="Add the devices in a TOML file; repeatable."),
    click.option("--all", "shows_all", is_flag=True, help="List all devices in the catalog."),
    click.option(
        "--sort",
        "order",
        type=click.Choice(ORDERS),
        default=ORDERS[0],
        help="Sort by launch price, or by cost on cloud instances.  [default: price]",
    ),
    click.option(
        "--price", "prices", multiple=True, metavar="NAME=0.53", help="Price of a device in dollars per hour; repeatable."
    ),
    click.option("--runtime", metavar="NAME", help="Check only this runtime: onnxruntime-cpu, ncnn, tensorrt, …"),
    click.option(
        "--anchor",
        "anchors",
        multiple=True,
        metavar="MODEL=12ms",
        help="Measured latency of a known model on the device; repeatable.",
    ),
    click.option("--explain", metavar="NAME", help="Show how the results for one device are computed."),
    click.option("--check", "file", is_flag=False, flag_value="", metavar="[FILE]", help="Check the budgets in a file."),
)


@output_options
@message_options("")
def budget_pipeline(
    *,
    pipeline: str,
    devices: tuple[str, ...],
    files: tuple[str, ...],
    shows_all: bool,
    order: str,
    prices: tuple[str, ...],
    out: Output,
    **given: Any,
) -> None:
    """``onnxcost budget --pipeline``: the devices on which all runs of all stages stay within the limits."""
    from onnxcost.generation.limits import assess_pipeline
    from onnxcost.hardware.budget import predictors
    from onnxcost.hardware.limits import limits_of
    from onnxcost.render.budget import budget_csv
    from onnxcost.render.pipeline import pipeline_budget_lines, pipeline_budget_markdown

    found = estimate_given(pipeline, given)
    limits, asked = limits_of(given), predictors(devices, files, _parse_prices(prices))
    assessment = assess_pipeline(pipeline, found, asked, limits, are_named=bool(devices or files), order=order)
    out.deliver(
        Document(
            table=partial(pipeline_budget_lines, assessment, shows_all=shows_all),
            json=assessment.to_dict,
            csv=partial(budget_csv, [assessment]),
            markdown=partial(pipeline_budget_markdown, assessment),
        )
    )
    if not out.quiet:
        say_assumed(found)
    out.say_first(PipelineOutcome(found).messages())
    _end([assessment])


@model_options
@output_options
@message_options("")
def budget_sweep(
    *,
    spec: ModelSpec,
    formulas: FormulaTable | None,
    axes: SweepAxes,
    devices: tuple[str, ...],
    files: tuple[str, ...],
    shows_all: bool,
    order: str,
    prices: tuple[str, ...],
    runtime: str | None,
    anchors: tuple[str, ...],
    out: Output,
    **limits: Any,
) -> int:
    """``onnxcost budget`` of several sizes: each is checked on the named devices, or on the best of the catalog."""
    from onnxcost.hardware.budget import parse_anchors, predictors
    from onnxcost.hardware.limits import limits_of
    from onnxcost.symbolic.sweep import count_sweep

    if anchors and (len(devices) != 1 or not runtime):
        raise InputError("--anchor needs --device and --runtime: it is a latency on one device with one runtime")
    asked = predictors(devices, files, _parse_prices(prices), runtime or "", parse_anchors(anchors))
    is_named = bool(devices or files)
    with progress_on(sys.stderr) as shown:
        swept = count_sweep(
            spec, name_axes(axes, spec), formulas, asked, limits_of(limits), is_named, order,
            shows_all=shows_all, on_progress=shown,
        )  # fmt: skip
    out.deliver(sweep_document(swept))
    say_notes(swept, out, strict=False)
    return end_sweep(swept, 0)


@click.command(help=HELP)
@pipeline_option(budget_pipeline, *LIMITS, "devices", "files", "shows_all", "order", "prices")
@sweep_option(budget_sweep, *LIMITS, "devices", "files", "shows_all", "order", "prices", "runtime", "anchors")
@partial(with_options, OPTIONS)
@output_options
@message_options("Do not print warnings or assumptions.")
def budget(
    model: str | None,
    devices: tuple[str, ...],
    files: tuple[str, ...],
    explain: str | None,
    shows_all: bool,
    file: str | None,
    batch: int | None,
    order: str,
    prices: tuple[str, ...],
    runtime: str | None,
    anchors: tuple[str, ...],
    out: Output,
    formulas: str | None,
    **given: Any,
) -> None:
    """Parse, call, render."""
    from onnxcost.hardware.budget import assess_spec, parse_anchors, predictors
    from onnxcost.hardware.limits import limits_of

    own = {name: given.pop(name) for name in (*LIMITS, *OF_TOKENS)}
    length = {name: given.pop(name) for name in ("prompt", "context")}
    if file is not None:
        named = {"MODEL": model, "--device": devices, "--explain": explain, "--price": prices}
        named |= {"--runtime": runtime, "--anchor": anchors}
        beside = [name for name, value in named.items() if value]
        beside += [f"--{name.replace('_', '-')}" for name, value in {**own, **length}.items() if value is not None]
        if beside:
            raise InputError(f"--check takes models, devices and limits from its file: omit {beside[0]}")
        _check(file, files, out)
        return
    if model is None:
        raise InputError("no model is given: use 'onnxcost budget MODEL --fps 30', or --check for the budgets in a file")
    spec, table = take_spec(given, read_source(model)), load_formulas(formulas)
    names = (explain,) if explain else devices
    if anchors and (len(names) != 1 or not runtime):
        raise InputError("--anchor needs --device and --runtime: it is a latency on one device with one runtime")
    found = predictors(names, files, _parse_prices(prices), runtime or "", parse_anchors(anchors))
    limits, are_named = limits_of(own), bool(names or files)
    if any(own[name] for name in OF_TOKENS) or any(length.values()):
        if explain:
            raise InputError("--explain shows one run of a model: set its sizes with --dim, and omit --context and --ttft")
        from onnxcost.generation.language import count_language
        from onnxcost.generation.limits import assess_decoder

        language = count_language(spec, **length, batch=batch, formulas=table)
        assessment: Assessment = assess_decoder(model, language, found, limits, are_named=are_named, order=order)
    else:
        assessment = assess_spec(spec, table, batch, limits, found, are_named, model, order)
    out.deliver(_explain(assessment, spec, found[0]) if explain else _document(assessment, shows_all))
    if not out.quiet and (assumed := assumed_text(assessment.report.graph.dims)):
        say("assumed", assumed)
    out.say_first(caveat_messages(assessment.report))
    _end([assessment])


def _parse_prices(texts: Sequence[str]) -> dict[str, float]:
    """Dollars per hour by device; raises InputError for anything else."""
    from onnxcost.hardware.device import DOLLARS_PER_HOUR, parse_figure

    prices = {}
    for text in texts:
        name, equals, dollars = (part.strip() for part in text.partition("="))
        try:
            prices[name] = parse_figure(f"{dollars} USD/h", DOLLARS_PER_HOUR)
        except ValueError:
            equals = ""
        if not (name and equals):
            raise InputError(f"--price expects NAME=0.53, in dollars per hour, not '{text}'")
    return prices


def _document(assessment: Assessment, shows_all: bool) -> Document:
    from onnxcost.render.budget import budget_csv, budget_lines, budget_markdown

    return Document(
        table=partial(budget_lines, assessment, shows_all=shows_all),
        json=assessment.to_dict,
        csv=partial(budget_csv, [assessment]),
        markdown=partial(budget_markdown, [assessment]),
    )


def _explain(assessment: Assessment, spec: ModelSpec, predictor: Predictor) -> Document:
    from onnxcost.render.steps import explanation_lines

    given = [("--shape", name, "x".join(map(str, dims))) for name, dims in spec.shapes.items()]
    given += [("--dim", name, str(size)) for name, size in spec.dims.items()]
    options = "".join(f" {option_text(*each)}" for each in given)
    return _document(assessment, shows_all=False)._replace(
        table=partial(explanation_lines, assessment, predictor, options), json=partial(assessment.to_dict, nodes=True)
    )


def _check(file: str, files: Sequence[str], out: Output) -> None:
    """Check all budgets in the file."""
    from onnxcost.hardware.limits import find_budget_file, load_budgets
    from onnxcost.render.budget import budget_csv, budget_markdown, check_lines

    path = file or str(find_budget_file())
    found = [_assess_budget(each, files) for each in load_budgets(path)]
    document = Document(
        table=partial(check_lines, found),
        json=lambda: make_document(budgets=[each.document() for each in found]),
        csv=partial(budget_csv, found),
        markdown=partial(budget_markdown, found),
    )
    out.deliver(document)
    _end(found)


def _assess_budget(each: Budget, files: Sequence[str]) -> Assessment:
    from onnxcost.hardware.budget import assess_spec, predictors

    spec = ModelSpec(read_source(each.model), each.shapes, each.dims)
    devices = predictors(each.devices, files) if each.devices else []
    label = redact(each.model)
    if each.limits.ttft or each.limits.tokens_per_second:
        from onnxcost.generation.language import count_language
        from onnxcost.generation.limits import assess_decoder

        return assess_decoder(label, count_language(spec, batch=each.batch), devices, each.limits, are_named=True)
    return assess_spec(spec, None, each.batch, each.limits, devices, True, label)


def _end(assessments: Sequence[Verdicts]) -> None:
    """Raise CheckFailed with everything that misses its budget."""
    from onnxcost.render.verdict import failure_text

    if found := [text for assessment in assessments for text in failure_text(assessment)]:
        raise CheckFailed("; ".join(found))
