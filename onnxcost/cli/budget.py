"""``onnxcost budget MODEL``: on which devices a model keeps its limits, and what would have to change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from onnxcost.cli import asked as asking
from onnxcost.cli.asked import Asked
from onnxcost.cli.budget_options import HELP, LIMITS, budget_options
from onnxcost.cli.failures import say
from onnxcost.cli.output import Document, check_folder, chosen_format, deliver, output_options
from onnxcost.errors import CheckFailed, InputError
from onnxcost.graph import option_text

if TYPE_CHECKING:
    from onnxcost.hardware.budget_file import Budget
    from onnxcost.hardware.budgets import Assessment, Limits
    from onnxcost.prediction import Predictor
    from onnxcost.report import CostReport


@click.command(help=HELP)
@budget_options
@output_options
@click.option("--quiet", is_flag=True, help="Print no warnings and assumptions on stderr.")
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
    quiet: bool,
    **given: Any,
) -> None:
    """Parse, call, render."""
    from onnxcost.hardware.budgets import limits_of
    from onnxcost.hardware.predictors import predictors

    chosen = chosen_format(format_, output)
    check_folder(output)
    own = {name: given.pop(name) for name in LIMITS}
    if file is not None:
        _refuse_beside_check(model, devices, explain, own)
        _check(file, files, chosen, output)
        return
    if model is None:
        raise InputError("which model? 'onnxcost budget MODEL --fps 30', or --check for the budgets of a file")
    asked = asking.asked_of(model, **given)
    named = (explain,) if explain else devices
    assessment = _assessed(asked, batch, limits_of(own), predictors(named, files), bool(named or files), model)
    deliver(_explained(assessment, asked, files, named) if explain else _document(assessment, shows_all), chosen, output)
    if not quiet:
        _warn(assessment)
    _end([assessment])


def _assessed(
    asked: Asked, batch: int | None, limits: Limits, predictors: Sequence[Predictor], are_named: bool, label: str
) -> Assessment:
    from onnxcost.estimator import estimate
    from onnxcost.hardware.budgets import assess

    def again(*, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> CostReport:
        return estimate(asked.source, **{**asked.arguments, "shapes": shapes, "dims": dims})

    report = _at_batch(again(shapes=asked.shapes, dims=asked.dims), asked, batch, again)
    return assess(label, report, predictors, limits, are_named=are_named, again=again)


def _at_batch(report: CostReport, asked: Asked, batch: int | None, again: Callable[..., CostReport]) -> CostReport:
    """The report with that many items; raises InputError for a model whose batch is another and fixed."""
    from onnxcost.measuring.inputs.batch import batch_dim, batch_of

    if batch is None or batch == batch_of(report.graph):
        return report
    dim = batch_dim(report.graph)
    if dim is None:
        raise InputError(
            f"--batch {batch}: the model's batch is fixed at {batch_of(report.graph)}: export it with a dynamic one"
        )
    return again(**dim.at(batch, asked.shapes, asked.dims))


def _document(assessment: Assessment, shows_all: bool) -> Document:
    from onnxcost.render.budget import budget_lines
    from onnxcost.render.budget_formats import budget_csv, budget_json, budget_markdown

    return Document(
        table=lambda screen: budget_lines(assessment, screen, shows_all=shows_all),
        json=lambda: budget_json(assessment),
        csv=lambda: budget_csv([assessment]),
        markdown=lambda: budget_markdown([assessment]),
    )


def _explained(assessment: Assessment, asked: Asked, files: Sequence[str], named: Sequence[str]) -> Document:
    from onnxcost.hardware.predictors import predictors
    from onnxcost.render.budget_formats import budget_csv, budget_json, budget_markdown
    from onnxcost.render.explained import explained_lines

    predictor = predictors(named, files)[0]
    return Document(
        table=lambda screen: explained_lines(assessment, predictor, _options(asked), screen),
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
    from onnxcost.hardware.budget_file import budgets_in, found_file
    from onnxcost.render.budget import checked_lines
    from onnxcost.render.budget_formats import budget_csv, budget_markdown, budgets_json

    path = file or str(found_file())
    found = [_of_file(each, files) for each in budgets_in(path)]
    document = Document(
        table=lambda screen: checked_lines(found, screen),
        json=lambda: budgets_json(found),
        csv=lambda: budget_csv(found),
        markdown=lambda: budget_markdown(found),
    )
    deliver(document, chosen, output)
    _end(found)


def _of_file(each: Budget, files: Sequence[str]) -> Assessment:
    from onnxcost.hardware.predictors import predictors

    asked = asking.asked_of(each.model, (), (), (), (), None)._replace(shapes=each.shapes, dims=each.dims)
    devices = predictors(each.devices, files) if each.devices else []
    return _assessed(asked, each.batch, each.limits, devices, True, each.model)


def _warn(assessment: Assessment) -> None:
    """What keeps the counts from being exact, and what was assumed."""
    assumed = [dim for dim in assessment.report.graph.dims if dim.source == "assumed"]
    if assumed:
        say("assumed", ", ".join(f"{dim.name} = {dim.value} ({dim.option})" for dim in assumed))
    for caveat in dict.fromkeys(assessment.report.caveats):
        say("note" if caveat.kind == "note" else "warning", caveat.text)


def _end(assessments: Sequence[Assessment]) -> None:
    """Raises CheckFailed with what does not keep its budget."""
    from onnxcost.render.budget_text import failures

    if found := [text for assessment in assessments for text in failures(assessment)]:
        raise CheckFailed("; ".join(found))
