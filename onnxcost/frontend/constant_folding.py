"""Computes small constants, only when a shape or a branch asks for one."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any

from onnxcost.frontend.shape_arithmetic import LIMIT, OPERATORS, TYPES, NotComputed, ShapeInput, compute
from onnxcost.frontend.values import Step, Value, array_of, tensor_type
from onnxcost.operators.traits import RANDOM, SHAPE_READERS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import TensorProto


def is_repeatable(step: Step) -> bool:
    """Whether equal inputs give equal outputs, by one run of one operator: no random generator, no subgraph."""
    return step.node.op_type not in RANDOM and not step.has_subgraph


def can_fold(step: Step) -> bool:
    """Whether the step's outputs are small and follow from known values alone."""
    if step.node.op_type in SHAPE_READERS:
        return not step.domain and all(value is None or (value.is_shaped and value.dims is not None) for value in step.inputs)
    if step.domain or step.node.op_type not in OPERATORS or step.has_subgraph:
        return False
    if not all(value is None or value.is_known for value in step.inputs):
        return False
    return all(value is None or _is_small(value) for value in step.outputs)


def _is_small(value: Value) -> bool:
    """A value of unknown shape may be small: it is tried."""
    dims = value.dims
    return dims is None or prod(dim for dim in dims if isinstance(dim, int)) <= LIMIT


def fold_value(value: Value, opsets: Mapping[str, int]) -> TensorProto | None:
    """The elements of a value that ``is_known``, computed now if need be; None if it turns out that they cannot be.

    The chain that leads to the value is walked with a stack of its own: chains of thousands of nodes occur.
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
    """Computes one node's outputs; what cannot be computed stays unknown."""
    from onnx.numpy_helper import from_array

    for value in step.outputs:
        if value is not None:
            value.folds_from = None
    if step.domain not in opsets:
        return
    needs_shapes_alone = step.node.op_type in SHAPE_READERS
    try:
        inputs = [
            None if value is None else ShapeInput(value.dims) if needs_shapes_alone else _elements_of(value)  # type: ignore[arg-type]
            for value in step.inputs
        ]
        arrays = compute(step.node, inputs, opsets[step.domain])
    except NotComputed:
        return
    for value, array in zip(step.outputs, arrays, strict=False):
        if value is not None:
            value.tensor = from_array(array)
            value.learn(tensor_type(value.tensor.data_type, value.tensor.dims))


def _elements_of(value: Value) -> Any:
    array = array_of(value.tensor) if value.tensor is not None else None
    if array is None or value.tensor is None or TYPES.get(value.tensor.data_type) != array.dtype.name:
        raise NotComputed
    return array
