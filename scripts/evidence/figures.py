"""Published measurements, read from a folder of CSV files: one figure for each device, runtime, type and model."""

from __future__ import annotations

import csv
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from math import exp, log
from pathlib import Path
from statistics import fmean, median
from typing import NamedTuple

from scripts.evidence import models
from scripts.evidence.models import SAME, Model


class Figure(NamedTuple):
    """Seconds of one inference at batch 1. ``device`` is as published, ``catalogue`` the catalog's name or "".

    ``threads`` are those of a CPU, 0 if unknown; ``setting`` is which of its cores were used.
    """

    device: str
    catalogue: str
    runtime: str
    dtype: str
    model: Model
    seconds: float
    source: str
    threads: int = 0
    setting: str = ""


CATALOGUE: Mapping[str, str] = {
    "Raspberry Pi 3 Model B+": "raspberry-pi-3-b-plus", "Rockchip RK3588 (Quad": "rk3588", "Rockchip RK3588 @": "rk3588",
    "Rockchip RK3576 @": "rk3576", "Rockchip RK3566 RK3568": "rk3568", "Rock3A": "rk3568", "OrangePicm4": "rk3566",
    "Qualcomm SM8550-AB": "snapdragon-8-gen-2", "QCS8550": "qcs8550", "Dragonwing IQ-9075": "iq-9075",
    "Dragonwing RB3 Gen 2": "qcs6490", "Intel Core Ultra 7 155H": "core-ultra-7-155h", "NVIDIA DGX Spark": "dgx-spark",
    "Hailo-15H": "hailo-15h", "Axelera Metis PCIe": "axelera-metis", "STM32MP257F": "stm32mp257",
}  # fmt: skip
"""Names of devices that were added to the catalog after the CSV files were made, by their names in the files."""
RUNTIMES: Mapping[tuple[str, str], str] = {
    ("ncnn cpu", "cpu"): "ncnn", ("ncnn", "cpu"): "ncnn",
    ("onnxruntime CPU", "cpu"): "onnxruntime-cpu", ("onnxruntime", "cpu"): "onnxruntime-cpu",
    ("onnxruntime CUDA", "gpu"): "onnxruntime-cuda", ("onnxruntime", "gpu"): "onnxruntime-cuda",
    ("onnxruntime TensorRT", "gpu"): "tensorrt", ("TensorRT", "gpu"): "tensorrt", ("TensorRT via torch2trt", "gpu"): "tensorrt",
    ("openvino", "cpu"): "openvino-cpu", ("OpenVINO", "cpu"): "openvino-cpu",
    ("openvino", "gpu"): "openvino-gpu", ("openvino", "npu"): "openvino-npu",
    ("tf lite", "cpu"): "tflite", ("tflite", "cpu"): "tflite", ("TensorFlow Lite", "cpu"): "tflite",
    ("X-LINUX-AI TFLite 2.11", "cpu"): "tflite",
    ("qnn_dlc", "npu"): "qnn", ("onnx", "npu"): "onnxruntime-qnn",
    ("RKNN", "npu"): "rknn", ("HailoRT", "npu"): "hailort", ("tflite edgetpu", "npu"): "edgetpu",
    ("Voyager SDK", "npu"): "axelera", ("STM32Cube.AI", "mcu"): "stm32cube-ai", ("STEdgeAI", "npu"): "stedge-ai",
    ("X-CUBE-AI v8.1.0", "mcu"): "stm32cube-ai", ("X-CUBE-AI v9.0", "mcu"): "stm32cube-ai",
    ("X-CUBE-AI v9.0.0", "mcu"): "stm32cube-ai", ("X-CUBE-AI v10.2", "mcu"): "stm32cube-ai",
}  # fmt: skip
"""The runtime by the names in a CSV's columns ``runtime`` and ``unit``; rows of others are left out."""
TYPES: Mapping[str, str] = {"w8a8": "int8"}
LEFT_OUT = ("opencv_zoo", "paddledetection", "timm", "vitis-ai", "jetson_benchmarks")
"""Sources whose times include pre- or post-processing, are only for PyTorch, or use many threads or parts in parallel."""
NOTES_LEFT_OUT = ("unsteady", "sparse", "pruned", "includes input and output copies", "on the GPU; MACs")
ROUNDED = 1e7
"""The relative rounding of published MACs."""
MOST_THREADS = 8
"""ncnn's sections with more threads are left out: they measure how it scales."""
LEAST_MODELS = 6
"""ncnn's sections with fewer models are left out of comparisons."""


def read(evidence: Path, folder: Path) -> list[Figure]:
    """All usable figures. ``folder`` has the graphs that export_models.py wrote."""
    found = [figure for path in sorted(evidence.glob("*.csv")) if path.stem not in LEFT_OUT for figure in _read(path, folder)]
    ncnn, others = [each for each in found if each.runtime == "ncnn"], [each for each in found if each.runtime != "ncnn"]
    return [*_fastest_settings(ncnn), *_medians(others)]


def _read(path: Path, folder: Path) -> Iterator[Figure]:
    with path.open() as stream:
        for row in csv.DictReader(stream):
            runtime = RUNTIMES.get((row.get("runtime", ""), row.get("unit", "")))
            if runtime is None or any(text in row["note"] for text in NOTES_LEFT_OUT) or row["batch"] not in ("", "1"):
                continue
            if runtime == "ncnn" and int(row["threads"] or 1) > MOST_THREADS:
                continue
            seconds = float(row["latency_ms"]) / 1e3 if row["latency_ms"] else 1 / float(row["items_per_s"])
            model = _model(row, path, folder)
            if model is None:
                continue
            dtype = TYPES.get(row["dtype"], row["dtype"]) or "float32"
            if dtype not in ("float32", "float16", "int8"):
                continue
            threads = int(row["threads"]) if row["threads"].isdigit() else 0
            new = (name for start, name in CATALOGUE.items() if row["device"].startswith(start))
            name, setting = row["catalogue"] or next(new, ""), row["note"].split(";")[0]
            yield Figure(row["device"], name, runtime, dtype, model, seconds, row["source"], threads, setting)


def _model(row: Mapping[str, str], path: Path, folder: Path) -> Model | None:
    """The model of a row; None if no graph is known, or if the row's MACs or input are not those of the graph."""
    if path.stem == "ncnn":
        return models.ncnn_models(path.parent, folder).get(row["model"].removesuffix("_int8"))
    model = models.find(row["model"], row["canonical"], folder)
    if model is None or (
        row["macs"] and abs(float(row["macs"]) - model.counts.macs) > max(ROUNDED, 3 * SAME * model.counts.macs)
    ):
        return None
    sides = {int(part) for part in row["input"].replace("*", "x").split("x") if part.isdigit()}
    return model if not sides or max(sides) == model.side else None


def _fastest_settings(figures: Iterable[Figure]) -> Iterator[Figure]:
    """The number of threads and the clusters with which each device was fastest over its models in each type."""
    settings: dict[tuple[str, str], dict[tuple[int, str], list[Figure]]] = defaultdict(lambda: defaultdict(list))
    for figure in figures:
        settings[figure.device, figure.dtype][figure.threads, figure.setting].append(figure)
    for found in settings.values():
        whole = {key: rows for key, rows in found.items() if len({row.model.name for row in rows}) >= LEAST_MODELS}
        chosen = whole or found
        best = min(chosen, key=lambda key: fmean(log(row.seconds / row.model.counts.macs) for row in chosen[key]))
        yield from _medians(chosen[best])


def _medians(figures: Iterable[Figure]) -> Iterator[Figure]:
    """One figure for each device, runtime, type and model."""
    alike: dict[tuple[str, ...], list[Figure]] = defaultdict(list)
    for figure in figures:
        alike[figure.device, figure.runtime, figure.dtype, figure.model.name].append(figure)
    for rows in alike.values():
        yield rows[0]._replace(seconds=exp(median(log(row.seconds) for row in rows)))


def sources(evidence: Path) -> Mapping[str, str]:
    """The document of each source: repository, path, commit and its day."""
    with (evidence / "sources.csv").open() as stream:
        return {
            row["source"]: " ".join(filter(None, (row["repo"], row["path"], row["commit"][:10], row["date"])))
            for row in csv.DictReader(stream)
        }
