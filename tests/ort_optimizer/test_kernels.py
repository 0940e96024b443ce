"""The families of single kernels, and what runs beside each."""

from __future__ import annotations

from dataclasses import replace
from math import log, log2

import pytest

from onnxcost.graph import Node, Tensor
from onnxcost.ort_optimizer.fused_node import FusedNode, Reuse
from onnxcost.ort_optimizer.kernels import FAMILIES, KernelRun, family_of, kernel_runs
from onnxcost.ort_optimizer.quantities import EDGE
from tests.graphs import node, tensor
from tests.modeltext import graph_of, model


def first_family(text: str, **weights: tuple[int, ...]) -> str:
    """Of a graph's first node, as it is."""
    return family_of(FusedNode(graph_of(model(text, opset=18, **weights)).nodes[0]))


@pytest.mark.parametrize(
    ("shape", "order", "family"),
    [
        # Rows stay together.
        ((1, 8, 16, 32), (0, 2, 1, 3), "transpose-rows"),
        ((64, 49, 3, 6, 32), (2, 0, 3, 1, 4), "transpose-rows"),
        # A single dim changes its place, wherever the ones are.
        ((1, 7, 7, 512), (0, 3, 1, 2), "transpose"),
        ((1, 512, 7, 7), (0, 2, 3, 1), "transpose"),
        ((4, 5), (1, 0), "transpose"),
        ((3, 4, 5), (2, 0, 1), "transpose"),
        # Several do.
        ((3, 4, 5), (2, 1, 0), "transpose-scattered"),
        ((64, 8, 7, 8, 7), (1, 3, 2, 4, 0), "transpose-scattered"),
        ((1, 64, 8, 7, 8, 7), (0, 2, 4, 3, 5, 1), "transpose-scattered"),
        # Nothing does but a dim of 1.
        ((1, 8, 1, 32), (0, 2, 1, 3), "view"),
        ((4, 1, 5), (0, 2, 1), "view"),
        ((1, 8, 4, 1), (3, 1, 2, 0), "view"),
        ((4, 5, 6), (0, 1, 2), "view"),
    ],
)
def test_transposes(shape: tuple[int, ...], order: tuple[int, ...], family: str) -> None:
    dims = ",".join(map(str, shape))
    assert (
        first_family(f"(float[{dims}] x) => (float y) {{ y = Transpose<perm = [{','.join(map(str, order))}]>(x) }}") == family
    )


@pytest.mark.parametrize(("shape", "family"), [("4,5", "transpose"), ("3,4,5", "transpose-scattered"), ("1,5,1", "view")])
def test_without_an_order_a_transpose_turns_all_dims(shape: str, family: str) -> None:
    assert first_family(f"(float[{shape}] x) => (float y) {{ y = Transpose(x) }}") == family


@pytest.mark.parametrize(
    ("operator", "axes", "family"),
    [
        ("ReduceMean", (3,), "reduce"),
        ("ReduceMean", (-1,), "reduce"),
        ("ReduceSum", (2, 3), "reduce"),
        ("ReduceMax", (3, 1, 2), "reduce"),
        ("ReduceMin", None, "reduce"),
        ("ReduceMean", (1,), "reduce-before"),
        ("ReduceMean", (-2,), "reduce-before"),
        ("ReduceSum", (1, 3), "reduce-before"),
        ("ReduceMean", (0, 1), "reduce-before"),
        ("ReduceL2", (3,), "reduce-slow"),
        ("ReduceProd", (1,), "reduce-slow"),
    ],
)
def test_reductions(operator: str, axes: tuple[int, ...] | None, family: str) -> None:
    """By the last dims, by others, and by operators that onnxruntime has no quick loop for."""
    stored, read = ("", "x")
    if axes is not None:
        stored, read = f"<int64[{len(axes)}] axes = {{{','.join(map(str, axes))}}}>", "x, axes"
    text = f"(float[2,3,4,5] x) => (float y) {stored} {{ y = {operator}({read}) }}"
    graph = graph_of(model(text, opset=18))
    assert family_of(FusedNode(graph.nodes[0])) == family


@pytest.mark.parametrize(("axes", "family"), [("[2]", "reduce"), ("[0]", "reduce-before")])
def test_reductions_of_old_models_say_their_dims_in_an_attribute(axes: str, family: str) -> None:
    text = f"(float[2,3,4] x) => (float y) {{ y = ReduceMean<axes = {axes}>(x) }}"
    assert family_of(FusedNode(graph_of(model(text, opset=13)).nodes[0])) == family


QLINEAR = "float s, {0} p, int8[{1},{2},3,3] w, float sw, int8 zw"


@pytest.mark.parametrize("dtype", ["uint8", "int8"])
@pytest.mark.parametrize(
    ("channels", "inner", "groups", "family"),
    [
        (32, 32, 1, ""),
        (32, 8, 4, "-grouped"),
        (32, 1, 32, "-depthwise"),
        (40, 1, 40, "-ragged"),
        (48, 1, 48, "-depthwise"),
    ],
)
def test_convolutions_of_integers(dtype: str, channels: int, inner: int, groups: int, family: str) -> None:
    """Depthwise ones by whole blocks of 16 channels or not; int8 stays that where the model itself says so."""
    given = QLINEAR.format(dtype, channels, inner)
    text = f"""({dtype}[1,{channels},8,8] x, {given}) => ({dtype} y) {{
        y = QLinearConv<group = {groups}>(x, s, p, w, sw, zw, s, p) }}"""
    assert first_family(text) == f"conv-int8{'-signed' if dtype == 'int8' else ''}{family}"


@pytest.mark.parametrize(
    ("given", "line", "family"),
    [
        ("uint8[16,8] w", "QLinearMatMul(x, s, z, w, s, z, s, z)", "matmul-int8"),
        ("", "QLinearMatMul(x, s, z, k, s, z, s, z)", "gemm-int8-unsigned"),
        ("", "QLinearMatMul(x, s, z, i, s, o, s, z)", "gemm-int8"),
        ("", "com.microsoft.QLinearSoftmax<axis = -1, opset = 13>(x, s, z, s, z)", "softmax-int8"),
    ],
)
def test_products_and_softmax_of_integers(given: str, line: str, family: str) -> None:
    """Products with weights are told from those of two values."""
    stored = "float s = {0.1}, uint8 z = {0}, uint8[16,1] k = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}"
    stored += ", int8 o = {0}, int8[16,1] i = {1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1}"
    text = f"(uint8[4,16] x{given and ', '}{given}) => (uint8 y) <{stored}> {{ y = {line} }}"
    graph = graph_of(model(text, opset=18, domains=', "com.microsoft" : 1'))
    assert family_of(FusedNode(graph.nodes[0])) == family


@pytest.mark.parametrize(
    ("line", "family"),
    [
        ("Pow(x, two)", "cheap"),
        ("Pow(x, three)", "cheap"),
        ("Pow(x, half)", "pow"),
        ("Pow(x, x)", "pow"),
        ("Add(x, x)", "binary"),
        ("Add(x, two)", "binary"),
        ("Add(x, row)", "broadcast"),
        ("Add(x, column)", "broadcast"),
        ('Resize<mode = "nearest">(x, , twice)', "resize-nearest"),
        ("Resize(x, , twice)", "resize-nearest"),
        ('Resize<coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , twice)', "resize"),
        ('Resize<coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(x, , thrice)', "resize-nearest"),
        ('Resize<mode = "cubic", antialias = 1>(x, , twice)', "resize-antialias"),
        ("LeakyRelu(x)", "leaky-relu"),
        ("Elu(x)", "elu"),
        ("Mish(x)", "softplus"),
        ("Cast<to = 7>(x)", "cast"),
        ("Cast<to = 10>(x)", "cast-to-half"),
        ('Resize<mode = "linear">(x, , twice)', "resize-linear"),
        ('Resize<mode = "cubic">(x, , twice)', "resize-cubic"),
        ("Split<axis = 1, num_outputs = 1>(x)", "split"),
        ("LayerNormalization(x, row)", "layernorm"),
        ("Softmax(x)", "softmax"),
        ("Softmax<axis = 3>(x)", "softmax"),
        ("LogSoftmax<axis = -1>(x)", "softmax"),
        ("Softmax<axis = 1>(x)", "softmax-across"),
        ("LogSoftmax<axis = -2>(x)", "softmax-across"),
        ("Reshape(x, shape)", "view"),
        ("Det(x)", "other"),
    ],
)
def test_operators(line: str, family: str) -> None:
    numbers = "float two = {2}, float three = {3}, float half = {0.5}, float[4] twice = {1, 1, 2, 2}, int64[2] shape = {16, 16}"
    numbers += ", float[4] thrice = {1, 1, 3, 3}, float[1,4,8,1] column = {" + ", ".join(["1"] * 32) + "}"
    made = "int64" if "to = 7" in line else "float16" if "to = 10" in line else "float"
    text = f"(float[1,4,8,8] x) => ({made} y) <{numbers}> {{ y = {line} }}"
    assert first_family(text, row=(8,)) == family


X, Y, W = tensor("x", 4, 32), tensor("y", 4, 16), tensor("w", 32, 16, constant=True)
ROW, ROW_MADE, BIAS = tensor("x", 1, 32), tensor("y", 1, 16), tensor("b", 16, constant=True)
DEEP, DEEP_MADE = tensor("x", 2, 4, 32), tensor("y", 2, 4, 16)
IMAGE, MADE = tensor("x", 1, 8, 4, 4), tensor("y", 1, 8, 4, 4)
FILTER, OTHER = tensor("w", 8, 8, 1, 1, constant=True), tensor("r", 1, 8, 4, 4)
POINT, POINT_MADE = tensor("x", 1, 8, 1, 1), tensor("y", 1, 8, 1, 1)
CALL = KernelRun("call", ())
GEMM = KernelRun("gemm", (2048.0, 128.0, 512.0, 64.0))
CONV = KernelRun("conv-plain-pointwise", (1024.0, 128.0, 32.0, 0.0, 64.0, 128.0, 1.0))
BLOCKED = KernelRun("conv-blocked-first", (2048.0, 128.0, 128.0, 256.0, 2048.0))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        # Weights that may be cold, by rows of one and of more.
        (FusedNode(node("MatMul", [X, W], [Y])), [GEMM, CALL, KernelRun("cold", (2048.0,))]),
        (FusedNode(node("MatMul", [ROW, W], [ROW_MADE])),
         [KernelRun("gemm", (512.0, 32.0, 512.0, 16.0)), CALL, KernelRun("cold-vector", (2048.0,))]),
        (FusedNode(node("Gemm", [X, W, BIAS], [Y])),
         [GEMM, CALL, KernelRun("cold", (2112.0,)), KernelRun("gemm-bias", (64.0,))]),
        (FusedNode(node("MatMul", [X, W], [Y]), (node("Add", [Y, BIAS], [Y]),)),
         [GEMM, CALL, KernelRun("cold", (2048.0,)), KernelRun("gemm-bias", (64.0,))]),
        # Before a bias rows are made of what has a batch around it, and brought back.
        (FusedNode(node("MatMul", [DEEP, W], [DEEP_MADE]), (node("Add", [DEEP_MADE, BIAS], [DEEP_MADE]),)),
         [KernelRun("gemm", (4096.0, 256.0, 512.0, 128.0)), CALL, KernelRun("cold", (2048.0,)), KernelRun("view", (), 2),
          KernelRun("gemm-bias", (128.0,))]),
        # A product of two values writes no bias.
        (FusedNode(node("MatMul", [X, tensor("z", 32, 16)], [Y])),
         [KernelRun("matmul", (2048.0, 128.0, 512.0, 64.0, 1.0)), CALL]),
        # 6 products.
        (FusedNode(node("MatMul", [tensor("a", 2, 3, 4, 32), tensor("b", 2, 3, 32, 16)], [tensor("y", 2, 3, 4, 16)])),
         [KernelRun("matmul", (12288.0, 768.0, 3072.0, 384.0, 6.0)), CALL]),
        # Outside the blocked layout, products hide the reading of weights, but for those of a single position.
        (FusedNode(node("Conv", [IMAGE, FILTER], [MADE])), [CONV, CALL]),
        (FusedNode(node("Conv", [POINT, FILTER], [POINT_MADE])),
         [KernelRun("conv-plain-pointwise", (64.0, 8.0, 8.0, 0.0, 64.0, 8.0, 1.0)), CALL, KernelRun("cold-vector", (256.0,))]),
        # What is added, what is bounded, and what is brought there first.
        (FusedNode(node("Conv", [IMAGE, FILTER], [MADE]), residuals=(OTHER,)), [CONV, CALL, KernelRun("residual", (128.0,))]),
        (FusedNode(node("Conv", [IMAGE, FILTER], [MADE]), (node("Clip", [MADE], [MADE]),), is_blocked=True, reordered=(OTHER,)),
         [KernelRun("reorder", (128.0,)), BLOCKED, CALL, KernelRun("cold-conv", (256.0,)), KernelRun("fused-clip", (128.0,))]),
        (FusedNode(node("Conv", [IMAGE, FILTER], [MADE]), (node("Relu", [MADE], [MADE]),), is_blocked=True),
         [BLOCKED, CALL, KernelRun("cold-conv", (256.0,))]),
        # In the plain layout bounds are a part of the kernel.
        (FusedNode(node("Conv", [IMAGE, FILTER], [MADE]), (node("Clip", [MADE], [MADE]),)),
         [CONV, CALL]),
        # Floats are reordered by a kernel of their own, integers transposed.
        (FusedNode(node("Neg", [IMAGE], [MADE]), reordered=(OTHER,), channels_last=True),
         [KernelRun("reorder-last", (128.0,)), KernelRun("cheap", (128.0,)), CALL]),
        (FusedNode(node("Neg", [IMAGE], [MADE]), reordered=(tensor("q", 1, 8, 4, 4, dtype="uint8"),)),
         [KernelRun("transpose", (128.0, 128.0)), KernelRun("cheap", (128.0,)), CALL]),
        # Two kernels for one node.
        (FusedNode(node("HardSwish", [IMAGE], [MADE])), [KernelRun("hard", (128.0,)), CALL, KernelRun("binary", (128.0,))]),
        # With the bytes of all that it reads and writes, as it does over and over in a probe.
        (FusedNode(node("Neg", [IMAGE], [MADE]), reuses=(Reuse(512, 2048.0), Reuse(512, 0.0))),
         [KernelRun("cheap", (128.0,)), CALL, KernelRun("cold-values", (512.0, 2048.0, 1024.0)),
          KernelRun("cold-values", (512.0, 0.0, 1024.0))]),
    ],
)  # fmt: skip
def test_what_runs_for_a_step(step: FusedNode, expected: list[KernelRun]) -> None:
    assert list(kernel_runs(step)) == expected


FAMILIES_OF_IT = ("gemm", "call", "cold", "residual", "cold-values")


def test_what_is_repeated_runs_as_often() -> None:
    step = FusedNode(replace(node("MatMul", [X, W], [Y]), repeat=5), residuals=(Y,), reuses=(Reuse(512, 0.0),))
    assert {task.family: task.times for task in kernel_runs(step)} == dict.fromkeys(FAMILIES_OF_IT, 5)


def floats(*dims: int, constant: bool = False) -> Tensor:
    return tensor("t", *dims, constant=constant)


# What the times of a family's kernels depend on, besides their number.
QUANTITIES = [
    # Products: MACs, inputs, weights, outputs.
    (node("Gemm", [floats(3, 4), floats(8, 3, constant=True)], [floats(4, 8)], transA=1, transB=1), "gemm", (96, 12, 24, 32)),
    (node("QLinearMatMul", [floats(4, 3), None, None, floats(3, 4, constant=True)], [floats(4, 4)]), "gemm-int8",
     (48, 12, 12, 16)),
    (node("ConvTranspose", [floats(1, 3, 5, 5), floats(3, 4, 3, 3)], [floats(1, 4, 7, 7)]), "conv-transposed",
     (75 * 36, 75, 108, 25 * 36)),
    (node("MatMul", [floats(2, 3, 4), floats(4, 5)], [floats(2, 3, 5)]), "matmul", (192, 24, 20, 48, 1)),
    (node("MatMul", [floats(2, 3, 4), floats(2, 4, 5)], [floats(2, 3, 5)]), "matmul", (192, 24, 40, 48, 2)),
    # Columns: 16 positions are 4 vectors, 5 are filled up to 8, one stays one; each image reads the weights again.
    (node("Conv", [floats(1, 3, 6, 6), floats(4, 3, 3, 3)], [floats(1, 4, 4, 4)]), "conv-plain",
     (64 * 27, 16 * 27, 4 * 27, 0, 108, 64, 1)),
    # With strides, elements are copied one by one.
    (node("Conv", [floats(1, 3, 9, 9), floats(4, 3, 3, 3)], [floats(1, 4, 4, 4)], strides=(2, 2)), "conv-plain",
     (64 * 27, 0, 0, 16 * 27, 108, 64, 1)),
    (node("Conv", [floats(2, 3, 7), floats(4, 3, 3)], [floats(2, 4, 5)]), "conv-plain", (64 * 9, 10 * 9, 2 * 9, 0, 72, 40, 2)),
    (node("Conv", [floats(1, 3, 3), floats(4, 3, 3)], [floats(1, 4, 1)]), "conv-plain", (4 * 9, 9, 9, 0, 36, 4, 1)),
    (node("Gemm", [floats(4, 3), floats(3, 5, constant=True)], [floats(4, 5)]), "gemm", (4 * 8 * 3, 12, 15, 32)),
    (node("Gemm", [floats(1, 3), floats(3, 5, constant=True)], [floats(1, 5)]), "gemm", (15, 3, 15, 5)),
    # Two channels a group are filled up to a vector.
    (node("QLinearConv", [floats(1, 6, 6, 6), None, None, floats(4, 3, 3, 3)], [floats(1, 4, 4, 4)], group=2),
     "conv-int8-grouped", (128 * 27, 216, 108, 64)),
    # Weights of few bits: the same of 5 columns of 64, two blocks each, and a partial sum for each block and output.
    (node("com.microsoft.MatMulNBits", [floats(2, 3, 64), tensor("w", 5, 2, 16, dtype="uint8", constant=True), floats(10)],
          [floats(2, 3, 5)], K=64, N=5), "gemm-nbits", (6 * 5 * 64, 384, 320, 30, 60)),
    # Attention of 2 heads of 4: MACs, keys and values of all heads, scores, and what is copied of the cache of one head.
    (node("com.microsoft.GroupQueryAttention", [floats(1, 3, 16), None, None, floats(1, 1, 5, 4), floats(1, 1, 5, 4)],
          [floats(1, 3, 8), floats(1, 1, 8, 4), floats(1, 1, 8, 4)], num_heads=2, kv_num_heads=1), "attention-grouped",
     (2 * 3 * 8 * 8, 2 * 8 * 8, 2 * 3 * 8, 64)),
    (node("com.microsoft.GroupQueryAttention", [floats(1, 3, 16), None, None, floats(1, 1, 5, 4), floats(1, 1, 5, 4)],
          [floats(1, 3, 8), floats(1, 1, 8, 4), floats(1, 1, 8, 4)], num_heads=2, kv_num_heads=1,
          past_present_share_buffer=1), "attention-grouped", (2 * 3 * 8 * 8, 2 * 8 * 8, 2 * 3 * 8, 0)),
    (node("com.microsoft.MultiHeadAttention", [floats(1, 3, 8), floats(1, 5, 8), floats(1, 5, 8)], [floats(1, 3, 8)],
          num_heads=2), "attention", (2 * 3 * 5 * 8, 2 * 5 * 8, 2 * 3 * 5, 0)),
    (node("Attention", [floats(1, 2, 3, 4), floats(1, 2, 5, 4), floats(1, 2, 5, 4)], [floats(1, 2, 3, 4)]), "attention",
     (2 * 3 * 5 * 8, 2 * 5 * 8, 2 * 3 * 5, 0)),
    (node("com.microsoft.SkipSimplifiedLayerNormalization", [floats(2, 3, 4), floats(2, 3, 4), floats(4)], [floats(2, 3, 4)]),
     "skip-rmsnorm", (24, 6)),
    # MACs, filled up to whole vectors, copies of the windows, weights, outputs, and a product for each channel.
    (node("Conv", [floats(1, 8, 6, 6), floats(8, 1, 3, 3)], [floats(1, 8, 4, 4)], group=8), "conv-plain-depthwise",
     (128 * 9, 8 * 16 * 9, 8 * 4 * 9, 0, 128, 8)),
    # Both directions: MACs of inputs and of states, steps, weights.
    (node("LSTM", [floats(5, 2, 3), floats(1, 16, 3), floats(1, 16, 4)], [floats(5, 1, 2, 4)]), "recurrent",
     (480, 640, 5, 112)),
    (node("LSTM", [floats(5, 2, 3), floats(2, 16, 3), floats(2, 16, 4)], [floats(5, 2, 2, 4)]), "recurrent",
     (960, 1280, 10, 224)),
    (node("GRU", [floats(5, 2, 3), floats(1, 12, 3), floats(1, 12, 4)], [floats(5, 1, 2, 4)]), "recurrent-gru",
     (360, 480, 5, 84)),
    (node("RNN", [floats(5, 2, 3), floats(1, 4, 3), floats(1, 4, 4)], [floats(5, 1, 2, 4)]), "recurrent-rnn",
     (120, 160, 5, 28)),
    # Elements of windows, outputs, and rows of these; without a kernel_shape the window is the image.
    (node("MaxPool", [floats(1, 2, 6, 6)], [floats(1, 2, 4, 4)], kernel_shape=(3, 3)), "pool", (32 * 9, 32, 8)),
    (node("GlobalMaxPool", [floats(1, 2, 6, 6)], [floats(1, 2, 1, 1)]), "global-pool", (72, 2)),
    (node("ReduceMean", [floats(3, 4)], [floats(3, 1)], axes=(1,)), "reduce", (12, 3)),
    # Elements and rows.
    (node("Softmax", [floats(2, 3, 4)], [floats(2, 3, 4)]), "softmax", (24, 6)),
    (node("Softmax", [floats(2, 3, 4)], [floats(2, 3, 4)], axis=1), "softmax-across", (24, 2)),
    (node("LayerNormalization", [floats(2, 3, 4)], [floats(2, 3, 4)], axis=-2), "layernorm", (24, 2)),
    # Elements and spans: rows, columns, a single one.
    (node("Add", [floats(3, 4), floats(4)], [floats(3, 4)]), "broadcast", (12, 3)),
    (node("Add", [floats(3, 4, 5), floats(3, 1, 1)], [floats(3, 4, 5)]), "broadcast", (60, 3)),
    (node("PRelu", [floats(1, 3, 4, 5), floats(3, 1, 1)], [floats(1, 3, 4, 5)]), "prelu", (60, 3)),
    (node("Add", [floats(3, 4, 5), floats(3, 4, 1)], [floats(3, 4, 5)]), "broadcast", (60, 12)),
    (node("Add", [floats(3, 4, 5), floats(3, 1, 5)], [floats(3, 4, 5)]), "broadcast", (60, 12)),
    (node("Add", [floats(3, 4, 1), floats(3, 1, 1)], [floats(3, 4, 1)]), "broadcast", (12, 3)),
    # A number moves along with no dim, not even with a last one of 1.
    (node("Add", [floats(3, 4, 1), floats()], [floats(3, 4, 1)]), "broadcast", (12, 12)),
    (node("QLinearAdd", [floats(3, 4), None, None, floats(4)], [floats(3, 4)]), "binary-int8", (12, 3)),
    (node("InstanceNormalization", [floats(2, 3, 4)], [floats(2, 3, 4)]), "instancenorm", (24, 6)),
    # The largest tensor but for constants.
    (node("Relu", [floats(3, 4)], [floats(3, 4)]), "cheap", (12,)),
    (node("Where", [floats(1), floats(2, 9), floats(1, constant=True)], [floats(2, 9)]), "where", (18,)),
    # Bytes written, and pieces that are copied as a whole: rows of 4, single elements.
    (node("Transpose", [floats(2, 3, 4)], [floats(3, 2, 4)], perm=(1, 0, 2)), "transpose-rows", (96, 6)),
    (node("Transpose", [floats(2, 3, 4)], [floats(4, 3, 2)]), "transpose-scattered", (96, 24)),
    (node("Transpose", [floats(2, 3, 4, 5)], [floats(3, 2, 4, 5)], perm=(1, 0, 2, 3)), "transpose-rows", (480, 6)),
    (node("Concat", [floats(2, 3), floats(2, 5)], [floats(2, 8)], axis=1), "concat", (64, 4, 2)),
    (node("Concat", [floats(2, 3), floats(2, 5)], [floats(2, 8)], axis=-1), "concat", (64, 4, 2)),
    (node("Concat", [floats(2, 3), floats(4, 3)], [floats(6, 3)], axis=0), "concat", (72, 2, 2)),
    (node("Split", [floats(2, 8)], [floats(2, 3), floats(2, 5)], axis=1), "split", (64, 4, 2)),
    (node("Split", [floats(6, 3)], [floats(2, 3), floats(4, 3)]), "split", (72, 2, 2)),
    (node("Gather", [floats(10, 4), floats(3)], [floats(3, 4)]), "gather", (48, 3)),
    (node("Gather", [floats(10, 4, 5), floats(3)], [floats(10, 3, 5)], axis=1), "gather", (600, 30)),
    (node("Gather", [floats(10, 4), floats(3)], [floats(10, 3)], axis=-1), "gather", (120, 30)),
    # Bytes written, and slices: a row for each of three indices, a single element for each of three pairs.
    (node("GatherND", [floats(10, 4), tensor("i", 3, 1, dtype="int64")], [floats(3, 4)]), "gather-slices", (48, 3)),
    (node("GatherND", [floats(10, 4), tensor("i", 3, 2, dtype="int64")], [floats(3)]), "gather-slices", (12, 3)),
    (node("ScatterND", [floats(10, 4), tensor("i", 3, 2, dtype="int64"), floats(3)], [floats(10, 4)]), "scatter-slices",
     (160, 3)),
    # Two rows through a tree of one comparison, for one target.
    (node("ai.onnx.ml.TreeEnsembleRegressor", [floats(2, 3)], [floats(2, 1)], n_targets=1, nodes_treeids=[0, 0, 0],
          nodes_nodeids=[0, 1, 2], nodes_featureids=[0, 0, 0], nodes_values=[0.5, 0.0, 0.0],
          nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF"], nodes_truenodeids=[1, 0, 0], nodes_falsenodeids=[2, 0, 0],
          target_treeids=[0, 0], target_nodeids=[1, 2], target_ids=[0, 0], target_weights=[1.0, 2.0]), "trees",
     (2, 0, 0)),
    # Four rows of three features, six support vectors of three classes: products, sums over pairs, results.
    (node("ai.onnx.ml.SVMClassifier", [floats(4, 3)], [tensor("l", 4), floats(4, 3)], kernel_type="RBF",
          classlabels_ints=[0, 1, 2], vectors_per_class=[2, 2, 2]), "svm-rbf", (4 * 6 * 3, 4 * 6 * 2, 4)),
    (node("ai.onnx.ml.SVMClassifier", [floats(4, 3)], [tensor("l", 4), floats(4, 2)], kernel_type="LINEAR", prob_a=[1.0],
          classlabels_ints=[0, 1], vectors_per_class=[3, 3]), "svm", (4 * 6 * 3, 4 * 6, 4 * 4)),
    (node("ai.onnx.ml.SVMRegressor", [floats(4, 3)], [floats(4, 1)], kernel_type="POLY", n_supports=6),
     "svm", (4 * 6 * 3, 4 * 6 / 2, 4)),
    (node("ai.onnx.ml.LinearClassifier", [floats(4, 3)], [tensor("l", 4), floats(4, 2)], coefficients=[1.0] * 6,
          classlabels_ints=[0, 1], post_transform="SOFTMAX"), "linear-model", (24, 16)),
    (node("ai.onnx.ml.Normalizer", [floats(4, 3)], [floats(4, 3)], norm="L2"), "scaler", (12,)),
    (node("ai.onnx.ml.Normalizer", [floats(4, 3)], [floats(4, 3)], norm="L1"), "imputer", (12,)),
    (node("ai.onnx.ml.ZipMap", [floats(4, 3)], [tensor("y")]), "zipmap", (12,)),
    # Butterflies: 8/2·log₂ 8 for a length of 8; three times 16/2·log₂ 16 for one of 5.
    (node("DFT", [floats(2, 8, 1)], [floats(2, 8, 2)]), "fourier", (2 * 4 * 3,)),
    (node("STFT", [floats(1, 15, 1), tensor("s"), floats(5)], [floats(1, 3, 3, 2)]), "fourier", (3 * 3 * 8 * 4,)),
    (node("Slice", [floats(4, 5, 6)], [floats(4, 2, 6)]), "slice", (192, 4)),
    (node("Slice", [floats(4, 5, 6)], [floats(4, 5, 3)]), "slice", (240, 20)),
    (node("Pad", [floats(2, 6)], [floats(4, 6)]), "pad", (96, 1)),
    (node("Pad", [floats(2, 6)], [floats(4, 8)]), "pad", (128, 4)),
    (node("Pad", [floats(2, 3, 6)], [floats(2, 5, 6)]), "pad", (240, 2)),
    (node("Expand", [floats(1, 6)], [floats(4, 6)]), "expand", (96, 4)),
    (node("Expand", [floats(4, 1)], [floats(4, 6)]), "expand", (96, 4)),
    (node("Resize", [floats(1, 1, 2, 2)], [floats(1, 1, 4, 4)]), "resize-nearest", (64,)),
    (node("Resize", [floats(1, 1, 2, 2)], [floats(1, 1, 4, 4)], mode="cubic"), "resize-cubic", (16, 4)),
    (node("Resize", [floats(1, 1, 2, 2)], [floats(1, 1, 4, 4)], mode="linear"), "resize-linear", (64, 4)),
    # An image of the same size is copied.
    (node("Resize", [floats(1, 1, 4, 4)], [floats(1, 1, 4, 4)], mode="linear"), "expand", (64, 4)),
    (node("Resize", [floats(1, 1, 4, 4)], [floats(1, 1, 2, 2)], mode="cubic"), "resize-cubic", (4, 4)),
    # Elements, and what is found of them; runs of 4 behind the axis, single elements on the last one.
    (node("NonZero", [floats(3, 4)], [tensor("y", 2, 12, dtype="int64")]), "nonzero", (24,)),
    (node("TopK", [floats(3, 8), tensor("k", 1, dtype="int64")], [floats(3, 2)]), "topk", (24, 6 * (1 + log(4)), 6 * log2(3))),
    (node("CumSum", [floats(2, 3, 4), Tensor("a", "int64", (), value=(1,))], [floats(2, 3, 4)]), "cumsum", (24, 6)),
    (node("CumSum", [floats(2, 3, 4), Tensor("a", "int64", (), value=(-1,))], [floats(2, 3, 4)]), "cumsum", (24, 24)),
    # Outputs, positions, and the pixels around each: 2 × 2, 4 × 4, the nearest.
    (node("GridSample", [floats(1, 3, 9, 9), floats(1, 2, 4, 2)], [floats(1, 3, 2, 4)]), "grid-sample", (24, 8, 96)),
    (node("GridSample", [floats(1, 3, 9, 9), floats(1, 2, 4, 2)], [floats(1, 3, 2, 4)], align_corners=1), "grid-sample-slow",
     (24, 8, 96)),
    (node("GridSample", [floats(1, 3, 9, 9), floats(1, 2, 4, 2)], [floats(1, 3, 2, 4)], mode="bicubic"), "grid-sample-slow",
     (24, 8, 384)),
    (node("GridSample", [floats(1, 3, 9, 9), floats(1, 2, 4, 2)], [floats(1, 3, 2, 4)], mode="nearest"), "grid-sample-slow",
     (24, 8, 24)),
    # Two regions of 7 × 7 bins for 3 channels, with 2 × 2 samples, or as many as a map of 14 × 21 has in a bin.
    (node("RoiAlign", [floats(1, 3, 14, 21), floats(2, 4)], [floats(2, 3, 7, 7)], sampling_ratio=2), "roi-align",
     (294, 294 * 4)),
    (node("RoiAlign", [floats(1, 3, 14, 21), floats(2, 4)], [floats(2, 3, 7, 7)]), "roi-align", (294, 294 * 6)),
    # Means over channels: rows of 4 KiB, of which 1,024 fall into one set of 64; rows of 4,004 bytes fall into all.
    (node("ReduceMean", [floats(1, 1024, 32, 32)], [floats(1, 1, 32, 32)], axes=(1,)), "reduce-before", (2**20, 1024, 2**20)),
    (node("ReduceMean", [floats(1, 1024, 1001)], [floats(1, 1, 1001)], axes=(1,)), "reduce-before", (1024 * 1001, 1001, 0)),
    (node("ReduceMean", [floats(1, 8, 1024)], [floats(1, 1, 1024)], axes=(1,)), "reduce-before", (8192, 1024, 0)),
    # Rows of 1 KiB use 4 sets, which hold 32 lines.
    (node("ReduceMean", [floats(1, 64, 256)], [floats(1, 1, 256)], axes=(1,)), "reduce-before", (16384, 256, 4096)),
    (node("Det", [floats(3, 4, 4)], [floats(3)]), "other", (12,)),
    (node("Reshape", [floats(3, 4)], [floats(12)]), "view", ()),
]  # fmt: skip


@pytest.mark.parametrize(("made", "family", "quantities"), QUANTITIES)
def test_quantities(made: Node, family: str, quantities: tuple[float, ...]) -> None:
    assert family_of(FusedNode(made)) == family
    assert FAMILIES[family].quantities(made, 4) == quantities
    assert len(FAMILIES[family].names) == len(quantities)


@pytest.mark.parametrize(
    ("attributes", "others", "family"),
    [
        ({"bits": 4, "accuracy_level": 4}, [], "gemm-nbits-int8"),
        ({"bits": 8, "accuracy_level": 4}, [], "gemm-nbits-int8-wide"),
        ({"accuracy_level": 1}, [], "gemm-nbits"),
        ({}, [], "gemm-nbits"),
        # No kernel: of 8 bits with floats, of 2 bits, of longer blocks, with zero points of floats, with rows in another order.
        ({"bits": 8}, [], "gemm-nbits-expanded"),
        ({"bits": 2, "accuracy_level": 4}, [], "gemm-nbits-expanded"),
        ({"block_size": 512, "accuracy_level": 4}, [], "gemm-nbits-expanded"),
        ({"accuracy_level": 4}, [None, tensor("order", 64, dtype="int32")], "gemm-nbits-expanded"),
        ({"accuracy_level": 4}, [floats(10)], "gemm-nbits-expanded"),
        ({"accuracy_level": 4}, [tensor("zeros", 5, dtype="uint8")], "gemm-nbits-int8"),
    ],
)
def test_weights_of_few_bits(attributes: dict[str, int], others: list[Tensor | None], family: str) -> None:
    """matmul_nbits.cc: GetComputeType, and qnbitgemm.cpp: MlasIsQNBitGemmAvailable, on x86-64."""
    packed = tensor("w", 5, 2, 16, dtype="uint8", constant=True)
    made = node(
        "com.microsoft.MatMulNBits", [floats(3, 64), packed, floats(10), *others], [floats(3, 5)], K=64, N=5, **attributes
    )
    assert family_of(FusedNode(made)) == family


def test_cold_weights_of_few_bits_cost_a_single_row_something_else() -> None:
    packed, scales = tensor("w", 5, 2, 16, dtype="uint8", constant=True), floats(10, constant=True)
    for rows, cold in ((1, "cold-nbits"), (3, "cold")):
        made = node("com.microsoft.MatMulNBits", [floats(rows, 64), packed, scales], [floats(rows, 5)], K=64, N=5)
        assert [run for run in kernel_runs(FusedNode(made)) if run.family.startswith("cold")] == [KernelRun(cold, (200.0,))]


@pytest.mark.parametrize(
    ("weight", "groups", "family", "filters", "inner", "shared"),
    [
        # 12 filters are padded to 16; of less channels than a block none are added.
        ((12, 3, 3, 3), 1, "conv-blocked-first", 16, 3, 1),
        ((32, 24, 3, 3), 1, "conv-blocked", 32, 32, 2),
        ((32, 24, 1, 1), 1, "conv-blocked-pointwise", 32, 32, 2),
        ((32, 16, 3, 3), 2, "conv-blocked-grouped", 32, 16, 1),
        # At most four blocks of filters share a read of the input.
        ((96, 24, 3, 3), 1, "conv-blocked", 96, 32, 4),
    ],
)
def test_blocked_convolutions_work_on_padded_channels(
    weight: tuple[int, ...], groups: int, family: str, filters: int, inner: int, shared: int
) -> None:
    image, kernel = floats(1, weight[1] * groups, 8 + weight[2], 8 + weight[3]), weight[2] * weight[3]
    made = floats(1, weight[0], 9, 9)
    step = FusedNode(node("Conv", [image, floats(*weight)], [made], group=groups), is_blocked=True)
    assert family_of(step) == family
    macs = 81 * filters * inner * kernel
    expected = (macs, image.size, filters * inner * kernel, 81 * filters, macs / shared)
    assert FAMILIES[family].quantities(step.node) == pytest.approx(expected)


def test_blocks_are_as_wide_as_the_machine_says() -> None:
    """12 filters and 24 channels fill blocks of 4; blocks of 8 and 16 are filled up."""
    step = FusedNode(node("Conv", [floats(1, 24, 9, 9), floats(12, 24, 1, 1)], [floats(1, 12, 9, 9)]), is_blocked=True)
    found = [next(run.quantities for run in kernel_runs(step, block) if run.family.startswith("conv")) for block in (4, 8, 16)]
    assert [quantities[0] for quantities in found] == [81 * 12 * 24, 81 * 16 * 24, 81 * 16 * 32]


@pytest.mark.parametrize(
    ("dilation", "rows", "edges"),
    [
        # Of 28 outputs a row, each has as many taps inside as the dilation leaves; of 3 rows of taps likewise.
        (1, (3 * 28 - 2) / 84, 2),
        (12, (3 * 28 - 24) / 84, 24),
        (28, 1 / 3, 28),
    ],
)
def test_taps_in_the_padding_are_left_out(dilation: int, rows: float, edges: int) -> None:
    image, pads = floats(1, 16, 28, 28), (dilation,) * 4
    made = node("Conv", [image, floats(16, 16, 3, 3)], [image], pads=pads, dilations=(dilation, dilation))
    macs, _, weights, *_ = FAMILIES["conv-blocked"].quantities(made, 16)
    whole = 28 - edges
    taps = [whole * 3, EDGE * (28 * 3 - 2 * dilation - whole * 3)]
    assert macs == pytest.approx(28 * 28 * 16 * 16 * 9 * rows * sum(taps) / 84)
    assert weights == 16 * 16 * (9 if dilation < 28 else 1)


@pytest.mark.parametrize(
    ("step", "axis", "dims", "pieces"),
    [(2, 2, (4, 5, 3), 60), (1, 2, (4, 5, 3), 20), (-1, -1, (4, 5, 3), 20), (2, 1, (4, 3, 6), 4)],
)
def test_a_slice_with_steps_copies_elements(step: int, axis: int, dims: tuple[int, ...], pieces: int) -> None:
    given = [Tensor(name, "int64", (1,), is_constant=True, value=(value,)) for name, value in (("a", axis), ("s", step))]
    found = FAMILIES["slice"].quantities(node("Slice", [floats(4, 5, 6), None, None, *given], [floats(*dims)]))
    assert found[1] == pieces
