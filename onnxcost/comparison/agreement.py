"""Whether models compute the same: all are run on the inputs of the first one, and their outputs are compared with its."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from onnxcost.errors import MeasurementError, OnnxCostError
from onnxcost.measurement import Settings

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from onnxcost.report import CostReport
    from onnxcost.runtime.protocol import Feed
    from onnxcost.runtime.supervisor import OnProgress
    from onnxcost.spec import ModelSpec

    Arrays = Mapping[str, NDArray[Any]]

T = TypeVar("T")
Shape = tuple[int, ...]


class Fed(NamedTuple):
    """An input of a model, and the input of the first model whose array it gets."""

    name: str
    source: str
    is_transposed: bool = False


@dataclass(frozen=True, slots=True)
class OutputDifference:
    """An output of the first model, compared with the output ``other`` of another model.

    ``absolute`` is the largest difference between two elements that are both finite, ``largest`` the largest magnitude in the
    first model's output; both are None for elements that are not numbers. Of all ``elements``, ``unequal`` differ;
    ``not_finite`` are the same NaN or infinity in both outputs, ``apart`` are not finite in one of them or differently in each.
    ``reason`` says why the outputs could not be compared.
    """

    name: str
    other: str = ""
    shape: Shape = ()
    absolute: float | None = None
    largest: float | None = None
    elements: int = 0
    unequal: int = 0
    not_finite: int = 0
    apart: int = 0
    is_transposed: bool = False
    reason: str = ""

    @property
    def relative(self) -> float | None:
        """The largest difference divided by the largest magnitude in the first model's output."""
        if self.absolute is None or self.largest is None:
            return None
        return self.absolute / self.largest if self.largest else inf if self.absolute else 0.0

    def is_within(self, limit: float) -> bool:
        """Whether the relative difference is at most ``limit``; elements that are not numbers must be equal."""
        if self.reason or self.apart:
            return False
        return not self.unequal if self.relative is None else self.relative <= limit

    @property
    def distance(self) -> tuple[bool, float, int]:
        """A sort key: the larger, the more the outputs differ."""
        return bool(self.reason or self.apart), self.relative or 0.0, self.unequal


@dataclass(frozen=True, slots=True)
class Agreement:
    """A model's outputs compared with those of the model ``reference``.

    ``alone`` are its outputs without a counterpart there. ``reason`` says why no outputs could be compared.
    """

    reference: str = ""
    inputs: tuple[Fed, ...] = ()
    outputs: tuple[OutputDifference, ...] = ()
    alone: tuple[str, ...] = ()
    reason: str = ""

    @property
    def farthest(self) -> OutputDifference | None:
        """The output that differs most."""
        return max(self.outputs, key=lambda each: each.distance, default=None)

    def to_dict(self) -> dict[str, Any]:
        """The value of the key ``outputs`` of a compared model."""
        return {
            "reference": self.reference,
            "reason": self.reason or None,
            "inputs": [fed._asdict() for fed in self.inputs],
            "outputs": [
                asdict(each) | {"absolute": _finite(each.absolute), "relative": _finite(each.relative)} for each in self.outputs
            ],
            "alone": list(self.alone),
        }


def _finite(value: float | None) -> float | None:
    """JSON has no infinity."""
    return value if value is not None and isfinite(value) else None


def arrangements(shape: Shape, wanted: Shape) -> list[Shape]:
    """The orders of an array's axes that give it the wanted shape: unchanged, NCHW to NHWC, or NHWC to NCHW."""
    rank = len(shape)
    orders = [tuple(range(rank))]
    if rank > 2:
        orders += [(0, *range(2, rank), 1), (0, rank - 1, *range(1, rank - 1))]
    return [order for order in dict.fromkeys(orders) if tuple(shape[axis] for axis in order) == wanted]


def counterparts(first: Mapping[str, T], others: Mapping[str, T], fits: Callable[[T, T], bool]) -> dict[str, str]:
    """For each of ``others``, its counterpart in ``first``: the one with its name, otherwise the first remaining one that fits.

    Those without a counterpart are left out.
    """
    found = {name: name for name in others if name in first}
    left = [name for name in first if name not in found]
    for name, other in others.items():
        match = next((each for each in left if name not in found and fits(first[each], other)), None)
        if match is not None:
            found[name] = match
            left.remove(match)
    return found


def differences(first: Mapping[str, NDArray[Any]], others: Mapping[str, NDArray[Any]]) -> Agreement:
    """The outputs of the first model, each compared with its counterpart by name, otherwise by position and shape."""
    found = counterparts(first, others, lambda one, other: bool(arrangements(other.shape, one.shape)))
    unfit = [name for name in others if name not in found]
    found |= dict(zip(unfit, (name for name in first if name not in found.values()), strict=False))
    names = {name: other for other, name in found.items()}
    return Agreement(
        outputs=tuple(
            difference(name, names[name], array, others[names[name]])
            if name in names
            else OutputDifference(name, shape=array.shape, reason="it has no such output")
            for name, array in first.items()
        ),
        alone=tuple(name for name in others if name not in found),
    )


def difference(name: str, other_name: str, first: NDArray[Any], other: NDArray[Any]) -> OutputDifference:
    """How much two outputs differ; if two layouts fit, in the one with the smaller difference."""
    reason = _not_comparable(first, other)
    if reason:
        return OutputDifference(name, other_name, first.shape, elements=first.size, reason=reason)
    plain = tuple(range(other.ndim))
    found = [
        replace(_difference(name, other_name, first, other.transpose(axes)), is_transposed=axes != plain)
        for axes in arrangements(other.shape, first.shape)
    ]
    return min(found, key=lambda each: each.distance)


def _not_comparable(first: NDArray[Any], other: NDArray[Any]) -> str:
    if not arrangements(other.shape, first.shape):
        return f"the shapes differ: {shape_text(first.shape)} and {shape_text(other.shape)}"
    if _is_text(first) != _is_text(other):
        return f"the types differ: {first.dtype} and {other.dtype}"
    return ""


def shape_text(shape: Sequence[int]) -> str:
    """``1×3×224×224``."""
    return "×".join(map(str, shape)) or "scalar"


def _is_text(array: NDArray[Any]) -> bool:
    return array.dtype.kind in "OSU"


def _difference(name: str, other_name: str, first: NDArray[Any], other: NDArray[Any]) -> OutputDifference:
    """The difference of two arrays of the same shape."""
    import numpy as np

    if _is_text(first):
        unequal = int(np.count_nonzero(first != other))
        return OutputDifference(name, other_name, first.shape, elements=first.size, unequal=unequal)
    kind = np.complex128 if "c" in (first.dtype.kind, other.dtype.kind) else np.float64
    one, two = first.astype(kind), other.astype(kind)
    same = (first == other) | (np.isnan(one) & np.isnan(two))
    both = np.isfinite(one) & np.isfinite(two)
    with np.errstate(over="ignore"):
        absolute = np.abs(one[both] - two[both]).max(initial=0)
    return OutputDifference(
        name,
        other_name,
        first.shape,
        float(absolute),
        float(np.abs(one[np.isfinite(one)]).max(initial=0)),
        first.size,
        int(np.count_nonzero(~same)),
        int(np.count_nonzero(same & ~both)),
        int(np.count_nonzero(~same & ~both)),
    )


INTEGERS = frozenset({f"{sign}int{bits}" for sign in ("", "u") for bits in (16, 32, 64)})


class _CheckedModel(NamedTuple):
    """A model, the feeds of its tensor inputs, and the inputs of the first model whose arrays they get; or why it cannot be
    fed.
    """

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
    from onnxcost.estimator import estimate_spec
    from onnxcost.runtime.protocol import Progress

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
    from onnxcost.runtime.inputs.feeds import feeds_of

    try:
        feeds = feeds_of(model.report.graph, model.spec.values, model.spec.inputs)
    except OnnxCostError as error:
        return model._replace(reason=str(error))
    return model._replace(feeds={feed.name: feed for feed in feeds if feed.fill is not None})


def _pair_inputs(first: _CheckedModel, other: _CheckedModel) -> _CheckedModel:
    """The other model with the sources of its inputs, except for inputs that were given only for it."""
    own = {*other.spec.values, *other.spec.inputs} - first.feeds.keys()
    wanted = {name: feed for name, feed in other.feeds.items() if name not in own}
    found = counterparts(first.feeds, wanted, _fits)
    for name, feed in wanted.items():
        if name not in found:
            return other._replace(reason=f"the first model has no matching input for '{name}' ({_text(feed)})")
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
    from onnxcost.runtime.inputs.feeds import arrays_of
    from onnxcost.runtime.inputs.input_roles import numpy_type

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
    from onnxcost.runtime.prepare import build_request, prepare
    from onnxcost.runtime.protocol import Outputs
    from onnxcost.runtime.supervisor import answer, answers

    spec = replace(model.spec, values={**model.spec.values, **arrays})
    with prepare(spec, model.report, settings.seed) as ready:
        if ready.weights == "synthesised":
            raise MeasurementError("its weights are missing: outputs computed with random weights would be meaningless")
        return answer(answers(build_request("outputs", ready, settings)), Outputs).arrays
