"""What becomes of a stored tensor: the nodes that really read it, and what follows on such a node."""

from __future__ import annotations

from collections.abc import Iterator
from math import sqrt
from typing import NamedTuple

from onnxcost.formulas.activation import POINTWISE
from onnxcost.formulas.contrib import activation as contrib
from onnxcost.frontend.weights.outline import Outline
from onnxcost.graph import Node, Tensor
from onnxcost.traffic import VIEWS

_SAME_DIMS = frozenset({"Identity", "Dropout", "Cast", "CastLike", "QuantizeLinear", "DequantizeLinear"})
_MOVES = frozenset({"Transpose", "Slice", "Split", "Expand", "Tile", "Pad", "Concat", "DepthToSpace", "SpaceToDepth"})
_HANDS_ON = VIEWS | _SAME_DIMS | _MOVES
"""Operators whose outputs hold elements of their first input; those of Concat hold elements of all."""
_RECTIFIERS = frozenset({"Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Softplus", "Clip", "Max"})
_GATES = frozenset({"Mul", "Gelu"} | POINTWISE.keys() | {name.rpartition(".")[2] for name in contrib.TABLE}) - _RECTIFIERS
_POINTWISE = _RECTIFIERS | _GATES | _HANDS_ON | {"Add", "BatchNormalization"}
_KEPT_BY_GATES = 1 / 1.6
"""What X·σ(X) and the like leave of numbers of variance 1; a rectifier halves their second moment."""
_SHARE = 4
"""By what the end of a residual branch is divided, so that a hundred of them stay in range; twice that where it is never
negative.
"""
_EVEN = frozenset({"Abs", "Pow", "ReduceL1", "ReduceL2", "ReduceSumSquare", "Shape", "Size"})
"""Operators behind which it does not matter how the elements were spread."""
_FAR = 12
"""Nodes behind a contraction that are looked at for what happens to its output."""


class Use(NamedTuple):
    """A node that reads the tensor as its input ``place``, with ``dims`` where they are known. ``decoder`` is what dequantized
    it on the way; ``is_folded`` says that the node computes a constant.
    """

    node: Node
    place: int
    dims: tuple[int, ...] | None
    decoder: Node | None = None
    is_folded: bool = False


def uses_of(tensor: Tensor, outline: Outline) -> Iterator[Use]:
    """The uses of a constant: behind nodes that only move it, and behind arithmetic on constants alone, along with that."""
    dims: tuple[int, ...] | None = tensor.shape
    decoder: Node | None = None
    waiting, seen = [(tensor.name, dims, decoder)], {tensor.name}
    while waiting:
        name, dims, decoder = waiting.pop()
        for node, place in outline.readers.get(name, ()):
            hands_on = node.op_type in _HANDS_ON and (place == 0 or node.op_type == "Concat")
            is_folded = all(each is None or each.is_constant for each in node.inputs)
            if not hands_on:
                yield Use(node, place, dims, decoder, is_folded)
            if hands_on or (is_folded and node.op_type not in _EVEN and not _is_square(node)):
                behind = node if node.op_type == "DequantizeLinear" else decoder
                for output in node.outputs:
                    if output is not None and output.name not in seen:
                        seen.add(output.name)
                        waiting.append((output.name, _dims_behind(node, dims), behind))


def _is_square(node: Node) -> bool:
    return node.op_type == "Mul" and node.inputs[0] == node.inputs[1]


def _dims_behind(node: Node, dims: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if node.op_type == "Transpose" and dims is not None:
        order = node.attributes.get("perm") or range(len(dims))[::-1]
        return tuple(dims[axis] for axis in order) if len(order) == len(dims) else None
    return dims if node.op_type in _SAME_DIMS or node.op_type not in _HANDS_ON else None


class Fate(NamedTuple):
    """What happens to a node's output: by what it is multiplied, and that its logarithm or its root is taken."""

    amplification: float
    is_rooted: bool = False


def fate_of(node: Node, outline: Outline) -> Fate:
    """Of the output of a contraction: rectifiers halve its second moment, normalisations divide it by what was trained."""
    amplification = 1.0
    output = node.outputs[0] if node.outputs else None
    for _ in range(_FAR):
        readers = outline.readers.get(output.name, ()) if output is not None else ()
        if not readers:
            break
        reader, place = readers[0]
        is_coded = node.op_type.endswith("Integer")
        constant = _other_constant(reader, output, outline, in_scale=is_coded)
        if reader.op_type in ("Log", "Sqrt"):
            return Fate(amplification, is_rooted=True)
        if reader.op_type == "BatchNormalization" and place == 0:
            amplification *= _normalisation(reader, outline)
        elif constant is not None:
            amplification *= _rms(constant, outline, 1 if is_coded else 2) if reader.op_type == "Mul" else 1
        elif activations := [each for each, _ in readers if each.op_type in _RECTIFIERS | _GATES]:
            last = next((each for each in activations if each.op_type == "Mul"), activations[0])
            kept = sqrt(1 / 2) if last.op_type in _RECTIFIERS else _KEPT_BY_GATES
            return Fate(amplification * kept * (2 * _SHARE if _is_added(last.outputs[0], outline) else 1))
        elif reader.op_type not in _HANDS_ON:
            return Fate(amplification * (_SHARE if _is_added(output, outline) else 1))
        output = reader.outputs[0]
    return Fate(amplification)


def is_requantized(node: Node, outline: Outline) -> bool:
    """Whether a contraction's output is soon quantized to integers, which saturate: it cannot overflow."""
    output = node.outputs[0] if node.outputs else None
    for _ in range(_FAR):
        readers = outline.readers.get(output.name, ()) if output is not None else ()
        if any(reader.op_type == "QuantizeLinear" for reader, _ in readers):
            return True
        if not readers or readers[0][0].op_type not in _POINTWISE:
            break
        output = readers[0][0].outputs[0]
    return False


def _is_added(output: Tensor | None, outline: Outline) -> bool:
    """Whether it is the end of a residual branch."""
    readers = outline.readers.get(output.name, ()) if output is not None else ()
    sums = [reader.inputs for reader, _ in readers if reader.op_type == "Add"]
    return any(not any(tensor is None or tensor.is_constant for tensor in parts) for parts in sums)


def _other_constant(node: Node, tensor: Tensor | None, outline: Outline, *, in_scale: bool) -> Tensor | None:
    """What else a sum or a product of two is made of, if that is a constant; ``in_scale``: or a constant times something."""
    others = [each for each in node.inputs if each is not None and each != tensor]
    if node.op_type not in ("Add", "Sub", "Mul") or len(others) != 1:
        return None
    maker = outline.makers.get(others[0].name)
    factors = maker.inputs if in_scale and maker is not None and maker.op_type == "Mul" else others
    return next((factor for factor in factors if factor is not None and factor.is_constant), None)


def _normalisation(node: Node, outline: Outline) -> float:
    """What a BatchNormalization multiplies by, as far as its own weights are there."""
    import numpy as np

    scale, variance = outline.array(node.input(1)), outline.array(node.input(4))
    squares = 1.0 if scale is None else scale.astype(float) ** 2
    divisors = 1.0 if variance is None else np.abs(variance.astype(float)) + node.attributes.get("epsilon", 1e-5)
    return _positive(np.sqrt(np.mean(squares / divisors)))


def _rms(tensor: Tensor, outline: Outline, least: int) -> float:
    """Of factors. 1 where they are absent or fewer than ``least``: the single one that attention has, say, belongs there."""
    import numpy as np

    array = outline.array(tensor)
    return _positive(np.sqrt(np.mean(array.astype(float) ** 2))) if array is not None and array.size >= least else 1.0


def _positive(number: float) -> float:
    return float(number) if 1e-6 < number < 1e6 else 1.0
