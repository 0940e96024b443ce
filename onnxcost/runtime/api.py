"""``onnxcost.measure``, ``measure_batches``, ``profile`` and ``trace``: runs of a model in a child process."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, replace
from typing import TYPE_CHECKING, Any

from onnxcost.analysis.batch import batch_dim, batch_of
from onnxcost.errors import InputError, MeasurementError
from onnxcost.estimator import estimate_spec
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend.trace import Trace
from onnxcost.measurement import Measurement, Settings
from onnxcost.processes import STOP
from onnxcost.report import CostReport
from onnxcost.runtime.advice import advice
from onnxcost.runtime.prepare import Prepared, build_request, prepare, read_once
from onnxcost.runtime.protocol import ArenaUse, Profiled, Timed
from onnxcost.runtime.supervisor import OnProgress, answer, answers, start_early
from onnxcost.spec import ModelSource, ModelSpec

if TYPE_CHECKING:
    from onnxcost.runtime.profile import Profile


def measure(
    model: ModelSource,
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
    """Run ``model`` with onnxruntime in a child process; measure latency, throughput, achieved FLOP/s and memory.

    The first arguments are those of ``onnxcost.estimate``; ``report`` is its result, if available. ``inputs`` maps
    input names to .npy or .npz files; several files for one input are used in turn, and other inputs are synthetic. Fields of
    Settings can be given as keywords: ``measure("model.onnx", provider="cuda", runs=100)``.

    Raises MeasurementError if the model cannot be run, and the errors of ``onnxcost.estimate``.
    """
    spec = read_once(ModelSpec.of(model, shapes, dims, values, trips, inputs))
    return measure_spec(spec, change_settings(settings, changes), formulas, report, on_progress)


def measure_spec(
    spec: ModelSpec,
    settings: Settings,
    formulas: FormulaTable | None = None,
    report: CostReport | None = None,
    on_progress: OnProgress | None = None,
) -> Measurement:
    """``measure`` of a spec whose source can be read twice."""
    with start_early(), prepare(spec, report or estimate_spec(spec, formulas), settings.seed, on_progress) as ready:
        return _measure_prepared(ready, settings, on_progress)


def measure_batches(
    model: ModelSource,
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
    """Call ``measure`` for each batch size, each in a separate process.

    A model with a fixed batch is measured only with that one: the result is then a single measurement. Raises
    InputError if an input file determines the batch.
    """
    spec = read_once(ModelSpec.of(model, shapes, dims, values, trips, inputs))
    yield from measure_spec_batches(spec, batches, change_settings(settings, changes), formulas, on_progress)


def measure_spec_batches(
    spec: ModelSpec,
    batches: Sequence[int],
    settings: Settings,
    formulas: FormulaTable | None = None,
    on_progress: OnProgress | None = None,
) -> Iterator[Measurement]:
    """``measure_batches`` of a spec whose source can be read twice."""
    batch = batch_dim(estimate_spec(spec, formulas).graph)
    if batch is None:
        yield measure_spec(spec, settings, formulas, on_progress=on_progress)
        return
    for size in batches:
        sized = replace(spec, **batch.at(size, spec.shapes, spec.dims))
        yield measure_spec(sized, settings, formulas, on_progress=on_progress)


def _measure_prepared(ready: Prepared, settings: Settings, on_progress: OnProgress | None) -> Measurement:
    """The measurement of a model that is ready to run."""
    return build_measurement(ready, settings, *receive_times(answers(build_request("measure", ready, settings), on_progress)))


def build_measurement(ready: Prepared, settings: Settings, times: Timed, arena: ArenaUse | None) -> Measurement:
    """The measurement from the child's figures and the estimate's, with the advice on it; None if no arena was measured."""
    report, state = ready.report, times.state
    memory = state.memory._replace(
        arena_peak_bytes=arena and arena.peak_bytes,
        arena_activation_bytes=arena and arena.peak_activation_bytes(report.graph),
    )
    measurement = Measurement(
        settings=replace(settings, arena=arena is not None),
        samples=times.samples,
        wall_seconds=times.wall_seconds,
        first_run_seconds=times.first_run_seconds,
        warmup_runs=times.warmup_runs,
        batch=batch_of(report.graph),
        flops=report.flops,
        bound=report.bound,
        weights=ready.weights,
        copies=times.copies,
        interrupted=STOP.is_made,
        **state._replace(memory=memory)._asdict(),
    )
    return replace(measurement, advice=advice(measurement, has_open_batch=batch_dim(report.graph) is not None))


def receive_times(messages: Iterator[object]) -> tuple[Timed, ArenaUse | None]:
    """The times and the arena's use, None if it was not measured. If that run fails, the times still stand."""
    times = answer(messages, Timed)
    if STOP.is_made:
        return times, None
    try:
        return times, next((message for message in messages if isinstance(message, ArenaUse)), None)
    except MeasurementError:
        return times, ArenaUse()


def change_settings(settings: Settings, changes: Mapping[str, Any]) -> Settings:
    """The settings with some fields changed; raises InputError for an unknown field or provider."""
    names = {field.name for field in fields(Settings)}
    if unknown := changes.keys() - names:
        raise InputError(f"there is no setting '{min(unknown)}': choose from {', '.join(sorted(names))}")
    from onnxcost.runtime.providers import find_provider

    changed = replace(settings, **changes)
    return replace(changed, provider=find_provider(changed.provider).name)


def profile(
    model: ModelSource,
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
) -> Profile:
    """Time each node of the optimized graph that onnxruntime executes for ``model``, and count the work of that graph.

    Because profiling affects the times, the model is first measured without it, in a separate process. Arguments and
    errors are those of ``onnxcost.measure``.
    """
    spec = read_once(ModelSpec.of(model, shapes, dims, values, trips, inputs))
    return profile_spec(spec, change_settings(settings, changes), formulas, on_progress)


def profile_spec(
    spec: ModelSpec,
    settings: Settings,
    formulas: FormulaTable | None = None,
    on_progress: OnProgress | None = None,
    on_measured: Callable[[Measurement], object] = bool,
) -> Profile:
    """``profile`` of a spec whose source can be read twice. ``on_measured`` gets the measurement before the profile is made.

    Raises KeyboardInterrupt if it is stopped before a run was profiled.
    """
    with start_early(), prepare(spec, estimate_spec(spec, formulas), settings.seed, on_progress) as ready:
        # The profile itself has the use of the arena.
        measurement = _measure_prepared(ready, replace(settings, arena=settings.arena or False), on_progress)
        on_measured(measurement)
        if measurement.interrupted:
            raise KeyboardInterrupt
        profiled = answer(answers(build_request("profile", ready, settings), on_progress), Profiled)
        interrupted = STOP.is_made
        report = _count_executed_graph(spec, formulas, ready, profiled)
    from onnxcost.runtime.node_matching import match_nodes
    from onnxcost.runtime.profile import Profile

    nodes = match_nodes(profiled, report, ready.report, formulas)
    return Profile(report, nodes, profiled.run_seconds, measurement, profiled.memory, interrupted, profiled.timeline)


def _count_executed_graph(spec: ModelSpec, formulas: FormulaTable | None, ready: Prepared, profiled: Profiled) -> CostReport:
    """The cost of the graph that onnxruntime wrote; of the original one if it could not write one."""
    if not profiled.optimized:
        return ready.report
    known = {tensor.name: tensor.shape for tensor in ready.report.graph.inputs if tensor.is_shaped}
    report = estimate_spec(ModelSpec(profiled.optimized, known, values=spec.values), formulas)
    origin = ready.report.graph
    return replace(
        report, graph=replace(report.graph, path=origin.path, producer=origin.producer, file_bytes=origin.file_bytes)
    )


def trace(
    model: ModelSource,
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
) -> CostReport:
    """Count the cost of ``model`` with the shapes, branches and loop iterations of one unoptimized run.

    Only the settings threads, seed and timeout are used. Arguments and errors are those of ``onnxcost.measure``.
    """
    spec = read_once(ModelSpec.of(model, shapes, dims, values, trips, inputs))
    return trace_spec(spec, change_settings(settings, changes), formulas, on_progress)


def trace_spec(
    spec: ModelSpec, settings: Settings, formulas: FormulaTable | None = None, on_progress: OnProgress | None = None
) -> CostReport:
    """``trace`` of a spec whose source can be read twice."""
    with start_early(), prepare(spec, estimate_spec(spec, formulas), settings.seed, on_progress) as ready:
        traced = answer(answers(build_request("trace", ready, settings), on_progress), Trace)
    return estimate_spec(spec, formulas, traced)
