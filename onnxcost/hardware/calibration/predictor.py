"""Latencies on a calibrated machine, predicted from the timed kernels."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import hypot
from pathlib import Path
from typing import Any, NamedTuple

from onnxcost.analysis.batch import batch_of
from onnxcost.errors import MISFITS, InputError, ModelError
from onnxcost.estimator import estimate
from onnxcost.formulas.table import FormulaTable
from onnxcost.hardware.calibration.model import Calibration, load
from onnxcost.hardware.calibration.rates import BESIDE, INTEGERS, UNKNOWN_ERROR, Peaks, Speeds, peaks
from onnxcost.hardware.prediction import Interval, NodeTime, Prediction
from onnxcost.ort_optimizer.fused_node import FusedNode
from onnxcost.ort_optimizer.kernels import CONTRACTIONS, FAMILIES, kernel_runs
from onnxcost.ort_optimizer.memory_plan import footprints_of
from onnxcost.ort_optimizer.pipeline import optimize
from onnxcost.report import CostReport
from onnxcost.spec import ModelSource

ERROR = 0.2
"""The part of a prediction's error that its kernels do not show: with it, the ranges hold nine of ten models that no rule was
made after and whose operators had all been timed (scripts/benchmark/prediction.py, docs/accuracy-prediction.md).
"""
UNKNOWN = 0.3
"""The error of a prediction after a calibration that does not say how far its kernels are off."""


class StepTime(NamedTuple):
    """A step of the run and the seconds of its kernels by family in one inference; the seconds of ``untimed`` families are
    unknown.
    """

    step: FusedNode
    seconds: Mapping[str, float]
    untimed: frozenset[str] = frozenset()

    @property
    def total(self) -> float:
        """The seconds of all its kernels."""
        return sum(self.seconds.values())


@dataclass(frozen=True)
class Calibrated:
    """A calibrated machine with one number of threads; None is the largest that was calibrated."""

    calibration: Calibration
    threads: int | None = None

    @classmethod
    def load(cls, path: str | Path, threads: int | None = None) -> Calibrated:
        """From a calibration's file. Raises InputError."""
        return cls(load(path), threads)

    @property
    def name(self) -> str:
        """The machine's given name."""
        return self.calibration.name

    @property
    def title(self) -> str:
        """The device's name."""
        return self.calibration.machine.device or self.name

    @property
    def kind(self) -> str:
        """ "cpu" for onnxruntime's CPU provider, else "gpu"."""
        return "cpu" if self.calibration.machine.provider == "cpu" else "gpu"

    def figure(self, name: str) -> float | None:
        """The memory, if the calibration has it; other figures are not known."""
        return self.calibration.machine.memory or None if name == "memory" else None

    def part_of(self, dtype: str) -> str:
        """All types are computed by the same part."""
        return self.kind

    def as_run(self, report: CostReport) -> CostReport:
        """The report as it is: onnxruntime keeps the model's types."""
        return report

    @cached_property
    def speeds(self) -> Speeds:
        """The speeds for the number of threads; raises InputError for one that was not calibrated."""
        known = self.calibration.speeds
        if self._threads not in known:
            raise InputError(f"'{self.name}' was calibrated with {_join(sorted(known))} threads, not with {self._threads}")
        return known[self._threads]

    @property
    def _threads(self) -> int:
        return max(self.calibration.speeds) if self.threads is None else self.threads

    @property
    def block(self) -> int:
        """As onnxruntime laid out a model there, when the machine was calibrated."""
        machine = self.calibration.machine
        return machine.block if machine.blocked else 0

    @cached_property
    def peaks(self) -> Peaks:
        """The highest rates that were reached."""
        return peaks(self.speeds)

    def steps(self, report: CostReport) -> Iterator[StepTime]:
        """The steps of the run in order, and the seconds of each."""
        try:
            machine = self.calibration.machine
            steps = optimize(report.graph, blocked=machine.blocked, block=machine.block, casts=self.kind == "cpu")
            footprints = footprints_of(report.graph, steps)
        except MISFITS:
            raise ModelError("its latency cannot be predicted: a node does not fit its operator") from None
        for step, footprint in zip(steps, footprints, strict=True):
            try:
                times: dict[str, float] = {}
                untimed: set[str] = set()
                for task in kernel_runs(step, self.calibration.machine.block):
                    seconds = self.speeds.seconds(task, footprint)
                    times[task.family] = times.get(task.family, 0.0) + (seconds or 0.0)
                    if seconds is None and task.family not in BESIDE:
                        untimed.add(task.family)
                yield StepTime(step, times, frozenset(untimed))
            except MISFITS:
                continue

    def seconds(self, report: CostReport) -> float:
        """The latency of one inference."""
        return self.speeds.run_seconds + sum(found.total for found in self.steps(report))

    def predict(self, report: CostReport) -> Prediction:
        """The latency with its range, and the bound from the highest measured rates."""
        steps = list(self.steps(report))
        nodes = tuple(map(self._node_time, steps))
        total = self.speeds.run_seconds + sum(node.span.low for node in nodes)
        error = self.error(steps, total)
        spent = {
            "compute": sum(node.span.low - node.overhead for node in nodes if node.limit == "compute"),
            "memory": sum(node.span.low - node.overhead for node in nodes if node.limit == "memory"),
            "overhead": self.speeds.run_seconds + sum(node.overhead for node in nodes),
        }
        return Prediction(
            device=self.name,
            batch=batch_of(report.graph),
            bound=min(self.bound(nodes), total),
            latency=Interval(total / (1 + error), total * (1 + error), "prediction"),
            nodes=nodes,
            notes=(*self._notes(report, steps), *self._notes_on_error(error)),
            limit=max(spent, key=spent.__getitem__),
        )

    def error(self, steps: Sequence[StepTime], total: float) -> float:
        """The range of a prediction, as a factor less 1: from the errors of its kernels, and how far the calibration settled.

        The errors of families are taken as independent, and those of its kernels as the same in a family.
        """
        spent: Counter[str] = Counter()
        for found in steps:
            spent.update(found.seconds)
        errors = self.speeds.errors
        share = hypot(*(errors.get(family, UNKNOWN_ERROR) * seconds for family, seconds in spent.items())) / max(total, 1e-12)
        return (hypot(ERROR, share) if errors else UNKNOWN) + self.calibration.spread - 1

    def _notes_on_error(self, error: float) -> Iterator[str]:
        known = self.calibration
        if self.speeds.errors:
            yield f"the range is ± {error:.0%}, from predicting each timed kernel from the others"
        if not known.is_settled:
            yield f"{known.unsettled:.0%} of the kernels had inconsistent times: calibrate again on an idle machine"

    @staticmethod
    def bound(nodes: tuple[NodeTime, ...]) -> float:
        """The least seconds: each node at the highest rate, or its traffic at the highest bandwidth, of any timed kernel."""
        return sum(max(node.compute, node.transfer or 0.0) for node in nodes)

    def _node_time(self, found: StepTime) -> NodeTime:
        step, total = found.step, found.total
        own = next((task for task in kernel_runs(step, self.calibration.machine.block) if task.family in CONTRACTIONS), None)
        kind = step.kind or step.node.op_type
        integers = kind.startswith("QLinear") or (own is not None and INTEGERS in own.family)
        rate = self.peaks.rates.get("int8" if integers else "float32", 0.0)
        work = 2 * own.times * own.quantities[0] if own and FAMILIES[own.family].names[0] == "MACs" else 0.0
        bandwidth = max(self.peaks.bandwidths.values(), default=0.0)
        moved = step.node.repeat * sum(t.nbytes for t in step.node.outputs if t is not None and t.is_shaped) if work else 0
        overhead = min(self._overhead * step.node.repeat, total)
        return NodeTime(
            name=step.node.name, op_type=kind, dtype="int8" if integers else step.node.out.dtype,
            merged=len(step.absorbed), compute=work / rate if rate else 0.0, transfer=moved / bandwidth if bandwidth else None,
            overhead=overhead, span=Interval(total, total, "prediction"),
        )  # fmt: skip

    @cached_property
    def _overhead(self) -> float:
        """Seconds of a node with almost no work."""
        return min(point.seconds for point in self.speeds.points["cheap"])

    def _notes(self, report: CostReport, steps: Sequence[StepTime]) -> Iterator[str]:
        version, threads = self.calibration.machine.onnxruntime, self._threads
        when = f"on {self.calibration.date}, with onnxruntime {version} and {threads} thread{'s'[: threads - 1]}"
        yield f"after kernels timed {when}{', in an interrupted calibration' if self.calibration.interrupted else ''}"
        for found, meaning in (
            (Counter(f.step.node.key for f in steps if "other" in f.seconds), "each is counted as moving its outputs"),
            (Counter(f.step.node.key for f in steps if f.untimed), "it is not included, so the latency is too short"),
        ):
            if found:
                names = _join([name for name, _ in found.most_common(3)])
                yield f"no kernel like {names} was timed: {meaning}"
        if report.uncounted:
            yield f"{len(report.uncounted)} nodes of unknown shape are not included"


def predict(
    model: ModelSource,
    calibration: Calibration | str | Path,
    *,
    threads: int | None = None,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    formulas: FormulaTable | None = None,
) -> Prediction:
    """Predict the latency of ``model`` on a calibrated machine, without running it.

    ``calibration`` is the result of ``onnxcost.calibrate``, or a file written by ``onnxcost devices calibrate``. ``threads``
    is one of the calibrated numbers of threads, by default the largest. The other arguments are those of ``onnxcost.estimate``.

    Raises InputError for a file that is not a calibration and for a number of threads that was not calibrated, and the errors
    of ``onnxcost.estimate``.
    """
    known = calibration if isinstance(calibration, Calibration) else load(calibration)
    report = estimate(model, shapes=shapes, dims=dims, values=values, trips=trips, formulas=formulas)
    return Calibrated(known, threads).predict(report)


def _join(items: list[int] | list[str]) -> str:
    return ", ".join(map(str, items))
