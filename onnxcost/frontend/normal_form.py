"""Brings a model into the one form that the walk reads: known opsets, functions inlined, nodes in execution order."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING

from onnxcost.errors import ModelError
from onnxcost.formulas import CONTROL_FLOW
from onnxcost.frontend.functions import inlined

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

_STANDARD = "ai.onnx"


def normalised(model: ModelProto) -> tuple[ModelProto, Mapping[str, int]]:
    """The model with its functions inlined and ``ai.onnx`` written as "", and its opsets. Raises ModelError for a version
    of the format or an opset that does not exist and for functions that cannot be inlined.
    """
    for opset in model.opset_import:
        opset.domain = "" if opset.domain == _STANDARD else opset.domain
    _check_ir_version(model.ir_version)
    model = inlined(model)
    _rename_standard_domain(model.graph)
    opsets = {opset.domain: opset.version for opset in model.opset_import}
    if not opsets and model.ir_version < 3:
        opsets = {"": 1}
    _check_opset(opsets)
    return model, opsets


def _check_ir_version(version: int) -> None:
    """A newer one than onnx knows is tried: it may hold nothing new. One that onnx cannot even store is damage."""
    if not 0 <= version < 2**31:
        raise ModelError(f"the model says that it is in version {version} of the ONNX format, which there is not")


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
    for domain, version in opsets.items():
        if not 0 <= version < 2**31:
            raise ModelError(f"the model asks for version {version} of the operators of '{domain}', which there is not")
    if not opsets:
        raise ModelError("the model imports no opset: its operators have no meaning without one")


def operators_in(model: ModelProto) -> frozenset[str]:
    """The operators of the model's nodes, those of its bodies and functions included, as formula tables name them."""
    local = {(function.domain, function.name) for function in model.functions}
    found: set[tuple[str, str]] = set()
    graphs = [model.graph.node, *(function.node for function in model.functions)]
    while graphs:
        for node in graphs.pop():
            found.add((node.domain, node.op_type))
            graphs += [attribute.g.node for attribute in node.attribute if attribute.HasField("g")]
    return frozenset(
        op_type if domain in ("", _STANDARD) else f"{domain}.{op_type}"
        for domain, op_type in found - local
        if op_type not in CONTROL_FLOW
    )


Reads = dict[int, "tuple[GraphProto, frozenset[str]]"]
"""By the identity of a body: the body, and the names that it reads from around it."""


def in_execution_order(graph: GraphProto, outer: Collection[str], reads: Reads) -> list[NodeProto]:
    """The nodes, each after those whose outputs it reads, its bodies included; as they stand where that is so already.
    ``reads`` remembers what bodies read.

    Raises ModelError for a value that nothing defines and for a cycle.
    """
    seen: set[str] = set()
    for node in graph.node:
        for name in (*node.input, *read_by_bodies(node, reads)) if node.attribute else node.input:
            if name and name not in seen and name not in outer:
                return _sorted(graph, outer, reads)
        seen.update(node.output)
    return list(graph.node)


def read_by_bodies(node: NodeProto, reads: Reads) -> Iterator[str]:
    """The names that a node's bodies read from around them."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield from _free_names(attribute.g, reads)


def _free_names(graph: GraphProto, reads: Reads) -> frozenset[str]:
    known = reads.get(id(graph))
    if known is None:
        own = {value.name for value in (*graph.input, *graph.initializer)} | {
            name for node in graph.node for name in node.output
        }
        read = {name for node in graph.node for name in (*node.input, *read_by_bodies(node, reads))}
        known = reads[id(graph)] = graph, frozenset((read | {value.name for value in graph.output}) - own)
    return known[1]


def _sorted(graph: GraphProto, outer: Collection[str], reads: Reads) -> list[NodeProto]:
    from graphlib import CycleError, TopologicalSorter

    nodes = list(graph.node)
    made = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    for node in nodes:
        for name in node.input:
            if name and name not in made and name not in outer:
                raise ModelError(f"node '{_label(node)}' reads '{name}', which nothing in the model defines")
    names_read = {index: (*node.input, *read_by_bodies(node, reads)) for index, node in enumerate(nodes)}
    order = TopologicalSorter({index: [made[name] for name in names if name in made] for index, names in names_read.items()})
    try:
        return [nodes[index] for index in order.static_order()]
    except CycleError as error:
        names = " → ".join(f"'{_label(nodes[index])}'" for index in error.args[1][:6])
        raise ModelError(f"the graph has a cycle: {names}; no order of its nodes can be executed") from None


def _label(node: NodeProto) -> str:
    return node.name or f"{node.op_type} that makes {', '.join(node.output)}"
