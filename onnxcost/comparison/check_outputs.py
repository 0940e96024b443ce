"""Whether models compute the same: all are run once on the inputs of the first, and their outputs are compared with its."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.comparison.agreement import Agreement, Fed, arrangements, counterparts, differences, shape_text
from onnxcost.errors import MeasurementError, OnnxCostError
from onnxcost.estimator import estimate_spec
from onnxcost.measurement import Settings
from onnxcost.runtime.inputs import Feed, arrays_of, feeds_of
from onnxcost.runtime.inputs.roles import numpy_type
from onnxcost.runtime.prepare import build_request, prepare
from onnxcost.runtime.protocol import Progress
from onnxcost.runtime.supervisor import OnProgress, answer, answers
from onnxcost.runtime.tasks import Outputs
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxcost.report import CostReport

    Arrays = Mapping[str, NDArray[Any]]


INTEGERS = frozenset({f"{sign}int{bits}" for sign in ("", "u") for bits in (16, 32, 64)})


class _CheckedModel(NamedTuple):
    """A model, the feeds of its inputs that are tensors, and which of the first model's they get; or why it cannot be fed."""

    spec: ModelSpec
    report: CostReport
    feeds: Mapping[str, Feed] = {}
    fed: tuple[Fed, ...] = ()
    reason: str = ""


def check_outputs(
    specs: Sequence[ModelSpec],
    settings: Settings = Settings(),  # noqa: B008  # frozen
    *,
    reports: Sequence[CostReport] | None = None,
    on_progress: OnProgress | None = None,
) -> list[Agreement]:
    """How much the outputs of every other model differ from the first one's, on the same inputs.

    The first model's inputs are synthetic or given, as for a measurement. An input of another model gets the array of the input
    with its name, otherwise of the first remaining one that fits in type and shape; NCHW is transposed to NHWC and back.
    ``reports`` are the estimates, if they exist already.
    """
    known = [estimate_spec(spec) for spec in specs] if reports is None else reports
    say = on_progress or (lambda _: None)
    say(Progress("outputs", 0.0))
    first, *others = (_choose_feeds(_CheckedModel(spec, report)) for spec, report in zip(specs, known, strict=True))
    others = [_pair_inputs(first, other) for other in others]
    try:
        arrays = _arrays(first, others, settings.seed)
        expected = _outputs(first, arrays, settings)
    except OnnxCostError as error:
        return [Agreement(reason=f"the first model cannot be run: {error}") for _ in others]
    agreements = []
    for number, other in enumerate(others, 1):
        say(Progress("outputs", number / len(specs)))
        agreements.append(_agreement(other, arrays, expected, settings))
    return agreements


def _choose_feeds(model: _CheckedModel) -> _CheckedModel:
    try:
        feeds = feeds_of(model.report.graph, model.spec.values, model.spec.inputs)
    except OnnxCostError as error:
        return model._replace(reason=str(error))
    return model._replace(feeds={feed.name: feed for feed in feeds if feed.fill is not None})


def _pair_inputs(first: _CheckedModel, other: _CheckedModel) -> _CheckedModel:
    """The other model with the sources of its inputs, except for inputs that were given for it alone."""
    own = {*other.spec.values, *other.spec.inputs} - first.feeds.keys()
    wanted = {name: feed for name, feed in other.feeds.items() if name not in own}
    found = counterparts(first.feeds, wanted, _fits)
    for name, feed in wanted.items():
        if name not in found:
            return other._replace(reason=f"the first model has no input left that fits '{name}' ({_text(feed)})")
        source = first.feeds[found[name]]
        if not _fits(source, feed):
            return other._replace(reason=f"input '{name}' is {_text(feed)}, in the first model {_text(source)}: see --shape")
    return other._replace(
        fed=tuple(Fed(name, source, wanted[name].shape != first.feeds[source].shape) for name, source in found.items())
    )


def _fits(source: Feed, feed: Feed) -> bool:
    """Whether the array of one input can be fed to another."""
    return _kind(source.dtype) == _kind(feed.dtype) and bool(arrangements(source.shape or (), feed.shape or ()))


def _kind(dtype: str) -> str:
    """The kind of an element type: types of one kind represent the same numbers."""
    return "float" if "float" in dtype else "integer" if dtype in INTEGERS else dtype


def _text(feed: Feed) -> str:
    return f"{feed.dtype} {shape_text(feed.shape or ())}"


def _arrays(first: _CheckedModel, others: Sequence[_CheckedModel], seed: int) -> dict[str, NDArray[Any]]:
    """The inputs of the first model, rounded to values that the types of all models can hold.

    Raises MeasurementError if the first model cannot be fed.
    """
    if first.reason:
        raise MeasurementError(first.reason)
    arrays = {name: arrays_of(feed, seed)[0] for name, feed in first.feeds.items()}
    for other in others:
        for name, source, _ in other.fed:
            array = arrays[source]
            arrays[source] = array.astype(numpy_type(other.feeds[name].dtype)).astype(array.dtype)
    return arrays


def _agreement(other: _CheckedModel, arrays: Arrays, expected: Arrays, settings: Settings) -> Agreement:
    if other.reason:
        return Agreement(reason=other.reason)
    own = {}
    for name, source, _ in other.fed:
        array = arrays[source]
        own[name] = array.transpose(arrangements(array.shape, other.feeds[name].shape or ())[0])
    try:
        found = _outputs(other, own, settings)
    except OnnxCostError as error:
        return Agreement(reason=str(error))
    return replace(differences(expected, found), inputs=other.fed)


def _outputs(model: _CheckedModel, arrays: Arrays, settings: Settings) -> Arrays:
    """The model's outputs for these inputs."""
    spec = replace(model.spec, values={**model.spec.values, **arrays})
    with prepare(spec, model.report, settings.seed) as ready:
        if ready.weights == "synthesised":
            raise MeasurementError("its file lacks weights: outputs computed with random ones say nothing about it")
        return answer(answers(build_request("outputs", ready, settings)), Outputs).arrays
