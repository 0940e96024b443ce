"""Several models timed in alternation, A B C A B C …, each in a process of its own: the machine's drift hits all alike."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import InputError, MeasurementError, OnnxCostError
from onnxcost.estimator import estimate_spec
from onnxcost.measurement import MeasurementResult, Ratio, Settings, Unmeasured, compute_ratio
from onnxcost.runtime.api import build_measurement, receive_times
from onnxcost.runtime.machine import available_memory
from onnxcost.runtime.prepare import build_request, prepare
from onnxcost.runtime.protocol import Progress
from onnxcost.runtime.supervisor import OnProgress, conversation
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from onnxcost.report import CostReport


ROUNDS, LONGEST_ROUND = 12, 0.5
"""How many there are at the least, unless there are fewer runs; from so many seconds on a turn is divided."""
MOST_AT_ONCE = 8
"""Models whose processes are alive at the same time: the more there are, the longer a model waits for its next turn."""
PROCESS_BYTES = 150 << 20
"""What a process needs before it has a model."""


class InterleavedResults(NamedTuple):
    """The results in the order of the models; ``ratios`` are to the first one's latency, None for itself and where one of the
    two was not measured or the two were not timed interleaved. ``groups`` are the models that were, by their places.
    """

    results: tuple[MeasurementResult, ...]
    ratios: tuple[Ratio | None, ...]
    groups: tuple[tuple[int, ...], ...]


def measure_interleaved(
    specs: Sequence[ModelSpec],
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    reports: Sequence[CostReport] | None = None,
    on_progress: OnProgress | None = None,
) -> InterleavedResults:
    """Time the models by turns. One that cannot be run is Unmeasured, with the reason; the others go on.

    They are timed in groups (see ``groups_of``), in each of which the first model takes its turns, too: the ratios to it are
    of the same minute. ``reports`` are the estimates where they are at hand.

    Raises InputError for settings that no turns can be made of, and as ``onnxcost.estimate`` does.
    """
    if settings.concurrency > 1:
        raise InputError("models are compared one stream at a time: leave --concurrency out")
    known = [estimate_spec(spec) for spec in specs] if reports is None else list(reports)
    groups = group_models([_memory_needed(report) for report in known], available_memory())
    results: dict[int, MeasurementResult] = {}
    ratios: dict[int, Ratio] = {}
    for number, group in enumerate(groups):
        failed = {index for index in group if isinstance(results.get(index), Unmeasured)}
        models = {index: _InterleavedModel(specs[index], known[index], settings) for index in group if index not in failed}
        _run_rounds(models.values(), _share_of(on_progress, number, len(groups)))
        results = {index: model.result for index, model in models.items()} | results
        ratios |= _ratios(models)
    places = range(len(specs))
    return InterleavedResults(tuple(results[index] for index in places), tuple(map(ratios.get, places)), tuple(groups))


def group_models(needs: Sequence[int], free: int) -> list[tuple[int, ...]]:
    """Which models are timed together, by their places; ``needs`` and ``free`` are bytes of memory.

    A group has no more than MOST_AT_ONCE, which fit into the free memory together. It begins with the first model, which the
    others are held against; one that does not fit beside that is alone.
    """
    groups, alone = [[0]], []
    for index in range(1, len(needs)):
        if needs[0] + needs[index] > free:
            alone.append((index,))
        elif len(groups[-1]) < MOST_AT_ONCE and sum(needs[each] for each in groups[-1]) + needs[index] <= free:
            groups[-1].append(index)
        else:
            groups.append([0, index])
    return [*map(tuple, groups), *alone]


def split_rounds(settings: Settings) -> list[Settings]:
    """The runs and seconds of each turn; one for each run where there are fewer than TURNS and no time to fill.

    The first two runs of a turn do not count: they bring back to the caches what the others drove out.
    """
    runs, seconds = settings.least_runs, settings.least_seconds
    count = max(ROUNDS, ceil(seconds / LONGEST_ROUND)) if seconds else min(ROUNDS, runs)
    parts = [runs * (turn + 1) // count - runs * turn // count for turn in range(count)]
    return [replace(settings, runs=max(part, 1), seconds=seconds / count, warmup=1) for part in parts]


class _InterleavedModel:
    """One of the models, and what has come of it so far."""

    def __init__(self, spec: ModelSpec, report: CostReport, settings: Settings) -> None:
        self.spec, self.report, self.settings = spec, report, settings
        self.turns = split_rounds(settings)
        self.coming = Progress("loading")
        self.samples: list[NDArray[np.float64]] = []
        self.result: MeasurementResult = Unmeasured("skipped", "the measurement was not finished")

    @property
    def latencies(self) -> NDArray[np.float64]:
        """The median of each turn."""
        import numpy as np

        return np.array([np.median(turn) for turn in self.samples])

    def life(self) -> Generator[Progress, None, None]:
        """Opened, timed turn by turn, closed: each step is done when it is asked for, and says what the next one is."""
        with prepare(self.spec, self.report, self.settings.seed) as ready:
            request = build_request("interleaved", ready, self.settings)
            with conversation(request) as (messages, tell):
                _answer(messages)
                for number, turn in enumerate(self.turns):
                    yield Progress("measuring", number / len(self.turns))
                    tell(turn)
                    self.samples.append(_answer(messages))
                yield Progress("memory")
                tell(None)
                self.result = build_measurement(ready, self.settings, *receive_times(messages))


def _answer(messages: Iterator[object]) -> Any:
    """The next message. Raises MeasurementError where the child ends without one."""
    if (message := next(messages, None)) is None:
        raise MeasurementError("the process that ran the model ended without a result")
    return message


def _run_rounds(models: Iterable[_InterleavedModel], say: OnProgress) -> None:
    """Lets all live, a step of each in turn. One that fails ends there."""
    with ExitStack() as stack:
        lives = {model: stack.enter_context(closing(model.life())) for model in models}
        while lives:
            for model, life in list(lives.items()):
                say(model.coming)
                try:
                    model.coming = next(life)
                except StopIteration:
                    del lives[model]
                except OnnxCostError as error:
                    model.result = Unmeasured("failed", str(error))
                    del lives[model]


def _ratios(models: Mapping[int, _InterleavedModel]) -> dict[int, Ratio]:
    """Of each model to the first, if that is among them and both were measured."""
    measured = {index: model for index, model in models.items() if not isinstance(model.result, Unmeasured)}
    first = measured.get(0)
    return {index: compute_ratio(model.latencies, first.latencies) for index, model in measured.items() if first and index}


def _memory_needed(report: CostReport) -> int:
    """The memory that a model takes while it waits: onnxruntime keeps many weights twice, as stored and as it likes them."""
    return PROCESS_BYTES + 2 * report.memory.weight_bytes + (report.memory.peak_activation_bytes or 0)


def _share_of(on_progress: OnProgress | None, number: int, count: int) -> OnProgress:
    """Tells how far one of several groups is as a share of all."""

    def say(progress: Progress) -> None:
        if on_progress is not None:
            done = None if progress.done is None else (number + progress.done) / count
            on_progress(progress._replace(done=done))

    return say
