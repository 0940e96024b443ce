"""Brings a model into the one form that the walk reads: known opsets, functions inlined, nodes in execution order."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_STANDARD = "ai.onnx"


def normalised(model: ModelProto) -> tuple[ModelProto, Mapping[str, int]]:
    """The model with its functions inlined and ``ai.onnx`` written as "", and its opsets. Raises ModelError for an opset
    that does not exist.
    """
    for opset in model.opset_import:
        opset.domain = "" if opset.domain == _STANDARD else opset.domain
    if model.functions:
        from onnx import inliner

        try:
            model = inliner.inline_local_functions(model)
        except (RuntimeError, ValueError) as error:
            raise ModelError(f"the model's functions cannot be inlined: {' '.join(str(error).split())}") from None
    _rename_standard_domain(model.graph)
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if not opsets and model.ir_version < 3:
        opsets = {"": 1}
    _check_opset(opsets)
    return model, opsets


def _rename_standard_domain(graph: GraphProto) -> None:
    for node in graph.node:
        if node.domain == _STANDARD:
            node.domain = ""
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename_standard_domain(attribute.g)


def _check_opset(opsets: Mapping[str, int]) -> None:
    from onnx import defs

    newest = defs.onnx_opset_version()
    version = opsets.get("")
    if version is not None and not 1 <= version <= newest:
        raise ModelError(f"the model asks for opset {version} of ai.onnx: the installed onnx knows 1 to {newest}; upgrade onnx")
    if not opsets:
        raise ModelError("the model imports no opset: its operators have no meaning without one")


def in_execution_order(graph: GraphProto, outer: Collection[str]) -> list[NodeProto]:
    """The nodes, each after those whose outputs it reads; as they stand where that is so already.

    Raises ModelError for a value that nothing defines and for a cycle.
    """
    made = {name: node for node in graph.node for name in node.output if name}
    seen: set[str] = set()
    for node in graph.node:
        for name in node.input:
            if name and name not in seen and name not in outer:
                if name not in made:
                    raise ModelError(f"node '{_label(node)}' reads '{name}', which nothing in the model defines")
                return _sorted(graph, made)
        seen.update(node.output)
    return list(graph.node)


def _sorted(graph: GraphProto, made: Mapping[str, NodeProto]) -> list[NodeProto]:
    from graphlib import CycleError, TopologicalSorter

    nodes = list(graph.node)
    maker = {name: index for index, node in enumerate(nodes) for name in node.output if name in made}
    order = TopologicalSorter({i: [maker[n] for n in node.input if n in maker] for i, node in enumerate(nodes)})
    try:
        return [nodes[index] for index in order.static_order()]
    except CycleError as error:
        names = " → ".join(f"'{_label(nodes[index])}'" for index in error.args[1][:6])
        raise ModelError(f"the graph has a cycle: {names}; no order of its nodes can be executed") from None


def _label(node: NodeProto) -> str:
    return node.name or f"{node.op_type} that makes {', '.join(node.output)}"
