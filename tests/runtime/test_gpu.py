"""What ran the model: told by NVIDIA's library or its program where they are, and never an error."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace

import psutil
import pytest

from onnxcost.measurement import MeasuredDevice, Settings
from onnxcost.runtime import machine
from onnxcost.runtime.machine import UNKNOWN, Gpu, cpu_name, device_of

CUDA = Settings(provider="cuda")
A, B, C = (Gpu(f"GPU-{letter}-1", "NVIDIA H200", "580.1", size) for letter, size in zip("abc", (1, 2, 3), strict=True))
OTHER = Gpu("GPU-d-1", "NVIDIA L4", "580.1", 4)
GIB = 2**30


def of(found: Gpu) -> MeasuredDevice:
    return MeasuredDevice(found.name, found.driver, found.memory_bytes)


@pytest.mark.parametrize(
    "settings",
    [Settings(), Settings(provider="xnnpack"), Settings(provider="openvino"), Settings(provider="CPUExecutionProvider")],
)
def test_what_runs_on_the_processor_is_the_processor(settings: Settings) -> None:
    assert device_of(settings) == MeasuredDevice(cpu_name(), "", psutil.virtual_memory().total)


@pytest.mark.parametrize(
    "settings",
    [
        Settings(provider="coreml"),
        Settings(provider="rocm"),
        Settings(provider="openvino", provider_options={"device_type": "GPU"}),
    ],
)
def test_a_device_without_information_is_unknown(settings: Settings) -> None:
    assert device_of(settings) == UNKNOWN


@pytest.mark.parametrize(
    ("gpus", "device_id", "environ", "expected"),
    [
        ([A], "0", {}, of(A)),
        ([A, B, C], "2", {}, of(C)),
        ([A, B, C], "0", {"CUDA_VISIBLE_DEVICES": "1,2"}, of(B)),
        ([A, B, C], "1", {"CUDA_VISIBLE_DEVICES": "1, 2"}, of(C)),
        ([A, B, C], "0", {"CUDA_VISIBLE_DEVICES": "GPU-b"}, of(B)),
        ([A, OTHER], "1", {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}, of(OTHER)),
        # CUDA's order is another one: none is better than the wrong one.
        ([A, OTHER], "1", {}, UNKNOWN),
        ([A], "1", {}, UNKNOWN),
        ([A], "first", {}, UNKNOWN),
        ([A], "0", {"CUDA_VISIBLE_DEVICES": "MIG-x"}, UNKNOWN),
        ([A], "0", {"CUDA_VISIBLE_DEVICES": ""}, UNKNOWN),
        ([], "0", {}, UNKNOWN),
    ],
)
def test_a_gpu_is_the_one_that_cuda_counts(
    gpus: list[Gpu], device_id: str, environ: dict[str, str], expected: MeasuredDevice
) -> None:
    assert machine._pick_gpu(gpus, device_id, environ) == expected


def nvml(init: Callable[[], None] = lambda: None) -> ModuleType:
    """A stand-in for the library's module on a machine with two GPUs."""
    module = ModuleType("pynvml")
    module.__dict__.update(
        nvmlInit=init,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: "580.1",
        nvmlDeviceGetCount=lambda: 2,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetUUID=lambda handle: f"GPU-{handle}",
        nvmlDeviceGetName=lambda handle: "NVIDIA H200",
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=(handle + 1) * GIB),
    )
    return module


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, lines: str = "", code: int = 0) -> None:
    """A stand-in for the program, the only one on the path."""
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\nprintf '{lines}'\nexit {code}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


@pytest.fixture(autouse=True)
def _no_gpus_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER"):
        monkeypatch.delenv(name, raising=False)


@pytest.mark.parametrize("name", ["cuda", "tensorrt"])
def test_nvidias_library_has_name_driver_and_memory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", nvml())
    settings = Settings(provider=name, provider_options={"device_id": "1"})
    assert device_of(settings) == MeasuredDevice("NVIDIA H200", "580.1", 2 * GIB)


def refuse() -> None:
    raise RuntimeError("Driver Not Loaded")


@pytest.mark.skipif(os.name != "posix", reason="a program that is a shell script")
@pytest.mark.parametrize("library", [None, nvml(refuse)], ids=["not installed", "fails"])
def test_the_drivers_program_is_used_without_the_library(
    library: ModuleType | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", library)
    nvidia_smi(tmp_path, monkeypatch, "GPU-0, NVIDIA H200, 580.1, 143771\\n")
    assert device_of(CUDA) == MeasuredDevice("NVIDIA H200", "580.1", 143771 * 2**20)


@pytest.mark.skipif(os.name != "posix", reason="a program that is a shell script")
@pytest.mark.parametrize(
    ("lines", "code"), [("NVIDIA-SMI has failed\\n", 9), ("GPU-0, NVIDIA H200, 580.1, [N/A]\\n", 0), ("", 0)]
)
def test_a_program_that_fails_leaves_the_gpu_unknown(
    lines: str, code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    nvidia_smi(tmp_path, monkeypatch, lines, code)
    assert device_of(CUDA) == UNKNOWN


def test_without_library_and_program_the_gpu_is_unknown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert device_of(CUDA) == UNKNOWN
