"""Exports TensorFlow functions with tf2onnx, checks each in onnxruntime and stores it in models/ without its weights.

Set up (Python 3.11 or newer, a CPU is enough; the environment of from_keras.py serves too):

    python -m venv .venv-tensorflow
    .venv-tensorflow/bin/pip install -r scripts/export/requirements-tensorflow.txt
    .venv-tensorflow/bin/python -m scripts.export.from_tensorflow [NAME ...]

Weights are random, from a fixed seed. The complete exports stay in build/exports (--exports).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
import tf2onnx

from scripts.export.from_keras import build_random
from scripts.export.model_store import Origin, check, run

OPSET = 17
EXPORTS: Mapping[str, tuple[str, Callable[..., keras.Model]]] = {
    "resnet50_tensorflow": ("ResNet-50", keras.applications.ResNet50),
    "mobilenetv2_tensorflow": ("MobileNetV2", keras.applications.MobileNetV2),
}


def export(name: str, folder: Path) -> tuple[Path, Origin, bool]:
    architecture, build = EXPORTS[name]
    path = folder / f"{name}.onnx"
    image = np.random.default_rng(0).standard_normal((1, 224, 224, 3), dtype=np.float32)
    model = build_random(build, image)
    function = tf.function(lambda image: model(image, training=False))
    signature = [tf.TensorSpec(image.shape, tf.float32, name="image")]
    tf2onnx.convert.from_function(function, input_signature=signature, opset=OPSET, output_path=str(path))
    check(path, {"image": image}, [function(image).numpy()], tolerance=1e-3)
    origin = Origin(
        architecture=architecture,
        framework=f"TensorFlow {tf.__version__}, Keras {keras.__version__}",
        exporter=f"tf2onnx {tf2onnx.__version__} from_function",
        module="scripts.export.from_tensorflow",
        parameters=model.count_params(),
        provenance="architecture: keras.applications, Apache-2.0; random weights",
    )
    return path, origin, False


if __name__ == "__main__":
    run(EXPORTS, __doc__, export)
