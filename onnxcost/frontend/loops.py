"""Shape inference through Loops: as one iteration that represents all, unrolled, or as in a traced run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import replace
from math import prod
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.frontend.bodies import (
    NO_LIMIT,
    UNROLLED,
    WALKED,
    Body,
    any_iteration,
    body_graph,
    close_body,
    find_unchanged,
    forget_elements,
    give_value,
    how_often,
    is_identity_of,
    keeps_shapes,
    known_scalar,
    number_in,
    read_initial,
    stack_elements,
    unknown_like,
)
from onnxcost.frontend.loop_conditions import count_iterations, steps_by_output
from onnxcost.frontend.values import Step, Value
from onnxcost.graph import Caveat, option_text

if TYPE_CHECKING:
    from onnx import GraphProto

    from onnxcost.frontend.bodies import ShapedModel

FOLLOWED = 100_000
"""The most steps that the iterations of traced loops may create in total."""


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
    found.note_carried(carried, kept)
    step.idle = read_initial(step, [value for value, is_kept in zip(carried, kept, strict=True) if not is_kept])
    if step.execution is not None:
        if not step.passes("body"):  # its constants are loaded nevertheless
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
    # Under new names: an initial value of a loop is not a weight of the nodes that read it.
    carried = [
        _as_initial(f"{step.name}/initial_{i}", value) if value.is_constant and not kept[i] else value
        for i, value in enumerate(carried)
    ]
    arguments = any_iteration(f"{step.name}/", forget_elements(carried, kept))
    inner, outputs = body(graph, f"{step.name}/", arguments, None)
    # If shapes change, a property of one iteration may not hold in the next.
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
    """The constant under another name. If it is computed, its elements come from the constant."""
    is_computed = constant.folds_from is not None
    same_as = constant if is_computed else constant.same_as
    return replace(constant, name=name, is_constant=False, folds_from=None, same_as=same_as, kind=0)


def _is_undecided(inner: Sequence[Step], caveats: Sequence[Caveat]) -> bool:
    """Whether a branch or a bound in an iteration is open that may follow from the iteration's number."""
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
    """Each iteration with its own shapes and values; None if data decides when it ends, if it has too many, or with
    ``must_decide`` if something in an iteration stays undecided.
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
    """The iterations of a run: the first of equal ones represents all of them."""
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


def _decided_by(values: Sequence[Value | None], steps: Sequence[Step], found: ShapedModel) -> str:
    """``--value NAME=N`` of the one number among the model's inputs that a value is computed from; "" if it is not one."""
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
        how = f"{hint} sets it, or {how_often(step)}" if hint else how_often(step)
        why = f"because the graph does not determine the number; {how}"
        return Caveat("lower", f"Loop '{step.name}' is counted for one iteration, {why}")
    if step.name in found.trips:
        return Caveat("note", f"Loop '{step.name}' is counted {limit} times, as given")
    why = f"it may end earlier, or its shapes may change, depending on data; {how_often(step)}"
    return Caveat("upper", f"Loop '{step.name}' is counted {limit} times, all like the first: {why}")


def _close_unrolled(step: Step, unrolled: Unrolled, carried: Sequence[Value], steps: list[Step]) -> None:
    """The iterations, and the node after them: carried values come from the last one, scanned values from all."""
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
    """The node's outputs, carried from the last iteration or scanned and stacked; returns the value that each passes on."""
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
