"""Probes of matrix products, recurrent operators and integer operators."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onnxcost.frontend.probe_models import Probe, Weights, chain, floats
from onnxcost.hardware.calibration.convolution_probes import activated_convolutions, convolutions, plain_convolutions, window
from onnxcost.ort_optimizer.kernels import WHOLE

KI, MI = 2**10, 2**20
_GEMMS = (
    (1, 256, 256), (1, 1024, 1024), (1, 4096, 1024), (1, 1280, 1000), (1, 4096, 4096), (8, 768, 768), (16, 128, 512),
    (32, 384, 384),
    (64, 256, 64), (128, 768, 768), (128, 768, 3072), (128, 3072, 768), (196, 768, 3072), (196, 384, 1152), (784, 192, 768),
    (784, 768, 192), (3136, 96, 384), (3136, 384, 96), (49, 768, 3072), (64, 2048, 2048), (1024, 64, 64), (512, 512, 512),
    (16, 2048, 8192), (4, 1024, 1024), (2, 512, 512), (1, 64, 10), (1, 16, 64), (16, 32, 32),
)  # fmt: skip
_BATCHED = (
    (12, 197, 64, 197), (12, 197, 197, 64), (8, 16, 64, 16), (64, 49, 32, 49), (64, 49, 49, 32), (12, 128, 64, 128),
    (12, 512, 64, 512),
    (12, 512, 512, 64), (1, 256, 256, 256), (4, 8, 32, 8), (32, 1, 64, 128), (1, 32, 768, 8192), (1, 5, 300, 512),
    (2, 3, 768, 768), (1, 1, 2048, 512), (4, 49, 32, 7), (1, 128, 768, 3072), (1, 128, 3072, 768),
    # Many small ones.
    (512, 1, 32, 4), (512, 1, 4, 32), (256, 8, 32, 16), (64, 16, 16, 16), (1024, 4, 16, 4),
)  # fmt: skip


def products() -> Iterator[Probe]:
    """Products with constant weights, which onnxruntime packs before the run, and of two values, which it cannot pack."""
    for rows, inner, columns in _GEMMS:
        yield chain("gemm", (rows, inner), "MatMul(IN, w)", weights=floats(w=(inner, columns)))
    for rows, inner, columns in ((3136, 96, 384), (3136, 96, 96), (784, 192, 576), (784, 96, 384), (196, 64, 256)):
        yield chain("gemm-bias", (rows, inner), "Gemm(IN, w, b)", weights=floats(w=(inner, columns), b=(columns,)))
    for batch, rows, inner, columns in _BATCHED:
        graph = f"(float[{batch},{rows},{inner}] x, float[{batch},{inner},{columns}] z) => (float y) {{ y = MatMul(x, z) }}"
        yield Probe("matmul", graph)
    for size in (32, 64, 128):
        # Several in a run, so that its inputs take no part in the time of one.
        given, lines = f"float[1,{size}] t0, float[{size},{size}] z", (f"t{n + 1} = MatMul(t{n}, z)" for n in range(8))
        yield Probe("matmul", f"({given}) => (float t8) {{ {' '.join(lines)} }}")


def _low_bit_product(inner: int, columns: int, bits: int, block: int, level: int, index: str = "") -> tuple[str, Weights]:
    """The line of a product, and its packed weights with their scales."""
    blocks = inner // block
    attributes = f"K = {inner}, N = {columns}, bits = {bits}, block_size = {block}, accuracy_level = {level}"
    weight = ("uint8", (columns, blocks, block * bits // 8))
    packed: Weights = {f"w{index}": weight, f"s{index}": ("float32", (columns * blocks,))}
    return f"com.microsoft.MatMulNBits<{attributes}>(IN, w{index}, s{index})", packed


_LOW_BIT_SIZES = (
    (1, 128, 64), (1, 512, 512), (1, 1024, 1024), (1, 1024, 4096), (16, 1024, 1024), (128, 512, 1408), (256, 1024, 512),
)  # fmt: skip


def low_bit_products() -> Iterator[Probe]:
    """Products with weights of 4 and 8 bits: with integers, with floats, and where there is no kernel for these weights."""
    for family, bits, level, blocks in (
        ("gemm-nbits-int8", 4, 4, (32, 128)),
        ("gemm-nbits", 4, 0, (32, 128)),
        ("gemm-nbits-int8-wide", 8, 4, (32,)),
        ("gemm-nbits-expanded", 8, 0, (32,)),
    ):
        for rows, inner, columns in _LOW_BIT_SIZES:
            for block in blocks:
                line, weights = _low_bit_product(inner, columns, bits, block, level)
                yield chain(family, (rows, inner), line, weights=weights)


# Heads of queries, of keys and values, elements of a head, new positions, positions in the cache.
_ATTENTIONS = (
    (8, 8, 64, 64, 0), (8, 4, 64, 256, 0), (32, 8, 32, 128, 0), (4, 4, 128, 512, 0),
    (8, 4, 64, 1, 256), (16, 4, 64, 1, 1024), (32, 8, 128, 1, 64), (4, 1, 128, 1, 4096), (8, 8, 64, 1, 512),
    (8, 2, 64, 16, 256), (4, 4, 32, 8, 0), (4, 2, 32, 1, 16),
)  # fmt: skip


def attentions() -> Iterator[Probe]:
    """Attention of a prompt, and of a token on a cache, which a run of its own copies."""
    for heads, kv_heads, size, new, past in _ATTENTIONS:
        kept, total = f"float[1,{kv_heads},{past},{size}]", past + new
        given = f"float[1,{new},{(heads + 2 * kv_heads) * size}] x, {kept} k, {kept} v"
        lines = "n = Cast<to = 6>(last) t = Cast<to = 6>(total)"
        attributes = f"num_heads = {heads}, kv_num_heads = {kv_heads}, do_rotary = 1"
        made = f"y, c, d = com.microsoft.GroupQueryAttention<{attributes}>(x, , , k, v, n, t, cosines, cosines)"
        weights = floats(cosines=(total, size // 2))
        graph = f"({given}) => (float y, float c, float d) {{ {lines} {made} }}"
        yield Probe("attention-grouped", graph, weights, {"last": (total - 1,), "total": (total,)})
    for heads, _, size, new, past in _ATTENTIONS:
        width, keys = heads * size, f"float[1,{past + new},{heads * size}]"
        made = f"y = com.microsoft.MultiHeadAttention<num_heads = {heads}>(x, k, v)"
        yield Probe("attention", f"(float[1,{new},{width}] x, {keys} k, {keys} v) => (float y) {{ {made} }}")


def cold_products() -> Iterator[Probe]:
    """The same product with more and more weights, until no cache holds them all: what they cost beyond the product."""
    for count in (1, 2, 8, 16, 32):
        parts = [_low_bit_product(2048, 2048, 4, 32, 4, str(index)) for index in range(count)]
        packed = {name: kind for _, weights in parts for name, kind in weights.items()}
        yield chain("cold-nbits", (1, 2048), *[line for line, _ in parts], weights=packed)
    for family, rows, width in (("cold", 64, 768), ("cold-vector", 1, 1024)):
        for count in (1, 2, 8, 16, 32):
            names = [f"w{index}" for index in range(count)]
            weights = floats(**dict.fromkeys(names, (width, width)))
            yield chain(family, (rows, width), *[f"MatMul(IN, {name})" for name in names], weights=weights)


_RECURRENCES = (
    (8, 1, 64, 64), (64, 1, 128, 128), (32, 1, 300, 512), (128, 1, 256, 256), (1, 1, 128, 128), (128, 1, 16, 32),
    (16, 8, 64, 64), (1, 1, 256, 256), (21, 1, 64, 128),
)  # fmt: skip


def recurrences() -> Iterator[Probe]:
    """Recurrent operators over steps and widths, in one direction and in both."""
    for family, operator, gates, sizes in (
        ("recurrent", "LSTM", 4, _RECURRENCES),
        ("recurrent-gru", "GRU", 3, _RECURRENCES),
        ("recurrent-rnn", "RNN", 1, _RECURRENCES[:4]),
    ):
        more = ", linear_before_reset = 1" if operator == "GRU" else ""
        for steps, batch, size, hidden in sizes:
            weights = floats(w=(1, gates * hidden, size), r=(1, gates * hidden, hidden))
            yield chain(family, (steps, batch, size), f"{operator}<hidden_size = {hidden}{more}>(IN, w, r)", weights=weights)
        for steps, size, hidden in ((128, 128, 128), (20, 64, 192), (32, 256, 64), (64, 200, 100), (16, 96, 32)):
            weights = floats(w=(2, gates * hidden, size), r=(2, gates * hidden, hidden))
            line = f'{operator}<hidden_size = {hidden}, direction = "bidirectional"{more}>(IN, w, r)'
            yield chain(family, (steps, 1, size), line, weights=weights)


def integer_recurrences() -> Iterator[Probe]:
    """The same with weights of integers, forward and in both directions."""
    for steps, size, hidden, directions in (
        (8, 64, 64, 1),
        (128, 64, 128, 2),
        (40, 40, 256, 1),
        (128, 512, 256, 1),
        (128, 256, 512, 1),
    ):
        weights: Weights = {
            "w": ("int8", (directions, size, 4 * hidden)), "r": ("int8", (directions, hidden, 4 * hidden)),
            "s": ("float32", (directions,)), "b": ("int8", (directions,)),
        }  # fmt: skip
        direction = "bidirectional" if directions > 1 else "forward"
        attributes = f'hidden_size = {hidden}, direction = "{direction}"'
        text = f"com.microsoft.DynamicQuantizeLSTM<{attributes}>(IN, w, r, , , , , , s, b, s, b)"
        yield chain("recurrent-int8", (steps, 1, size), text, weights=weights)


# Rows, inner, columns.
_INTEGER_GEMMS = (
    (1, 1024, 1024), (16, 128, 512), (128, 768, 768), (196, 768, 3072), (784, 192, 768), (2048, 512, 1), (512, 256, 1),
)  # fmt: skip
# Channels in and out, side, kernel, stride.
_CONV_INTEGERS = (
    (16, 32, 56, 3, 1), (64, 64, 28, 3, 1), (64, 256, 14, 1, 1), (1, 32, 64, 3, 1), (256, 256, 8, 3, 1), (3, 192, 224, 16, 16),
    (3, 32, 112, 3, 2),
)  # fmt: skip
# Channels in and out, side, kernel, groups, stride.
_INTEGER_CONVS = (
    (3, 64, 224, 7, 1, 2), (64, 64, 56, 3, 1, 1), (128, 128, 28, 3, 1, 1), (256, 256, 14, 3, 1, 1), (512, 512, 7, 3, 1, 1),
    (3, 32, 224, 3, 1, 2), (64, 256, 56, 1, 1, 1), (256, 512, 28, 1, 1, 1), (256, 1024, 14, 1, 1, 1), (512, 2048, 7, 1, 1, 1),
    (24, 144, 56, 1, 1, 1), (96, 576, 14, 1, 1, 1), (160, 960, 7, 1, 1, 1), (96, 24, 1, 1, 1, 1), (32, 64, 112, 1, 1, 1),
    (128, 128, 28, 3, 8, 1), (64, 64, 56, 3, 4, 2), (320, 320, 14, 3, 20, 1), (784, 784, 7, 3, 49, 1),
    (128, 128, 56, 3, 128, 1), (512, 512, 14, 3, 512, 1), (64, 64, 112, 3, 64, 2), (256, 256, 28, 3, 256, 2),
    (32, 32, 112, 3, 32, 1), (96, 96, 56, 3, 96, 1), (480, 480, 14, 5, 480, 1), (144, 144, 56, 3, 144, 2),
    (8, 48, 56, 1, 1, 1), (16, 8, 112, 1, 1, 1), (3, 16, 112, 3, 1, 2), (16, 16, 112, 3, 16, 1), (24, 24, 28, 3, 24, 1),
    (72, 72, 56, 5, 72, 1), (120, 120, 28, 5, 120, 1), (40, 40, 56, 3, 40, 1), (200, 200, 14, 3, 200, 1),
    (32, 32, 7, 3, 2, 1), (32, 32, 7, 1, 1, 1),
)  # fmt: skip


def _integer_conv(dtype: str, inputs: int, outputs: int, side: int, kernel: int, groups: int, stride: int) -> Probe:
    """A chain, there and back again, so that the conversion to channels-last has little weight."""
    zero = "a" if dtype == "uint8" else "b"
    attributes = f"{window(kernel)}, group = {groups}, strides = [{stride}, {stride}]"
    text = f"QLinearConv<{attributes}>(IN, s, {zero}, w, s, b, s, {zero})"
    weights = {**_SCALES, "w": ("int8", (outputs, inputs // groups, kernel, kernel))}
    lines = [text]
    if stride == 1 and inputs > 3:
        weights["v"] = ("int8", (inputs, outputs // groups, kernel, kernel))
        lines = [text, text.replace("w,", "v,")] * 2
    depthwise = ("-depthwise" if inputs % WHOLE == 0 else "-ragged") if groups == inputs else ""
    family = f"conv-int8{'-signed' if dtype == 'int8' else ''}{depthwise or ('-grouped' if groups > 1 else '')}"
    return chain(family, (1, inputs, side, side), *lines, weights=weights, dtypes=(dtype, dtype))


_UINT8: Weights = {"s": ("float32", ()), "a": ("uint8", ())}
_SCALES: Weights = {**_UINT8, "b": ("int8", ())}
"""Scales and zero points."""


def quantized_products() -> Iterator[Probe]:
    """Products, convolutions and sums of integers, and the conversion of floats to them."""
    types = ("uint8", "uint8")
    for rows, inner, columns in _INTEGER_GEMMS:
        weights = {**_SCALES, "w": ("int8", (inner, columns))}
        yield chain("gemm-int8", (rows, inner), "QLinearMatMul(IN, s, a, w, s, b, s, a)", weights=weights, dtypes=types)
        whole: Weights = {"a": ("uint8", ()), "w": ("int8", (inner, columns))}
        yield chain("matmul-integer", (rows, inner), "MatMulInteger(IN, w, a)", weights=whole, dtypes=("uint8", "int32"))
        unsigned: Weights = {**_UINT8, "w": ("uint8", (inner, columns))}
        text = "MatMulInteger(IN, w, a, a)"
        yield chain("matmul-integer-unsigned", (rows, inner), text, weights=unsigned, dtypes=("uint8", "int32"))
        text = "QLinearMatMul(IN, s, a, w, s, a, s, a)"
        yield chain("gemm-int8-unsigned", (rows, inner), text, weights=unsigned, dtypes=types)
    for batch, rows, inner, columns in ((2, 8, 32, 16), (3, 197, 64, 197), (3, 197, 197, 64), (12, 128, 64, 128)):
        given = f"uint8[{batch},{rows},{inner}] x, uint8[{batch},{inner},{columns}] z"
        text = f"({given}) => (uint8 y) {{ y = QLinearMatMul(x, s, a, z, s, a, s, a) }}"
        yield Probe("matmul-int8", text, _UINT8)
    for rows, columns in ((16, 64), (591, 197), (1536, 128)):
        text = "com.microsoft.QLinearSoftmax<axis = -1, opset = 13>(IN, s, a, s, a)"
        yield chain("softmax-int8", (rows, columns), text, weights=_UINT8, dtypes=types)
    for size in (KI, 16 * KI, 256 * KI, 2 * MI):
        for family, operator in (("binary-int8", "Add"), ("mul-int8", "Mul")):
            text = f"com.microsoft.QLinear{operator}(IN, s, a, X, s, a, s, a)"
            yield chain(family, (1, 64, size // 64), text, text, weights=_UINT8, dtypes=types)
        text = "com.microsoft.QLinearSigmoid(IN, s, a, s, a)"
        yield chain("lookup-int8", (1, 64, size // 64), text, text, weights=_UINT8, dtypes=types)
        yield Probe(
            "dynamic-quantize", f"(float[{size}] x) => (uint8 y, float s, uint8 z) {{ y, s, z = DynamicQuantizeLinear(x) }}"
        )
    for left, right in (("1,64,28,28", "1,64,1,1"), ("1,28,28,64", "1,1,1,64"), ("1,56,56,256", "1,1,1,256")):
        for family, operator in (("binary-int8", "Add"), ("mul-int8", "Mul")):
            text = f"com.microsoft.QLinear{operator}(x, s, a, z, s, a, s, a)"
            yield Probe(family, f"(uint8[{left}] x, uint8[{right}] z) => (uint8 y) {{ y = {text} }}", _UINT8)
    other: Weights = {**_UINT8, "t": ("float32", (1,))}
    for shape, axis in (((1, 64, 28, 28), 1), ((1, 28, 28, 64), 3), ((1, 56, 56, 16), 3), ((1, 8, 8, 8), 3)):
        dims = ",".join(map(str, shape))
        text = f"com.microsoft.QLinearConcat<axis = {axis}>(s, a, x, t, a, z, t, a)"
        yield Probe("concat-int8", f"(uint8[{dims}] x, uint8[{dims}] z) => (uint8 y) {{ y = {text} }}", other)
    for channels, side in ((16, 7), (16, 56), (64, 28), (256, 7)):
        last, text = "channels_last = 1", "com.microsoft.QLinearAveragePool<kernel_shape"
        for kernel, pads in ((2, "0, 0, 1, 1"), (3, "1, 1, 1, 1")):
            line = f"{text} = [{kernel}, {kernel}], pads = [{pads}], {last}>(IN, s, a, s, a)"
            yield chain("pool-int8", (1, side, side, channels), line, weights=_UINT8, dtypes=types)
        line = f"com.microsoft.QLinearGlobalAveragePool<{last}>(IN, s, a, s, a)"
        yield chain("global-pool-int8", (1, side, side, channels), line, weights=_UINT8, dtypes=types)
    for channels, length, groups in ((768, 128, 4), (768, 128, 1), (64, 128, 1)):
        family = "conv-int8-grouped" if groups > 1 else "conv-int8"
        weights = {**_SCALES, "w": ("int8", (channels, channels // groups, 1))}
        text = f"QLinearConv<kernel_shape = [1], group = {groups}>(IN, s, a, w, s, b, s, a)"
        yield chain(family, (1, channels, length), text, weights=weights, dtypes=types)
    for inputs, outputs, side, kernel, groups, stride in _INTEGER_CONVS:
        yield _integer_conv("uint8", inputs, outputs, side, kernel, groups, stride)
    for inputs, outputs, side, kernel, groups, stride in _INTEGER_CONVS[1:12:2] + _INTEGER_CONVS[-3:]:
        yield _integer_conv("int8", inputs, outputs, side, kernel, groups, stride)
    for inputs, outputs, side, kernel, stride in _CONV_INTEGERS:
        whole = {"a": ("uint8", ()), "w": ("uint8", (outputs, inputs, kernel, kernel))}
        text = f"ConvInteger<kernel_shape = [{kernel}, {kernel}], strides = [{stride}, {stride}]>(IN, w, a, a)"
        yield chain("conv-integer", (1, inputs, side, side), text, weights=whole, dtypes=("uint8", "int32"))


CONTRACTIONS: tuple[Callable[[], Iterator[Probe]], ...] = (
    *(
        convolutions,
        activated_convolutions,
        plain_convolutions,
        products,
        low_bit_products,
        attentions,
        recurrences,
        integer_recurrences,
        quantized_products,
    ),
)
"""What makes the probes, in the order in which they are timed."""
