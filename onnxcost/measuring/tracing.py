"""``onnxcost.trace``: the cost of one run, where only data can say which shapes, branches and iterations there are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxcost.formulas.table import FormulaTable
from onnxcost.measurement import Settings
from onnxcost.measuring.measuring import settings_with
from onnxcost.measuring.preparation import Question, prepared, request_of
from onnxcost.measuring.supervisor import OnProgress, answer, answers
from onnxcost.report import CostReport
from onnxcost.traced import Trace

if TYPE_CHECKING:
    from onnxcost.frontend import ModelSource


def trace(
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
) -> CostReport:
    """The cost of ``model`` as one unoptimised run of it shows: true shapes, the branches taken, the iterations of loops.

    Of the settings only threads, seed and timeout matter. Arguments and errors as in ``onnxcost.measure``.
    """
    question = Question.of(model, shapes, dims, values, trips, inputs, formulas)
    settings = settings_with(settings, changes)
    with prepared(question, seed=settings.seed) as ready:
        traced = answer(answers(request_of("trace", ready, settings), on_progress), Trace)
    return question.estimate(trace=traced)
