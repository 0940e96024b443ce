"""How much the outputs of two models differ on the same inputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    """For each of ``others`` its counterpart in ``first``: the one of its name, otherwise the first remaining one that fits.

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
    """How much two outputs differ; if two layouts fit, in the one in which they differ less."""
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
