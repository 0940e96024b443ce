"""The nodes of a model's graphs, bodies and functions as they are stored, each read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto


class StoredNode(NamedTuple):
    """A node's fields under protobuf's names, read once: accessing a message takes longer than most uses of it. Lists are read
    as slices: iterating over elements takes three times as long.

    ``attribute`` has the attributes by name, ``message`` is the node itself.
    """

    message: NodeProto
    op_type: str
    domain: str
    name: str
    input: tuple[str, ...]
    output: tuple[str, ...]
    attribute: Mapping[str, AttributeProto]
    has_subgraph: bool
    metadata: Sequence[StringStringEntryProto]

    @classmethod
    def of(cls, node: NodeProto) -> StoredNode:
        """The fields of a node."""
        attributes, has_subgraph = {}, False
        for item in node.attribute[:]:
            attributes[item.name] = item
            if item.type not in _PLAIN and (item.HasField("g") or item.graphs):
                has_subgraph = True
        inputs, outputs = tuple(node.input[:]), tuple(node.output[:])
        metadata = node.metadata_props[:]
        return cls(node, node.op_type, node.domain, node.name, inputs, outputs, attributes, has_subgraph, metadata)


class StoredGraphs:
    """The nodes of a model's graphs, bodies and functions, and the outer names that the bodies read: each is read once."""

    def __init__(self) -> None:
        self._nodes: dict[int, tuple[GraphProto | FunctionProto, list[StoredNode]]] = {}
        """By the identity of the graph, which is kept alive so that the identity stays unique."""
        self._outer: dict[int, frozenset[str]] = {}

    def every_node(self) -> Iterator[StoredNode]:
        """The nodes of all graphs that were read."""
        return chain.from_iterable(nodes for _, nodes in self._nodes.values())

    def nodes_of(self, graph: GraphProto | FunctionProto) -> list[StoredNode]:
        """The nodes of a graph; those of their bodies are read, too. Raises ModelError for a name that is not UTF-8."""
        known = self._nodes.get(id(graph))
        if known is None:
            names: list[str] = []
            known = self._nodes[id(graph)] = graph, [self._read(node, names) for node in graph.node[:]]
            _check(names)
        return known[1]

    def _read(self, node: NodeProto, names: list[str]) -> StoredNode:
        """The fields of a node; names that must be UTF-8 are added to ``names``."""
        found = StoredNode.of(node)
        names += (found.op_type, found.domain, found.name, node.overload, *found.input, *found.output)
        for name, attribute in found.attribute.items():
            names += (name, attribute.ref_attr_name)
            if found.has_subgraph and attribute.HasField("g"):
                _check_graph(attribute.g)
                self.nodes_of(attribute.g)
        for entry in found.metadata:
            names += (entry.key, entry.value)
        return found

    def names_in_bodies(self, node: StoredNode) -> Iterator[str]:
        """The outer names that a node's bodies read."""
        for attribute in node.attribute.values() if node.has_subgraph else ():
            if attribute.HasField("g"):
                yield from self._free_names(attribute.g)

    def _free_names(self, graph: GraphProto) -> frozenset[str]:
        known = self._outer.get(id(graph))
        if known is None:
            nodes = self.nodes_of(graph)
            own = {value.name for value in (*graph.input, *graph.initializer)} | {
                name for node in nodes for name in node.output
            }
            read = {name for node in nodes for name in (*node.input, *self.names_in_bodies(node))}
            known = self._outer[id(graph)] = frozenset((read | {value.name for value in graph.output}) - own)
        return known


_PLAIN = frozenset({1, 2, 3, 4, 6, 7, 8})
"""AttributeProto's numbers of the types that hold numbers, strings or a tensor."""


def read_graphs(model: ModelProto) -> StoredGraphs:
    """The nodes of all its graphs. Raises ModelError for a name, of those that are read later, that is not UTF-8."""
    graphs = StoredGraphs()
    _check((model.producer_name, model.producer_version, *(opset.domain for opset in model.opset_import)))
    _check_graph(model.graph)
    graphs.nodes_of(model.graph)
    for function in model.functions:
        _check((function.domain, function.name, function.overload, *function.input, *function.output, *function.attribute))
        _check((*(item.name for item in function.attribute_proto), *(opset.domain for opset in function.opset_import)))
        graphs.nodes_of(function)
    return graphs


def _check(names: Sequence[Any]) -> None:
    try:
        "".join(names)
    except TypeError:  # protobuf returns those that are not UTF-8 as bytes
        name = next(name for name in names if type(name) is not str)
        raise ModelError(f"the name {bytes(name)!r} in it is not UTF-8") from None


def _check_graph(graph: GraphProto) -> None:
    _check([graph.name, *[tensor.name for tensor in graph.initializer[:]]])
    _check([*(sparse.values.name for sparse in graph.sparse_initializer), *(value.name for value in graph.value_info)])
    for value in (*graph.input, *graph.output):
        _check([value.name, *(dim.dim_param for dim in value.type.tensor_type.shape.dim)])
