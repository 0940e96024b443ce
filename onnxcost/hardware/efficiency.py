"""What share of its peak and of its bandwidth a device typically reaches: what turns a bound into an estimate with a range."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from onnxcost.hardware.device import Device

MI = 2**20


class Range(NamedTuple):
    """The worst and the best that is usual."""

    worst: float
    best: float


class Efficiency(NamedTuple):
    """Shares of the dense peak that products reach, those of a depthwise convolution, and shares of the bandwidth.

    ``start`` are the seconds that each step takes besides, ``once`` those of each inference; ``reasoning`` says where the
    numbers are from.
    """

    products: Range
    depthwise: Range
    traffic: Range
    start: Range
    once: Range
    reasoning: str


EFFICIENCIES: Mapping[str, Efficiency] = {
    "microcontroller cpu": Efficiency(
        Range(0.15, 0.50), Range(0.08, 0.40), Range(0.3, 1.0), Range(10e-6, 0.0), Range(1e-3, 0.0),
        "STM32 model zoo, int8 on a Cortex-M7 at 400 MHz: 26 to 34 % of the peak for MobileNetV2",
    ),
    "microcontroller npu": Efficiency(
        Range(0.08, 0.60), Range(0.02, 0.30), Range(0.3, 0.9), Range(50e-6, 1e-6), Range(1e-3, 0.0),
        "STM32 model zoo, STM32N6: 2 to 5 % for MobileNetV2, whose weights come from a flash; ExecuTorch on an Ethos-U55: 15 %",
    ),
    "cpu": Efficiency(
        Range(0.20, 0.70), Range(0.08, 0.40), Range(0.4, 1.0), Range(20e-6, 1e-6), Range(100e-6, 0.0),
        "Raspberry Pi 4 and 5 with ncnn, Arm NN and XNNPACK: 17 to 54 %; Xeon 8380 with OpenVINO: 43 to 45 %",
    ),
    "gpu": Efficiency(
        Range(0.25, 0.70), Range(0.02, 0.20), Range(0.5, 1.0), Range(12e-6, 2e-6), Range(50e-6, 0.0),
        "MLPerf, ResNet-50 offline: 30 to 56 %; TensorRT's BERT at batch 128: 31 to 57 %; at batch 1 about 3 to 8 µs a kernel",
    ),
    "board gpu": Efficiency(
        Range(0.25, 0.70), Range(0.02, 0.20), Range(0.5, 1.0), Range(20e-6, 3e-6), Range(100e-6, 0.0),
        "MLPerf, ResNet-50 offline on Jetson: 38 to 48 %; at batch 1 about 7 to 15 µs a kernel",
    ),
    "npu": Efficiency(
        Range(0.08, 0.60), Range(0.01, 0.05), Range(0.4, 1.0), Range(10e-6, 0.0), Range(1.5e-3, 0.1e-3),
        "Coral: 6 % for MobileNetV2, 18 % for Inception v1; Hailo-8: 6 % for MobileNetV2, 44 % for ResNet-50",
    ),
    "cloud npu": Efficiency(
        Range(0.15, 0.65), Range(0.01, 0.15), Range(0.5, 1.0), Range(20e-6, 2e-6), Range(200e-6, 0.0),
        "no published figure was held against it: matrix units are taken to fill as the GPUs' do, or half as well",
    ),
}  # fmt: skip
"""By the kind of the device and the part that computes, or by the part alone. ``start`` and ``once`` are worst first, too."""


class OnChip(NamedTuple):
    """Bytes that stay on the chip: what is usual, and the most that one of the kind has."""

    usual: int
    most: int


ON_CHIP: Mapping[str, OnChip] = {
    "microcontroller": OnChip(0, 0),
    "accelerator": OnChip(8 * MI, 64 * MI),
    "board": OnChip(4 * MI, 64 * MI),
    "phone": OnChip(8 * MI, 64 * MI),
    "laptop": OnChip(16 * MI, 96 * MI),
    "cpu": OnChip(32 * MI, 1152 * MI),
    "gpu": OnChip(32 * MI, 256 * MI),
    "cloud": OnChip(32 * MI, 256 * MI),
}
"""Caches and scratchpads, where the device's file does not say ``sram``.

The most: 1152 MiB of an EPYC 9684X, 256 MiB of an MI300X, 96 MiB of a Gaudi 3, 96 MiB of an M2 Ultra.
"""


def efficiency(device: Device, part: str) -> Efficiency:
    """That of a part of the device."""
    kind = f"{device.kind} {part}"
    if device.kind in ("phone", "laptop") and part == "gpu":
        kind = "board gpu"
    return EFFICIENCIES.get(kind) or EFFICIENCIES["npu" if part == "dla" else part]


def on_chip(device: Device) -> OnChip:
    """What of weights and activations need not be read from memory again."""
    known = device.value("sram")
    return ON_CHIP[device.kind] if known is None else OnChip(int(known), int(known))
