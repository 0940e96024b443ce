"""Several models timed in alternation, A B C A B C …, each in a process of its own: the machine's drift hits all alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.errors import InputError, MeasurementError
from onnxcost.latency import Latency
from onnxcost.measurement import MeasurementResult, Settings, Unmeasured
from onnxcost.measuring.measuring import heard, measurement_of
from onnxcost.measuring.messages import Progress, Request
from onnxcost.measuring.preparation import Prepared, Question, prepared
from onnxcost.measuring.supervisor import Conversation, OnProgress, conversation
from onnxcost.measuring.turns_run import TURNS
from onnxcost.report import CostReport

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Ratio(NamedTuple):
    """A model's median latency over the first one's: the median over the turns, and its 95 % confidence interval."""

    value: float
    low: float
    high: float

    @property
    def shows_a_difference(self) -> bool:
        """Whether the interval leaves out 1."""
        return not self.low <= 1 <= self.high


class Alternated(NamedTuple):
    """The results in the order of the questions; ``ratios`` are None for the first, and where one of the two failed."""

    results: tuple[MeasurementResult, ...]
    ratios: tuple[Ratio | None, ...]


class _Model:
    """One of the models: its process, and what has come of it so far."""

    def __init__(self, ready: Prepared, talk: Conversation) -> None:
        self.ready, self.talk = ready, talk
        self.turns: list[NDArray[np.float64]] = []


def measure_alternately(
    questions: Sequence[Question],
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    reports: Sequence[CostReport | None] | None = None,
    on_progress: OnProgress | None = None,
) -> Alternated:
    """Time the models by turns. One that cannot be run is Unmeasured, with the reason; the others go on.

    All processes are alive at once, so that all models must fit into memory together. ``reports`` are the estimates where
    they are at hand. Raises InputError for settings that no turns can be made of.
    """
    if settings.concurrency > 1:
        raise InputError("models are compared one stream at a time: leave --concurrency out")
    known = reports or [None] * len(questions)
    results: list[MeasurementResult | None] = [None] * len(questions)
    models: dict[int, _Model] = {}
    say = on_progress or (lambda _: None)

    def each(action: Callable[[_Model], None]) -> None:
        for index in list(models):
            try:
                action(models[index])
            except MeasurementError as error:
                results[index] = Unmeasured("failed", str(error))
                del models[index]

    with ExitStack() as stack:
        for index, (question, report) in enumerate(zip(questions, known, strict=True)):
            say(Progress("loading", index / len(questions)))
            try:
                models[index] = _opened(stack, question, report, settings)
            except MeasurementError as error:
                results[index] = Unmeasured("failed", str(error))
        for turn in range(TURNS):
            say(Progress("measuring", turn / TURNS))
            each(_take_turn)
        say(Progress("memory"))
        for index, model in models.items():
            results[index] = _finished(model, settings)
    return Alternated(tuple(result for result in results if result is not None), _ratios(models, len(questions)))


def _opened(stack: ExitStack, question: Question, report: CostReport | None, settings: Settings) -> _Model:
    ready = stack.enter_context(prepared(question, report))
    model = _Model(ready, stack.enter_context(conversation(Request("turns", ready.path, ready.feeds, settings, ready.folder))))
    next(model.talk.messages)
    return model


def _take_turn(model: _Model) -> None:
    model.talk.say(True)
    model.turns.append(next(model.talk.messages))  # type: ignore[arg-type]  # the answer to True


def _finished(model: _Model, settings: Settings) -> MeasurementResult:
    model.talk.say(False)
    try:
        return measurement_of(model.ready.report, settings, *heard(model.talk.messages))
    except MeasurementError as error:
        return Unmeasured("failed", str(error))


def _ratios(models: dict[int, _Model], count: int) -> tuple[Ratio | None, ...]:
    return tuple(_ratio(models[index], models[0]) if index and {0, index} <= models.keys() else None for index in range(count))


def _ratio(model: _Model, first: _Model) -> Ratio:
    import numpy as np

    pairs = zip(model.turns, first.turns, strict=True)
    ratios = Latency(np.array([np.median(own) / np.median(other) for own, other in pairs]))
    low, high = ratios.median_ci95 or (ratios.min, ratios.max)
    return Ratio(ratios.median, low, high)
