"""Computes small constants, only if a shape or a branch needs one."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from onnxcost.frontend.array_arithmetic import LIMIT, NUMBERS, OPERATORS, TYPES, NotComputed
from onnxcost.frontend.shape_arithmetic import ShapeInput, compute
from onnxcost.frontend.values import Step, Value, array_of, tensor_type
from onnxcost.operators.traits import RANDOM, SHAPE_READERS

if TYPE_CHECKING:
    from collections.abc import Hashable, Mapping

    from onnx import TensorProto


def is_repeatable(step: Step) -> bool:
    """Whether equal inputs give equal outputs, with one run of one operator: no random generator, no subgraph."""
    return step.node.op_type not in RANDOM and not step.has_subgraph


def can_fold(step: Step) -> bool:
    """Whether the step's outputs are small and follow only from known values."""
    if step.node.op_type in SHAPE_READERS:
        return not step.domain and all(value is None or value.is_shaped for value in step.inputs)
    if step.domain or step.node.op_type not in OPERATORS or step.has_subgraph:
        return False
    if not all(value is None or value.is_known for value in step.inputs):
        return False
    # A value of unknown shape may be small: it is tried.
    sizes = (value.dims or () for value in step.outputs if value is not None)
    return all(prod(dim for dim in dims if isinstance(dim, int)) <= LIMIT for dims in sizes)


def fold_value(value: Value, opsets: Mapping[str, int]) -> TensorProto | None:
    """The elements of a value that ``is_known``, computed now if need be; None if it turns out that they cannot be.

    The chain that leads to the value is walked with an explicit stack: chains of thousands of nodes occur.
    """
    stack = [value]
    while stack:
        top = stack[-1]
        waiting = _waits_for(top)
        if waiting:
            stack += waiting
            continue
        if top.tensor is None and top.same_as is not None:
            top.tensor = top.same_as.tensor
        elif top.tensor is None and top.folds_from is not None:
            _evaluate(top.folds_from, opsets)
            top.folds_from = None
        stack.pop()
    return value.tensor


def _waits_for(value: Value) -> list[Value]:
    """The values that must be folded before this one can be."""
    if value.tensor is not None:
        return []
    if value.same_as is not None:
        return [value.same_as] if value.same_as.tensor is None and value.same_as.is_known else []
    step = value.folds_from
    if step is None or step.node.op_type in SHAPE_READERS:
        return []
    return [item for item in step.inputs if item is not None and item.tensor is None and item.is_known]


def _evaluate(step: Step, opsets: Mapping[str, int]) -> None:
    """Computes one node's outputs; those that cannot be computed stay unknown."""
    for value in step.outputs:
        if value is not None:
            value.folds_from = None
    if step.domain not in opsets:
        return
    opset = opsets[step.domain]
    key = _signature(step, opset)
    made = _computed.get(key) if key is not None else None
    if made is None:
        made = _compute(step, opset)
        if len(_computed) >= _REMEMBERED:
            _computed.clear()
        if key is not None:
            _computed[key] = made
    for value, found in zip(step.outputs, made, strict=False):
        if value is not None:
            value.tensor = found.tensor
            value.learn_from(found)


_REMEMBERED, _LONGEST = 1024, 4096
"""Nodes whose outputs are remembered, and the bytes of all inputs and attributes of one of them."""
_computed: dict[Hashable, tuple[Value, ...]] = {}
"""The outputs of nodes, for equal ones: models repeat their shape arithmetic."""


def _signature(step: Step, opset: int) -> Hashable | None:
    """What a node's outputs depend on; None if that is long."""
    if len(step.inputs) + len(step.attributes) > 32:
        return None
    if step.node.op_type in SHAPE_READERS:
        read: list[Hashable] = [value.dims if value is not None else None for value in step.inputs]
    else:
        read = [v.tensor.SerializeToString() if v is not None and v.tensor is not None else None for v in step.inputs]
    parts = (*read, *[attribute.SerializeToString() for attribute in step.attributes.values()])
    if sum([len(part) for part in parts if isinstance(part, bytes)]) > _LONGEST:
        return None
    return step.node.op_type, opset, len(step.inputs), len(step.outputs), parts


def _compute(step: Step, opset: int) -> tuple[Value, ...]:
    """The outputs with their elements; none if they cannot be computed."""
    from onnx import TensorProto
    from onnx.numpy_helper import from_array

    needs_shapes_alone = step.node.op_type in SHAPE_READERS
    try:
        inputs = [
            None if value is None else ShapeInput(value.dims) if needs_shapes_alone else _elements_of(value)  # type: ignore[arg-type]
            for value in step.inputs
        ]
        arrays = compute(step.node.message, inputs, opset)
    except NotComputed:
        return ()
    made = []
    for array in arrays:
        number = NUMBERS.get(array.dtype)
        if number is None:
            tensor = from_array(array)
        else:  # as from_array does, which takes three times as long
            tensor = TensorProto(dims=array.shape, data_type=number, raw_data=array.tobytes())
        value = Value("", tensor=tensor)
        value.learn(tensor_type(tensor.data_type, array.shape))
        made.append(value)
    return tuple(made)


def _elements_of(value: Value) -> Any:
    array = array_of(value.tensor) if value.tensor is not None and value.tensor.data_type in TYPES else None
    if array is None:
        raise NotComputed
    return array
