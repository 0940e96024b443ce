"""Nodes that cannot be with the shapes that they get: what onnx's inference refuses, and what it lets pass or dies of."""

from __future__ import annotations

from math import prod

from onnxcost.errors import ModelError
from onnxcost.frontend.values import MAX_RANK, Step, Value
from onnxcost.operators.inputs import places_of
from onnxcost.operators.traits import CONVOLUTIONS, POOLS


class Contradiction(ModelError):
    """A node that cannot be with the shapes that it gets."""


def check_reshape(step: Step) -> None:
    """onnx's inference believes a target shape of other elements than there are."""
    if step.node.op_type != "Reshape" or step.inputs[0] is None or step.outputs[0] is None:
        return
    before, after = step.inputs[0], step.outputs[0]
    if before.is_shaped and after.is_shaped and prod(before.dims or ()) != prod(after.dims or ()):  # type: ignore[arg-type]
        refuse_contradiction(step, f"{prod(before.dims or ())} elements do not make {list(after.dims or ())}")  # type: ignore[arg-type]


_POSITIONS = frozenset({"axis", "axes", "perm", "batch_dims", "batch_axis", "time_axis", "scan_input_axes", "scan_output_axes"})


def check_positions(step: Step) -> None:
    """Attributes that name dims, or count outputs. onnx's inference trusts some, and dies of one that no tensor has."""
    count = step.attributes.get("num_outputs")
    if count is not None and count.i != len(step.outputs):
        outputs = f"{len(step.outputs)} outputs, and its num_outputs is {count.i}"
        raise Contradiction(f"node '{step.name}' ({step.node.op_type}) cannot be: it has {outputs}")
    first = step.inputs[0].dims if step.inputs and step.inputs[0] is not None else None
    rank = len(first) if first is not None and step.node.op_type == "LayerNormalization" else MAX_RANK
    for name in _POSITIONS & step.attributes.keys():
        attribute = step.attributes[name]
        for position in (*attribute.ints, attribute.i):
            if not -rank <= position < max(rank, 1):
                raise Contradiction(f"node '{step.name}' ({step.node.op_type}) cannot be: its {name} names dim {position}")


_SLIDING = CONVOLUTIONS | POOLS


def _weight_of(step: Step) -> Value | None:
    return next((step.inputs[place] for place in places_of(step.node.op_type, "weight") if place < len(step.inputs)), None)


def check_window(step: Step) -> None:
    """onnx's inference lets a window be larger than what it slides over."""
    if step.node.op_type not in _SLIDING or not step.inputs or step.inputs[0] is None or step.outputs[0] is None:
        return
    attributes = {name: list(attribute.ints) for name, attribute in step.attributes.items()}
    weight = _weight_of(step)
    dims = step.inputs[0].dims or ()
    kernel = attributes.get("kernel_shape") or (list(weight.dims[2:]) if weight is not None and weight.dims else [])
    rank = len(dims) - 2
    pads = attributes.get("pads") or [0] * (2 * rank)
    dilations = attributes.get("dilations") or [1] * rank
    pads_itself = "auto_pad" in step.attributes and step.attributes["auto_pad"].s.startswith(b"SAME")
    if pads_itself or not step.inputs[0].is_shaped or not len(kernel) == rank == len(dilations) == len(pads) // 2:
        return
    for axis, (size, length, dilation) in enumerate(zip(dims[2:], kernel, dilations, strict=True)):
        window, room = (length - 1) * dilation + 1, size + pads[axis] + pads[axis + rank]
        if window > room and size:
            refuse_contradiction(step, f"a window of {window} does not fit into the {room} of dim {axis + 2}, padding included")


def check_channels(step: Step) -> None:
    """onnx's inference does not hold a convolution's weight against its input."""
    kernel = _weight_of(step)
    if step.node.op_type not in CONVOLUTIONS or kernel is None or step.inputs[0] is None:
        return
    given, weight = step.inputs[0].dims or (), kernel.dims or ()
    group = step.attributes["group"].i if "group" in step.attributes else 1
    if len(given) > 2 and weight and len(weight) != len(given):
        refuse_contradiction(step, f"its weight has {len(weight)} dims, its input {len(given)}")
    if len(given) > 2 and len(weight) > 2 and isinstance(weight[1], int) and given[1] != group * weight[1]:
        refuse_contradiction(step, f"its weight is for {group * weight[1]} channels, not {given[1]}")


def check_sizes(step: Step) -> None:
    """onnx's inference and rules compute sizes below 0 of what does not fit: a frame longer than its signal, negative pads."""
    for output in step.outputs:
        if output is None or output.is_shaped or output.dims is None or output.type is None:
            continue
        for position, dim in enumerate(output.type.tensor_type.shape.dim):
            if dim.dim_value < 0:
                refuse_contradiction(step, f"dim {position} of '{output.name}' would be {dim.dim_value}")


def refuse_contradiction(step: Step, message: str) -> None:
    """An inference that fails although it knew all shapes has found a contradiction; one that lacked data has not.

    What holds tensors has no shape: a Loop may carry a sequence where its body declares an optional one.
    """
    lacks_data = any(v is not None and (v.dims is None or not v.is_shaped or v.is_bound) for v in step.inputs)
    lacks_data = lacks_data or "xternal" in message
    if lacks_data:
        return
    what = " ".join(message.replace("[ShapeInferenceError]", "").replace("[TypeInferenceError]", "").split())
    reads = ", ".join(f"{value.name} {list(value.dims or ())}" for value in step.inputs if value is not None)
    raise Contradiction(f"node '{step.name}' ({step.node.op_type}) cannot be: {what} (it reads {reads})")
