"""The time of a model on a device of the catalogue, from its peaks and its bandwidth: a bound, and an estimate with a range.

S. Williams, A. Waterman, D. Patterson, Roofline, CACM 52(4), 2009: time ≥ max(work / peak, traffic / bandwidth).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

from onnxcost.graph import BITS
from onnxcost.hardware.bounds import has_flash, lower_bound, products
from onnxcost.hardware.device import Device, Peak
from onnxcost.hardware.efficiency import Efficiency, efficiency, on_chip
from onnxcost.hardware.steps import Demand, Same, Step, demand_of
from onnxcost.measuring.inputs.batch import batch_of
from onnxcost.prediction import NodeTime, Prediction, Span
from onnxcost.report import CostReport
from onnxcost.retyped import retyped

WITHOUT_BANDWIDTH = ("microcontroller", "accelerator")
"""The kinds of devices that need no bandwidth to be known for models that stay on the chip."""


@dataclass(frozen=True, slots=True)
class Roofline:
    """A device of the catalogue, asked for latencies."""

    device: Device

    @property
    def name(self) -> str:
        """The device's."""
        return self.device.name

    @property
    def title(self) -> str:
        """The device's."""
        return self.device.title

    @property
    def kind(self) -> str:
        """The device's."""
        return self.device.kind

    def figure(self, name: str) -> float | None:
        """The device's."""
        return self.device.value(name)

    def part_of(self, dtype: str) -> str:
        """The part that is the fastest in the type."""
        peak = self.device.runs_as(dtype)
        return peak.part if peak else ""

    def as_run(self, report: CostReport) -> CostReport:
        """The report in the types of the device, where those are narrower than the model's."""
        types = {dtype: peak.dtype for dtype in demand_of(report).macs if (peak := self.device.runs_as(dtype))}
        narrower = {dtype: other for dtype, other in types.items() if BITS.get(other, 64) < BITS[dtype]}
        return _retyped(Same(report), tuple(narrower.items()))

    def predict(self, report: CostReport) -> Prediction:
        """A bound and an estimate: neither where no part computes a type that the model multiplies in."""
        demand, device = demand_of(self.as_run(report)), self.device
        runs_as = _runs_as(device, demand_of(report))
        known = Prediction(device.name, batch_of(report.graph), None, None, runs_as=runs_as, notes=_notes(Same(report)))
        unsupported = tuple(dtype for dtype in demand.macs if device.runs_as(dtype) is None)
        if unsupported:
            return replace(known, unsupported=unsupported)
        bound = lower_bound(device, demand).seconds
        missing = () if device.bandwidth else ("bandwidth",)
        if missing and not _stays_on_chip(device, demand):
            return replace(known, bound=bound, missing=missing)
        nodes = tuple(_node_times(device, demand))
        part = efficiency(device, self.part_of(demand.dtype))
        latency = Span(
            max(bound, part.once.best + sum(node.span.low for node in nodes)),
            max(bound, part.once.worst + sum(node.span.high for node in nodes)),
            "estimate",
        )
        return replace(known, bound=bound, latency=latency, nodes=nodes, missing=missing, limit=_limit(nodes))


@lru_cache(maxsize=32)
def _retyped(report: Same, types: tuple[tuple[str, str], ...]) -> CostReport:
    return retyped(report.report, dict(types))


def _runs_as(device: Device, demand: Demand) -> Mapping[str, str]:
    """The types that the model multiplies in and the device has not, and those that it has in their place."""
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
        notes.append(f"{len(report.uncounted)} nodes are not counted: the times leave them out")
    if report.bound in ("upper", "mixed"):
        notes.append("where data decides what is done, the times are of the most that it can be")
    return tuple(notes)


def _stays_on_chip(device: Device, demand: Demand) -> bool:
    fits = device.kind == "microcontroller" or demand.weights <= on_chip(device).most
    return device.kind in WITHOUT_BANDWIDTH and fits


class _Costs(NamedTuple):
    """Seconds of a step: its work, its traffic (0 where the bandwidth is not known) and its start."""

    compute: float
    transfer: float
    start: float

    @property
    def total(self) -> float:
        return max(self.compute, self.transfer) + self.start


def _node_times(device: Device, demand: Demand) -> Iterator[NodeTime]:
    """The times of the steps: each is worked out once for all that do and move the same."""
    kept, weights = on_chip(device).usual, demand.weights
    streamed = max(weights - kept, 0) / weights if weights else 0.0
    known: dict[object, NodeTime] = {}
    for step in demand.steps:
        same = (step.dtype, step.times, step.macs, step.other, step.weights, step.activations, step.is_depthwise)
        if same not in known:
            beyond_chip = (streamed * step.weights, float(max(step.activations - kept, 0)))
            known[same] = _node_time(device, step, beyond_chip)
        yield known[same]._replace(name=step.node.name, op_type=step.node.op_type, merged=step.merged)


def _node_time(device: Device, step: Step, beyond_chip: tuple[float, float]) -> NodeTime:
    """The time of a step of which at least so many bytes of weights and of activations do not stay on the chip."""
    peak = products(device, step.dtype) if step.macs else device.runs_as(step.dtype)
    shares = efficiency(device, peak.part if peak else next(iter(device.parts)))
    at_most = beyond_chip if device.kind == "accelerator" else (float(step.weights), float(step.activations))
    at_peak = _costs(device, step, peak, (1.0, 1.0, 0.0), at_most)
    worst = _costs(device, step, peak, _shares(shares, step, 0), at_most)
    best = _costs(device, step, peak, _shares(shares, step, 1), beyond_chip)
    return NodeTime(
        name=step.node.name,
        op_type=step.node.op_type,
        dtype=peak.dtype if peak else step.dtype,
        merged=step.merged,
        compute=step.times * at_peak.compute,
        transfer=step.times * at_peak.transfer if device.bandwidth else None,
        overhead=step.times * (worst.start + best.start) / 2,
        span=Span(step.times * best.total, step.times * worst.total, "estimate"),
    )


def _shares(shares: Efficiency, step: Step, which: int) -> tuple[float, float, float]:
    """The worst (0) or the best (1) of the shares of the peak and of the bandwidth, and the seconds of the start."""
    return ((shares.depthwise if step.is_depthwise else shares.products)[which], shares.traffic[which], shares.start[which])


def _costs(
    device: Device, step: Step, peak: Peak | None, shares: tuple[float, float, float], moved: tuple[float, float]
) -> _Costs:
    """The seconds of a step that moves so many bytes of weights and of activations, at these shares."""
    (of_peak, of_bandwidth, start), (weights, activations) = shares, moved
    plain = device.peak("float32") or peak
    compute = 2 * step.macs / peak.rate + step.other / plain.rate if peak and plain else 0.0
    flash, transfer = device.value("flash_bandwidth"), 0.0
    if device.bandwidth:
        transfer = (weights / flash if flash else 0.0) + (
            activations + (0 if has_flash(device) else weights)
        ) / device.bandwidth
    return _Costs(compute / of_peak, transfer / of_bandwidth, start)


def _limit(nodes: Sequence[NodeTime]) -> str:
    """What most of the expected time goes to."""
    spent = dict.fromkeys(("compute", "memory", "overhead"), 0.0)
    for node in nodes:
        spent[node.limit] += max((node.span.low + node.span.high) / 2 - node.overhead, 0.0)
        spent["overhead"] += node.overhead
    return max(spent, key=spent.__getitem__) if nodes else ""
