"""Sequences and optionals: the tensors that they hold, followed from operator to operator as far as they are known."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from onnxcost.frontend.bodies import known_scalar, number_in
from onnxcost.frontend.constant_folding import fold_value
from onnxcost.frontend.values import MANY, Step, Value, array_of, tensor_type

Opsets = Mapping[str, int]
SequenceRule = Callable[[Step, Opsets], None]


def _first(step: Step) -> Value:
    value = step.inputs[0] if step.inputs else None
    return value if value is not None else Value("")


def _elements_of(value: Value | None) -> tuple[Value, ...] | None:
    """The elements of a sequence, None if unknown."""
    return value.elements if value is not None else None


def _set_elements(step: Step, elements: tuple[Value, ...] | None) -> None:
    """Makes the output a sequence of these elements; only tensors are followed."""
    output = step.outputs[0]
    if output is not None and elements is not None and not any(each.elements or each.content for each in elements):
        output.elements = elements
        output.is_shaped = all(element.is_shaped for element in elements)


def _set_type(output: Value | None, source: Value) -> None:
    if output is not None and source.type is not None:
        output.learn_from(source)


def _index(step: Step, position: int, opsets: Opsets) -> int | None:
    """The position in an input; None if the input is absent or its value is not known."""
    return number_in(step.inputs[position], opsets) if position < len(step.inputs) else None


def _insert(step: Step, opsets: Opsets) -> None:
    held, added = _elements_of(_first(step)), step.inputs[1] if len(step.inputs) > 1 else None
    if held is None or added is None:
        return
    at = _index(step, 2, opsets)
    if at is None and len(step.inputs) > 2 and any(value.signature != added.signature for value in held):
        return
    at = len(held) if at is None else at
    _set_elements(step, (*held[:at], added, *held[at:]))


def _erase(step: Step, opsets: Opsets) -> None:
    held = _elements_of(_first(step))
    if not held:
        return
    at = _index(step, 1, opsets)
    if at is None and len(step.inputs) > 1 and len({value.signature for value in held}) > 1:
        return
    at = (at if at is not None else -1) % len(held)
    _set_elements(step, held[:at] + held[at + 1 :])


def _at(step: Step, opsets: Opsets) -> None:
    held = _elements_of(_first(step))
    if not held:
        return
    at = _index(step, 1, opsets)
    if at is not None and -len(held) <= at < len(held):
        _set_type(step.outputs[0], held[at])
    elif at is None and len({value.signature for value in held}) == 1:
        _set_type(step.outputs[0], held[0])


def _set_scalar(output: Value | None, number: int | bool) -> None:
    """Makes the output a known scalar."""
    if output is not None:
        made = known_scalar(output.name, number)
        output.learn_from(made)
        output.tensor = made.tensor


def _length(step: Step, opsets: Opsets) -> None:
    held = _elements_of(_first(step))
    if held is not None:
        _set_scalar(step.outputs[0], len(held))


def _split(step: Step, opsets: Opsets) -> None:
    source = _first(step)
    if not source.is_shaped or source.dims is None or source.type is None or step.outputs[0] is None:
        return
    axis = step.attributes["axis"].i if "axis" in step.attributes else 0
    keeps = step.attributes["keepdims"].i if "keepdims" in step.attributes else 1
    dims = [dim for dim in source.dims if isinstance(dim, int)]
    if not -len(dims) <= axis < len(dims):
        return
    sizes = _split_sizes(step, dims[axis], opsets)
    if sizes is None or len(sizes) > MANY:
        return
    axis %= len(dims)
    has_own_split = len(step.inputs) > 1 and step.inputs[1] is not None
    parts = []
    kinds: dict[int, Value] = {}
    for number, size in enumerate(sizes):
        part = Value(f"{step.outputs[0].name}[{number}]")
        if size in kinds:
            part.learn_from(kinds[size])
            parts.append(part)
            continue
        middle = [size] if keeps or has_own_split else []
        part.learn(tensor_type(source.type.tensor_type.elem_type, [*dims[:axis], *middle, *dims[axis + 1 :]]))
        kinds[size] = part
        parts.append(part)
    _set_elements(step, tuple(parts))


def _split_sizes(step: Step, length: int, opsets: Opsets) -> list[int] | None:
    given = step.inputs[1] if len(step.inputs) > 1 else None
    if given is None:
        return [1] * length if length <= MANY else None
    tensor = fold_value(given, opsets)
    if tensor is None:
        return None
    sizes = array_of(tensor)
    if sizes is None:
        return None
    if sizes.ndim:
        return [int(size) for size in sizes]
    each = int(sizes)
    if each <= 0 or length // each > MANY:
        return None
    return [each] * (length // each) + ([length % each] if length % each else [])


def _concat(step: Step, opsets: Opsets) -> None:
    held, output = _elements_of(_first(step)), step.outputs[0]
    if not held or output is None or not all(value.is_shaped and value.dims is not None for value in held):
        return
    first = held[0]
    dims = [dim for dim in first.dims or () if isinstance(dim, int)]
    is_new = "new_axis" in step.attributes and step.attributes["new_axis"].i == 1
    axis = (step.attributes["axis"].i if "axis" in step.attributes else 0) % ((len(dims) + is_new) or 1)
    if first.type is None:
        return
    if is_new:
        dims.insert(axis, len(held))
    elif axis < len(dims):
        dims[axis] = sum(size for value in held if isinstance(size := (value.dims or ())[axis], int))
    output.learn(tensor_type(first.type.tensor_type.elem_type, dims))
    output.is_bound = any(value.is_bound for value in held)


def _pass_on(step: Step, opsets: Opsets) -> None:
    """Identity passes its input on."""
    source = _first(step)
    if source.elements is not None:
        _set_elements(step, source.elements)
    if step.outputs[0] is not None:
        step.outputs[0].content = source.content


def _optional(step: Step, opsets: Opsets) -> None:
    if step.outputs[0] is not None and step.inputs and step.inputs[0] is not None and step.inputs[0].content is None:
        step.outputs[0].content = step.inputs[0]
        step.outputs[0].is_shaped = step.inputs[0].is_shaped


def _element(step: Step, opsets: Opsets) -> None:
    source = _first(step)
    content = source.content or (source if source.type is not None and not source.type.HasField("optional_type") else None)
    output = step.outputs[0]
    if output is None:
        return
    if content is not None:
        _set_type(output, content)
        _set_elements(step, content.elements)
    elif source.type is not None and source.type.HasField("optional_type"):
        output.learn(source.type.optional_type.elem_type)


def _has_element(step: Step, opsets: Opsets) -> None:
    source = step.inputs[0] if step.inputs else None
    if source is None:
        _set_scalar(step.outputs[0], False)
    elif source.content is not None or (source.type is not None and not source.type.HasField("optional_type")):
        _set_scalar(step.outputs[0], True)


SEQUENCES: Mapping[str, SequenceRule] = {
    "SequenceConstruct": lambda step, opsets: _set_elements(step, tuple(each for each in step.inputs if each is not None)),
    "SequenceEmpty": lambda step, opsets: _set_elements(step, ()),
    "SequenceInsert": _insert,
    "SequenceErase": _erase,
    "SequenceAt": _at,
    "SequenceLength": _length,
    "SplitToSequence": _split,
    "ConcatFromSequence": _concat,
    "Identity": _pass_on,
    "Optional": _optional,
    "OptionalGetElement": _element,
    "OptionalHasElement": _has_element,
}
"""By operator, applied after onnx's own inference, which gives the outputs' types."""
