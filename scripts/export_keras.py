"""Exports Keras models to ONNX with keras.Model.export, checks each in onnxruntime and stores it in models/ without its weights.

Set up (Python 3.11 or newer, a CPU is enough):

    python -m venv .venv-tensorflow
    .venv-tensorflow/bin/pip install -r scripts/requirements-keras.txt
    .venv-tensorflow/bin/python scripts/export_keras.py [NAME ...]

Weights are random, from a fixed seed. The complete exports stay in build/exports (--exports).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from model_store import Origin, check, run

EXPORTS: Mapping[str, tuple[str, Callable[..., keras.Model]]] = {
    "resnet50_keras": ("ResNet-50", keras.applications.ResNet50),
    "mobilenetv2_keras": ("MobileNetV2", keras.applications.MobileNetV2),
}


def build_settled(build: Callable[..., keras.Model], image: np.ndarray) -> keras.Model:
    """Builds a model with random weights and sets its running statistics to those of ``image``.

    Otherwise signals fade in a deep random network until every output is the same, and comparing outputs proves nothing.
    """
    keras.backend.clear_session()
    keras.utils.set_random_seed(0)
    model = build(weights=None)
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(image, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum
    return model


def export(name: str, folder: Path) -> tuple[Path, Origin, bool]:
    architecture, build = EXPORTS[name]
    path = folder / f"{name}.onnx"
    image = np.random.default_rng(0).standard_normal((2, 224, 224, 3), dtype=np.float32)
    model = build_settled(build, image)
    expected = np.asarray(model(image))
    model.export(path, format="onnx", verbose=False)
    check(path, {model.inputs[0].name: image}, [expected], tolerance=1e-3)
    origin = Origin(
        architecture=architecture,
        framework=f"Keras {keras.__version__}, TensorFlow {tf.__version__}",
        exporter='keras.Model.export(format="onnx")',
        script="export_keras.py",
        parameters=model.count_params(),
        provenance="architecture: keras.applications, Apache-2.0; random weights",
    )
    return path, origin, False


if __name__ == "__main__":
    run(EXPORTS, __doc__, export)
