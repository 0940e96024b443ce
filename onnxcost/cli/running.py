"""Runs a model for a command; failures and Ctrl-C are part of the outcome."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.cli.app import INTERRUPTED, Notice, refusals_of_measuring, say
from onnxcost.cli.output import Document
from onnxcost.errors import MeasurementError
from onnxcost.processes import STOP
from onnxcost.render.progress import progress_on

if TYPE_CHECKING:
    from onnxcost.cli.options import Measuring
    from onnxcost.formulas.table import FormulaTable
    from onnxcost.measurement import Measurement, MeasurementResult
    from onnxcost.render.layout import Line, Screen
    from onnxcost.report import CostReport
    from onnxcost.spec import ModelSpec


class Outcome(NamedTuple):
    """What was measured, for a series at each batch size. ``reason`` says why it is incomplete.

    ``status`` is "ok", "skipped" or "failed"; ``code`` is the exit code of the command.
    """

    measurements: tuple[Measurement, ...] = ()
    is_series: bool = False
    status: str = "ok"
    reason: str = ""
    code: int = 0

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
        from onnxcost.render.formats import space_blocks
        from onnxcost.render.measurement import batch_lines, measurement_lines, not_measured_lines
        from onnxcost.render.overview import measured_lines

        blocks = [not_measured_lines(self.reason, screen)] if self._lacks_results else []
        if self.is_series and self.measurements:
            blocks.insert(0, batch_lines(self.measurements, screen))
        elif self.measurements:
            single = self.measurements[0]
            blocks.insert(0, measured_lines(single, screen) if is_brief else measurement_lines(single, report, screen))
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
        """The measurement alone in every format, below the model's inputs and outputs."""
        from onnxcost.render.formats import header_markdown
        from onnxcost.render.measurement import batches_csv, measurement_json, samples_csv

        return Document(
            table=lambda screen: [*header(report, screen), (), *self.lines(report, screen)],
            json=lambda: measurement_json(report.graph, *self.for_json()),
            csv=lambda: batches_csv(self.measurements) if self.is_series else samples_csv(self.measurements[0]),
            markdown=lambda: header_markdown(report) + self.markdown(report),
        )

    def advice(self) -> list[Notice]:
        """What makes the figures less trustworthy: each kind of it once, of several batch sizes in the words of the first."""
        by_kind: dict[str, dict[str, str]] = {}
        for measurement in self.measurements:
            for each in measurement.advice:
                by_kind.setdefault(each.kind, {})[str(measurement.batch)] = each.text
        found = ((", ".join(texts), next(iter(texts.values()))) for texts in by_kind.values())
        return [Notice("advice", f"batch {batches}: {text}" if self.is_series else text) for batches, text in found]


def caveat_messages(report: CostReport) -> list[Notice]:
    """What keeps the numbers of a report from being exact."""
    return [Notice("note" if caveat.kind == "note" else "warning", caveat.text) for caveat in report.caveats]


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
    with catch_failure("not measured") as end, progress_on(sys.stderr) as shown:
        settings = measuring.settings()
        if measuring.batches:
            series = measure_spec_batches(spec, measuring.batches, settings, formulas=formulas, on_progress=shown)
            for batch in measuring.batches:
                shown.prefix = f"batch {batch}: "
                found.append(next(series))
                if found[-1].interrupted:
                    break
        else:
            found.append(measure_spec(spec, settings, formulas=formulas, report=report, on_progress=shown))
        end.stop_if(found[-1].interrupted)
    return Outcome(tuple(found), bool(measuring.batches), "failed" if end.reason else "ok", end.reason, end.code)


class End:
    """Why something ended early, and the exit code for that; "" and 0 if it did not. With results, there is a code alone."""

    reason = ""
    code = 0

    def stop_if(self, interrupted: bool) -> None:
        """Ends with the results so far, if Ctrl-C asked for that."""
        self.code = INTERRUPTED if interrupted else 0


@contextmanager
def catch_failure(what: str) -> Iterator[End]:
    """Catch a model that cannot be run, a refusal of the system, and Ctrl-C: the command continues, and a line says why.

    The first Ctrl-C makes a run end with the samples that it has; the second ends it without.
    """
    end = End()
    try:
        with STOP.from_keyboard(), refusals_of_measuring():
            yield end
    except MeasurementError as error:
        end.reason, end.code = str(error), error.exit_code
    except KeyboardInterrupt:
        end.reason, end.code = "interrupted", INTERRUPTED
    if end.reason:
        say("error", f"{what}: {end.reason}")
    elif end.code == INTERRUPTED:
        say("error", "interrupted: the figures are those of the runs until then")
