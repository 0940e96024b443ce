"""The nodes of a model's graphs, bodies and functions as they are stored, each read once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    from onnx import AttributeProto, FunctionProto, GraphProto, ModelProto, NodeProto, StringStringEntryProto


Key = tuple[str, str, tuple[bool, ...], tuple[bytes, ...]]
"""The operator, its domain, which outputs are present, and the attributes as bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class Alike:
    """What the equal nodes of a model have in common: one object, which is hashed faster than its key."""

    key: Key
    attribute: Mapping[str, AttributeProto]


class StoredNode(NamedTuple):
    """A node's fields under protobuf's names, read once: accessing a message takes longer than most uses of it. Lists are read
    as slices: iterating over elements takes three times as long.

    ``attribute`` has the attributes by name, ``message`` is the node itself. ``alike`` is None for nodes with a body, and for
    those of ai.onnx.ml, whose attributes are as long as weights.
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
    alike: Alike | None

    @classmethod
    def of(cls, node: NodeProto) -> StoredNode:
        """The fields of a node."""
        return StoredGraphs().read(node)


class StoredGraphs:
    """The nodes of a model's graphs, bodies and functions, and the outer names that the bodies read: each is read once."""

    def __init__(self, model: ModelProto | None = None) -> None:
        self.model = model
        self._nodes: dict[int, tuple[GraphProto | FunctionProto, list[StoredNode]]] = {}
        """By the identity of the graph, which is kept alive so that the identity stays unique."""
        self.orders: dict[int, list[StoredNode]] = {}
        """The nodes in an order in which they can run, by the identity of the graph."""
        self._outer: dict[int, frozenset[str]] = {}
        self._alike: dict[Key, Alike] = {}

    def every_node(self) -> Iterator[StoredNode]:
        """The nodes of all graphs that were read."""
        return chain.from_iterable(nodes for _, nodes in self._nodes.values())

    def nodes_within(self, graph: GraphProto) -> Iterator[StoredNode]:
        """The nodes of a graph, each before those in its bodies."""
        for node in self.nodes_of(graph):
            yield node
            for attribute in node.attribute.values() if node.has_subgraph else ():
                for body in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                    yield from self.nodes_within(body)

    def nodes_of(self, graph: GraphProto | FunctionProto) -> list[StoredNode]:
        """The nodes of a graph; those of their bodies are read, too. Raises ModelError for a name that is not UTF-8."""
        known = self._nodes.get(id(graph))
        if known is None:
            stored = graph.node[:]
            known = self._nodes[id(graph)] = graph, [self.read(node) for node in stored]
            _check([node.overload for node in stored] if self.model is not None and self.model.functions else ())
            _, operators, domains, names, inputs, outputs, *_ = zip(*known[1], strict=True) if stored else [()] * 6
            for each in (operators, domains, names, [*chain(*inputs)], [*chain(*outputs)]):
                _check(each)
            _check([text for node in known[1] if node.metadata for item in node.metadata for text in (item.key, item.value)])
        return known[1]

    def read(self, node: NodeProto) -> StoredNode:
        """The fields of a node."""
        domain, inputs, outputs, items = node.domain, tuple(node.input[:]), tuple(node.output[:]), node.attribute[:]
        metadata = node.metadata_props[:] if node.metadata_props else ()
        if domain == "ai.onnx.ml" or (items and not _PLAIN.issuperset([item.type for item in items])):
            has_subgraph = any([self._read_bodies(item) for item in items])  # noqa: C419  # all bodies are read
            attributes = _by_name(items)
            return StoredNode(node, node.op_type, domain, node.name, inputs, outputs, attributes, has_subgraph, metadata, None)
        stored = tuple([item.SerializeToString() for item in items]) if items else ()
        key = node.op_type, domain, tuple(map(bool, outputs)), stored
        alike = self._alike.get(key)
        if alike is None:
            alike = self._alike[key] = Alike(key, _by_name(items))
        op_type, domain, *_ = alike.key  # the strings that other nodes have, too
        return StoredNode(node, op_type, domain, node.name, inputs, outputs, alike.attribute, False, metadata, alike)

    def _read_bodies(self, attribute: AttributeProto) -> bool:
        """Whether an attribute has bodies; the nodes of one are read."""
        if attribute.type in _PLAIN:
            return False
        if attribute.HasField("g"):
            _check_graph(attribute.g)
            self.nodes_of(attribute.g)
        return attribute.HasField("g") or bool(attribute.graphs)

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


def _by_name(attributes: Sequence[AttributeProto]) -> dict[str, AttributeProto]:
    _check([text for each in attributes for text in (each.name, each.ref_attr_name)])
    return {each.name: each for each in attributes}


_PLAIN = frozenset({1, 2, 3, 4, 6, 7, 8})
"""AttributeProto's numbers of the types that hold numbers, strings or a tensor."""


def read_graphs(model: ModelProto) -> StoredGraphs:
    """The nodes of all its graphs. Raises ModelError for a name, of those that are read later, that is not UTF-8."""
    graphs = StoredGraphs(model)
    _check((model.producer_name, model.producer_version, *(opset.domain for opset in model.opset_import)))
    _check_graph(model.graph)
    graphs.nodes_of(model.graph)
    for function in model.functions:
        _check((function.domain, function.name, function.overload, *function.input, *function.output, *function.attribute))
        _check((*(item.name for item in function.attribute_proto), *(opset.domain for opset in function.opset_import)))
        graphs.nodes_of(function)
    return graphs


def _check(names: Sequence[Any]) -> None:
    if bytes in map(type, names):  # as which protobuf returns those that are not UTF-8
        name = next(name for name in names if type(name) is bytes)
        raise ModelError(f"the name {name!r} in it is not UTF-8")


def _check_graph(graph: GraphProto) -> None:
    _check([graph.name, *[tensor.name for tensor in graph.initializer[:]]])
    _check([*(sparse.values.name for sparse in graph.sparse_initializer), *(value.name for value in graph.value_info)])
    for value in (*graph.input, *graph.output):
        _check([value.name, *(dim.dim_param for dim in value.type.tensor_type.shape.dim)])
