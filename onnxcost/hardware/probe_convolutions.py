"""Probes of convolutions: in blocks and not, of one group and of many, and what they do besides."""

from __future__ import annotations

from collections.abc import Iterator

from onnxcost.hardware.probe import Probe, Shape, Weights, chain

# channels in and out, side
_REGULAR = (
    (16, 16, 112), (32, 32, 56), (64, 64, 56), (64, 128, 28), (128, 128, 28), (256, 256, 14), (512, 512, 7),
    (16, 64, 14), (64, 16, 56), (256, 64, 7), (64, 64, 112), (128, 256, 56), (160, 160, 14), (32, 32, 160),
)  # fmt: skip
_POINTWISE = (
    (16, 96, 112), (24, 144, 56), (144, 24, 56), (64, 256, 56), (256, 64, 56), (512, 128, 28), (128, 512, 28), (32, 192, 28),
    (192, 32, 28), (256, 1024, 14), (1024, 256, 14), (96, 576, 14), (576, 96, 14), (512, 2048, 7), (2048, 512, 7),
    (160, 960, 7), (960, 160, 7), (96, 8, 1), (960, 240, 1), (32, 32, 1), (16, 64, 256), (64, 24, 128),
)  # fmt: skip
_DEPTHWISE = ((16, 256), (72, 128), (32, 112), (96, 112), (144, 56), (192, 28), (576, 14), (960, 7), (64, 7))
# Channels in and out, side, kernel, groups.
_UNKNOWN = (
    (64, 64, 56, 3, 1), (128, 128, 28, 3, 1), (256, 256, 14, 3, 1), (512, 512, 7, 3, 1), (3, 64, 224, 7, 1), (3, 32, 224, 3, 1),
    (64, 256, 56, 1, 1), (256, 64, 56, 1, 1), (512, 128, 28, 1, 1), (256, 1024, 14, 1, 1), (512, 2048, 7, 1, 1),
    (96, 96, 56, 3, 96), (384, 384, 14, 3, 384),
)  # fmt: skip
# Of 4, 8, 24, 56 and 120 channels a group: none fills a block.
_NARROW_GROUPS = (
    (128, 56, 32), (256, 28, 32), (256, 14, 32), (1024, 14, 128), (64, 28, 8), (440, 7, 55), (72, 56, 3), (168, 28, 7),
    (408, 14, 17), (912, 7, 38), (224, 56, 4), (448, 28, 8), (896, 14, 16), (240, 28, 2), (720, 14, 6),
)  # fmt: skip


def conv(
    family: str, inputs: int, outputs: int, side: int, kernel: int, groups: int = 1, stride: int = 1, back: bool = True
) -> Probe:
    """A chain of convolutions, there and back again where the numbers of channels allow it."""
    pad = kernel // 2
    shape = f"kernel_shape = [{kernel}, {kernel}], pads = [{pad}, {pad}, {pad}, {pad}]"
    text = f"Conv<{shape}, group = {groups}, strides = [{stride}, {stride}]>"
    weights: dict[str, tuple[str, Shape]] = {"w": ("float32", (outputs, inputs // groups, kernel, kernel))}
    lines = [f"{text}(IN, w)"]
    if back:
        weights["v"] = ("float32", (inputs, outputs // groups, kernel, kernel))
        lines = [f"{text}(IN, w)", f"{text}(IN, v)"]
    return chain(family, (1, inputs, side, side), *lines, weights=weights)


def convolutions() -> Iterator[Probe]:
    """Of two dims, which a runtime with a blocked layout runs on blocks, but for groups that are narrower."""
    for inputs, outputs, side in _REGULAR:
        yield conv("conv-blocked", inputs, outputs, side, 3)
    for inputs, outputs, side in ((64, 128, 56), (128, 256, 28), (256, 512, 14)):
        yield conv("conv-blocked", inputs, outputs, side, 3, stride=2, back=False)
    for inputs, outputs, side in ((32, 32, 28), (64, 64, 14)):
        yield conv("conv-blocked", inputs, outputs, side, 5)
    for inputs, outputs, side in _POINTWISE:
        yield conv("conv-blocked-pointwise", inputs, outputs, side, 1)
    yield conv("conv-blocked-pointwise", 256, 512, 56, 1, stride=2, back=False)
    for channels, side in _DEPTHWISE:
        yield conv("conv-blocked-depthwise", channels, channels, side, 3, channels)
    for channels, side in ((96, 112), (144, 56), (576, 14)):
        yield conv("conv-blocked-depthwise", channels, channels, side, 3, channels, stride=2, back=False)
    for channels, side in ((96, 28), (384, 14), (768, 7)):
        yield conv("conv-blocked-depthwise", channels, channels, side, 5 if side == 28 else 7, channels)
    for outputs, side, kernel, stride in (
        (32, 224, 3, 2),
        (64, 224, 7, 2),
        (64, 224, 3, 1),
        (96, 224, 11, 4),
        (16, 32, 3, 1),
        (8, 28, 3, 1),
        (768, 224, 32, 32),
        (384, 224, 16, 16),
    ):
        yield conv("conv-blocked-first", 3 if side > 28 else 1, outputs, side, kernel, stride=stride, back=False)
    for channels, side, kernel, groups, stride in (
        *((128, 56, 3, 8, 1), (256, 28, 3, 8, 1), (512, 14, 3, 16, 1), (1024, 7, 3, 32, 1), (32, 112, 3, 2, 1)),
        *((96, 112, 3, 6, 2), (144, 56, 3, 9, 1), (240, 28, 5, 15, 1), (480, 14, 5, 30, 1), (1152, 7, 5, 72, 1)),
        *((96, 56, 3, 2, 1), (192, 28, 3, 4, 1), (432, 14, 3, 9, 1), (1008, 7, 3, 21, 1)),
    ):
        yield conv("conv-blocked-grouped", channels, channels, side, kernel, groups, stride, back=stride == 1)
    for channels, side, groups in _NARROW_GROUPS:
        yield conv("conv-plain-grouped", channels, channels, side, 3, groups)
    for channels, side, groups in ((144, 56, 6), (224, 56, 4), (720, 28, 6)):
        yield conv("conv-plain-grouped", channels, channels, side, 3, groups, stride=2, back=False)


def activated() -> Iterator[Probe]:
    """Convolutions that bound what they make: more than they do without."""
    scalars: Weights = {"low": ("float32", ()), "high": ("float32", ())}
    for family, text in (
        ("fused-clip", "Clip(IN, low, high)"),
        ("fused-sigmoid", "Sigmoid(IN)"),
        ("fused-hard", "HardSwish(IN)"),
    ):
        for channels, side in ((64, 7), (64, 28), (96, 56), (64, 112)):
            plain = conv(family, channels, channels, side, 1, back=False)
            lines = ["Conv<kernel_shape = [1, 1], pads = [0, 0, 0, 0], group = 1, strides = [1, 1]>(IN, w)", text]
            used = scalars if "low" in text else {}
            yield chain(family, (1, channels, side, side), *lines * 4, weights={**plain.weights, **used})


def plain_convolutions() -> Iterator[Probe]:
    """Of one dim and of three, which are laid out in blocks nowhere; and transposed."""
    for inputs, outputs, length, kernel in (
        (64, 64, 64, 3),
        (64, 128, 1024, 3),
        (256, 256, 256, 5),
        (1, 64, 4000, 16),
    ):
        weights: Weights = {"w": ("float32", (outputs, inputs, kernel))}
        yield chain("conv-plain", (1, inputs, length), f"Conv<kernel_shape = [{kernel}]>(IN, w)", weights=weights)
    for length, kernel, stride in ((1024, 256, 64), (16384, 256, 128)):
        frames: Weights = {"w": ("float32", (258, 1, kernel))}
        text = f"Conv<kernel_shape = [{kernel}], strides = [{stride}]>(IN, w)"
        yield chain("conv-plain", (1, 1, length), text, weights=frames)
    for channels, side, kernel in ((58, 28, 3), (30, 14, 3)):
        odd: Weights = {"w": ("float32", (channels, channels, kernel, kernel))}
        yield chain("conv-plain", (1, channels, side, side), f"Conv<kernel_shape = [{kernel}, {kernel}]>(IN, w)", weights=odd)
    for inputs, outputs, side, kernel, groups in _UNKNOWN:
        # A weight that is no constant, as one that DequantizeLinear makes, is laid out in blocks nowhere.
        pad = kernel // 2
        shape = f"kernel_shape = [{kernel}, {kernel}], pads = [{pad}, {pad}, {pad}, {pad}], group = {groups}"
        given = f"float[1,{inputs},{side},{side}] x, float[{outputs},{inputs // groups},{kernel},{kernel}] w"
        family = "conv-plain-depthwise" if groups > 1 else "conv-plain-pointwise" if kernel == 1 else "conv-plain"
        yield Probe(family, f"({given}) => (float y) {{ y = Conv<{shape}>(x, w) }}")
    for channels, length in ((128, 256), (512, 64)):
        flat: Weights = {"w": ("float32", (channels, channels, 1))}
        yield chain("conv-plain-pointwise", (1, channels, length), "Conv<kernel_shape = [1]>(IN, w)", weights=flat)
    for channels, side, groups in (
        (58, 28, 1),
        (30, 14, 1),
        (24, 56, 3),
        (228, 28, 3),
        (272, 14, 4),
        (312, 14, 8),
        (544, 7, 8),
    ):
        narrow: Weights = {"w": ("float32", (channels, channels // groups, 1, 1))}
        text = f"Conv<kernel_shape = [1, 1], group = {groups}>(IN, w)"
        yield chain("conv-plain-pointwise", (1, channels, side, side), *[text] * 2, weights=narrow)
    for inputs, outputs, side in ((3, 32, 56), (32, 32, 28), (64, 128, 14)):
        solid: Weights = {"w": ("float32", (outputs, inputs, 3, 3, 3))}
        text = "Conv<kernel_shape = [3, 3, 3], pads = [1, 1, 1, 1, 1, 1]>(IN, w)"
        yield chain("conv-plain", (1, inputs, 8, side, side), text, weights=solid)
    for channels, side, stride in ((30, 14, 1), (58, 28, 1), (122, 28, 1), (58, 56, 2), (122, 56, 2), (246, 14, 2)):
        yield conv("conv-plain-depthwise", channels, channels, side, 3, channels, stride, back=False)
    for channels, side, kernel, stride in ((57, 28, 7, 1), (57, 56, 5, 1), (22, 56, 7, 2)):
        yield conv("conv-plain-depthwise", channels, channels, side, kernel, channels, stride, back=False)
    for channels, length in ((64, 256), (512, 64)):
        single: Weights = {"w": ("float32", (channels, 1, 5))}
        yield chain(
            "conv-plain-depthwise",
            (1, channels, length),
            f"Conv<kernel_shape = [5], group = {channels}>(IN, w)",
            weights=single,
        )
    for inputs, outputs, side in ((64, 32, 14), (128, 64, 56), (24, 24, 80)):
        up: Weights = {"w": ("float32", (inputs, outputs, 2, 2))}
        text = "ConvTranspose<kernel_shape = [2, 2], strides = [2, 2]>(IN, w)"
        yield chain("conv-transposed", (1, inputs, side, side), text, weights=up)
