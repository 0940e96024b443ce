"""Traits of operators by their specification: sets of ``Node.key``, from which other modules build theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxcost.formulas import activation, elementwise


def _set(names: str, domain: str = "") -> frozenset[str]:
    return frozenset(domain + name for name in names.split())


def _contrib(names: str) -> frozenset[str]:
    return _set(names, "com.microsoft.")


IDENTITIES = _set("Identity Dropout")
"""The first output is the first input."""
VIEWS = IDENTITIES | _set("Reshape Flatten Squeeze Unsqueeze com.microsoft.ExpandDims")
"""The first output is the first input under another shape or name: no byte moves."""

CASTS = _set("Cast CastLike")
QUANTIZERS = _set("QuantizeLinear com.microsoft.QuantizeLinear")
DEQUANTIZERS = _set("DequantizeLinear com.microsoft.DequantizeLinear")

REARRANGEMENTS = _contrib("Pad Trilu") | _set(
    "Transpose Slice Split Expand Tile Pad Concat DepthToSpace SpaceToDepth Trilu ReverseSequence CenterCropPad"
)
"""Outputs hold elements of the first input (Concat: of all), whatever their values; added elements are constant."""
GATHERS = _set("Gather GatherElements GatherND") | _contrib("GatherND TorchEmbedding")
"""The output holds the elements of the first input that the second one selects."""
SCATTERS = _set("Scatter ScatterElements ScatterND")
"""The output is the first input with the third one written into it at the indices in the second."""

JOINS = _set("Concat Where Max Min Sum Mean")
"""The output combines several inputs symmetrically."""
SELECTIONS = _set("NonMaxSuppression TopK ArgMax ArgMin RoiAlign com.microsoft.CropAndResize")
"""The elements that they read decide what later nodes work on."""

CONTAINERS = _set(
    "SequenceConstruct SequenceEmpty SequenceInsert SequenceErase SequenceAt SequenceLength "
    "Optional OptionalGetElement OptionalHasElement"
)
"""They pass tensors on by reference."""
SHAPE_READERS = _set("Shape Size")
"""They need the dims of their input, and none of its elements."""
COUNTS_OF_VALUES = _set("NonZero Compress NonMaxSuppression")
"""The values of their inputs decide how long their outputs are."""
RANDOM = _set("RandomNormal RandomNormalLike RandomUniform RandomUniformLike Bernoulli Multinomial")
"""Equal inputs may give different outputs. Dropout is an identity in inference."""

ATTENTIONS = _set("Attention ai.onnx.preview.FlexAttention") | _contrib(
    "Attention MultiHeadAttention GroupQueryAttention PackedAttention PackedMultiHeadAttention DecoderMaskedMultiHeadAttention"
)
"""Scores, their softmax and its product with the values in one operator."""
CONVOLUTIONS = _set("Conv ConvInteger QLinearConv") | _contrib("FusedConv NhwcConv NhwcFusedConv QLinearConv nchwc.Conv")
FLOAT_PRODUCTS = _set("Gemm MatMul") | _contrib("FusedGemm FusedMatMul TransposeMatMul MatMulNBits")
PRODUCTS = FLOAT_PRODUCTS | _set("MatMulInteger QLinearMatMul") | _contrib("QGemm MatMulIntegerToFloat DynamicQuantizeMatMul")
"""Products of two matrices, with a bias or without."""
RECURRENT = _set("RNN GRU LSTM")
POOLS = _set("MaxPool AveragePool LpPool")
"""Each output is computed from the elements in a window of ``kernel_shape``."""
REDUCTIONS = frozenset(
    f"Reduce{name}" for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "Sum", "SumSquare")
)
SOFTMAXES = _set("Softmax LogSoftmax Hardmax")
WINDOWS = _set("HannWindow HammingWindow BlackmanWindow")
"""Windows of a signal."""

AFFINE = _set("Add Sub Mul")
"""With a constant: a shift or a scaling."""
EVEN = _set("Abs Pow ReduceL1 ReduceL2 ReduceSumSquare")
"""Signs do not matter (of Pow: with an even exponent)."""
RECTIFIERS = _set("Relu LeakyRelu PRelu ThresholdedRelu Elu Selu Celu Softplus")
"""Activations that keep positive values, and little of negative ones."""
ACTIVATIONS = (
    (activation.POINTWISE.keys() | {"Gelu"})
    | _contrib("Gelu BiasGelu FastGelu QuickGelu ScaledSiLU SwiGLU BiasSplitGelu")
)  # fmt: skip
"""Activations of single elements, so not Softmax."""
POINTWISE = (
    (elementwise.TABLE.keys() | ACTIVATIONS | CASTS | QUANTIZERS | {"BatchNormalization"})
    | _contrib("BiasAdd GatedAdd BiasDropout BitmaskBiasDropout")
    | _contrib("QLinearAdd QLinearMul QLinearSigmoid QLinearLeakyRelu QLinearWhere")
)
"""Each element of the output depends only on the elements of the inputs at its own position and on learned ones."""

SCORE_STEPS = VIEWS | CASTS | _set("Add Where Mul Div Clip Max Min")
"""The operators between attention's scores and their softmax."""

_FIRST, _BOTH, _ALL = range(1), range(2), range(1 << 31)
ELEMENTS_FROM: Mapping[str, Sequence[int]] = {
    **dict.fromkeys(VIEWS | CASTS | REARRANGEMENTS | GATHERS, _FIRST),
    **dict.fromkeys(_set("Clip Compress TopK Unique com.microsoft.Unique ReduceMax ReduceMin"), _FIRST),
    **dict.fromkeys(_set("SplitToSequence SequenceAt SequenceErase ConcatFromSequence"), _FIRST),
    **dict.fromkeys(_set("Optional OptionalGetElement"), _FIRST),
    **dict.fromkeys(_set("Concat Max Min SequenceConstruct"), _ALL),
    **dict.fromkeys(SCATTERS, (0, 2)),
    "SequenceInsert": _BOTH,
    "Where": range(1, 3),
    "Add": _BOTH,
    "Sub": _FIRST,
}
"""The inputs whose elements the outputs hold: in another order, some of them, along with others, or shifted."""

CACHE_INPUTS: Mapping[str, Mapping[int, int]] = {
    "Attention": {1: 4, 2: 5},
    "com.microsoft.GroupQueryAttention": {1: 3, 2: 4},
    "com.microsoft.PagedAttention": {1: 3, 2: 4},
    "com.microsoft.SparseAttention": {1: 3, 2: 4},
    "com.microsoft.MultiHeadAttention": {1: 6, 2: 7},
    "com.microsoft.DecoderMaskedMultiHeadAttention": {1: 5, 2: 6},
    "com.microsoft.DecoderAttention": {1: 6, 2: 7},
    "com.microsoft.Attention": {1: 4},
    "com.microsoft.DecoderMaskedSelfAttention": {1: 4},
    "com.microsoft.QAttention": {1: 8},
}
"""For operators with cached keys and values: the input that each output with the new ones continues."""
STATE_INPUTS: Mapping[str, Mapping[int, int]] = {
    **{name: {1: 5, 2: 6} for name in RECURRENT},
    "LinearAttention": {1: 3},
    "com.microsoft.LinearAttention": {1: 3},
    "CausalConvWithState": {1: 3},
    "com.microsoft.CausalConvWithState": {1: 3},
    "com.microsoft.VarlenCausalConvWithState": {1: 4},
    "com.microsoft.GatedDeltaNet": {1: 6},
    "com.microsoft.Mamba2Verify": {1: 1, 2: 2},
}
"""For operators with a state of constant size: the input that each output with the next state continues."""
