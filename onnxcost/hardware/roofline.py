"""The time of a model on a device of the catalog, from its peaks and its bandwidth: a bound, and an estimate with a range.

S. Williams, A. Waterman, D. Patterson, Roofline, CACM 52(4), 2009: time ≥ max(work / peak, traffic / bandwidth).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from onnxcost.analysis.batch import batch_of
from onnxcost.graph import BITS
from onnxcost.hardware.device import Device, Peak, keeps_weights_in_flash
from onnxcost.hardware.prediction import Interval, NodeTime, Prediction
from onnxcost.hardware.variants import retype_report
from onnxcost.hardware.workload import Demand, Same, WorkloadStep, demand_of
from onnxcost.ort_optimizer.layout import BLOCK
from onnxcost.report import CostReport

MI = 2**20


class Range(NamedTuple):
    """The worst and the best typical value."""

    worst: float
    best: float


class Efficiency(NamedTuple):
    """Shares of the dense peak that products and depthwise convolutions reach, and shares of the bandwidth.

    ``start`` are the extra seconds of each step, ``once`` those of each inference; ``reasoning`` names the sources of the
    numbers.
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
        "not checked against published figures: matrix units are taken to fill as the GPUs' do, or half as well",
    ),
}  # fmt: skip
"""By the kind of the device and the part that computes, or only by the part. ``start`` and ``once`` also have the worst first.
"""


class OnChip(NamedTuple):
    """Bytes that stay on the chip: the usual size, and the largest of any device of the kind."""

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
"""Caches and scratchpads, for devices without ``sram`` in their file.

The most: 1152 MiB of an EPYC 9684X, 256 MiB of an MI300X, 96 MiB of a Gaudi 3, 96 MiB of an M2 Ultra.
"""


def efficiency(device: Device, part: str) -> Efficiency:
    """The efficiency of a part of the device, of its first one if none computes a type."""
    part = part or next(iter(device.parts))
    kind = f"{device.kind} {part}"
    if device.kind in ("phone", "laptop") and part == "gpu":
        kind = "board gpu"
    return EFFICIENCIES.get(kind) or EFFICIENCIES["npu" if part == "dla" else part]


def on_chip(device: Device) -> OnChip:
    """The bytes of weights and activations that need not be read from memory again."""
    known = device.value("sram")
    return ON_CHIP[device.kind] if known is None else OnChip(int(known), int(known))


class Bound(NamedTuple):
    """The lower bound of the time, and the figures that it is computed from.

    ``rates`` are operations per second of all parts together, by the model's types, and ``work`` the seconds of all
    multiply-accumulates at them. ``moved`` are the bytes that must cross a bus, ``kept`` those that the chip may hold from one
    run to the next, and ``transfer`` the seconds of the rest.
    """

    rates: Mapping[str, float]
    work: float
    moved: int
    kept: int
    transfer: float

    @property
    def seconds(self) -> float:
        """The longer of the two: in the best case, they overlap."""
        return max(self.work, self.transfer)


def products(device: Device, dtype: str) -> Peak | None:
    """The peak for contractions of a type.

    For float32, it is that of tf32 if the device has it: onnxruntime and TensorRT use tf32 by default.
    """
    peak, tensor = device.runs_as(dtype), device.peak("tf32")
    return tensor if peak and tensor and peak.dtype == "float32" and tensor.rate > peak.rate else peak


def lower_bound(device: Device, demand: Demand) -> Bound:
    """The lower bound of a run in the types of ``demand``.

    It assumes that all multiply-accumulates are done directly, not by Winograd's or Strassen's algorithms. All parts of the
    device work in parallel, each at its highest clock, and other arithmetic is free. The stored weights of contractions, the
    inputs and the outputs cross the bus to memory once, except for what the chip can hold from one run to the next; weights in
    flash come from there, except for what the memory can hold.
    """
    rates = dict.fromkeys(demand.macs, 0.0)
    for kind, part in device.parts.items():
        alone = replace(device, parts={kind: part})
        for dtype in rates:
            peak = products(alone, dtype)
            rates[dtype] += part.headroom * peak.rate if peak else 0.0
    work = sum(2 * macs / rates[dtype] for dtype, macs in demand.macs.items())
    if not keeps_weights_in_flash(device.value):
        moved, kept = demand.operands + demand.ends, on_chip(device).most
        return Bound(rates, work, moved, kept, _seconds(moved - kept, device.bandwidth))
    kept = device.memory_bytes or 0
    beyond = _seconds(demand.operands - kept, device.value("flash_bandwidth"))
    return Bound(rates, work, demand.operands, kept, max(beyond, _seconds(demand.ends, device.bandwidth)))


def _seconds(count: int, bandwidth: float | None) -> float:
    """The seconds for ``count`` bytes; 0 if none are left, or the bandwidth is not known."""
    return max(count, 0) / bandwidth if bandwidth else 0.0


WITHOUT_BANDWIDTH = ("microcontroller", "accelerator")
"""The kinds of devices for which models that stay on the chip can be predicted without a bandwidth."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """Predicts latencies on a device of the catalog."""

    device: Device

    @property
    def name(self) -> str:
        """The device's name."""
        return self.device.name

    @property
    def title(self) -> str:
        """The device's title."""
        return self.device.title

    @property
    def kind(self) -> str:
        """The device's kind."""
        return self.device.kind

    @property
    def block(self) -> int:
        """As with AVX-512, as in reports: data sheets do not say how onnxruntime was built for the device."""
        return BLOCK

    def figure(self, name: str) -> float | None:
        """A figure of the device."""
        return self.device.value(name)

    def part_of(self, dtype: str) -> str:
        """The fastest part in the type."""
        peak = self.device.runs_as(dtype)
        return peak.part if peak else ""

    def as_run(self, report: CostReport) -> CostReport:
        """The report in the types of the device, if those are narrower than the model's."""
        types = {dtype: peak.dtype for dtype in demand_of(report).macs if (peak := self.device.runs_as(dtype))}
        narrower = {dtype: other for dtype, other in types.items() if BITS.get(other, 64) < BITS[dtype]}
        return _retype_key(Same(report), tuple(narrower.items()))

    def predict(self, report: CostReport) -> Prediction:
        """A bound and an estimate; neither if no part can compute a type of the model's contractions."""
        demand, device = demand_of(self.as_run(report)), self.device
        runs_as = _runs_as(device, demand_of(report))
        known = Prediction(device.name, batch_of(report.graph), None, None, runs_as=runs_as, notes=_notes(Same(report)))
        unsupported = tuple(dtype for dtype in demand.macs if device.runs_as(dtype) is None)
        if unsupported:
            return replace(known, unsupported=unsupported)
        bound = lower_bound(device, demand).seconds
        missing = () if device.bandwidth else ("bandwidth",)
        stays_on_chip = device.kind == "microcontroller" or demand.weights <= on_chip(device).most
        if missing and not (device.kind in WITHOUT_BANDWIDTH and stays_on_chip):
            return replace(known, bound=bound, missing=missing)
        nodes = tuple(_node_times(device, demand))
        part = efficiency(device, self.part_of(demand.dtype))
        latency = Interval(
            max(bound, part.once.best + sum(node.span.low for node in nodes)),
            max(bound, part.once.worst + sum(node.span.high for node in nodes)),
            "estimate",
        )
        return replace(known, bound=bound, latency=latency, nodes=nodes, missing=missing, limit=_limit(nodes))


@lru_cache(maxsize=32)
def _retype_key(report: Same, types: tuple[tuple[str, str], ...]) -> CostReport:
    return retype_report(report.report, dict(types))


def _runs_as(device: Device, demand: Demand) -> Mapping[str, str]:
    """The types of the model's contractions that the device lacks, and those that it uses instead."""
    peaks = {dtype: products(device, dtype) for dtype in demand.macs}
    return {
        dtype: peak.dtype
        for dtype, peak in peaks.items()
        if peak is not None and peak.dtype not in (dtype, dtype.removeprefix("u")) and not dtype.startswith(peak.dtype)
    }


@lru_cache(maxsize=32)
def _notes(key: Same) -> tuple[str, ...]:
    report, notes = key.report, []
    if report.uncounted:
        notes.append(f"{len(report.uncounted)} nodes are not counted and not included in the times")
    if report.bound in ("upper", "mixed"):
        notes.append("where the work depends on data, the times are for its upper bound")
    return tuple(notes)


class _Costs(NamedTuple):
    """Seconds of a step: its work, its traffic (0 if the bandwidth is not known) and its start."""

    compute: float
    transfer: float
    start: float

    @property
    def total(self) -> float:
        return max(self.compute, self.transfer) + self.start


def _node_times(device: Device, demand: Demand) -> Iterator[NodeTime]:
    """The times of the steps, computed once for all steps with the same work and traffic."""
    kept, weights = on_chip(device).usual, demand.weights
    streamed = max(weights - kept, 0) / weights if weights else 0.0
    known: dict[object, NodeTime] = {}
    for step in demand.steps:
        same = (step.dtype, step.times, step.macs, step.other, step.weights, step.activations, step.is_depthwise)
        if same not in known:
            beyond_chip = (streamed * step.weights, float(max(step.activations - kept, 0)))
            known[same] = _node_time(device, step, beyond_chip)
        yield known[same]._replace(name=step.node.name, op_type=step.node.op_type, merged=step.merged)


def _node_time(device: Device, step: WorkloadStep, beyond_chip: tuple[float, float]) -> NodeTime:
    """The time of a step; ``beyond_chip`` are the least bytes of its weights and activations that leave the chip."""
    peak = products(device, step.dtype) if step.macs else device.runs_as(step.dtype)
    shares = efficiency(device, peak.part if peak else next(iter(device.parts)))
    at_most = beyond_chip if device.kind == "accelerator" else (float(step.weights), float(step.activations))
    at_peak = _estimate_costs(device, step, peak, (1.0, 1.0, 0.0), at_most)
    worst = _estimate_costs(device, step, peak, _shares(shares, step, 0), at_most)
    best = _estimate_costs(device, step, peak, _shares(shares, step, 1), beyond_chip)
    return NodeTime(
        name=step.node.name,
        op_type=step.node.op_type,
        dtype=peak.dtype if peak else step.dtype,
        merged=step.merged,
        compute=step.times * at_peak.compute,
        transfer=step.times * at_peak.transfer if device.bandwidth else None,
        overhead=step.times * (worst.start + best.start) / 2,
        span=Interval(step.times * best.total, step.times * worst.total, "estimate"),
    )


def _shares(shares: Efficiency, step: WorkloadStep, which: int) -> tuple[float, float, float]:
    """The worst (0) or the best (1) shares of the peak and the bandwidth, and the seconds of the start."""
    return ((shares.depthwise if step.is_depthwise else shares.products)[which], shares.traffic[which], shares.start[which])


def _estimate_costs(
    device: Device, step: WorkloadStep, peak: Peak | None, shares: tuple[float, float, float], moved: tuple[float, float]
) -> _Costs:
    """The seconds of a step at these shares; ``moved`` are the bytes of weights and of activations that it moves."""
    (of_peak, of_bandwidth, start), (weights, activations) = shares, moved
    plain = device.peak("float32") or peak
    compute = 2 * step.macs / peak.rate + step.other / plain.rate if peak and plain else 0.0
    flash, transfer = device.value("flash_bandwidth"), 0.0
    if device.bandwidth:
        transfer = (weights / flash if flash else 0.0) + (
            activations + (0 if keeps_weights_in_flash(device.value) else weights)
        ) / device.bandwidth
    return _Costs(compute / of_peak, transfer / of_bandwidth, start)


def _limit(nodes: Sequence[NodeTime]) -> str:
    """Where most of the expected time goes."""
    spent = dict.fromkeys(("compute", "memory", "overhead"), 0.0)
    for node in nodes:
        spent[node.limit] += max((node.span.low + node.span.high) / 2 - node.overhead, 0.0)
        spent["overhead"] += node.overhead
    return max(spent, key=spent.__getitem__) if nodes else ""
