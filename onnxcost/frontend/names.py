"""The names in a model must be text: protobuf hands out a damaged one as bytes, which no later code reckons with."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto


def check_names(model: ModelProto) -> None:
    """Raises ModelError for a name, of those that are read later, that is not UTF-8."""
    _check((model.producer_name, model.producer_version, *(opset.domain for opset in model.opset_import)))
    _check_graph(model.graph)
    for function in model.functions:
        _check((function.domain, function.name, function.overload, *function.input, *function.output, *function.attribute))
        _check((*(item.name for item in function.attribute_proto), *(opset.domain for opset in function.opset_import)))
        _check_nodes(function.node)


def _check(names: Iterable[Any]) -> None:
    for name in names:
        if type(name) is not str:
            raise ModelError(f"the name {bytes(name)!r} in it is not UTF-8")


def _check_graph(graph: GraphProto) -> None:
    _check((graph.name, *(tensor.name for tensor in graph.initializer)))
    _check((*(sparse.values.name for sparse in graph.sparse_initializer), *(value.name for value in graph.value_info)))
    for value in (*graph.input, *graph.output):
        _check((value.name, *(dim.dim_param for dim in value.type.tensor_type.shape.dim)))
    _check_nodes(graph.node)


def _check_nodes(nodes: Iterable[NodeProto]) -> None:
    for node in nodes:
        _check([node.op_type, node.domain, node.name, node.overload, *node.input, *node.output])
        for entry in node.metadata_props:
            _check((entry.key, entry.value))
        for attribute in node.attribute:
            _check((attribute.name, attribute.ref_attr_name))
            if attribute.HasField("g"):
                _check_graph(attribute.g)
