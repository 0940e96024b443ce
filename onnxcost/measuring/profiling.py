"""``onnxcost.profile``: the time, work and traffic of each node that onnxruntime really executes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from onnxcost.formulas.table import FormulaTable
from onnxcost.measurement import Settings
from onnxcost.measuring.matching import matched
from onnxcost.measuring.measuring import settings_with, timed
from onnxcost.measuring.messages import Profiled
from onnxcost.measuring.preparation import Prepared, Question, prepared, request_of
from onnxcost.measuring.supervisor import OnProgress, answer, answers
from onnxcost.profiled import Profile
from onnxcost.report import CostReport

if TYPE_CHECKING:
    from onnxcost.frontend import ModelSource


def profile(
    model: ModelSource,  # type: ignore[valid-type]
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
    """Time every node of the graph that onnxruntime makes of ``model``, and count the work of that same graph.

    Profiling distorts what it times, so the model is first measured without it, in a process of its own. Arguments and
    errors as in ``onnxcost.measure``.
    """
    question = Question.of(model, shapes, dims, values, trips, inputs, formulas)
    settings = settings_with(settings, changes)
    with prepared(question, seed=settings.seed) as ready:
        measurement = timed(ready, settings, on_progress)
        profiled = answer(answers(request_of("profile", ready, settings), on_progress), Profiled)
        report = _executed_graph(question, ready, profiled)
    return Profile(report, matched(profiled, report, formulas), profiled.run_seconds, measurement, profiled.memory)


def _executed_graph(question: Question, ready: Prepared, profiled: Profiled) -> CostReport:
    """The cost of the graph that onnxruntime wrote; of the original one where it could write none."""
    if not profiled.optimized:
        return ready.report
    known = {tensor.name: tensor.shape for tensor in ready.report.graph.inputs if tensor.is_shaped}
    report = question._replace(model=profiled.optimized, shapes=known, dims={}, inputs={}, trips={}).estimate()
    origin = ready.report.graph
    return replace(
        report, graph=replace(report.graph, path=origin.path, producer=origin.producer, file_bytes=origin.file_bytes)
    )
