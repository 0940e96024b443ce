"""``onnxcost.pipeline``: several models and steps as one, such as an encoder and the 200 steps of a decoder."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from onnxcost.conventions import FLOPS, MACS
from onnxcost.costs import Group, group_costs
from onnxcost.errors import InputError, OnnxCostError, UnreadableFile
from onnxcost.estimator import estimate_spec
from onnxcost.formulas.table import FormulaTable
from onnxcost.generation.stages import SharedDim, StageSpec, name_stages, parse_stages, share_dims
from onnxcost.generation.steps import Growth, Summed, find_steps, sum_runs
from onnxcost.graph import BoundDim
from onnxcost.measurement import Measurement, MeasurementResult, Settings
from onnxcost.remote.urls import is_remote, redact
from onnxcost.report import CostReport
from onnxcost.results import Result, make_document
from onnxcost.runtime.supervisor import OnProgress
from onnxcost.spec import ModelSpec

COUNTS = ("macs", "flops", "read_bytes", "write_bytes")
"""The figures that are summed over the runs."""


@dataclass(frozen=True, slots=True)
class Stage:
    """A model of a pipeline: ``report`` is the estimate of its first run, ``middle`` and ``last`` those of other runs.

    ``middle_spec`` is the spec of the middle one. ``summed`` are the figures COUNTS of all runs together, ``assumed`` the dims
    that were not given, except for those that grow. ``measurement`` is of the middle run: the work of a run with a cache grows
    linearly, so it takes the mean time.
    """

    name: str
    path: str
    runs: int
    report: CostReport
    middle: CostReport
    last: CostReport
    middle_spec: ModelSpec
    summed: Summed
    growth: tuple[Growth, ...] = ()
    assumed: tuple[BoundDim, ...] = ()
    measurement: MeasurementResult | None = None

    @property
    def file(self) -> str:
        """The file itself, without links to it."""
        return self.path if is_remote(self.path) else os.path.realpath(self.path)

    @property
    def counts(self) -> Mapping[str, int]:
        """The figures COUNTS of all runs."""
        return dict(zip(COUNTS, self.summed.totals, strict=True))

    @property
    def bound(self) -> str:
        """That of the counts: as ``CostReport.bound``, and "mixed" if some runs are interpolated."""
        return self.report.bound if self.summed.is_exact else "mixed"

    @property
    def seconds(self) -> float | None:
        """The time of all runs: the median of the measured one, times the number of runs."""
        return self.runs * self.measurement.latency.median if isinstance(self.measurement, Measurement) else None

    def to_dict(self) -> dict[str, Any]:
        """An entry of the key ``stages``."""
        memory = self.report.memory
        return {
            "name": self.name,
            "path": self.path,
            "runs": self.runs,
            "dims": [{"name": dim.name, "value": dim.value, "source": dim.source} for dim in self.report.graph.dims],
            "grows": [growth.to_dict(self.runs) for growth in self.growth],
            "runs_counted": self.summed.counted,
            "bound": self.bound,
            **self.counts,
            "parameters": memory.parameters,
            "weight_bytes": memory.weight_bytes,
            "peak_activation_bytes": self.summed.peak,
            "seconds": self.seconds,
            "measurement": self.measurement and self.measurement.to_dict(),
        }


@dataclass(frozen=True, repr=False)
class Pipeline(Result):
    """The combined cost of several models. Weights of a file used by several stages count once.

    ``notes`` are sentences on how the stages fit together.
    """

    stages: tuple[Stage, ...]
    shared: tuple[SharedDim, ...] = ()
    notes: tuple[str, ...] = ()

    @cached_property
    def _files(self) -> list[CostReport]:
        """A report of each file."""
        return list({stage.file: stage.report for stage in self.stages}.values())

    def total(self, name: str) -> int:
        """The sum of one of COUNTS over all runs of all stages."""
        return sum(stage.counts[name] for stage in self.stages)

    @property
    def macs(self) -> int:
        """The total of all runs in the convention ``macs``."""
        return self.total("macs")

    @property
    def flops(self) -> int:
        """The total of all runs in the convention ``flops``."""
        return self.total("flops")

    @property
    def runs(self) -> int:
        """The number of runs of all stages."""
        return sum(stage.runs for stage in self.stages)

    @property
    def parameters(self) -> int:
        """The parameters of all files."""
        return sum(report.parameters for report in self._files)

    @property
    def weight_bytes(self) -> int:
        """The weights of all files, as stored."""
        return sum(report.memory.weight_bytes for report in self._files)

    @property
    def largest(self) -> Stage | None:
        """The stage with the largest activations; None if those of a stage are not known."""
        known = [stage for stage in self.stages if stage.summed.peak is not None]
        return max(known, key=lambda stage: stage.summed.peak or 0) if len(known) == len(self.stages) else None

    @property
    def peak_bytes(self) -> int | None:
        """The weights of all files and the largest activations of a stage: all models stay loaded, and one runs at a time."""
        return None if self.largest is None else self.weight_bytes + (self.largest.summed.peak or 0)

    @property
    def bound(self) -> str:
        """Whether the counts are exact (""), "lower" or "upper" bounds, or "mixed"."""
        kinds = {stage.bound for stage in self.stages} - {""}
        return "mixed" if len(kinds) > 1 else next(iter(kinds), "")

    @property
    def seconds(self) -> float | None:
        """The time of all runs of all stages, one after the other; None if a stage was not measured."""
        times = [stage.seconds for stage in self.stages]
        return sum(time for time in times if time is not None) if None not in times else None

    def by_dtype(self) -> tuple[Group, ...]:
        """The nodes of one run of each stage by the type of their arithmetic, keyed (dtype,)."""
        counted = [cost for stage in self.stages for cost in stage.report.counted]
        return group_costs(counted, lambda cost: (getattr(cost, "dtype", ""),))

    def to_dict(self) -> dict[str, Any]:
        """A document of the schema ``onnxcost/1``."""
        return make_document(**self.document())

    def document(self) -> dict[str, Any]:
        """The key ``pipeline`` with the stages, what they share, and the totals."""
        total = {
            "runs": self.runs,
            "bound": self.bound,
            **{name: self.total(name) for name in COUNTS},
            "parameters": self.parameters,
            "weight_bytes": self.weight_bytes,
            "peak_activation_bytes": self.largest and self.largest.summed.peak,
            "peak_bytes": self.peak_bytes,
            "seconds": self.seconds,
        }
        stages = [stage.to_dict() for stage in self.stages]
        shared = [each._asdict() for each in self.shared]
        return {"pipeline": {"stages": stages, "shared": shared, "total": total, "notes": list(self.notes)}}

    def to_records(self) -> list[dict[str, Any]]:
        """A row for each stage, and one for the total."""
        total = self.document()["pipeline"]["total"]
        rows = [{key: stage.to_dict()[key] for key in ("name", *total) if key != "peak_bytes"} for stage in self.stages]
        return [*rows, {"name": "total", **total}]

    def summary(self) -> str:
        """The numbers of stages and runs, and their totals."""
        return (
            f"{len(self.stages)} stages, {self.runs} runs: {self.macs} MACs, {self.flops} FLOPs, {self.parameters} parameters"
        )


def pipeline(
    stages: str | os.PathLike[str] | Sequence[str | StageSpec],
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    dims: Mapping[str, int] | None = None,
    formulas: FormulaTable | None = None,
    run: bool = False,
    **changes: Any,
) -> Pipeline:
    """Count what several models cost together, each with its number of runs.

    ``stages`` is a string such as ``encoder.onnx,decoder.onnx×200``, the path of a TOML file of stages, or a list of stages.
    ``dims`` apply to the stages that have a dim of that name. With ``run``, each model is measured once for all its runs;
    ``settings`` and ``changes`` are those of ``onnxcost.measure``.

    Raises InputError for stages that cannot be read, and the errors of ``onnxcost.estimate`` and ``onnxcost.measure``.
    """
    if isinstance(stages, str | os.PathLike):
        specs = parse_stages(os.fspath(stages))
    else:
        specs = name_stages(
            [each for stage in stages for each in ([stage] if isinstance(stage, StageSpec) else parse_stages(stage))]
        )
    found = estimate_stages(specs, ModelSpec.of(None, dims=dims), formulas)
    if not run:
        return found
    from onnxcost.runtime.api import change_settings

    changed = change_settings(settings, changes)
    return replace(found, stages=tuple(measure_stages(found, changed, formulas)))


def estimate_stages(
    stages: Sequence[StageSpec],
    common: ModelSpec = ModelSpec(None),  # noqa: B008  # frozen
    formulas: FormulaTable | None = None,
) -> Pipeline:
    """The estimate of a pipeline; what ``common`` has applies to the stages that have the names.

    Raises InputError for a name in ``common`` that no stage has.
    """
    specs = [stage.model_spec(common) for stage in stages]
    for option, kind in (("--shape", "shapes"), ("--dim", "dims"), ("--value", "values")):
        there = {name for spec in specs for name in getattr(spec, kind)}
        if unknown := [name for name in getattr(common, kind) if name and name not in there]:
            raise InputError(f"{option} {unknown[0]}: not found in any stage of the pipeline")
    found: list[Stage] = []
    shared: list[SharedDim] = []
    notes: list[str] = []
    for stage, spec in zip(stages, specs, strict=True):
        try:
            made, taken, said = _estimate_stage(stage, spec, {each.name: each.report for each in found}, formulas)
        except OnnxCostError as error:
            # Of what was not asked for this file alone, the message does not say which it is.
            raise error if redact(stage.path) in str(error) else type(error)(f"{stage.name}: {error}") from None
        found.append(made)
        shared += taken
        notes += said
    return Pipeline(tuple(found), tuple(shared), tuple(notes))


def _estimate_stage(
    stage: StageSpec, asked: ModelSpec, earlier: Mapping[str, CostReport], formulas: FormulaTable | None
) -> tuple[Stage, list[SharedDim], list[str]]:
    """The stage, the dims that it takes from earlier ones, and notes on those that it cannot take."""
    notes: list[str] = []
    plain = estimate_spec(asked, formulas)
    steps = find_steps(asked, plain, stage.runs, stage.grows if stage.runs > 1 else None)
    shared = share_dims(steps.spec, stage.name, earlier, [dim.name for dim in plain.graph.dims if dim not in steps.assumed])
    spec = replace(steps.spec, dims={**steps.spec.dims, **{each.name: each.value for each in shared}})
    try:
        first = estimate_spec(replace(steps, spec=spec).spec_at(0), formulas)
        steps = replace(steps, spec=spec)
    except UnreadableFile:
        raise
    except OnnxCostError:
        if not shared:
            raise
        notes = [f"{stage.name} does not accept {each.name} = {each.value} of {each.origin}" for each in shared]
        shared = []
        first = estimate_spec(steps.spec_at(0), formulas)
    reports = {0: first}

    def report_at(run: int) -> CostReport:
        if run not in reports:
            reports[run] = estimate_spec(steps.spec_at(run), formulas) if steps.growth else first
        return reports[run]

    if steps.growth:
        totals, is_exact, counted = sum_runs(lambda run: _figures(report_at(run)), stage.runs)
    else:
        totals, is_exact, counted = tuple(stage.runs * figure for figure in _figures(first)), True, [0]
        if stage.runs > 1:
            notes.append(f"{stage.name} has no growing cache: its {stage.runs} runs are identical")
    peaks = [report_at(run).memory.peak_activation_bytes for run in counted]
    peak = None if None in peaks else max(peak for peak in peaks if peak is not None)
    middle, taken = (stage.runs - 1) // 2, {each.name for each in shared}
    assumed = tuple(dim for dim in steps.assumed if dim.name not in taken)
    made = Stage(
        stage.name, redact(stage.path), stage.runs, first, report_at(middle), report_at(stage.runs - 1), steps.spec_at(middle),
        Summed(totals, peak, len(counted), is_exact), steps.growth, assumed,
    )  # fmt: skip
    return made, shared, notes


def _figures(report: CostReport) -> tuple[int, ...]:
    """The figures COUNTS of one run."""
    traffic = report.whole.traffic
    return report.total(MACS), report.total(FLOPS), traffic.read_bytes, traffic.write_bytes


def measure_stages(
    found: Pipeline, settings: Settings, formulas: FormulaTable | None = None, on_progress: OnProgress | None = None
) -> Iterator[Stage]:
    """The stages with the measurement of the middle run of each, one after the other.

    Raises what ``onnxcost.measure`` raises.
    """
    from onnxcost.runtime.api import measure_spec

    for stage in found.stages:
        measured = measure_spec(stage.middle_spec, settings, formulas=formulas, report=stage.middle, on_progress=on_progress)
        yield replace(stage, measurement=measured)
