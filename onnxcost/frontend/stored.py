"""Every tensor that a model stores, wherever in it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto, SparseTensorProto, TensorProto


class Stored(NamedTuple):
    """A tensor and what it is there: the ``value`` of that name in the graph, the function or a body of theirs that ``scope``
    is (as ``scope_of`` tells), or an attribute of a node; of a sparse tensor (``sparse``) the elements or the positions.
    """

    tensor: TensorProto
    scope: str
    value: str = ""
    attribute: str = ""
    sparse: SparseTensorProto | None = None

    @property
    def name(self) -> str:
        """A name for it, as good as any: attributes may have none."""
        return self.value or self.tensor.name or self.attribute

    @property
    def is_external(self) -> bool:
        """Whether its payload lies in another file."""
        return bool(self.tensor.data_location == self.tensor.EXTERNAL)

    @property
    def location(self) -> str:
        """The file that it says its payload lies in."""
        return self.whereabouts.get("location", "")

    @property
    def whereabouts(self) -> dict[str, str]:
        """The file, and the offset and the length in it."""
        return {str(entry.key): str(entry.value) for entry in self.tensor.external_data}


def stored_tensors(model: ModelProto) -> Iterator[Stored]:
    """The tensors of the graph, its bodies and the model's functions: initializers, constants and attributes."""
    yield from _in_graph(model.graph, "")
    for function in model.functions:
        yield from _in_nodes(function.node, scope_of(function.domain, function.name, function.overload))


def scope_of(domain: str, name: str, overload: str) -> str:
    """What sets a function's names apart from those of the graph, whose scope is ""."""
    return f"{domain}.{name}:{overload}/"


def _in_graph(graph: GraphProto, scope: str) -> Iterator[Stored]:
    for tensor in graph.initializer:
        yield Stored(tensor, scope, tensor.name)
    for sparse in graph.sparse_initializer:
        yield from _in_sparse(sparse, scope, sparse.values.name)
    yield from _in_nodes(graph.node, scope)


def _in_sparse(sparse: SparseTensorProto, scope: str, value: str) -> Iterator[Stored]:
    yield Stored(sparse.values, scope, value)
    yield Stored(sparse.indices, scope, sparse=sparse, attribute="indices")


def _in_nodes(nodes: Iterable[NodeProto], scope: str) -> Iterator[Stored]:
    for node in nodes:
        value = node.output[0] if node.op_type == "Constant" and node.output else ""
        for graph in bodies(node):
            yield from _in_graph(graph, scope)
        for attribute in node.attribute:
            for tensor in [attribute.t] if attribute.HasField("t") else attribute.tensors:
                yield Stored(tensor, scope, value, attribute.name)
            for sparse in [attribute.sparse_tensor] if attribute.HasField("sparse_tensor") else attribute.sparse_tensors:
                yield from _in_sparse(sparse, scope, value)


def bodies(node: NodeProto) -> Iterator[GraphProto]:
    """The graphs in a node's attributes."""
    for attribute in node.attribute:
        yield from [attribute.g] if attribute.HasField("g") else attribute.graphs
