"""Shape inference through control flow: If, Loop, Scan, SequenceMap and the bodies of FlexAttention."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.frontend.bodies import (
    DOUBLE,
    FLOAT,
    UNROLLED,
    WALKED,
    Body,
    any_iteration,
    body_graph,
    close_body,
    find_unchanged,
    forget_elements,
    give_value,
    is_identity_of,
    keeps_shapes,
    known_scalar,
    merge_types,
    number_in,
    stack_elements,
    unknown_like,
)
from onnxcost.frontend.contradictions import Contradiction
from onnxcost.frontend.dims import describe_assumptions
from onnxcost.frontend.loop_conditions import count_iterations, steps_by_output
from onnxcost.frontend.stored_graphs import StoredNode
from onnxcost.frontend.values import Step, Value, tensor_type
from onnxcost.graph import Caveat, option_text

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
                text = f"'{output.name}' has {ranks['then']} dims in its then branch and {ranks['else']} in its else branch"
                found.caveats.append(Caveat("note", f"If '{step.name}': {text}: nodes that need its shape are not counted"))
    steps.append(step)


def _walk_idle(step: Step, graph: GraphProto | None, body: Body, found: ShapedModel) -> list[Step]:
    """The steps of a branch that is not taken, once for all executions: they say what its constants are for."""
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
    """What each branch makes, by its name; one that is invalid with these shapes is left out."""
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


NO_LIMIT = 2**31 - 1
"""From here on a trip count or a length is what exporters write where there is no limit: the largest number of their type."""
FOLLOWED = 100_000
"""Steps that the iterations of traced loops may make in all."""


def run_loop(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """Loop: https://onnx.ai/onnx/operators/onnx__Loop.html. Its body's inputs are (iteration, condition, carried …), its
    outputs (condition, carried …, scanned …).
    """
    graph = body_graph(step, "body")
    if graph is None or not graph.output:
        step.open_reason = "it has no body" if graph is None else "its body has no outputs"
        steps.append(step)
        return
    found.loops.append(step.name)
    count, condition, *rest = [*step.inputs, None, None][: max(2, len(step.inputs))]
    carried = [value for value in rest if value is not None]
    kept = find_unchanged(graph, 2, 1, carried)
    step.idle = _read_initial(step, [value for value, is_kept in zip(carried, kept, strict=True) if not is_kept])
    if step.execution is not None:
        if not step.passes("body"):  # its constants are loaded all the same
            step.idle = [
                *step.idle,
                *body(graph, f"{step.name}/", any_iteration(f"{step.name}/", forget_elements(carried, kept)), None)[0],
            ]
        _close_unrolled(step, _replay(step, body, graph, carried, kept, found), carried, steps)
        return
    limit = found.trips.get(step.name, number_in(count, found.opsets))
    if step.name not in found.trips and limit is not None and limit >= NO_LIMIT:
        limit = None
    if (limit is not None and limit < 0) or number_in(condition, found.opsets) == 0:
        limit = 0
    loops, caveats = len(found.loops), len(found.caveats)
    # Under names of their own: a constant that a loop starts from is no weight of the nodes that read it.
    carried = [
        _as_initial(f"{step.name}/initial_{i}", value) if value.is_constant and not kept[i] else value
        for i, value in enumerate(carried)
    ]
    arguments = any_iteration(f"{step.name}/", forget_elements(carried, kept))
    inner, outputs = body(graph, f"{step.name}/", arguments, None)
    # Where shapes change, what is so in one iteration need not be so in the next.
    keeps_carried = all(new.signature == old.signature for new, old in zip(outputs[1:], arguments[2:], strict=False))
    is_true = keeps_carried and number_in(outputs[0], found.opsets) == 1
    never_ends = is_true or is_identity_of(outputs[0], arguments[1], inner)
    if keeps_carried and not never_ends and step.name not in found.trips and limit != 0:
        trips = count_iterations(inner, arguments, outputs, carried, found.opsets)
        if trips is not None and trips < NO_LIMIT:
            limit, never_ends = trips if limit is None else min(limit, trips), True
    is_alike = never_ends and keeps_shapes(inner, outputs, arguments)
    if limit is None or (limit and (not is_alike or _is_undecided(inner, found.caveats[caveats:]))):
        mine = found.loops[loops:], found.caveats[caveats:]
        del found.loops[loops:], found.caveats[caveats:]
        is_too_long = never_ends if limit is None else limit * max(1, len(inner)) > UNROLLED
        must_decide = limit is not None and is_alike
        if not is_too_long and (unrolled := _unroll(step, body, graph, carried, kept, limit, found, must_decide)) is not None:
            _close_unrolled(step, unrolled, carried, steps)
            return
        found.loops[loops:], found.caveats[caveats:] = mine
        if not must_decide:
            hint = _decided_by((count, outputs[0]), [*found.steps, *steps, *inner], found)
            found.caveats.append(_note_left_out(step, limit, hint, found))
    trips = 1 if limit is None else limit
    if not trips:
        step.idle = [*step.idle, *inner]
        del found.caveats[caveats:]
    for each in inner if trips else ():
        each.times(trips)
    steps += inner if trips else ()
    close_body(step, _finish_outputs(step, outputs, carried, trips), steps)


def _as_initial(name: str, constant: Value) -> Value:
    """The constant under another name. What it is computed from fills the constant alone."""
    is_computed = constant.folds_from is not None
    same_as = constant if is_computed else constant.same_as
    return replace(constant, name=name, is_constant=False, folds_from=None, same_as=same_as, kind=0)


def _read_initial(step: Step, values: Sequence[Value | None]) -> list[Step]:
    """A step that reads the constants that a loop starts from: states, which the body sees under other names."""
    stored = tuple(value for value in values if value is not None and value.is_constant)
    return [_hand_on(f"{step.name}/initial", stored, ())] if stored else []


def _hand_on(name: str, values: tuple[Value, ...], made: tuple[Value, ...]) -> Step:
    """A step that reads the values and hands them on."""
    from onnx import NodeProto

    return Step(StoredNode.of(NodeProto(op_type="Identity")), name, "", values, made)


def _is_undecided(inner: Sequence[Step], caveats: Sequence[Caveat]) -> bool:
    """Whether a branch or a bound in an iteration is open, which the graph may decide where the iteration's number is known."""
    return any(step.branches for step in inner) or any(caveat.kind != "note" for caveat in caveats)


class Unrolled(NamedTuple):
    """A loop, iteration by iteration: all their steps, and the outputs of each."""

    steps: list[Step]
    outputs: list[list[Value]]


def _unroll(
    step: Step,
    body: Body,
    graph: GraphProto,
    carried: Sequence[Value],
    kept: Sequence[bool],
    limit: int | None,
    found: ShapedModel,
    must_decide: bool = False,
) -> Unrolled | None:
    """Each iteration with its own shapes and values; None where data decides when it ends, or it does not within reason, and
    with ``must_decide`` where something in an iteration stays undecided.
    """
    unrolled, caveats = Unrolled([], []), len(found.caveats)
    condition, trip = known_scalar(f"{step.name}/true", True), 0
    while (limit is None or trip < limit) and found.unrolled < UNROLLED and found.walked < WALKED:
        prefix = f"{step.name}/{trip}/"
        inner, outputs = body(graph, prefix, [known_scalar(f"{prefix}iteration", trip), condition, *carried], None)
        unrolled.steps.extend(inner)
        unrolled.outputs.append(outputs)
        goes_on = number_in(outputs[0], found.opsets)
        found.unrolled += len(inner) + 1
        if goes_on is None or (must_decide and _is_undecided(inner, found.caveats[caveats:])):
            return None
        made = outputs[1 : 1 + len(carried)]
        carried = [old if is_kept else new for old, new, is_kept in zip(carried, made, kept, strict=True)]
        condition, trip = outputs[0], trip + 1
        if not goes_on:
            return unrolled
    return unrolled if trip == limit else None


def _replay(
    step: Step, body: Body, graph: GraphProto, carried: Sequence[Value], kept: Sequence[bool], found: ShapedModel
) -> Unrolled:
    """The iterations that a run had: the first of those that are alike stands for all of them."""
    passes = step.passes("body")
    outputs: list[list[Value]] = []
    walked: dict[Hashable, tuple[list[Step], list[Value]]] = {}
    times: Counter[Hashable] = Counter()
    for trip, ran in enumerate(passes):
        kind: Hashable = (ran, *((value.signature, value.elements, value.content) for value in carried))
        if kind not in walked:
            if found.unrolled > FOLLOWED:
                counted = f"{trip:,} of its {len(passes):,} iterations are counted, because too many of them differ"
                found.caveats.append(Caveat("lower", f"Loop '{step.name}': {counted}"))
                break
            prefix = f"{step.name}/{trip}/" if walked or len(set(passes)) > 1 else f"{step.name}/"
            walked[kind] = body(graph, prefix, any_iteration(prefix, forget_elements(carried, kept)), ran)
            found.unrolled += len(walked[kind][0]) + 1
        times[kind] += 1
        outputs.append(walked[kind][1])
        made = outputs[-1][1 : 1 + len(carried)]
        carried = [old if is_kept else new for old, new, is_kept in zip(carried, made, kept, strict=True)]
    for kind, (inner, _) in walked.items():
        for each in inner:
            each.times(times[kind])
    return Unrolled([each for inner, _ in walked.values() for each in inner], outputs)


def _how_often(step: Step) -> str:
    return f"use {option_text('--trips', step.name)} to set the number"


def _decided_by(values: Sequence[Value | None], steps: Sequence[Step], found: ShapedModel) -> str:
    """``--value NAME=N`` of the one number among the model's inputs that a value is computed from; "" where it is not one."""
    made_by, inputs = steps_by_output(steps), {id(value): value for value in found.inputs}
    for value in values:
        read: dict[int, Value] = {}
        pending, seen = [value], set[int]()
        while pending:
            each = pending.pop()
            if each is None or id(each) in seen or each.is_known:
                continue
            seen.add(id(each))
            if id(each) in inputs:
                read[id(each)] = each
            elif (step := made_by.get(id(each))) is not None:
                pending += step.inputs
        if len(read) == 1:
            (source,) = read.values()
            if source.is_shaped and prod(size for size in source.dims or () if isinstance(size, int)) == 1:
                return option_text("--value", source.name)
    return ""


def _note_left_out(step: Step, limit: int | None, hint: str, found: ShapedModel) -> Caveat:
    if limit is None:
        how = f"{hint} sets it, or {_how_often(step)}" if hint else _how_often(step)
        why = f"because the graph does not determine the number; {how}"
        return Caveat("lower", f"Loop '{step.name}' is counted for one iteration, {why}")
    if step.name in found.trips:
        return Caveat("note", f"Loop '{step.name}' is counted {limit} times, as given")
    why = f"it may end earlier, or its shapes may change, depending on data; {_how_often(step)}"
    return Caveat("upper", f"Loop '{step.name}' is counted {limit} times, all like the first: {why}")


def _close_unrolled(step: Step, unrolled: Unrolled, carried: Sequence[Value], steps: list[Step]) -> None:
    """The iterations, and the node behind them: what is carried comes from the last one, what is scanned from all."""
    made: list[Value | None] = []
    for index, output in enumerate(step.outputs):
        values = [outputs[1 + index] for outputs in unrolled.outputs if 1 + index < len(outputs)]
        if index < len(carried):
            last = values[-1] if values else carried[index]
            give_value(output, last)
            made.append(last)
            continue
        made.append(None)
        if output is not None and len({value.signature for value in values}) == 1:
            stack_elements(output, values[0], len(values), 0)
    steps += unrolled.steps
    close_body(step, made, steps)


def _finish_outputs(step: Step, outputs: Sequence[Value], carried: Sequence[Value], trips: int) -> list[Value | None]:
    """The node's outputs, carried out of the last iteration or scanned and stacked; returns what each hands on."""
    made: list[Value | None] = []
    for index, (output, last) in enumerate(zip(step.outputs, outputs[1:], strict=False)):
        is_carried = index < len(carried)
        source = last if trips or not is_carried else carried[index]
        made.append(source if is_carried else None)
        if output is not None and is_carried:
            give_value(output, unknown_like(output.name, source) if trips else source)
        elif output is not None:
            stack_elements(output, last, trips, 0)
    return made


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
    step.idle = _read_initial(step, [value for value, is_kept in zip(states, kept, strict=True) if not is_kept])
    trips, batch = _dim(sequences[0], axes[0]), _dim(sequences[0], 0) if batched else 1
    if trips is None or trips >= NO_LIMIT:
        trips = found.trips.get(step.name)
    arguments = [
        value if kept[i] and not batched else _without_axes(f"{step.name}/state_{i}", value, [0] * batched)
        for i, value in enumerate(states)
    ]
    for i, (value, axis) in enumerate(zip(sequences, axes, strict=True)):
        arguments.append(_without_axes(f"{step.name}/slice_{i}", value, [axis, *[0] * batched]))
        if value.is_constant:  # what reads the slices says what the constant is for, such as the weights of layers
            step.idle = [*step.idle, _hand_on(f"{step.name}/slices_{i}", (value,), (arguments[-1],))]
    if trips is None or batch is None:
        why = f"because the length of its sequence is unknown; {_how_often(step)}"
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
    close_body(step, [*ends, *[None if value.is_constant else value for value in inputs]], steps)  # which are there throughout


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
            text = f"SequenceMap '{step.name}' is counted for one element, because the number is unknown; {_how_often(step)}"
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
    """An element of a sequence whose elements are not known, of the type that they all have; a tensor is as it is."""
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
