"""The operators of shape arithmetic on known inputs, in numpy: those that decide shapes and branches, and no others.

The work of a node is bounded by the elements of its inputs and by LIMIT. An operator that is not in OPERATORS is not run.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, reduce
from math import ceil, prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onnxcost.errors import MISFITS
from onnxcost.frontend.values import array_of

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto


LIMIT = 1024
"""Elements of the largest value that is computed; values that decide shapes or branches are far smaller."""

Array = Any
"""An ``np.ndarray``."""

TYPES: Mapping[int, str] = {
    1: "float32", 2: "uint8", 3: "int8", 4: "uint16", 5: "int16", 6: "int32", 7: "int64", 9: "bool", 10: "float16",
    11: "float64", 12: "uint32", 13: "uint64", 16: "bfloat16",
}  # fmt: skip
"""The supported types: numpy's names by TensorProto's numbers."""


class NotComputed(Exception):
    """The node does not fit its operator, its result is not defined, or it is too large."""


class ShapeInput(NamedTuple):
    """The input of Shape and Size: its dims."""

    shape: tuple[int, ...]


class Call(NamedTuple):
    """One node: its inputs, None where they are absent, and its attributes as Python's values."""

    inputs: Sequence[Array | None]
    attributes: Mapping[str, Any]
    outputs: int
    opset: int

    def input(self, index: int) -> Array:
        """Raises NotComputed where it is absent."""
        return _present(self.optional(index))

    def optional(self, index: int) -> Array | None:
        """None where it is absent."""
        return self.inputs[index] if index < len(self.inputs) else None

    def ints(self, name: str, index: int, since: int) -> list[int] | None:
        """Integers that are an attribute before the opset ``since`` and the input ``index`` from then on."""
        if self.opset < since:
            return self.attributes.get(name)
        given = self.optional(index)
        return None if given is None else [int(item) for item in given.ravel()]


Operator = Callable[[Call], "Array | Sequence[Array]"]


OPERATORS: dict[str, Operator] = {}
"""By name, those of ai.onnx alone."""


def computes(name: str) -> Callable[[Operator], Operator]:
    """Enter a function for an operator."""

    def enter(function: Operator) -> Operator:
        OPERATORS[name] = function
        return function

    return enter


def compute(node: NodeProto, inputs: Sequence[Array | None], opset: int) -> Sequence[Array]:
    """The node's outputs. Raises NotComputed where they cannot be computed within LIMIT."""
    call = Call(inputs, {item.name: _plain(item) for item in node.attribute}, len(node.output), opset)
    try:
        with np.errstate(all="ignore"):
            made = OPERATORS[node.op_type](call)
    # What numpy raises for shapes, axes, indices and types that do not fit.
    except MISFITS as error:
        raise NotComputed from error
    arrays = [np.asarray(array) for array in (made if isinstance(made, list) else [made])]
    _check_size(sum(array.size for array in arrays))
    if any(array.dtype.kind in "SUO" for array in arrays):  # text decides no shape
        raise NotComputed
    return arrays


def _check_size(elements: int) -> None:
    if elements > LIMIT:
        raise NotComputed


def _plain(attribute: AttributeProto) -> Any:
    match attribute.type:
        case attribute.INT:
            return attribute.i
        case attribute.FLOAT:
            return attribute.f
        case attribute.STRING:
            return attribute.s
        case attribute.INTS:
            return list(attribute.ints)
        case attribute.FLOATS:
            return list(attribute.floats)
        case attribute.STRINGS:
            return list(attribute.strings)
        case attribute.TENSOR if (array := array_of(attribute.t)) is not None:
            return array
        case _:
            raise NotComputed


def _is_float(array: Array) -> bool:
    """bfloat16 has no kind in numpy."""
    return array.dtype.kind in "fV"


def _broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    shape = np.broadcast_shapes(*shapes)
    _check_size(prod(shape))
    return shape


def _elementwise(function: Callable[..., Array], call: Call) -> Array:
    """A function of one input or of two that are broadcast; before opset 7 an ``axis`` said where the second one's dims lie."""
    arrays = [call.input(index) for index in range(len(call.inputs))]
    if call.opset < 7 and "axis" in call.attributes:
        raise NotComputed
    _broadcast(*(array.shape for array in arrays))
    if len({array.dtype for array in arrays}) > 1:
        raise NotComputed
    return function(*arrays)


def _variadic(function: Callable[[Array, Array], Array], call: Call) -> Array:
    """Max, Min and Sum: of any number of inputs."""
    return reduce(lambda left, right: _elementwise(function, call._replace(inputs=[left, right])), map(_present, call.inputs))


def _present(array: Array | None) -> Array:
    if array is None:
        raise NotComputed
    return array


def _divide(left: Array, right: Array) -> Array:
    """Integer division truncates toward zero."""
    if _is_float(left):
        return left / right
    if not right.all():
        raise NotComputed
    quotient = left // right
    return quotient + ((left % right != 0) & ((left < 0) != (right < 0))).astype(left.dtype)


@computes("Mod")
def _mod(call: Call) -> Array:
    """The remainder has the sign of the divisor, with ``fmod`` that of the dividend."""
    right = call.input(1)
    if not _is_float(right) and not right.all():
        raise NotComputed
    return _elementwise(np.fmod if call.attributes.get("fmod") else np.mod, call)


@computes("Pow")
def _power(call: Call) -> Array:
    """The result has the type of the base; integers are computed in float64."""
    base, exponent = call.input(0), call.input(1)
    _broadcast(base.shape, exponent.shape)
    if _is_float(base):
        return np.power(base, exponent).astype(base.dtype)
    power = np.power(base.astype(np.float64), exponent)
    if not (np.abs(power) <= 2**53).all():
        raise NotComputed
    return _cast(power, base.dtype)


def _of_floats(function: Callable[[Array], Array], call: Call) -> Array:
    if not _is_float(call.input(0)):
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
    if _is_float(array) and dtype.kind in "iu":
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


@computes("Constant")
def _constant(call: Call) -> Array:
    ((name, value),) = call.attributes.items()
    kinds = {"value_int": np.int64, "value_ints": np.int64, "value_float": np.float32, "value_floats": np.float32}
    if name in ("value_string", "value_strings"):
        return np.array([item.decode() for item in value] if isinstance(value, list) else value.decode(), object)
    return value if name == "value" else np.array(value, kinds[name])


@computes("ConstantOfShape")
def _constant_of_shape(call: Call) -> Array:
    shape = [int(size) for size in call.input(0)]
    _check_size(prod(shape))
    value = call.attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape, value.reshape(()), value.dtype)


@computes("OneHot")
def _one_hot(call: Call) -> Array:
    indices, depth = call.input(0).astype(np.int64), int(call.input(1).item())
    off, on = call.input(2)
    _check_size(indices.size * depth)
    axis = call.attributes.get("axis", -1)
    classes = np.moveaxis(np.arange(depth).reshape((*[1] * indices.ndim, depth)), -1, axis)
    places = np.expand_dims(np.where(indices < 0, indices + depth, indices), axis)
    return np.where(places == classes, on, off)


@computes("Range")
def _range(call: Call) -> Array:
    start, limit, delta = (call.input(index).reshape(()) for index in range(3))
    count = ceil(float(limit - start) / float(delta)) if _is_float(start) else -((int(start) - int(limit)) // int(delta))
    _check_size(count)
    return (start + np.arange(max(0, count)).astype(start.dtype) * delta).astype(start.dtype)


@computes("Expand")
def _expand(call: Call) -> Array:
    array = call.input(0)
    return np.broadcast_to(array, _broadcast(array.shape, [int(size) for size in call.input(1)]))


@computes("Tile")
def _tile(call: Call) -> Array:
    array, repeats = call.input(0), [int(count) for count in call.input(1)]
    if call.opset < 6 or len(repeats) != array.ndim:
        raise NotComputed
    _check_size(array.size * prod(repeats))
    return np.tile(array, repeats)


@computes("Where")
def _where(call: Call) -> Array:
    arrays = [call.input(index) for index in range(3)]
    _broadcast(*(array.shape for array in arrays))
    return np.where(*arrays)


@computes("Concat")
def _concat(call: Call) -> Array:
    arrays = [_present(array) for array in call.inputs]
    _check_size(sum(array.size for array in arrays))
    return np.concatenate(arrays, call.attributes.get("axis", 1))


@computes("Gather")
def _gather(call: Call) -> Array:
    array, indices, axis = call.input(0), call.input(1), call.attributes.get("axis", 0)
    _check_size(prod(array.shape[:axis]) * indices.size * prod(array.shape[axis:][1:]))
    return np.take(array, indices, axis)


@computes("GatherND")
def _gather_nd(call: Call) -> Array:
    array, indices = call.input(0), call.input(1)
    if call.attributes.get("batch_dims", 0) or not indices.shape[-1]:
        raise NotComputed
    _check_size(prod(indices.shape[:-1]) * prod(array.shape[indices.shape[-1] :]))
    return array[tuple(np.moveaxis(indices, -1, 0))]


@computes("ScatterND")
def _scatter_nd(call: Call) -> Array:
    array, indices, updates = call.input(0).copy(), call.input(1), call.input(2)
    if call.attributes.get("reduction", b"none") != b"none":
        raise NotComputed
    _check_size(prod(indices.shape[:-1]) * prod(array.shape[indices.shape[-1] :]))
    places = tuple(np.moveaxis(indices, -1, 0))
    if array[places].shape != updates.shape:
        raise NotComputed
    array[places] = updates
    return array


@computes("Slice")
def _slice(call: Call) -> Array:
    array = call.input(0)
    starts, ends, axes = (call.ints(name, index, 10) for index, name in enumerate(("starts", "ends", "axes"), 1))
    if starts is None or ends is None:
        raise NotComputed
    steps = call.ints("steps", 4, 10) if call.opset >= 10 else None
    places: list[slice] = [slice(None)] * array.ndim
    each = zip(starts, ends, axes or range(len(starts)), steps or [1] * len(starts), strict=True)
    for start, end, axis, step in each:
        size, forward = array.shape[axis], step > 0
        first, last = (at + size if at < 0 else at for at in (start, end))
        first = min(max(first, 0), size if forward else size - 1)
        last = min(max(last, 0 if forward else -1), size if forward else size - 1)
        places[axis] = slice(first, None if last < 0 else last, step) if first >= 0 else slice(0, 0)
    return array[tuple(places)]


@computes("Split")
def _split(call: Call) -> list[Array]:
    array, axis, parts = call.input(0), call.attributes.get("axis", 0), call.outputs
    size = array.shape[axis]
    sizes = call.ints("split", 1, 13)
    if sizes is None:
        each = -(-size // parts)
        sizes = [max(0, min(each, size - each * part)) for part in range(parts)]
    if sum(sizes) != size or len(sizes) != parts or min(sizes) < 0:
        raise NotComputed
    return np.split(array, np.cumsum(sizes)[:-1], axis)


@computes("Reshape")
def _reshape(call: Call) -> Array:
    array, shape = call.input(0), call.ints("shape", 1, 5)
    if shape is None:
        raise NotComputed
    if not call.attributes.get("allowzero"):
        shape = [size if size else array.shape[axis] for axis, size in enumerate(shape)]
    if any(size < -1 for size in shape):
        raise NotComputed
    return array.reshape(shape)


@computes("Flatten")
def _flatten(call: Call) -> Array:
    array, axis = call.input(0), call.attributes.get("axis", 1)
    if not -array.ndim <= axis <= array.ndim:
        raise NotComputed
    axis += array.ndim if axis < 0 else 0
    return array.reshape(prod(array.shape[:axis]), prod(array.shape[axis:]))


@computes("Squeeze")
def _squeeze(call: Call) -> Array:
    axes = call.ints("axes", 1, 13)
    return np.squeeze(call.input(0), None if axes is None else tuple(axes))


def _reduce(function: Callable[..., Array], since: int, call: Call) -> Array:
    """``since`` is the opset from which the axes are an input."""
    array, axes = call.input(0), call.ints("axes", 1, since)
    if not axes and call.attributes.get("noop_with_empty_axes"):
        return array
    gone = {axis % array.ndim for axis in axes} if axes else set(range(array.ndim))
    _check_size(prod(size for axis, size in enumerate(array.shape) if axis not in gone))
    keepdims = bool(call.attributes.get("keepdims", 1))
    return np.asarray(function(array, axis=tuple(axes) if axes else None, keepdims=keepdims)).astype(array.dtype)


@computes("CumSum")
def _cumsum(call: Call) -> Array:
    array, axis = call.input(0), int(call.input(1).reshape(()))
    backward = slice(None, None, -1 if call.attributes.get("reverse") else 1)
    turned = np.moveaxis(array, axis, 0)[backward]
    sums = np.cumsum(turned, 0, array.dtype)
    if call.attributes.get("exclusive"):
        sums -= turned
    return np.moveaxis(sums[backward], 0, axis)


@computes("Pad")
def _pad(call: Call) -> Array:
    array, pads = call.input(0), call.ints("pads", 1, 11)
    if call.attributes.get("mode", b"constant") != b"constant" or pads is None or call.optional(3) is not None:
        raise NotComputed
    value = call.attributes.get("value", 0) if call.opset < 11 else call.optional(2)
    before, after = pads[: array.ndim], pads[array.ndim :]
    if min(pads, default=0) < 0:
        raise NotComputed
    _check_size(prod(size + low + high for size, low, high in zip(array.shape, before, after, strict=True)))
    fill = np.asarray(0 if value is None else value, array.dtype).reshape(())
    return np.pad(array, list(zip(before, after, strict=True)), constant_values=fill)


@computes("NonZero")
def _non_zero(call: Call) -> Array:
    array = call.input(0)
    if not array.ndim:
        raise NotComputed
    return np.array(np.nonzero(array), np.int64)


@computes("Shape")
def _shape(call: Call) -> Array:
    if min(call.input(0).shape, default=0) < 0:
        raise NotComputed
    return np.array(call.input(0).shape, np.int64)[call.attributes.get("start") : call.attributes.get("end")]


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
    "Size": lambda call: np.array(prod(call.input(0).shape), np.int64),
    "Transpose": lambda call: np.transpose(call.input(0), call.attributes.get("perm")),
    "Unsqueeze": lambda call: np.expand_dims(call.input(0), tuple(call.ints("axes", 1, 13) or ())),
}
