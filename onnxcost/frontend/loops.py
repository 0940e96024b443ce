"""Loop: how often its body runs, and with which shapes.

A body that is alike in every iteration is walked once and its steps carry a ``repeat``; one whose shapes change is unrolled.
A trip count that the graph does not tell becomes a caveat that the report states.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.frontend.bodies import (
    BOOL,
    INT64,
    UNROLLED,
    WALKED,
    Body,
    body_graph,
    close,
    fresh,
    give,
    number_in,
    scalar,
    stack,
)
from onnxcost.frontend.values import Step, Value, tensor_type
from onnxcost.graph import Caveat, option_text

if TYPE_CHECKING:
    from onnx import GraphProto

    from onnxcost.frontend.shaped_model import ShapedModel

FOLLOWED = 100_000
"""Steps that the iterations of traced loops may make in all."""


def run_loop(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """Loop: https://onnx.ai/onnx/operators/onnx__Loop.html. Its body's inputs are (iteration, condition, carried …), its
    outputs (condition, carried …, scanned …).
    """
    graph = body_graph(step, "body")
    if graph is None:
        step.open_reason = "it has no body"
        steps.append(step)
        return
    found.loops.append(step.name)
    count, condition, *rest = [*step.inputs, None, None][: max(2, len(step.inputs))]
    carried = [value for value in rest if value is not None]
    if step.execution is not None:
        _close_unrolled(step, _as_it_ran(step, body, graph, carried, found), carried, steps)
        return
    limit = found.trips.get(step.name, number_in(count, found.opsets))
    if limit is not None and (limit < 0 or number_in(condition, found.opsets) == 0):
        limit = 0
    loops, caveats = len(found.loops), len(found.caveats)
    arguments = _iteration(f"{step.name}/", [fresh(value.name, value) for value in carried])
    inner, outputs = body(graph, f"{step.name}/", arguments, None)
    never_ends = number_in(outputs[0], found.opsets) == 1 or _is_identity_of(outputs[0], arguments[1], inner)
    if limit is None or (limit and not (never_ends and _keeps_shapes(inner, outputs, arguments))):
        mine = found.loops[loops:], found.caveats[caveats:]
        del found.loops[loops:], found.caveats[caveats:]
        is_too_long = never_ends if limit is None else limit * max(1, len(inner)) > UNROLLED
        if not is_too_long and (unrolled := _unroll(step, body, graph, carried, limit, found)) is not None:
            _close_unrolled(step, unrolled, carried, steps)
            return
        found.loops[loops:], found.caveats[caveats:] = mine
        found.caveats.append(_what_is_left_out(step, limit, found))
    trips = 1 if limit is None else limit
    if not trips:
        del found.caveats[caveats:]
    for each in inner if trips else ():
        each.times(trips)
    steps += inner if trips else ()
    close(step, _finish(step, outputs, carried, trips), steps)


def _iteration(prefix: str, carried: Sequence[Value]) -> list[Value]:
    """The formal inputs of an iteration that may be any: its number is not known."""
    number, condition = Value(f"{prefix}iteration"), Value(f"{prefix}condition")
    number.learn(tensor_type(INT64, ()))
    condition.learn(tensor_type(BOOL, ()))
    return [number, condition, *carried]


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
    condition, trip = scalar(f"{step.name}/true", True), 0
    while (limit is None or trip < limit) and found.unrolled < UNROLLED and found.walked < WALKED:
        prefix = f"{step.name}/{trip}/"
        inner, outputs = body(graph, prefix, [scalar(f"{prefix}iteration", trip), condition, *carried], None)
        unrolled.steps.extend(inner)
        unrolled.outputs.append(outputs)
        goes_on = number_in(outputs[0], found.opsets)
        found.unrolled += len(inner) + 1
        if goes_on is None:
            return None
        condition, carried, trip = outputs[0], outputs[1 : 1 + len(carried)], trip + 1
        if not goes_on:
            return unrolled
    return unrolled if trip == limit else None


def _as_it_ran(step: Step, body: Body, graph: GraphProto, carried: Sequence[Value], found: ShapedModel) -> Unrolled:
    """The iterations that a run had: the first of those that are alike stands for all of them."""
    passes = step.passes("body")
    outputs: list[list[Value]] = []
    walked: dict[Hashable, tuple[list[Step], list[Value]]] = {}
    times: Counter[Hashable] = Counter()
    for trip, ran in enumerate(passes):
        kind: Hashable = (ran, *((value.signature, value.elements, value.content) for value in carried))
        if kind not in walked:
            if found.unrolled > FOLLOWED:
                found.caveats.append(_what_is_not_followed(step, trip, len(passes)))
                break
            prefix = f"{step.name}/{trip}/" if walked or len(set(passes)) > 1 else f"{step.name}/"
            walked[kind] = body(graph, prefix, _iteration(prefix, [fresh(value.name, value) for value in carried]), ran)
            found.unrolled += len(walked[kind][0]) + 1
        times[kind] += 1
        outputs.append(walked[kind][1])
        carried = outputs[-1][1 : 1 + len(carried)]
    for kind, (inner, _) in walked.items():
        for each in inner:
            each.times(times[kind])
    return Unrolled([each for inner, _ in walked.values() for each in inner], outputs)


def _what_is_not_followed(step: Step, trips: int, limit: int) -> Caveat:
    text = f"Loop '{step.name}': {trips:,} of its {limit:,} iterations are counted, because too many of them differ"
    return Caveat("lower", text)


def _what_is_left_out(step: Step, limit: int | None, found: ShapedModel) -> Caveat:
    if limit is None:
        how = f"{option_text('--trips', step.name)} says how often it runs"
        return Caveat(
            "lower", f"Loop '{step.name}' is counted for one iteration: nothing in the graph gives their number; {how}"
        )
    if step.name in found.trips:
        return Caveat("note", f"Loop '{step.name}' is counted {limit} times, as given")
    why = "data decides whether it ends earlier, or its shapes change"
    return Caveat("upper", f"Loop '{step.name}' is counted {limit} times, each as the first: {why}")


def _close_unrolled(step: Step, unrolled: Unrolled, carried: Sequence[Value], steps: list[Step]) -> None:
    """The iterations, and the node behind them: what is carried comes from the last one, what is scanned from all."""
    made: list[Value | None] = []
    for index, output in enumerate(step.outputs):
        values = [outputs[1 + index] for outputs in unrolled.outputs if 1 + index < len(outputs)]
        if index < len(carried):
            last = values[-1] if values else carried[index]
            give(output, last)
            made.append(last)
            continue
        made.append(None)
        if output is not None and len({value.signature for value in values}) == 1:
            stack(output, values[0], len(values), 0)
    steps += unrolled.steps
    close(step, made, steps)


def _finish(step: Step, outputs: Sequence[Value], carried: Sequence[Value], trips: int) -> list[Value | None]:
    """The node's outputs, carried out of the last iteration or scanned and stacked; returns what each hands on."""
    made: list[Value | None] = []
    for index, (output, last) in enumerate(zip(step.outputs, outputs[1:], strict=False)):
        is_carried = index < len(carried)
        source = last if trips or not is_carried else carried[index]
        made.append(source if is_carried else None)
        if output is not None and is_carried:
            give(output, fresh(output.name, source) if trips else source)
        elif output is not None:
            stack(output, last, trips, 0)
    return made
