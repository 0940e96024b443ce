"""The shaped model, and helpers for the bodies of control flow: their input and output values."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from onnxcost.frontend.constant_folding import fold_value
from onnxcost.frontend.node_inference import Inference
from onnxcost.frontend.stored_graphs import StoredGraphs, StoredNode
from onnxcost.frontend.values import Step, Value, array_of, tensor_type
from onnxcost.graph import BoundDim, Caveat, option_text

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, TensorProto, TypeProto

    from onnxcost.frontend.values import Pass


Body = Callable[["GraphProto", str, Sequence[Value], "Pass | None"], tuple[list[Step], list[Value]]]
"""Walks a subgraph: the graph, the prefix of its names, the values of its formal inputs, its traced pass → its steps and its
outputs.
"""

UNROLLED = 5_000
"""The most steps that unrolling the loops of a model may create in total."""
WALKED = 50_000
"""The most nodes, constants and declared values of bodies that are visited; after that, loops are not unrolled further."""
NO_LIMIT = 2**31 - 1
"""A trip count or a length of at least this is what exporters write for no limit: the largest number of their type."""

INT64, BOOL, FLOAT, DOUBLE = 7, 9, 1, 11
"""TensorProto's numbers of these element types."""


def body_graph(step: Step, name: str) -> GraphProto | None:
    """The graph in an attribute, None if there is none."""
    attribute = step.attributes.get(name)
    return attribute.g if attribute is not None and attribute.HasField("g") else None


def scalar_in(value: Value | None, opsets: Mapping[str, int]) -> Any:
    """The value of a scalar as numpy has it, None if it is absent or not known."""
    tensor = fold_value(value, opsets) if value is not None and value.is_known else None
    array = array_of(tensor) if tensor is not None else None
    return array.ravel()[0] if array is not None and array.size else None


def number_in(value: Value | None, opsets: Mapping[str, int]) -> int | None:
    """The value of a scalar as an integer, None if it is absent or not known."""
    scalar = scalar_in(value, opsets)
    return None if scalar is None else int(scalar)


def known_scalar(name: str, number: int | bool) -> Value:
    """A known scalar: an int64, or a condition."""
    import numpy as np
    from onnx.numpy_helper import from_array

    return known_value(name, from_array(np.asarray(number, np.bool_ if isinstance(number, bool) else np.int64), name))


def known_value(name: str, tensor: TensorProto) -> Value:
    """A value whose elements are known."""
    value = Value(name, tensor=tensor)
    value.learn(tensor_type(tensor.data_type, tensor.dims))
    return value


def unknown_like(name: str, source: Value) -> Value:
    """A value of the same type with unknown elements."""
    value = Value(name)
    if source.type is not None:
        value.learn_from(source)
    value.elements, value.content, value.is_bound = source.elements, source.content, source.is_bound
    return value


def give_value(output: Value | None, source: Value) -> None:
    """Makes an output of a body (or a value passed through it) the node's output."""
    if output is None:
        return
    if source.type is not None:
        output.learn_from(source)
    output.elements, output.content, output.is_bound = source.elements, source.content, source.is_bound
    # A value that passes through thousands of bodies is found in one step.
    output.same_as = source if source.tensor is not None or source.same_as is None else source.same_as
    output.is_constant = source.is_constant


def close_body(step: Step, made: Sequence[Value | None], steps: list[Step]) -> None:
    """The node itself, after the nodes of its body: it passes on their outputs at the same positions."""
    step.inputs = tuple(made)
    steps.append(step)


def stack_elements(output: Value, element: Value, count: int, axis: int) -> None:
    """``count`` elements along a new axis."""
    if element.type is None or element.dims is None:
        return
    dims = list(element.dims)
    dims.insert(axis % (len(dims) + 1), count)
    output.learn(tensor_type(element.type.tensor_type.elem_type, dims))
    output.is_bound = element.is_bound


def merge_types(output: Value, alternatives: Sequence[Value]) -> None:
    """One type for the output of either branch: the larger of each dim, as a bound if they differ. For tensors of different
    ranks, it is only the element type.
    """
    from onnx import TypeProto

    shaped = [value for value in alternatives if value.is_shaped and value.dims is not None and value.type is not None]
    if not shaped:
        return
    ranks = {len(value.dims or ()) for value in shaped}
    assert shaped[0].type is not None
    if len(shaped) < len(alternatives) or len(ranks) > 1:
        unranked = TypeProto()
        unranked.tensor_type.elem_type = shaped[0].type.tensor_type.elem_type
        output.learn(unranked)
        return
    dims = [max(sizes) for sizes in zip(*(value.dims or () for value in shaped), strict=True)]
    output.learn(tensor_type(shaped[0].type.tensor_type.elem_type, dims))
    output.is_bound = len({value.dims for value in shaped}) > 1 or any(value.is_bound for value in shaped)


def any_iteration(prefix: str, carried: Sequence[Value]) -> list[Value]:
    """The formal inputs of an arbitrary iteration: its number is unknown."""
    number, condition = Value(f"{prefix}iteration"), Value(f"{prefix}condition")
    number.learn(tensor_type(INT64, ()))
    condition.learn(tensor_type(BOOL, ()))
    return [number, condition, *carried]


def keeps_shapes(inner: Sequence[Step], outputs: Sequence[Value], arguments: Sequence[Value]) -> bool:
    """Whether every iteration is like this one: all shapes are known, and carried ones do not change."""
    is_shaped = all(value is None or value.is_shaped for step in inner for value in step.outputs)
    carried = zip(outputs[1:], arguments[2:], strict=False)
    return is_shaped and all(new.signature == old.signature and new.elements is old.elements for new, old in carried)


def is_identity_of(value: Value, source: Value, steps: Sequence[Step]) -> bool:
    """Whether the value is the source, as it is or through Identity nodes."""
    made_by = {id(output): step for step in steps for output in step.outputs if output is not None}
    while value is not source:
        step = made_by.get(id(value))
        if step is None or step.node.op_type != "Identity" or not step.inputs or step.inputs[0] is None:
            return False
        value = step.inputs[0]
    return True


def find_unchanged(graph: GraphProto, first_input: int, first_output: int, carried: Sequence[Value]) -> list[bool]:
    """The carried values that every iteration passes on unchanged: converters carry a loop's weights like this."""
    source = {node.output[0]: node.input[0] for node in graph.node if node.op_type == "Identity" and node.input and node.output}
    kept = []
    for i in range(len(carried)):
        inputs, outputs = graph.input[first_input + i :], graph.output[first_output + i :]
        name = outputs[0].name if outputs else ""
        while name in source:
            name = source[name]
        kept.append(bool(inputs and name == inputs[0].name))
    return kept


def forget_elements(carried: Sequence[Value], kept: Sequence[bool]) -> list[Value]:
    """The initial values of an arbitrary iteration: the elements of unchanged values, the types of all others."""
    return [value if is_kept else unknown_like(value.name, value) for value, is_kept in zip(carried, kept, strict=True)]


@dataclass(slots=True)
class ShapedModel:
    """The steps in execution order, the values at the model's edges, and the caveats of the walk.

    If the branches of an If have outputs of different ranks (``has_ranks``), ``rank_of`` says which shape counts: the larger
    (-1), the smaller (0) or none. ``trips`` are the user's, by the names of the ``loops``, and so are ``fixed``, the types of
    outputs that inference may leave open; ``carried`` are the constants that loops keep as they are. ``unrolled`` is the number
    of steps that unrolling has created so far, ``walked`` that of visited nodes, constants and declared values of bodies,
    ``held`` that of tensors in sequences. ``stored`` has, by the identity of a body's graph or Constant node, that object and
    its constants: a body is stored once, however often it is walked. The Constant nodes of functions are in it under the mark
    that their copies share.
    """

    model: ModelProto
    opsets: Mapping[str, int]
    inference: Inference
    trips: Mapping[str, int]
    fixed: Mapping[str, TypeProto] = field(default_factory=dict)
    inputs: list[Value] = field(default_factory=list)
    outputs: list[Value] = field(default_factory=list)
    steps: list[Step] = field(default_factory=list)
    constants: dict[str, Value] = field(default_factory=dict)
    dims: tuple[BoundDim, ...] = ()
    caveats: list[Caveat] = field(default_factory=list)
    loops: list[str] = field(default_factory=list)
    carried: set[str] = field(default_factory=set)
    unrolled: int = 0
    walked: int = 0
    held: int = 0
    rank_of: int | None = None
    has_ranks: bool = False
    stored: dict[int | str, tuple[Any, dict[str, Value]]] = field(default_factory=dict)
    graphs: StoredGraphs = field(default_factory=StoredGraphs)

    def note_carried(self, carried: Sequence[Value], kept: Sequence[bool]) -> None:
        """Add what a loop carries and keeps as it is to ``carried``."""
        self.carried.update(value.name for value, is_kept in zip(carried, kept, strict=True) if is_kept and value.is_constant)


def read_initial(step: Step, values: Sequence[Value | None]) -> list[Step]:
    """A step that reads the constants that a loop starts with: states, which have other names in the body."""
    stored = tuple(value for value in values if value is not None and value.is_constant)
    return [hand_on(f"{step.name}/initial", stored, ())] if stored else []


def hand_on(name: str, values: tuple[Value, ...], made: tuple[Value, ...]) -> Step:
    """A step that reads the values and passes them on."""
    from onnx import NodeProto

    return Step(StoredNode.of(NodeProto(op_type="Identity")), name, "", values, made)


def how_often(step: Step) -> str:
    """The option that says it."""
    return f"use {option_text('--trips', step.name)} to set the number"
