"""A traced run of a model: the true shapes, the branches that were taken, and how often each body ran."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, unquote

from onnxcost.errors import InputError
from onnxcost.formulas import CONTROL_FLOW
from onnxcost.frontend.bodies import FLOAT
from onnxcost.frontend.external import data_file, stored_tensors
from onnxcost.frontend.nodes import element_type
from onnxcost.frontend.normalize import normalize
from onnxcost.frontend.stored_graphs import StoredNode, read_graphs
from onnxcost.frontend.values import Execution, Pass, Step, TensorType, tensor_type
from onnxcost.graph import Caveat
from onnxcost.operators.inputs import places_of

if TYPE_CHECKING:
    from typing import BinaryIO

    from onnx import GraphProto, NodeProto, TensorProto

    from onnxcost.frontend.bodies import ShapedModel
    from onnxcost.measurement import InputUsed


NodePath = tuple[str, ...]
"""The place of a node: the name of its first output and, for each body around it, the name of the node with the body and of
the attribute that is the body. The model's own graph counts as the body ``""`` of nothing: ``("", "y")`` is a node of it,
``("", "y", "then_branch", "z")`` one of a branch. A body itself has a place that ends in ``""``.
"""

_MARK = "onnxcost:"


def name_of(place: NodePath) -> str:
    """A node name that encodes the node's place, whatever characters the names in it have."""
    return _MARK + "/".join(quote(part, safe="") for part in place)


def place_of(name: str) -> NodePath | None:
    """The place that a node name encodes; None for a name that ``name_of`` did not make. A runtime that inlines a function adds
    a prefix to the names of its nodes.
    """
    _, mark, rest = name.partition(_MARK)
    return tuple(unquote(part) for part in rest.split("/")) if mark else None


def with_plain_names(text: str) -> str:
    """A message in which nodes that ``name_of`` has named are called by their outputs."""
    return unquote(text.replace(f"{_MARK}/", ""))


@dataclass(frozen=True, slots=True)
class Trace:
    """One run of a model: ``inputs`` are what it was fed with, ``values`` the elements of those that may decide shapes."""

    main: Pass
    inputs: tuple[InputUsed, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)


def main_pass(events: Iterable[tuple[NodePath, tuple[TensorType, ...]]]) -> Pass:
    """The run as a tree, from the executions of its nodes, in the order in which they ended: a node ends after those of its
    bodies, and a pass through a body before the next begins.
    """
    under_way: dict[NodePath, dict[str, list[dict[str, Execution]]]] = defaultdict(lambda: defaultdict(list))
    known: dict[Hashable, Pass] = {}
    for place, outputs in events:
        *around, attribute, name = place
        passes = under_way[tuple(around)][attribute]
        if not passes or name in passes[-1]:
            passes.append({})
        bodies = {body: tuple(_share_pass(each, known) for each in made) for body, made in under_way.pop(place, {}).items()}
        passes[-1][name] = Execution(outputs, bodies)
    main = under_way[()][""]
    return _share_pass(main[0] if main else {}, known)


def _share_pass(executions: Mapping[str, Execution], known: dict[Hashable, Pass]) -> Pass:
    """The pass, or an earlier one that is equal to it."""
    alike = frozenset((name, each.outputs, tuple(each.bodies.items())) for name, each in executions.items())
    return known.setdefault(alike, Pass(executions))


def first_output(node: NodeProto | StoredNode) -> str:
    """The name of the first output that is present, which is unique in the graph."""
    return next(filter(None, node.output), "")


def learn_from_run(step: Step) -> None:
    """Gives the outputs the shapes that they had in the run, which only has those of tensors."""
    outputs = [output for output in step.outputs if output is not None]
    tensors = [output for output in outputs if output.type is None or output.type.HasField("tensor_type")]
    if step.execution is None or len(tensors) != len(step.execution.outputs):
        return
    for output, (dtype, shape) in zip(tensors, step.execution.outputs, strict=True):
        if output.dims != shape:
            # A runtime may compute in another type than the model's.
            known = output.type.tensor_type.elem_type if output.type is not None else 0
            output.learn(tensor_type(known or element_type(dtype), shape))
        output.is_bound = False


def apply_trace(found: ShapedModel, trace: Trace, values: Mapping[str, TensorProto]) -> None:
    """Gives the inputs the known elements of the run. Raises InputError for a run with inputs of other shapes and for trip
    counts that are given in addition to it.
    """
    if found.trips:
        raise InputError("a traced run determines the trip counts of Loops: omit --trips")
    synthetic = [f"'{used.name}'" for used in trace.inputs if used.source.startswith("synthesised: ")]
    which = ", ".join(synthetic[:3]) + (" and others" if len(synthetic) > 3 else "")
    how = f"synthetic values for {which}; set real ones with --input NAME=FILE" if synthetic else "the given values"
    found.caveats.append(Caveat("note", f"traced: shapes, branches and trip counts are those of one run with {how}"))
    fed = {used.name: used.shape for used in trace.inputs}
    for value in found.inputs:
        value.tensor = values.get(value.name, value.tensor)
        if value.is_shaped and value.dims is not None and fed.get(value.name, value.dims) != value.dims:
            raise InputError(f"input '{value.name}' is {list(value.dims)}, but was {list(fed[value.name])} in the traced run")


def make_traceable(source: str | os.PathLike[str] | BinaryIO) -> bytes:
    """The model, weights included, as the walk reads it, its nodes renamed by ``trace.name_of``; weights in other files stay
    there, named from the folder of the file itself, not from that of a symbolic link to it.

    Raises ModelError as the walk does, MeasurementError for weights in files outside the model's folder.
    """
    import onnx

    loaded = onnx.load(source, load_external_data=False)
    model = normalize(loaded, read_graphs(loaded)).model
    if isinstance(source, str | os.PathLike) and Path(source).is_symlink():
        for stored in stored_tensors(model):
            if stored.is_external and (file := data_file(source, stored)) is not None:
                for entry in stored.tensor.external_data:
                    if entry.key == "location":
                        entry.value = os.path.relpath(file, Path(os.path.realpath(source)).parent)
    model.ir_version = max(model.ir_version, 4)  # before, a body's initializers had to be among its inputs
    _rename(model.graph, ("",))
    return model.SerializeToString()  # type: ignore[no-any-return]


def _rename(graph: GraphProto, place: NodePath) -> None:
    nodes = list(graph.node)
    for node in nodes:
        here = (*place, first_output(node))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                body = (*here, attribute.name)
                _rename(attribute.g, body)
                # A node that runs once in each pass: the body's nodes may all be constants, which runtimes do not execute.
                mark = name_of((*body, ""))
                attribute.g.initializer.add(name=f"{mark}of", data_type=FLOAT, float_data=[0])
                attribute.g.node.add(op_type="Identity", name=mark, input=[f"{mark}of"], output=[mark])
        node.name = name_of(here)
        if not node.domain and _may_run_as_body(node.op_type):
            _follow(graph, node, place)


def _may_run_as_body(op_type: str) -> bool:
    """Whether data decides the operator's shapes and ONNX defines it as a function: where onnxruntime has no kernel for one, it
    runs the nodes of its body, under other names.
    """
    from onnx import defs

    if not (op_type in CONTROL_FLOW or places_of(op_type, "shape")) or not defs.has(op_type):
        return False
    schema = defs.get_schema(op_type)
    return bool(schema.has_function or schema.has_context_dependent_function)  # type: ignore[attr-defined]


def _follow(graph: GraphProto, node: NodeProto, place: NodePath) -> None:
    """Adds an Identity node after each output of the node, the first under the node's name."""
    node.name = ""
    for index, output in enumerate(node.output):
        if output:
            name = name_of((*place, output))
            node.output[index] = f"{name}/made"
            graph.node.add(op_type="Identity", name=name, input=[node.output[index]], output=[output])
