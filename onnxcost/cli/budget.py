"""``onnxcost budget MODEL``: the devices on which a model keeps its limits, and what would have to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from onnxcost.cli import options as asking
from onnxcost.cli.app import say, say_first
from onnxcost.cli.options import MODEL_OPTIONS as ASKED
from onnxcost.cli.options import Asked, Command, Decorator, Whole, with_options
from onnxcost.cli.output import Document, check_folder, choose_format, deliver, message_options, output_options
from onnxcost.cli.running import caveat_messages
from onnxcost.errors import CheckFailed, InputError
from onnxcost.graph import option_text

if TYPE_CHECKING:
    from onnxcost.hardware.budget import Assessment, Budget, Limits
    from onnxcost.hardware.prediction import Predictor
    from onnxcost.report import CostReport


HELP = """Will MODEL run on that device, how fast, and what must change? Nothing is run: times are estimates from the device's
peak rates and bandwidth, never below a bound that no run undercuts.

Without --device the whole catalogue is gone through ('onnxcost devices' lists it), the cheapest that fits first. With it the
exit code is 1 if one of the devices misses the budget.

\b
Examples:
  onnxcost budget model.onnx --fps 30
  onnxcost budget model.onnx --latency 33ms --device raspberry-pi-5-8gb
  onnxcost budget model.onnx --device jetson-nano,memory=2GiB --memory 1GiB
  onnxcost budget model.onnx --fps 30 --explain raspberry-pi-5-8gb
  onnxcost budget model.onnx --device-file here.toml --fps 30
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


LIMITS = ("fps", "latency", "memory", "flash", "macs", "params")
OPTIONS: tuple[Decorator, ...] = (
    click.argument("model", required=False),
    *ASKED[2:],
    click.option("--fps", metavar="30", help="Items per second, at the least."),
    click.option("--latency", metavar="33ms", help="Time of one inference, at the most."),
    click.option("--memory", metavar="512MiB", help="Memory that the model may need."),
    click.option("--flash", metavar="2MiB", help="Flash that it may need on a microcontroller."),
    click.option("--macs", metavar="500M", help="Multiply-accumulates of one inference, at the most."),
    click.option("--params", metavar="5M", help="Parameters, at the most."),
    click.option("--batch", type=Whole(1), metavar="N", help="Items of one inference."),
    click.option("--device", "devices", multiple=True, metavar="NAME[,KEY=VALUE]", help="Only this device; repeatable."),
    click.option("--device-file", "files", multiple=True, metavar="FILE", help="A TOML file of devices; repeatable."),
    click.option("--all", "shows_all", is_flag=True, help="List all devices of the catalogue."),
    click.option("--explain", metavar="NAME", help="Show the sum behind one device's figures."),
    click.option("--check", "file", is_flag=False, flag_value="", metavar="[FILE]", help="Check the budgets of a file."),
)


def budget_options(command: Command) -> Command:
    """The options of OPTIONS."""
    return with_options(OPTIONS, command)


@click.command(help=HELP)
@budget_options
@output_options
@message_options("Print no warnings and assumptions on stderr.")
def budget(
    model: str | None,
    devices: tuple[str, ...],
    files: tuple[str, ...],
    explain: str | None,
    shows_all: bool,
    file: str | None,
    batch: int | None,
    format_: str | None,
    output: str | None,
    all_warnings: bool,
    quiet: bool,
    **given: Any,
) -> None:
    """Parse, call, render."""
    from onnxcost.hardware.budget import limits_of
    from onnxcost.hardware.predictors import predictors

    chosen = choose_format(format_, output)
    check_folder(output)
    own = {name: given.pop(name) for name in LIMITS}
    if file is not None:
        _refuse_beside_check(model, devices, explain, own)
        _check(file, files, chosen, output)
        return
    if model is None:
        raise InputError("which model? 'onnxcost budget MODEL --fps 30', or --check for the budgets of a file")
    asked = asking.parse_model_options(model, **given)
    named = (explain,) if explain else devices
    assessment = _assess_model(asked, batch, limits_of(own), predictors(named, files), bool(named or files), model)
    deliver(_explain(assessment, asked, files, named) if explain else _document(assessment, shows_all), chosen, output)
    if not quiet:
        _warn(assessment, all_warnings)
    _end([assessment])


def _assess_model(
    asked: Asked, batch: int | None, limits: Limits, predictors: Sequence[Predictor], are_named: bool, label: str
) -> Assessment:
    from onnxcost.estimator import estimate
    from onnxcost.hardware.budget import assess

    def again(*, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> CostReport:
        return estimate(asked.source, **{**asked.arguments, "shapes": shapes, "dims": dims})

    report = _at_batch(again(shapes=asked.shapes, dims=asked.dims), asked, batch, again)
    return assess(label, report, predictors, limits, are_named=are_named, again=again)


def _at_batch(report: CostReport, asked: Asked, batch: int | None, again: Callable[..., CostReport]) -> CostReport:
    """The report with that many items; raises InputError for a model whose batch is another and fixed."""
    from onnxcost.analysis.batch import batch_dim, batch_of

    if batch is None or batch == batch_of(report.graph):
        return report
    dim = batch_dim(report.graph)
    if dim is None:
        raise InputError(
            f"--batch {batch}: the model's batch is fixed at {batch_of(report.graph)}: export it with a dynamic one"
        )
    return again(**dim.at(batch, asked.shapes, asked.dims))


def _document(assessment: Assessment, shows_all: bool) -> Document:
    from onnxcost.render.budget import budget_csv, budget_json, budget_lines, budget_markdown

    return Document(
        table=lambda screen: budget_lines(assessment, screen, shows_all=shows_all),
        json=lambda: budget_json(assessment),
        csv=lambda: budget_csv([assessment]),
        markdown=lambda: budget_markdown([assessment]),
    )


def _explain(assessment: Assessment, asked: Asked, files: Sequence[str], named: Sequence[str]) -> Document:
    from onnxcost.hardware.predictors import predictors
    from onnxcost.render.budget import budget_csv, budget_json, budget_markdown
    from onnxcost.render.steps import explanation_lines

    predictor = predictors(named, files)[0]
    return Document(
        table=lambda screen: explanation_lines(assessment, predictor, _options(asked), screen),
        json=lambda: budget_json(assessment, nodes=True),
        csv=lambda: budget_csv([assessment]),
        markdown=lambda: budget_markdown([assessment]),
    )


def _options(asked: Asked) -> str:
    """What was said of the inputs, as options of ``onnxcost measure``."""
    shapes = [" " + option_text("--shape", name, "x".join(map(str, dims))) for name, dims in asked.shapes.items()]
    return "".join([*shapes, *(" " + option_text("--dim", name, size) for name, size in asked.dims.items())])


def _refuse_beside_check(model: str | None, devices: Sequence[str], explain: str | None, own: Mapping[str, object]) -> None:
    beside = [name for name, value in (("MODEL", model), ("--device", devices), ("--explain", explain)) if value]
    beside += [f"--{name}" for name, value in own.items() if value is not None]
    if beside:
        raise InputError(f"--check takes models, devices and limits from its file, not {beside[0]} from here")


def _check(file: str, files: Sequence[str], chosen: str, output: str | None) -> None:
    """All budgets of the file."""
    from onnxcost.hardware.budget import find_budget_file, load_budgets
    from onnxcost.render.budget import budget_csv, budget_markdown, budgets_json, check_lines

    path = file or str(find_budget_file())
    found = [_of_file(each, files) for each in load_budgets(path)]
    document = Document(
        table=lambda screen: check_lines(found, screen),
        json=lambda: budgets_json(found),
        csv=lambda: budget_csv(found),
        markdown=lambda: budget_markdown(found),
    )
    deliver(document, chosen, output)
    _end(found)


def _of_file(each: Budget, files: Sequence[str]) -> Assessment:
    from onnxcost.hardware.predictors import predictors

    asked = asking.parse_model_options(each.model, (), (), (), (), None)._replace(shapes=each.shapes, dims=each.dims)
    devices = predictors(each.devices, files) if each.devices else []
    return _assess_model(asked, each.batch, each.limits, devices, True, each.model)


def _warn(assessment: Assessment, all_warnings: bool) -> None:
    """What keeps the counts from being exact, and what was assumed."""
    assumed = [dim for dim in assessment.report.graph.dims if dim.source == "assumed"]
    if assumed:
        say("assumed", ", ".join(f"{dim.name} = {dim.value} ({dim.option})" for dim in assumed))
    say_first(caveat_messages(assessment.report), shows_all=all_warnings)


def _end(assessments: Sequence[Assessment]) -> None:
    """Raises CheckFailed with what does not keep its budget."""
    from onnxcost.render.budget import failure_text

    if found := [text for assessment in assessments for text in failure_text(assessment)]:
        raise CheckFailed("; ".join(found))
