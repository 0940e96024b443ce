"""What an absent weight is for, by the nodes that read it, and with that how its elements are spread.

The aim is activations of variance near 1 from layer to layer: none overflows, and none sinks into the denormal numbers that
processors are slow on. What is trained and there (scales of normalisations, of quantized weights) is reckoned with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isqrt, prod, sqrt
from typing import Any

from onnxcost.errors import ModelError, UnknownShape
from onnxcost.formulas import inputs
from onnxcost.formulas.contrib import inputs as contrib
from onnxcost.frontend.weights.fan_in import FAN_IN
from onnxcost.frontend.weights.fillings import CODES, Alternating, Filling, Indices, Spread
from onnxcost.frontend.weights.outline import Outline
from onnxcost.frontend.weights.uses import Use, fate_of, is_requantized, uses_of
from onnxcost.graph import BITS, Node, Tensor
from onnxcost.operands.limits import LIMITS
from onnxcost.operands.numbers import EXPECTED

GAIN = Spread(1, 0.1)
"""Factors, and what a root, a logarithm or a reciprocal is taken of: not near 0, never negative."""
SMALL = Spread(0, 0.05)
TABLE = Spread(0, 1)
SCALE = Spread(0.05, 0.005)
ZERO = Spread(0, 0)
"""What is compared: all alike, so that a mask that is made of it hides nothing."""


def _each(operators: str, roles: Mapping[int, Any]) -> dict[str, Mapping[int, Any]]:
    return dict.fromkeys(operators.split(), roles)


_ROLES: Mapping[str, Mapping[int, Filling]] = {
    "BatchNormalization": {1: GAIN, 2: SMALL, 3: SMALL, 4: GAIN},
    **_each("InstanceNormalization LayerNormalization GroupNormalization GroupNorm", {1: GAIN, 2: SMALL}),
    **_each("RMSNormalization SimplifiedLayerNormalization", {1: GAIN}),
    **_each("SkipLayerNormalization SkipSimplifiedLayerNormalization SkipGroupNorm", {2: GAIN, 3: SMALL, 4: SMALL}),
    "EmbedLayerNormalization": {2: TABLE, 3: TABLE, 4: TABLE, 5: GAIN, 6: SMALL},
    "PRelu": {1: Spread(0.25, 0.05)},
    **_each("Sqrt Log Reciprocal", {0: GAIN}),
    **_each("Div Pow", {1: GAIN}),
    "RotaryEmbedding": {1: GAIN, 2: GAIN, 3: GAIN},
    **_each("Equal Greater GreaterOrEqual Less LessOrEqual", {0: ZERO, 1: ZERO}),
}
"""By operator, of whatever domain, and input."""

_ROLES_BESIDE_DATA: Mapping[str, Mapping[int, Filling]] = {"Mul": {0: GAIN, 1: GAIN}, "Gather": {0: TABLE}}
"""The same, where not all inputs are constants; all that is in neither table is SMALL."""

_OUT = -1
_QUANTIZED: Mapping[str, Mapping[int, Sequence[int | None]]] = {
    **_each("DequantizeLinear QuantizeLinear", {0: (1, 2)}),
    **_each("QLinearConv QLinearMatMul", {0: (1, 2), 3: (4, 5), _OUT: (6, 7)}),
    **_each("ConvInteger MatMulInteger", {0: (None, 2), 1: (None, 3)}),
    **_each("MatMulNBits DynamicQuantizeMatMul", {1: (2, 3)}),
    "QGemm": {0: (1, 2), 3: (4, 5), _OUT: (7, 8)},
    "MatMulIntegerToFloat": {0: (2, 4), 1: (3, 5)},
    "MatMulBnb4": {1: (2, None)},
    "GatherBlockQuantized": {0: (2, 3)},
    "QAttention": {0: (3, 6), 1: (4, 7)},
    "DynamicQuantizeLSTM": {1: (8, 9), 2: (10, 11)},
    "QMoE": {2: (3, 11), 5: (6, 12), 8: (9, 13)},
}
"""The inputs that are quantized, each with those of its scale and its zero point."""
_SCALED = {op: {scale: place for place, (scale, _) in parts.items()} for op, parts in _QUANTIZED.items()}
_ZERO_POINTS = {op: {zero_point for _, zero_point in parts.values()} for op, parts in _QUANTIZED.items()}
_QUANTIZED_BIAS = {**inputs.QUANTIZED_BIAS, **contrib.QUANTIZED_BIAS}

_PACKED: Mapping[str, tuple[str, Sequence[int]]] = {
    "MatMulNBits": ("bits", (1, 3)),
    "MatMulBnb4": ("bits", (1,)),
    "GatherBlockQuantized": ("bits", (0, 3)),
    "QMoE": ("expert_weight_bits", (2, 5, 8, 11, 12, 13)),
}
"""The inputs that hold several elements in each of 8 bits: the attribute that says of how many bits, 4 without it."""


def filling_of(tensor: Tensor, outline: Outline) -> Filling:
    """How the elements of a stored tensor should be made up. Raises ModelError for one that decides shapes."""
    if tensor.dtype == "bool":
        return Alternating()
    roles = [role for use in uses_of(tensor, outline) if (role := _role(use, tensor, outline)) is not None]
    return min(roles, key=_order, default=filling_by_type(tensor.dtype))


def filling_by_type(dtype: str) -> Filling:
    """How elements are made up of which nothing is known."""
    return SMALL if _is_real(dtype) else ZERO if BITS[dtype] > 16 else CODES.get(dtype, Alternating())


def _is_real(dtype: str) -> bool:
    return "float" in dtype or "complex" in dtype


def _order(role: Filling) -> tuple[int, float]:
    """Of several roles the one that must be kept to: the least limit, then what must not be 0, then the smallest."""
    match role:
        case Indices(limit):
            return 0, limit
        case Spread(center, deviation):
            return 1 if center else 2, deviation
    return 3, 0


def _role(use: Use, tensor: Tensor, outline: Outline) -> Filling | None:
    node, place, dtype = use.node, use.place, tensor.dtype
    if not _is_real(dtype) and place in LIMITS.get(node.key, ()):
        return Indices(_limit(node, place))
    if not _is_real(dtype) and place in EXPECTED.get(node.key, ()):
        return _expected(node, tensor)
    if place in _ZERO_POINTS.get(node.op_type, ()):
        packed = _packed(node, place)
        return Spread(CODES[packed or dtype].center, 0, packed if dtype == "uint8" else "")
    if place in _SCALED.get(node.op_type, ()):
        return _scale(node, _SCALED[node.op_type][place], outline)
    if not _is_real(dtype) or (use.decoder is not None and dtype in CODES):
        return _codes(use, tensor, outline)
    if place in FAN_IN.get(node.op_type, ()):
        return _factor(node, place, use.dims or _isotropic(tensor), outline)
    role = _ROLES.get(node.op_type, {}).get(place)
    return role if role or use.is_folded else _ROLES_BESIDE_DATA.get(node.op_type, {}).get(place, SMALL)


def _limit(node: Node, place: int) -> int:
    try:
        return max(1, LIMITS[node.key][place](node))
    except (UnknownShape, LookupError, ValueError):
        return 1


def _expected(node: Node, tensor: Tensor) -> Filling:
    if "Attention" in node.op_type:
        return Spread(1, 0)
    raise ModelError(f"'{tensor.name}' is not stored, and node '{node.name}' ({node.op_type}) cannot do with made up elements")


def _packed(node: Node, place: int) -> str:
    """The type of the elements that an input holds several of in one; "" for what holds one in each."""
    attribute, places = _PACKED.get(node.op_type, ("", ()))
    return f"uint{node.attributes.get(attribute) or 4}" if place in places else ""


def _factor(node: Node, place: int, dims: tuple[int, ...], outline: Outline) -> Spread:
    """A factor of a contraction: the sum of its products has the variance of one of the other factors."""
    try:
        terms = max(1.0, FAN_IN[node.op_type][place](node, dims))
    except (LookupError, ValueError, TypeError, ArithmeticError):
        terms = sqrt(prod(dims))
    fate = fate_of(node, outline)
    if fate.is_rooted:
        return Spread(1 / terms, 0.1 / terms)
    return Spread(0, 1 / sqrt(terms) / fate.amplification)


def _isotropic(tensor: Tensor) -> tuple[int, int]:
    """Dims for a weight whose own are lost on the way to where it is used: a square matrix."""
    side = max(1, isqrt(tensor.size))
    return side, side


def _codes(use: Use, tensor: Tensor, outline: Outline) -> Filling:
    """Integers, and floats of 8 bits with a scale, such that with the scale and the zero point that are there, if they are,
    they are what the node would read without them.
    """
    node, place = use.node, use.place
    packed = _packed(node, place) if tensor.dtype == "uint8" else ""
    usual = CODES.get(packed or tensor.dtype)
    if usual is None or tensor.dtype == "int32":
        is_bias = use.decoder is not None or _QUANTIZED_BIAS.get(node.key) == place
        return usual if is_bias and usual is not None else ZERO
    decoder, decoded = (use.decoder, 0) if use.decoder is not None else (node, place)
    scale_at, zero_at = _QUANTIZED.get(decoder.op_type, {}).get(decoded, (None, None))
    scale, zero_point = (outline.array(decoder.input(at)) if at is not None else None for at in (scale_at, zero_at))
    center = usual.center if zero_point is None or packed else float(zero_point.astype(float).mean())
    deviation = usual.deviation
    is_bounded = _OUT in _QUANTIZED.get(node.op_type, ()) or is_requantized(node, outline)
    if place in FAN_IN.get(node.op_type, ()) and not is_bounded and (scale is not None or scale_at is None):
        unit = abs(scale.astype(float)).mean() if scale is not None else 1.0
        wanted = _factor(node, place, use.dims or _isotropic(tensor), outline).deviation / max(unit, 1e-9)
        deviation = min(max(wanted, usual.deviation / 8), usual.deviation)
    return Spread(center, deviation, packed)


def _scale(node: Node, place: int, outline: Outline) -> Spread:
    """The scale of the input ``place``, such that it makes of codes what that input would have been without them."""
    coded = node.input(place) if place != _OUT else None
    if coded is None or not coded.is_constant or not coded.is_shaped:
        return SCALE
    if node.op_type == "DequantizeLinear" and coded.dtype == "int32":
        return _scale_of_bias(node, outline)
    unit = CODES.get(_packed(node, place) or coded.dtype, SCALE).deviation
    made: Filling = TABLE
    if place in FAN_IN.get(node.op_type, ()):
        made = _factor(node, place, coded.shape, outline)
    elif node.op_type == "DequantizeLinear":
        made = filling_of(Tensor(node.out.name, "float32", coded.shape), outline)
    largest = max(made.center, made.deviation) if isinstance(made, Spread) else 1.0
    return Spread(largest / unit, 0)


def _scale_of_bias(node: Node, outline: Outline) -> Spread:
    """The product of the scales of what the bias is added to: onnxruntime computes with integers only where it is that."""
    product = 1.0
    for reader, place in outline.readers.get(node.out.name, []):
        for tensor in reader.inputs[:place]:
            maker = outline.makers.get(tensor.name) if tensor is not None else None
            if maker is None or maker.op_type != "DequantizeLinear":
                return SCALE
            scale = maker.required(1)
            known = outline.array(scale)
            found = filling_of(scale, outline) if known is None else Spread(float(known.reshape(-1)[0]), 0)
            product *= found.center if isinstance(found, Spread) else 1.0
        return Spread(product, 0)
    return SCALE
