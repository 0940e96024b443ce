"""The iterations of a Loop with a counter: its condition compares whole numbers that change by a constant per iteration."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from operator import and_, eq, ge, gt, le, lt, or_, xor
from typing import NamedTuple

from onnxcost.frontend.bodies import number_in, scalar_in
from onnxcost.frontend.values import Step, Value
from onnxcost.operators.traits import CASTS, VIEWS

_INTEGERS = frozenset({2, 3, 4, 5, 6, 7, 12, 13})
"""TensorProto's numbers of these element types."""
_EXACT: Mapping[int, int] = {1: 2**24, 10: 2**11, 11: 2**53, 16: 2**8}
"""Up to this size, a type of floats has each whole number: beyond it, a counter stops changing."""
_SAME = VIEWS | CASTS
_COMPARISONS: Mapping[str, Callable[[float, float], bool]] = {
    "Less": lt, "LessOrEqual": le, "Greater": gt, "GreaterOrEqual": ge, "Equal": eq,
}  # fmt: skip
_CONNECTIVES: Mapping[str, Callable[[bool, bool], bool]] = {"And": and_, "Or": or_, "Xor": xor}
_DEEPEST = 100
"""The most nodes between the condition and the values that it is computed from."""


class Progression(NamedTuple):
    """``start + t·step`` in iteration t, counted from 0."""

    start: float
    step: int


class _Open(Exception):
    """The condition cannot be followed."""


def count_iterations(
    inner: Sequence[Step],
    arguments: Sequence[Value],
    outputs: Sequence[Value],
    carried: Sequence[Value],
    opsets: Mapping[str, int],
) -> int | None:
    """The iterations until the condition is false; None if it never is, or cannot be followed.

    ``inner``, ``arguments`` and ``outputs`` are those of an iteration that represents all, ``carried`` the initial values.
    """
    body = _Body(inner, arguments, outputs, carried, opsets)
    try:
        goes_on = body.follow(outputs[0], 0)
    except _Open:
        return None
    trips = next((trip + 1 for trip in sorted({0, *body.turns}) if trip >= 0 and not goes_on(trip)), None)
    if trips is None or any(abs(each.start + (trips - 1) * each.step) > most for each, most in body.floats):
        return None
    return trips


class _Body:
    """An iteration; ``turns`` are those in which a comparison may have another result than in the previous one, ``floats``
    the counters that are floats, with the largest number to which they count.
    """

    def __init__(
        self,
        inner: Sequence[Step],
        arguments: Sequence[Value],
        outputs: Sequence[Value],
        carried: Sequence[Value],
        opsets: Mapping[str, int],
    ) -> None:
        self.made_by = steps_by_output(inner)
        self.places = {id(value): place for place, value in enumerate(arguments)}
        self.outputs, self.carried, self.opsets = outputs, carried, opsets
        self.turns: set[int] = set()
        self.floats: list[tuple[Progression, int]] = []

    def follow(self, value: Value | None, depth: int) -> Callable[[int], bool]:
        """A condition, as a function of the iteration."""
        if (number := number_in(value, self.opsets)) is not None:
            return lambda trip: bool(number)
        if value is not None and self.places.get(id(value)) == 1:  # the incoming condition is true in an iteration that runs
            return lambda trip: True
        operator, inputs = self._definition(value, depth)
        if operator == "Not":
            inverse = self.follow(inputs[0], depth + 1)
            return lambda trip: not inverse(trip)
        if operator in _CONNECTIVES and len(inputs) == 2:
            first, second = (self.follow(each, depth + 1) for each in inputs)
            return lambda trip: _CONNECTIVES[operator](first(trip), second(trip))
        if operator in _COMPARISONS and len(inputs) == 2:
            return self._compare(operator, *(self._progression(each, depth + 1) for each in inputs))
        if operator == "Cast" and inputs[0] is not None and _element_type(inputs[0]):
            is_zero = self._compare("Equal", self._progression(inputs[0], depth + 1), Progression(0, 0))
            return lambda trip: not is_zero(trip)
        if operator in _SAME:
            return self.follow(inputs[0], depth + 1)
        raise _Open

    def _compare(self, operator: str, left: Progression, right: Progression) -> Callable[[int], bool]:
        if left.step != right.step:
            last = int((right.start - left.start) // (left.step - right.step))
            self.turns |= {last, last + 1}
        return lambda trip: _COMPARISONS[operator](left.start + trip * left.step, right.start + trip * right.step)

    def _progression(self, value: Value | None, depth: int) -> Progression:
        """A single number, as a function of the iteration: a whole one if it changes."""
        if value is None or (kind := _element_type(value)) is None:
            raise _Open
        if (number := self._known(value)) is not None:
            return Progression(number, 0)
        found = self._counter(value, depth)
        if kind in _EXACT:
            self.floats.append((found, _EXACT[kind]))
        if found.step and found.start != int(found.start):
            raise _Open
        return found

    def _known(self, value: Value | None) -> float | None:
        """The number, if the graph has it; not infinity."""
        scalar = scalar_in(value, self.opsets)
        return scalar.item() if scalar is not None and isfinite(scalar) else None

    def _counter(self, value: Value, depth: int) -> Progression:
        place = self.places.get(id(value))
        if place == 0:
            return Progression(0, 1)
        if place is not None and place > 1:
            start = self._progression(self.carried[place - 2], depth + 1).start
            return Progression(start, self._offset(self.outputs[place - 1], value, depth + 1))
        operator, inputs = self._definition(value, depth)
        terms = [self._progression(each, depth + 1) for each in inputs[: 1 if operator in _SAME else 2]]
        if operator in _SAME:
            return terms[0]
        if operator in ("Add", "Sub"):
            sign = 1 if operator == "Add" else -1
            return Progression(terms[0].start + sign * terms[1].start, terms[0].step + sign * terms[1].step)
        if operator == "Mul" and (fixed := next((term for term in terms if not term.step), None)):
            other = terms[1] if fixed is terms[0] else terms[0]
            if other.step and fixed.start != int(fixed.start):
                raise _Open
            return Progression(fixed.start * other.start, int(fixed.start) * other.step)
        raise _Open

    def _offset(self, value: Value | None, source: Value, depth: int) -> int:
        """The difference of the value and the source, a whole number."""
        if value is source:
            return 0
        operator, inputs = self._definition(value, depth)
        if operator in _SAME and inputs[0] is not None and _element_type(inputs[0]):
            return self._offset(inputs[0], source, depth + 1)
        if operator not in ("Add", "Sub"):
            raise _Open
        left, right = map(self._known, inputs)
        if right is not None and right == int(right):
            return self._offset(inputs[0], source, depth + 1) + int(right if operator == "Add" else -right)
        if left is not None and left == int(left) and operator == "Add":
            return int(left) + self._offset(inputs[1], source, depth + 1)
        raise _Open

    def _definition(self, value: Value | None, depth: int) -> tuple[str, Sequence[Value | None]]:
        step = self.made_by.get(id(value))
        if step is None or step.domain or not step.inputs or depth > _DEEPEST:
            raise _Open
        return step.node.op_type, step.inputs


def _element_type(value: Value) -> int | None:
    """The type of a single integer or float; None for anything else."""
    if value.type is None or value.dims is None or any(dim != 1 for dim in value.dims):
        return None
    kind: int = value.type.tensor_type.elem_type
    return kind if kind in _INTEGERS or kind in _EXACT else None


def steps_by_output(steps: Iterable[Step]) -> dict[int, Step]:
    """The step that computes each value, by the value's identity."""
    return {id(output): step for step in steps for output in step.outputs if output is not None}
