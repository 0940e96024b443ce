"""One walk over the graph in execution order: binds the inputs, infers every node's output types, folds what decides them.

ONNX's own inference is asked node by node (`infer_node_outputs`): a value that one answer needs is folded before it is
given, so that one walk learns what repeated whole-graph inference would, in time linear in the nodes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnxcost.errors import InputError, ModelError
from onnxcost.formulas import FORMULAS
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend.control_flow import taken_branch
from onnxcost.frontend.dims import bind_inputs
from onnxcost.frontend.folding import can_fold, is_repeatable
from onnxcost.frontend.inference import Contradiction, Inference
from onnxcost.frontend.normal_form import in_execution_order, normalised
from onnxcost.frontend.values import Step, Value, tensor_type
from onnxcost.graph import BoundDim

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, TensorProto, ValueInfoProto


@dataclass(slots=True)
class ShapedModel:
    """What the walk found: the steps in execution order and the values at the model's edges."""

    model: ModelProto
    opsets: Mapping[str, int]
    inference: Inference
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    constants: dict[str, Value] = field(default_factory=dict)
    dims: tuple[BoundDim, ...] = ()
    warnings: list[str] = field(default_factory=list)


Scope = dict[str, Value]


def shaped(
    model: ModelProto,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    formulas: FormulaTable = FORMULAS,
) -> ShapedModel:
    """The model with every shape that can be known. Arguments as in ``onnxcost.estimate``; of the formulas only the shape
    rules are used.

    Raises ModelError where the graph contradicts itself or the dims, InputError for names and sizes that do not fit.
    """
    model, opsets = normalised(model)
    found = ShapedModel(model, opsets, Inference(opsets, tuple(model.opset_import), model.ir_version, formulas))
    graph = model.graph
    stored = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    given = _given_values(inputs, values or {})
    _shapes_of_values(inputs, given)
    found.dims = bind_inputs(inputs, shapes or {}, dims or {})
    scope: Scope = {}
    for info in inputs:
        value = Value(info.name, tensor=given.get(info.name))
        value.learn(info.type)
        _define(scope, info.name, value, "an input of the graph")
        found.inputs.append(value)
    try:
        _walk(graph, scope, "", found)
    except Contradiction as contradiction:
        raise ModelError(f"{contradiction}{_what_was_assumed(found.dims)}") from None
    for info in graph.output:
        if info.name not in scope:
            raise ModelError(f"output '{info.name}' of the graph is made by no node")
        found.outputs.append(scope[info.name])
    return found


def _what_was_assumed(dims: Sequence[BoundDim]) -> str:
    assumed = [dim for dim in dims if dim.source == "assumed"]
    if not assumed:
        return ""
    values = ", ".join(f"{dim.name} = {dim.value}" for dim in assumed)
    options = " ".join(dict.fromkeys(dim.option for dim in assumed))
    return f". Assumed were {values}; give what fits with {options}"


def _given_values(inputs: Sequence[ValueInfoProto], values: Mapping[str, Any]) -> dict[str, TensorProto]:
    """The user's values as tensors of the inputs' types."""
    if not values:
        return {}
    import numpy as np
    from onnx.helper import tensor_dtype_to_np_dtype
    from onnx.numpy_helper import from_array

    types = {info.name: info.type.tensor_type.elem_type for info in inputs}
    tensors = {}
    for name, value in values.items():
        if name not in types:
            raise InputError(f"the model has no input '{name}': it has {', '.join(map(repr, types)) or 'none'}")
        try:
            array = np.asarray(value).astype(tensor_dtype_to_np_dtype(types[name]))
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(f"the value given for input '{name}' does not fit its type: {error}") from None
        tensors[name] = from_array(array, name)
    return tensors


def _shapes_of_values(inputs: Sequence[ValueInfoProto], given: Mapping[str, TensorProto]) -> None:
    """A value fixes the shape of its input; a single number fits any input of one element."""
    for info in inputs:
        if (tensor := given.get(info.name)) is None:
            continue
        shape = info.type.tensor_type.shape
        if len(tensor.dims) < len(shape.dim) and all(size == 1 for size in tensor.dims):
            del tensor.dims[:]
            tensor.dims.extend([1] * len(shape.dim))
        declared = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in shape.dim]
        fits = len(declared) == len(tensor.dims) and all(d in (None, t) for d, t in zip(declared, tensor.dims, strict=False))
        if info.type.tensor_type.HasField("shape") and not fits:
            raise InputError(
                f"the value given for input '{info.name}' has the shape {list(tensor.dims)}, the model has {declared}"
            )
        for dim, size in zip(shape.dim, tensor.dims, strict=False):
            dim.dim_value = size


def _define(scope: Scope, name: str, value: Value, by: str, *, shadows: bool = False) -> None:
    if name in scope and not shadows:
        raise ModelError(f"the value '{name}' is defined twice, the second time by {by}: a graph defines each name once")
    scope[name] = value


def _walk(graph: GraphProto, scope: Scope, prefix: str, found: ShapedModel) -> None:
    """Adds the steps of one graph; ``scope`` has the values it can see and gets those it defines."""
    _define_constants(graph, scope, prefix, found)
    hints = {info.name: info.type for info in (*graph.value_info, *graph.output)}
    for position, node in enumerate(in_execution_order(graph, scope)):
        step = _step(node, position, scope, prefix)
        branch = taken_branch(step, found.opsets)
        if branch is not None:
            _inline(step, branch, scope, found)
            continue
        found.inference.infer(step, hints, scope)
        _settle(step, found)
        found.steps.append(step)
        for output, name in zip(step.outputs, node.output, strict=True):
            if output is not None:
                _define(scope, name, output, f"node '{step.name}'", shadows=bool(prefix))


def _define_constants(graph: GraphProto, scope: Scope, prefix: str, found: ShapedModel) -> None:
    stored = [(tensor, tensor.dims, True) for tensor in graph.initializer]
    stored += [(sparse.values, sparse.dims, False) for sparse in graph.sparse_initializer]
    for tensor, dims, is_dense in stored:
        if any(size < 0 for size in dims):
            raise ModelError(f"the constant '{tensor.name}' has a negative dim: {list(dims)}")
        has_elements = is_dense and tensor.data_location != tensor.EXTERNAL
        value = Value(prefix + tensor.name, is_constant=True, tensor=tensor if has_elements else None)
        value.learn(tensor_type(tensor.data_type, dims))
        _define(scope, tensor.name, value, "a constant of the graph", shadows=bool(prefix))
        found.constants[value.name] = value


def _step(node: NodeProto, position: int, scope: Scope, prefix: str) -> Step:
    name = node.name or f"{node.op_type}_{position}"
    inputs = tuple(scope[item] if item else None for item in node.input)
    outputs = tuple(Value(prefix + item) if item else None for item in node.output)
    return Step(node, prefix + name, node.domain, inputs, outputs, {item.name: item for item in node.attribute})


def _inline(step: Step, branch: GraphProto, scope: Scope, found: ShapedModel) -> None:
    """The taken branch's nodes in place of the ``If``, whose outputs give what the branch made their names."""
    inner = dict(scope)
    _walk(branch, inner, f"{step.name}/", found)
    for name, output, result in zip(step.node.output, step.outputs, branch.output, strict=False):
        if result.name not in inner:
            raise ModelError(f"output '{result.name}' of a branch of node '{step.name}' (If) is made by no node")
        if output is not None:
            scope[name] = made = inner[result.name]
            if result.name not in scope and not made.is_constant:
                made.name = output.name


def _settle(step: Step, found: ShapedModel) -> None:
    """Notes what can be said of the outputs' elements."""
    if step.node.op_type == "Constant" and not step.domain:
        _settle_constant(step, found)
        return
    outputs = [value for value in step.outputs if value is not None]
    inputs = [value for value in step.inputs if value is not None]
    follows = can_fold(step)
    is_constant = bool(inputs) and all(value.is_constant for value in inputs) and is_repeatable(step)
    for output in outputs:
        output.is_constant = is_constant
        output.folds_from = step if follows else None


def _settle_constant(step: Step, found: ShapedModel) -> None:
    output = step.outputs[0] if step.outputs else None
    if output is None:
        raise ModelError(f"node '{step.name}' (Constant) has no output")
    output.is_constant = True
    found.constants[output.name] = output
    attribute = step.attributes.get("value")
    if attribute is None:
        output.folds_from = step
    elif attribute.t.data_location != attribute.t.EXTERNAL:
        output.tensor = attribute.t
