"""Permutations of a value's axes, and how an operator changes if its input is transposed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from math import prod

from onnxcost.graph import Dim, Node
from onnxcost.operators.traits import REDUCTIONS, SOFTMAXES
from onnxcost.ort_optimizer.splits import axes_constant

Perm = tuple[int, ...]
"""For each axis of the output, the axis of the input."""


def split_dims(source: Sequence[int], made: Sequence[int]) -> list[list[int]] | None:
    """The axes of the output into which a Reshape splits each axis of its input; None if it does not only split dims."""
    axes = iter(range(len(made)))
    groups: list[list[int]] = []
    for dim in source:
        group: list[int] = []
        while prod(made[axis] for axis in group) != dim or not group:
            axis = next(axes, None)
            if axis is None:
                return None
            group.append(axis)
        groups.append(group)
    return groups if next(axes, None) is None else None


def reshape_as_perm(source: Sequence[int], made: Sequence[int]) -> Perm | None:
    """The permutation that a Reshape is, if it only moves dims of 1; otherwise None."""
    left = list(source)
    found = []
    for wanted in made:
        place = next((place for place, dim in enumerate(left) if dim == wanted or (dim not in (1, -1) and wanted != 1)), None)
        if place is None or left[place] != wanted:
            return None
        found.append(place)
        left[place] = -1
    return tuple(found) if len(found) == len(left) else None


def invert(perm: Perm) -> Perm:
    """The inverse permutation."""
    return tuple(sorted(range(len(perm)), key=perm.__getitem__))


def compose(first: Perm, second: Perm) -> Perm:
    """One permutation after the other."""
    return tuple(first[place] for place in second)


def permute(dims: Sequence[Dim], perm: Perm) -> tuple[Dim, ...]:
    """The permuted dims."""
    return tuple(dims[place] for place in perm)


def _squeeze(perm: Perm, axes: Iterable[int]) -> Perm:
    """The permutation of the remaining axes without these axes of the input."""
    gone = set(axes)
    kept = [place for place in range(len(perm)) if place not in gone]
    return tuple(kept.index(place) for place in perm if place not in gone)


def _unsqueeze(perm: Perm, axes: Iterable[int]) -> Perm:
    """The permutation with added axes, which stay where they are."""
    added = set(axes)
    rest = [place for place in range(len(perm) + len(added)) if place not in added]
    moved = iter(rest[place] for place in perm)
    return tuple(place if place in added else next(moved) for place in range(len(perm) + len(added)))


Pushed = tuple[Node, Perm] | None
"""A node for the transposed input, and how its outputs are then transposed; None if that cannot be."""


def _along_axis(node: Node, perm: Perm, default: int) -> Pushed:
    axis = int(node.attributes.get("axis", default)) % len(perm)
    return replace(node, attributes={**node.attributes, "axis": perm[axis]}), perm


def _given_axes(node: Node) -> list[int] | None:
    """The axes of an attribute or a constant; None if unknown, [] if there are none."""
    given = node.input(1)
    if given is None:
        return [int(axis) for axis in node.attributes.get("axes") or ()]
    return [int(axis) for axis in given.value] if given.is_constant and given.value is not None else None


def _with_axes(node: Node, axes: Sequence[int]) -> Node:
    inputs = node.inputs if node.input(1) is None else (node.inputs[0], axes_constant(*axes), *node.inputs[2:])
    return replace(node, inputs=inputs, attributes={**node.attributes, "axes": tuple(axes)})


def _reduce(node: Node, perm: Perm) -> Pushed:
    axes, keeps = _given_axes(node), bool(node.attributes.get("keepdims", 1))
    if axes is None:
        return None
    if not axes:
        return node, perm if keeps or node.attributes.get("noop_with_empty_axes") else ()
    moved = sorted(perm[axis % len(perm)] for axis in axes)
    return _with_axes(node, moved), perm if keeps else _squeeze(perm, moved)


def _drop(node: Node, perm: Perm) -> Pushed:
    axes = _given_axes(node)
    if not axes:
        return None
    moved = sorted(perm[axis % len(perm)] for axis in axes)
    return _with_axes(node, moved), _squeeze(perm, moved)


def _insert(node: Node, perm: Perm) -> Pushed:
    axes = _given_axes(node)
    return (axes and (node, _unsqueeze(perm, [axis % (len(perm) + len(axes)) for axis in axes]))) or None


def _find_extreme(node: Node, perm: Perm) -> Pushed:
    axis = perm[int(node.attributes.get("axis", 0)) % len(perm)]
    moved = replace(node, attributes={**node.attributes, "axis": axis})
    return moved, perm if node.attributes.get("keepdims", 1) else _squeeze(perm, [axis])


def _gather(node: Node, perm: Perm) -> Pushed:
    """With one index for all, or none of the output's axes of its own."""
    rank = node.required(1).rank
    if rank > 1:
        return None
    axis = perm[int(node.attributes.get("axis", 0)) % len(perm)]
    return replace(node, attributes={**node.attributes, "axis": axis}), perm if rank else _squeeze(perm, [axis])


def _slice(node: Node, perm: Perm) -> Pushed:
    given, starts = node.input(3), node.input(1)
    if starts is None:  # before opset 10
        axes = node.attributes.get("axes") or range(len(node.attributes.get("starts") or ()))
        return replace(node, attributes={**node.attributes, "axes": tuple(perm[axis % len(perm)] for axis in axes)}), perm
    values = given.value if given is not None else range(starts.size)
    if values is None or (given is not None and not given.is_constant):
        return None
    moved = axes_constant(*(perm[int(axis) % len(perm)] for axis in values))
    return replace(node, inputs=(*node.inputs[:3], moved, *node.inputs[4:])), perm


_UNARY = (
    "Cast Exp Gelu Identity LeakyRelu Log Reciprocal Relu Sigmoid Sqrt Tanh Abs Not Ceil Floor Neg Erf HardSigmoid Round IsInf "
    "IsNaN Selu Shrink Sign Softplus Softsign ThresholdedRelu Celu HardSwish Sin Cos Tan Sinh Cosh Asin Acos Atan Asinh Acosh "
    "Atanh Clip CastLike"
)
BROADCASTING = frozenset(
    {"Add", "Max", "Min", "Mul", "Sub", "Div", "And", "Or", "Xor", "Mod", "PRelu", "BitShift", "Equal", "Greater", "Less"}
    | {"GreaterOrEqual", "LessOrEqual", "Mean", "Sum", "Pow", "Where"}
)
HANDLERS: Mapping[str, Callable[[Node, Perm], Pushed]] = {
    **dict.fromkeys((*_UNARY.split(), *BROADCASTING, "Tile", "Pad"), lambda node, perm: (node, perm)),
    **dict.fromkeys(REDUCTIONS, _reduce),
    **dict.fromkeys(SOFTMAXES, partial(_along_axis, default=-1)),
    **dict.fromkeys(("Concat", "Split"), partial(_along_axis, default=0)),
    **dict.fromkeys(("ArgMin", "ArgMax"), _find_extreme),
    "Gather": _gather,
    "Slice": _slice,
    "Squeeze": _drop,
    "Unsqueeze": _insert,
}
"""How the operators change that a Transpose is moved past."""
