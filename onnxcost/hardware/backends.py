"""The runtimes that devices have: the part that each computes with, the types of its arithmetic, and the rates of both."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from typing import NamedTuple

from onnxcost.hardware.catalogue import catalogue
from onnxcost.hardware.device import Device


class Backend(NamedTuple):
    """A runtime: the part that it computes with, the vendors and kinds of devices for which it exists (all without any).

    ``narrower`` maps a model's types to those in which it computes by default, where the device has these. With
    ``has_winograd`` it may run 3×3 convolutions by Winograd's algorithm.
    """

    part: str
    vendors: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    narrower: Mapping[str, str] = {}
    has_winograd: bool = False


LARGE = ("board", "phone", "laptop", "cpu", "gpu", "cloud")
HALF = {"float32": "float16"}
BACKENDS: Mapping[str, Backend] = {
    "onnxruntime-cpu": Backend("cpu", kinds=LARGE),
    "onnxruntime-cuda": Backend("gpu", ("NVIDIA",), has_winograd=True),
    "onnxruntime-tensorrt": Backend("gpu", ("NVIDIA",), has_winograd=True),
    "onnxruntime-qnn": Backend("npu", ("Qualcomm",), narrower=HALF),
    "tensorrt": Backend("gpu", ("NVIDIA",), has_winograd=True),
    "openvino-cpu": Backend("cpu", ("Intel",)),
    "openvino-gpu": Backend("gpu", ("Intel",), narrower=HALF, has_winograd=True),
    "openvino-npu": Backend("npu", ("Intel",), ("laptop", "cpu", "board"), HALF),
    "ncnn": Backend("cpu", kinds=LARGE, narrower=HALF, has_winograd=True),
    "tflite": Backend("cpu", kinds=("board", "phone")),
    "qnn": Backend("npu", ("Qualcomm",), narrower=HALF),
    "rknn": Backend("npu", ("Rockchip",)),
    "hailort": Backend("npu", ("Hailo",)),
    "edgetpu": Backend("npu", ("Google",), ("accelerator",)),
    "axelera": Backend("npu", ("Axelera", "Axelera AI")),
    "stm32cube-ai": Backend("cpu", ("STMicroelectronics",), ("microcontroller",)),
    "stedge-ai": Backend("npu", ("STMicroelectronics",)),
}  # fmt: skip
"""If a device does equally well with several runtimes, the first is named: onnxruntime's providers, then the vendors' own."""
SAME_AS: Mapping[str, str] = {"onnxruntime-tensorrt": "tensorrt"}
"""Runtimes whose figures are stored under another name: this provider runs TensorRT's engines."""


class PeakRates(NamedTuple):
    """The rates of a processor: operations per second in the type in which it computes, bytes per second, and that type."""

    peak: float
    bandwidth: float
    dtype: str


NPU = PeakRates(1e13, 3e10, "")
"""PeakRates for any compiled NPU: its time depends on the compiler, and the level is the device's."""


def backends_of(device: Device) -> Iterator[str]:
    """The names of the runtimes that exist for the device."""
    vendor = vendor_of(device)
    for name, backend in BACKENDS.items():
        is_for_it = not backend.vendors or vendor in backend.vendors
        if backend.part in device.parts and is_for_it and (not backend.kinds or device.kind in backend.kinds):
            yield name


def vendor_of(device: Device) -> str:
    """The vendor of the chip; for a rented instance, the vendor of its device."""
    return device.vendor if device.value("hourly") is None else _vendors().get(peaks_of(device), device.vendor)


@cache
def _vendors() -> Mapping[frozenset[tuple[str, str, float]], str]:
    owned = [device for device in catalogue().values() if device.value("hourly") is None]
    return {peaks_of(device): device.vendor for device in owned}


def peaks_of(device: Device) -> frozenset[tuple[str, str, float]]:
    """The rate of each part in each type, which devices with the same chip share."""
    return frozenset((kind, dtype, peak.rate) for kind, part in device.parts.items() for dtype, peak in part.peaks.items())


def isa_of(device: Device, part: str) -> str:
    """The instructions of a CPU, "x86" or "arm"; "" for other parts."""
    if part != "cpu":
        return ""
    return "x86" if device.vendor in ("Intel", "AMD") or "AVX" in device.parts[part].title else "arm"


def rates_of(device: Device, name: str, dtype: str) -> PeakRates | None:
    """The rates with which a runtime runs a model of the type on the device; None if unknown.

    float32 on a GPU runs as tf32 if it has that: onnxruntime's provider and TensorRT do so by default.
    """
    backend = BACKENDS[name]
    narrow = backend.narrower.get(dtype, dtype)
    if backend.part == "npu":
        return NPU._replace(dtype=narrow)
    alone = replace(device, parts={backend.part: device.parts[backend.part]})
    fast = alone.peak("tf32") if dtype == "float32" and backend.part == "gpu" else None
    peaks = [peak for peak in (fast, alone.peak(narrow) or alone.peak(dtype)) if peak]
    if not peaks or not device.bandwidth:
        return None
    peak = max(peaks, key=lambda peak: peak.rate)
    return PeakRates(peak.rate, device.bandwidth, peak.dtype)
