"""Control flow: which body of a node runs, how often, and with which shapes.

A body whose shapes and condition are the same in every iteration is walked once and its steps carry a ``repeat``; one whose
shapes change is unrolled. What the graph does not tell (a branch, a trip count) becomes a caveat that the report states.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.frontend.dims import what_was_assumed
from onnxcost.frontend.folding import folded
from onnxcost.frontend.inference import Contradiction
from onnxcost.frontend.values import Step, Value, tensor_type
from onnxcost.graph import Caveat

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto

    from onnxcost.frontend.shapes import ShapedModel

Body = Callable[["GraphProto", str, Sequence[Value]], tuple[list[Step], list[Value]]]
"""Walks a subgraph: the graph, the prefix of its names, the values of its formal inputs → its steps and its outputs."""

UNROLLED = 5_000
"""Steps that the unrolling of a model's loops may make in all."""


def _graph(step: Step, name: str) -> GraphProto | None:
    attribute = step.attributes.get(name)
    return attribute.g if attribute is not None and attribute.HasField("g") else None


def _number(value: Value | None, opsets: Mapping[str, int]) -> int | None:
    """The value of a scalar, None where it is absent or not known."""
    tensor = folded(value, opsets) if value is not None and value.is_known else None
    if tensor is None:
        return None
    from onnx.numpy_helper import to_array

    try:
        array = to_array(tensor)
    except (ValueError, TypeError):
        return None
    return int(array.ravel()[0]) if array.size else None


def _int64(name: str, number: int) -> Value:
    import numpy as np
    from onnx.numpy_helper import from_array

    return _known(name, from_array(np.asarray(number, np.int64), name))


def _flag(name: str, *, is_true: bool) -> Value:
    import numpy as np
    from onnx.numpy_helper import from_array

    return _known(name, from_array(np.asarray(is_true), name))


def _known(name: str, tensor: TensorProto) -> Value:
    value = Value(name, tensor=tensor)
    value.learn(tensor_type(tensor.data_type, tensor.dims))
    return value


def _fresh(name: str, source: Value) -> Value:
    """A value of the same type whose elements are not known."""
    value = Value(name)
    if source.type is not None:
        value.learn_from(source)
    value.elements, value.content, value.is_bound = source.elements, source.content, source.is_bound
    return value


def _give(output: Value | None, source: Value) -> None:
    """The node's output is what a body made (or handed through)."""
    if output is None:
        return
    if source.type is not None:
        output.learn_from(source)
    output.elements, output.content, output.is_bound = source.elements, source.content, source.is_bound
    output.same_as, output.is_constant = source, source.is_constant


def _close(step: Step, made: Sequence[Value | None], steps: list[Step]) -> None:
    """The node itself, behind the nodes of its body: it hands on, at the same position, what they made."""
    step.inputs = tuple(made)
    steps.append(step)


# ---------------------------------------------------------------------------------------------------------------- If


def run_if(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """A known condition: its branch's nodes. An unknown one: both branches, for the dearer to be counted."""
    branches = [_graph(step, "then_branch"), _graph(step, "else_branch")]
    condition = _number(step.inputs[0] if step.inputs else None, found.opsets)
    if condition is not None and (graph := branches[0 if condition else 1]) is not None:
        inner, outputs = body(graph, f"{step.name}/", ())
        steps += inner
        for output, made in zip(step.outputs, outputs, strict=False):
            _give(output, made)
        _close(step, outputs[: len(step.outputs)], steps)
        return
    walked = _walk_both(step, branches, body, found)
    step.branches = tuple(inner for inner, _ in walked)
    for index, output in enumerate(step.outputs):
        if output is not None:
            _merge(output, [outputs[index] for _, outputs in walked if index < len(outputs)])
    steps.append(step)


def _walk_both(
    step: Step, branches: Sequence[GraphProto | None], body: Body, found: ShapedModel
) -> list[tuple[list[Step], list[Value]]]:
    """What each branch makes; one that cannot be with these shapes is never taken, and left out."""
    walked, contradictions = [], []
    for which, graph in zip(("then", "else"), branches, strict=True):
        if graph is None:
            continue
        try:
            walked.append(body(graph, f"{step.name}/{which}/", ()))
        except Contradiction as contradiction:
            contradictions.append(contradiction)
            text = f"If '{step.name}': its {which} branch is left out, because it cannot be with these shapes: {contradiction}"
            found.caveats.append(Caveat("note", text + what_was_assumed(found.dims)))
    if contradictions and not walked:
        raise contradictions[0]
    return walked


def _merge(output: Value, alternatives: Sequence[Value]) -> None:
    """One type for what either branch may give: the larger of each dim, as a bound where they differ."""
    shaped = [value for value in alternatives if value.is_shaped and value.dims is not None and value.type is not None]
    if not shaped:
        return
    ranks = {len(value.dims or ()) for value in shaped}
    if len(shaped) < len(alternatives) or len(ranks) > 1:
        return
    dims = [max(sizes) for sizes in zip(*(value.dims or () for value in shaped), strict=True)]
    assert shaped[0].type is not None
    output.learn(tensor_type(shaped[0].type.tensor_type.elem_type, dims))
    output.is_bound = len({value.dims for value in shaped}) > 1 or any(value.is_bound for value in shaped)


# -------------------------------------------------------------------------------------------------------------- Loop


def run_loop(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """Loop: https://onnx.ai/onnx/operators/onnx__Loop.html. Its body's inputs are (iteration, condition, carried …), its
    outputs (condition, carried …, scanned …).
    """
    graph = _graph(step, "body")
    if graph is None:
        step.open_reason = "it has no body"
        steps.append(step)
        return
    found.loops.append(step.name)
    count, condition, *rest = [*step.inputs, None, None][: max(2, len(step.inputs))]
    carried = [value for value in rest if value is not None]
    limit = found.trips.get(step.name, _number(count, found.opsets))
    if limit is not None and (limit < 0 or _number(condition, found.opsets) == 0):
        limit = 0
    loops, caveats = len(found.loops), len(found.caveats)
    arguments = _iteration(step, carried)
    inner, outputs = body(graph, f"{step.name}/", arguments)
    never_ends = _number(outputs[0], found.opsets) == 1 or _is_identity_of(outputs[0], arguments[1], inner)
    if limit is None or (limit and not (never_ends and _keeps_shapes(inner, outputs, arguments))):
        mine = found.loops[loops:], found.caveats[caveats:]
        is_too_long = never_ends if limit is None else limit * max(1, len(inner)) > UNROLLED
        if not is_too_long and (unrolled := _unroll(step, body, graph, carried, limit, found)) is not None:
            del found.loops[loops:], found.caveats[caveats:]
            steps += unrolled.steps
            _close(step, _finish_unrolled(step, unrolled.outputs, carried), steps)
            return
        found.loops[loops:], found.caveats[caveats:] = mine
        found.caveats.append(_what_is_left_out(step, limit, found))
    trips = 1 if limit is None else limit
    for each in inner if trips else ():
        each.times(trips)
    steps += inner if trips else ()
    _close(step, _finish(step, outputs, carried, trips), steps)


def _iteration(step: Step, carried: Sequence[Value]) -> list[Value]:
    """The formal inputs of an iteration that may be any: neither its number nor what it carries is known."""
    number, condition = Value(f"{step.name}/iteration"), Value(f"{step.name}/condition")
    number.learn(tensor_type(_INT64, ()))
    condition.learn(tensor_type(_BOOL, ()))
    return [number, condition, *(_fresh(f"{step.name}/carried_{i}", value) for i, value in enumerate(carried))]


_FLOAT, _INT64, _BOOL, _DOUBLE = 1, 7, 9, 11  # TensorProto.FLOAT and so on


def _keeps_shapes(inner: Sequence[Step], outputs: Sequence[Value], arguments: Sequence[Value]) -> bool:
    """Whether every iteration is as this one: all shapes known, those carried unchanged."""
    is_shaped = all(value is None or value.is_shaped for step in inner for value in step.outputs)
    carried = zip(outputs[1:], arguments[2:], strict=False)
    return is_shaped and all(new.signature == old.signature and new.elements is old.elements for new, old in carried)


def _is_identity_of(value: Value, source: Value, steps: Sequence[Step]) -> bool:
    """Whether the value is the source, as it is or through Identity nodes."""
    made_by = {id(output): step for step in steps for output in step.outputs if output is not None}
    while value is not source:
        step = made_by.get(id(value))
        if step is None or step.node.op_type != "Identity" or not step.inputs or step.inputs[0] is None:
            return False
        value = step.inputs[0]
    return True


class Unrolled(NamedTuple):
    """A loop, iteration by iteration: all their steps, and the outputs of each."""

    steps: list[Step]
    outputs: list[list[Value]]


def _unroll(
    step: Step, body: Body, graph: GraphProto, carried: Sequence[Value], limit: int | None, found: ShapedModel
) -> Unrolled | None:
    """Each iteration with its own shapes and values; None where data decides when it ends, or it does not within reason."""
    unrolled = Unrolled([], [])
    condition, trip = _flag(f"{step.name}/true", is_true=True), 0
    while (limit is None or trip < limit) and found.unrolled < UNROLLED:
        prefix = f"{step.name}/{trip}/"
        inner, outputs = body(graph, prefix, [_int64(f"{prefix}iteration", trip), condition, *carried])
        unrolled.steps.extend(inner)
        unrolled.outputs.append(outputs)
        goes_on = _number(outputs[0], found.opsets)
        found.unrolled += len(inner) + 1
        if goes_on is None:
            return None
        condition, carried, trip = outputs[0], outputs[1 : 1 + len(carried)], trip + 1
        if not goes_on:
            return unrolled
    return unrolled if trip == limit else None


def _what_is_left_out(step: Step, limit: int | None, found: ShapedModel) -> Caveat:
    if limit is None:
        how = f"--trips '{step.name}=N' says how often it runs"
        return Caveat(
            "lower", f"Loop '{step.name}' is counted for one iteration: nothing in the graph gives their number; {how}"
        )
    if step.name in found.trips:
        return Caveat("note", f"Loop '{step.name}' is counted {limit} times, as given")
    why = "data decides whether it ends earlier, or its shapes change"
    return Caveat("upper", f"Loop '{step.name}' is counted {limit} times, each as the first: {why}")


def _finish_unrolled(step: Step, every: list[list[Value]], carried: Sequence[Value]) -> list[Value | None]:
    """The node's outputs from those of all iterations; returns what each hands on."""
    made: list[Value | None] = []
    for index, output in enumerate(step.outputs):
        values = [outputs[1 + index] for outputs in every if 1 + index < len(outputs)]
        made.append(values[-1] if values and index < len(carried) else None)
        if output is None or not values:
            continue
        if index < len(carried):
            _give(output, values[-1])
        elif len({value.signature for value in values}) == 1:
            _stack(output, values[0], len(values), 0)
    return made


def _finish(step: Step, outputs: Sequence[Value], carried: Sequence[Value], trips: int) -> list[Value | None]:
    """The node's outputs, carried out of the last iteration or scanned and stacked; returns what each hands on."""
    made: list[Value | None] = []
    for index, (output, last) in enumerate(zip(step.outputs, outputs[1:], strict=False)):
        is_carried = index < len(carried)
        source = last if trips or not is_carried else carried[index]
        made.append(source if is_carried else None)
        if output is not None and is_carried:
            _give(output, _fresh(output.name, source) if trips else source)
        elif output is not None:
            _stack(output, last, trips, 0)
    return made


def _stack(output: Value, element: Value, count: int, axis: int) -> None:
    """``count`` elements along a new axis."""
    if element.type is None or element.dims is None:
        return
    dims = list(element.dims)
    dims.insert(axis % (len(dims) + 1), count)
    output.learn(tensor_type(element.type.tensor_type.elem_type, dims))
    output.is_bound = element.is_bound


# ------------------------------------------------------------------------------------------------- Scan, SequenceMap


def run_scan(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """Scan: https://onnx.ai/onnx/operators/onnx__Scan.html. The body runs once for each slice of the scanned inputs; before
    opset 9 once more for each element of the batch, which is then the first axis of everything.
    """
    graph = _graph(step, "body")
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
    inner, outputs = body(graph, f"{step.name}/", arguments)
    if trips is None or batch is None:
        text = f"Scan '{step.name}' is counted for one iteration: the length of its sequence is not known"
        found.caveats.append(Caveat("lower", text))
        trips, batch = trips or 1, batch or 1
    for each in inner:
        each.times(trips * batch)
    steps += inner
    out_axes = _axes(step, "scan_output_axes", len(step.outputs)) if not batched else [0] * len(step.outputs)
    for index, (output, made) in enumerate(zip(step.outputs, outputs, strict=False)):
        whole = _fresh("", made)
        if index >= len(states):
            _stack(whole, made, trips, out_axes[index - len(states)])
        if batched:
            _stack(whole, _fresh("", whole), batch, 0)
        _give(output, whole)
    _close(step, [*outputs[: len(states)], *[None] * (len(step.outputs) - len(states))], steps)


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


def run_sequence_map(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """SequenceMap: https://onnx.ai/onnx/operators/onnx__SequenceMap.html. The body runs for each element of the sequences."""
    graph = _graph(step, "body")
    inputs = [value for value in step.inputs if value is not None]
    length = len(inputs[0].elements) if inputs and inputs[0].elements is not None else None
    if graph is None or length is None or found.unrolled + length * len(graph.node) > UNROLLED:
        step.open_reason = "the length of its sequence is not known" if length is None else "its sequence is too long to follow"
        steps.append(step)
        return
    every: list[list[Value]] = []
    found.unrolled += length * len(graph.node)
    for index in range(length):
        arguments = [value.elements[index] if value.elements else value for value in inputs]
        inner, outputs = body(graph, f"{step.name}/{index}/", arguments)
        steps += inner
        every.append(outputs)
    for index, output in enumerate(step.outputs):
        if output is not None:
            output.elements = tuple(outputs[index] for outputs in every if index < len(outputs))
            output.is_shaped = all(value.is_shaped for value in output.elements)
    _close(step, [None] * len(step.outputs), steps)


# ------------------------------------------------------------------------------------------------------ FlexAttention


def run_modifiers(step: Step, body: Body, steps: list[Step]) -> None:
    """FlexAttention: https://onnx.ai/onnx/operators/onnx_aionnxpreview_FlexAttention.html. Its two graphs each run once, on all
    scores of the queries (B × heads × S_q × size) and keys (B × heads × S_kv × size).
    """
    graphs = [(name, graph) for name in ("score_mod", "prob_mod") if (graph := _graph(step, name)) is not None]
    queries, keys = (value.dims if value is not None else None for value in (*step.inputs, None, None)[:2])
    if not graphs or queries is None or keys is None or len(queries) != 4 or len(keys) != 4:
        return
    query_type = step.inputs[0].type.tensor_type.elem_type if step.inputs[0] is not None and step.inputs[0].type else _FLOAT
    precision = step.attributes["softmax_precision"].i if "softmax_precision" in step.attributes else 0
    scores = Value(f"{step.name}/scores")
    scores.learn(tensor_type(precision or (_DOUBLE if query_type == _DOUBLE else _FLOAT), [*queries[:3], keys[2]]))
    for name, graph in graphs:
        inner, _ = body(graph, f"{step.name}/{name}/", [scores])
        steps += inner


Handler = Callable[[Step, Body, "ShapedModel", list[Step]], None]
CONTROL_FLOW: Mapping[str, Handler] = {"If": run_if, "Loop": run_loop, "Scan": run_scan, "SequenceMap": run_sequence_map}
