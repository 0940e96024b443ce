"""The nodes of a model as in the file: no shape is inferred and no dim is bound.

Functions and bodies are not inlined: Identity nodes stand between the names around them and those inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from onnxcost.frontend.external import bodies, scope_of, stored_tensors
from onnxcost.frontend.nodes import as_node, as_tensor
from onnxcost.frontend.stored_graphs import StoredNode
from onnxcost.frontend.values import Step, Value, array_of, tensor_type
from onnxcost.graph import DefUse, Node, Tensor

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, ValueInfoProto


@dataclass
class Outline:
    """The nodes, the definitions and uses of values, and the stored tensors, by value. Names in a function begin with its
    scope.

    The dims of the nodes' tensors are those that the file tells.
    """

    stored: Mapping[str, TensorProto]
    nodes: list[Node] = field(default_factory=list)

    @cached_property
    def uses(self) -> DefUse:
        """Valid when all nodes have been added."""
        return DefUse(self.nodes)

    def array(self, value: Tensor | None) -> Any:
        """The elements of a stored tensor as a numpy array; None for those that are not in the model."""
        tensor = self.stored.get(value.name) if value is not None else None
        return array_of(tensor) if tensor is not None and tensor.data_location != tensor.EXTERNAL else None


def outline(model: ModelProto) -> Outline:
    """The outline of a model that need not have its weights."""
    found = Outline({stored.scope + stored.value: stored.tensor for stored in stored_tensors(model) if stored.value})
    functions = {scope_of(each.domain, each.name, each.overload): each for each in model.functions}
    _Reading(found, functions, "", model.opset_import).read_graph(model.graph)
    for scope, function in functions.items():
        reading = _Reading(found, functions, scope, function.opset_import)
        reading.learn(function.value_info)
        reading.read(function.node)
    return found


class _Reading:
    """Of the graph or of one function, with their bodies: their values by name."""

    def __init__(
        self, found: Outline, functions: Mapping[str, FunctionProto], scope: str, opsets: Sequence[OperatorSetIdProto]
    ) -> None:
        self.found, self.functions, self.scope = found, functions, scope
        self.opsets = {_domain(opset.domain): opset.version for opset in opsets}
        self.values: dict[str, Value] = {}

    def value(self, name: str) -> Value:
        return self.values.setdefault(name, Value(self.scope + name))

    def learn(self, infos: Iterable[ValueInfoProto]) -> None:
        for info in infos:
            self.value(info.name).learn(info.type)

    def read_graph(self, graph: GraphProto) -> None:
        self.learn((*graph.input, *graph.value_info, *graph.output))
        for tensor in graph.initializer:
            self.store(tensor.name, tensor, tensor.dims)
        for sparse in graph.sparse_initializer:
            self.store(sparse.values.name, sparse.values, sparse.dims)
        self.read(graph.node)

    def store(self, name: str, tensor: TensorProto, dims: Sequence[int]) -> None:
        value = self.value(name)
        value.learn(tensor_type(tensor.data_type, dims))
        value.is_constant = True
        value.tensor = tensor if tensor.data_location != tensor.EXTERNAL and list(dims) == list(tensor.dims) else None

    def read(self, nodes: Iterable[NodeProto]) -> None:
        for node in nodes:
            inputs = tuple(self.value(name) if name else None for name in node.input)
            outputs = tuple(self.value(name) if name else None for name in node.output)
            function = self.functions.get(scope := scope_of(node.domain, node.op_type, node.overload))
            if function is not None:
                self.link(inputs, [Value(scope + name) for name in function.input])
                self.link([Value(scope + name) for name in function.output], outputs)
                continue
            for graph in bodies(node):
                self.link(inputs, [self.value(info.name) for info in graph.input])
                self.read_graph(graph)
                # A Loop's condition comes first, and is not an output of the node.
                self.link([self.value(info.name) for info in graph.output][-len(outputs) :], outputs)
            self.add(node, inputs, outputs)

    def link(self, sources: Sequence[Value | None], targets: Sequence[Value | None]) -> None:
        for source, target in zip(sources, targets, strict=False):
            if source is not None and target is not None:
                self.found.nodes.append(Node("", "Identity", "", (as_tensor(source),), (as_tensor(target),)))

    def add(self, node: NodeProto, inputs: tuple[Value | None, ...], outputs: tuple[Value | None, ...]) -> None:
        stored = StoredNode.of(node)
        attributes = stored.attribute
        for output in outputs:
            if output is not None:
                output.is_constant = all(value is None or value.is_constant for value in inputs)
        if node.op_type == "Constant" and outputs and outputs[0] is not None and "value" in attributes:
            self.store(node.output[0], attributes["value"].t, attributes["value"].t.dims)
        else:
            step = Step(stored, node.name or node.op_type, _domain(node.domain), inputs, outputs, attributes)
            self.found.nodes.append(as_node(step, self.opsets, as_tensor))


def _domain(name: str) -> str:
    return "" if name == "ai.onnx" else name
