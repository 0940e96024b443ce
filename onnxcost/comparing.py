"""Models and saved reports read for a comparison; one that cannot be read does not keep the others from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.comparison.candidates import Broken, Candidate, Comparison, ordered
from onnxcost.comparison.metrics import MEASURED, Document
from onnxcost.comparison.saved import candidate_of, saved_report
from onnxcost.errors import InputError, OnnxCostError

if TYPE_CHECKING:
    from onnxcost.comparison.agreement import Agreement
    from onnxcost.latency import Ratio
    from onnxcost.measurement import MeasurementResult
    from onnxcost.measuring.preparation import Question
    from onnxcost.report import CostReport


class Source(NamedTuple):
    """A model or a saved report, and what it is called in the comparison."""

    label: str
    path: str

    @property
    def is_saved(self) -> bool:
        """Whether it is a report, by its name."""
        return PurePath(self.path).suffix.lower() == ".json"


class Given(NamedTuple):
    """What is said of the inputs of all models, as ``onnxcost.measure`` takes it; each takes what it has a name for."""

    shapes: Mapping[str, Sequence[int]] = {}
    dims: Mapping[str, int] = {}
    values: Mapping[str, Any] = {}
    inputs: Mapping[str, str | Sequence[str]] = {}


class Read(NamedTuple):
    """A source and what was found: the report of a model counted now, or a saved document. ``given`` is what it took of it."""

    source: Source
    found: CostReport | Document
    given: Given = Given()

    @property
    def question(self) -> Question:
        """What is asked of a model that is run."""
        from onnxcost.measuring.preparation import Question

        return Question.of(self.source.path, **self.given._asdict())


def read(sources: Sequence[Source], given: Given = Given()) -> list[Read | Broken]:  # noqa: B008  # frozen
    """Every source read. Raises InputError for a name in ``given`` that no model has."""
    results: list[Read | Broken] = []
    taken: list[Given] = []
    for source in sources:
        try:
            taken.append(_own(source, given))
            results.append(Read(source, _found(source, taken[-1]), taken[-1]))
        except OnnxCostError as error:
            results.append(Broken(source.label, str(error)))
    for option, kind in _OPTIONS:
        known = {name for own in taken for name in getattr(own, kind)}
        if unknown := [name for name in getattr(given, kind) if name not in known]:
            raise InputError(f"{option} {unknown[0]}: no model that could be read has it, and a saved report stays as it is")
    return results


_OPTIONS = (("--shape", "shapes"), ("--dim", "dims"), ("--value", "values"), ("--input", "inputs"))


def _own(source: Source, given: Given) -> Given:
    """What of ``given`` the model has a name for."""
    if source.is_saved or not any(given):
        return Given()
    from onnxcost.frontend.input_names import named_in

    return Given(**named_in(source.path, given._asdict()))


def _found(source: Source, given: Given) -> CostReport | Document:
    if source.is_saved:
        return saved_report(source.path)
    if given.inputs:
        return Read(source, {}, given).question.estimate()
    from onnxcost.estimator import estimate

    return estimate(source.path, shapes=given.shapes, dims=given.dims, values=given.values)


class Timing(NamedTuple):
    """What came of measuring a model, and its latency's ratio to the baseline's, where both were timed by turns."""

    result: MeasurementResult
    ratio: Ratio | None = None


def comparison_of(
    results: Sequence[Read | Broken],
    convention: str = "flops",
    sort: str | None = None,
    pareto: tuple[str, ...] = (),
    timings: Mapping[str, Timing] = {},
    agreements: Mapping[str, Agreement] = {},
) -> Comparison:
    """The comparison of what was read, against the first that could be; ``timings`` and ``agreements`` are by label.

    Raises InputError where not a single one could be read, or no model has the metric to sort by or one of the Pareto front.
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
            raise InputError(f"'{metric}' is known of none of the models")
    in_order = ordered(candidates, sort) if sort else tuple(candidates)
    return Comparison(candidates[0], in_order, tuple(broken), convention, sort, pareto)


def _candidate(result: Read, convention: str, timing: Timing | None) -> Candidate:
    from onnxcost.schema import report_to_dict

    label, found = result.source.label, result.found
    if isinstance(found, Mapping):
        return candidate_of(found, label, convention)
    document = report_to_dict(found, convention, timing.result if timing else None)
    return replace(candidate_of(document, label, convention), ratio=timing.ratio if timing else None)
