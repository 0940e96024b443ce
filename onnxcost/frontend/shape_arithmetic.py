"""Computes a node of shape arithmetic from known inputs, with the operators that make, select and rearrange elements.

Only operators that decide shapes or branches are in OPERATORS; no other operator is run.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, prod
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from onnxcost.errors import MISFITS
from onnxcost.frontend.array_arithmetic import (
    OPERATORS,
    Array,
    Call,
    NotComputed,
    broadcast,
    check_size,
    computes,
    is_float,
    present,
)
from onnxcost.frontend.values import array_of

if TYPE_CHECKING:
    from onnx import AttributeProto, NodeProto


class ShapeInput(NamedTuple):
    """The input of Shape and Size: its dims."""

    shape: tuple[int, ...]


def compute(node: NodeProto, inputs: Sequence[Array | None], opset: int) -> Sequence[Array]:
    """The node's outputs. Raises NotComputed if they cannot be computed within LIMIT."""
    call = Call(inputs, {item.name: _plain(item) for item in node.attribute}, len(node.output), opset)
    try:
        with np.errstate(all="ignore"):
            made = OPERATORS[node.op_type](call)
    # The errors of numpy for shapes, axes, indices and types that do not fit.
    except MISFITS as error:
        raise NotComputed from error
    arrays = [np.asarray(array) for array in (made if isinstance(made, list) else [made])]
    check_size(sum(array.size for array in arrays))
    if any(array.dtype.kind in "SUO" for array in arrays):  # strings do not determine shapes
        raise NotComputed
    return arrays


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
    check_size(prod(shape))
    value = call.attributes.get("value", np.zeros(1, np.float32))
    return np.full(shape, value.reshape(()), value.dtype)


@computes("OneHot")
def _one_hot(call: Call) -> Array:
    indices, depth = call.input(0).astype(np.int64), int(call.input(1).item())
    off, on = call.input(2)
    check_size(indices.size * depth)
    axis = call.attributes.get("axis", -1)
    classes = np.moveaxis(np.arange(depth).reshape((*[1] * indices.ndim, depth)), -1, axis)
    places = np.expand_dims(np.where(indices < 0, indices + depth, indices), axis)
    return np.where(places == classes, on, off)


@computes("Range")
def _range(call: Call) -> Array:
    start, limit, delta = (call.input(index).reshape(()) for index in range(3))
    count = ceil(float(limit - start) / float(delta)) if is_float(start) else -((int(start) - int(limit)) // int(delta))
    check_size(count)
    return (start + np.arange(max(0, count)).astype(start.dtype) * delta).astype(start.dtype)


@computes("Expand")
def _expand(call: Call) -> Array:
    array = call.input(0)
    return np.broadcast_to(array, broadcast(array.shape, [int(size) for size in call.input(1)]))


@computes("Tile")
def _tile(call: Call) -> Array:
    array, repeats = call.input(0), [int(count) for count in call.input(1)]
    if call.opset < 6 or len(repeats) != array.ndim:
        raise NotComputed
    check_size(array.size * prod(repeats))
    return np.tile(array, repeats)


@computes("Where")
def _where(call: Call) -> Array:
    arrays = [call.input(index) for index in range(3)]
    broadcast(*(array.shape for array in arrays))
    return np.where(*arrays)


@computes("Concat")
def _concat(call: Call) -> Array:
    arrays = [present(array) for array in call.inputs]
    check_size(sum(array.size for array in arrays))
    return np.concatenate(arrays, call.attributes.get("axis", 1))


@computes("Gather")
def _gather(call: Call) -> Array:
    array, indices, axis = call.input(0), call.input(1), call.attributes.get("axis", 0)
    check_size(prod(array.shape[:axis]) * indices.size * prod(array.shape[axis:][1:]))
    return np.take(array, indices, axis)


@computes("GatherND")
def _gather_nd(call: Call) -> Array:
    array, indices = call.input(0), call.input(1)
    if call.attributes.get("batch_dims", 0) or not indices.shape[-1]:
        raise NotComputed
    check_size(prod(indices.shape[:-1]) * prod(array.shape[indices.shape[-1] :]))
    return array[tuple(np.moveaxis(indices, -1, 0))]


@computes("ScatterND")
def _scatter_nd(call: Call) -> Array:
    array, indices, updates = call.input(0).copy(), call.input(1), call.input(2)
    if call.attributes.get("reduction", b"none") != b"none":
        raise NotComputed
    check_size(prod(indices.shape[:-1]) * prod(array.shape[indices.shape[-1] :]))
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
    check_size(prod(size + low + high for size, low, high in zip(array.shape, before, after, strict=True)))
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


OPERATORS |= {
    "Size": lambda call: np.array(prod(call.input(0).shape), np.int64),
    "Transpose": lambda call: np.transpose(call.input(0), call.attributes.get("perm")),
    "Unsqueeze": lambda call: np.expand_dims(call.input(0), tuple(call.ints("axes", 1, 13) or ())),
}
