"""Models with figures published by others, in Keras: those of the STM32 AI model zoo and of Arm's ML zoo.

The layers, their widths and strides are those of the zoos' own definitions, as far as these are public (Yamnet-256 is the first
six layers of YAMNet): https://github.com/STMicroelectronics/stm32ai-modelzoo, https://github.com/ARM-software/ML-zoo.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import keras
from keras import layers
from keras.applications import EfficientNetV2B0, MobileNet, MobileNetV2, ResNet50V2

FLOWERS, PLANTS, FOOD, IMAGENET = 5, 39, 101, 1000


def classifier(features: Any, classes: int) -> Any:
    return layers.Dense(classes, activation="softmax")(features)


def application(build: Callable[..., keras.Model], side: int, classes: int, channels: int = 3, **options: Any) -> keras.Model:
    """A model of keras.applications with a classifier of ``classes`` classes."""
    body = build(input_shape=(side, side, channels), include_top=False, weights=None, **options)
    return keras.Model(body.input, classifier(layers.GlobalAveragePooling2D()(body.output), classes))


def convolution(
    x: Any, filters: int, kernel: int | tuple[int, int], stride: int = 1, activation: str | None = "relu", bias: bool = True
) -> Any:
    """Convolution, normalization, activation."""
    x = layers.Conv2D(filters, kernel, strides=stride, padding="same", use_bias=bias)(x)
    return activated(layers.BatchNormalization()(x), activation)


def depthwise(x: Any, kernel: int, stride: int = 1, activation: str | None = "relu", bias: bool = True) -> Any:
    x = layers.DepthwiseConv2D(kernel, strides=stride, padding="same", use_bias=bias)(x)
    return activated(layers.BatchNormalization()(x), activation)


def activated(x: Any, activation: str | None) -> Any:
    return x if activation is None else layers.Activation(activation)(x)


FD_WIDTHS = (32, 64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 1024)
FD_HALVING = (0, 1, 2, 4, 6)
ST_FD_SHARES = (0.5, 0.75, 0.625, 0.5, 0.375, *[0.25] * 7)


def fd_mobilenet(side: int, classes: int, shares: Sequence[float] = (0.25,) * 12) -> keras.Model:
    """Fast-downsampling MobileNet (Qin et al., 2018), ST's with a share of the width for each layer."""
    first, *others = [int(width * share) for width, share in zip(FD_WIDTHS, shares, strict=True)]
    image = keras.Input((side, side, 3))
    x = convolution(image, first, 3, 2, bias=False)
    for index, width in enumerate(others, 1):
        x = layers.DepthwiseConv2D(3, strides=2 if index in FD_HALVING else 1, padding="same")(x)
        x = convolution(x, width, 1, bias=False)
    x = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = layers.Conv2D(classes, 1)(x)
    return keras.Model(image, layers.Reshape((classes,))(layers.Softmax()(x)))


def squeezenet11(side: int, classes: int) -> keras.Model:
    """SqueezeNet 1.1 (Iandola et al., 2016), without padding."""
    image = keras.Input((side, side, 3))
    x = layers.Conv2D(64, 3, strides=2, activation="relu")(image)
    for stage in (((16, 64),) * 2, ((32, 128),) * 2, (*((48, 192),) * 2, *((64, 256),) * 2)):
        x = layers.MaxPooling2D(3, strides=2)(x)
        for squeezed, expanded in stage:
            x = layers.Conv2D(squeezed, 1, activation="relu")(x)
            sides = [layers.Conv2D(expanded, kernel, padding="same", activation="relu")(x) for kernel in (1, 3)]
            x = layers.Concatenate()(sides)
    x = layers.Conv2D(classes, 1, activation="relu")(x)
    return keras.Model(image, layers.Softmax()(layers.GlobalAveragePooling2D()(x)))


def resnet_v1(depth: int, classes: int) -> keras.Model:
    """ResNet for CIFAR (He et al., 2015), as MLPerf Tiny has it with 8 layers."""
    image = keras.Input((32, 32, 3))
    x = convolution(image, 16, 3)
    for stage in range(3):
        for block in range((depth - 2) // 6):
            stride = 2 if stage and not block else 1
            y = convolution(convolution(x, 16 << stage, 3, stride), 16 << stage, 3, activation=None)
            if stride == 2:
                x = layers.Conv2D(16 << stage, 1, strides=2)(x)
            x = layers.Activation("relu")(layers.Add()([x, y]))
    return keras.Model(image, classifier(layers.Flatten()(layers.AveragePooling2D(8)(x)), classes))


def st_mnist() -> keras.Model:
    image = keras.Input((28, 28, 1))
    x = depthwise(convolution(image, 16, 3, 2), 3)
    x = depthwise(convolution(x, 32, 3), 3, 2)
    return keras.Model(image, classifier(layers.GlobalAveragePooling2D()(convolution(x, 64, 1)), 36))


ST_EFFICIENT_BLOCKS = (
    (16, 8, 3, 1, 1), (8, 16, 3, 2, 3), (16, 16, 3, 1, 3), (16, 24, 5, 2, 3), (24, 24, 5, 1, 3), (24, 40, 3, 2, 3),
    (40, 40, 3, 1, 3), (40, 40, 3, 1, 3), (40, 48, 5, 1, 3), (48, 48, 5, 1, 3), (48, 48, 5, 1, 3), (48, 88, 5, 2, 3),
    (88, 88, 5, 1, 3), (88, 88, 5, 1, 3), (88, 88, 5, 1, 3), (88, 144, 3, 1, 3),
)  # fmt: skip
"""Channels in and out, kernel, stride, expansion: EfficientNet-B0's at 0.45 of the width."""


def st_efficientnet_lc(side: int, classes: int) -> keras.Model:
    image = keras.Input((side, side, 3))
    x = convolution(image, 16, 3, 2, "relu6")
    for taken, given, kernel, stride, expansion in ST_EFFICIENT_BLOCKS:
        before, wide = x, taken * expansion
        if expansion > 1:
            x = convolution(x, wide, 1, activation="relu6")
        x = depthwise(x, kernel, stride, "relu6")
        gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
        gate = layers.Conv2D(max(1, taken // 4), 1, activation="relu6")(gate)
        gate = layers.Conv2D(wide, 1)(gate)
        gate = layers.Activation("sigmoid")(layers.ReLU(4.0)(gate))
        x = convolution(layers.Multiply()([x, gate]), given, 1, activation=None)
        if stride == 1 and taken == given:
            x = layers.Add()([x, before])
    x = convolution(x, 576, 1, activation="relu6")
    return keras.Model(image, classifier(layers.GlobalAveragePooling2D()(x), classes))


def gmp(length: int) -> keras.Model:
    """ST's network for human activities with global max pooling."""
    window = keras.Input((length, 3, 1))
    x = layers.Conv2D(16, (5, 1))(layers.BatchNormalization()(window))
    x = layers.Conv2D(16, (5, 1))(layers.BatchNormalization()(x))
    return keras.Model(window, layers.Softmax()(layers.Dense(4)(layers.GlobalMaxPooling2D()(x))))


def ign(length: int) -> keras.Model:
    """ST's network for human activities after Ignatov (2018)."""
    window = keras.Input((length, 3, 1))
    x = layers.MaxPooling2D((3, 1))(layers.Conv2D(24, (16, 1), activation="relu")(window))
    return keras.Model(window, classifier(layers.Dense(12)(layers.Flatten()(x)), 4))


def hand_posture() -> keras.Model:
    distances = keras.Input((8, 8, 2))
    x = layers.MaxPooling2D(2)(layers.Conv2D(8, 3, activation="relu")(distances))
    return keras.Model(distances, classifier(layers.Dense(32, activation="relu")(layers.Flatten()(x)), 8))


def spectrogram_stem() -> tuple[Any, Any]:
    """A spectrogram of 64 bands and 50 frames, and Keras's ResNet up to its normalization."""
    spectrogram = keras.Input((64, 50, 1))
    return spectrogram, layers.Conv2D(64, 7, strides=2)(layers.ZeroPadding2D(3)(spectrogram))


def halved(x: Any) -> Any:
    return layers.MaxPooling2D(3, strides=2)(layers.ZeroPadding2D(1)(x))


def normalized(x: Any) -> Any:
    return layers.Activation("relu")(layers.BatchNormalization()(x))


def miniresnet(stacks: int) -> keras.Model:
    """Keras's ResNet with stacks of two small blocks."""
    spectrogram, x = spectrogram_stem()
    x = halved(normalized(x))
    for filters in (64 << stack for stack in range(stacks)):
        for stride in (2, 1):
            y = normalized(layers.Conv2D(filters, 1, strides=stride)(x))
            y = convolution(y, filters, 3)
            if stride == 2:
                x = convolution(x, filters, 1, stride, activation=None)
            x = layers.Activation("relu")(layers.Add()([x, y]))
    return keras.Model(spectrogram, classifier(layers.Flatten()(x), 10))


def miniresnet_v2(stacks: int) -> keras.Model:
    """The same with normalization first."""
    spectrogram, x = spectrogram_stem()
    x = halved(x)
    for filters in (64 << stack for stack in range(stacks)):
        for stride in (1, 2):
            y = normalized(x)
            x = layers.Conv2D(filters, 1)(y) if stride == 1 else layers.MaxPooling2D(1, strides=stride)(x)
            y = convolution(y, filters, 1, bias=False)
            y = layers.Conv2D(filters, 3, strides=stride)(layers.ZeroPadding2D(1)(y))
            x = layers.Add()([x, y])
    return keras.Model(spectrogram, classifier(layers.Flatten()(normalized(x)), 10))


def yamnet_256(classes: int) -> keras.Model:
    """YAMNet up to its first layers of 256 channels, on transposed spectrograms."""
    patch = keras.Input((64, 96, 1))
    x = convolution(layers.Permute((2, 1, 3))(patch), 32, 3, 2, bias=False)
    for filters, stride in ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1)):
        x = convolution(depthwise(x, 3, stride, bias=False), filters, 1, bias=False)
    return keras.Model(patch, classifier(layers.GlobalAveragePooling2D()(x), classes))


def tiny_yolo_v2(side: int) -> keras.Model:
    """Tiny YOLO v2 for one class and five anchors."""
    image = keras.Input((side, side, 3))
    x = image
    for filters, stride in ((16, 2), (32, 2), (64, 2), (128, 2), (256, 2), (512, 1), (1024, None), (512, None)):
        x = convolution(x, filters, 3, activation="leaky_relu", bias=False)
        if stride is not None:
            x = layers.MaxPooling2D(2, strides=stride, padding="same")(x)
    return keras.Model(image, convolution(x, 30, 1, activation=None, bias=False))


def st_yolo_lc(side: int) -> keras.Model:
    """For one class and five anchors."""
    image = keras.Input((side, side, 3))
    x = image
    for filters in (16, 32, 64, 128):
        x = convolution(x, filters, 3, 2, bias=False)
    for index, filters in enumerate((256, 256, 128, 256)):
        x = convolution(depthwise(x, 3, activation=None, bias=False), filters, 1, bias=False)
        if index == 1:
            x = layers.MaxPooling2D(2, strides=1, padding="same")(x)
    return keras.Model(image, convolution(x, 30, 1, activation=None, bias=False))


def ds_cnn_large() -> keras.Model:
    """Keyword spotting (Zhang et al., 2017): 49 frames of 10 coefficients, 12 words."""
    frames = keras.Input((490,))
    x = convolution(layers.Reshape((49, 10, 1))(frames), 276, (10, 4), (2, 1))
    for stride in (2, 1, 1, 1, 1):
        x = convolution(depthwise(x, 3, stride), 276, 1)
    x = layers.Flatten()(layers.AveragePooling2D((13, 5), strides=1)(x))
    return keras.Model(frames, classifier(x, 12))


def wav2letter() -> keras.Model:
    """Speech recognition: 296 frames of 39 coefficients, 29 letters."""
    frames = keras.Input((296, 39))
    x = layers.Reshape((1, 296, 39))(frames)
    for filters, kernel, stride in ((250, 48, 2), *[(250, 7, 1)] * 7, (2000, 32, 1), (2000, 1, 1)):
        x = layers.LeakyReLU(0.2)(layers.Conv2D(filters, (1, kernel), strides=(1, stride), padding="same")(x))
    return keras.Model(frames, layers.Conv2D(29, 1)(x))


MODELS: Mapping[str, Callable[[], keras.Model]] = {
    **{
        f"mobilenet_v1_{alpha}_{side}_{classes}": partial(application, MobileNet, side, classes, alpha=alpha)
        for alpha, side, classes in (
            (0.25, 224, FLOWERS), (0.25, 224, FOOD), (0.25, 224, IMAGENET), (0.25, 96, FLOWERS), (0.5, 224, FLOWERS),
            (0.5, 224, IMAGENET), (1.0, 224, IMAGENET),
        )
    },
    "mobilenet_v1_0.25_96_grey_5": partial(application, MobileNet, 96, FLOWERS, 1, alpha=0.25),
    **{
        f"mobilenet_v2_{alpha}_{side}_{classes}": partial(application, MobileNetV2, side, classes, alpha=alpha)
        for alpha, side, classes in (
            (0.35, 128, FLOWERS), (0.35, 128, IMAGENET), (0.35, 224, FLOWERS), (0.35, 224, FOOD),
            (0.35, 224, IMAGENET), (1.0, 224, IMAGENET), (1.0, 224, 1001), (1.4, 224, IMAGENET),
        )
    },
    "fd_mobilenet_224_5": partial(fd_mobilenet, 224, FLOWERS),
    "fd_mobilenet_128_5": partial(fd_mobilenet, 128, FLOWERS),
    "fd_mobilenet_224_39": partial(fd_mobilenet, 224, PLANTS),
    "st_fd_mobilenet_224_5": partial(fd_mobilenet, 224, FLOWERS, ST_FD_SHARES),
    "st_fd_mobilenet_128_5": partial(fd_mobilenet, 128, FLOWERS, ST_FD_SHARES),
    "squeezenet_v1.1_128_5": partial(squeezenet11, 128, FLOWERS),
    "squeezenet_v1.1_224_5": partial(squeezenet11, 224, FLOWERS),
    "st_efficientnet_lc_224_5": partial(st_efficientnet_lc, 224, FLOWERS),
    "st_efficientnet_lc_128_5": partial(st_efficientnet_lc, 128, FLOWERS),
    "efficientnet_v2b0_224_1000": partial(application, EfficientNetV2B0, 224, IMAGENET, include_preprocessing=False),
    "resnet50_v2_224_1000": partial(application, ResNet50V2, 224, IMAGENET),
    "resnet_v1_8": partial(resnet_v1, 8, 10),
    "resnet_v1_32": partial(resnet_v1, 32, 100),
    "st_mnist": st_mnist,
    "gmp_24": partial(gmp, 24),
    "gmp_48": partial(gmp, 48),
    "ign_24": partial(ign, 24),
    "ign_48": partial(ign, 48),
    "hand_posture": hand_posture,
    "miniresnet_1": partial(miniresnet, 1),
    "miniresnet_2": partial(miniresnet, 2),
    "miniresnet_v2_1": partial(miniresnet_v2, 1),
    "miniresnet_v2_2": partial(miniresnet_v2, 2),
    "yamnet_256": partial(yamnet_256, 10),
    "tiny_yolo_v2_224": partial(tiny_yolo_v2, 224),
    "tiny_yolo_v2_416": partial(tiny_yolo_v2, 416),
    "st_yolo_lc_192": partial(st_yolo_lc, 192),
    "st_yolo_lc_224": partial(st_yolo_lc, 224),
    "st_yolo_lc_256": partial(st_yolo_lc, 256),
    "ds_cnn_large": ds_cnn_large,
    "wav2letter": wav2letter,
}  # fmt: skip
