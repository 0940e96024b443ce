"""Several models timed in rounds, A B C A B C …, each in its own process, so that the machine's drift affects all equally."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from contextlib import ExitStack, closing
from dataclasses import replace
from math import ceil
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.errors import InputError, OnnxCostError
from onnxcost.estimator import estimate_spec
from onnxcost.latency import Latency
from onnxcost.measurement import MeasurementResult, Settings, Unmeasured
from onnxcost.processes import STOP
from onnxcost.runtime.api import build_measurement, receive_times
from onnxcost.runtime.machine import available_memory
from onnxcost.runtime.prepare import build_request, prepare
from onnxcost.runtime.protocol import Progress
from onnxcost.runtime.supervisor import OnProgress, answer, conversation, scale_progress
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from onnxcost.report import CostReport


ROUNDS, LONGEST_ROUND = 12, 0.5
"""The fewest rounds (fewer for fewer runs), and the most seconds of a model in one round."""
MOST_AT_ONCE = 8
"""The most models whose processes are alive at the same time: with more, a model waits longer for its next round."""
INTERRUPTED = Unmeasured("failed", "interrupted")
SPREAD_OF_PROCESSES = 0.005
"""The share by which two processes that run the same model differ for as long as they live, because of their memory addresses:
no number of rounds can tell it from a difference between models.
"""
PROCESS_BYTES = 150 << 20
"""Memory of a process before it loads a model."""


class Ratio(NamedTuple):
    """A model's latency over another's, from interleaved timing, and its 95 % confidence interval; None for fewer than
    6 rounds.

    The interval is that of the rounds, wider by SPREAD_OF_PROCESSES on both sides.
    """

    value: float
    ci95: tuple[float, float] | None

    @property
    def is_undecided(self) -> bool:
        """Whether there is no clear difference: the interval contains 1."""
        return self.ci95 is not None and self.ci95[0] <= 1 <= self.ci95[1]

    @property
    def width(self) -> float:
        """The width of the interval, as a share of the value; 0 without an interval."""
        return (self.ci95[1] - self.ci95[0]) / self.value if self.ci95 else 0.0


def compute_ratio(latencies: NDArray[np.float64], others: NDArray[np.float64]) -> Ratio:
    """The ratio of a model's latency to another's, from their latencies in the same rounds.

    It is the median of the rounds' ratios, so that a temporary slowdown of both cancels out. After an interrupt, one of them
    may have one more round.
    """
    rounds = min(len(latencies), len(others))
    ratios = Latency(latencies[:rounds] / others[:rounds])
    interval = ratios.median_ci95
    if interval is None:
        return Ratio(ratios.median, None)
    return Ratio(ratios.median, (interval[0] * (1 - SPREAD_OF_PROCESSES), interval[1] * (1 + SPREAD_OF_PROCESSES)))


class InterleavedResults(NamedTuple):
    """The results in the order of the models, and how they were timed.

    ``ratios`` are latencies relative to the first model's. A ratio is None for the first model itself, if one of the two was
    not measured, and if the two were not timed in the same group. ``groups`` are the indices of the models timed together.
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
    """Time the models in interleaved rounds. One that cannot be run is Unmeasured, with the reason; the others continue.

    They are timed in groups (see ``group_models``). The first model is in every group of several, so that each ratio compares
    times of the same minute. ``reports`` are the estimates, if they exist already.

    Raises InputError for concurrent streams, and what ``onnxcost.estimate`` raises.
    """
    if settings.concurrency > 1:
        raise InputError("interleaved rounds run one stream at a time: omit --concurrency")
    known = [estimate_spec(spec) for spec in specs] if reports is None else list(reports)
    memories = [report.memory for report in known]
    # onnxruntime holds many weights twice: as stored, and packed for its kernels.
    needs = [PROCESS_BYTES + 2 * each.weight_bytes + (each.peak_activation_bytes or 0) for each in memories]
    groups = group_models(needs, available_memory())
    results: dict[int, MeasurementResult] = {}
    ratios: dict[int, Ratio] = {}
    for number, group in enumerate(groups):
        if STOP.is_made:
            results = {index: results.get(index, INTERRUPTED) for index in {*results, *group}}
            continue
        failed = {index for index in group if isinstance(results.get(index), Unmeasured)}
        models = {index: _InterleavedModel(specs[index], known[index], settings) for index in group if index not in failed}
        _run_rounds(models.values(), scale_progress(on_progress, number, len(groups)))
        results = {index: model.result for index, model in models.items()} | results
        measured = {index: model for index, model in models.items() if not isinstance(model.result, Unmeasured)}
        if first := measured.pop(0, None):
            ratios |= {index: compute_ratio(model.latencies, first.latencies) for index, model in measured.items()}
    indices = range(len(specs))
    return InterleavedResults(tuple(results[index] for index in indices), tuple(map(ratios.get, indices)), tuple(groups))


def group_models(needs: Sequence[int], free: int) -> list[tuple[int, ...]]:
    """The indices of the models that are timed together; ``needs`` and ``free`` are bytes of memory.

    A group has at most MOST_AT_ONCE models, which fit into the free memory together. It starts with the first model, to which
    the others are compared; a model that does not fit together with the first one is timed alone.
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
    """The settings of each round. Without a minimum time, and with fewer runs than ROUNDS, there is a round for each run. A
    round starts with runs that are not timed: they refill the caches, which the other models have used in the meantime.
    """
    runs, seconds = settings.least_runs, settings.least_seconds
    count = max(ROUNDS, ceil(seconds / LONGEST_ROUND)) if seconds else min(ROUNDS, runs)
    parts = [runs * (number + 1) // count - runs * number // count for number in range(count)]
    return [replace(settings, runs=max(part, 1), seconds=seconds / count, warmup=1) for part in parts]


class _InterleavedModel:
    """One of the models, and its results so far."""

    def __init__(self, spec: ModelSpec, report: CostReport, settings: Settings) -> None:
        self.spec, self.report, self.settings = spec, report, settings
        self.rounds = split_rounds(settings)
        self.next_step = Progress("loading")
        self.samples: list[NDArray[np.float64]] = []
        self.result: MeasurementResult = Unmeasured("skipped", "the measurement was not finished")

    @property
    def latencies(self) -> NDArray[np.float64]:
        """The median of each round."""
        import numpy as np

        return np.array([np.median(samples) for samples in self.samples])

    def run(self) -> Generator[Progress, None, None]:
        """Open the model, time it round by round, and close it. Each step yields what the next one will do."""
        import numpy as np

        with prepare(self.spec, self.report, self.settings.seed) as ready:
            request = build_request("interleaved", ready, self.settings)
            with conversation(request) as (messages, tell):
                answer(messages, object)
                for number, settings in enumerate(self.rounds):
                    yield Progress("measuring", number / len(self.rounds))
                    if STOP.is_made and self.samples:
                        break
                    tell(settings)
                    self.samples.append(answer(messages, np.ndarray))
                yield Progress("memory")
                tell(None)
                self.result = build_measurement(ready, self.settings, *receive_times(messages))


def _run_rounds(models: Iterable[_InterleavedModel], say: OnProgress) -> None:
    """Run all models, one step of each after the other. A model that fails drops out."""
    with ExitStack() as stack:
        running = {model: stack.enter_context(closing(model.run())) for model in models}
        while running:
            for model, steps in list(running.items()):
                say(model.next_step)
                try:
                    model.next_step = next(steps)
                except StopIteration:
                    del running[model]
                except OnnxCostError as error:
                    model.result = Unmeasured("failed", str(error))
                    del running[model]
