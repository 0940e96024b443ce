"""``--pipeline``: several models and steps instead of MODEL, for the commands that count, measure and check a budget."""

from __future__ import annotations

import sys
from dataclasses import replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from onnxcost.cli.app import INTERRUPTED, Notice, catch_failure, caveat_messages, merge_advice, say, start_child
from onnxcost.cli.options import Command, Decorator, check_path, load_formulas, refuse_others, take_spec
from onnxcost.cli.output import Document, Output, message_options, output_options
from onnxcost.cli.run_options import Measuring, measuring_options
from onnxcost.errors import CheckFailed
from onnxcost.remote.urls import is_remote
from onnxcost.render.layout import progress_on

if TYPE_CHECKING:
    from onnxcost.generation.pipeline import Pipeline, Stage

HELP = "Several models and their numbers of runs, instead of MODEL: encoder.onnx,decoder.onnx×200 (or *200), or a TOML file."
MODELS = ("shapes", "dims", "values", "formulas")
OUTPUT = ("format_", "output", "quiet", "all_warnings")
MEASURING = (
    "provider", "provider_options", "threads", "inter_threads", "optimization", "runs", "seconds", "warmup", "timeout", "seed",
)  # fmt: skip
LEFT_OUT = ("concurrency", "arena", "inputs", "batches")
"""The options of measuring that a pipeline does not take."""


def pipeline_option(run: Command, *takes: str) -> Decorator:
    """Add ``--pipeline``; with it, ``run`` is called instead of the command, with the options that it takes.

    Those are MODELS, OUTPUT and ``takes``.

    Raises InputError for other options together with it.
    """
    taken = (*MODELS, *OUTPUT, *takes)

    def decorated(command: Command) -> Command:
        def with_pipeline(*, pipeline: str | None, **given: Any) -> Any:
            if pipeline is None:
                return command(**given)
            refuse_others(("pipeline", *taken), "--pipeline")
            return run(pipeline=pipeline, **{name: given[name] for name in taken})

        return click.option("--pipeline", metavar="STAGES", help=HELP)(wraps(command)(with_pipeline))

    return decorated


class PipelineOutcome(NamedTuple):
    """A pipeline with its measurements; ``code`` is the exit code of the command."""

    pipeline: Pipeline
    code: int = 0

    def messages(self) -> list[Notice]:
        """Why the figures are not exact, or less reliable, with the stages concerned."""
        from onnxcost.measurement import Measurement

        stages = self.pipeline.stages
        caveats = ((each.name, message) for each in stages for message in caveat_messages(each.report))
        # Notes are about values that the runs of a decoder provide.
        found = [each._replace(text=f"{name}: {each.text}") for name, each in caveats if each.kind != "note"]
        measured = ((each.name, each.measurement) for each in stages if isinstance(each.measurement, Measurement))
        advice = merge_advice((name, text) for name, measurement in measured for text in measurement.advice)
        return [*found, *(Notice("advice", f"{names}: {text}") for names, text in advice)]

    def document(self, *, counts: bool) -> Document:
        """The pipeline in every format; without ``counts``, its tables only have times."""
        from onnxcost.render.formats import space_blocks
        from onnxcost.render.pipeline import pipeline_csv, pipeline_lines, pipeline_markdown, pipeline_verdict

        return Document(
            table=lambda screen: space_blocks(
                [pipeline_lines(self.pipeline, screen, counts=counts), pipeline_verdict(self.pipeline, screen)]
            ),
            json=self.pipeline.to_dict,
            csv=partial(pipeline_csv, self.pipeline),
            markdown=partial(pipeline_markdown, self.pipeline, counts=counts),
        )


def estimate_given(pipeline: str, given: dict[str, Any]) -> Pipeline:
    """The estimate of the pipeline, with the options MODELS in ``given``, which are removed from it."""
    from onnxcost.generation.pipeline import estimate_stages
    from onnxcost.generation.stages import parse_stages

    spec, formulas = take_spec(given, None), load_formulas(given.pop("formulas"))
    stages = parse_stages(pipeline)
    for stage in stages:
        if is_remote(stage.path):
            check_path(stage.path, ())
    return estimate_stages(stages, spec, formulas)


def measure_pipeline_stages(pipeline: Pipeline, measuring: Measuring) -> PipelineOutcome:
    """Run the models one after the other with a progress bar on stderr; what was measured before a failure is kept."""
    from onnxcost.generation.pipeline import measure_stages
    from onnxcost.measurement import Measurement, Unmeasured

    found: list[Stage] = []
    with catch_failure("not measured") as end, progress_on(sys.stderr) as shown:
        series = measure_stages(pipeline, replace(measuring.settings(), arena=False), on_progress=shown)
        for stage in pipeline.stages:
            shown.prefix = f"{stage.name}: "
            found.append(next(series))
            if isinstance(found[-1].measurement, Measurement) and found[-1].measurement.interrupted:
                end.stop_if(True)
                break
    reason = end.reason or "interrupted"
    rest = (replace(stage, measurement=Unmeasured("failed", reason)) for stage in pipeline.stages[len(found) :])
    return PipelineOutcome(replace(pipeline, stages=(*found, *rest)), end.code)


@output_options
@message_options("")
@measuring_options(*LEFT_OUT)
def estimate_pipeline(*, pipeline: str, measuring: Measuring, out: Output, strict: bool, no_run: bool, **given: Any) -> int:
    """``onnxcost estimate --pipeline``: count the stages, then run and time each."""
    if not (no_run or out.format == "csv"):
        start_child()
    outcome = PipelineOutcome(estimate_given(pipeline, given))
    if not (no_run or out.format == "csv"):
        outcome = measure_pipeline_stages(outcome.pipeline, measuring)
    out.deliver(outcome.document(counts=True))
    if not (out.is_screen or out.quiet or strict):
        say_assumed(outcome.pipeline)
    out.say_first(outcome.messages())
    if strict and outcome.code != INTERRUPTED:
        _check(outcome.pipeline)
    return outcome.code


@output_options
@message_options("")
@measuring_options(*LEFT_OUT)
def measure_pipeline(*, pipeline: str, measuring: Measuring, out: Output, **given: Any) -> int:
    """``onnxcost measure --pipeline``: run and time each stage."""
    start_child()
    outcome = measure_pipeline_stages(estimate_given(pipeline, given), measuring)
    out.deliver(outcome.document(counts=False))
    out.say_first(outcome.messages())
    return outcome.code


def say_assumed(pipeline: Pipeline) -> None:
    """A line on stderr with the dims that were assumed."""
    from onnxcost.render.pipeline import assumed_texts

    if assumed := assumed_texts(pipeline):
        say("assumed", ", ".join(assumed))


def _check(pipeline: Pipeline) -> None:
    """Raises CheckFailed with what keeps the numbers from being exact."""
    from onnxcost.render.pipeline import assumed_texts

    found = []
    for stage in pipeline.stages:
        report = stage.report
        if report.uncounted:
            found.append(f"{stage.name}: {len(report.uncounted)} of {len(report.costs)} nodes are not counted")
        found += [f"{stage.name}: {caveat.text}" for caveat in dict.fromkeys(report.caveats) if caveat.kind != "note"]
    found += [f"{stage.name}: some runs are interpolated" for stage in pipeline.stages if not stage.summed.is_exact]
    if assumed := assumed_texts(pipeline):
        found.append(f"assumed {', '.join(assumed)}")
    if found:
        raise CheckFailed(f"--strict: {'; '.join(found)}")
