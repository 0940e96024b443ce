"""The roles of operators' inputs: one row per operator, onnxruntime's own included."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache, partial
from typing import Literal, NamedTuple

from onnxcost.errors import MISFITS
from onnxcost.graph import Node
from onnxcost.operators import rules
from onnxcost.operators.rules import Count, FanIn, Limit, Numbers, NumbersRule
from onnxcost.operators.traits import RECURRENT, REDUCTIONS, WINDOWS

RoleName = Literal[
    "weight", "bias", "quantized bias", "codes", "gain", "shift", "slope", "mean", "variance", "table", "factor", "positive",
    "divisor", "compared", "buffer", "scale", "zero point", "positions", "setting", "index", "shape", "number", "data",
]  # fmt: skip

_LEARNED = frozenset({"weight", "bias", "quantized bias", "gain", "shift", "slope", "mean", "variance"})
_STEERS = frozenset({"scale", "zero point", "positions", "setting", "index", "shape", "number"})

OUTPUT = -1
"""The place of the output, for inputs that are its scale or zero point."""


class InputRole(NamedTuple):
    """What an input is for.

    ``of`` is the place of the input that a scale or a zero point decodes. ``fan_in`` is that of a weight, ``packed`` the number
    of weights in the input if that is not its number of elements, and ``bits`` the attribute with the width of each weight
    if several share 8 bits (4 without it). ``limit`` is the number of valid indices, from 0 on, and ``numbers`` the elements
    that make the operator do its work in full; a single one stands for all of them.
    """

    name: RoleName
    of: int | None = None
    fan_in: FanIn | None = None
    packed: Count | None = None
    bits: str = ""
    limit: Limit | None = None
    numbers: NumbersRule | None = None

    def count_indices(self, node: Node) -> int | None:
        """The number of valid indices; None if it holds no indices, or if it is unknown."""
        try:
            return self.limit(node) if self.limit is not None else None
        except MISFITS:
            return None

    def find_numbers(self, node: Node) -> Numbers | None:
        """The elements with which the operator does all of its work, if they are known."""
        try:
            return self.numbers(node) if self.numbers is not None else None
        except MISFITS:
            return None

    @property
    def is_learned(self) -> bool:
        """Whether training determines its elements, or the values that they encode."""
        return self.name in _LEARNED

    @property
    def steers(self) -> bool:
        """Whether it controls the operator (sizes, scales, zero points, bounds, indices): it holds no weights."""
        return self.name in _STEERS


DATA = InputRole("data")
"""The role of inputs without a row; they may be learned, too."""


def role_of(node: Node, place: int) -> InputRole:
    """The role of an input."""
    return ROLES.get(node.key, {}).get(place, DATA)


def places_of(key: str, name: RoleName) -> list[int]:
    """The inputs of an operator that have the role."""
    return [place for place, role in ROLES.get(key, {}).items() if role.name == name]


@cache
def steered_by(key: str) -> frozenset[int]:
    """The inputs of an operator that control it."""
    return frozenset(place for place, role in ROLES.get(key, {}).items() if role.steers)


def find_decoder(node: Node, place: int) -> tuple[int | None, int | None]:
    """The inputs with the scale and the zero point of another input, or of OUTPUT."""
    own = ROLES.get(node.key, {}).items()
    scale, zero_point = (
        next((at for at, role in own if role.name == name and role.of == place), None) for name in ("scale", "zero point")
    )
    return scale, zero_point


def _weight(fan_in: FanIn | None = None, packed: Count | None = None, bits: str = "") -> InputRole:
    return InputRole("weight", fan_in=fan_in, packed=packed, bits=bits)


_scale, _zero_point = partial(InputRole, "scale"), partial(InputRole, "zero point")


def _index(limit: Limit) -> InputRole:
    return InputRole("index", limit=limit)


def _shape(first: NumbersRule | float, *others: float, name: RoleName = "shape") -> InputRole:
    """A rule, or the same numbers for each node."""
    return InputRole(name, numbers=first if callable(first) else rules.constant(first, *others))


_number = partial(_shape, name="number")


BIAS, QUANTIZED_BIAS, CODES = InputRole("bias"), InputRole("quantized bias"), InputRole("codes")
"""The bias of a product; the same in 32-bit integers; quantized values, which may be either."""
GAIN, SHIFT, SLOPE = InputRole("gain"), InputRole("shift"), InputRole("slope")
"""Of a normalization; of an activation."""
MEAN, VARIANCE = InputRole("mean"), InputRole("variance")
"""Running statistics."""
TABLE, FACTOR, POSITIVE, DIVISOR = InputRole("table"), InputRole("factor"), InputRole("positive"), InputRole("divisor")
"""A table of a look-up; a factor; the argument of a root, logarithm or power; a divisor that is not 0."""
COMPARED, POSITIONS, SETTING = InputRole("compared"), InputRole("positions"), InputRole("setting")
"""Compared values; tables of sines and cosines; sizes, bounds and similar settings."""

BUFFER = InputRole("buffer")
"""A window, a grid, a mask, an initial state or a written buffer: if it is stored, training does not determine it."""

_NORMALIZED, _KERNEL, _CONVOLUTION = {1: GAIN, 2: SHIFT}, {1: _weight(rules.kernel)}, {1: _weight(rules.kernel), 2: BIAS}
_MATRIX = {0: _weight(rules.dim_at(-1)), 1: _weight(rules.operand("transB", -2))}
_GEMM = {0: _weight(rules.operand("transA", -1)), 1: _MATRIX[1], 2: BIAS}
_DECODED = {1: _scale(0), 2: _zero_point(0)}
_BINARY_CODES = {**_DECODED, 4: _scale(3), 5: _zero_point(3), 6: _scale(OUTPUT), 7: _zero_point(OUTPUT)}
_UNARY_CODES = {**_DECODED, 3: _scale(OUTPUT), 4: _zero_point(OUTPUT)}
_RECURRENT = {1: _weight(rules.dim_at(-1)), 2: _weight(rules.dim_at(-1)), 3: BIAS, 4: _number(rules.sequence_length)}
_RECURRENT |= {5: BUFFER}
_AXES = {1: _shape(rules.first_axes(1))}
_SIGNAL = {0: _shape(rules.output_length)}
_PARTS = {1: _shape(rules.equal_parts)}
_NEVER_ZERO = {1: DIVISOR}
_BOTH_COMPARED = {0: COMPARED, 1: COMPARED}

_STANDARD: Mapping[str, Mapping[int, InputRole]] = {
    # Weights and what decodes them.
    "Conv": _CONVOLUTION,
    "ConvInteger": {**_KERNEL, 2: _zero_point(0), 3: _zero_point(1)},
    "ConvTranspose": {1: _weight(rules.transposed_kernel), 2: BIAS},
    "DeformConv": {**_KERNEL, 3: BIAS},
    "QLinearConv": {**_BINARY_CODES, 3: _weight(rules.kernel), 8: QUANTIZED_BIAS},
    "MatMul": _MATRIX,
    "MatMulInteger": {**_MATRIX, 2: _zero_point(0), 3: _zero_point(1)},
    "QLinearMatMul": {**_BINARY_CODES, 0: _weight(rules.dim_at(-1)), 3: _weight(rules.dim_at(-2))},
    "Gemm": _GEMM,
    "Einsum": {place: _weight(rules.summed_labels(place)) for place in range(4)},
    **dict.fromkeys(RECURRENT, _RECURRENT),
    "LSTM": {**_RECURRENT, 6: BUFFER, 7: _weight()},
    "QuantizeLinear": _DECODED,
    "DequantizeLinear": {0: CODES, **_DECODED},
    "BatchNormalization": {**_NORMALIZED, 3: MEAN, 4: VARIANCE},
    **dict.fromkeys(("InstanceNormalization", "LayerNormalization", "GroupNormalization"), _NORMALIZED),
    "RMSNormalization": {1: GAIN},
    "SimplifiedLayerNormalization": {1: GAIN},
    "PRelu": {1: SLOPE},
    # Arithmetic.
    "Mul": {0: FACTOR, 1: FACTOR},
    "Sqrt": {0: POSITIVE},
    "Log": {0: POSITIVE},
    "Reciprocal": {0: POSITIVE},
    "Pow": {1: POSITIVE},
    "Div": _NEVER_ZERO,
    "Mod": _NEVER_ZERO,
    **dict.fromkeys(("Greater", "GreaterOrEqual", "Less", "LessOrEqual"), _BOTH_COMPARED),
    "Equal": {place: InputRole("compared", limit=rules.one_hot_classes(1 - place)) for place in range(2)},
    "BitShift": {1: _number(1)},
    "Clip": {1: SETTING, 2: SETTING},
    "Dropout": {1: _number(0.5), 2: _number(False)},
    "CumSum": {1: _number(0)},
    "CumProd": {1: _number(0)},
    **dict.fromkeys(REDUCTIONS, _AXES),
    "TopK": {1: _shape(rules.length_along("axis", -1))},
    # Indices.
    "Gather": {0: TABLE, 1: _index(rules.rows(0))},
    "GatherElements": {1: _index(rules.rows(0))},
    "GatherND": {1: _index(rules.index_tuples)},
    "Scatter": {0: BUFFER, 1: _index(rules.rows(0))},
    "ScatterElements": {0: BUFFER, 1: _index(rules.rows(0))},
    "ScatterND": {0: BUFFER, 1: _index(rules.index_tuples)},
    "TensorScatter": {0: BUFFER, 2: _index(rules.write_positions)},
    "OneHot": {0: _index(rules.depth), 1: _shape(lambda node: (rules.depth(node),)), 2: _number(0, 1)},
    "MaxUnpool": {1: _index(lambda node: node.out.size), 2: _shape(lambda node: node.out.shape)},
    "RotaryEmbedding": {1: POSITIONS, 2: POSITIONS, 3: _index(rules.rows(1))},
    "RoiAlign": {2: _index(rules.rows(0))},
    "SequenceAt": {1: _index(rules.count_elements())},
    "SequenceErase": {1: _index(rules.count_elements())},
    "SequenceInsert": {2: _index(rules.count_elements(1))},
    "NegativeLogLikelihoodLoss": {1: _index(rules.rows(0, 1))},
    "SoftmaxCrossEntropyLoss": {1: _index(rules.rows(0, 1))},
    "ai.onnx.ml.ArrayFeatureExtractor": {1: _index(rules.rows(0, -1))},
    # Shapes, axes and sizes.
    "Unsqueeze": _AXES,
    "Squeeze": {1: _shape(rules.axes_of_one)},
    "Reshape": {1: _shape(rules.output_or(rules.other_shape))},
    "Expand": {1: _shape(rules.output_or(rules.constant(1)))},
    "ConstantOfShape": {0: _shape(rules.output_or(rules.constant(1), 0))},
    "Tile": {1: _shape(1)},
    "Pad": {1: _shape(0), 2: SETTING, 3: _shape(rules.first_axes(3))},
    "Resize": {1: _shape(rules.scales_or_region), 2: _shape(rules.scales), 3: _shape(rules.kept_sides)},
    "Upsample": {1: _shape(rules.scales)},
    "Slice": {
        1: _shape(0),
        2: _shape(lambda node: (max(node.x.shape, default=0),)),
        3: _shape(rules.first_axes(3)),
        4: _shape(1),
    },
    "Split": _PARTS,
    "SplitToSequence": _PARTS,
    "Range": {0: _shape(0), 1: _shape(rules.output_length), 2: _shape(1)},
    "CenterCropPad": {1: _shape(rules.kept_sides)},
    "AffineGrid": {1: _shape(lambda node: (rules.dim(node.x, 0), 1, *(8,) * rules.dim(node.x, 1)))},
    "Trilu": {1: _number(0)},
    "ReverseSequence": {1: _number(rules.length_along("time_axis", 0))},
    "NonMaxSuppression": {2: _shape(lambda node: (rules.dim(node.x, 1),)), 3: _shape(0.5), 4: _shape(0)},
    "Attention": {3: BUFFER, 6: _number(lambda node: (rules.dim(node.required(1), -2),))},
    # Signals.
    **dict.fromkeys(WINDOWS, _SIGNAL),
    "DFT": {1: _shape(rules.length_along("axis", -2)), 2: _number(-2)},
    "GridSample": {1: BUFFER},
    "STFT": {1: _shape(8), 2: BUFFER, 3: _shape(lambda node: (node.required(2).size if node.input(2) is not None else 16,))},
    "MelWeightMatrix": {place: _shape(number) for place, number in enumerate((8, 16, 16000, 0, 8000))},
}


def _settings(*places: int) -> Mapping[int, InputRole]:
    return dict.fromkeys(places, SETTING)


_packed = partial(_weight, rules.inner, bits="bits")
_experts = partial(_weight, rules.packed_inner, bits="expert_weight_bits")
_NBITS = _packed(rules.matrix("N"))
_EMBEDDINGS = {0: _index(rules.rows(2)), 1: _index(rules.rows(4)), 2: TABLE, 3: TABLE, 4: TABLE, 5: GAIN, 6: SHIFT}
_SEARCH = {0: _index(lambda node: int(node.attributes["vocab_size"]))}
_ANGLES = {1: _index(rules.rows(2)), 2: POSITIONS, 3: POSITIONS}

_CONTRIB: Mapping[str, Mapping[int, InputRole]] = {
    # Weights and what decodes them.
    **dict.fromkeys(("FusedConv", "NhwcConv", "NhwcFusedConv", "nchwc.Conv"), _CONVOLUTION),
    "ConvTransposeWithDynamicPads": {1: _weight(rules.transposed_kernel), 2: SETTING, 3: BIAS},
    "FusedMatMul": _MATRIX,
    "TransposeMatMul": _MATRIX,
    "FusedGemm": _GEMM,
    "GemmFastGelu": _GEMM,
    "MatMulIntegerToFloat": {**_MATRIX, 2: _scale(0), 3: _scale(1), 4: _zero_point(0), 5: _zero_point(1), 6: BIAS},
    "DynamicQuantizeMatMul": {**_MATRIX, 2: _scale(1), 3: _zero_point(1), 4: BIAS},
    "QLinearConv": _STANDARD["QLinearConv"],
    "QGemm": {
        **(_BINARY_CODES | {7: _scale(OUTPUT), 8: _zero_point(OUTPUT)}),
        3: _weight(rules.operand("transB", -2)),
        6: QUANTIZED_BIAS,
    },
    **dict.fromkeys(("QLinearAdd", "QLinearMul"), _BINARY_CODES),
    **dict.fromkeys(("QLinearSigmoid", "QLinearLeakyRelu", "QLinearSoftmax"), _UNARY_CODES),
    **dict.fromkeys(("QLinearAveragePool", "QLinearGlobalAveragePool", "QLinearReduceMean"), _UNARY_CODES),
    "QLinearConcat": {0: _scale(OUTPUT), 1: _zero_point(OUTPUT)},
    "QLinearWhere": {2: _scale(1), 3: _zero_point(1), 5: _scale(4), 6: _zero_point(4)}
    | {7: _scale(OUTPUT), 8: _zero_point(OUTPUT)},
    "MulInteger": {1: _zero_point(0), 3: _zero_point(2)},
    "QuantizeWithOrder": {1: _scale(0)},
    "DequantizeWithOrder": {1: _scale(0)},
    "QOrderedGelu": {1: _scale(0), 2: _scale(OUTPUT)},
    "QOrderedLayerNormalization": {1: _scale(0), 2: GAIN, 3: SHIFT, 4: _scale(OUTPUT)},
    "QuantizeLinear": _DECODED,
    "DequantizeLinear": _STANDARD["DequantizeLinear"],
    "MatMulNBits": {1: _NBITS, 2: _scale(1), 3: _zero_point(1), 4: SETTING, 5: BIAS},
    "MatMulNBitsMlp": {2: GAIN, 3: _NBITS, 4: _scale(3), 5: BIAS, 6: _NBITS, 7: _scale(6), 8: BIAS},
    "MatMulNBitsQkv": {
        2: GAIN,
        **{place: _packed(rules.matrix(width)) for place, width in ((3, "Nq"), (6, "Nkv"), (9, "Nkv"))},
        **{place: _scale(place - 1) for place in (4, 7, 10)},
        **dict.fromkeys((5, 8, 11), BIAS),
    },
    "MatMulNBitsQLoRA": {1: _NBITS, 3: _packed(rules.rows_of_inner), 5: _weight(packed=rules.adapter, bits="bits")}
    | {place: _scale(place - 1) for place in (2, 4, 6)},
    "MatMulPacked": {1: _weight(packed=rules.matrix("N")), 2: _scale(1)},
    "MatMulBnb4": {1: _NBITS, 2: _scale(1)},
    "MatMulFpQ4": {1: _weight(packed=rules.matrix_or_twice), 2: SETTING},
    "MatMulBlockQuantizedFp4Weight": {1: _weight(packed=lambda node, tensor: 2 * tensor.size), 2: _scale(1)}
    | {3: SETTING, 4: SETTING, 5: BIAS},
    "MatMulBlockQuantizedFp8Weight": {1: _weight(), 2: _scale(1), 3: SETTING, 4: BIAS},
    "GemmFloat8": {1: _weight(), 2: BIAS, 3: _scale(0), 4: _scale(1), 5: _scale(OUTPUT)},
    "QOrderedMatMul": {1: _scale(0), 2: _weight(), 3: _scale(2), 4: _scale(OUTPUT), 5: BIAS, 7: _scale(6)},
    "MoE": {**{place: _weight(rules.dim_at(1)) for place in (2, 4, 6)}, **dict.fromkeys((3, 5, 7), BIAS)},
    "MoEPacked": {place: _weight(packed=rules.packed_experts) for place in (2, 3, 4)},
    "QMoE": {
        **{place: _experts(rules.expert_weights(place // 3 + 1)) for place in (2, 5, 8)},
        **{place + 1: _scale(place) for place in (2, 5, 8)},
        **dict.fromkeys((4, 7, 10), BIAS),
        **{place // 3 + 11: _zero_point(place) for place in (2, 5, 8)},
        **_settings(*range(15, 21)),
    },
    "Attention": {1: _weight(rules.dim_at(0)), 2: BIAS, 3: _number(rules.mask(3))},
    "QAttention": {1: _weight(rules.dim_at(0)), 2: BIAS, 3: _scale(0), 4: _scale(1), 5: _number(rules.mask(5))}
    | {6: _zero_point(0), 7: _zero_point(1)},
    "QOrderedAttention": {
        1: _scale(0),
        **_settings(2, 3, 4, 14, 15, 16),
        **{place: _weight() for place in (5, 6, 7)},
        **{place + 3: _scale(place) for place in (5, 6, 7)},
        **dict.fromkeys((11, 12, 13), BIAS),
    },
    "DynamicQuantizeLSTM": {**_STANDARD["LSTM"], 1: _weight(rules.dim_at(1)), 2: _weight(rules.dim_at(1))}
    | {8: _scale(1), 9: _zero_point(1), 10: _scale(2), 11: _zero_point(2)},
    "AttnLSTM": _STANDARD["LSTM"],
    "GroupNorm": _NORMALIZED,
    "SkipGroupNorm": {**_NORMALIZED, 4: SHIFT},
    "BranchwiseRMSNorm": {1: GAIN},
    "GatedRMSNorm": {1: GAIN},
    "SkipLayerNormalization": {2: GAIN, 3: SHIFT, 4: SHIFT},
    "SkipSimplifiedLayerNormalization": {2: GAIN, 3: SHIFT},
    # Indices, shapes, axes and sizes.
    "EmbedLayerNormalization": {**_EMBEDDINGS, 7: _number(1), 8: _index(rules.rows(3))},
    "QEmbedLayerNormalization": {**_EMBEDDINGS, 7: _number(1)}
    | {place + 6: _scale(place) for place in range(2, 7)}
    | {place + 11: _zero_point(place) for place in range(2, 7)},
    "GatherND": _STANDARD["GatherND"],
    "GatherBlockQuantized": {
        0: _weight(packed=rules.packed_rows, bits="bits"),
        1: _index(rules.rows(0, 0, "gather_axis")),
        2: _scale(0),
        3: _zero_point(0),
    },
    "GatherPacked": {0: _weight(packed=rules.rows_of_inner), 1: _index(rules.rows(0))},
    "TorchEmbedding": {0: TABLE, 1: _index(rules.rows(0))},
    "RotaryEmbedding": _ANGLES,
    "MRotaryEmbedding": _ANGLES,
    "RMSNormRotary": {1: GAIN, 2: _index(rules.rows(3)), 3: POSITIONS, 4: POSITIONS},
    "PagedAttention": {8: POSITIONS, 9: POSITIONS, 12: GAIN, 13: GAIN, 14: SETTING, 15: SETTING},
    "GroupQueryAttention": {5: _number(rules.attended_positions(1)), 6: _number(rules.attended_positions())}
    | {7: POSITIONS, 8: POSITIONS, 9: _index(rules.rows(7)), 12: _scale(3), 13: _scale(4), 14: GAIN, 15: GAIN},
    "MultiHeadAttention": {3: BIAS, 4: _number(rules.mask(4))},
    "CropAndResize": {1: SETTING, 2: _index(rules.rows(0)), 3: SETTING},
    "NGramRepeatBlock": {0: _index(rules.rows(1, 1))},
    **dict.fromkeys(("BeamSearch", "GreedySearch", "Sampling"), _SEARCH),
    "Trilu": {1: _number(0)},
    "Pad": {1: _shape(0), 2: SETTING},
    "ExpandDims": {1: _shape(0)},
    "Range": {0: _shape(0), 1: _shape(16), 2: _shape(1)},
}

_NHWC = (
    "Conv",
    "ConvTranspose",
    "QLinearConv",
    "BatchNormalization",
    "InstanceNormalization",
    "Resize",
    "GridSample",
    "MaxUnpool",
)
"""onnxruntime's operators for channels last whose inputs have roles."""

_QUANTIZERS: Mapping[str, Mapping[int, InputRole]] = {
    **{name: {**_DECODED, 3: SETTING} for name in ("Quant", "IntQuant")},
    **{name: {1: _scale(0)} for name in ("BipolarQuant", "BinaryQuant")},
    "Trunc": {**_DECODED, **_settings(3, 4, 5)},
    "FloatQuant": {1: _scale(0), **_settings(*range(2, 7))},
}
"""Of qonnx and Brevitas."""

ROLES: Mapping[str, Mapping[int, InputRole]] = {
    **_STANDARD,
    **{f"com.microsoft.{name}": roles for name, roles in _CONTRIB.items()},
    **{f"com.ms.internal.nhwc.{name}": _STANDARD[name] for name in _NHWC if name in _STANDARD},
    **{
        f"{domain}.{name}": roles
        for domain in ("qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas")
        for name, roles in _QUANTIZERS.items()
    },
    "com.ms.internal.nhwc.QLinearAveragePool": _UNARY_CODES,
    "com.ms.internal.nhwc.QLinearConvTranspose": {**_STANDARD["QLinearConv"], 3: _weight(rules.transposed_kernel)},
}
"""By ``Node.key`` and input; any other is DATA."""
