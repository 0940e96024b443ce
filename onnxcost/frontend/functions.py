"""Model-local functions: inlined, after a look at what that would make of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, NodeProto

MOST_NODES, MOST_BYTES = 50_000, 50_000_000
"""What a model may become when its functions are inlined, or STORED times what the file has if that is more: forty functions
that each call the next one twice would become a million millions of nodes.
"""
STORED = 10
MOST_CALLS = 100
"""Calls of functions inside each other."""

_Key = tuple[str, str, str]


def inlined(model: ModelProto) -> ModelProto:
    """The model with its functions' nodes in place of their calls; a model without functions as it is.

    Raises ModelError for functions that call themselves or are defined twice, and for more nodes than MOST_NODES.
    """
    if not model.functions:
        return model
    from google.protobuf.message import DecodeError
    from onnx import inliner
    from onnx.checker import ValidationError

    _check_size(model)
    try:
        return inliner.inline_local_functions(model)
    except DecodeError:
        raise ModelError("the model's functions nest subgraphs deeper than a file can store") from None
    except (RuntimeError, ValueError, ValidationError) as error:
        raise ModelError(f"the model's functions cannot be inlined: {' '.join(str(error).split())}") from None


class _Size(NamedTuple):
    """What nodes become when their calls are inlined; ``depth`` is that of the calls, 0 without any."""

    nodes: int
    bytes: int
    depth: int


def _check_size(model: ModelProto) -> None:
    functions: dict[_Key, FunctionProto] = {}
    for function in model.functions:
        key = function.domain, function.name, function.overload
        if key in functions:
            raise ModelError(f"the function {_label(key)} is defined twice")
        functions[key] = function
    calls = {
        key: {called for node in _nodes(function.node) if (called := _called(node)) in functions}
        for key, function in functions.items()
    }
    try:
        order = tuple(TopologicalSorter(calls).static_order())
    except CycleError as error:
        ring = " → ".join(_label(key) for key in error.args[1][:6])
        raise ModelError(f"a function calls itself: {ring}; a model's functions must not be recursive") from None
    name, attribute = _largest_arguments(model, functions)
    sizes: dict[_Key, _Size] = {}
    for key in order:
        function = functions[key]
        replaced = name * _parameters_read(function) + attribute * _attributes_read(function)
        sizes[key] = _size(function.node, function.ByteSize() + replaced, sizes)
        if sizes[key].depth > MOST_CALLS:
            raise ModelError(f"the model's functions call each other more than {MOST_CALLS} deep, from {_label(key)} on")
    total = _size(model.graph.node, model.graph.ByteSize(), sizes)
    stored = sum(1 for nodes in (model.graph.node, *(each.node for each in functions.values())) for _ in _nodes(nodes))
    if total.nodes > max(MOST_NODES, STORED * stored) or total.bytes > max(MOST_BYTES, STORED * model.ByteSize()):
        much = f"{_power(total.nodes)} nodes of {_power(total.bytes)} bytes"
        raise ModelError(f"the model's functions call each other so often that they become {much}")


def _largest_arguments(model: ModelProto, functions: Mapping[_Key, FunctionProto]) -> tuple[int, int]:
    """The bytes of the longest name and of the largest attribute that inlining can put in the place of a parameter."""
    name = attribute = 0
    for nodes in (model.graph.node, *(function.node for function in functions.values())):
        for node in _nodes(nodes):
            if _called(node) in functions:
                name = max(name, *map(len, (*node.input, *node.output)), 0)
                attribute = max(attribute, *(item.ByteSize() for item in node.attribute), 0)
    defaults = [item.ByteSize() for function in functions.values() for item in function.attribute_proto]
    return name, max(attribute, *defaults, 0)


def _parameters_read(function: FunctionProto) -> int:
    parameters = {*function.input, *function.output}
    return sum(1 for node in _nodes(function.node) for name in (*node.input, *node.output) if name in parameters)


def _attributes_read(function: FunctionProto) -> int:
    return sum(1 for node in _nodes(function.node) for item in node.attribute if item.ref_attr_name)


def _size(nodes: Iterable[NodeProto], own_bytes: int, sizes: Mapping[_Key, _Size]) -> _Size:
    parts = [sizes.get(_called(node), _Size(1, 0, -1)) for node in _nodes(nodes)]
    depth = max((part.depth + 1 for part in parts), default=0)
    return _Size(sum(part.nodes for part in parts), own_bytes + sum(part.bytes for part in parts), depth)


def _power(number: int) -> str:
    """A number that may have thousands of digits."""
    return f"{number:,}" if number < 10**15 else f"more than 2^{number.bit_length() - 1}"


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes and those of their bodies."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _nodes(graph.node)


def _called(node: NodeProto) -> _Key:
    return node.domain, node.op_type, node.overload


def _label(key: _Key) -> str:
    return "'" + ".".join(part for part in key if part) + "'"
