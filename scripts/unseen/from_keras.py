"""Models of keras.applications and two little ones for sequences, exported through tf2onnx, with random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import keras
import numpy as np
import onnx
from keras import layers

from scripts.export.from_keras import build_random

APPLICATIONS = (
    "MobileNet", "MobileNetV3Small", "MobileNetV3Large", "EfficientNetB0", "EfficientNetV2B0", "NASNetMobile", "DenseNet121",
    "Xception", "InceptionV3", "ConvNeXtTiny",
)  # fmt: skip
IMAGE = (224, 224, 3)


def application(name: str, **options: float) -> Callable[[None], keras.Model]:
    return partial(getattr(keras.applications, name), input_shape=IMAGE, **options)


def gru_text(weights: None) -> keras.Model:
    """A text classifier: 128 tokens, embedding, two GRUs."""
    return keras.Sequential(
        [
            keras.Input((128,), dtype="int32"),
            layers.Embedding(10_000, 64),
            layers.GRU(128, return_sequences=True),
            layers.GRU(64),
            layers.Dense(64, activation="relu"),
            layers.Dense(4, activation="softmax"),
        ]
    )


def conv1d_audio(weights: None) -> keras.Model:
    """An audio classifier: a second of 16 kHz, strided convolutions as in M5 (Dai et al., 2017), twelve words."""
    stages = [(64, 80, 4), (64, 3, 1), (128, 3, 1), (256, 3, 1)]
    convolutions = [
        layer
        for filters, kernel, stride in stages
        for layer in (
            layers.Conv1D(filters, kernel, strides=stride, use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.MaxPooling1D(4),
        )
    ]
    return keras.Sequential(
        [keras.Input((16_000, 1)), *convolutions, layers.GlobalAveragePooling1D(), layers.Dense(12, activation="softmax")]
    )


MODELS: Mapping[str, Callable[[None], keras.Model]] = {f"keras_{name}": application(name) for name in APPLICATIONS} | {
    "keras_gru_text": gru_text,
    "keras_conv1d_audio": conv1d_audio,
}
HELD_OUT: Mapping[str, Callable[[None], keras.Model]] = {
    "keras_MobileNetV2_035": application("MobileNetV2", alpha=0.35),
    **{f"keras_{name}": application(name) for name in ("EfficientNetV2B1", "ResNet50V2", "DenseNet169")},
}


def example(name: str) -> np.ndarray:
    random = np.random.default_rng(0)
    match name:
        case "keras_gru_text":
            return random.integers(10_000, size=(2, 128), dtype=np.int32)
        case "keras_conv1d_audio":
            return random.standard_normal((2, 16_000, 1), dtype=np.float32)
    return random.standard_normal((2, *IMAGE), dtype=np.float32)


def export(name: str, path: Path) -> None:
    model = build_random(lambda weights: {**MODELS, **HELD_OUT}[name](weights=weights), example(name))
    model.export(path, format="onnx", verbose=False)
    exported = onnx.load(path)
    for value in [*exported.graph.input, *exported.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save(exported, path)
