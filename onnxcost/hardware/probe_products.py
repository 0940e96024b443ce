"""Probes of matrix products, recurrent operators and what runs on integers."""

from __future__ import annotations

from collections.abc import Iterator

from onnxcost.hardware.kernels.operators import WHOLE
from onnxcost.hardware.probe import Probe, Weights, chain

KI, MI = 2**10, 2**20
_GEMMS = (
    (1, 256, 256), (1, 1024, 1024), (1, 4096, 1024), (1, 1280, 1000), (1, 4096, 4096), (8, 768, 768), (16, 128, 512),
    (32, 384, 384),
    (64, 256, 64), (128, 768, 768), (128, 768, 3072), (128, 3072, 768), (196, 768, 3072), (196, 384, 1152), (784, 192, 768),
    (784, 768, 192), (3136, 96, 384), (3136, 384, 96), (49, 768, 3072), (64, 2048, 2048), (1024, 64, 64), (512, 512, 512),
    (16, 2048, 8192),
)  # fmt: skip
_BATCHED = (
    (12, 197, 64, 197), (12, 197, 197, 64), (8, 16, 64, 16), (64, 49, 32, 49), (64, 49, 49, 32), (12, 128, 64, 128),
    (12, 512, 64, 512),
    (12, 512, 512, 64), (1, 256, 256, 256), (4, 8, 32, 8), (32, 1, 64, 128), (1, 32, 768, 8192),
)  # fmt: skip


def products() -> Iterator[Probe]:
    """With constant weights, which onnxruntime packs before the run, and of two values, which it cannot."""
    for rows, inner, columns in _GEMMS:
        weights: Weights = {"w": ("float32", (inner, columns))}
        yield chain("gemm", (rows, inner), "MatMul(IN, w)", weights=weights)
    for rows, inner, columns in ((3136, 96, 384), (3136, 96, 96), (784, 192, 576), (784, 96, 384), (196, 64, 256)):
        weights = {"w": ("float32", (inner, columns)), "b": ("float32", (columns,))}
        yield chain("gemm-bias", (rows, inner), "Gemm(IN, w, b)", weights=weights)
    for batch, rows, inner, columns in _BATCHED:
        graph = f"(float[{batch},{rows},{inner}] x, float[{batch},{inner},{columns}] z) => (float y) {{ y = MatMul(x, z) }}"
        yield Probe("matmul", graph)


def cold_products() -> Iterator[Probe]:
    """The same product with ever more weights, until no cache holds them all: what they cost beside the product."""
    for family, rows, width in (("cold", 64, 768), ("cold-vector", 1, 1024)):
        for count in (2, 8, 16, 32):
            weights: Weights = {f"w{index}": ("float32", (width, width)) for index in range(count)}
            yield chain(family, (rows, width), *[f"MatMul(IN, w{index})" for index in range(count)], weights=weights)


def einsums() -> Iterator[Probe]:
    """The two products of an attention that is written so: onnxruntime brings the values in order before it multiplies."""
    for windows, heads in ((64, 2), (16, 4), (4, 8)):
        queries, scores = f"float[1,{windows},{heads},49,32]", f"float[1,{windows},{heads},49,49]"
        for left, right, equation in (
            (queries, queries, "bghid,bghjd->bghij"),
            (scores, queries, "bghij,bghjd->bghid"),
        ):
            yield Probe("einsum", f'({left} x, {right} z) => (float y) {{ y = Einsum<equation = "{equation}">(x, z) }}')


def recurrences() -> Iterator[Probe]:
    """Recurrent operators over steps and widths."""
    for steps, size, hidden in ((8, 64, 64), (64, 128, 128), (32, 300, 512), (128, 256, 256), (1, 128, 128)):
        weights: Weights = {"w": ("float32", (1, 4 * hidden, size)), "r": ("float32", (1, 4 * hidden, hidden))}
        yield chain("recurrent", (steps, 1, size), f"LSTM<hidden_size = {hidden}>(IN, w, r)", weights=weights)


# Channels in and out, side, kernel, groups, stride.
_INTEGER_CONVS = (
    (3, 64, 224, 7, 1, 2), (64, 64, 56, 3, 1, 1), (128, 128, 28, 3, 1, 1), (256, 256, 14, 3, 1, 1), (512, 512, 7, 3, 1, 1),
    (3, 32, 224, 3, 1, 2), (64, 256, 56, 1, 1, 1), (256, 512, 28, 1, 1, 1), (256, 1024, 14, 1, 1, 1), (512, 2048, 7, 1, 1, 1),
    (24, 144, 56, 1, 1, 1), (96, 576, 14, 1, 1, 1), (160, 960, 7, 1, 1, 1), (96, 24, 1, 1, 1, 1), (32, 64, 112, 1, 1, 1),
    (128, 128, 28, 3, 8, 1), (64, 64, 56, 3, 4, 2), (320, 320, 14, 3, 20, 1), (784, 784, 7, 3, 49, 1),
    (128, 128, 56, 3, 128, 1), (512, 512, 14, 3, 512, 1), (64, 64, 112, 3, 64, 2), (256, 256, 28, 3, 256, 2),
    (32, 32, 112, 3, 32, 1), (96, 96, 56, 3, 96, 1), (480, 480, 14, 5, 480, 1), (144, 144, 56, 3, 144, 2),
    (72, 72, 56, 5, 72, 1), (120, 120, 28, 5, 120, 1), (40, 40, 56, 3, 40, 1), (200, 200, 14, 3, 200, 1),
)  # fmt: skip


def _integer_conv(dtype: str, inputs: int, outputs: int, side: int, kernel: int, groups: int, stride: int) -> Probe:
    """A chain, there and back again, so that what brings it to channels that come last weighs little."""
    pad = kernel // 2
    shape = f"kernel_shape = [{kernel}, {kernel}], pads = [{pad}, {pad}, {pad}, {pad}]"
    zero = "a" if dtype == "uint8" else "b"
    text = f"QLinearConv<{shape}, group = {groups}, strides = [{stride}, {stride}]>(IN, s, {zero}, w, s, b, s, {zero})"
    weights = {**_SCALES, "w": ("int8", (outputs, inputs // groups, kernel, kernel))}
    lines = [text]
    if stride == 1 and inputs > 3:
        weights["v"] = ("int8", (inputs, outputs // groups, kernel, kernel))
        lines = [text, text.replace("w,", "v,")] * 2
    depthwise = ("-depthwise" if inputs % WHOLE == 0 else "-ragged") if groups == inputs else ""
    family = f"conv-int8{'-signed' if dtype == 'int8' else ''}{depthwise or ('-grouped' if groups > 1 else '')}"
    return chain(family, (1, inputs, side, side), *lines, weights=weights, dtypes=(dtype, dtype))


_SCALES: Weights = {"s": ("float32", ()), "a": ("uint8", ()), "b": ("int8", ())}


def quantized() -> Iterator[Probe]:
    """Products, convolutions and sums of integers, and what brings floats there."""
    for rows, inner, columns in ((1, 1024, 1024), (16, 128, 512), (128, 768, 768), (196, 768, 3072), (784, 192, 768)):
        weights = {**_SCALES, "w": ("int8", (inner, columns))}
        io = ("uint8", "uint8")
        yield chain("gemm-int8", (rows, inner), "QLinearMatMul(IN, s, a, w, s, b, s, a)", weights=weights, dtypes=io)
        whole: Weights = {"a": ("uint8", ()), "w": ("int8", (inner, columns))}
        yield chain("matmul-integer", (rows, inner), "MatMulInteger(IN, w, a)", weights=whole, dtypes=("uint8", "int32"))
    for batch, rows, inner, columns in ((3, 197, 64, 197), (3, 197, 197, 64), (12, 128, 64, 128)):
        given = f"uint8[{batch},{rows},{inner}] x, uint8[{batch},{inner},{columns}] z"
        text = f"({given}) => (uint8 y) {{ y = QLinearMatMul(x, s, a, z, s, a, s, a) }}"
        yield Probe("matmul-int8", text, {"s": _SCALES["s"], "a": _SCALES["a"]})
    for rows, columns in ((16, 64), (591, 197), (1536, 128)):
        text = "com.microsoft.QLinearSoftmax<axis = -1, opset = 13>(IN, s, a, s, a)"
        io = ("uint8", "uint8")
        yield chain("softmax-int8", (rows, columns), text, weights={"s": _SCALES["s"], "a": _SCALES["a"]}, dtypes=io)
    for size in (KI, 16 * KI, 256 * KI, 2 * MI):
        text = "com.microsoft.QLinearAdd(IN, s, a, X, s, a, s, a)"
        yield chain(
            "binary-int8",
            (1, 64, size // 64),
            text,
            text,
            weights={"s": _SCALES["s"], "a": _SCALES["a"]},
            dtypes=("uint8", "uint8"),
        )
        yield Probe(
            "dynamic-quantize", f"(float[{size}] x) => (uint8 y, float s, uint8 z) {{ y, s, z = DynamicQuantizeLinear(x) }}"
        )
    for inputs, outputs, side, kernel, groups, stride in _INTEGER_CONVS:
        yield _integer_conv("uint8", inputs, outputs, side, kernel, groups, stride)
    for inputs, outputs, side, kernel, groups, stride in _INTEGER_CONVS[1:12:2] + _INTEGER_CONVS[-1:]:
        yield _integer_conv("int8", inputs, outputs, side, kernel, groups, stride)
    for inputs, outputs, side, kernel, stride in (
        *((16, 32, 56, 3, 1), (64, 64, 28, 3, 1), (64, 256, 14, 1, 1), (1, 32, 64, 3, 1), (256, 256, 8, 3, 1)),
        *((3, 192, 224, 16, 16), (3, 32, 112, 3, 2)),
    ):
        whole = {"a": ("uint8", ()), "w": ("uint8", (outputs, inputs, kernel, kernel))}
        text = f"ConvInteger<kernel_shape = [{kernel}, {kernel}], strides = [{stride}, {stride}]>(IN, w, a, a)"
        yield chain("conv-integer", (1, inputs, side, side), text, weights=whole, dtypes=("uint8", "int32"))
