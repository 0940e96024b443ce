"""Exports Keras models with keras.Model.export, checks each in onnxruntime and stores it in models/ without its weights.

Set up (Python 3.11 or newer, a CPU is enough):

    python -m venv .venv-tensorflow
    .venv-tensorflow/bin/pip install -r scripts/export/requirements-keras.txt
    .venv-tensorflow/bin/python -m scripts.export.from_keras [NAME ...]

Weights are random, from a fixed seed. The complete exports stay in build/exports (--exports).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import onnx
import tensorflow as tf

from scripts.export.model_store import Origin, check, run

EXPORTS: Mapping[str, tuple[str, Callable[..., keras.Model]]] = {
    "resnet50_keras": ("ResNet-50", keras.applications.ResNet50),
    "mobilenetv2_keras": ("MobileNetV2", keras.applications.MobileNetV2),
}


def roughen(model: keras.Model) -> None:
    """Adds noise to all variables whose elements are equal (zero biases, scales of norms), unlike in trained models.

    tf2onnx merges equal constants and drops additions of zero.
    """
    random = np.random.default_rng(0)
    for variable in model.trainable_variables:
        value = np.asarray(variable)
        if value.size > 1 and not np.ptp(value):
            variable.assign(value + 0.02 * random.standard_normal(value.shape, dtype=np.float32))


def settle(model: keras.Model, image: np.ndarray) -> None:
    """Sets the running statistics to those of ``image``.

    Otherwise, signals vanish in a deep random network until all outputs are equal, and comparing outputs shows nothing.
    """
    layers = [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in layers]
    for layer in layers:
        layer.momentum = 0.0
    model(image, training=True)
    for layer, momentum in zip(layers, momenta, strict=True):
        layer.momentum = momentum


def build_random(build: Callable[..., keras.Model], image: np.ndarray) -> keras.Model:
    """Builds a model with random weights whose outputs depend on all of them."""
    keras.utils.set_random_seed(0)
    model = build(weights=None)
    roughen(model)
    settle(model, image)
    return model


def name_batch(path: Path) -> None:
    """Renames the open dim of the inputs and outputs, a number such as unk__523, to batch."""
    model = onnx.load(path)
    for value in [*model.graph.input, *model.graph.output]:
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.save(model, path)


def export(name: str, folder: Path) -> tuple[Path, Origin, bool]:
    architecture, build = EXPORTS[name]
    path = folder / f"{name}.onnx"
    image = np.random.default_rng(0).standard_normal((2, 224, 224, 3), dtype=np.float32)
    model = build_random(build, image)
    expected = np.asarray(model(image))
    model.export(path, format="onnx", verbose=False)
    name_batch(path)
    check(path, {model.inputs[0].name: image}, [expected], tolerance=1e-3)
    origin = Origin(
        architecture=architecture,
        framework=f"Keras {keras.__version__}, TensorFlow {tf.__version__}",
        exporter='keras.Model.export(format="onnx")',
        module="scripts.export.from_keras",
        parameters=model.count_params(),
        provenance="architecture: keras.applications, Apache-2.0; random weights",
    )
    return path, origin, False


if __name__ == "__main__":
    run(EXPORTS, __doc__, export)
