"""Normalization of a model before shape inference: known opsets, functions inlined, nodes in execution order."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.errors import ModelError
from onnxcost.formulas import CONTROL_FLOW
from onnxcost.frontend.reader import Skeleton
from onnxcost.frontend.stored_graphs import StoredGraphs, StoredNode, read_graphs

if TYPE_CHECKING:
    from onnx import FunctionProto, GraphProto, ModelProto, NodeProto


MOST_NODES, MOST_BYTES = 50_000, 50_000_000
"""The largest model that inlining may produce, or STORED times the size of the file if that is larger: forty functions that
each call the next one twice would become 10^12 nodes.
"""
STORED = 10
MOST_CALLS = 100
"""The deepest nesting of function calls."""

_Key = tuple[str, str, str]


def inline_functions(model: ModelProto) -> ModelProto:
    """The model with the nodes of its functions instead of their calls; a model without functions is returned as it is.

    Raises ModelError for functions that call themselves or are defined twice, and for more nodes than MOST_NODES.
    """
    if not model.functions:
        return model
    from google.protobuf.message import DecodeError
    from onnx import inliner
    from onnx.checker import ValidationError

    _check_size(model)
    _agree_on_opset(model)
    _mark_constants(model)
    try:
        return inliner.inline_local_functions(model)
    except DecodeError:
        raise ModelError("the model's functions nest subgraphs deeper than a file can store") from None
    except (RuntimeError, ValueError, ValidationError) as error:
        raise ModelError(f"the model's functions cannot be inlined: {' '.join(str(error).split())}") from None


STORED_AS = "onnxcost.stored_as"
"""The key of the metadata of a function's Constant node; equal for its copies in all calls, which share the stored tensor."""


def _mark_constants(model: ModelProto) -> None:
    for number, function in enumerate(model.functions):
        for index, node in enumerate(nodes_in(function.node)):
            if node.op_type == "Constant" and not any(item.ref_attr_name for item in node.attribute):
                node.metadata_props.add(key=STORED_AS, value=f"{number}/{index}")


def _agree_on_opset(model: ModelProto) -> None:
    """Gives functions the model's opset if their operators are the same in both: onnx does not inline others."""
    from onnx import defs

    opset = next((each.version for each in model.opset_import if each.domain in ("", _STANDARD)), None)

    def first_version(operator: str, version: int) -> int:
        try:
            return int(defs.get_schema(operator, version, "").since_version)
        except defs.SchemaError:
            return 0

    for function in model.functions:
        for own in function.opset_import:
            if opset is None or own.domain not in ("", _STANDARD) or own.version == opset:
                continue
            if not (0 < own.version < 2**31 and 0 < opset < 2**31):  # onnx takes no others
                continue
            used = {node.op_type for node in nodes_in(function.node) if node.domain in ("", _STANDARD)}
            if all(first_version(each, own.version) == first_version(each, opset) for each in used):
                own.version = opset


class _Size(NamedTuple):
    """The size of nodes after inlining; ``depth`` is the nesting of the calls, 0 without any."""

    nodes: int
    bytes: int
    depth: int


def _check_size(model: ModelProto) -> None:
    functions: dict[_Key, FunctionProto] = {}
    for function in model.functions:
        key = function.domain, function.name, function.overload
        if key in functions:
            raise ModelError(f"the function {_function_label(key)} is defined twice")
        functions[key] = function
    calls = {
        key: {called for node in nodes_in(function.node) if (called := _callee(node)) in functions}
        for key, function in functions.items()
    }
    try:
        order = tuple(TopologicalSorter(calls).static_order())
    except CycleError as error:
        ring = " → ".join(_function_label(key) for key in error.args[1][:6])
        raise ModelError(f"a function calls itself: {ring}; a model's functions must not be recursive") from None
    name, attribute = _largest_arguments(model, functions)
    sizes: dict[_Key, _Size] = {}
    for key in order:
        function = functions[key]
        nodes, parameters = list(nodes_in(function.node)), {*function.input, *function.output}
        names = sum(each in parameters for node in nodes for each in (*node.input, *node.output))
        references = sum(bool(item.ref_attr_name) for node in nodes for item in node.attribute)
        replaced = name * names + attribute * references
        sizes[key] = _size(function.node, function.ByteSize() + replaced, sizes)
        if sizes[key].depth > MOST_CALLS:
            raise ModelError(
                f"the model's functions call each other more than {MOST_CALLS} levels deep, starting at {_function_label(key)}"
            )
    total = _size(model.graph.node, model.graph.ByteSize(), sizes)
    stored = sum(1 for nodes in (model.graph.node, *(each.node for each in functions.values())) for _ in nodes_in(nodes))
    if total.nodes > max(MOST_NODES, STORED * stored) or total.bytes > max(MOST_BYTES, STORED * model.ByteSize()):
        much = f"{_power(total.nodes)} nodes of {_power(total.bytes)} bytes"
        raise ModelError(f"inlining the model's functions would result in {much}")


def _largest_arguments(model: ModelProto, functions: Mapping[_Key, FunctionProto]) -> tuple[int, int]:
    """The bytes of the longest name and of the largest attribute that inlining can substitute for a parameter."""
    name = attribute = 0
    for nodes in (model.graph.node, *(function.node for function in functions.values())):
        for node in nodes_in(nodes):
            if _callee(node) in functions:
                name = max(name, *map(len, (*node.input, *node.output)), 0)
                attribute = max(attribute, *(item.ByteSize() for item in node.attribute), 0)
    defaults = [item.ByteSize() for function in functions.values() for item in function.attribute_proto]
    return name, max(attribute, *defaults, 0)


def _size(nodes: Iterable[NodeProto], own_bytes: int, sizes: Mapping[_Key, _Size]) -> _Size:
    parts = [sizes.get(_callee(node), _Size(1, 0, -1)) for node in nodes_in(nodes)]
    depth = max((part.depth + 1 for part in parts), default=0)
    return _Size(sum(part.nodes for part in parts), own_bytes + sum(part.bytes for part in parts), depth)


def _power(number: int) -> str:
    """A number that may have thousands of digits."""
    return f"{number:,}" if number < 10**15 else f"more than 2^{number.bit_length() - 1}"


def nodes_in(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes and those of their bodies."""
    for node in nodes:
        yield node
        for attribute in node.attribute[:]:
            for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from nodes_in(graph.node)


def _callee(node: NodeProto) -> _Key:
    return node.domain, node.op_type, node.overload


def _function_label(key: _Key) -> str:
    return "'" + ".".join(part for part in key if part) + "'"


_STANDARD = "ai.onnx"


class Normalized(NamedTuple):
    """A model as the walk reads it, the nodes of its graphs, and its opsets."""

    model: ModelProto
    graphs: StoredGraphs
    opsets: Mapping[str, int]


def normalize(model: ModelProto, graphs: StoredGraphs) -> Normalized:
    """The model with its functions inlined and ``ai.onnx`` written as "", and its opsets. Raises ModelError for a version
    of the format or an opset that does not exist and for functions that cannot be inlined.
    """
    for opset in model.opset_import:
        opset.domain = "" if opset.domain == _STANDARD else opset.domain
    # A version that is too new for onnx is tried: the model may use nothing new. One that onnx cannot store is an error.
    if not 0 <= model.ir_version < 2**31:
        raise ModelError(f"the model claims ONNX IR version {model.ir_version}, which does not exist")
    inlined = inline_functions(model)
    if inlined is not model or any(node.domain == _STANDARD for node in graphs.every_node()):
        for each in nodes_in(inlined.graph.node):
            if each.domain == _STANDARD:
                each.domain = ""
        graphs = read_graphs(inlined)
    opsets = {opset.domain: opset.version for opset in inlined.opset_import}
    if not opsets and model.ir_version < 3:
        opsets = {"": 1}
    _check_opset(opsets)
    return Normalized(inlined, graphs, opsets)


def _check_opset(opsets: Mapping[str, int]) -> None:
    from onnx import defs

    newest = defs.onnx_opset_version()
    version = opsets.get("")
    if version is not None and not 1 <= version <= newest:
        raise ModelError(
            f"the model uses opset {version} of ai.onnx, but the installed onnx supports 1 to {newest}: upgrade onnx"
        )
    for domain, version in opsets.items():
        if not 0 <= version < 2**31:
            raise ModelError(f"the model uses version {version} of the operator set '{domain}', which does not exist")
    if not opsets:
        raise ModelError("the model imports no opset, so its operators are undefined")


def operators_in(skeleton: Skeleton) -> frozenset[str]:
    """The operators of the model's nodes, those of its bodies and functions included, as formula tables name them."""
    local = {(function.domain, function.name) for function in skeleton.model.functions}
    found = {(node.domain, node.op_type) for node in skeleton.graphs.every_node()}
    return frozenset(
        op_type if domain in ("", _STANDARD) else f"{domain}.{op_type}"
        for domain, op_type in found - local
        if op_type not in CONTROL_FLOW
    )


def in_execution_order(graph: GraphProto, outer: Collection[str], graphs: StoredGraphs) -> list[StoredNode]:
    """The nodes, each after those whose outputs it reads, also in its bodies; unchanged if they are already in such an order.

    Raises ModelError for a value that nothing defines and for a cycle.
    """
    known = graphs.orders.get(id(graph))
    if known is None:
        known = graphs.orders[id(graph)] = _order_nodes(graphs.nodes_of(graph), outer, graphs)
    return known


def _order_nodes(nodes: list[StoredNode], outer: Collection[str], graphs: StoredGraphs) -> list[StoredNode]:
    seen = {""}
    for node in nodes:
        names = (*node.input, *graphs.names_in_bodies(node)) if node.has_subgraph else node.input
        if not seen.issuperset(names) and any(name not in seen and name not in outer for name in names):
            return _sort_nodes(nodes, outer, graphs)
        seen.update(node.output)
    return nodes


def _sort_nodes(nodes: Sequence[StoredNode], outer: Collection[str], graphs: StoredGraphs) -> list[StoredNode]:
    made = {name: index for index, node in enumerate(nodes) for name in node.output if name}
    for node in nodes:
        for name in node.input:
            if name and name not in made and name not in outer:
                raise ModelError(f"node '{_node_label(node)}' reads '{name}', which is not defined in the model")
    names_read = {index: (*node.input, *graphs.names_in_bodies(node)) for index, node in enumerate(nodes)}
    order = TopologicalSorter({index: [made[name] for name in names if name in made] for index, names in names_read.items()})
    try:
        return [nodes[index] for index in order.static_order()]
    except CycleError as error:
        names = " → ".join(f"'{_node_label(nodes[index])}'" for index in error.args[1][:6])
        raise ModelError(f"the graph has a cycle: {names}, so its nodes cannot be executed") from None


def _node_label(node: StoredNode) -> str:
    return node.name or f"{node.op_type} that makes {', '.join(node.output)}"
