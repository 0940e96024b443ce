"""The least time that a model can take on a device: what no run undercuts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from onnxcost.hardware.device import Device, Peak
from onnxcost.hardware.efficiency import on_chip
from onnxcost.hardware.steps import Demand


class Bound(NamedTuple):
    """The least time, and the sum behind it.

    ``rates`` are operations per second of all parts together, by the model's types, and ``work`` the seconds that all
    multiply-accumulates take at them. ``moved`` are the bytes that have to cross a bus, ``kept`` those that the chip may hold
    from one run to the next, and ``transfer`` the seconds of what is left.
    """

    rates: Mapping[str, float]
    work: float
    moved: int
    kept: int
    transfer: float

    @property
    def seconds(self) -> float:
        """The longer of the two, as they overlap at the best."""
        return max(self.work, self.transfer)


def products(device: Device, dtype: str) -> Peak | None:
    """The peak that contractions of a type run at.

    Of float32 it is that of tf32 where the device has it: onnxruntime and TensorRT use it unless they are told not to.
    """
    peak, tensor = device.runs_as(dtype), device.peak("tf32")
    return tensor if peak and tensor and peak.dtype == "float32" and tensor.rate > peak.rate else peak


def has_flash(device: Device) -> bool:
    """Whether the weights stay in a flash."""
    return device.value("flash") is not None or device.value("flash_bandwidth") is not None


def lower_bound(device: Device, demand: Demand) -> Bound:
    """What no run undercuts, in the types of ``demand``.

    Every multiply-accumulate is done: directly, not by Winograd's or Strassen's algorithms. All parts of the device work at
    once, each at its highest clock, and other arithmetic is free. What crosses the bus to memory are the stored weights that
    are multiplied with, the inputs and the outputs, each once, save as much as the chip can hold from one run to the next;
    weights in a flash come from there, save as much as the memory holds.
    """
    rates = {dtype: _rate(device, dtype) for dtype in demand.macs}
    work = sum(2 * macs / rates[dtype] for dtype, macs in demand.macs.items())
    if not has_flash(device):
        moved, kept = demand.operands + demand.ends, on_chip(device).most
        return Bound(rates, work, moved, kept, _seconds(moved - kept, device.bandwidth))
    kept = device.memory_bytes or 0
    beyond = _seconds(demand.operands - kept, device.value("flash_bandwidth"))
    return Bound(rates, work, demand.operands, kept, max(beyond, _seconds(demand.ends, device.bandwidth)))


def _rate(device: Device, dtype: str) -> float:
    """Of all parts together, at their highest clocks."""
    peaks = ((part, products(replace(device, parts={kind: part}), dtype)) for kind, part in device.parts.items())
    return sum(part.headroom * peak.rate for part, peak in peaks if peak)


def _seconds(count: int, bandwidth: float | None) -> float:
    """Of so many bytes; 0 where none are left, or the bandwidth is not known."""
    return max(count, 0) / bandwidth if bandwidth else 0.0
