"""``onnxcost.compare``: loads models and saved reports, times them interleaved, checks their outputs, and limits growth."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.comparison.candidates import (
    MEASURED,
    Broken,
    Candidate,
    Comparison,
    Document,
    Number,
    check_directions,
    find_metric,
    label_paths,
    rank,
)
from onnxcost.comparison.saved import boards_in, load_report, read_candidate
from onnxcost.conventions import find_convention
from onnxcost.documents import UNITS, parse_quantity
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.measurement import Settings, Unmeasured
from onnxcost.remote.models import Listed
from onnxcost.remote.urls import is_remote, redact
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from onnxcost.comparison.agreement import Agreement
    from onnxcost.measurement import MeasurementResult
    from onnxcost.report import CostReport
    from onnxcost.runtime.interleaved import Ratio
    from onnxcost.runtime.supervisor import OnProgress


class LabeledSource(NamedTuple):
    """A model or a saved report, and its label in the comparison; for the file of a fleet, one ``board`` in it."""

    label: str
    path: str
    listed: Listed | None = None
    """The listing's entry for a model at a URL."""
    board: str = ""

    @property
    def is_saved(self) -> bool:
        """Whether it is a report, according to its suffix."""
        return PurePath(self.path).suffix.lower() == ".json" and not is_remote(self.path)


class LoadedSource(NamedTuple):
    """A source and its report: that of a model, counted now from ``spec``, or a saved document."""

    source: LabeledSource
    found: CostReport | Document
    spec: ModelSpec


def expand_boards(sources: Sequence[LabeledSource]) -> list[LabeledSource]:
    """The sources, with one for each board instead of a file of several: ``pi5``, or ``pi5 (monday)`` for several files."""
    found: list[LabeledSource] = []
    for source in sources:
        boards = boards_in(source.path) if source.is_saved else []
        for board in boards:
            label = f"{board} ({source.label})" if len(sources) > 1 else board
            found.append(LabeledSource(label, source.path, board=board))
        if not boards:
            found.append(source)
    return found


def load_sources(sources: Sequence[LabeledSource], common: ModelSpec = ModelSpec(None)) -> list[LoadedSource | Broken]:  # noqa: B008  # frozen
    """Read every source. The parts of ``common`` whose names a model has apply to it.

    Raises InputError for a name in ``common`` that no model has.
    """
    results: list[LoadedSource | Broken] = []
    specs: list[ModelSpec] = []
    for source in sources:
        try:
            if source.is_saved:
                results.append(LoadedSource(source, load_report(source.path, source.board), ModelSpec(source.path)))
                continue
            from onnxcost.estimator import estimate_spec
            from onnxcost.frontend.dims import select_known

            specs.append(select_known(replace(common, source=source.path)))
            results.append(LoadedSource(source, estimate_spec(specs[-1]), specs[-1]))
        except OnnxCostError as error:
            results.append(Broken(source.label, str(error)))
    for option, kind in (("--shape", "shapes"), ("--dim", "dims"), ("--value", "values"), ("--input", "inputs")):
        known = {name for spec in specs for name in getattr(spec, kind)}
        if kind == "shapes" and any(shape == common.shapes.get("") for spec in specs for shape in spec.shapes.values()):
            known.add("")
        if unknown := [name for name in getattr(common, kind) if name not in known]:
            text = unknown[0] or "x".join(map(str, common.shapes[""]))
            raise InputError(f"{option} {text}: not found in any model that could be read; saved reports cannot be changed")
    return results


class Timing(NamedTuple):
    """The result of measuring a model, and the ratio of its latency to the baseline's, if both were timed interleaved."""

    result: MeasurementResult
    ratio: Ratio | None = None


def build_comparison(
    results: Sequence[LoadedSource | Broken],
    convention: str = "flops",
    sort: str | None = None,
    pareto: tuple[str, ...] = (),
    timings: Mapping[str, Timing] = {},
    agreements: Mapping[str, Agreement] = {},
) -> Comparison:
    """The comparison of the loaded sources with the first of them; ``timings`` and ``agreements`` are by label.

    Raises InputError if no source could be read, or if no model has the metric to sort by or one of the Pareto front's.
    """
    candidates: list[Candidate] = []
    broken: list[Broken] = []
    for result in results:
        if isinstance(result, Broken):
            broken.append(result)
            continue
        try:
            candidate = _candidate(result, convention, timings.get(result.source.label))
            candidates.append(replace(candidate, agreement=agreements.get(result.source.label)))
        except OnnxCostError as error:
            broken.append(Broken(result.source.label, str(error)))
    if not candidates:
        raise InputError(f"no model could be read; {broken[0].text}")
    for metric in (*([sort] if sort else []), *pareto):
        if not any(metric in each.values or (each.unmeasured and metric in MEASURED) for each in candidates):
            raise InputError(f"no model has a known '{metric}'")
    candidates = [each.timed_beside(candidates[0]) for each in candidates]
    in_order = rank(candidates, sort) if sort else tuple(candidates)
    return Comparison(candidates[0], in_order, tuple(broken), convention, sort, pareto)


def _candidate(result: LoadedSource, convention: str, timing: Timing | None) -> Candidate:
    label, found = result.source.label, result.found
    if isinstance(found, Mapping):
        return read_candidate(found, label, convention)
    document = found.to_dict(convention, timing.result if timing else None)
    return replace(read_candidate(document, label, convention), ratio=timing.ratio if timing else None)


def compare(
    models: Sequence[str | os.PathLike[str]],
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    inputs: Mapping[str, str | Sequence[str]] | None = None,
    convention: str = "flops",
    sort: str | None = None,
    pareto: Sequence[str] = (),
    run: bool = True,
    check_outputs: bool = False,
    on_progress: OnProgress | None = None,
    **changes: Any,
) -> Comparison:
    """Compare models, or reports saved as JSON: what each costs, how fast it is, and which is best.

    Timing is interleaved; ``run=False`` turns it off. With ``check_outputs``, the outputs of all models are compared with
    those of the first. The other arguments are those of ``onnxcost.measure``; each applies to the models that have the name.
    ``sort`` and ``pareto`` are names of metrics.

    Models that cannot be read are listed as broken in the result; models that cannot be run have no latency.

    Raises InputError if no model can be read, and for an argument that fits none of them.
    """
    from onnxcost.runtime.api import change_settings

    paths = [os.fspath(model) for model in models]
    sources = expand_boards([LabeledSource(label, path) for label, path in zip(label_paths(paths), paths, strict=True)])
    refuse_too_few(sources, check_outputs)
    find_convention(convention)
    front = check_directions(pareto, "pareto")
    if sort is not None:
        find_metric(sort)
    changed = change_settings(settings, changes)
    results = load_sources(sources, ModelSpec.of(None, shapes, dims, values, inputs=inputs))
    timings = time_models(results, changed, on_progress).by_label if run else {}
    agreements = check_agreement(results, changed, on_progress) if check_outputs else {}
    return build_comparison(results, convention, sort, front, timings, agreements)


def refuse_too_few(sources: Sequence[LabeledSource], check_outputs: bool) -> None:
    """Raises InputError for fewer models than a comparison needs."""
    if len(sources) < 2:
        single = f": for a single model, run 'onnxcost {redact(sources[0].path)}'" if sources else ""
        raise InputError(f"compare needs at least two models{single}")
    if check_outputs and sum(not source.is_saved for source in sources) < 2:
        raise InputError("comparing outputs needs two models that can be run; saved reports have no outputs")


class Timings(NamedTuple):
    """The results of measuring the models among the sources, by label, and notes on how they were timed."""

    by_label: Mapping[str, Timing] = {}
    notes: tuple[str, ...] = ()


def time_models(results: Sequence[LoadedSource | Broken], settings: Settings, on_progress: OnProgress | None = None) -> Timings:
    """Time the models among the sources interleaved. Raises InputError for concurrent streams."""
    from onnxcost.runtime.interleaved import measure_interleaved

    models, reports = _select_runnable(results)
    if not models:
        return Timings()
    found = measure_interleaved([model.spec for model in models], settings, reports=reports, on_progress=on_progress)
    # A ratio to another model would be mistaken for one to the baseline.
    is_first = next(result for result in results if isinstance(result, LoadedSource)) is models[0]
    ratios = found.ratios if is_first else [None] * len(models)
    names = [model.source.label for model in models]
    return Timings(dict(zip(names, map(Timing, found.results, ratios), strict=True)), tuple(_notes(found.groups, names)))


def mark_untimed(results: Sequence[LoadedSource | Broken], reason: str) -> Timings:
    """The results for models that were not timed, with the reason."""
    models, _ = _select_runnable(results)
    return Timings({model.source.label: Timing(Unmeasured("failed", reason)) for model in models})


def _notes(groups: Sequence[Sequence[int]], names: Sequence[str]) -> list[str]:
    together = [group for group in groups if group[0] == 0]
    alone = [names[group[0]] for group in groups if group[0] != 0]
    notes = []
    if len(together) > 1:
        notes.append(
            f"timed in {len(together)} groups, each interleaved with {names[0]}: there are too many models for a single group"
        )
    if alone:
        notes.append(f"{', '.join(alone)}: timed alone, because memory cannot hold it and {names[0]} at the same time")
    return notes


def check_agreement(
    results: Sequence[LoadedSource | Broken], settings: Settings, on_progress: OnProgress | None = None
) -> Mapping[str, Agreement]:
    """Compare the outputs of the models with those of the first model: by label, without the first."""
    from onnxcost.comparison.agreement import check_outputs

    models, reports = _select_runnable(results)
    if len(models) < 2:
        return {}
    found = check_outputs([model.spec for model in models], settings, reports=reports, on_progress=on_progress)
    reference = models[0].source.label
    return {
        model.source.label: replace(agreement, reference=reference) for model, agreement in zip(models[1:], found, strict=True)
    }


def _select_runnable(results: Sequence[LoadedSource | Broken]) -> tuple[list[LoadedSource], list[CostReport]]:
    """The models among the sources, and their estimates."""
    models = [result for result in results if isinstance(result, LoadedSource) and not isinstance(result.found, Mapping)]
    return models, [model.found for model in models if not isinstance(model.found, Mapping)]


class Limit(NamedTuple):
    """A metric may grow by ``amount``, or by that share of the first model's value if ``is_relative``; ``text`` is as given."""

    metric: str
    amount: float
    is_relative: bool
    text: str


class Excess(NamedTuple):
    """A limit that a model exceeds, and the values."""

    limit: Limit
    label: str
    before: Number
    after: Number


def parse_limit(metric: str, text: str) -> Limit:
    """The limit for ``flops`` and ``1%``, or ``weight_bytes`` and ``1MiB``.

    Raises InputError for a metric of which more is better, and for a text that is not a limit of the metric.
    """
    named = find_metric(metric)
    if named.better == "more":
        raise InputError(f"--max-increase {metric}: for this metric more is better; limit latency or memory instead")
    units = {"%": 0.01, **UNITS[named.unit]}
    amount = parse_quantity(text, units)
    if amount is None:
        there = ", ".join(f"5{unit}" for unit in units)
        raise InputError(f"--max-increase {metric}={text}: expected a limit such as {there}")
    return Limit(metric, amount, text.strip().endswith("%"), text.strip())


def find_excesses(comparison: Comparison, limits: Sequence[Limit]) -> list[Excess]:
    """What exceeds its limit, for the models whose metrics are known."""
    found = (_excess(limit, comparison, model) for limit in limits for model in comparison.others)
    return [excess for excess in found if excess is not None]


def _excess(limit: Limit, comparison: Comparison, model: Candidate) -> Excess | None:
    before, after = comparison.baseline.values.get(limit.metric), model.values.get(limit.metric)
    if before is None or after is None:
        return None
    if limit.metric == "latency" and model.ratio:
        after = before if model.ratio.is_undecided else before * model.ratio.value
    is_within = after - before <= limit.amount * (before if limit.is_relative else 1)
    return None if is_within else Excess(limit, model.label, before, after)


def find_unchecked(comparison: Comparison, limits: Sequence[Limit]) -> dict[str, list[str]]:
    """The metrics with a limit that some models lack, and the labels of those models."""
    models = (comparison.baseline, *comparison.others)
    lacking = {limit.metric: [model.label for model in models if limit.metric not in model.values] for limit in limits}
    return {metric: labels for metric, labels in lacking.items() if labels}


def find_bounded(comparison: Comparison, limits: Iterable[Limit]) -> list[tuple[str, str]]:
    """The metrics with a limit whose values are bounds, not exact, and the labels of those models."""
    models = (comparison.baseline, *comparison.others)
    return [(limit.metric, model.label) for limit in limits for model in models if model.bound_of(limit.metric)]
