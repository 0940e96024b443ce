"""Shape inference through control flow: If, Loop, Scan, SequenceMap and the bodies of FlexAttention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from math import prod
from typing import TYPE_CHECKING

from onnxcost.frontend.bodies import (
    DOUBLE,
    FLOAT,
    NO_LIMIT,
    UNROLLED,
    WALKED,
    Body,
    body_graph,
    close_body,
    find_unchanged,
    give_value,
    hand_on,
    how_often,
    merge_types,
    number_in,
    read_initial,
    stack_elements,
    unknown_like,
)
from onnxcost.frontend.contradictions import Contradiction
from onnxcost.frontend.dims import describe_assumptions
from onnxcost.frontend.loops import run_loop
from onnxcost.frontend.values import Step, Value, tensor_type
from onnxcost.graph import Caveat

if TYPE_CHECKING:
    from onnx import GraphProto

    from onnxcost.frontend.bodies import ShapedModel
    from onnxcost.frontend.values import Pass


def run_if(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """A known condition: its branch's nodes. An unknown one: both branches, of which the more expensive one is counted."""
    branches = [body_graph(step, "then_branch"), body_graph(step, "else_branch")]
    then, otherwise = step.passes("then_branch"), step.passes("else_branch")
    ran = next(iter(then or otherwise), None)
    condition = number_in(step.inputs[0] if step.inputs else None, found.opsets) if ran is None else bool(then)
    if condition is not None and (graph := branches[0 if condition else 1]) is not None:
        inner, outputs = body(graph, f"{step.name}/", (), ran)
        steps += inner
        step.idle = _walk_idle(step, branches[1 if condition else 0], body, found)
        for output, value in zip(step.outputs, outputs, strict=False):
            give_value(output, value)
        close_body(step, outputs[: len(step.outputs)], steps)
        return
    walked = _walk_both(step, branches, body, found)
    step.branches = {which: inner for which, (inner, _) in walked.items()}
    for index, output in enumerate(step.outputs):
        if output is not None:
            ends = {which: outputs[index] for which, (_, outputs) in walked.items() if index < len(outputs)}
            merge_types(output, list(ends.values()))
            ranks = {which: len(value.dims) for which, value in ends.items() if value.dims is not None}
            if len({*ranks.values()}) > 1:
                found.caveats.append(Caveat("note", f"If '{step.name}': {_choose_rank(output, ends, found)}"))
    steps.append(step)


def _choose_rank(output: Value, ends: Mapping[str, Value], found: ShapedModel) -> str:
    """Gives an output whose branches have different ranks the shape of one of them; returns how it counts."""
    text = " and ".join([f"{len(value.dims or ())} in its {which} branch" for which, value in ends.items()])
    text = f"the dims of '{output.name}' are {text}"
    found.has_ranks = True
    if found.rank_of is None or not all(value.is_shaped for value in ends.values()):
        return f"{text}: nodes that need its shape are not counted"
    sizes = {which: (prod(value.dims or ()), len(value.dims or ())) for which, value in ends.items()}  # type: ignore[arg-type]
    which = sorted(sizes, key=sizes.__getitem__)[found.rank_of]
    give_value(output, unknown_like("", ends[which]))
    output.is_bound = True
    return f"{text}: nodes that need its shape are counted with that of its {which} branch"


def _walk_idle(step: Step, graph: GraphProto | None, body: Body, found: ShapedModel) -> list[Step]:
    """The steps of a branch that is not taken, once for all executions: they show the purpose of its constants."""
    if graph is None or id(graph) in found.stored:
        return []
    before = found.unrolled, found.walked, len(found.loops), len(found.caveats)
    try:
        return body(graph, f"{step.name}/idle/", (), None)[0]
    except Contradiction:
        return []
    finally:
        found.unrolled, found.walked = before[:2]
        del found.loops[before[2] :], found.caveats[before[3] :]


def _walk_both(
    step: Step, branches: Sequence[GraphProto | None], body: Body, found: ShapedModel
) -> dict[str, tuple[list[Step], list[Value]]]:
    """The outputs of each branch, by name; one that is invalid with these shapes is left out."""
    walked, contradictions = {}, []
    for which, graph in zip(("then", "else"), branches, strict=True):
        if graph is None:
            continue
        try:
            walked[which] = body(graph, f"{step.name}/{which}/", (), None)
        except Contradiction as contradiction:
            contradictions.append(contradiction)
            text = (
                f"If '{step.name}': its {which} branch is not counted, because it is invalid with these shapes: {contradiction}"
            )
            found.caveats.append(Caveat("note", text + describe_assumptions(found.dims)))
    if contradictions and not walked:
        raise contradictions[0]
    return walked


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
    found.loops.append(step.name)
    kept = find_unchanged(graph, 0, 0, states)
    found.note_carried(states, kept)
    step.idle = read_initial(step, [value for value, is_kept in zip(states, kept, strict=True) if not is_kept])
    trips, batch = _dim(sequences[0], axes[0]), _dim(sequences[0], 0) if batched else 1
    if trips is None or trips >= NO_LIMIT:
        trips = found.trips.get(step.name)
    arguments = [
        value if kept[i] and not batched else _without_axes(f"{step.name}/state_{i}", value, [0] * batched)
        for i, value in enumerate(states)
    ]
    for i, (value, axis) in enumerate(zip(sequences, axes, strict=True)):
        arguments.append(_without_axes(f"{step.name}/slice_{i}", value, [axis, *[0] * batched]))
        if value.is_constant:  # the readers of the slices show the purpose of the constant, such as the weights of layers
            step.idle = [*step.idle, hand_on(f"{step.name}/slices_{i}", (value,), (arguments[-1],))]
    if trips is None or batch is None:
        why = f"because the length of its sequence is unknown; {how_often(step)}"
        found.caveats.append(Caveat("lower", f"Scan '{step.name}' is counted for one iteration, {why}"))
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
        whole = unknown_like("", made)
        if index >= len(states):
            stack_elements(whole, made, trips, out_axes[index - len(states)])
        if batched:
            stack_elements(whole, unknown_like("", whole), batch, 0)
        give_value(output, whole)
    ends = [*outputs[: len(states)], *[None] * (len(step.outputs) - len(states))]
    # What the branches read stays in memory throughout.
    close_body(step, [*ends, *[None if value.is_constant else value for value in inputs]], steps)


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
    found.loops.append(step.name)
    if graph is not None and length is None:
        trips = found.trips.get(step.name)
        if trips is None:
            text = f"SequenceMap '{step.name}' is counted for one element, because the number is unknown; {how_often(step)}"
            found.caveats.append(Caveat("lower", text))
        arguments = [_any_element(f"{step.name}/element_{i}", value) for i, value in enumerate(inputs)]
        inner, outputs = body(graph, f"{step.name}/", arguments, next(iter(passes), None))
        for each in inner:
            each.times(1 if trips is None else trips)
        steps += inner if trips != 0 else ()
        close_body(step, [None] * len(outputs), steps)
        return
    if graph is None or length is None or found.unrolled + length * len(graph.node) > UNROLLED:
        step.open_reason = "it has no body" if graph is None else _TOO_LONG
        steps.append(step)
        return
    if any(value.elements is not None and len(value.elements) != length for value in inputs):
        step.open_reason = "its sequences have different lengths"
        steps.append(step)
        return
    if not length:
        elements = [_any_element(f"{step.name}/element_{i}", value) for i, value in enumerate(inputs)]
        step.idle = body(graph, f"{step.name}/", elements, None)[0]
    every: list[list[Value]] = []
    all_steps: list[Step] = []
    found.unrolled += length * len(graph.node)
    for index in range(length):
        if found.walked > WALKED:
            step.open_reason = _TOO_LONG
            steps.append(step)
            return
        arguments = [
            value.elements[index] if value.elements else _any_element(f"{step.name}/{index}/element_{i}", value)
            for i, value in enumerate(inputs)
        ]
        ran = passes[index] if index < len(passes) else None
        inner, outputs = body(graph, f"{step.name}/{index}/", arguments, ran)
        all_steps += inner
        every.append(outputs)
    steps += all_steps
    for index, output in enumerate(step.outputs):
        if output is not None:
            output.elements = tuple(outputs[index] for outputs in every if index < len(outputs))
            output.is_shaped = all(value.is_shaped for value in output.elements)
    close_body(step, [None] * len(step.outputs), steps)


def _any_element(name: str, source: Value) -> Value:
    """An element of a sequence with unknown elements, with their common type; a tensor is returned as it is."""
    if source.type is None or not source.type.HasField("sequence_type"):
        return source
    value = Value(name)
    value.learn(source.type.sequence_type.elem_type)
    return value


Handler = Callable[[Step, Body, "ShapedModel", list[Step]], None]
CONTROL_FLOW: Mapping[str, Handler] = {"If": run_if, "Loop": run_loop, "Scan": run_scan, "SequenceMap": run_sequence_map}


def run_modifiers(step: Step, body: Body, steps: list[Step]) -> None:
    """FlexAttention: https://onnx.ai/onnx/operators/onnx_aionnxpreview_FlexAttention.html. Its two graphs each run once, on all
    scores of the queries (B × heads × S_q × size) and keys (B × heads × S_kv × size).
    """
    graphs = [(name, graph) for name in ("score_mod", "prob_mod") if (graph := body_graph(step, name)) is not None]
    queries, keys = (value.dims if value is not None else None for value in (*step.inputs, None, None)[:2])
    if not graphs or queries is None or keys is None or len(queries) != 4 or len(keys) != 4:
        return
    query_type = step.inputs[0].type.tensor_type.elem_type if step.inputs[0] is not None and step.inputs[0].type else FLOAT
    precision = step.attributes["softmax_precision"].i if "softmax_precision" in step.attributes else 0
    scores = Value(f"{step.name}/scores")
    scores.learn(tensor_type(precision or (DOUBLE if query_type == DOUBLE else FLOAT), [*queries[:3], keys[2]]))
    for name, graph in graphs:
        inner, _ = body(graph, f"{step.name}/{name}/", [scores], next(iter(step.passes(name)), None))
        steps += inner
