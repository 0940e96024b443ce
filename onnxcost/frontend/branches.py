"""If: the branch that runs, or both where the graph does not say which."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from onnxcost.frontend.bodies import Body, body_graph, close, give, number_in
from onnxcost.frontend.contradictions import Contradiction
from onnxcost.frontend.dims import what_was_assumed
from onnxcost.frontend.values import Step, Value, tensor_type
from onnxcost.graph import Caveat

if TYPE_CHECKING:
    from onnx import GraphProto

    from onnxcost.frontend.shaped_model import ShapedModel


def run_if(step: Step, body: Body, found: ShapedModel, steps: list[Step]) -> None:
    """A known condition: its branch's nodes. An unknown one: both branches, for the dearer to be counted."""
    branches = [body_graph(step, "then_branch"), body_graph(step, "else_branch")]
    then, otherwise = step.passes("then_branch"), step.passes("else_branch")
    ran = next(iter(then or otherwise), None)
    condition = number_in(step.inputs[0] if step.inputs else None, found.opsets) if ran is None else bool(then)
    if condition is not None and (graph := branches[0 if condition else 1]) is not None:
        inner, outputs = body(graph, f"{step.name}/", (), ran)
        steps += inner
        for output, made in zip(step.outputs, outputs, strict=False):
            give(output, made)
        close(step, outputs[: len(step.outputs)], steps)
        return
    walked = _walk_both(step, branches, body, found)
    step.branches = {which: inner for which, (inner, _) in walked.items()}
    for index, output in enumerate(step.outputs):
        if output is not None:
            _merge(output, [outputs[index] for _, outputs in walked.values() if index < len(outputs)])
    steps.append(step)


def _walk_both(
    step: Step, branches: Sequence[GraphProto | None], body: Body, found: ShapedModel
) -> dict[str, tuple[list[Step], list[Value]]]:
    """What each branch makes, by its name; one that cannot be with these shapes is never taken, and left out."""
    walked, contradictions = {}, []
    for which, graph in zip(("then", "else"), branches, strict=True):
        if graph is None:
            continue
        try:
            walked[which] = body(graph, f"{step.name}/{which}/", (), None)
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
