"""Each convention on single nodes; the numbers follow from the published rules and can be checked by hand."""

from __future__ import annotations

import pytest

from onnxcost.conventions import CONVENTIONS, find_convention
from onnxcost.errors import InputError
from onnxcost.formulas import FORMULAS
from onnxcost.graph import NO_WORK, Node
from tests.graphs import node, tensor


def weight(*dims: int) -> object:
    return tensor("w" + "x".join(map(str, dims)), *dims, constant=True)


X = tensor("x", 1, 16, 8, 8)  # 1024 elements
CONV_OUT = tensor("y", 1, 32, 8, 8)  # 2048 elements
CONV = node("Conv", [X, weight(32, 16, 3, 3), weight(32)], [CONV_OUT], group=1)  # 2048 · 16 · 9 = 294 912 MACs
FUSED = node("com.microsoft.FusedConv", [X, weight(32, 16, 3, 3), weight(32)], [CONV_OUT], activation="Relu")
DEPTHWISE = node("Conv", [X, weight(16, 1, 3, 3)], [X], group=16)  # 1024 · 9 = 9 216 MACs
GEMM = node("Gemm", [tensor("a", 2, 100), weight(100, 10), weight(10)], [tensor("b", 2, 10)], transA=0, transB=0)  # 2 000 MACs
ATTENTION = node("MatMul", [tensor("q", 4, 8, 16), tensor("k", 4, 16, 8)], [tensor("s", 4, 8, 8)])  # 256 · 16 MACs
FUSED_ATTENTION = node(
    "com.microsoft.FusedMatMul", [tensor("q", 4, 8, 16), tensor("k", 4, 8, 16)], [tensor("s", 4, 8, 8)], transB=1
)
SOFTMAX = node("Softmax", [tensor("s", 4, 8)], [tensor("p", 4, 8)], axes=(1,), axis=1)
POOLED = tensor("p", 1, 16, 4, 4)  # 256 elements
AVERAGE = node("AveragePool", [X], [POOLED], kernel_shape=(2, 2), count_include_pad=0, ceil_mode=0)
GLOBAL = node("GlobalAveragePool", [X], [tensor("p", 1, 16, 1, 1)])
MAX = node("MaxPool", [X], [POOLED], kernel_shape=(2, 2), ceil_mode=0)
BATCH_NORM = node("BatchNormalization", [X, *[weight(16)] * 4], [tensor("y", 1, 16, 8, 8)], training_mode=0)
LAYER_NORM = node("LayerNormalization", [X, weight(8), weight(8)], [tensor("y", 1, 16, 8, 8)], axis=-1)
UP = tensor("u", 1, 16, 16, 16)  # 4096 elements
LSTM = node(
    "LSTM",
    [tensor("x", 5, 2, 10), weight(1, 24, 10), weight(1, 24, 6), weight(1, 48)],
    [tensor("y", 5, 1, 2, 6)],
    hidden_size=6,
    direction="forward",
    layout=0,
)
OUT = {"Relu": tensor("y", 1, 16, 8, 8)}

UPSAMPLE = node(
    "ConvTranspose",
    [tensor("x", 2, 16, 8, 8), weight(16, 8, 2, 2), weight(8)],
    [tensor("y", 2, 8, 16, 16)],
    group=1,
    strides=(2, 2),
)  # 2048 · 8 · 4 = 65 536 MACs, 4096 outputs
GROUPED_UPSAMPLE = node("ConvTranspose", [X, weight(16, 8, 2, 2)], [tensor("y", 1, 16, 16, 16)], group=2, strides=(2, 2))
SCORES = node(
    "Einsum", [tensor("q", 4, 8, 129), tensor("k", 4, 129, 33)], [tensor("s", 4, 8, 33)], equation="bij,bjk->bik"
)  # 136 224 MACs
PADDED = node(
    "AveragePool",
    [tensor("x", 1, 1, 4, 4)],
    [tensor("p", 1, 1, 4, 4)],
    kernel_shape=(3, 3),
    strides=(1, 1),
    pads=(1, 1, 1, 1),
    count_include_pad=0,
    ceil_mode=0,
)  # windows cover 2, 3, 3 and 2 inputs an axis: 10 · 10
SIZED = node("Resize", [X, None, None, tensor("n", 4)], [UP], mode="nearest", antialias=0)
EMBEDDING = node("Gather", [weight(100, 8), tensor("i", 2, 5, dtype="int64")], [tensor("e", 2, 5, 8)], axis=0)
GRU = node(
    "GRU",
    [tensor("x", 5, 2, 10), weight(1, 18, 10), weight(1, 18, 6), weight(1, 36)],
    [tensor("y", 5, 1, 2, 6)],
    hidden_size=6,
    direction="forward",
    layout=0,
    linear_before_reset=0,
)
RNN = node(
    "RNN",
    [tensor("x", 5, 2, 10), weight(1, 6, 10), weight(1, 6, 6), weight(1, 12)],
    [tensor("y", 5, 1, 2, 6)],
    hidden_size=6,
    direction="forward",
    layout=0,
)
ROWS = node("Gather", [weight(100, 8), tensor("i", 5, dtype="int64")], [tensor("e", 5, 8)], axis=0)
COLUMNS = node("Gather", [weight(100, 8), tensor("i", 2, 5, dtype="int64")], [tensor("e", 100, 2, 5)], axis=1)
VECTOR = node("Add", [X, tensor("v", 8)], [OUT["Relu"]])
LINEAR_BIAS = node("Add", [X, weight(8)], [OUT["Relu"]])

# node: classic, torch, fvcore, thop, ptflops, torchinfo, calflops, ultralytics, onnx-tool
NUMBERS = {
    "Conv": (CONV, 294_912 + 2_048, 589_824, 294_912, 294_912, 296_960, 64 * 4_640, 591_872, 589_824, 296_960),
    "FusedConv": (FUSED, 294_912 + 2_048, 589_824, 294_912, 294_912, 296_960, 64 * 4_640, 591_872, 589_824, 0),
    "depthwise Conv": (DEPTHWISE, 9_216, 18_432, 9_216, 9_216, 9_216, 64 * 144, 18_432, 18_432, 9_216),
    "Gemm": (GEMM, 199 * 20, 4_000, 2_000, 2_000, 2_020, 2 * 1_010, 4_000, 4_000, 2_020),
    "FusedMatMul of activations": (FUSED_ATTENTION, 31 * 256, 8_192, 4_096, 0, 4_096, 0, 8_192, 8_192, 0),
    "MatMul of activations": (ATTENTION, 31 * 256, 8_192, 4_096, 0, 4_096, 0, 8_192, 8_192, 4_096),
    "Einsum of activations": (SCORES, 0, 272_448, 136_224, 0, 0, 0, 272_400, 272_448, 136_224),
    "ConvTranspose": (
        UPSAMPLE, 0, 131_072, 65_536, 4_096 * 64, 69_632, 2 * 256 * 520, 131_072 + 2 * 8 * 16, 131_072, 4_096 * 33,
    ),
    "ConvTranspose in groups": (GROUPED_UPSAMPLE, 0, 65_536, 32_768, 4_096 * 32, 32_768, 256 * 512, 32_768, 65_536, 4_096 * 32),
    "Relu": (node("Relu", [X], [OUT["Relu"]]), 1_024, 0, 0, 0, 2_048, 0, 1_024, 0, 1_024),
    "PRelu": (node("PRelu", [X, weight(16, 1, 1)], [OUT["Relu"]]), 0, 0, 0, 1_024, 2_048, 16, 1_024, 2_048, 2_048),
    "Tanh": (node("Tanh", [X], [OUT["Relu"]]), 5_120, 0, 0, 0, 0, 0, 0, 0, 76 * 1_024),
    "Sigmoid": (node("Sigmoid", [X], [OUT["Relu"]]), 4_096, 0, 0, 0, 0, 0, 0, 0, 32 * 1_024),
    "Erf": (node("Erf", [X], [OUT["Relu"]]), 0, 0, 0, 0, 2_048, 0, 1_024, 0, 0),
    "MaxPool": (MAX, 256, 0, 0, 0, 2_048, 0, 1_024, 0, 1_024),
    "AveragePool": (AVERAGE, 5 * 256, 0, 0, 256, 2_048, 0, 1_024, 2 * 1_280, 1_024),
    "padded AveragePool": (PADDED, 10 * 16, 0, 0, 16, 32, 0, 16, 2 * 116, 16 * 9),
    "GlobalAveragePool": (GLOBAL, 65 * 16, 0, 1_024, 1_040, 2_048, 0, 1_024, 2_080, 1_024 + 64),
    "BatchNormalization": (BATCH_NORM, 4_096, 0, 2_048, 4_096, 2_048, 32, 2_048, 8_192, 31 * 1_024),
    "LayerNormalization": (LAYER_NORM, 0, 0, 5_120, 4_096, 1_024, 16, 5_120, 8_192, 7 * 1_024 + 29 * 128),
    "Softmax": (SOFTMAX, 4 * 23, 0, 0, 4 * 23, 32, 0, 32, 0, 36 * 32),
    "Dropout": (node("Dropout", [X], [OUT["Relu"]]), 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "Add": (node("Add", [X, X], [OUT["Relu"]]), 0, 0, 0, 0, 0, 0, 0, 0, 1_024),
    "Add of a bias": (LINEAR_BIAS, 0, 0, 0, 0, 1_024, 8, 0, 0, 1_024),
    "Add of scalars": (node("Add", [tensor("a"), tensor("b")], [tensor("c")]), 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "Gather of an embedding": (EMBEDDING, 0, 0, 0, 0, 0, 2 * 800, 0, 0, 0),
    "Gather of rows": (ROWS, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "Gather of columns": (COLUMNS, 0, 0, 0, 0, 0, 0, 0, 0, 0),
    "Add of a vector that is no weight": (VECTOR, 0, 0, 0, 0, 0, 0, 0, 0, 1_024),
    "Resize cubic": (
        node("Resize", [X], [UP], mode="cubic", antialias=0), 0, 0, 0, 259 * 4_096, 4_096, 0, 1_024, 518 * 4_096, 8 * 4_096,
    ),
    "Resize nearest": (node("Resize", [X], [UP], mode="nearest", antialias=0), 0, 0, 4_096, 4_096, 4_096, 0, 1_024, 0, 0),
    "Resize to a size": (SIZED, 0, 0, 4_096, 4_096, 4_096, 0, 256, 0, 0),
    "Resize linear": (
        node("Resize", [X], [UP], mode="linear", antialias=0), 0, 0, 16_384, 45_056, 4_096, 0, 1_024, 90_112, 16_384,
    ),
    "GRU": (GRU, 0, 5_760, 0, 3_660, 3_660, 3_240, 10 * (2 * 288 - 36 + 36 + 42), 7_320, 10 * (324 + 110 * 6)),
    "RNN": (RNN, 0, 1_920, 0, 1_140, 1_140, 1_080, 10 * (2 * 96 - 12 + 12 + 6), 2_280, 0),
    "LSTM": (
        LSTM, 0, 2 * 5 * 2 * 24 * 16, 0, 5 * 2 * (4 * (6 * 16 + 6 + 12) + 24), 10 * (384 + 48 + 60), 10 * 432,
        10 * (2 * 384 - 48 + 48 + 60), 2 * 4_800, 10 * (432 + 180 * 6),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("made", "numbers"), [(made, numbers) for made, *numbers in NUMBERS.values()], ids=NUMBERS.keys())
def test_conventions(made: Node, numbers: list[int]) -> None:
    work = FORMULAS[made.key](made)
    counted = {name: convention.number(made, work) for name, convention in CONVENTIONS.items()}
    names = ("classic", "torch", "fvcore", "thop", "ptflops", "torchinfo", "calflops", "ultralytics", "onnx-tool")
    assert {name: counted[name] for name in names} == dict(zip(names, numbers, strict=True))
    assert counted["torch"] == 2 * counted["macs"]


ONNX_TOOL = {
    1: "Abs Neg Ceil Floor Round Sign Relu Not", 2: "LeakyRelu", 4: "Reciprocal HardSigmoid", 5: "HardSwish", 24: "Sqrt",
    32: "Exp Sigmoid", 35: "Elu", 36: "Softmax", 39: "Sin Cos", 43: "Log", 64: "Atan", 76: "Tanh Softplus", 80: "LogSoftmax",
    0: "Erf Identity Mish",
}  # fmt: skip
"""onnx_tool/node.py: instructions for an element, EXP 32, LOG 43, SIN and COS 39, SQRT 24, DIV 4, the others 1."""


@pytest.mark.parametrize(("times", "operator"), [(times, key) for times, keys in ONNX_TOOL.items() for key in keys.split()])
def test_onnx_tool_counts_instructions(times: int, operator: str) -> None:
    made = node(operator, [X], [OUT["Relu"]], axes=(1,), axis=1)
    assert CONVENTIONS["onnx-tool"].number(made, FORMULAS[operator](made)) == times * 1_024


def test_onnx_tool_counts_sums_and_reductions() -> None:
    three = node("Sum", [X, X, X], [OUT["Relu"]])
    mean = node("ReduceMean", [X], [tensor("m", 1, 16, 1, 1)], axes=(2, 3), keepdims=1)
    around = node("LRN", [X], [OUT["Relu"]], size=5)
    found = [CONVENTIONS["onnx-tool"].number(made, NO_WORK) for made in (three, mean, around)]
    assert found == [2 * 1_024, 1_024, (4 + 32 + 1 + 5) * 1_024]


def test_flops_of_a_dot_product_are_2n_minus_1_and_its_bias_1_more() -> None:
    """The notes: n multiplications + n - 1 additions."""
    assert CONVENTIONS["flops"].number(GEMM, FORMULAS["Gemm"](GEMM)) == 20 * (2 * 100 - 1) + 20


def test_an_unknown_convention_is_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="'mac'; did you mean 'macs'"):
        find_convention("mac")
