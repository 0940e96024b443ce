"""Values for a model's open dims and inputs: the user's, or an assumption by role that the report states."""

from __future__ import annotations

import ast
import operator
import re
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from onnxcost.errors import InputError, did_you_mean
from onnxcost.frontend.bodies import known_value
from onnxcost.frontend.reader import ModelSource, read_skeleton
from onnxcost.frontend.values import MANY, Value
from onnxcost.graph import BoundDim, option_text

if TYPE_CHECKING:
    from onnx import TensorProto, TypeProto, ValueInfoProto


IMAGE_SIDE, SEQUENCE_LENGTH, DEFAULT = 224, 128, 1

# What a dim's name says of its role, first match wins. Compiled when first used: most models have no open dim.
_ROLES_BY_NAME: Sequence[tuple[str, int]] = (
    (r"(?i)batch|^bs?$|^n$", 1),
    (r"(?i)seq|len|time|token|frame|^[slt]$", SEQUENCE_LENGTH),
    (r"(?i)height|width|^[hw]$", IMAGE_SIDE),
)
_CHANNEL_COUNTS = (1, 3, 4)
_STATE = r"(?i)^[hc](_?(\d+|n|in))?$|state|hidden|cell"
"""The name of an input that carries a recurrent state, (layers, batch, hidden): it has no dim of time."""
_NO_NAMES = frozenset({"?", "*", "-", "None", "-1"})
"""What exporters write for a dim that they know nothing of: two of the same are not the same size."""
LONGEST_EXPRESSION = 200
"""Characters; a longer name is not an expression that a person or an exporter wrote."""
SHOWN = 20
"""Assumed dims that a message names."""


def bind_inputs(
    inputs: Sequence[ValueInfoProto], shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]
) -> tuple[BoundDim, ...]:
    """Writes a value into every open dim of ``inputs`` and returns the dims that were open.

    ``shapes`` (by input) and ``dims`` (by symbol) are the user's; all else is assumed. Raises InputError for a name or a
    rank that the model does not have, for a fixed dim given otherwise and for a symbol given twice with two values.
    """
    by_name = {value.name: value for value in inputs}
    _refuse_unknown(shapes, by_name, "input")
    for value in inputs:
        _open_dims(value.type)
    given = _bind_given(by_name, shapes, dims)
    places = _places(inputs)
    _refuse_unknown(dims, places, "dim")
    bound = {
        name: BoundDim(name, given[name], "given", option_text("--dim", name, given[name])) for name in places if name in given
    }
    known = {name: dim.value for name, dim in bound.items()}
    lengths = sum(size for name, size in known.items() if _is_part(name))
    for name in sorted(places, key=lambda name: (not name.isidentifier(), _is_total(name))):
        if name not in bound:
            source, axis = places[name][0]
            bound[name] = _assume_symbol(name, by_name[source], axis, known, lengths)
            known[name] = bound[name].value
            lengths += known[name] if _is_part(name) else 0
    unnamed: list[BoundDim] = []
    for value in inputs:
        unnamed += _write(value, bound, shapes.get(value.name))
    return (*(dim._replace(places=tuple(places[name])) for name, dim in bound.items()), *unnamed)


def _dims(type_: TypeProto) -> Sequence[TypeProto]:
    return type_.tensor_type.shape.dim  # type: ignore[no-any-return]


def _places(inputs: Sequence[ValueInfoProto]) -> dict[str, list[tuple[str, int]]]:
    """Where each symbol stands: inputs and their axes."""
    places: dict[str, list[tuple[str, int]]] = {}
    for value in inputs:
        for axis, dim in enumerate(_dims(value.type)):
            if _is_symbol(dim):
                places.setdefault(dim.dim_param, []).append((value.name, axis))
    return places


def _is_symbol(dim: TypeProto) -> bool:
    return not dim.HasField("dim_value") and bool(dim.dim_param)


def _open_dims(type_: TypeProto) -> None:
    """Opens the dims that an exporter wrote as -1 and takes away names that name nothing."""
    for dim in _dims(type_):
        if (dim.HasField("dim_value") and dim.dim_value < 0) or dim.dim_param in _NO_NAMES:
            dim.Clear()


def _refuse_unknown(given: Iterable[str], known: Iterable[str], what: str) -> None:
    for name in given:
        if name not in known:
            there = ", ".join(f"'{k}'" for k in known) or "none"
            raise InputError(f"the model has no {what} '{name}'{did_you_mean(name, known) or f': it has {there}'}")


def _bind_given(
    inputs: Mapping[str, ValueInfoProto], shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]
) -> dict[str, int]:
    given = dict(dims)
    for name, shape in shapes.items():
        type_ = inputs[name].type
        if not type_.HasField("tensor_type"):
            raise InputError(f"input '{name}' is a sequence or an optional: it has no shape")
        if not type_.tensor_type.HasField("shape"):
            continue
        declared = _dims(type_)
        if len(declared) != len(shape):
            raise InputError(f"input '{name}' has {len(declared)} dims, the shape given has {len(shape)}: {_text(shape)}")
        for index, (dim, size) in enumerate(zip(declared, shape, strict=True)):
            if dim.HasField("dim_value") and dim.dim_value != size:
                raise InputError(f"dim {index} of input '{name}' is fixed at {dim.dim_value} in the model, {size} was given")
            if _is_symbol(dim) and given.setdefault(dim.dim_param, size) != size:
                raise InputError(f"dim '{dim.dim_param}' was given as {given[dim.dim_param]} and, by '{name}', as {size}")
    for name, size in [*given.items(), *((name, size) for name, shape in shapes.items() for size in shape)]:
        if size < 0:
            raise InputError(f"'{name}' was given the size {size}: a dim is 0 or more")
    return given


def _text(shape: Sequence[int | str]) -> str:
    return "x".join(map(str, shape)) or "scalar"


def _is_total(name: str) -> bool:
    """Whether the name is one like total_sequence_length."""
    _, total, rest = name.lower().partition("total")
    return bool(total) and "seq" in rest


def _is_part(name: str) -> bool:
    """Whether the dim is one of those that a total sequence length is the sum of."""
    lower = name.lower()
    return "seq" in lower and "total" not in lower and "max" not in lower


def _assume_symbol(name: str, source: ValueInfoProto, axis: int, known: Mapping[str, int], lengths: int) -> BoundDim:
    """The value of a symbol whose first place is the ``axis`` of ``source``; ``lengths`` is what a total is the sum of."""
    value = _evaluate(name, known)
    if value is None and _is_total(name):
        value = lengths or None
    if value is None:
        value = next((size for pattern, size in _ROLES_BY_NAME if re.search(pattern, name)), None)
    if value is None:
        value = _by_position(source, axis)
    return BoundDim(name, value, "assumed", option_text("--dim", name))


_ARITHMETIC: Mapping[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.floordiv,
}


def _evaluate(text: str, known: Mapping[str, int]) -> int | None:
    """The value of a dim written as an expression of others, as in ``past_sequence_length + 1``; None if it is none."""

    def value(node: ast.expr) -> int:
        match node:
            case ast.BinOp(left, op, right):
                return _ARITHMETIC[type(op)](value(left), value(right))
            case ast.Name(name):
                return known[name]
            case ast.Constant(int(number)):
                return number
        raise KeyError(text)

    if len(text) > LONGEST_EXPRESSION:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # what Python would advise the author of such a line
            result = value(ast.parse(text, mode="eval").body)
    except (SyntaxError, KeyError, ZeroDivisionError, RecursionError, ValueError, MemoryError):
        return None
    return result if 0 <= result < 2**62 else None


def _by_position(value: ValueInfoProto, index: int) -> int:
    """The usual size of a dim that its name says nothing of."""
    sizes = [dim.dim_value if dim.HasField("dim_value") else None for dim in _dims(value.type)]
    rank, is_integer = len(sizes), value.type.tensor_type.elem_type in (6, 7)  # int32, int64
    if index == 0 and not (rank == 3 and sizes[0] in _CHANNEL_COUNTS):
        return 1
    image_at = {4: (1, 2) if sizes[-1] in _CHANNEL_COUNTS else (2, 3), 3: (1, 2) if sizes[0] in _CHANNEL_COUNTS[1:] else ()}
    if index in image_at.get(rank, ()):
        return IMAGE_SIDE
    is_state = rank == 3 and (sizes[0] not in (None, 1) or re.search(_STATE, value.name))
    is_sequence = index == 1 and ((rank == 2 and is_integer) or (rank == 3 and sizes[2] is not None and not is_state))
    return SEQUENCE_LENGTH if is_sequence else DEFAULT


def _write(value: ValueInfoProto, bound: Mapping[str, BoundDim], shape: Sequence[int] | None) -> list[BoundDim]:
    """Writes the values into the dims of one input; returns the dims that had neither a value nor a name."""
    tensor, unnamed = value.type.tensor_type, []
    if shape is not None and not tensor.HasField("shape"):
        for size in shape:
            tensor.shape.dim.add().dim_value = size
        option = option_text("--shape", value.name, "…")
        return [BoundDim(f"{value.name}[{i}]", size, "given", option, ((value.name, i),)) for i, size in enumerate(shape)]
    for index, dim in enumerate(tensor.shape.dim):
        if dim.HasField("dim_value"):
            continue
        if dim.dim_param:
            dim.dim_value = bound[dim.dim_param].value
            continue
        size, source = (shape[index], "given") if shape is not None else (_by_position(value, index), "assumed")
        unnamed.append((index, size, source))
    for index, size, _ in unnamed:
        tensor.shape.dim[index].dim_value = size
    assumed = {index for index, _, source in unnamed if source == "assumed"}
    sizes = ["N" if index in assumed else dim.dim_value for index, dim in enumerate(tensor.shape.dim)]
    option = option_text("--shape", value.name, _text(sizes))
    return [BoundDim(f"{value.name}[{index}]", size, source, option, ((value.name, index),)) for index, size, source in unnamed]


def describe_assumptions(dims: Sequence[BoundDim]) -> str:
    """The end of a message: which dims were assumed, and the options that replace them."""
    assumed = [dim for dim in dims if dim.source == "assumed"]
    if not assumed:
        return ""
    values = ", ".join(f"{dim.name} = {dim.value}" for dim in assumed[:SHOWN])
    options = " ".join(dict.fromkeys(dim.option for dim in assumed[:SHOWN]))
    if len(assumed) > SHOWN:
        values += f" and {len(assumed) - SHOWN} others"
    return f". Assumed were {values}; give what fits with {options}"


def make_given_values(inputs: Sequence[ValueInfoProto], values: Mapping[str, Any]) -> dict[str, TensorProto]:
    """The user's values as tensors of the inputs' types."""
    types = {info.name: info.type for info in inputs}
    tensors = {}
    for name, value in values.items():
        if name not in types:
            hint = did_you_mean(name, types) or f": it has {', '.join(map(repr, types)) or 'none'}"
            raise InputError(f"the model has no input '{name}'{hint}")
        if types[name].HasField("tensor_type"):
            tensors[name] = _tensor(name, value, types[name].tensor_type.elem_type)
    return tensors


def _tensor(name: str, value: Any, element_type: int) -> TensorProto:
    import numpy as np
    from onnx.helper import tensor_dtype_to_np_dtype
    from onnx.numpy_helper import from_array

    try:
        given, wanted = np.asarray(value), np.dtype(tensor_dtype_to_np_dtype(element_type))
        # Infinity as an integer, or 300 as one of 8 bits, would become any other number.
        if wanted.kind in "iu" and given.dtype.kind in "iuf" and given.size:
            limits = np.iinfo(wanted)
            if not (limits.min <= given.min() and given.max() <= limits.max):
                raise ValueError(f"{wanted} has numbers from {limits.min} to {limits.max}")
        with np.errstate(over="raise"):
            return from_array(given.astype(wanted), name)
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise InputError(f"the value given for input '{name}' does not fit its type: {error}") from None


def fill_containers(
    inputs: Sequence[Value], values: Mapping[str, Any], dims: Mapping[str, int]
) -> tuple[list[BoundDim], Mapping[str, int]]:
    """Puts tensors into the inputs that are sequences or optionals: those given, else for a sequence one, as an assumption.

    Returns what the lengths are, and the dims less those of the user's that were lengths (``--dim NAME.length=3``).
    """
    lengths: list[BoundDim] = []
    rest = dict(dims)
    for value in inputs:
        kind = value.type.WhichOneof("value") if value.type is not None else None
        if value.type is None or kind not in ("sequence_type", "optional_type"):
            continue
        name, inner = f"{value.name}.length", getattr(value.type, kind).elem_type
        given = values.get(value.name)
        if kind == "optional_type":
            value.content = _make_value(value.name, inner, given) if given is not None else None
            continue
        asked = rest.pop(name, None)
        count = asked if given is None else len(given)
        if count is not None and count > MANY:
            raise InputError(f"'{name}' was given as {count}: a sequence is followed up to {MANY} tensors")
        source = "assumed" if count is None else "given"
        lengths.append(BoundDim(name, 1 if count is None else count, source, option_text("--dim", name)))
        items = given if given is not None else [None] * lengths[-1].value
        value.elements = tuple(_make_value(f"{value.name}[{index}]", inner, item) for index, item in enumerate(items))
        value.is_shaped = all(element.is_shaped for element in value.elements)
    return lengths, rest


def _make_value(name: str, type_: TypeProto, given: Any) -> Value:
    """A value of the type; of a tensor or a list of them that was given, its type and its elements."""
    if given is not None and type_.HasField("tensor_type"):
        return known_value(name, _tensor(name, given, type_.tensor_type.elem_type))
    value = Value(name)
    value.learn(type_)
    if given is not None and type_.HasField("sequence_type"):
        value.elements = tuple(
            _make_value(f"{name}[{index}]", type_.sequence_type.elem_type, item) for index, item in enumerate(given)
        )
    return value


def merge_given_shapes(
    inputs: Sequence[ValueInfoProto], given: Mapping[str, TensorProto], shapes: Mapping[str, Sequence[int]]
) -> dict[str, Sequence[int]]:
    """``shapes`` with those of the values; a single number fits any input of one element.

    Raises InputError for a value of another shape than the model or ``shapes`` have.
    """
    found = dict(shapes)
    for info in inputs:
        if (tensor := given.get(info.name)) is None:
            continue
        shape = info.type.tensor_type.shape
        if len(tensor.dims) < len(shape.dim) and all(size == 1 for size in tensor.dims):
            del tensor.dims[:]
            tensor.dims.extend([1] * len(shape.dim))
        declared = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in shape.dim]
        fits = len(declared) == len(tensor.dims) and all(d in (None, t) for d, t in zip(declared, tensor.dims, strict=False))
        if info.type.tensor_type.HasField("shape") and not fits:
            raise InputError(
                f"the value given for input '{info.name}' has the shape {list(tensor.dims)}, the model has {declared}"
            )
        if list(found.setdefault(info.name, tuple(tensor.dims))) != list(tensor.dims):
            raise InputError(
                f"input '{info.name}' was given the shape {list(found[info.name])} and a value of {list(tensor.dims)}"
            )
    return found


T = TypeVar("T")


class InputNames(NamedTuple):
    """The inputs of a model, and the symbols of its dims, lengths of sequences among them."""

    inputs: frozenset[str]
    dims: frozenset[str]


def select_known(source: ModelSource, given: Mapping[str, Mapping[str, T]]) -> dict[str, dict[str, T]]:  # type: ignore[valid-type]
    """What of ``given`` the model has a name for: in "dims" that of a dim, in what else there is that of an input."""
    inputs, dims = input_names(source)
    return {
        kind: {name: said for name, said in each.items() if name in (dims if kind == "dims" else inputs)}
        for kind, each in given.items()
    }


def input_names(source: ModelSource) -> InputNames:  # type: ignore[valid-type]
    """The names in the model at ``source``; raises as ``read_skeleton`` does."""
    graph = read_skeleton(source).model.graph
    stored = {tensor.name for tensor in graph.initializer}
    inputs = [value for value in graph.input if value.name not in stored]
    symbols = {dim.dim_param for value in inputs for dim in value.type.tensor_type.shape.dim if dim.dim_param}
    lengths = {f"{value.name}.length" for value in inputs if value.type.HasField("sequence_type")}
    return InputNames(frozenset(value.name for value in inputs), frozenset(symbols | lengths))
