"""Probes of convolutions of floats."""

from __future__ import annotations

from collections.abc import Iterator

from onnxcost.frontend.probe_models import Probe, chain, floats

# channels in and out, side
_REGULAR = (
    (16, 16, 112), (32, 32, 56), (64, 64, 56), (64, 128, 28), (128, 128, 28), (256, 256, 14), (512, 512, 7),
    (16, 64, 14), (64, 16, 56), (256, 64, 7), (64, 64, 112), (128, 256, 56), (160, 160, 14), (32, 32, 160),
)  # fmt: skip
_POINTWISE = (
    (16, 96, 112), (24, 144, 56), (144, 24, 56), (64, 256, 56), (256, 64, 56), (512, 128, 28), (128, 512, 28), (32, 192, 28),
    (192, 32, 28), (256, 1024, 14), (1024, 256, 14), (96, 576, 14), (576, 96, 14), (512, 2048, 7), (2048, 512, 7),
    (160, 960, 7), (960, 160, 7), (96, 8, 1), (960, 240, 1), (32, 32, 1), (16, 64, 256), (64, 24, 128),
    # Images that are larger than a core's caches.
    (48, 96, 160), (192, 64, 80), (512, 128, 128),
)  # fmt: skip
_DEPTHWISE = ((96, 160), (16, 256), (72, 128), (32, 112), (96, 112), (144, 56), (192, 28), (576, 14), (960, 7), (64, 7))
# Channels in and out, length, kernel: 1-D convolutions that were exported as 2-D ones.
_LINES = ((32, 150, 21, 10), (32, 100, 21, 12), (32, 200, 21, 3), (64, 64, 64, 3), (128, 256, 100, 5), (256, 256, 400, 3))
# Channels in and out, side, kernel, groups.
_UNKNOWN = (
    (64, 64, 56, 3, 1), (128, 128, 28, 3, 1), (256, 256, 14, 3, 1), (512, 512, 7, 3, 1), (3, 64, 224, 7, 1), (3, 32, 224, 3, 1),
    (64, 256, 56, 1, 1), (256, 64, 56, 1, 1), (512, 128, 28, 1, 1), (256, 1024, 14, 1, 1), (512, 2048, 7, 1, 1),
    (96, 96, 56, 3, 96), (384, 384, 14, 3, 384), (960, 960, 1, 3, 960), (576, 576, 2, 3, 576), (192, 192, 7, 5, 192),
    (960, 160, 1, 1, 1), (160, 960, 2, 1, 1), (256, 256, 2, 3, 1),
)  # fmt: skip
# Channels out, side, kernel, stride.
_FIRST = (
    (24, 640, 3, 2), (32, 224, 3, 2), (64, 224, 7, 2), (64, 224, 3, 1), (96, 224, 11, 4), (16, 32, 3, 1), (8, 28, 3, 1),
    (768, 224, 32, 32), (384, 224, 16, 16),
)  # fmt: skip
# Channels, side, kernel, groups, stride.
_GROUPED = (
    (32, 7, 3, 2, 1), (128, 56, 3, 8, 1), (256, 28, 3, 8, 1), (512, 14, 3, 16, 1), (1024, 7, 3, 32, 1), (32, 112, 3, 2, 1),
    (96, 112, 3, 6, 2), (144, 56, 3, 9, 1), (240, 28, 5, 15, 1), (480, 14, 5, 30, 1), (1152, 7, 5, 72, 1), (96, 56, 3, 2, 1),
    (192, 28, 3, 4, 1), (432, 14, 3, 9, 1), (1008, 7, 3, 21, 1),
)  # fmt: skip
# Channels in and out, side, kernel, stride.
_TRANSPOSED = (
    (64, 32, 14, 2, 2), (128, 64, 56, 2, 2), (24, 24, 80, 2, 2), (24, 24, 160, 2, 2), (24, 1, 160, 2, 2), (64, 32, 14, 4, 2),
    (16, 16, 56, 3, 2), (64, 64, 7, 3, 1), (256, 128, 7, 3, 1),
)  # fmt: skip
# Of 4, 8, 24, 56 and 120 channels a group: none fills a block.
_NARROW_GROUPS = (
    (24, 7, 3), (128, 56, 32), (256, 28, 32), (256, 14, 32), (1024, 14, 128), (64, 28, 8), (440, 7, 55), (72, 56, 3),
    (168, 28, 7), (408, 14, 17), (912, 7, 38), (224, 56, 4), (448, 28, 8), (896, 14, 16), (240, 28, 2), (720, 14, 6),
    (368, 7, 46), (152, 14, 19),
)  # fmt: skip


def window(kernel: int) -> str:
    """The attributes of a window that keeps the size of an image."""
    pad = kernel // 2
    return f"kernel_shape = [{kernel}, {kernel}], pads = [{pad}, {pad}, {pad}, {pad}]"


def conv(
    family: str, inputs: int, outputs: int, side: int, kernel: int, groups: int = 1, stride: int = 1, back: bool = True
) -> Probe:
    """A chain of convolutions, there and back again where the numbers of channels allow it."""
    weights = {"w": (outputs, inputs // groups, kernel, kernel)}
    weights |= {"v": (inputs, outputs // groups, kernel, kernel)} if back else {}
    lines = [f"Conv<{window(kernel)}, group = {groups}, strides = [{stride}, {stride}]>(IN, {name})" for name in weights]
    return chain(family, (1, inputs, side, side), *lines, weights=floats(**weights))


def convolutions() -> Iterator[Probe]:
    """2-D convolutions, which a runtime with a blocked layout runs on blocks, except for narrower groups."""
    for inputs, outputs, side in _REGULAR:
        yield conv("conv-blocked", inputs, outputs, side, 3)
    for inputs, outputs, side in ((64, 128, 56), (128, 256, 28), (256, 512, 14)):
        yield conv("conv-blocked", inputs, outputs, side, 3, stride=2, back=False)
    for inputs, outputs, side in ((32, 32, 28), (64, 64, 14)):
        yield conv("conv-blocked", inputs, outputs, side, 5)
    for inputs, outputs, length, kernel in _LINES:
        weights = floats(w=(outputs, inputs, 1, kernel))
        yield chain("conv-blocked", (1, inputs, 1, length), f"Conv<kernel_shape = [1, {kernel}]>(IN, w)", weights=weights)
    for inputs, side, dilation in ((64, 28, 6), (64, 28, 12), (256, 14, 12), (256, 28, 18)):
        pads = f"pads = [{', '.join([str(dilation)] * 4)}], dilations = [{dilation}, {dilation}]"
        weights = floats(w=(inputs, inputs, 3, 3))
        yield chain("conv-blocked", (1, inputs, side, side), f"Conv<kernel_shape = [3, 3], {pads}>(IN, w)", weights=weights)
    for inputs, outputs, side in _POINTWISE:
        yield conv("conv-blocked-pointwise", inputs, outputs, side, 1)
    yield conv("conv-blocked-pointwise", 256, 512, 56, 1, stride=2, back=False)
    for channels, side in _DEPTHWISE:
        yield conv("conv-blocked-depthwise", channels, channels, side, 3, channels)
    for channels, side in ((96, 112), (144, 56), (576, 14)):
        yield conv("conv-blocked-depthwise", channels, channels, side, 3, channels, stride=2, back=False)
    for channels, side in ((96, 28), (384, 14), (768, 7)):
        yield conv("conv-blocked-depthwise", channels, channels, side, 5 if side == 28 else 7, channels)
    for outputs, side, kernel, stride in _FIRST:
        yield conv("conv-blocked-first", 3 if side > 28 else 1, outputs, side, kernel, stride=stride, back=False)
    for shape, weight, more in (
        ((1, 8, 64, 128), (8, 8, 3, 15), "pads = [1, 7, 1, 7]"),
        ((1, 1, 1, 8192), (36, 1, 1, 256), "strides = [1, 64]"),
        ((1, 8, 86, 132), (32, 8, 5, 5), "pads = [2, 2, 2, 2], strides = [1, 3]"),
        ((1, 8, 43, 264), (8, 8, 3, 39), "pads = [1, 19, 1, 19]"),
    ):
        line = f"Conv<kernel_shape = [{weight[2]}, {weight[3]}], {more}>(IN, w)"
        yield chain("conv-blocked-first", shape, line, weights=floats(w=weight))
    for channels, side, kernel, groups, stride in _GROUPED:
        yield conv("conv-blocked-grouped", channels, channels, side, kernel, groups, stride, back=stride == 1)
    for inputs, outputs, side in ((32, 128, 56), (64, 128, 28), (256, 512, 14)):
        yield conv("conv-blocked-grouped", inputs, outputs, side, 3, 2, back=False)
    for channels, side, groups in _NARROW_GROUPS:
        yield conv("conv-plain-grouped", channels, channels, side, 3, groups)
    for channels, side, groups in ((144, 56, 6), (224, 56, 4), (720, 28, 6), (24, 112, 3), (56, 56, 7)):
        yield conv("conv-plain-grouped", channels, channels, side, 3, groups, stride=2, back=False)
    for channels, side, groups in ((64, 56, 8), (256, 14, 32)):
        yield conv("conv-plain-grouped", channels, channels, side, 5, groups)


def activated_convolutions() -> Iterator[Probe]:
    """Convolutions with a fused activation, which take longer than without."""
    bounds = floats(low=(), high=())
    for family, text, used in (
        ("fused-clip", "Clip(IN, low, high)", bounds),
        ("fused-sigmoid", "Sigmoid(IN)", {}),
        ("fused-hard", "HardSwish(IN)", {}),
    ):
        for channels, side in ((64, 7), (64, 28), (96, 56), (64, 112)):
            lines = [f"Conv<{window(1)}, group = 1, strides = [1, 1]>(IN, w)", text]
            weights = {**floats(w=(channels, channels, 1, 1)), **used}
            yield chain(family, (1, channels, side, side), *lines * 4, weights=weights)


# The input, the weight and more attributes, of one dim, of channels that fill no block, and of three dims.
_PLAIN = (
    ((1, 64, 64), (64, 64, 3), ""), ((1, 64, 1024), (128, 64, 3), ""), ((1, 256, 256), (256, 256, 5), ""),
    ((1, 1, 4000), (64, 1, 16), ""), ((1, 1, 1024), (258, 1, 256), ", strides = [64]"),
    ((1, 1, 16384), (258, 1, 256), ", strides = [128]"), ((1, 58, 28, 28), (58, 58, 3, 3), ""),
    ((1, 250, 10, 4), (250, 250, 3, 3), ", pads = [1, 1, 1, 1]"), ((1, 490, 5, 2), (490, 490, 3, 3), ", pads = [1, 1, 1, 1]"),
    ((1, 30, 14, 14), (30, 30, 3, 3), ""), ((1, 3, 8, 56, 56), (32, 3, 3, 3, 3), ", pads = [1, 1, 1, 1, 1, 1]"),
    ((1, 32, 8, 28, 28), (32, 32, 3, 3, 3), ", pads = [1, 1, 1, 1, 1, 1]"),
    ((1, 64, 8, 14, 14), (128, 64, 3, 3, 3), ", pads = [1, 1, 1, 1, 1, 1]"),
    # Few positions: a single one has a kernel of its own.
    ((1, 64, 6), (64, 64, 3), ""), ((128, 64, 6), (64, 64, 3), ""), ((128, 128, 3), (128, 128, 3), ""),
    ((1, 256, 19), (256, 256, 3), ""),
    ((1, 32, 4102), (32, 32, 7), ""),
)  # fmt: skip
# Channels, side, groups.
_PLAIN_POINTWISE = ((58, 28, 1), (30, 14, 1), (24, 56, 3), (228, 28, 3), (272, 14, 4), (312, 14, 8), (544, 7, 8))


def _plain_conv(
    family: str, shape: tuple[int, ...], weight: tuple[int, ...], attributes: str = "", operator: str = "Conv", count: int = 1
) -> Probe:
    """A chain of convolutions with one weight; ``attributes`` are those behind the kernel's shape."""
    text = f"{operator}<kernel_shape = [{', '.join(map(str, weight[2:]))}]{attributes}>(IN, w)"
    return chain(family, shape, *[text] * count, weights=floats(w=weight))


def plain_convolutions() -> Iterator[Probe]:
    """1-D, 3-D and transposed convolutions, which do not run on blocks."""
    for shape, weight, attributes in _PLAIN:
        yield _plain_conv("conv-plain", shape, weight, attributes)
    for inputs, outputs, side, kernel, groups in _UNKNOWN:
        # A convolution whose weight is not a constant, as after DequantizeLinear, does not run on blocks.
        given = f"float[1,{inputs},{side},{side}] x, float[{outputs},{inputs // groups},{kernel},{kernel}] w"
        family = "conv-plain-depthwise" if groups > 1 else "conv-plain-pointwise" if kernel == 1 else "conv-plain"
        yield Probe(family, f"({given}) => (float y) {{ y = Conv<{window(kernel)}, group = {groups}>(x, w) }}")
    for channels, length in ((128, 256), (512, 64)):
        yield _plain_conv("conv-plain-pointwise", (1, channels, length), (channels, channels, 1))
    for channels, side, groups in _PLAIN_POINTWISE:
        weight = (channels, channels // groups, 1, 1)
        yield _plain_conv("conv-plain-pointwise", (1, channels, side, side), weight, f", group = {groups}", count=2)
    for channels, side, stride in ((30, 14, 1), (58, 28, 1), (122, 28, 1), (58, 56, 2), (122, 56, 2), (246, 14, 2)):
        yield conv("conv-plain-depthwise", channels, channels, side, 3, channels, stride, back=False)
    for channels, side, kernel, stride in ((57, 28, 7, 1), (57, 56, 5, 1), (22, 56, 7, 2)):
        yield conv("conv-plain-depthwise", channels, channels, side, kernel, channels, stride, back=False)
    for channels, length in ((64, 256), (512, 64)):
        yield _plain_conv("conv-plain-depthwise", (1, channels, length), (channels, 1, 5), f", group = {channels}")
    for inputs, outputs, side, kernel, stride in _TRANSPOSED:
        weight = (inputs, outputs, kernel, kernel)
        attributes = f", strides = [{stride}, {stride}]"
        yield _plain_conv("conv-transposed", (1, inputs, side, side), weight, attributes, "ConvTranspose")
