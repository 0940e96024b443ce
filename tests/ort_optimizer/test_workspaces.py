"""What kernels allocate beside their outputs, held to what ``scripts/benchmark/workspaces.py`` measured of onnxruntime."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper, parser

from onnxcost.graph import Node, Tensor
from onnxcost.ort_optimizer.workspaces import workspace_of
from tests.modeltext import graph_of

Weight = tuple[int, ...] | tuple[str, tuple[int, ...]] | tuple[str, tuple[int, ...], int]


class Case(NamedTuple):
    """A model of one node, and the bytes that the arena gave to its kernel beside its outputs with two threads, in
    onnxruntime 1.32. Weights are float32 ones, or of the type that stands before their dims, and the number after them.
    """

    call: str
    inputs: str
    measured: int
    weights: dict[str, Weight] = {}  # noqa: RUF012  # never changed
    outputs: str = "y"
    opset: int = 20

    def model(self) -> ModelProto:
        header = f'<ir_version: 10, opset_import: ["" : {self.opset}, "com.microsoft" : 1]>'
        made = parser.parse_model(f"{header}\ng ({self.inputs}) => (float y) {{ {self.outputs} = {self.call} }}")
        del made.graph.output[:]
        names = [name for name in made.graph.node[0].output if name]
        made.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.UNDEFINED, None) for name in names)
        for output in made.graph.output:
            output.ClearField("type")
        for name, weight in self.weights.items():
            dtype, dims, *number = weight if weight and isinstance(weight[0], str) else ("float32", weight)
            made.graph.initializer.append(numpy_helper.from_array(np.full(dims, number[0] if number else 1, dtype), name))
        return made


SCALES: dict[str, Weight] = {"s": (), "z": ("uint8", ()), "o": ("int8", ())}
IMAGE = "float[1,16,32,32] x"
QCONV = "QLinearConv<{}>(x, s, z, w, s, o, s, z)"
QPOOL = "com.microsoft.QLinearAveragePool<kernel_shape = [2, 2]{}>(x, s, z, s, z)"
HEADS = "float[1,4,128,64] q, float[1,4,128,64] k, float[1,4,128,64] v"
ROWS = "float[1,128,256] q, float[1,128,256] k, float[1,128,256] v"
TWICE = ROWS.replace("[1,", "[2,")
GROUPED = "float[1,128,256] q, float[1,128,128] k, float[1,128,128] v, int32[1] s, int32 t"
GROUPS_OF_TWO = GROUPED.replace("[1,", "[2,").replace("[1]", "[2]")
PAST = "float[1,4,64,64] p, float[1,4,64,64] u"
GQA = "com.microsoft.GroupQueryAttention<num_heads = 4, kv_num_heads = 2{}>({})"
ONE_GROUP = "com.microsoft.GroupQueryAttention<num_heads = 1, kv_num_heads = 1>(q, k, v, , , s, t)"
MHA, PACKED = "com.microsoft.MultiHeadAttention<num_heads = 4{}>({})", "com.microsoft.Attention<num_heads = 4{}>({})"
PROJECTION: dict[str, Weight] = {"w": (256, 768), "b": (768,)}
MOE = 'com.microsoft.MoE<k = {}, activation_type = "{}"{}>(x, r, w, , v)'
QMOE = 'com.microsoft.QMoE<k = 1, activation_type = "swiglu", swiglu_fusion = 1, expert_weight_bits = 4{}>(x, r, w, s, , v, t)'
QUANTIZED_EXPERT: dict[str, Weight] = {"w": ("uint8", (1, 256, 32)), "v": ("uint8", (1, 64, 64))}
BOX, LINE = "pads = [1, 1, 1, 1]", "pads = [1, 1]"


def recurrent(gates: int, directions: int = 1, bias: int = 0) -> dict[str, Weight]:
    found: dict[str, Weight] = {"w": (directions, gates * 128, 64), "r": (directions, gates * 128, 128)}
    return found | ({"b": (directions, bias * 128)} if bias else {})


def one_head(rows: int, keys: int) -> str:
    return f"float16[1,1,{rows},64] q, float16[1,1,{keys},64] k, float16[1,1,{keys},64] v"


def halves(width: int) -> str:
    return ", ".join(f"float16[1,128,{width}] {name}" for name in "qkv")


ONE_GROUPS = ((64, 180224), (192, 409600))

CASES = (
    Case("Relu(x)", IMAGE, 0),
    Case("Sum(x, x)", IMAGE, 0),
    *(Case(f"{name}(x, x, x)", IMAGE, 65536) for name in ("Max", "Min", "Sum", "Mean")),
    Case("Softmax<axis = 1>(x)", IMAGE, 131072),
    Case("Softmax<axis = 0>(x)", "float[32,64] x", 16384),
    Case("Softmax<axis = -1>(x)", IMAGE, 0),
    Case("Softmax<axis = 1>(x)", IMAGE, 0, opset=11),
    Case("Where(m, x, z)", "bool[2,1,48] m, float[2,64,48] x, float[1] z", 25088),
    Case("Where(m, x, z)", "bool[2,64,48] m, int64[2,64,48] x, int64[1] z", 98304),
    Case("com.microsoft.BiasGelu(x, b)", IMAGE, 65536, {"b": (32,)}),
    Case("com.microsoft.FastGelu(x)", IMAGE, 0),
    Case("com.microsoft.FastGelu(x, b)", IMAGE, 65536, {"b": (32,)}),
    Case("Softmax<axis = -2>(x)", IMAGE, 131072),
    Case("LRN<size = 3>(x)", "float[1,16,8,8] x", 8704),
    Case("LRN<size = 5>(x)", "float[2,64,48,48] x", 1806336),
    Case("MeanVarianceNormalization<axes = [0, 2, 3]>(x)", IMAGE, 131072),
    Case("MeanVarianceNormalization<axes = [1, 2, 3]>(x)", IMAGE, 0),
    Case('Resize<mode = "linear", antialias = 1>(x, , c)', "float[1,3,400,320] x, float[4] c", 775424),
    Case(f"Conv<{LINE}>(x, w)", "float[1,64,1000] x", 131072, {"w": (64, 64, 3)}),
    Case(f"Conv<{LINE}>(x, w)", "float[1,64,50] x", 38400, {"w": (64, 64, 3)}),
    Case("Conv(x, w)", "float[1,64,1000] x", 0, {"w": (64, 64, 1)}),
    Case("Conv(x, w)", "float[1,4,16] x", 65600, {"w": (8, 4, 3)}),
    Case("Conv(x, w)", "float[1,16,64] x", 131072, {"w": (32, 16, 3)}),
    Case("Conv<group = 2>(x, w)", "float[1,128,8] x", 4608, {"w": (128, 64, 3)}),
    Case("Conv<group = 2>(x, w)", "float[1,64,1000] x", 131072, {"w": (64, 32, 3)}),
    Case("Conv<group = 4>(x, w)", "float[1,8,54] x", 131072, {"w": (8, 2, 5)}),
    Case("Conv(x, w)", "float[4,8,54] x", 131072, {"w": (8, 8, 5)}),
    Case("Conv<strides = [1]>(x, w)", "float[1,64,1000] x", 0, {"w": (64, 64, 1)}),
    Case("Conv<pads = [0, 1]>(x, w)", "float[1,64,1000] x", 131072, {"w": (64, 64, 1)}),
    Case("Conv<strides = [2]>(x, w)", "float[1,64,1000] x", 131072, {"w": (64, 64, 1)}),
    Case("Conv<pads = [1, 1, 1, 1, 1, 1]>(x, w)", "float[1,16,16,32,32] x", 131072, {"w": (16, 16, 3, 3, 3)}),
    Case("ConvTranspose(x, w)", IMAGE, 295040, {"w": (16, 8, 3, 3)}),
    Case("ConvTranspose(x, w)", "float[2,16,32] x", 3200, {"w": (16, 8, 3)}),
    Case("ConvTranspose<strides = [2, 2]>(x, w)", "float[3,16,32,32] x", 131072, {"w": (16, 8, 2, 2)}),
    Case("ConvTranspose<group = 4>(x, w)", IMAGE, 294912, {"w": (16, 8, 3, 3)}),
    Case("ConvTranspose(x, w)", "float[1,16,8,8,8] x", 442368, {"w": (16, 8, 3, 3, 3)}),
    Case(f"DeformConv<{BOX}>(x, w, o)", f"{IMAGE}, float[1,18,32,32] o", 884736, {"w": (8, 16, 3, 3)}),
    Case(f"DeformConv<{BOX}, offset_group = 2>(x, w, o)", f"{IMAGE}, float[1,36,32,32] o", 1179648, {"w": (8, 16, 3, 3)}),
    Case(f"ConvInteger<{BOX}>(x, w)", "uint8[1,16,32,32] x", 147456, {"w": ("uint8", (8, 16, 3, 3))}),
    Case(f"ConvInteger<{BOX}, group = 4>(x, w)", "uint8[1,16,32,32] x", 36864, {"w": ("uint8", (8, 4, 3, 3))}),
    Case("ConvInteger(x, w)", "uint8[1,16,32,32] x", 0, {"w": ("uint8", (8, 16, 1, 1))}),
    Case(QCONV.format(BOX), "uint8[1,16,32,32] x", 180224, SCALES | {"w": ("int8", (8, 16, 3, 3))}),
    Case(QCONV.format("group = 1"), "uint8[1,16,32,32] x", 32768, SCALES | {"w": ("int8", (8, 16, 1, 1))}),
    Case(QCONV.format("group = 8"), "uint8[1,8,32,32] x", 94176, SCALES | {"w": ("int8", (8, 1, 3, 3))}),
    Case(QCONV.format("group = 2"), "uint8[1,16,32,32] x", 122816, SCALES | {"w": ("int8", (16, 8, 3, 3))}),
    Case("com.microsoft.QGemm(x, s, z, w, s, o, , s, z)", "uint8[32,64] x", 6144, SCALES | {"w": ("int8", (64, 48))}),
    Case(QPOOL.format(""), "uint8[2,64,32,32] x", 524416, SCALES),
    Case(QPOOL.format(", channels_last = 1"), "uint8[2,32,32,64] x", 524416, SCALES),
    Case("QLinearMatMul(x, s, z, w, s, z, s, z)", "uint8[4,32,64] x", 24576, SCALES | {"w": ("uint8", (64, 48))}),
    Case("com.microsoft.QLinearSoftmax<axis = 1, opset = 13>(x, s, z, s, z)", "uint8[32,64,8] x", 32768, SCALES),
    Case("com.microsoft.DynamicQuantizeMatMul(x, w, s)", "float[4,32,64] x", 8192, {"s": (), "w": ("uint8", (64, 48))}),
    Case("com.microsoft.MatMulNBits<K = 256, N = 128, bits = 4, block_size = 32, accuracy_level = 4>(x, w, s)",
         "float[1,8,256] x", 2623, {"s": (1024,), "w": ("uint8", (128, 8, 16))}),
    Case("com.microsoft.MatMulNBits<K = 272, N = 128, bits = 4, block_size = 32, accuracy_level = 4>(x, w, s)",
         "float[1,8,272] x", 2943, {"s": (1152,), "w": ("uint8", (128, 9, 16))}),
    Case("com.microsoft.MatMulNBits<K = 256, N = 128, bits = 8, block_size = 32>(x, w, s)",
         "float[1,8,256] x", 131072, {"s": (1024,), "w": ("uint8", (128, 8, 32))}),
    Case("RNN<hidden_size = 128>(x, w, r, b)", "float[10,4,64] x", 20480, recurrent(1, bias=2), "y, h"),
    Case("RNN<hidden_size = 128>(x, w, r)", "float[10,4,64] x", 20480, recurrent(1), "y, h"),
    Case("LSTM<hidden_size = 128>(x, w, r, b)", "float[10,4,64] x", 93440, recurrent(4, bias=8), "y, h"),
    Case("GRU<hidden_size = 128>(x, w, r)", "float[10,4,64] x", 67840, recurrent(3)),
    Case("GRU<hidden_size = 128, linear_before_reset = 1>(x, w, r)", "float[10,4,64] x", 67840, recurrent(3), "y, h"),
    Case("LSTM<hidden_size = 128>(x, w, r, b)", "float[10,4,64] x", 91392, recurrent(4, bias=8), "y, h, c"),
    Case("LSTM<hidden_size = 128>(x, w, r)", "float[10,1,64] x", 23296, recurrent(4), "y, h, c"),
    Case("LSTM<hidden_size = 128>(x, w, r, b)", "float[10,1,64] x", 26368, recurrent(4, bias=8)),
    Case('LSTM<hidden_size = 128, direction = "bidirectional">(x, w, r, b)', "float[10,4,64] x", 213504,
         recurrent(4, 2, bias=8), "y, h, c"),
    Case('LSTM<hidden_size = 128, direction = "reverse">(x, w, r, b)', "float[10,4,64] x", 122112,
         recurrent(4, bias=8), "y, h, c"),
    Case("GRU<hidden_size = 128>(x, w, r, b)", "float[10,4,64] x", 71936, recurrent(3, bias=6), "y, h"),
    Case("GRU<hidden_size = 128, linear_before_reset = 1>(x, w, r, b)", "float[10,1,64] x", 19200,
         recurrent(3, bias=6), "y, h"),
    Case('GRU<hidden_size = 128, direction = "bidirectional">(x, w, r, b)', "float[50,1,64] x", 197632,
         recurrent(3, 2, bias=6), "y, h"),
    Case("Attention(q, k, v)", HEADS, 262144, opset=23),
    Case("Attention<is_causal = 1>(q, k, v)", HEADS, 327680, opset=23),
    Case("Attention(q, k, v, m)", f"{HEADS}, float[128,128] m", 262144, opset=23),
    Case("Attention<is_causal = 1>(q, k, v, m)", f"{HEADS}, float[128,128] m", 327680, opset=23),
    Case("Attention(q, k, v, m)", f"{HEADS}, bool[128,128] m", 327680, opset=23),
    Case("Attention<q_num_heads = 4, kv_num_heads = 4>(q, k, v)", ROWS, 262144, opset=23),
    Case(MHA.format("", "q, k, v"), ROWS, 591872),
    Case(MHA.format("", "q, k, v, , , a"), f"{ROWS}, float[1,4,128,128] a", 786688),
    Case(PACKED.format("", "x, w, b"), "float[1,128,256] x", 786688, PROJECTION),
    Case("Attention(q, k, v, , p, u)", f"{HEADS}, {PAST}", 393216, outputs="y, n, o", opset=23),
    Case("Attention<is_causal = 1>(q, k, v, , p, u)", f"{HEADS}, {PAST}", 491520, outputs="y, n, o", opset=23),
    Case(MHA.format("", "q, k, v, b"), ROWS, 591872, {"b": (768,)}),
    Case(MHA.format("", "q, k, v, , , , p, u"), f"{ROWS}, {PAST}", 917760),
    Case(MHA.format("", "q, k, v, , m"), f"{ROWS}, int32[1,128] m", 787200),
    Case(MHA.format("", "q, k, v, , m"), f"{TWICE}, int32[2,128,128] m", 1704448),
    Case(MHA.format(", unidirectional = 1", "q, k, v"), TWICE, 1704448),
    Case(MHA.format("", "q, k, v"), "float[1,128,256] q, float[1,4,96,64] k, float[1,4,96,64] v", 459008),
    Case(MHA.format("", "q, k, v"), "float[2,128,256] q, float[2,96,256] k, float[2,96,128] v", 656896),
    Case(MHA.format("", "q, k, v"), "float[1,1,256] q, float[1,128,256] k, float[1,128,256] v", 264960),
    Case(PACKED.format("", "x, w, b, , p"), "float[1,128,256] x, float[2,1,4,64,64] p", 917760, PROJECTION, "y, n"),
    Case(PACKED.format("", "x, w, b, m"), "float[1,128,256] x, int32[1,128] m", 787200, PROJECTION),
    Case(PACKED.format("", "x, w, b, m"), "float[2,128,256] x, int32[2,128,128] m", 1704448, PROJECTION),
    Case(PACKED.format(", unidirectional = 1", "x, w, b"), "float[2,128,256] x", 1704448, PROJECTION),
    # Of one head, so that the number of threads at work does not depend on their timing.
    Case("Attention(q, k, v)", one_head(512, 512), 1572864, opset=23),
    Case("Attention(q, k, v)", one_head(64, 2048), 786432, opset=23),
    Case("Attention<is_causal = 1>(q, k, v)", one_head(256, 256), 524288, opset=23),
    *(Case(ONE_GROUP, f"{halves(width)}, int32[1] s, int32 t", measured, outputs="y, p, u") for width, measured in ONE_GROUPS),
    Case(GQA.format("", "q, k, v, , , s, t"), GROUPED, 460800, outputs="y, p, u"),
    Case(GQA.format("", "q, , , , , s, t"), "float[1,128,512] q, int32[1] s, int32 t", 460800, outputs="y, p, u"),
    Case(GQA.format(", softcap = 2.0", "q, k, v, , , s, t"), GROUPED, 524288, outputs="y, p, u"),
    Case(GQA.format(", smooth_softmax = 1", "q, k, v, , , s, t"), GROUPED, 524288, outputs="y, p, u"),
    Case(GQA.format(", do_rotary = 1", "q, k, v, , , s, t, c, n"), f"{GROUPED}, float[128,32] c, float[128,32] n", 657408,
         outputs="y, p, u"),
    Case(MOE.format(1, "gelu", ""), "float[64,64] x, float[64,1] r", 956928, {"w": (1, 128, 64), "v": (1, 64, 128)}),
    Case(MOE.format(1, "gelu", ""), "float[64,64] x, float[64,2] r", 1896960, {"w": (2, 128, 64), "v": (2, 64, 128)}),
    Case(MOE.format(1, "gelu", ""), "float[1,64] x, float[1,2] r", 924672, {"w": (2, 128, 64), "v": (2, 64, 128)}),
    Case(MOE.format(2, "swiglu", ", swiglu_fusion = 1"), "float[16,64] x, float[16,4] r", 2384384,
         {"w": (4, 256, 64), "v": (4, 64, 128)}),
    Case(QMOE.format(""), "float[16,64] x, float[16,1] r", 136960, QUANTIZED_EXPERT | {"s": (1, 256), "t": (1, 64)}),
    Case(QMOE.format(", block_size = 32"), "float[16,64] x, float[16,1] r", 38656,
         QUANTIZED_EXPERT | {"s": (1, 256, 2), "t": (1, 64, 4)}),
    Case(QMOE.format(""), "float[16,256] x, float[16,1] r", 469952,
         {"w": ("uint8", (1, 256, 128)), "v": ("uint8", (1, 256, 64)), "s": (1, 256), "t": (1, 256)}),
    Case('Einsum<equation = "ij,jk,kl->il">(x, w, v)', "float[64,96] x, float[96,128] w, float[128,32] v", 90112),
    Case('Einsum<equation = "ijk,kl->ijl">(x, w)', "float[8,32,64] x, float[64,48] w", 61440),
    Case('Einsum<equation = "bij,bkj->bik">(x, w)', "float[4,64,96] x, float[4,128,96] w", 524288),
    Case('Einsum<equation = "bihd,bjhd->bhij">(x, w)', "float[2,64,4,32] x, float[2,96,4,32] w", 458752),
    Case('Einsum<equation = "bihd,bjhd->bhij">(x, w)', "float[1,64,4,32] x, float[1,96,4,32] w", 327680),
    Case('Einsum<equation = "bhij,bjhd->bihd">(x, w)', "float[2,4,64,96] x, float[2,96,4,32] w", 327680),
    Case('Einsum<equation = "bchw,cd->bdhw">(x, w)', "float[2,96,8,8] x, float[96,128] w", 229376),
    Case('Einsum<equation = "nhwc,hkc->nhwk">(x, w)', "float[2,8,16,64] x, float[8,16,64] w", 163840),
    Case('Einsum<equation = "bij->bji">(x)', "float[8,64,128] x", 262144),
    Case("DFT<onesided = 1>(x)", "float[4,400,1] x", 32992),
    Case("DFT<onesided = 1>(x)", "float[4,512,1] x", 224),
    Case("DFT(x)", "float[4,8,400,1] x", 0, opset=17),
    Case("DFT<axis = 2>(x)", "float[4,8,400,1] x", 32768, opset=17),
    Case("STFT(x, a, w)", "float[1,4000,1] x", 32824, {"w": (400,), "a": ("int64", ())}),
    Case("STFT(x, a, w)", "float[1,4000,1] x", 248, {"w": (512,), "a": ("int64", ())}),
    Case(PACKED.format("", "x, w, b, , p"), "float[1,128,256] x, float[2,1,4,32,64] p", 852224, PROJECTION, "y, n"),
    Case(MHA.format("", "q, k, v, , , , p, u"), f"{ROWS}, float[1,4,32,64] p, float[1,4,32,64] u", 852224),
    Case(MHA.format("", "q, k, v, b"), "float[1,1024,256] q, float[1,16,256] k, float[1,16,256] v", 2098176, {"b": (768,)}),
    Case(MHA.format("", "q, k, v, b"), "float[1,16,256] q, float[1,1024,256] k, float[1,1024,128] v", 2114560, {"b": (640,)}),
    Case(MHA.format("", "q, k, v, b"), "float[1,16,256] q, float[1,1024,256] k, float[1,1024,256] v", 3163136, {"b": (768,)}),
    Case(MHA.format("", "q, k, v, b"), "float[1,16,128] q, float[1,1024,128] k, float[1,1024,32] v", 1057280, {"b": (288,)}),
    Case(MHA.format("", "q, k, v, , m"), "float[2,2,16] q, float[2,8192,16] k, float[2,8192,16] v, int32[2] m", 2688000),
    Case(QCONV.format(BOX), "uint8[1,16,32,32] x", 212992, SCALES | {"w": ("int8", (16, 16, 3, 3))}),
    Case(QCONV.format(BOX), "uint8[1,16,32,32] x", 73728, SCALES | {"w": ("int8", (16, 16, 3, 3)), "o": ("int8", (), 0)}),
    Case(QCONV.format("group = 1"), "uint8[1,16,32,32] x", 0, SCALES | {"w": ("int8", (16, 16, 1, 1)), "o": ("int8", (), 0)}),
    Case(QCONV.format(BOX), "uint8[1,18,32,32] x", 231424, SCALES | {"w": ("int8", (16, 18, 3, 3)), "o": ("int8", (), 0)}),
    Case(QCONV.format("group = 16"), "uint8[1,16,32,32] x", 65328,
         SCALES | {"w": ("int8", (16, 1, 3, 3)), "o": ("int8", (), 0)}),
    Case("QLinearConv(x, s, o, w, s, o, s, o)", "int8[1,16,32,32] x", 187584,
         SCALES | {"w": ("int8", (16, 16, 3, 3)), "o": ("int8", (), 0)}),
    Case("QLinearConv(x, s, o, w, s, o, s, o)", "int8[1,16,32,32] x", 187584, SCALES | {"w": ("int8", (16, 16, 3, 3))}),
    Case(MOE.format(1, "gelu", ""), "float[512,16] x, float[512,1] r", 540672, {"w": (1, 32, 16), "v": (1, 16, 32)}),
    Case("com.microsoft.MatMulNBits<K = 256, N = 128, bits = 4, block_size = 32, accuracy_level = 4>(x, w, s)",
         "float[1,64,256] x", 20543, {"s": (1024,), "w": ("uint8", (128, 8, 16))}),
    Case("Attention<q_num_heads = 1, kv_num_heads = 1>(q, k, v)", halves(64), 98304, opset=23),
    Case(GQA.format(", softcap = 2.0", "q, k, v, , , s, t"), GROUPS_OF_TWO, 1048576, outputs="y, p, u"),
    Case(GQA.format(", do_rotary = 1", "q, k, v, , , s, t, c, n"),
         f"{GROUPS_OF_TWO}, float[128,32] c, float[128,32] n", 1116160, outputs="y, p, u"),
    Case("GRU<hidden_size = 128, linear_before_reset = 1>(x, w, r, b)", "float[10,64,64] x", 1212672,
         recurrent(3, bias=6), "y, h"),
    Case("LRN<size = 5>(x)", "float[1,3,64,64] x", 163840),
    Case(f"Conv<{LINE}>(x, w)", "float[1,64,64] x", 131072, {"w": (64, 64, 3)}),
    Case(MHA.format("", "q, k, v"), "float[1,128,256] q, float[1,2048,256] k, float[1,2048,256] v", 4917248),
    Case(MHA.format("", "q, k, v"), "float[1,1,16] q, float[1,1024,16] k, float[1,1024,16] v", 139968),
    Case("MeanVarianceNormalization(x)", IMAGE, 131072),
    Case("STFT(x, a, , n)", "float[1,4000,1] x", 32784, {"a": ("int64", (), 80), "n": ("int64", (), 400)}),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.call} {case.inputs}")
def test_as_onnxruntime_allocates(case: Case) -> None:
    """Not more; less by what small tables and rounded sizes take, which are not estimated."""
    batch = 2 if "int32[2] s" in case.inputs else 1
    values = {"t": 128, "s": [127] * batch} if "GroupQuery" in case.call else {}
    values |= {"c": [1.0, 1.0, 0.5, 0.5]} if "Resize" in case.call else {}
    found = workspace_of(graph_of(case.model(), values=values).nodes[-1])
    assert case.measured - (8192 if "Resize" in case.call else 1024) <= found <= case.measured


def test_transposed_weights_make_no_larger_states() -> None:
    """The arena gave 104,192 bytes to this kernel: those of LSTM, and the rows as integers."""
    weights: dict[str, Weight] = {"w": ("int8", (1, 64, 512)), "r": ("int8", (1, 128, 512)), "b": (1, 1024)}
    call = "com.microsoft.DynamicQuantizeLSTM<hidden_size = 128>(x, w, r, b, , , , , s, o, s, o)"
    case = Case(call, "float[10,4,64] x", 104192, weights | {"s": (1,), "o": ("int8", (1,))}, "y, h")
    plain = Case("LSTM<hidden_size = 128>(x, w, r, b)", "float[10,4,64] x", 93440, recurrent(4, bias=8), "y, h")
    quantized, float_ = (workspace_of(graph_of(each.model()).nodes[0]) for each in (case, plain))
    assert quantized == float_


# Dims of the input, of the weight and its type, groups; 8 bytes for each element of a window and place, 4 for each sum, 1 for
# each element of a column.
BETWEEN_CONVERSIONS = {
    "symmetric": ((1, 4, 10, 10), (16, 4, 3, 3), "int8", 1, 8 * 9 * 64),
    "symmetric, of one dim": ((1, 4, 10), (16, 4, 3), "int8", 1, 8 * 3 * 8),
    "symmetric, of single elements": ((1, 4, 8, 8), (16, 4, 1, 1), "int8", 1, 0),
    "of unsigned weights": ((1, 4, 10, 10), (16, 4, 3, 3), "uint8", 1, 4 * 16 * 64 + 4 * 9 * 64),
    "of few filters": ((1, 4, 10, 10), (15, 4, 3, 3), "int8", 1, 4 * 15 * 64 + 4 * 9 * 64),
    "of an odd number of channels": ((1, 3, 10, 10), (16, 3, 3, 3), "int8", 1, 4 * 16 * 64 + 3 * 9 * 64),
    "of groups": ((1, 8, 10, 10), (16, 4, 3, 3), "int8", 2, 4 * 16 * 64 + 4 * 9 * 64),
    "depthwise": ((1, 16, 10, 10), (16, 1, 3, 3), "int8", 16, 8 * 9 * 64),
    "depthwise, of an odd number of channels": ((1, 12, 10, 10), (12, 1, 3, 3), "int8", 12, 4 * 12 * 64 + 8 * 9 * 64),
}  # fmt: skip


@pytest.mark.parametrize(
    ("dims", "weight", "dtype", "groups", "expected"), BETWEEN_CONVERSIONS.values(), ids=BETWEEN_CONVERSIONS.keys()
)
def test_a_convolution_between_conversions(
    dims: tuple[int, ...], weight: tuple[int, ...], dtype: str, groups: int, expected: int
) -> None:
    """MlasConvSymPackWSize: what symmetric kernels take, x86-64 with VNNI has them, and what the other one takes."""
    out = (1, weight[0], *(size - kernel + 1 for size, kernel in zip(dims[2:], weight[2:], strict=True)))
    inputs = (Tensor("x", "uint8", dims), Tensor("w", dtype, weight, True))
    node = Node("", "QLinearConv", "", inputs, (Tensor("y", "uint8", out),), {"group": groups})
    assert workspace_of(node) == expected
