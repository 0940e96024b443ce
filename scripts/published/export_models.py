"""Skeletons of models with figures published by others, if neither models/ nor torchvision has them.

    python -m venv .venv-keras && .venv-keras/bin/pip install -r scripts/export/requirements-keras.txt
    python -m venv .venv-pytorch && .venv-pytorch/bin/pip install -r scripts/export/requirements-pytorch.txt
    .venv-keras/bin/python -m scripts.published.export_models keras
    .venv-pytorch/bin/python -m scripts.published.export_models pytorch
    python -m scripts.published.export_models pack

The first two export into build/published (--build), the last writes tests/data/published.tar.xz. Models of the STM32 AI model
zoo and of Arm's ML zoo are rebuilt from their published architecture: the same layers, with random weights.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from scripts.export import skeletons

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "tests" / "data" / "published.tar.xz"
SEQUENCE = 16  # of the example alone: the dim is open


def export_keras(folder: Path) -> None:
    """Each as TensorFlow Lite, which folds normalizations and fuses activations, and from that as ONNX, in a batch of one."""
    from scripts.published.zoos import MODELS

    for name in MODELS:
        if not (target := folder / f"{name}.onnx").exists():
            store(onnx_of(name, folder / "complete.onnx"), target)


def onnx_of(name: str, path: Path) -> Any:
    """The model, checked against Keras. Images have channels first: the exporter changes the layout."""
    import numpy as np
    import tensorflow as tf
    import tf2onnx

    from scripts.export.from_keras import build_random
    from scripts.export.model_store import check
    from scripts.published.zoos import MODELS

    shape = MODELS[name]().input_shape[1:]
    image = np.random.default_rng(0).standard_normal((2, *shape), dtype=np.float32)
    keras_model = build_random(lambda weights: MODELS[name](), image)
    expected = np.asarray(keras_model(image[:1]))
    lite = tf.lite.TFLiteConverter.from_keras_model(keras_model).convert()
    interpreter = tf.lite.Interpreter(model_content=lite)
    given, made = (details[0]["name"] for details in (interpreter.get_input_details(), interpreter.get_output_details()))
    path.with_suffix(".tflite").write_bytes(lite)
    options = {"inputs_as_nchw": [given] * (len(shape) == 3), "outputs_as_nchw": [made] * (expected.ndim == 4)}
    model, _ = tf2onnx.convert.from_tflite(str(path.with_suffix(".tflite")), opset=17, output_path=str(path), **options)
    feeds = image[:1].transpose(0, 3, 1, 2) if len(shape) == 3 else image[:1]
    check(path, {given: feeds}, [expected.transpose(0, 3, 1, 2) if expected.ndim == 4 else expected], tolerance=1e-3)
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_value = 1
    return model


def export_pytorch(folder: Path) -> None:
    """BERT-large for question answering, as in MLPerf: batch and sequence are open."""
    import onnx
    import torch
    from transformers import BertConfig, BertForQuestionAnswering

    from scripts.export.from_pytorch import dynamic_axes, roughen

    torch.manual_seed(0)
    config = BertConfig(
        hidden_size=1024, num_hidden_layers=24, num_attention_heads=16, intermediate_size=4096, return_dict=False
    )
    model = BertForQuestionAnswering(config).eval()
    roughen(model)
    inputs = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ("batch", "sequence"))
    values = tuple(torch.ones((2, SEQUENCE), dtype=torch.int64) for _ in inputs)
    path = folder / "complete.onnx"
    shapes = dynamic_axes(inputs)
    torch.onnx.export(
        model, (), str(path), kwargs=dict(zip(inputs, values, strict=True)), input_names=list(inputs),
        dynamo=True, dynamic_shapes=shapes, external_data=True,
    )  # fmt: skip
    store(onnx.load(path, load_external_data=False), folder / "bert_large.onnx")


def store(model: Any, target: Path) -> None:
    target.write_bytes(skeletons.skeleton(model).SerializeToString(deterministic=True))
    print(f"{target.name}: {target.stat().st_size:,} bytes", flush=True)


def pack(folder: Path) -> None:
    """The archive of all skeletons."""
    skeletons.pack(ARCHIVE, sorted(set(folder.glob("*.onnx")) - {folder / "complete.onnx"}))


def main() -> None:
    tasks = {"keras": export_keras, "pytorch": export_pytorch, "pack": pack}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("task", choices=tasks)
    parser.add_argument("--build", type=Path, default=ROOT / "build" / "published", help="folder of what is exported")
    options = parser.parse_args()
    options.build.mkdir(parents=True, exist_ok=True)
    tasks[options.task](options.build)


if __name__ == "__main__":
    main()
