"""Control flow: which operators have bodies, and what walks them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from onnxcost.frontend.bodies import DOUBLE, FLOAT, Body, body_graph
from onnxcost.frontend.branches import run_if
from onnxcost.frontend.loops import run_loop
from onnxcost.frontend.scans import run_scan, run_sequence_map
from onnxcost.frontend.values import Step, Value, tensor_type

if TYPE_CHECKING:
    from onnxcost.frontend.shaped_model import ShapedModel

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
