"""What runs the model: the processor's or the GPU's name, driver and memory, as far as they can be found."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import NamedTuple

from onnxcost.measurement import Device, Settings
from onnxcost.measuring.environment import cpu_name, physical_memory
from onnxcost.measuring.providers import provider_named

UNKNOWN = Device("")
_NVIDIA, _ON_CPU = ("cuda", "tensorrt"), ("cpu", "xnnpack", "dnnl")


class Gpu(NamedTuple):
    """An NVIDIA GPU of this machine."""

    uuid: str
    name: str
    driver: str
    memory_bytes: int


def device_of(settings: Settings) -> Device:
    """The device that the settings run on; UNKNOWN where nothing tells of it. Never an error."""
    name = provider_named(settings.provider).name
    if name in _ON_CPU or (name == "openvino" and settings.provider_options.get("device_type", "CPU").startswith("CPU")):
        return Device(cpu_name(), memory_bytes=physical_memory())
    if name in _NVIDIA:
        return _device(_gpus(), settings.provider_options.get("device_id", "0"), os.environ)
    return UNKNOWN


def _device(gpus: Sequence[Gpu], device_id: str, environ: Mapping[str, str]) -> Device:
    """The GPU that CUDA counts as ``device_id``: of those in CUDA_VISIBLE_DEVICES, which names them by number or UUID."""
    names = {gpu.name for gpu in gpus}
    if len(names) > 1 and environ.get("CUDA_DEVICE_ORDER") != "PCI_BUS_ID":
        # Here they are in the order of their places, CUDA puts the fastest first.
        return UNKNOWN
    visible = environ.get("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(len(gpus))))).split(",")
    with suppress(ValueError, IndexError, StopIteration):
        chosen = visible[int(device_id)].strip()
        by_uuid = (gpu for gpu in gpus if chosen and gpu.uuid.startswith(chosen))
        gpu = gpus[int(chosen)] if chosen.isdecimal() else next(by_uuid)
        return Device(gpu.name, gpu.driver, gpu.memory_bytes)
    return UNKNOWN


def _gpus() -> Sequence[Gpu]:
    """The machine's NVIDIA GPUs, in the order of their places; none where neither the library nor the program is there."""
    for source in (_by_nvml, _by_nvidia_smi):
        # What is asked for adornment's sake must not end a measurement, whatever a driver comes up with.
        with suppress(Exception):
            return source()
    return ()


def _by_nvml() -> Sequence[Gpu]:
    import pynvml

    pynvml.nvmlInit()
    try:
        driver = pynvml.nvmlSystemGetDriverVersion()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return [
            Gpu(
                pynvml.nvmlDeviceGetUUID(handle),
                pynvml.nvmlDeviceGetName(handle),
                driver,
                pynvml.nvmlDeviceGetMemoryInfo(handle).total,
            )
            for handle in handles
        ]
    finally:
        pynvml.nvmlShutdown()


def _by_nvidia_smi() -> Sequence[Gpu]:
    """The program that comes with the driver; it tells memory in MiB."""
    query = ("--query-gpu=uuid,name,driver_version,memory.total", "--format=csv,noheader,nounits")
    done = subprocess.run(("nvidia-smi", *query), capture_output=True, text=True, timeout=10, check=True)
    rows = [line.split(", ") for line in done.stdout.splitlines()]
    return [Gpu(uuid, name, driver, int(memory) * 2**20) for uuid, name, driver, memory in rows]
