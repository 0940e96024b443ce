"""The values and shapes of inputs and the lengths of sequences that the user gives; hints at assumed dims for messages."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from onnxcost.errors import InputError, did_you_mean
from onnxcost.frontend.bodies import FLOAT, known_value
from onnxcost.frontend.expressions import operands
from onnxcost.frontend.reader import read_skeleton
from onnxcost.frontend.values import MANY, Value, tensor_type
from onnxcost.graph import BoundDim, option_text
from onnxcost.spec import ModelSource, ModelSpec

if TYPE_CHECKING:
    from onnx import GraphProto, TensorProto, TypeProto, ValueInfoProto


SHOWN = 20
"""The most assumed dims that a message names."""


def describe_assumptions(dims: Sequence[BoundDim]) -> str:
    """The end of a message: the assumed dims, and the options that replace them."""
    assumed = [dim for dim in dims if dim.source == "assumed"]
    if not assumed:
        return ""
    values = ", ".join(f"{dim.name} = {dim.value}" for dim in assumed[:SHOWN])
    options = " ".join(dict.fromkeys(dim.option for dim in assumed[:SHOWN]))
    if len(assumed) > SHOWN:
        values += f" and {len(assumed) - SHOWN} others"
    return f". Assumed sizes: {values}; set sizes that fit with {options}"


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
        # Infinity as an integer, or 300 in 8 bits, would become an arbitrary number.
        if wanted.kind in "iu" and given.dtype.kind in "iuf" and given.size:
            limits = np.iinfo(wanted)
            if not (limits.min <= given.min() and given.max() <= limits.max):
                raise ValueError(f"{wanted} allows numbers from {limits.min} to {limits.max}")
        with np.errstate(over="raise"):
            return from_array(given.astype(wanted), name)
    except (ValueError, TypeError, KeyError, ArithmeticError) as error:
        raise InputError(f"the value given for input '{name}' does not fit its type: {error}") from None


def fill_containers(
    inputs: Sequence[Value], values: Mapping[str, Any], dims: Mapping[str, int]
) -> tuple[list[BoundDim], Mapping[str, int]]:
    """Fills the inputs that are sequences or optionals: with the tensors given, else a sequence with one, as an assumption.

    Returns the lengths, and the user's dims without those that were lengths (``--dim NAME.length=3``).
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
    """A value of the type; if a tensor or a list of tensors was given, with its type and elements."""
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
    """``shapes`` and the shapes of the values; a single number fits any input of one element.

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
                f"the value given for input '{info.name}' has the shape {list(tensor.dims)}, but the model declares {declared}"
            )
        if list(found.setdefault(info.name, tuple(tensor.dims))) != list(tensor.dims):
            raise InputError(
                f"input '{info.name}' was given the shape {list(found[info.name])} and a value of {list(tensor.dims)}"
            )
    return found


T = TypeVar("T")


def select_known(spec: ModelSpec) -> ModelSpec:
    """The spec without the shapes, dims, values and input files for which its model has no input or dim of the name; a shape
    without a name stays under that of the input that it fits. Raises as ``read_skeleton`` does.
    """
    if not (spec.shapes or spec.dims or spec.values or spec.inputs):
        return spec
    graph = read_skeleton(spec.source).model.graph
    inputs = fed_inputs(graph)
    names, dims = input_names(inputs)
    shapes = {name: shape for name, shape in spec.shapes.items() if name in names}
    for name, shape in spec.shapes.items():
        if not name and len(fitting := _fitting_inputs(inputs, shape)) == 1:
            shapes.setdefault(fitting[0], shape)
        elif name not in names and name in _made_in(graph):
            shapes[name] = shape
    return replace(
        spec,
        shapes=shapes,
        dims={name: size for name, size in spec.dims.items() if name in dims},
        values={name: value for name, value in spec.values.items() if name in names},
        inputs={name: files for name, files in spec.inputs.items() if name in names},
    )


class InputNames(NamedTuple):
    """The inputs of a model, and the symbols of its dims, lengths of sequences among them."""

    inputs: frozenset[str]
    dims: frozenset[str]


def input_names(inputs: Sequence[ValueInfoProto]) -> InputNames:
    """The names of the inputs and of their dims, with those in expressions."""
    symbols = {dim.dim_param for value in inputs for dim in value.type.tensor_type.shape.dim if dim.dim_param}
    dims = {part for symbol in symbols for part in (symbol, *operands(symbol))}
    dims |= {f"{value.name}.length" for value in inputs if value.type.HasField("sequence_type")}
    return InputNames(frozenset(value.name for value in inputs), frozenset(dims))


def fed_inputs(graph: GraphProto) -> list[ValueInfoProto]:
    """The inputs of a graph without those that only name a stored constant."""
    stored = {tensor.name for tensor in graph.initializer} | {sparse.values.name for sparse in graph.sparse_initializer}
    return [value for value in graph.input if value.name not in stored]


def _made_in(graph: GraphProto) -> set[str]:
    """The outputs of nodes whose operators onnx does not know."""
    from onnx import defs

    return {name for node in graph.node if not defs.has(node.op_type, node.domain) for name in node.output}


def name_shape(source: ModelSource, shapes: Mapping[str, Sequence[int]]) -> dict[str, Sequence[int]]:
    """``shapes``, the one without a name under that of the input that it fits.

    Raises InputError if it fits none or several, and as ``read_skeleton`` does.
    """
    found = {name: shape for name, shape in shapes.items() if name}
    if len(found) == len(shapes):
        return found
    inputs, shape = fed_inputs(read_skeleton(source).model.graph), shapes[""]
    fitting, text = _fitting_inputs(inputs, shape), "x".join(map(str, shape))
    if len(fitting) != 1:
        there = ", ".join(_describe(value) for value in inputs if not fitting or value.name in fitting) or "it has none"
        if fitting:
            raise InputError(f"--shape {text} fits {len(fitting)} inputs: {there}; choose one with --shape INPUT={text}")
        for where, turned in turn_channels(shape):
            if len(names := _fitting_inputs(inputs, turned)) == 1:
                there += describe_layout(where, names[0], turned)
                break
        raise InputError(f"--shape {text} fits no input of the model: {there}")
    if fitting[0] in found:
        raise InputError(f"--shape {text} is for the input '{fitting[0]}', which was also given a shape by name")
    return {**found, fitting[0]: shape}


def turn_channels(shape: Sequence[int]) -> list[tuple[str, tuple[int, ...]]]:
    """A shape with its channels in another axis, after a batch or, for an image, without one: the axis, and the shape."""
    if len(shape) < 3:
        return []
    first, *rest = shape
    behind = [("last", (first, *rest[1:], rest[0])), ("first", (first, rest[-1], *rest[:-1]))]
    return behind if len(shape) > 3 else [*behind, ("last", (*rest, first)), ("first", (rest[-1], first, *rest[:-1]))]


def describe_layout(where: str, name: str, shape: Sequence[int]) -> str:
    """A hint at the shape that an input was meant to have."""
    return f"; its channels come {where}: {option_text('--shape', name, 'x'.join(map(str, shape)))}"


def hint_at_channels(shapes: Mapping[str, Sequence[int]], pairs: Sequence[tuple[int, int]]) -> str:
    """A hint at the layout, if a node gets one dim of a given shape and expects the one in the place of its channels."""
    for name, shape in shapes.items():
        for where, turned in turn_channels(shape):
            channels = turned[-1] if where == "last" else turned[1]
            if any(got in shape and wanted == channels != got for got, wanted in pairs):
                return describe_layout(where, name, turned)
    return ""


def _describe(value: ValueInfoProto) -> str:
    """``'image' (?x3x224x224)``."""
    dims = value.type.tensor_type.shape.dim
    return f"'{value.name}' ({'x'.join(str(dim.dim_value) if dim.dim_value > 0 else '?' for dim in dims) or 'scalar'})"


def _fitting_inputs(inputs: Sequence[ValueInfoProto], shape: Sequence[int]) -> list[str]:
    """The inputs that a shape fits: those with open dims, if there are any; of several with the same symbols, the first."""
    fitting, is_open = [], set()
    for value in inputs:
        tensor = value.type.tensor_type
        sizes = [dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None for dim in tensor.shape.dim]
        has_rank = tensor.HasField("shape")
        if value.type.HasField("tensor_type") and (
            not has_rank or (len(sizes) == len(shape) and all(a in (None, b) for a, b in zip(sizes, shape, strict=True)))
        ):
            fitting.append(value.name)
            if not has_rank or None in sizes:
                is_open.add(value.name)
    fitting = [name for name in fitting if name in is_open] or fitting
    # Inputs of the same symbols have one shape: it is given to the first. Exporters write ``?`` and ``None`` for any size.
    alike = {
        tuple(dim.dim_param or dim.dim_value for dim in value.type.tensor_type.shape.dim)
        for value in inputs
        if value.name in fitting
    }
    is_one = len(alike) == 1 and all(
        dim.isidentifier() and dim != "None" if isinstance(dim, str) else dim > 0 for dim in next(iter(alike)) or ("",)
    )
    return fitting[:1] if is_one else fitting


def split_shapes(
    graph: GraphProto, inputs: Sequence[ValueInfoProto], shapes: Mapping[str, Sequence[int]]
) -> tuple[dict[str, Sequence[int]], dict[str, TypeProto]]:
    """The given shapes of inputs, and of outputs of nodes as types. Unknown names stay with the inputs."""
    names = {value.name for value in inputs}
    others = {name for name in shapes if name not in names}
    others &= _made_in(graph) if others else set()
    types = {info.name: info.type.tensor_type.elem_type for info in (*graph.value_info, *graph.output)} if others else {}
    of_inputs = {name: shape for name, shape in shapes.items() if name not in others}
    return of_inputs, {name: tensor_type(types.get(name) or FLOAT, shapes[name]) for name in others}


def check_fixed(fixed: Mapping[str, TypeProto], values: Mapping[str, Value]) -> list[BoundDim]:
    """The dims of outputs whose shapes were given. Raises InputError if the graph gives another shape."""
    dims = []
    for name, type_ in fixed.items():
        given, found = [dim.dim_value for dim in type_.tensor_type.shape.dim], values[name].dims
        if found is None or list(found) != given:
            raise InputError(f"'{name}' was given the shape {given}, but in the graph it has {list(found or ())}")
        option = option_text("--shape", name, "…")
        dims += [BoundDim(f"{name}[{axis}]", size, "given", option) for axis, size in enumerate(given)]
    return dims
