"""The reports of Arm's compiler Vela for the models of zoos.py, quantized to int8, as a table in TOML.

    . .venv-keras/bin/activate && pip install ethos-u-vela==5.2.0
    python -m scripts.published.vela

It writes scripts/published/vela.toml. According to Vela, its cycles are an estimate. Weights are random: trained ones take
slightly fewer bytes.
"""

from __future__ import annotations

import csv
import os
import subprocess
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import tensorflow as tf

from scripts.export.from_keras import build_random
from scripts.published.zoos import MODELS

TARGET = Path(__file__).with_name("vela.toml")
ACCELERATOR, SYSTEM, MODE = "ethos-u55-128", "Ethos_U55_High_End_Embedded", "Shared_Sram"
NAMES = (
    "mobilenet_v1_0.25_96_5", "mobilenet_v1_0.25_224_5", "mobilenet_v1_0.5_224_5", "mobilenet_v1_1.0_224_1000",
    "mobilenet_v2_0.35_128_5", "mobilenet_v2_0.35_224_5", "mobilenet_v2_1.0_224_1000", "fd_mobilenet_224_5",
    "squeezenet_v1.1_128_5", "squeezenet_v1.1_224_5", "resnet_v1_8", "resnet_v1_32", "st_mnist", "yamnet_256",
    "miniresnet_1", "tiny_yolo_v2_224", "st_yolo_lc_192", "ds_cnn_large", "wav2letter",
)  # fmt: skip
HEADER = f"""\
# Written by scripts/published/vela.py: what Vela 5.2.0 reports of models in int8 on
# {ACCELERATOR}, {SYSTEM}, {MODE}.
# Memory in KiB: `weights` as the model has them, `flash` and `sram` all that it takes; `cycles` are its estimate.

device = "{ACCELERATOR}"
clock = 500e6
result = ["""


def quantized(name: str) -> bytes:
    """The model in int8 as TensorFlow Lite, with scales from random data."""
    images = np.random.default_rng(0).standard_normal((4, *MODELS[name]().input_shape[1:]), dtype=np.float32)
    converter = tf.lite.TFLiteConverter.from_keras_model(build_random(lambda weights: MODELS[name](), images))
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ([image[None]] for image in images)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return bytes(converter.convert())


def reported(name: str) -> Mapping[str, str]:
    """Vela's summary."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.tflite"
        path.write_bytes(quantized(name))
        options = ("--accelerator-config", ACCELERATOR, "--config", "Arm/vela.ini", "--system-config", SYSTEM)
        command = ["vela", str(path), *options, "--memory-mode", MODE, "--output-dir", folder]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        with next(Path(folder).glob("*_summary_*.csv")).open() as file:
            return next(csv.DictReader(file))


def line(name: str) -> str:
    """Vela's figures for a model, in TOML."""
    row = reported(name)
    weights = f"{float(row['total_original_weights']) / 1024:.2f}"
    return (
        f'    {{ model = "{name}", macs = {row["nn_macs"]}, sram = {row["sram_memory_used"]}, weights = {weights},'
        f" flash = {row['off_chip_flash_memory_used']}, cycles = {row['cycles_total']} }},"
    )


def main() -> None:
    TARGET.write_text("\n".join([HEADER, *map(line, NAMES), "]\n"]))


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    main()
