"""One walk over the graph in execution order: binds the inputs, infers every node's output types, and folds the values that
determine them.

ONNX's own inference is called node by node (`infer_node_outputs`), after folding the values that it needs, so that one walk
finds what repeated whole-graph inference would, in time linear in the nodes.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Hashable, Mapping, MutableMapping, Sequence
from functools import cache, partial
from operator import itemgetter
from typing import TYPE_CHECKING

from onnxcost.errors import InputError, ModelError, did_you_mean
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend.assumptions import OpenDims, phase_notes
from onnxcost.frontend.bodies import Body, ShapedModel
from onnxcost.frontend.constant_folding import can_fold, is_repeatable
from onnxcost.frontend.contradictions import Contradiction
from onnxcost.frontend.control_flow import CONTROL_FLOW, run_modifiers
from onnxcost.frontend.dims import check_fixed, fed_inputs, fill_containers, make_given_values, merge_given_shapes, split_shapes
from onnxcost.frontend.fitting import fit
from onnxcost.frontend.node_index import NodeIndex
from onnxcost.frontend.node_inference import Hints, Inference, known_answers
from onnxcost.frontend.normalize import STORED_AS, in_execution_order, normalize
from onnxcost.frontend.reader import Skeleton
from onnxcost.frontend.sequences import SEQUENCES
from onnxcost.frontend.trace import apply_trace, first_output, learn_from_run
from onnxcost.frontend.values import HELD, Step, Value, tensor_type
from onnxcost.graph import BoundDim, Caveat
from onnxcost.operators.traits import SHAPE_READERS
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from onnx import GraphProto, TypeProto

    from onnxcost.frontend.trace import Trace
    from onnxcost.frontend.values import Pass


Scope = MutableMapping[str, Value]


def infer_shapes(
    skeleton: Skeleton, spec: ModelSpec, formulas: FormulaTable, trace: Trace | None = None, *, checks_given: bool = False
) -> ShapedModel:
    """The model with every shape that can be known. Only the shape rules of the formulas are used.

    Assumed dims are checked against weights, caches and tables; with ``checks_given``, given ones as well.

    Raises ModelError if the graph contradicts itself or the dims, InputError for names and sizes that do not fit.
    """
    model, graphs, opsets = normalize(skeleton.model, skeleton.graphs)
    graph = model.graph
    inputs = fed_inputs(graph)
    given = make_given_values(inputs, spec.values)
    of_inputs, fixed = split_shapes(graph, inputs, spec.shapes)
    of_inputs = merge_given_shapes(inputs, given, of_inputs)
    fed = trace.values if trace is not None else {}

    def new_inputs() -> list[Value]:
        found = [Value(info.name, tensor=given.get(info.name)) for info in inputs]
        for value, info in zip(found, inputs, strict=True):
            value.learn(info.type)
        return found

    _, dims = fill_containers(new_inputs(), {**fed, **spec.values}, spec.dims)
    index = skeleton.node_index if graphs is skeleton.graphs else NodeIndex(graphs)
    open_dims = OpenDims(inputs, of_inputs, dims, index, skeleton.path)
    known = known_answers(opsets, model.ir_version)
    checks_more = checks_given or open_dims.has_assumed
    inference = Inference(opsets, tuple(model.opset_import), model.ir_version, formulas, checks_more, known)

    def shape(bound: tuple[BoundDim, ...]) -> ShapedModel:
        tried: list[tuple[int, ShapedModel]] = []
        for rank_of in (-1, 0, None):
            found = ShapedModel(model, opsets, inference, spec.trips, fixed, new_inputs(), graphs=graphs, rank_of=rank_of)
            try:
                fill(found, bound)
            except Contradiction:
                if not found.has_ranks or (rank_of is None and not tried):
                    raise
                continue
            if not found.has_ranks:
                return found
            open_outputs = [
                value for step in found.steps for value in step.outputs if value is not None and not value.is_shaped
            ]
            tried.append((len(open_outputs), found))
        return min(tried, key=itemgetter(0))[1]

    def fill(found: ShapedModel, bound: tuple[BoundDim, ...]) -> None:
        lengths, _ = fill_containers(found.inputs, {**fed, **spec.values}, spec.dims)
        found.dims = (*bound, *lengths)
        if trace is not None:
            apply_trace(found, trace, make_given_values(inputs, fed))
        scope: Scope = {}
        for value, info in zip(found.inputs, inputs, strict=True):
            _define(scope, info.name, value, "an input of the graph", inference)
        _walk(graph, scope, "", found, found.steps, trace.main if trace is not None else None)
        found.outputs = _outputs(graph, scope, "the graph")
        found.dims += tuple(check_fixed(fixed, scope))

    found = fit(open_dims, graph, shape, graphs)
    found.caveats += [Caveat("note", text) for text in phase_notes(found.dims)]
    found.caveats += [Caveat("note", f"input '{name}' has the given value") for name in given]
    if unknown := [name for name in found.trips if name not in found.loops]:
        there = ", ".join(f"'{loop}'" for loop in found.loops) or "none"
        hint = did_you_mean(unknown[0], found.loops) or f": it has {there}"
        raise InputError(f"the model has no Loop '{unknown[0]}'{hint}")
    return found


def _define(scope: Scope, name: str, value: Value, by: Step | str, inference: Inference, *, shadows: bool = False) -> None:
    if name in scope and not shadows:
        by = f"node '{by.name}'" if isinstance(by, Step) else by
        raise ModelError(f"the value '{name}' is defined twice, the second time by {by}; names must be unique in a graph")
    if not value.kind:
        inference.give_kind(value)
    scope[name] = value


def _outputs(graph: GraphProto, scope: Scope, whose: str) -> list[Value]:
    for info in graph.output:
        if info.name not in scope:
            raise ModelError(f"output '{info.name}' of {whose} is not produced by any node")
    return [scope[info.name] for info in graph.output]


def _walk(graph: GraphProto, scope: Scope, prefix: str, found: ShapedModel, steps: list[Step], ran: Pass | None) -> None:
    """Adds the steps of one graph to ``steps``; ``scope`` has the values that it can read, and gets those that it defines.
    ``ran`` is its traced pass.
    """
    if prefix:
        found.walked += len(graph.node) + len(graph.initializer) + len(graph.value_info)
    _define_constants(graph, scope, prefix, found)
    hints = cache(partial(_declared_types, graph, found.fixed))
    order = in_execution_order(graph, scope, found.graphs)
    inference, known = found.inference, found.inference.walked
    position = 0
    try:
        for position, node in enumerate(order):
            inputs = tuple([scope[name] if name else None for name in node.input])
            execution = ran.executions.get(first_output(node)) if ran is not None else None
            step = Step(
                node, prefix + (node.name or f"{node.op_type}_{position}"), node.domain, inputs, (), node.attribute, 1,
                node.has_subgraph, execution,
            )  # fmt: skip
            # A node with a body or an execution has its own history.
            alike: Hashable = (node.alike, *[value.kind if value is not None else 0 for value in inputs])
            walked = known.get(alike) if execution is None else None
            if walked is None and execution is None and node.op_type in SHAPE_READERS and None not in inputs:
                alike = (node.alike, *[(value.signature, value.is_constant, value.is_bound) for value in inputs if value])
                walked = known.get(alike)
            if walked is not None:
                step.outputs = tuple(
                    [made and made.copy(prefix + name) for made, name in zip(walked.outputs, node.output, strict=True)]
                )
                step.alike = walked.alike
                if node.op_type == "Constant":
                    _settle_constant(step, found, prefix)
                steps.append(step)
            elif _infer(step, scope, prefix, hints, found, steps) and node.alike is not None and execution is None:
                known[alike] = step
                step.alike = len(known)
            for output, name in zip(step.outputs, node.output, strict=True):
                if output is not None and output.kind and name not in scope:
                    scope[name] = output
                elif output is not None:
                    _define(scope, name, output, step, inference, shadows=bool(prefix))
    except Contradiction as contradiction:
        contradiction.node, contradiction.position = order[position], position
        raise


def _declared_types(graph: GraphProto, fixed: Mapping[str, TypeProto]) -> Mapping[str, TypeProto]:
    """The types that the file or the user declares, by the names of the values."""
    return {**{info.name: info.type for info in (*graph.value_info[:], *graph.output)}, **fixed}


def _infer(step: Step, scope: Scope, prefix: str, hints: Hints, found: ShapedModel, steps: list[Step]) -> bool:
    """Adds the step and those of its bodies to ``steps``, with all that can be known about its outputs. Returns whether the
    same holds for equal steps.
    """
    node = step.node
    step.outputs = tuple([Value(prefix + name) if name else None for name in node.output])
    is_settled = False
    if step.has_subgraph and node.op_type in CONTROL_FLOW and not step.domain:
        CONTROL_FLOW[node.op_type](step, _body(scope, found), found, steps)
        learn_from_run(step)
    else:
        read = (*node.input, *found.graphs.names_in_bodies(node)) if step.has_subgraph else ()
        is_settled = found.inference.infer(step, hints, {name: scope[name] for name in read if name in scope} if read else {})
        if not step.domain and node.op_type in SEQUENCES and step.outputs and found.held < HELD:
            SEQUENCES[node.op_type](step, found.opsets)
            found.held += sum(len(value.elements) for value in step.inputs if value is not None and value.elements) // 8
        if step.execution is not None:
            learn_from_run(step)
        _settle(step, found, prefix)
        if step.has_subgraph:
            run_modifiers(step, _body(scope, found), steps)
        steps.append(step)
    for output in step.outputs:
        if output is not None and output.elements is not None:
            found.held += len(output.elements)
            if found.held > HELD:  # sequences with too many tensors in total are not followed further
                output.elements, output.is_shaped = None, False
    return is_settled and all(value is None or (value.elements is None and value.content is None) for value in step.outputs)


def _body(scope: Scope, found: ShapedModel) -> Body:
    """A function that walks a subgraph for control flow: assigns values to the formal inputs, and returns steps and outputs."""

    def walk(graph: GraphProto, prefix: str, arguments: Sequence[Value], ran: Pass | None) -> tuple[list[Step], list[Value]]:
        if prefix.count("/") > MAX_NESTING:
            raise ModelError(f"subgraphs are nested more than {MAX_NESTING} deep in '{prefix[:60]}…'")
        if len(prefix) > LONGEST_PREFIX:
            from hashlib import sha256

            # Each inner node is named after those around it: long names could exceed the model's size many times.
            prefix = f"{prefix[:60]}…{sha256(prefix.encode()).hexdigest()[:16]}/"
        inner: Scope = ChainMap({}, scope)
        for info, value in zip(graph.input, arguments, strict=False):
            _define(inner, info.name, value, "an input of the body", found.inference, shadows=True)
        steps: list[Step] = []
        _walk(graph, inner, prefix, found, steps, ran)
        return steps, _outputs(graph, inner, f"the body '{prefix[:-1]}'")

    return walk


MAX_NESTING, LONGEST_PREFIX = 256, 10_000
"""Subgraphs within each other; characters of the names of the nodes around a nested one."""


def _define_constants(graph: GraphProto, scope: Scope, prefix: str, found: ShapedModel) -> None:
    known: dict[str, Value] = {}
    if prefix:
        _, known = found.stored.setdefault(id(graph), (graph, known))
        for name, value in known.items():
            _define(scope, name, value, "a constant of the graph", found.inference, shadows=True)
        if known:
            return
    stored = [(tensor, tensor.dims[:], True) for tensor in graph.initializer[:]]
    stored += [(sparse.values, sparse.dims[:], False) for sparse in graph.sparse_initializer[:]]
    for tensor, dims, is_dense in stored:
        if min(dims, default=0) < 0:
            raise ModelError(f"the constant '{tensor.name}' has a negative dim: {dims}")
        has_elements = is_dense and tensor.data_location != tensor.EXTERNAL
        value = Value(prefix + tensor.name, is_constant=True, tensor=tensor if has_elements else None)
        value.learn(tensor_type(tensor.data_type, dims))
        _define(scope, tensor.name, value, "a constant of the graph", found.inference, shadows=bool(prefix))
        found.constants[value.name] = known[tensor.name] = value


def _settle(step: Step, found: ShapedModel, prefix: str) -> None:
    """Records what is known about the outputs' elements."""
    if step.node.op_type == "Constant" and not step.domain:
        _settle_constant(step, found, prefix)
        return
    follows = can_fold(step)
    is_constant = any(step.inputs) and all(value is None or value.is_constant for value in step.inputs) and is_repeatable(step)
    for output in step.outputs if follows or is_constant else ():
        if output is not None:
            output.is_constant = is_constant
            output.folds_from = step if follows and output.tensor is None else None


def _settle_constant(step: Step, found: ShapedModel, prefix: str) -> None:
    output = step.outputs[0] if step.outputs else None
    if output is None:
        raise ModelError(f"node '{step.name}' (Constant) has no output")
    output.is_constant = True
    mark = next((entry.value for entry in step.node.metadata if entry.key == STORED_AS), None) if step.node.metadata else None
    stored = output
    if mark is not None or prefix:  # it may be walked again
        stored = found.stored.setdefault(mark or id(step.node), (step.node, {"": output}))[1][""]
        output.name = stored.name
    found.constants[output.name] = stored
    attribute = step.attributes.get("value")
    if attribute is None:
        output.folds_from = step
    elif attribute.t.data_location != attribute.t.EXTERNAL:
        output.tensor = attribute.t
