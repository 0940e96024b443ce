"""What a run tells the walk."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxcost.errors import InputError
from onnxcost.frontend.nodes import element_type
from onnxcost.frontend.values import Step, Value, tensor_type
from onnxcost.graph import Caveat

if TYPE_CHECKING:
    from collections.abc import Mapping

    from onnx import NodeProto, TensorProto

    from onnxcost.frontend.shaped_model import ShapedModel
    from onnxcost.traced import Trace


def first_output(node: NodeProto) -> str:
    """The name of the first output that is present: no other node of the graph has it."""
    return next(filter(None, node.output), "")


def learn_what_ran(step: Step) -> None:
    """The outputs take on the shapes that they had in the run. Of what is no tensor a run tells nothing."""
    tensors = [output for output in step.outputs if output is not None and _may_be_tensor(output)]
    if step.execution is None or len(tensors) != len(step.execution.outputs):
        return
    for output, (dtype, shape) in zip(tensors, step.execution.outputs, strict=True):
        if output.dims != shape:
            # A runtime may compute in another type than the model's.
            known = output.type.tensor_type.elem_type if output.type is not None else 0
            output.learn(tensor_type(known or element_type(dtype), shape))
        output.is_bound = False


def _may_be_tensor(value: Value) -> bool:
    return value.type is None or value.type.HasField("tensor_type")


def take_trace(found: ShapedModel, trace: Trace, values: Mapping[str, TensorProto]) -> None:
    """The inputs take on the elements that are known of the run. Raises InputError for a run with inputs of other shapes and
    for trip counts that are given beside it.
    """
    if found.trips:
        raise InputError("a run that is traced says itself how often its Loops run: give no trip counts (--trips)")
    found.caveats.append(_what_was_traced(trace))
    fed = {used.name: used.shape for used in trace.inputs}
    for value in found.inputs:
        value.tensor = values.get(value.name, value.tensor)
        if value.is_shaped and value.dims is not None and fed.get(value.name, value.dims) != value.dims:
            raise InputError(f"input '{value.name}' is {list(value.dims)}, and was {list(fed[value.name])} in the run traced")


def _what_was_traced(trace: Trace) -> Caveat:
    made_up = [f"'{used.name}'" for used in trace.inputs if used.source.startswith("synthesised")]
    which = ", ".join(made_up[:3]) + (" and others" if len(made_up) > 3 else "")
    how = f"made-up values for {which}; --input NAME=FILE gives real ones" if made_up else "the values that were given"
    return Caveat("note", f"traced: shapes, branches and trip counts are those of one run with {how}")
