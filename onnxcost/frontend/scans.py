"""Scan and SequenceMap: a body for each slice of a tensor, or each tensor of a sequence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxcost.frontend.bodies import UNROLLED, WALKED, Body, body_graph, close, fresh, give, stack
from onnxcost.frontend.values import Step, Value, tensor_type
from onnxcost.graph import Caveat

if TYPE_CHECKING:
    from onnxcost.frontend.shaped_model import ShapedModel
    from onnxcost.traced import Pass


def run_scan(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """Scan: https://onnx.ai/onnx/operators/onnx__Scan.html. The body runs once for each slice of the scanned inputs; before
    opset 9 once more for each element of the batch, which is then the first axis of everything.
    """
    graph = body_graph(step, "body")
    count = step.attributes["num_scan_inputs"].i if "num_scan_inputs" in step.attributes else 0
    batched = 1 if found.opsets.get("", 9) < 9 else 0
    inputs = [value for value in step.inputs[batched:] if value is not None]
    if graph is None or not 0 < count <= len(inputs):
        step.open_reason = "its body or its scanned inputs are missing"
        steps.append(step)
        return
    states, sequences = inputs[:-count], inputs[-count:]
    axes = [1] * count if batched else _axes(step, "scan_input_axes", count)
    trips, batch = _dim(sequences[0], axes[0]), _dim(sequences[0], 0) if batched else 1
    arguments = [_without_axes(f"{step.name}/state_{i}", value, [0] * batched) for i, value in enumerate(states)]
    for i, (value, axis) in enumerate(zip(sequences, axes, strict=True)):
        arguments.append(_without_axes(f"{step.name}/slice_{i}", value, [axis, *[0] * batched]))
    if trips is None or batch is None:
        text = f"Scan '{step.name}' is counted for one iteration: the length of its sequence is not known"
        found.caveats.append(Caveat("lower", text))
        trips, batch = trips or 1, batch or 1
    passes = Counter["Pass | None"](step.passes("body")) or Counter({None: trips * batch})
    for index, (ran, count) in enumerate(passes.items()):
        prefix = f"{step.name}/{index}/" if len(passes) > 1 else f"{step.name}/"
        inner, outputs = body(graph, prefix, arguments, ran)
        for each in inner:
            each.times(count)
        steps += inner
    out_axes = _axes(step, "scan_output_axes", len(step.outputs)) if not batched else [0] * len(step.outputs)
    for index, (output, made) in enumerate(zip(step.outputs, outputs, strict=False)):
        whole = fresh("", made)
        if index >= len(states):
            stack(whole, made, trips, out_axes[index - len(states)])
        if batched:
            stack(whole, fresh("", whole), batch, 0)
        give(output, whole)
    close(step, [*outputs[: len(states)], *[None] * (len(step.outputs) - len(states))], steps)


def _axes(step: Step, name: str, count: int) -> list[int]:
    given = list(step.attributes[name].ints) if name in step.attributes else []
    return (given + [0] * count)[:count]


def _dim(value: Value, axis: int) -> int | None:
    dims = value.dims
    size = dims[axis] if dims is not None and -len(dims) <= axis < len(dims) else None
    return size if isinstance(size, int) else None


def _without_axes(name: str, source: Value, axes: Sequence[int]) -> Value:
    value = Value(name)
    if source.type is None or source.dims is None:
        return value
    gone = {axis % len(source.dims) for axis in axes if source.dims}
    kept = [dim for index, dim in enumerate(source.dims) if index not in gone]
    value.learn(tensor_type(source.type.tensor_type.elem_type, kept))
    value.is_bound = source.is_bound
    return value


_TOO_LONG = "its sequence is too long to follow"


def run_sequence_map(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """SequenceMap: https://onnx.ai/onnx/operators/onnx__SequenceMap.html. The body runs for each element of the sequences."""
    graph = body_graph(step, "body")
    inputs = [value for value in step.inputs if value is not None]
    length = len(inputs[0].elements) if inputs and inputs[0].elements is not None else None
    passes: Sequence[Pass | None] = step.passes("body")
    if graph is None or length is None or found.unrolled + length * len(graph.node) > UNROLLED:
        step.open_reason = "the length of its sequence is not known" if length is None else _TOO_LONG
        steps.append(step)
        return
    every: list[list[Value]] = []
    all_steps: list[Step] = []
    found.unrolled += length * len(graph.node)
    for index in range(length):
        if found.walked > WALKED:
            step.open_reason = _TOO_LONG
            steps.append(step)
            return
        arguments = [value.elements[index] if value.elements else value for value in inputs]
        ran = passes[index] if index < len(passes) else None
        inner, outputs = body(graph, f"{step.name}/{index}/", arguments, ran)
        all_steps += inner
        every.append(outputs)
    steps += all_steps
    for index, output in enumerate(step.outputs):
        if output is not None:
            output.elements = tuple(outputs[index] for outputs in every if index < len(outputs))
            output.is_shaped = all(value.is_shaped for value in output.elements)
    close(step, [None] * len(step.outputs), steps)
