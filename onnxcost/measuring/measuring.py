"""``onnxcost.measure``: a model's latency, throughput and memory on this machine."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from onnxcost.errors import InputError, MeasurementError
from onnxcost.formulas.table import FormulaTable
from onnxcost.measurement import Measurement, Settings
from onnxcost.measuring.advice import advice
from onnxcost.measuring.inputs import batch_dim, batch_of
from onnxcost.measuring.messages import Timed
from onnxcost.measuring.preparation import Prepared, Question, prepared, request_of
from onnxcost.measuring.providers import provider_named
from onnxcost.measuring.supervisor import OnProgress, answer, answers
from onnxcost.profiled import ArenaUse
from onnxcost.report import CostReport

if TYPE_CHECKING:
    from onnxcost.frontend import ModelSource


def measure(
    model: ModelSource,  # type: ignore[valid-type]
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    inputs: Mapping[str, str | Sequence[str]] | None = None,
    formulas: FormulaTable | None = None,
    report: CostReport | None = None,
    on_progress: OnProgress | None = None,
    **changes: Any,
) -> Measurement:
    """Run ``model`` with onnxruntime in a child process: its latency, throughput, achieved FLOP/s and memory.

    The first arguments are those of ``onnxcost.estimate``; ``report`` is its result where it is at hand. ``inputs`` maps
    input names to the .npy or .npz files to feed, several to be cycled; other inputs are made up. Keywords that are fields of
    Settings change it: ``measure("model.onnx", provider="cuda", runs=100)``.

    Raises MeasurementError where the model cannot be run, and what ``onnxcost.estimate`` raises.
    """
    question = Question.of(model, shapes, dims, values, trips, inputs, formulas)
    return measured(question, settings_with(settings, changes), report, on_progress)


def measure_batches(
    model: ModelSource,  # type: ignore[valid-type]
    batches: Sequence[int],
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    inputs: Mapping[str, str | Sequence[str]] | None = None,
    formulas: FormulaTable | None = None,
    on_progress: OnProgress | None = None,
    **changes: Any,
) -> Iterator[Measurement]:
    """``measure`` for one batch size after the other, each in a process of its own.

    Raises InputError where the model's batch is fixed or an input file has one of its own.
    """
    question = Question.of(model, shapes, dims, values, trips, inputs, formulas)
    settings = settings_with(settings, changes)
    batch = batch_dim(question.estimate().graph)
    if batch is None:
        raise InputError("--batches: no open dim of the model is its batch; name it with --dim, or measure one shape at a time")
    for size in batches:
        sized = question._replace(**batch.at(size, question.shapes, question.dims))
        yield measured(sized, settings, None, on_progress)


def measured(question: Question, settings: Settings, report: CostReport | None, on_progress: OnProgress | None) -> Measurement:
    """The measurement of one question. Errors as in ``measure``."""
    with prepared(question, report, settings.seed) as ready:
        return timed(ready, settings, on_progress)


def timed(ready: Prepared, settings: Settings, on_progress: OnProgress | None) -> Measurement:
    """The measurement of a model that is ready to run."""
    return measurement_of(ready, settings, *heard(answers(request_of("measure", ready, settings), on_progress)))


def measurement_of(ready: Prepared, settings: Settings, times: Timed, arena: ArenaUse) -> Measurement:
    """What the child told and what the estimate knows, as one, with the advice there is to give on it."""
    report = ready.report
    measurement = Measurement(
        settings=settings,
        samples=times.samples,
        wall_seconds=times.wall_seconds,
        first_run_seconds=times.first_run_seconds,
        session_seconds=times.session_seconds,
        warmup_runs=times.warmup_runs,
        batch=batch_of(report.graph),
        inputs=times.inputs,
        device=times.device,
        environment=times.environment,
        memory=times.memory._replace(
            arena_peak_bytes=arena.peak_bytes, arena_activation_bytes=arena.peak_activation_bytes(report.graph)
        ),
        threads=times.threads,
        flops=report.flops,
        bound=report.bound,
        weights=ready.weights,
        placement=times.placement,
        copies=times.copies,
    )
    return replace(measurement, advice=advice(measurement))


def heard(messages: Iterator[object]) -> tuple[Timed, ArenaUse]:
    """The times, and the arena's use, which comes second: where that run fails, the times stand."""
    times = answer(messages, Timed)
    try:
        return times, next((message for message in messages if isinstance(message, ArenaUse)), ArenaUse())
    except MeasurementError:
        return times, ArenaUse()


def settings_with(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some fields changed; raises InputError for a field or a provider that there is not."""
    names = {field.name for field in fields(Settings)}
    if unknown := changes.keys() - names:
        raise InputError(f"there is no setting '{min(unknown)}': there are {', '.join(sorted(names))}")
    changed = replace(settings, **changes)
    return replace(changed, provider=provider_named(changed.provider).name)
