"""Model-local functions: inlined, after a look at what that would make of the model."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING

from onnxcost.errors import ModelError

if TYPE_CHECKING:
    from onnx import FunctionProto, ModelProto, NodeProto

MOST_NODES = 250_000
"""Nodes that functions may become: forty that call each other twice, one inside the next, would become a million millions."""

_Key = tuple[str, str, str]


def inlined(model: ModelProto) -> ModelProto:
    """The model with its functions' nodes in place of their calls; a model without functions as it is.

    Raises ModelError for functions that call themselves or are defined twice, and for more nodes than MOST_NODES.
    """
    if not model.functions:
        return model
    from onnx import inliner
    from onnx.checker import ValidationError

    _check_size(model)
    try:
        return inliner.inline_local_functions(model)
    except (RuntimeError, ValueError, ValidationError) as error:
        raise ModelError(f"the model's functions cannot be inlined: {' '.join(str(error).split())}") from None


def _check_size(model: ModelProto) -> None:
    functions: dict[_Key, FunctionProto] = {}
    for function in model.functions:
        key = function.domain, function.name, function.overload
        if key in functions:
            raise ModelError(f"the function {_label(key)} is defined twice")
        functions[key] = function
    calls = {key: [_called(node) for node in _nodes(function.node)] for key, function in functions.items()}
    try:
        order = tuple(TopologicalSorter({key: set(called) & set(functions) for key, called in calls.items()}).static_order())
    except CycleError as error:
        ring = " → ".join(_label(key) for key in error.args[1][:6])
        raise ModelError(f"a function calls itself: {ring}; a model's functions must not be recursive") from None
    sizes: dict[_Key, int] = {}
    for key in order:
        sizes[key] = _size(calls[key], sizes)
    total = _size([_called(node) for node in _nodes(model.graph.node)], sizes)
    if total > MOST_NODES:
        raise ModelError(f"the model's functions call each other so often that they become {_power(total)} nodes")


def _size(calls: Iterable[_Key], sizes: Mapping[_Key, int]) -> int:
    return sum(sizes.get(key, 1) for key in calls)


def _power(number: int) -> str:
    """A number that may have thousands of digits."""
    return f"{number:,}" if number < 10**15 else f"more than 2^{number.bit_length() - 1}"


def _nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes and those of their bodies."""
    for node in nodes:
        yield node
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield from _nodes(attribute.g.node)


def _called(node: NodeProto) -> _Key:
    return node.domain, node.op_type, node.overload


def _label(key: _Key) -> str:
    return "'" + ".".join(part for part in key if part) + "'"
