"""What operators are by their specification: sets of ``Node.key``, from which other modules make theirs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnxcost.formulas import activation, elementwise

IDENTITIES = frozenset({"Identity", "Dropout"})
"""The first output is the first input."""

VIEWS = IDENTITIES | {"Reshape", "Flatten", "Squeeze", "Unsqueeze", "com.microsoft.ExpandDims"}
"""The first output is the first input under another shape or name: no byte moves."""

CASTS = frozenset({"Cast", "CastLike"})
QUANTIZERS = frozenset({"QuantizeLinear", "com.microsoft.QuantizeLinear"})
DEQUANTIZERS = frozenset({"DequantizeLinear", "com.microsoft.DequantizeLinear"})

REARRANGEMENTS = frozenset(
    {"Transpose", "Slice", "Split", "Expand", "Tile", "Pad", "Concat", "DepthToSpace", "SpaceToDepth", "Trilu"}
    | {"ReverseSequence", "CenterCropPad", "com.microsoft.Pad", "com.microsoft.Trilu"}
)
"""Outputs hold elements of the first input (Concat: of all), whatever these are; what is added is constant."""

GATHERS = frozenset({"Gather", "GatherElements", "GatherND", "com.microsoft.GatherND", "com.microsoft.TorchEmbedding"})
"""The output is what the second input picks of the first."""
SCATTERS = frozenset({"Scatter", "ScatterElements", "ScatterND"})
"""The output is the first input with the third written in where the second says."""

CONTAINERS = frozenset(
    {"SequenceConstruct", "SequenceEmpty", "SequenceInsert", "SequenceErase", "SequenceAt", "SequenceLength"}
    | {"Optional", "OptionalGetElement", "OptionalHasElement"}
)
"""They hand tensors on by reference."""

SHAPE_READERS = frozenset({"Shape", "Size"})
"""They need the dims of their input, and none of its elements."""

RANDOM = frozenset({"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"})
"""Equal inputs may give other outputs. (Dropout is an identity in inference.)"""

CONVOLUTIONS = frozenset(
    {"Conv", "ConvInteger", "QLinearConv", "com.microsoft.FusedConv", "com.microsoft.NhwcConv", "com.microsoft.NhwcFusedConv"}
    | {"com.microsoft.QLinearConv", "com.microsoft.nchwc.Conv"}
)
FLOAT_PRODUCTS = frozenset(
    {"Gemm", "MatMul", "com.microsoft.FusedGemm", "com.microsoft.FusedMatMul", "com.microsoft.TransposeMatMul"}
    | {"com.microsoft.MatMulNBits"}
)
PRODUCTS = FLOAT_PRODUCTS | frozenset(
    {"MatMulInteger", "QLinearMatMul", "com.microsoft.QGemm", "com.microsoft.MatMulIntegerToFloat"}
    | {"com.microsoft.DynamicQuantizeMatMul"}
)
"""Products of matrices, with a bias or without."""

POOLS = frozenset({"MaxPool", "AveragePool", "LpPool"})
"""Each output is made of what a window of ``kernel_shape`` sees."""
REDUCTIONS = frozenset(
    {
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceMax",
        "ReduceMean",
        "ReduceMin",
        "ReduceProd",
        "ReduceSum",
    }
    | {"ReduceSumSquare"}
)
RECURRENT = frozenset({"RNN", "GRU", "LSTM"})
WINDOWS = frozenset({"HannWindow", "HammingWindow", "BlackmanWindow"})
"""Windows of a signal."""

RECTIFIERS = frozenset({"Relu", "LeakyRelu", "PRelu", "ThresholdedRelu", "Elu", "Selu", "Celu", "Softplus"})
"""Activations that keep what is above 0, and little of what is below."""
_FUSED_ACTIVATIONS = ("Gelu", "BiasGelu", "FastGelu", "QuickGelu", "ScaledSiLU", "SwiGLU", "BiasSplitGelu")
ACTIVATIONS = activation.POINTWISE.keys() | {"Gelu", *(f"com.microsoft.{name}" for name in _FUSED_ACTIVATIONS)}
"""Those of single elements, so not Softmax."""

_FUSED_SUMS = ("BiasAdd", "GatedAdd", "BiasDropout", "BitmaskBiasDropout")
_ON_CODES = ("QLinearAdd", "QLinearMul", "QLinearSigmoid", "QLinearLeakyRelu", "QLinearWhere")
POINTWISE = (
    (elementwise.TABLE.keys() | ACTIVATIONS | CASTS | QUANTIZERS | {"BatchNormalization"})
    | {f"com.microsoft.{name}" for name in (*_FUSED_SUMS, *_ON_CODES)}
)  # fmt: skip
"""Each element of the output needs the elements of the inputs at its own place alone, and learned ones."""

_FIRST, _BOTH, _ALL = range(1), range(2), range(1 << 31)
ELEMENTS_FROM: Mapping[str, Sequence[int]] = {
    **dict.fromkeys(VIEWS | CASTS | REARRANGEMENTS | GATHERS, _FIRST),
    **dict.fromkeys(("Clip", "Compress", "TopK", "Unique", "com.microsoft.Unique", "ReduceMax", "ReduceMin"), _FIRST),
    **dict.fromkeys(("SplitToSequence", "SequenceAt", "SequenceErase", "ConcatFromSequence"), _FIRST),
    **dict.fromkeys(("Optional", "OptionalGetElement"), _FIRST),
    **dict.fromkeys(("Concat", "Max", "Min", "SequenceConstruct"), _ALL),
    **dict.fromkeys(SCATTERS, (0, 2)),
    "SequenceInsert": _BOTH,
    "Where": range(1, 3),
    "Add": _BOTH,
    "Sub": _FIRST,
}
"""The inputs whose elements the outputs hold: in another order, some of them, along with others, or shifted."""
