"""Turns a step of the walk into the node that formulas read, with tensors as values: fills in the schemas' defaults, normalizes
old forms, and finds the scopes of modules.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING, Any

from onnxcost.frontend.long_lists import holds_list, numbers_in
from onnxcost.frontend.values import Step, Value, elements_in
from onnxcost.graph import Elements, Node, Tensor
from onnxcost.operators.traits import SOFTMAXES

if TYPE_CHECKING:
    from onnx import AttributeProto, TypeProto
    from onnx.defs import OpSchema

    from onnxcost.frontend.stored_graphs import Alike, StoredNode


VALUE_LIMIT = 64
"""Elements of the largest constant whose elements a formula can see."""


@lru_cache(maxsize=4096)
def schema_of(op_type: str, domain: str, opset: int | None) -> OpSchema | None:
    """The operator's schema in the opset; None for an operator that onnx does not define there."""
    from onnx import defs

    if opset is None or not defs.has(op_type, opset, domain):
        return None
    return defs.get_schema(op_type, opset, domain)


def as_node(
    step: Step,
    opsets: Mapping[str, int],
    tensor: Callable[[Value], Tensor],
    known: dict[Alike, Mapping[str, Any]] | None = None,
) -> Node:
    """The node of a step; ``tensor`` is ``as_tensor``, or a cache of its results, ``known`` a cache of the attributes of
    equal nodes.
    """
    inputs = tuple([tensor(value) if value is not None else None for value in step.inputs])
    outputs = tuple([tensor(value) if value is not None else None for value in step.outputs])
    node = step.node
    attributes = known.get(node.alike) if known is not None and node.alike is not None else None
    if attributes is None:
        attributes = _attributes(step, node.op_type, opsets.get(step.domain), inputs)
        # Those of a Softmax depend on the rank of its input.
        if known is not None and node.alike is not None and node.op_type not in SOFTMAXES:
            known[node.alike] = attributes
    branches: Mapping[str, tuple[Node, ...]] = _NO_BRANCHES
    if step.branches:
        branches = {
            name: tuple([as_node(inner, opsets, tensor, known) for inner in branch]) for name, branch in step.branches.items()
        }
    idle = tuple([as_node(inner, opsets, tensor, known) for inner in step.idle]) if step.idle else ()
    made = Node(
        step.name,
        node.op_type,
        step.domain,
        inputs,
        outputs,
        attributes,
        _scope(node),
        step.repeat,
        branches,
        step.open_reason,
        idle,
    )
    made.alike = step.alike  # type: ignore[misc]  # it has just been made
    return made


_NO_BRANCHES: Mapping[str, tuple[Node, ...]] = {}


@lru_cache(maxsize=64)
def element_type(dtype: str) -> int:
    """The number that onnx gives an element type: the inverse of ``_dtype``."""
    from onnx import TensorProto

    return next((number for number in TensorProto.DataType.values() if _dtype(number) == dtype), TensorProto.UNDEFINED)


@lru_cache(maxsize=64)
def _dtype(element_type: int) -> str:
    from onnx import TensorProto

    name = TensorProto.DataType.Name(element_type).lower() if element_type in TensorProto.DataType.values() else "undefined"
    return {"float": "float32", "double": "float64"}.get(name, name)


def _type_name(type_: TypeProto | None) -> str:
    """``float32`` for a tensor, ``sequence(float32)`` and similar names for containers of tensors."""
    if type_ is not None and type_.HasField("tensor_type"):
        return _dtype(type_.tensor_type.elem_type)
    kind = type_.WhichOneof("value") if type_ is not None else None
    if type_ is None or kind is None:
        return "undefined"
    if kind == "sparse_tensor_type":
        return _dtype(type_.sparse_tensor_type.elem_type)
    inner = type_.map_type.value_type if kind == "map_type" else getattr(type_, kind).elem_type
    return f"{kind.removesuffix('_type')}({_type_name(inner)})"


def as_tensor(value: Value, tensor: Callable[[Value], Tensor] | None = None) -> Tensor:
    """The tensor of a value for formulas; ``tensor`` is a cache of earlier results, for the values in this one."""
    held = value.elements if value.content is None else (value.content,)
    elements = Elements(map(tensor or as_tensor, held)) if held is not None else None
    stored = value.tensor if value.tensor is not None or value.same_as is None else value.same_as.tensor
    known = elements_in(stored) if stored is not None and prod(stored.dims[:]) <= VALUE_LIMIT else None
    return Tensor(value.name, _type_name(value.type), value.dims, value.is_constant, known, value.is_bound, elements)


@lru_cache(maxsize=4096)
def _defaults(op_type: str, domain: str, opset: int | None) -> tuple[Mapping[str, Any], int]:
    """The defaults of an operator's attributes, and the opset that it is from; none and 0 if onnx does not define it."""
    schema = schema_of(op_type, domain, opset)
    if schema is None:
        return {}, 0
    return {n: _plain(a.default_value) for n, a in schema.attributes.items() if a.default_value.name}, schema.since_version


def _plain(attribute: AttributeProto) -> Any:
    """An attribute's value as int, float, str, or a tuple of these, for a long list of numbers an array; graphs and tensors are
    not passed to formulas.
    """
    match attribute.type:
        case 2:  # AttributeProto.INT, whose look-up takes longer than everything else here
            return attribute.i
        case 1:  # FLOAT
            return attribute.f
        case 3:  # STRING
            return attribute.s.decode("utf-8", "replace")
        case 6 | 7 if holds_list(attribute):
            return numbers_in(attribute)
        case 7:  # INTS
            return tuple(attribute.ints[:])
        case 6:  # FLOATS
            return tuple(attribute.floats[:])
        case 8:  # STRINGS
            strings = tuple([item.decode("utf-8", "replace") for item in attribute.strings[:]])
            return tuple(map(strings.__getitem__, numbers_in(attribute))) if holds_list(attribute) else strings
        case _:
            return None


class LateAttributes(Mapping[str, Any]):
    """Attributes whose values are made each time they are read: a tree ensemble has a dozen lists of millions of numbers, which
    take five times the memory of the message, and few of them are read.
    """

    __slots__ = ("_defaults", "_stored")

    def __init__(self, stored: Mapping[str, AttributeProto], defaults: Mapping[str, Any]) -> None:
        self._stored, self._defaults = stored, defaults

    def __getitem__(self, name: str) -> Any:
        return _plain(self._stored[name]) if name in self._stored else self._defaults[name]

    def __contains__(self, name: object) -> bool:
        return name in self._stored or name in self._defaults

    def __iter__(self) -> Iterator[str]:
        return iter({**self._defaults, **self._stored})

    def __len__(self) -> int:
        return len({**self._defaults, **self._stored})


def _attributes(step: Step, op_type: str, opset: int | None, inputs: tuple[Tensor | None, ...]) -> Mapping[str, Any]:
    defaults, since = _defaults(op_type, step.domain, opset)
    attributes = dict(defaults)
    if step.domain == "ai.onnx.ml":
        return LateAttributes(step.attributes, attributes)
    for name, attribute in step.attributes.items():
        attributes[name] = _plain(attribute)
    if since and op_type in SOFTMAXES and not step.domain:
        attributes |= _softmax_axes(attributes, since, inputs)
    return attributes


def _softmax_axes(attributes: Mapping[str, Any], since: int, inputs: tuple[Tensor | None, ...]) -> dict[str, Any]:
    """Before opset 13 the Softmax family reduced over all axes from ``axis`` on, since then only over ``axis``."""
    if not inputs or inputs[0] is None or inputs[0].dims is None:
        return {}
    rank = len(inputs[0].dims)
    axis = attributes["axis"] % rank if rank else 0
    return {"axes": (axis,) if since >= 13 else tuple(range(axis, rank))}


NAME_SCOPES = "pkg.torch.onnx.name_scopes"
"""The key of a node's metadata under which that exporter has the names of the modules around it."""

_NO_MODULE = "_empty_nn_module_stack"
"""The mark of PyTorch's newer exporter for a node that is in no module."""


def _scope(node: StoredNode) -> tuple[str, ...]:
    """The modules around a node: from the metadata of PyTorch's newer exporter, or else from the node's name."""
    for entry in node.metadata:
        # A list in Python's syntax: ['', 'layer1', 'layer1.0', 'conv2d'].
        if entry.key == NAME_SCOPES and (paths := entry.value.split("'")[1:-1:2]):
            return _modules(tuple(paths[:-1]))
    module, slash, _ = node.name.rpartition("/")
    return _modules(module) if slash else ()


@lru_cache(maxsize=65536)
def _modules(path: str | tuple[str, ...]) -> tuple[str, ...]:
    """The scope that a path is, with slashes or in parts.

    Both of PyTorch's exporters name a module with its path (``layer1``, ``layer1.0``); the part that repeats its parent is left
    out, so that a module has the same scope with both exporters.
    """
    scope: list[str] = []
    parent = ""
    for part in path.split("/") if isinstance(path, str) else path:
        if not part or part.startswith(_NO_MODULE):
            continue
        scope.append(part.removeprefix(f"{parent}.") if parent else part)
        parent = part
    return tuple(scope)
