"""``onnxcost measure MODEL``: latency, throughput and memory of a model on this machine; the outcome of a run."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

import click

from onnxcost.cli.app import Notice, catch_failure, merge_advice, start_child
from onnxcost.cli.boards import Boards, board_options
from onnxcost.cli.options import model_options
from onnxcost.cli.output import Document, Output, message_options, output_options, show
from onnxcost.cli.pipeline import MEASURING, measure_pipeline, pipeline_option
from onnxcost.cli.run_options import Measuring, MeasuringCommand, measuring_options
from onnxcost.cli.sweep import MEASURED, estimate_sweep, sweep_option
from onnxcost.render.layout import progress_on

if TYPE_CHECKING:
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.measurement import Measurement, MeasurementResult
    from onnxcost.render.layout import Line, Screen
    from onnxcost.report import CostReport
    from onnxcost.spec import ModelSpec


class Outcome(NamedTuple):
    """What was measured, for a series at each batch size. ``reason`` says why it is incomplete.

    ``status`` is "ok", "skipped" or "failed"; ``code`` is the exit code of the command; ``rows`` are the lines on stderr that
    say why. ``warning`` says what was measured if that is not what was asked for.
    """

    measurements: tuple[Measurement, ...] = ()
    is_series: bool = False
    status: str = "ok"
    reason: str = ""
    code: int = 0
    rows: int = 0
    warning: str = ""

    def for_json(self) -> tuple[MeasurementResult | None, tuple[MeasurementResult, ...]]:
        """The values of the keys ``measurement`` and ``batches`` of the schema."""
        from onnxcost.measurement import Unmeasured

        missing = (Unmeasured(self.status, self.reason),) if self.reason else ()
        results = (*self.measurements, *missing)
        return (None, results) if self.is_series else (results[0], ())

    @property
    def _lacks_results(self) -> bool:
        return self.status == "failed" and (self.is_series or not self.measurements)

    def lines(self, report: CostReport, screen: Screen, is_brief: bool = False) -> list[Line]:
        """The block for a terminal, with the reason if it is incomplete."""
        from onnxcost.generation.decoder import tokens_of_run
        from onnxcost.render.formats import space_blocks
        from onnxcost.render.measurement import batch_lines, measurement_lines, not_measured_lines
        from onnxcost.render.overview import measured_lines

        blocks = [not_measured_lines(self.reason, screen)] if self._lacks_results else []
        if self.is_series and self.measurements:
            blocks.insert(0, batch_lines(self.measurements, screen))
        elif self.measurements:
            single = self.measurements[0]
            brief = partial(measured_lines, single, screen, tokens_of_run(report.graph))
            blocks.insert(0, brief() if is_brief else measurement_lines(single, report, screen))
        return space_blocks(blocks)

    def markdown(self, report: CostReport) -> str:
        """The section of a Markdown document, with the reason if it is incomplete."""
        from onnxcost.render.measurement import batches_markdown, measurement_markdown, not_measured_markdown

        sections = [not_measured_markdown(self.reason)] if self._lacks_results else []
        if self.is_series and self.measurements:
            sections.insert(0, batches_markdown(self.measurements))
        elif self.measurements:
            sections.insert(0, measurement_markdown(self.measurements[0], report))
        return "".join(f"\n{section}" for section in sections)

    def document(self, report: CostReport) -> Document:
        """Only the measurement, in every format, below the model's inputs and outputs."""
        from onnxcost.render.formats import header_markdown
        from onnxcost.render.measurement import batches_csv, samples_csv
        from onnxcost.report import measurements_to_dict

        return Document(
            table=lambda screen: [*header(report, screen), (), *self.lines(report, screen)],
            json=lambda: measurements_to_dict(report.graph, *self.for_json()),
            csv=lambda: batches_csv(self.measurements) if self.is_series else samples_csv(self.measurements[0]),
            markdown=lambda: header_markdown(report) + self.markdown(report),
        )

    def advice(self) -> list[Notice]:
        """The advice on the figures: each kind once, with the text of the first batch size that has it."""
        found = merge_advice((str(measurement.batch), each) for measurement in self.measurements for each in measurement.advice)
        advice = [Notice("advice", f"batch {batches}: {text}" if self.is_series else text) for batches, text in found]
        return [*([Notice("warning", self.warning)] if self.warning else []), *advice]


SKIPPED = Outcome(status="skipped", reason="--no-run was given")


def trace_model(spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring) -> tuple[CostReport, Outcome]:
    """The cost with the shapes, branches and trips of one run; the static cost, with the reason, if it cannot be run."""
    from onnxcost.estimator import estimate_spec
    from onnxcost.runtime.api import trace_spec

    report = estimate_spec(spec, formulas)
    with catch_failure("not traced") as end, progress_on(sys.stderr) as shown:
        report = trace_spec(spec, measuring.settings(), formulas=formulas, on_progress=shown)
    return report, Outcome(status="failed", reason=end.reason, code=end.code) if end.reason else SKIPPED


def header(report: CostReport, screen: Screen) -> list[Line]:
    """The model, its inputs and outputs, and its open dims."""
    from onnxcost.render.formats import header_lines

    return header_lines(report, screen)


def measure_model(spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, report: CostReport) -> Outcome:
    """Run the model with a progress bar on stderr. The reason for a failure is one line there."""
    from onnxcost.runtime.api import measure_spec, measure_spec_batches

    found: list[Measurement] = []  # results before a failure are kept
    batches, warning = _batches_that_run(report, measuring.batches)
    with catch_failure("not measured") as end, progress_on(sys.stderr) as shown:
        settings = measuring.settings()
        if batches:
            series = measure_spec_batches(spec, batches, settings, formulas=formulas, on_progress=shown)
            for batch in batches:
                shown.prefix = f"batch {batch}: "
                found.append(next(series))
                if found[-1].interrupted:
                    break
        else:
            found.append(measure_spec(spec, settings, formulas=formulas, report=report, on_progress=shown))
        end.stop_if(found[-1].interrupted)
    status = "failed" if end.reason else "ok"
    return Outcome(tuple(found), bool(batches), status, end.reason, end.code, end.rows, warning)


def _batches_that_run(report: CostReport, asked: tuple[int, ...]) -> tuple[tuple[int, ...], str]:
    """The requested batch sizes, and ""; for a model with a fixed batch, that batch and a sentence that says so."""
    from onnxcost.analysis.batch import batch_dim, batch_of

    if not asked or batch_dim(report.graph) is not None:
        return asked, ""
    size = batch_of(report.graph)
    return (size,), f"--batches: the model has no open batch dim, so it is measured at its batch size of {size}"


HELP = """Run MODEL with onnxruntime in a separate process and measure latency, FPS, achieved FLOP/s and memory. MODEL is a
file, a URL, or - for standard input.

Timing starts when run times are stable, and takes at least two seconds and ten runs. Inputs are synthetic unless set with
--input.

--format json has all samples, and csv one line per run (with --batches, per batch size); table and markdown are
summaries.

With several sizes, as in --dim batch=1,2,4 or --shape 'images=1x3x{320,640}x{320,640}' (in quotes), the output is a table of
all combinations, timed in interleaved rounds.

\b
Examples:
  onnxcost measure model.onnx
  onnxcost measure model.onnx --threads 1 --seconds 10
  onnxcost measure model.onnx --batches 1,2,4,8
  onnxcost measure model.onnx --shape 'images={1,8}x3x{224x224,448x448}'
  onnxcost measure model.onnx --provider cuda --concurrency 4
  onnxcost measure model.onnx --input image=cat.npy -o latency.json
  onnxcost measure model.onnx --on pi5,user@10.0.0.7
"""


@click.command(help=HELP, cls=MeasuringCommand)
@pipeline_option(measure_pipeline, *MEASURING)
@sweep_option(estimate_sweep, *MEASURED)
@board_options
@model_options
@output_options
@message_options("Do not print advice.")
@measuring_options()
def measure(spec: ModelSpec, formulas: FormulaTable | None, measuring: Measuring, boards: Boards | None, out: Output) -> int:
    """Parse, call, render."""
    if boards is None:
        start_child()
    from onnxcost.estimator import estimate_spec

    report = estimate_spec(spec, formulas)
    if boards is not None:
        return boards.run_model("measure", spec, report, out)
    if out.is_screen:
        show(lambda screen: header(report, screen))
    outcome = measure_model(spec, formulas, measuring, report)
    if out.is_screen and outcome.measurements:
        show(lambda screen: [(), *outcome.lines(report, screen)])
    if not out.is_screen and (outcome.measurements or out.format != "csv"):
        out.deliver(outcome.document(report))
    out.say_first(outcome.advice())
    return outcome.code
