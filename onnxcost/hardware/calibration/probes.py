"""The probes of a calibration: small models, each a chain of nodes of one kernel family, over sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from onnxcost.frontend.probe_models import Probe, Weights, chain, floats
from onnxcost.hardware.calibration.classical_probes import classical_models
from onnxcost.hardware.calibration.contraction_probes import CONTRACTIONS, KI, MI, cold_products
from onnxcost.hardware.calibration.convolution_probes import conv

DELAYS = ((1 << 16, 4), (1 << 17, 8), (1 << 17, 16), (1 << 18, 16), (1 << 18, 32), (1 << 18, 64), (1 << 19, 64), (1 << 19, 128))
"""The bytes of a value, and how many nodes later it is read again: from what fits into any cache to what fits into none."""


def delay_lines() -> Iterator[Probe]:
    """Each node adds the output of the one before and that of a much earlier one, and overwrites the latter."""
    for size, delay in DELAYS:
        count = max(3 * delay, 32)
        older = ["x" if index < delay else f"y{index - delay}" for index in range(1, count)]
        lines = [f"y{index} = Add(y{index - 1}, {old})" for index, old in enumerate(older, start=1)]
        graph = f"(float[{size // 4}] x) => (float y{count - 1}) {{ y0 = Neg(x) {' '.join(lines)} }}"
        yield Probe("cold-values", graph)


def bottlenecks() -> Iterator[Probe]:
    """More and more blocks of three convolutions, as in ResNet-50, until no cache holds their weights."""
    for count in (1, 8, 16, 32, 64):
        weights: dict[str, tuple[int, ...]] = {}
        lines = []
        for index in range(count):
            weights |= {f"a{index}": (128, 512, 1, 1), f"b{index}": (128, 128, 3, 3), f"c{index}": (512, 128, 1, 1)}
            window = "kernel_shape = [3, 3], pads = [1, 1, 1, 1]"
            lines += [f"Conv(IN, a{index})", f"Conv<{window}>(IN, b{index})", f"Conv(IN, c{index})"]
        yield chain("cold-conv", (1, 512, 14, 14), *lines, weights=floats(**weights))


UNARY_SIZES = (KI, 16 * KI, 256 * KI, 2 * MI)


def probes() -> tuple[Probe, ...]:
    """All probes; the families that occur beside others in a probe come first."""
    return tuple(probe for make in _MAKERS for probe in make())


def blocked_probe() -> Probe:
    """A convolution that a runtime with a blocked layout runs on blocks: its 4 outputs are filled up to one."""
    return conv("conv-blocked", 32, 4, 8, 3, back=False)


def _elementwise() -> Iterator[Probe]:
    """First a small node and a chain of them, then views, then operators that do not undo or absorb one another in a chain."""
    yield chain("cheap", (8,), "Neg(IN)")
    yield chain("cheap", (8,), *["Neg(IN)", "Abs(IN)"] * 16)
    views = [f"Reshape(IN, {'flat' if index % 4 < 2 else 'square'})" if index % 2 else "Neg(IN)" for index in range(32)]
    yield chain("view", (8, 8), *views, flat=(64,), square=(8, 8))
    lines = {
        "cheap": ["Neg(IN)", "Abs(IN)"],
        "sigmoid": ["Sigmoid(IN)"] * 2,
        "tanh": ["Tanh(IN)"] * 2,
        "exp": ["Neg(IN)", "Exp(IN)"],
        "erf": ["Erf(IN)"] * 2,
        "gelu": ["com.microsoft.Gelu(IN)"] * 2,
        "quick-gelu": ["com.microsoft.QuickGelu<alpha = 1.0>(IN)"] * 2,
        "quick-gelu-scaled": ["com.microsoft.QuickGelu(IN)"] * 2,
        "leaky-relu": ["LeakyRelu(IN)", "Floor(IN)"],
        "elu": ["Elu(IN)", "Sin(IN)"],
        "sign": ["Sign(IN)"] * 2,
        "softplus": ["Softplus(IN)"],
        "sqrt": ["Sqrt(IN)"] * 2,
        "hard": ["HardSigmoid(IN)"] * 2,
        "pow": ["Pow(IN, three)"] * 2,
        "cast": ["Cast<to = 7>(IN)", "Cast<to = 1>(IN)"],
        "binary": ["Add(IN, X)", "Mul(IN, X)"] * 2,
        "batchnorm": ["BatchNormalization(IN, scale, scale, scale, scale)"],
        "lrn": ["LRN<size = 5>(IN)"],
        "instancenorm": ["InstanceNormalization(IN, scale, scale)"],
    }
    scalars = floats(three=(), scale=(64,))
    for family, pattern in lines.items():
        for size in UNARY_SIZES:
            used = {name: weight for name, weight in scalars.items() if any(name in line for line in pattern)}
            yield chain(family, (1, 64, size // 64, 1), *pattern, weights=used)
    zero: Weights = {"unit": ("float32", ()), "zero": ("uint8", ())}
    for size in UNARY_SIZES:
        yield Probe("quantize", f"(float[{size}] x) => (uint8 y) {{ y = QuantizeLinear(x, unit, zero) }}", zero)
        yield Probe("dequantize", f"(uint8[{size}] x) => (float y) {{ y = DequantizeLinear(x, unit, zero) }}", zero)


def _casts() -> Iterator[Probe]:
    """Between float16, for which a CPU has few kernels, and float32."""
    for size in UNARY_SIZES[1:]:
        yield chain("cast-to-half", (size,), "Cast<to = 10>(IN)", dtypes=("float", "float16"))
        yield chain("cast-from-half", (size,), "Cast<to = 1>(IN)", dtypes=("float16", "float"))


def _broadcasts() -> Iterator[Probe]:
    for rows, columns in ((16, 64), (196, 384), (64, 4096), (2048, 1024)):
        lines = ("Add(IN, b)", "Mul(IN, b)", "Sub(IN, b)")
        yield chain("broadcast", (rows, columns), *lines, weights=floats(b=(columns,)))
    for channels, places in ((16, 49), (96, 196), (64, 3136), (64, 12544)):
        lines = ("Mul(IN, g)", "Add(IN, g)", "Sub(IN, g)")
        yield chain("broadcast", (1, channels, places, 1), *lines, weights=floats(g=(1, channels, 1, 1)))
    # Spans from one element to an image, in which one operand stands still or both move.
    for left, right in (
        ("1,64,56,1", "1,64,1,1"), ("4,196,14,14", "4,196,14,1"), ("4,196,14,14", "4,196,1,14"), ("64,3,49,49", "1,3,49,49"),
        ("12,197,197", "12,197,1"), ("1,28,28,64", "1,28,1,64"), ("64,56,56,1", "1"), ("128,128,3", "128,128,1"),
        ("64,64,8", "64,64,1"),
    ):  # fmt: skip
        yield Probe("broadcast", f"(float[{left}] x, float[{right}] z) => (float y) {{ y = Add(x, z) }}")
    for rows, columns in ((16, 64), (196, 384), (1024, 1024)):
        yield chain("where", (rows, columns), "Less(IN, X)", "Where(IN, X, X)")


# Rows that stay together, a single dim that moves, and what onnxruntime moves element by element.
_TRANSPOSES = (
    *(("transpose-rows", shape, "0, 2, 1, 3") for shape in ((1, 8, 16, 32), (1, 64, 12, 32), (1, 196, 12, 64))),
    ("transpose-rows", (64, 49, 3, 32), "0, 2, 1, 3"),
    ("transpose-rows", (1, 8, 7, 8, 7, 96), "0, 1, 3, 2, 4, 5"),
    ("transpose-rows", (64, 49, 3, 6, 32), "2, 0, 3, 1, 4"),
    *(("transpose", shape, "0, 3, 1, 2") for shape in ((1, 7, 7, 512), (1, 14, 14, 1280), (1, 28, 28, 256), (1, 56, 56, 96))),
    *(("transpose", shape, "0, 2, 3, 1") for shape in ((1, 8, 16, 32), (1, 512, 7, 7), (1, 384, 14, 14), (1, 96, 28, 28))),
    *(("transpose", shape, "0, 1, 3, 2") for shape in ((1, 12, 196, 64), (1, 3, 224, 224), (1, 12, 64, 128))),
    ("transpose", (1, 56, 56, 512), "0, 3, 1, 2"),
    ("transpose", (1, 512, 3136), "0, 2, 1"),
    ("transpose", (1, 196, 384), "0, 2, 1"),
    ("transpose-scattered", (1, 64, 8, 7, 8, 7), "0, 2, 4, 3, 5, 1"),
    ("transpose-scattered", (1, 576, 1, 4, 32), "2, 0, 3, 4, 1"),
    ("transpose-scattered", (1, 64, 1, 4, 16), "2, 0, 3, 4, 1"),
)


def _movements() -> Iterator[Probe]:
    for family, shape, order in _TRANSPOSES:
        # Alone: through other operators transposes are moved until they cancel each other.
        yield chain(family, shape, f"Transpose<perm = [{order}]>(IN)")
    for shape in ((1, 32, 7, 7), (1, 64, 28, 28), (1, 128, 56, 56)):
        yield chain("concat", shape, "Neg(IN)", "Concat<axis = 1>(IN, X)")
        yield chain("concat", shape, "Neg(IN)", "Concat<axis = 3>(IN, X)")
    # Values that are stacked, and taken apart again.
    for shape in ((1, 16, 16, 1), (1, 128, 128, 1)):
        yield chain("concat", shape, "Neg(IN)", "Concat<axis = 3>(IN, X, X)")
    for rows, count in ((150, 12), (200, 21)):
        names = [f"y{index}" for index in range(count)]
        # One output is the model's: others would take the time of handing them over.
        split = f"Split<axis = 2, num_outputs = {count}>(x)"
        yield Probe("split", f"(float[1,{rows},{count}] x) => (float y0) {{ {', '.join(names)} = {split} }}")
    many = [f"x{index}" for index in range(32)]
    given = ", ".join(f"float[1,64] {name}" for name in many)
    yield Probe("concat", f"({given}) => (float y) {{ y = Concat<axis = 1>({', '.join(many)}) }}")
    yield Probe("split", "(float[1,512] x) => (float a) { a, b, c, d = Split<axis = 1, num_outputs = 4>(x) }")
    for windows, positions, heads, size in ((4, 49, 12, 32), (64, 49, 3, 32), (1, 1024, 4, 12)):
        given = f"float[{windows},{positions},3,{heads},{size}] x"
        yield Probe("split", f"({given}) => (float a) {{ a, b, c = Split<axis = 2, num_outputs = 3>(x) }}")
    for shape, axis in (((1, 116, 28, 28), 1), ((1, 576, 384), 2)):
        dims = ",".join(map(str, shape))
        text = f"(float[{dims}] x) => (float a) {{ a, b = Split<axis = {axis}, num_outputs = 2>(x) }}"
        yield Probe("split", text)
    for rows, columns in ((16, 32), (128, 768), (4096, 256)):
        yield chain("gather", (rows, columns), "Neg(IN)", "Gather<axis = 0>(IN, places)", places=tuple(range(rows))[::-1])
        lines = ("Neg(IN)", "Slice(IN, low, high, axes)")
        yield chain("slice", (rows, columns), *lines, low=(1, 1), high=(rows, columns), axes=(0, 1))
        yield chain("pad", (1, rows // 4, 4, columns), "Neg(IN)", "Pad(IN, pads)", pads=(0, 0, 1, 1, 0, 0, 1, 1))
        yield chain("expand", (rows, 1, columns), "Neg(IN)", "Expand(IN, wide)", wide=(rows, 4, columns))
    yield chain("slice", (1, 64, 56, 56), "Slice(IN, low, high, axes, steps)", low=(0,), high=(56,), axes=(3,), steps=(2,))
    yield chain("slice", (1, 3, 128, 128), "Slice(IN, low, high, axes, steps)", low=(0,), high=(128,), axes=(3,), steps=(2,))
    for side in (16, 128, 512):
        given = f"float[{side},{side}] x, int64[{side},{side}] places"
        yield Probe("scatter", f"({given}) => (float y) {{ y = GatherElements<axis = 1>(x, places) }}")
        yield Probe("scatter", f"({given}) => (float y) {{ y = ScatterElements<axis = 1>(x, places, x) }}")
        line = 'ScatterElements<axis = 1, reduction = "add">(x, places, x)'
        yield Probe("scatter-reduced", f"({given}) => (float y) {{ y = {line} }}")
    for rows, columns in ((32, 128), (128, 336)):
        given, line = f"float[32,{columns}] x, int64[{rows},{columns}] places, float[{rows},{columns}] z", "(x, places, z)"
        yield Probe("scatter-reduced", f'({given}) => (float y) {{ y = ScatterElements<axis = 0, reduction = "add">{line} }}')
    yield chain("gather", (49, 49, 4), "Gather<axis = 1>(IN, places)", places=tuple(range(49)))
    yield chain("expand", (1, 1, 14, 14), "Expand(IN, wide)", wide=(1, 64, 14, 14))
    yield chain("expand", (1, 64, 14, 14), "Tile(IN, wide)", wide=(1, 1, 2, 2))
    yield chain("expand", (1, 3136, 1), "Expand(IN, wide)", wide=(1, 3136, 48))
    for rows, columns, count in ((64, 64, 64), (3136, 14, 3136), (512, 256, 128), (64, 64, 4096)):
        # Rows, or single elements where there are more than rows.
        places = f"int64[{count},{1 if count <= rows else 2}] places"
        kept = f"{count},{columns}" if count <= rows else str(count)
        yield Probe("gather-slices", f"(float[{rows},{columns}] x, {places}) => (float y) {{ y = GatherND(x, places) }}")
        given = f"float[{rows},{columns}] x, {places}, float[{kept}] z"
        yield Probe("scatter-slices", f"({given}) => (float y) {{ y = ScatterND(x, places, z) }}")
    yield chain("pad", (1, 64, 56, 56), "Pad(IN, pads)", pads=(0, 0, 1, 1, 0, 0, 1, 1))
    yield chain("pad", (1, 64, 1024), "Pad(IN, pads)", pads=(0, 0, 3, 0, 0, 3))
    for side in (7, 28, 80):
        text = 'Resize<mode = "nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor">(IN, , , sizes)'
        yield chain("resize", (1, 64, side, side), "Neg(IN)", text, sizes=(1, 64, 2 * side, 2 * side))
        text = text.replace("nearest", "linear", 1).replace(', nearest_mode = "floor"', "")
        yield chain("resize-linear", (1, 20, side, side), "Neg(IN)", text, sizes=(1, 20, 2 * side, 2 * side))
        if side < 80:
            yield chain("resize-linear", (1, 20, side, side), text, sizes=(1, 20, 8 * side, 8 * side))
        text = text.replace("linear", "cubic", 1)
        yield chain("resize-cubic", (1, 4, side, side), text, sizes=(1, 4, 2 * side, 2 * side))
        yield chain("resize-cubic", (1, 3, 2 * side, 2 * side), text, sizes=(1, 3, side + 9, side + 9))
        yield chain("resize-cubic", (1, 1, side, side), text, sizes=(1, 1, side - 1, side - 1))
        for mode in ("linear", "cubic"):
            text = f'Resize<mode = "{mode}", antialias = 1>(IN, , , sizes)'
            yield chain("resize-antialias", (1, 3, side, side), text, sizes=(1, 3, 2 * side, 2 * side))
            yield chain("resize-antialias", (1, 3, 2 * side, 2 * side), text, sizes=(1, 3, side, side))
        text = 'Resize<mode = "nearest">(IN, , , sizes)'
        yield chain("resize-nearest", (1, 16, side, side), text, sizes=(1, 16, 2 * side, 2 * side))
        yield chain("resize-nearest", (1, 16, side, side), text, sizes=(1, 16, side - 1, side - 1))


def _reductions() -> Iterator[Probe]:
    """Over the last dims, over earlier ones, and by operators for which onnxruntime has no fast loop."""
    for rows, columns in ((8, 64), (588, 64), (2048, 196), (3136, 96), (196, 768), (8, 4096)):
        yield chain("reduce", (rows, columns), "Neg(IN)", "ReduceMean<keepdims = 1>(IN, axes)", axes=(-1,))
    for rows, columns in ((25088, 3), (4096, 5), (12544, 16)):
        yield chain("reduce", (rows, columns), "Neg(IN)", "ReduceMax<keepdims = 1>(IN, axes)", axes=(-1,))
    for shape in ((1, 49, 768), (1, 196, 384), (1, 56 * 56, 96), (1, 64, 784), (1, 56 * 56, 256), (1, 784, 512), (1, 197, 768)):
        yield chain("reduce-before", shape, "Neg(IN)", "ReduceMean<keepdims = 1>(IN, axes)", axes=(1,))
        yield chain("reduce-slow", shape, "Neg(IN)", "ReduceL2<keepdims = 1>(IN, axes)", axes=(1,))
    # Rows that are a power of two apart.
    for shape in ((1, 1024, 1024), (1, 256, 4096)):
        yield chain("reduce-before", shape, "ReduceMean<keepdims = 1>(IN, axes)", axes=(1,))
    for shape in ((1, 2, 12544), (1, 2, 100352)):
        yield chain("reduce-before", shape, "ReduceSum<keepdims = 0>(IN, axes)", axes=(1,))
    for rows, columns in ((128, 128), (512, 576), (25088, 2), (200704, 2)):
        yield chain("reduce-slow", (rows, columns), "Neg(IN)", "ReduceL2<keepdims = 1>(IN, axes)", axes=(-1,))


def _normalizations() -> Iterator[Probe]:
    for rows, columns in ((8, 64), (196, 196), (588, 64), (2048, 196), (3136, 96), (196, 768), (8, 4096)):
        weights = floats(g=(columns,), b=(columns,))
        yield chain("softmax", (rows, columns), *["Softmax<axis = -1>(IN)"] * 2)
        yield chain("softmax", (rows, columns // 2 + 1), *["Softmax<axis = -1>(IN)"] * 2)
        yield chain("layernorm", (rows, columns), *["LayerNormalization<axis = -1>(IN, g, b)"] * 2, weights=weights)
        # Both as onnxruntime fuses them: with what is added before.
        lines = ["Neg(IN)", "Add(IN, X)", "LayerNormalization<axis = -1>(IN, g, b)"]
        yield chain("skip-layernorm", (1, rows, columns), *lines, weights=weights)
        lines = ["com.microsoft.SkipSimplifiedLayerNormalization(IN, X, g)"] * 2
        yield chain("skip-rmsnorm", (1, rows, columns), *lines, weights=floats(g=(columns,)))
        lines = ["Add(IN, b)", "com.microsoft.Gelu(IN)"] * 2
        yield chain("bias-gelu", (1, rows, columns), *lines, weights=floats(b=(columns,)))
    for rows, columns in ((3136, 7), (12544, 24), (128, 10)):
        yield chain("softmax", (rows, columns), "Softmax<axis = -1>(IN)")
        yield chain("layernorm", (rows, columns), "LayerNormalization<axis = -1>(IN, g, g)", weights=floats(g=(columns,)))
        lines = ["Neg(IN)", "Add(IN, X)", "LayerNormalization<axis = -1>(IN, g, g)"]
        yield chain("skip-layernorm", (1, rows, columns), *lines, weights=floats(g=(columns,)))
    for maps, side in ((512, 7), (64, 14), (256, 28)):
        yield chain("instancenorm", (1, maps, side, side), "InstanceNormalization(IN, g, g)", weights=floats(g=(maps,)))
    # Of another dim than the last: onnxruntime swaps the two, mostly element by element.
    for shape in ((256, 9, 1), (1, 64, 4, 7), (1, 197, 8, 19), (1, 785, 8, 19), (1, 3137, 8, 8), (196, 196, 4)):
        yield chain("softmax-across", shape, "Softmax<axis = 1>(IN)")


def _reorders() -> Iterator[Probe]:
    """Into blocks and out of them, by the operators that onnxruntime puts there itself."""
    domain = "com.microsoft.nchwc."
    for channels, side in ((32, 7), (64, 28), (144, 56), (64, 112), (512, 56)):
        lines = (f"{domain}ReorderInput(IN)", f"{domain}ReorderOutput<channels = {channels}>(IN)")
        yield chain("reorder", (1, channels, side, side), *lines)
        last = "channels_last = 1"
        lines = (f"{domain}ReorderInput<{last}>(IN)", f"{domain}ReorderOutput<channels = {channels}, {last}>(IN)")
        yield chain("reorder-last", (1, side, side, channels), *lines)


def _pools() -> Iterator[Probe]:
    """Of as many channels as fill no block, and of channels that do."""
    for kind, count, sizes in (
        ("", 2, ((20, 112), (20, 28), (100, 14))),
        ("-blocked", 4, ((32, 7), (64, 28), (64, 112), (256, 28))),
    ):
        for channels, side in sizes:
            shape = (1, channels, side, side)
            yield chain(f"pool{kind}", shape, *["MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(IN)"] * count)
            yield chain(f"pool{kind}", shape, "MaxPool<kernel_shape = [2, 2], strides = [2, 2]>(IN)")
            yield chain(f"global-pool{kind}", shape, "GlobalAveragePool(IN)")
        for channels, side, kernel in ((sizes[-1][0], 14, 13), (sizes[0][0], 28, 5), (sizes[0][0], 56, 13)):
            window = f"kernel_shape = [{kernel}, {kernel}], pads = [{', '.join([str(kernel // 2)] * 4)}]"
            yield chain(f"pool{kind}", (1, channels, side, side), f"MaxPool<{window}>(IN)")
    for shape in ((1, 4, 512, 1), (1, 24, 3750, 1)):
        yield chain("pool", shape, "MaxPool<kernel_shape = [2, 1], strides = [2, 1]>(IN)")
    yield chain("pool", (1, 3, 112, 112), "MaxPool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(IN)")
    for channels, side in ((20, 96), (60, 56), (12, 160)):
        # Signs as after a convolution, where neighbors are alike, of so many numbers that no branch predictor knows them all.
        pool = "AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(IN)"
        yield chain("prelu", (1, channels, side, side), pool, "PRelu(IN, g)", weights=floats(g=(channels, 1, 1)))


def _selections() -> Iterator[Probe]:
    """Where elements are, the largest of them, and sums up to each."""
    for rows, columns in ((4, 64), (128, 128), (128, 768)):
        yield Probe("nonzero", f"(float[{rows},{columns}] x) => (int64 y) {{ y = NonZero(x) }}")
        yield chain("cumsum", (rows, columns), "CumSum(IN, last)", last=(1,))
        yield chain("cumsum", (1, rows, columns), "CumSum(IN, first)", first=(1,))
    for rows, columns, count in ((300, 91, 1), (1, 8400, 300), (1024, 64, 10), (16, 1000, 5), (1, 8192, 4096), (256, 54, 54)):
        graph = f"(float[{rows},{columns}] x) => (float y, int64 places) {{ y, places = TopK(x, count) }}"
        yield Probe("topk", graph, integers={"count": (count,)})


def _samples() -> Iterator[Probe]:
    """Images read at positions that are values, and regions of them."""
    slow = ('mode = "nearest"', "align_corners = 1", 'padding_mode = "border"', 'mode = "bicubic"')
    for channels, side in ((4, 40), (32, 16), (64, 40)):
        given = f"float[1,{channels},{side},{side}] x, float[1,{side},{side},2] g"
        for text in ('mode = "bilinear"', *slow):
            family = "grid-sample-slow" if text in slow else "grid-sample"
            yield Probe(family, f"({given}) => (float y) {{ y = GridSample<{text}>(x, g) }}")
    for regions, channels, ratio in ((4, 8, 2), (50, 32, 1), (50, 32, 2), (20, 32, 4)):
        sizes = f"output_height = 7, output_width = 7, sampling_ratio = {ratio}, spatial_scale = 10.0"
        given = f"float[1,{channels},40,40] x, float[{regions},4] z"
        graph = f"({given}) => (float y) {{ boxes = Abs(z) y = RoiAlign<{sizes}>(x, boxes, image) }}"
        yield Probe("roi-align", graph, integers={"image": (0,) * regions})


def _transforms() -> Iterator[Probe]:
    """Of frames of a signal: of a power of two, and of another length."""
    for frames, length in ((8, 512), (128, 512), (8, 400), (64, 400), (64, 1024)):
        given = f"(float[1,{(frames - 1) * 160 + length}] x) => (float y)"
        graph = f"{given} {{ step = Constant<value_int = 160>() y = STFT(x, step, window) }}"
        yield Probe("fourier", graph, floats(window=(length,)))


def _mixed_kernels() -> Iterator[Probe]:
    """Small kernels of many kinds: what each costs beyond its work when another kind ran before it."""
    lines = (
        "Softmax(IN)", "Neg(IN)", "Transpose<perm = [1, 0]>(IN)", "MatMul(IN, w)", "Concat<axis = 0>(IN, X)", "Sigmoid(IN)",
        "Slice(IN, low, high)", "Reshape(IN, flat)", "Exp(IN)", "Reshape(IN, square)", "LayerNormalization(IN, g, g)",
        "Add(IN, X)",
    )  # fmt: skip
    weights = floats(w=(8, 8), g=(8,))
    yield chain("call", (8, 8), *lines * 4, weights=weights, low=(0,), high=(8,), flat=(64,), square=(8, 8))


_MAKERS: tuple[Callable[[], Iterator[Probe]], ...] = (
    *(
        _elementwise,
        _casts,
        _broadcasts,
        _movements,
        _reductions,
        _normalizations,
        _reorders,
        _pools,
        _transforms,
        classical_models,
    ),
    *(_selections, _samples),
    *CONTRACTIONS,
    *(_mixed_kernels, cold_products, bottlenecks, delay_lines),
)
