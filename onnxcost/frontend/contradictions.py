"""Nodes that cannot exist with their input shapes: those that onnx's inference rejects, and those that it accepts or crashes
on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import permutations
from math import prod
from typing import TYPE_CHECKING

from onnxcost.errors import ModelError
from onnxcost.frontend.constant_folding import fold_value
from onnxcost.frontend.values import MAX_RANK, Step, Value, array_of
from onnxcost.operators.inputs import places_of
from onnxcost.operators.traits import CASTS, CONVOLUTIONS, POOLS, PRODUCTS, RECURRENT, VIEWS

if TYPE_CHECKING:
    from onnxcost.frontend.stored_graphs import StoredNode


class Contradiction(ModelError):
    """A node that cannot exist with its input shapes.

    ``step`` is that node, with ``pairs`` of the sizes that it gets and expects. ``node``, at ``position`` in the order of
    execution, is the graph's node that it is or that contains it. Its input must have a multiple of the ``factors`` elements.
    """

    def __init__(self, message: str, step: Step | None = None, pairs: Sequence[tuple[int, int]] = ()) -> None:
        super().__init__(message)
        self.step, self.pairs = step, pairs
        wanted = _wanted(step, "shape") if step is not None and step.node.op_type == "Reshape" else ()
        self.factors = tuple(size for size in wanted if 1 < size < 2**16)[:_MOST_PAIRS]
        self.node: StoredNode | None = None
        self.position = 0


def check_reshape(step: Step) -> None:
    """onnx's inference accepts a target shape with another number of elements than the input."""
    if step.node.op_type != "Reshape" or step.inputs[0] is None or step.outputs[0] is None:
        return
    before, after = step.inputs[0], step.outputs[0]
    if before.is_shaped and after.is_shaped and prod(before.dims or ()) != prod(after.dims or ()):  # type: ignore[arg-type]
        refuse_contradiction(step, f"{prod(before.dims or ())} elements cannot be reshaped to {list(after.dims or ())}")  # type: ignore[arg-type]


_POSITIONS = frozenset({"axis", "axes", "perm", "batch_dims", "batch_axis", "time_axis", "scan_input_axes", "scan_output_axes"})


def check_positions(step: Step) -> None:
    """Attributes that name dims or count outputs: onnx's inference trusts some, and crashes on a dim that no tensor has."""
    count = step.attributes.get("num_outputs")
    if count is not None and count.i != len(step.outputs):
        outputs = f"{len(step.outputs)} outputs, but its num_outputs is {count.i}"
        raise Contradiction(f"node '{step.name}' ({step.node.op_type}) is invalid: it has {outputs}")
    first = step.inputs[0].dims if step.inputs and step.inputs[0] is not None else None
    rank = len(first) if first is not None and step.node.op_type == "LayerNormalization" else MAX_RANK
    order = step.attributes["perm"].ints if step.node.op_type == "Transpose" and "perm" in step.attributes else ()
    if first is not None and order and len(order) != len(first):
        refuse_contradiction(step, f"its perm has {len(order)} dims, its input {len(first)}")
    for name in _POSITIONS & step.attributes.keys():
        attribute = step.attributes[name]
        for position in (*attribute.ints[:], attribute.i):
            if not -rank <= position < max(rank, 1):
                raise Contradiction(f"node '{step.name}' ({step.node.op_type}) is invalid: its {name} names dim {position}")


_SLIDING = CONVOLUTIONS | POOLS


def _weight_of(step: Step) -> Value | None:
    return next((step.inputs[place] for place in places_of(step.node.op_type, "weight") if place < len(step.inputs)), None)


def check_window(step: Step) -> None:
    """onnx's inference accepts a window that is larger than its input."""
    if step.node.op_type not in _SLIDING or not step.inputs or step.inputs[0] is None or step.outputs[0] is None:
        return
    attributes = {name: attribute.ints[:] for name, attribute in step.attributes.items()}
    weight = _weight_of(step)
    dims = step.inputs[0].dims or ()
    kernel = attributes.get("kernel_shape") or (list(weight.dims[2:]) if weight is not None and weight.dims else [])
    rank = len(dims) - 2
    pads = attributes.get("pads") or [0] * (2 * rank)
    dilations = attributes.get("dilations") or [1] * rank
    pads_itself = "auto_pad" in step.attributes and step.attributes["auto_pad"].s.startswith(b"SAME")
    if pads_itself or not step.inputs[0].is_shaped or not len(kernel) == rank == len(dilations) == len(pads) // 2:
        return
    for axis, (size, length, dilation) in enumerate(zip(dims[2:], kernel, dilations, strict=True)):
        window, room = (length - 1) * dilation + 1, size + pads[axis] + pads[axis + rank]
        if window > room and size:
            refuse_contradiction(step, f"a window of {window} does not fit in the {room} of dim {axis + 2}, including padding")


def check_channels(step: Step) -> None:
    """onnx's inference does not compare a convolution's weight with its input."""
    kernel = _weight_of(step) if step.node.op_type in CONVOLUTIONS else None
    if kernel is None or step.inputs[0] is None:
        return
    given, weight = step.inputs[0].dims or (), kernel.dims or ()
    group = step.attributes["group"].i if "group" in step.attributes else 1
    if len(given) < 3 or not weight:
        return
    if len(weight) != len(given):
        refuse_contradiction(step, f"its weight has {len(weight)} dims, but its input has {len(given)}")
    elif isinstance(weight[1], int) and isinstance(given[1], int) and given[1] != group * weight[1]:
        message = f"its weight is for {group * weight[1]} channels, not {given[1]}"
        refuse_contradiction(step, message, [(given[1], group * weight[1])])


_NORM, _RECURRENT = ((0, 1, 1, 0),), ((0, 2, 1, 2), (5, 0, 1, 0), (5, 1, 0, 1), (5, 2, 2, 2))
_EQUAL: Mapping[str, tuple[tuple[int, int, int, int], ...]] = {
    "ConvTranspose": ((0, 1, 1, 0),),
    "BatchNormalization": _NORM,
    "InstanceNormalization": _NORM,
    "LSTM": (*_RECURRENT, (6, 0, 1, 0), (6, 1, 0, 1), (6, 2, 2, 2)),
    "GRU": _RECURRENT,
    "RNN": _RECURRENT,
    "LayerNormalization": ((0, -1, 1, -1),),
    "RMSNormalization": ((0, -1, 1, -1),),
    "com.microsoft.Attention": ((0, 2, 1, 0),),
    "SimplifiedLayerNormalization": ((0, -1, 1, -1),),
    "com.microsoft.SkipLayerNormalization": ((0, -1, 2, -1),),
    "com.microsoft.SkipSimplifiedLayerNormalization": ((0, -1, 2, -1),),
}
"""Dims that must be equal, which nothing else checks: an input and its axis, another input and its axis."""
_RANKS: Mapping[str, int] = dict.fromkeys(RECURRENT | {"com.microsoft.Attention"}, 3)
"""The rank that the first input must have for that; inference itself reports another one."""


def check_equal_dims(step: Step, opsets: Mapping[str, int]) -> None:
    """Dims that must be equal, which inference does not check."""
    key = f"{step.domain}.{step.node.op_type}" if step.domain else step.node.op_type
    dims = step.inputs[0].dims if step.inputs and step.inputs[0] is not None else None
    if _number(step, "layout", 0) == 0 and (key not in _RANKS or (dims is not None and len(dims) == _RANKS[key])):
        for index, axis, other, other_axis in _EQUAL.get(key, ()):
            against = step.inputs[other] if other < len(step.inputs) else None
            is_open = against is not None and not against.is_constant
            _compare(step, index, axis, _size(step, other, other_axis), is_open=is_open)
    if key == "PRelu":
        for axis, size in enumerate(reversed(step.inputs[1].dims or ()) if step.inputs[1] is not None else (), start=1):
            if size != 1:
                _compare(step, 0, -axis, size if isinstance(size, int) else None)
    if key == "Einsum":
        _check_labels(step)
    if key == "com.microsoft.MatMulNBits" and "K" in step.attributes:
        _compare(step, 0, -1, step.attributes["K"].i)
    if key in _CACHES and "num_heads" in step.attributes:
        _check_cache(step, _CACHES[key])
    for axis, factor in _multiples(step) if key != "Split" else ():  # of Split inference checks it
        if (size := _size(step, 0, axis)) is not None and factor > 0 and size % factor:
            refuse_contradiction(step, f"dim {axis} of its input is {size}, but must be a multiple of {factor}")
    if key == "Gather" and _number(step, "axis", 0) == 0 and len(step.inputs) > 1 and step.inputs[1] is not None:
        rows, end = _size(step, 0, 0), _range_end(step.inputs[1], opsets)
        if rows is not None and end is not None and end > rows:
            refuse_contradiction(step, f"it looks up {end} positions in a table of {rows}", [(end, rows)])


def _multiples(step: Step) -> list[tuple[int, int]]:
    """Axes of the first input, and what their sizes have to be multiples of."""
    match step.node.op_type if not step.domain else "":  # other domains may have their channels last
        case "Split" if len(step.inputs) == 1 and "split" not in step.attributes:
            return [(_number(step, "axis", 0), len(step.outputs))]
        case "SpaceToDepth":
            return [(axis, _number(step, "blocksize", 1)) for axis in (2, 3)]
        case "DepthToSpace":
            return [(1, _number(step, "blocksize", 1) ** 2)]
        case "GroupNormalization":
            return [(1, _number(step, "num_groups", 1))]
    return []


def _check_labels(step: Step) -> None:
    """A label of Einsum has one size: that of a constant, if a constant has the label."""
    equation = step.attributes["equation"].s.decode(errors="replace") if "equation" in step.attributes else ""
    terms = equation.partition("->")[0].replace(" ", "").split(",")
    if "." in equation or len(terms) != len(step.inputs):
        return
    order = sorted(range(len(terms)), key=lambda index: (value := step.inputs[index]) is None or not value.is_constant)
    sizes: dict[str, int] = {}
    for index in order:
        for axis, label in enumerate(terms[index]):
            size = _size(step, index, axis)
            if size is not None:
                _compare(step, index, axis, sizes.setdefault(label, size))


_CACHES: Mapping[str, int] = {"com.microsoft.GroupQueryAttention": 3, "com.microsoft.MultiHeadAttention": 6}
"""The input with the cached keys, (batch, heads, length, size of a head); the next one has the values."""


def _check_cache(step: Step, position: int) -> None:
    heads, width = step.attributes["num_heads"].i, _size(step, 0, 2)
    kept = _number(step, "kv_num_heads", heads)
    if heads <= 0 or width is None:
        return
    is_packed = len(step.inputs) < 2 or step.inputs[1] is None
    size = width // (heads + 2 * kept if is_packed else heads)
    bits = _number(step, "kv_cache_bit_width", 0)
    size = size * bits // 8 if 0 < bits < 8 else size  # several elements in one of uint8
    for index in (position, position + 1):
        _compare(step, index, 0, _size(step, 0, 0))
        _compare(step, index, 1, kept)
        _compare(step, index, 3, size)


def _number(step: Step, name: str, default: int) -> int:
    return step.attributes[name].i if name in step.attributes else default


def _size(step: Step, index: int, axis: int) -> int | None:
    value = step.inputs[index] if index < len(step.inputs) else None
    dims = value.dims if value is not None else None
    size = dims[axis] if dims is not None and -len(dims) <= axis < len(dims) else None
    return size if isinstance(size, int) else None


def _compare(step: Step, index: int, axis: int, wanted: int | None, *, is_open: bool = False) -> None:
    """``is_open``: the expected size may change as well."""
    got = _size(step, index, axis)
    if got is not None and wanted is not None and got != wanted:
        text = f"dim {axis} of its input {index} is {got}, but must be {wanted}"
        pairs = [(got, wanted), *([(wanted, got)] if is_open else [])]
        raise Contradiction(f"node '{step.name}' ({step.node.op_type}) is invalid: {text}", step, pairs)


def _range_end(value: Value, opsets: Mapping[str, int]) -> int | None:
    """One more than the last number of a Range, also after nodes that reshape it or add a number; None for other values."""
    added = 0
    for _ in range(8):
        step = (value.same_as or value).folds_from
        numbers = array_of(value.tensor) if value.tensor is not None and not value.is_constant else None
        if numbers is not None and numbers.size and numbers.dtype.kind == "i":
            return int(numbers.max()) + 1 + added
        if step is None or not step.inputs or step.inputs[0] is None:
            return None
        if step.node.op_type == "Range" and len(step.inputs) > 1 and step.inputs[1] is not None:
            limit = fold_value(step.inputs[1], opsets)
            array = array_of(limit) if limit is not None else None
            return int(array.ravel()[0]) + added if array is not None and array.size == 1 else None
        if step.node.op_type == "Add" and len(step.inputs) > 1 and step.inputs[1] is not None:
            offset = fold_value(step.inputs[1], opsets)
            array = array_of(offset) if offset is not None else None
            if array is None or array.size != 1:
                return None
            added += int(array.ravel()[0])
        elif step.node.op_type not in VIEWS | CASTS | {"Expand"}:
            return None
        value = step.inputs[0]
    return None


def check_sizes(step: Step) -> None:
    """onnx's inference and rules give sizes below 0 if inputs do not fit: a frame longer than its signal, negative pads."""
    for output in step.outputs:
        if output is None or output.is_shaped or output.dims is None or output.type is None:
            continue
        for position, dim in enumerate(output.type.tensor_type.shape.dim):
            if dim.dim_value < 0:
                refuse_contradiction(step, f"dim {position} of '{output.name}' would be {dim.dim_value}")


def refuse_contradiction(step: Step, message: str, pairs: Sequence[tuple[int, int]] = ()) -> None:
    """An inference that fails although it knew all shapes has found a contradiction; one that lacked data has not. Containers
    of tensors have no shape: a Loop may carry a sequence although its body declares an optional one.
    """
    lacks_data = any(v is not None and (v.dims is None or not v.is_shaped or v.is_bound) for v in step.inputs)
    lacks_data = lacks_data or "xternal" in message
    if lacks_data:
        return
    what = " ".join(message.replace("[ShapeInferenceError]", "").replace("[TypeInferenceError]", "").split())
    reads = ", ".join(f"{value.name} {list(value.dims or ())}" for value in step.inputs if value is not None)
    raise Contradiction(
        f"node '{step.name}' ({step.node.op_type}) is invalid: {what} (it reads {reads})", step, pairs or mismatches(step)
    )


def mismatches(step: Step) -> list[tuple[int, int]]:
    """Pairs of a size that such a node gets and one that it may expect: a size of a constant, or of another input."""
    shapes = [
        ([dim for dim in value.dims if isinstance(dim, int)], value.is_constant)
        for value in step.inputs[:_MOST_PAIRS]
        if value is not None and value.dims
    ]
    pairs: dict[tuple[int, int], None] = {}
    operator = step.node.op_type
    if operator == "Expand" and shapes:
        expanded = zip(reversed(_wanted(step, "shape")), reversed(shapes[0][0]), strict=False)
        unlike = [pair for pair in expanded if pair[0] != pair[1] and min(pair) > 1]
        return [*unlike, *(pair[::-1] for pair in unlike)]
    if operator == "Reshape" and shapes:
        pairs.update(dict.fromkeys(_elements(step, prod(shapes[0][0]))))
    for axis, factor in _multiples(step):
        size = _size(step, 0, axis)
        if size is not None and factor > 0 and size % factor:
            pairs.update(((size, factor * times), None) for times in (-(-size // factor), size // factor) if times > 0)
    pieces = _wanted(step, "split") if operator == "Split" else []
    if pieces and (size := _size(step, 0, _number(step, "axis", 0))) is not None:
        pairs[size, sum(pieces)] = None
    if operator in _SLIDING and shapes:
        window = next((list(a.ints) for name, a in step.attributes.items() if name == "kernel_shape"), shapes[-1][0][2:])
        pairs.update(((room, size), None) for room, size in zip(shapes[0][0][2:], window, strict=False) if room < size)
    for (index, (mine, is_mine)), (other, (theirs, is_theirs)) in permutations(enumerate(shapes), 2):
        if is_mine:  # which does not depend on the sizes of inputs
            continue
        aligned = [*zip(reversed(mine), reversed(theirs), strict=False), *zip(mine, theirs, strict=False)]
        if operator == "Gemm":
            aligned = [(mine[-1], theirs[-1 if _number(step, "transB", 0) else 0])] if (index, other) == (0, 1) else []
        elif operator in PRODUCTS and index < other:
            aligned = [(mine[-1], theirs[-2] if len(theirs) > 1 else theirs[-1]), (mine[-1], theirs[-1])]
        elif operator.startswith("Conv") and is_theirs:
            aligned = [(mine[1], size) for size in theirs[:2] if len(mine) > 1]
        pairs.update(((got, wanted), None) for got, wanted in aligned if got != wanted)
    return list(pairs)[:_MOST_PAIRS]


_MOST_PAIRS = 12


def _wanted(step: Step, name: str) -> list[int]:
    """The known target sizes of a Reshape, Expand or Split: an attribute of this name in old models, else the second input."""
    if name in step.attributes:
        return list(step.attributes[name].ints)
    target = step.inputs[1] if len(step.inputs) > 1 else None
    array = array_of(target.tensor) if target is not None and target.tensor is not None else None
    return array.ravel().tolist() if array is not None and array.dtype.kind in "iu" else []


def _elements(step: Step, got: int) -> list[tuple[int, int]]:
    """A Reshape's input size, and the elements of its target, or what they must be a multiple of."""
    sizes = _wanted(step, "shape")
    dims = step.inputs[0].dims if step.inputs[0] is not None else None
    whole = [dims[i] if not size and dims and i < len(dims) else size for i, size in enumerate(sizes)]
    wanted = prod(size for size in whole if isinstance(size, int) and size != -1)
    if wanted <= 0 or wanted == got:
        return []
    if -1 not in sizes:
        return [(got, wanted)]
    return [(got, wanted * times) for times in (-(-got // wanted), got // wanted) if times > 0 and wanted * times != got]
