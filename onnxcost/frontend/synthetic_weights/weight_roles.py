"""The purpose of an absent weight, from the nodes that read it, and from that the distribution of its elements.

The goal is activations with variance near 1 in all layers: without overflows, and without denormal numbers, on which processors
are slow. Trained tensors that are present (scales of normalizations, of quantized weights) are taken into account.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from math import isqrt, prod, sqrt
from typing import NamedTuple

from onnxcost.errors import MISFITS, ModelError
from onnxcost.frontend.synthetic_weights.noise import CODES, Alternating, Filling, Indices, Spread
from onnxcost.frontend.synthetic_weights.outline import Outline
from onnxcost.graph import BITS, Node, Tensor
from onnxcost.operators import traits
from onnxcost.operators.inputs import OUTPUT, RoleName, find_decoder, role_of
from onnxcost.operators.rules import FanIn

_SAME_DIMS = traits.IDENTITIES | traits.CASTS | traits.QUANTIZERS | traits.DEQUANTIZERS
_MOVES = traits.VIEWS | _SAME_DIMS | traits.REARRANGEMENTS
_RECTIFIERS = traits.RECTIFIERS | {"Clip", "Max"}
_GATES = (traits.ACTIVATIONS | {"Mul"}) - _RECTIFIERS
_PASSED = traits.POINTWISE | _MOVES
"""Operators after which a QuantizeLinear still bounds their inputs."""
_KEPT_BY_GATES = 1 / 1.6
"""The second moment after X·σ(X) and similar functions of numbers with variance 1; a rectifier halves it."""
_SHARE = 4
"""The end of a residual branch is divided by this, so that a hundred of them stay in range; by twice this where it is never
negative.
"""
_EVEN = traits.SHAPE_READERS | traits.EVEN
"""Operators whose outputs do not depend on how the elements were distributed."""
_FAR = 12
"""The number of nodes after a contraction that are examined for the uses of its output."""


class WeightUse(NamedTuple):
    """A node that reads the tensor as its input ``place``, with ``dims`` if they are known. ``decoder`` is the node that
    dequantized it before that; ``is_folded`` says that the node computes a constant.
    """

    node: Node
    place: int
    dims: tuple[int, ...] | None
    decoder: Node | None = None
    is_folded: bool = False


def find_weight_uses(tensor: Tensor, outline: Outline) -> Iterator[WeightUse]:
    """The uses of a constant, also after nodes that only move it, and after arithmetic only on constants."""
    dims: tuple[int, ...] | None = tensor.shape
    decoder: Node | None = None
    waiting, seen = [(tensor.name, dims, decoder)], {tensor.name}
    while waiting:
        name, dims, decoder = waiting.pop()
        for node, place in outline.uses.reads(name):
            is_moved = node.key in _MOVES and place in traits.ELEMENTS_FROM.get(node.key, (0,))
            is_folded = all(each is None or each.is_constant for each in node.inputs)
            is_even = node.key in _EVEN or (node.op_type == "Mul" and node.inputs[0] == node.inputs[1])
            if not is_moved:
                yield WeightUse(node, place, dims, decoder, is_folded)
            if is_moved or (is_folded and not is_even):
                behind = node if node.key in traits.DEQUANTIZERS else decoder
                for output in node.outputs:
                    if output is not None and output.name not in seen:
                        seen.add(output.name)
                        waiting.append((output.name, _dims_behind(node, dims), behind))


def _dims_behind(node: Node, dims: tuple[int, ...] | None) -> tuple[int, ...] | None:
    if node.op_type == "Transpose" and dims is not None:
        order = node.attributes.get("perm") or range(len(dims))[::-1]
        return tuple(dims[axis] for axis in order) if len(order) == len(dims) else None
    return dims if node.key in _SAME_DIMS or node.key not in _MOVES else None


class Downstream(NamedTuple):
    """What happens to a node's output: its amplification, and whether its logarithm or its root is taken."""

    amplification: float
    is_rooted: bool = False


def look_downstream(node: Node, outline: Outline) -> Downstream:
    """What happens to a contraction's output: rectifiers halve its second moment, normalizations rescale it."""
    amplification = 1.0
    output = node.outputs[0] if node.outputs else None
    for _ in range(_FAR):
        readers = outline.uses.reads(output.name) if output is not None else ()
        if not readers:
            break
        reader, place = readers[0]
        is_coded = node.op_type.endswith("Integer")
        constant = _other_constant(reader, output, outline, in_scale=is_coded)
        if reader.op_type in ("Log", "Sqrt"):
            return Downstream(amplification, is_rooted=True)
        if reader.op_type == "BatchNormalization" and place == 0:
            amplification *= _normalization(reader, outline)
        elif constant is not None:
            amplification *= _rms(constant, outline, 1 if is_coded else 2) if reader.op_type == "Mul" else 1
        elif activations := [use.node for use in readers if use.node.key in _RECTIFIERS | _GATES]:
            last = next((each for each in activations if each.op_type == "Mul"), activations[0])
            kept = sqrt(1 / 2) if last.key in _RECTIFIERS else _KEPT_BY_GATES
            return Downstream(amplification * kept * (2 * _SHARE if _is_added(last.outputs[0], outline) else 1))
        elif reader.key not in _MOVES:
            return Downstream(amplification * (_SHARE if _is_added(output, outline) else 1))
        output = reader.outputs[0]
    return Downstream(amplification)


def is_requantized(node: Node, outline: Outline) -> bool:
    """Whether a contraction's output is soon quantized to integers, which saturate: it cannot overflow."""
    output = node.outputs[0] if node.outputs else None
    for _ in range(_FAR):
        readers = outline.uses.readers(output.name) if output is not None else ()
        if any(reader.key in traits.QUANTIZERS for reader in readers):
            return True
        if not readers or readers[0].key not in _PASSED:
            break
        output = readers[0].outputs[0]
    return False


def _is_added(output: Tensor | None, outline: Outline) -> bool:
    """Whether it is the end of a residual branch."""
    readers = outline.uses.readers(output.name) if output is not None else ()
    sums = [reader.inputs for reader in readers if reader.op_type == "Add"]
    return any(not any(tensor is None or tensor.is_constant for tensor in parts) for parts in sums)


def _other_constant(node: Node, tensor: Tensor | None, outline: Outline, *, in_scale: bool) -> Tensor | None:
    """The other operand of a sum or a product of two, if it is a constant, or with ``in_scale`` a constant times a value."""
    others = [each for each in node.inputs if each is not None and each != tensor]
    if node.key not in traits.AFFINE or len(others) != 1:
        return None
    maker = outline.uses.definition(others[0].name)
    factors = maker.inputs if in_scale and maker is not None and maker.op_type == "Mul" else others
    return next((factor for factor in factors if factor is not None and factor.is_constant), None)


def _normalization(node: Node, outline: Outline) -> float:
    """What a BatchNormalization multiplies by, as far as its own weights are known."""
    import numpy as np

    scale, variance = outline.array(node.input(1)), outline.array(node.input(4))
    squares = 1.0 if scale is None else scale.astype(float) ** 2
    divisors = 1.0 if variance is None else np.abs(variance.astype(float)) + node.attributes.get("epsilon", 1e-5)
    return _positive(np.sqrt(np.mean(squares / divisors)))


def _rms(tensor: Tensor, outline: Outline, least: int) -> float:
    """The RMS of factors; 1 if they are absent or fewer than ``least``: a single one, as in attention, has a purpose."""
    import numpy as np

    array = outline.array(tensor)
    return _positive(np.sqrt(np.mean(array.astype(float) ** 2))) if array is not None and array.size >= least else 1.0


def _positive(number: float) -> float:
    return float(number) if 1e-6 < number < 1e6 else 1.0


GAIN = Spread(1, 0.1)
"""Factors, and arguments of a root, a logarithm or a reciprocal: positive and not near 0."""
SMALL = Spread(0, 0.05)
TABLE = Spread(0, 1)
SCALE = Spread(0.05, 0.005)
ZERO = Spread(0, 0)
"""Compared values: all elements are equal, so that a mask made from them hides nothing."""

_FILLINGS: Mapping[RoleName, Filling] = {
    **dict.fromkeys(("gain", "variance", "positive", "divisor", "positions"), GAIN),
    **dict.fromkeys(("shift", "mean"), SMALL),
    "slope": Spread(0.25, 0.05),
    "compared": ZERO,
}

_FILLINGS_BESIDE_DATA: Mapping[RoleName, Filling] = {"factor": GAIN, "table": TABLE}
"""The same, if not all inputs are constants; a role in neither table is SMALL."""


def choose_filling(tensor: Tensor, outline: Outline) -> Filling:
    """The synthetic elements for a stored tensor. Raises ModelError for one that decides shapes."""
    if tensor.dtype == "bool":
        return Alternating()
    roles = [role for use in find_weight_uses(tensor, outline) if (role := _role(use, tensor, outline)) is not None]
    return min(roles, key=_order, default=filling_by_type(tensor.dtype))


def filling_by_type(dtype: str) -> Filling:
    """The synthetic elements for a tensor of unknown role."""
    return SMALL if _is_real(dtype) else ZERO if BITS[dtype] > 16 else CODES.get(dtype, Alternating())


def _is_real(dtype: str) -> bool:
    return "float" in dtype or "complex" in dtype


def _order(role: Filling) -> tuple[int, float]:
    """The strictest of several roles: the smallest limit, then nonzero values, then the smallest values."""
    match role:
        case Indices(limit):
            return 0, limit
        case Spread(center, deviation):
            return 1 if center else 2, deviation
    return 3, 0


def _role(use: WeightUse, tensor: Tensor, outline: Outline) -> Filling | None:
    node, place, dtype = use.node, use.place, tensor.dtype
    role = role_of(node, place)
    if role.limit is not None and not _is_real(dtype):
        return Indices(max(1, role.count_indices(node) or 1))
    if role.numbers is not None and not _is_real(dtype):
        if "Attention" in node.op_type:
            return Spread(1, 0)
        raise ModelError(
            f"'{tensor.name}' is not stored, and node '{node.name}' ({node.op_type}) cannot run with random elements"
        )
    if role.name == "zero point":
        packed = _packed_dtype(node, place)
        return Spread(CODES.get(packed or dtype, ZERO).center, 0, packed if dtype == "uint8" else "")
    if role.name == "scale" and role.of is not None:
        return _scale(node, role.of, outline)
    if not _is_real(dtype) or (use.decoder is not None and dtype in CODES):
        return _codes(use, tensor, outline)
    if role.fan_in is not None:
        return _factor(node, role.fan_in, use.dims or _isotropic(tensor), outline)
    if role.name in _FILLINGS or use.is_folded:
        return _FILLINGS.get(role.name)
    return _FILLINGS_BESIDE_DATA.get(role.name, SMALL)


def _packed_dtype(node: Node, place: int) -> str:
    """The type of the elements that are packed into one element of an input; "" without packing."""
    role = role_of(node, place)
    if role.name == "zero point" and role.of is not None:
        role = role_of(node, role.of)
    return f"uint{node.attributes.get(role.bits) or 4}" if role.bits else ""


def _factor(node: Node, fan_in: FanIn, dims: tuple[int, ...], outline: Outline) -> Spread:
    """A factor of a contraction: the sum of its products has the variance of one of the other factors."""
    try:
        terms = max(1.0, fan_in(node, dims))
    except MISFITS:
        terms = sqrt(prod(dims))
    after = look_downstream(node, outline)
    if after.is_rooted:
        return Spread(1 / terms, 0.1 / terms)
    return Spread(0, 1 / sqrt(terms) / after.amplification)


def _isotropic(tensor: Tensor) -> tuple[int, int]:
    """Dims for a weight whose own are unknown where it is used: a square matrix."""
    side = max(1, isqrt(tensor.size))
    return side, side


def _codes(use: WeightUse, tensor: Tensor, outline: Outline) -> Filling:
    """Integers, and 8-bit floats with a scale, such that the scale and the zero point, if known, turn them into the values that
    the node would read without quantization.
    """
    node, place = use.node, use.place
    role = role_of(node, place)
    packed = _packed_dtype(node, place) if tensor.dtype == "uint8" else ""
    usual = CODES.get(packed or tensor.dtype)
    if usual is None or tensor.dtype == "int32":
        is_bias = use.decoder is not None or role.name in ("codes", "quantized bias")
        return usual if is_bias and usual is not None else ZERO
    decoder, decoded = (use.decoder, 0) if use.decoder is not None else (node, place)
    scale_at, zero_at = find_decoder(decoder, decoded)
    scale, zero_point = (outline.array(decoder.input(at)) if at is not None else None for at in (scale_at, zero_at))
    center = usual.center if zero_point is None or packed else float(zero_point.astype(float).mean())
    deviation = usual.deviation
    is_bounded = any(find_decoder(node, OUTPUT)) or is_requantized(node, outline)
    if role.fan_in is not None and not is_bounded and (scale is not None or scale_at is None):
        unit = abs(scale.astype(float)).mean() if scale is not None else 1.0
        wanted = _factor(node, role.fan_in, use.dims or _isotropic(tensor), outline).deviation / max(unit, 1e-9)
        deviation = min(max(wanted, usual.deviation / 8), usual.deviation)
    return Spread(center, deviation, packed)


def _scale(node: Node, place: int, outline: Outline) -> Spread:
    """The scale of the input ``place``, such that it turns the codes into the values of that input without quantization."""
    coded = node.input(place) if place != OUTPUT else None
    if coded is None or not coded.is_constant or not coded.is_shaped:
        return SCALE
    if node.key in traits.DEQUANTIZERS and coded.dtype == "int32":
        return _scale_of_bias(node, outline)
    unit = CODES.get(_packed_dtype(node, place) or coded.dtype, SCALE).deviation
    made: Filling = TABLE
    role = role_of(node, place)
    if role.fan_in is not None:
        made = _factor(node, role.fan_in, coded.shape, outline)
    elif node.key in traits.DEQUANTIZERS:
        made = choose_filling(Tensor(node.out.name, "float32", coded.shape), outline)
    largest = max(made.center, made.deviation) if isinstance(made, Spread) else 1.0
    return Spread(largest / unit, 0)


def _scale_of_bias(node: Node, outline: Outline) -> Spread:
    """The product of the scales of the operands of the product: only with this scale does onnxruntime compute with integers."""
    product = 1.0
    for reader, place in outline.uses.reads(node.out.name):
        for tensor in reader.inputs[:place]:
            maker = outline.uses.definition(tensor.name) if tensor is not None else None
            if maker is None or maker.key not in traits.DEQUANTIZERS:
                return SCALE
            scale = maker.required(1)
            known = outline.array(scale)
            found = choose_filling(scale, outline) if known is None else Spread(float(known.reshape(-1)[0]), 0)
            product *= found.center if isinstance(found, Spread) else 1.0
        return Spread(product, 0)
    return SCALE
