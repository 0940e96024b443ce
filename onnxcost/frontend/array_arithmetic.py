"""Arithmetic on small arrays by ONNX's rules, in numpy: elementwise operators, casts and reductions.

The work of a node is bounded by the elements of its inputs and by LIMIT.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from math import prod
from typing import Any, NamedTuple

import numpy as np

LIMIT = 1024
"""Elements of the largest value that is computed; values that decide shapes or branches are far smaller."""

Array = Any
"""An ``np.ndarray``."""

TYPES: Mapping[int, str] = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
"""The supported types: numpy's names by TensorProto's numbers."""
NUMBERS: Mapping[np.dtype[Any], int] = {np.dtype(name): number for number, name in TYPES.items() if name != "bfloat16"}
"""These numbers by numpy's own types."""


class NotComputed(Exception):
    """The node does not fit its operator, its result is not defined, or it is too large."""


class Call(NamedTuple):
    """One node: its inputs, None if they are absent, and its attributes as Python values."""

    inputs: Sequence[Array | None]
    attributes: Mapping[str, Any]
    outputs: int
    opset: int

    def input(self, index: int) -> Array:
        """An input. Raises NotComputed if it is absent."""
        return present(self.optional(index))

    def optional(self, index: int) -> Array | None:
        """An input; None if it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def ints(self, name: str, index: int, since: int) -> list[int] | None:
        """Integers that are an attribute before the opset ``since`` and the input ``index`` from then on."""
        if self.opset < since:
            return self.attributes.get(name)
        given = self.optional(index)
        return None if given is None else [int(item) for item in given.ravel()]


Operator = Callable[[Call], "Array | Sequence[Array]"]


OPERATORS: dict[str, Operator] = {}
"""The operators of ai.onnx that are computed, by name."""


def computes(name: str) -> Callable[[Operator], Operator]:
    """Register a function for an operator."""

    def enter(function: Operator) -> Operator:
        OPERATORS[name] = function
        return function

    return enter


def check_size(elements: int) -> None:
    """Raises NotComputed for more elements than LIMIT."""
    if elements > LIMIT:
        raise NotComputed


def is_float(array: Array) -> bool:
    """Whether the elements are floats; the kind of bfloat16 is V in numpy."""
    return array.dtype.kind in "fV"


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape to which these are broadcast. Raises NotComputed if it is too large."""
    shape = np.broadcast_shapes(*shapes)
    check_size(prod(shape))
    return shape


def _elementwise(function: Callable[..., Array], call: Call) -> Array:
    """A function of one input, or of two that are broadcast; not with an ``axis``, as before opset 7."""
    arrays = [call.input(index) for index in range(len(call.inputs))]
    if call.opset < 7 and "axis" in call.attributes:
        raise NotComputed
    broadcast(*(array.shape for array in arrays))
    if len({array.dtype for array in arrays}) > 1:
        raise NotComputed
    return function(*arrays)


def _variadic(function: Callable[[Array, Array], Array], call: Call) -> Array:
    """Max, Min and Sum: of any number of inputs."""
    return reduce(lambda left, right: _elementwise(function, call._replace(inputs=[left, right])), map(present, call.inputs))


def present(array: Array | None) -> Array:
    """An input that must not be absent. Raises NotComputed if it is."""
    if array is None:
        raise NotComputed
    return array


def _divide(left: Array, right: Array) -> Array:
    """Integer division truncates toward zero."""
    if is_float(left):
        return left / right
    if not right.all():
        raise NotComputed
    quotient = left // right
    return quotient + ((left % right != 0) & ((left < 0) != (right < 0))).astype(left.dtype)


@computes("Mod")
def _mod(call: Call) -> Array:
    """The remainder has the sign of the divisor, with ``fmod`` that of the dividend."""
    right = call.input(1)
    if not is_float(right) and not right.all():
        raise NotComputed
    return _elementwise(np.fmod if call.attributes.get("fmod") else np.mod, call)


@computes("Pow")
def _power(call: Call) -> Array:
    """The result has the type of the base; integers are computed in float64."""
    base, exponent = call.input(0), call.input(1)
    broadcast(base.shape, exponent.shape)
    if is_float(base):
        return np.power(base, exponent).astype(base.dtype)
    power = np.power(base.astype(np.float64), exponent)
    if not (np.abs(power) <= 2**53).all():
        raise NotComputed
    return _cast(power, base.dtype)


def _of_floats(function: Callable[[Array], Array], call: Call) -> Array:
    if not is_float(call.input(0)):
        raise NotComputed
    return function(call.input(0))


@computes("Clip")
def _clip(call: Call) -> Array:
    """The bounds are attributes before opset 11."""
    array = call.input(0)
    low, high = (
        [call.attributes.get(name) for name in ("min", "max")] if call.opset < 11 else [call.optional(1), call.optional(2)]
    )
    if low is not None:
        array = np.maximum(array, np.asarray(low, array.dtype).reshape(()))
    return array if high is None else np.minimum(array, np.asarray(high, array.dtype).reshape(()))


def _cast(array: Array, dtype: Any) -> Array:
    """A float out of the range of the integers is not computed: runtimes differ on it."""
    if is_float(array) and dtype.kind in "iu":
        limits, whole = np.iinfo(dtype), np.trunc(array.astype(np.float64))
        if not ((whole >= float(limits.min)) & (whole < float(limits.max) + 1)).all():
            raise NotComputed
    return array.astype(dtype)


@computes("Cast")
def _cast_to(call: Call) -> Array:
    """Before opset 6 the type is a name."""
    from onnx import TensorProto
    from onnx.helper import tensor_dtype_to_np_dtype

    to = call.attributes["to"]
    number = TensorProto.DataType.Value(to.decode()) if isinstance(to, bytes) else to
    dtype = tensor_dtype_to_np_dtype(number)
    if TYPES.get(number) != dtype.name:
        raise NotComputed
    return _cast(call.input(0), dtype)


def _reduce(function: Callable[..., Array], since: int, call: Call) -> Array:
    """``since`` is the opset from which the axes are an input."""
    array, axes = call.input(0), call.ints("axes", 1, since)
    if not axes and call.attributes.get("noop_with_empty_axes"):
        return array
    gone = {axis % array.ndim for axis in axes} if axes else set(range(array.ndim))
    check_size(prod(size for axis, size in enumerate(array.shape) if axis not in gone))
    keepdims = bool(call.attributes.get("keepdims", 1))
    return np.asarray(function(array, axis=tuple(axes) if axes else None, keepdims=keepdims)).astype(array.dtype)


_FUNCTIONS: Mapping[str, Callable[..., Array]] = {
    "Abs": np.abs,
    "Add": np.add,
    "And": np.logical_and,
    "BitwiseAnd": np.bitwise_and,
    "BitwiseNot": np.bitwise_not,
    "BitwiseOr": np.bitwise_or,
    "Div": _divide,
    "Equal": np.equal,
    "Greater": np.greater,
    "GreaterOrEqual": np.greater_equal,
    "Identity": np.asarray,
    "Less": np.less,
    "LessOrEqual": np.less_equal,
    "Mul": np.multiply,
    "Neg": np.negative,
    "Not": np.logical_not,
    "Or": np.logical_or,
    "Relu": lambda array: np.maximum(array, array.dtype.type(0)),
    "Sign": np.sign,
    "Sub": np.subtract,
    "Xor": np.logical_xor,
}
"""Elementwise: the types of all inputs are the same."""

_FUNCTIONS_OF_FLOATS: Mapping[str, Callable[..., Array]] = {
    "Ceil": np.ceil,
    "Exp": np.exp,
    "Floor": np.floor,
    "IsInf": np.isinf,
    "IsNaN": np.isnan,
    "Log": np.log,
    "Reciprocal": np.reciprocal,
    "Round": np.round,
    "Sqrt": np.sqrt,
}

_VARIADIC: Mapping[str, Callable[..., Array]] = {"Max": np.maximum, "Min": np.minimum, "Sum": np.add}

OPERATORS |= {
    **{name: partial(_elementwise, function) for name, function in _FUNCTIONS.items()},
    **{name: partial(_variadic, function) for name, function in _VARIADIC.items()},
    **{name: partial(_of_floats, function) for name, function in _FUNCTIONS_OF_FLOATS.items()},
    "CastLike": lambda call: _cast(call.input(0), call.input(1).dtype),
    "ReduceMax": partial(_reduce, np.max, 18),
    "ReduceMin": partial(_reduce, np.min, 18),
    "ReduceProd": partial(_reduce, np.prod, 18),
    "ReduceSum": partial(_reduce, np.sum, 13),
}
