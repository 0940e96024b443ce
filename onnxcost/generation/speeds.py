"""The time to the first token and tokens per second on a device, from the work of prefill and decode and the bytes they move.

A decode step reads each weight once, whatever the batch, and the cache of each sequence: it cannot be faster than these reads
at the device's bandwidth, nor than its arithmetic at the peak.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any, NamedTuple

from onnxcost.generation.phases import Phase
from onnxcost.hardware.device import Device, keeps_weights_in_flash
from onnxcost.hardware.prediction import Interval, Predictor
from onnxcost.hardware.roofline import Efficiency, Roofline, efficiency, lower_bound, on_chip, products
from onnxcost.hardware.workload import Demand, demand_of
from onnxcost.operators.inputs import ROLES

WEIGHTS, CACHE, ARITHMETIC, STARTS = "weights", "cache", "arithmetic", "launches"
"""Where most of a decode step's time goes: reading weights or the cache, arithmetic, or launching nodes."""


class Speed(NamedTuple):
    """A decoder on a device at a batch. ``ttft`` and ``step`` are the seconds of prefill and of a decode step, None if
    ``missing`` names unknown figures of the device, or types that it lacks; the bounds are lower bounds.
    """

    device: str
    batch: int
    ttft: Interval | None = None
    ttft_bound: float | None = None
    step: Interval | None = None
    step_bound: float | None = None
    limit: str = ""
    missing: tuple[str, ...] = ()

    @property
    def tokens_per_second(self) -> Interval | None:
        """Of one sequence."""
        if self.step is None or not self.step.low:
            return None
        return Interval(1 / self.step.high, 1 / self.step.low, self.step.basis)

    @property
    def throughput(self) -> Interval | None:
        """Tokens per second of all sequences."""
        one = self.tokens_per_second
        return one and Interval(self.batch * one.low, self.batch * one.high, one.basis)

    def to_dict(self) -> dict[str, Any]:
        """An entry of the key ``devices``."""
        one, all_ = self.tokens_per_second, self.throughput
        most = None if not self.step_bound else {"at_most": 1 / self.step_bound, "basis": "bound"}
        return {
            "device": self.device,
            "batch": self.batch,
            "ttft": self.ttft and self.ttft._asdict(),
            "ttft_bound": self.ttft_bound,
            "tokens_per_second": one and one._asdict(),
            "tokens_per_second_bound": most,
            "throughput": all_ and all_._asdict(),
            "limit": self.limit or None,
            "not_known": list(self.missing),
        }


def predict_speed(predictor: Predictor, prefill: Phase | None, decode: Phase) -> Speed:
    """The speed on a device. A calibrated machine predicts both phases like any model."""
    found = Speed(predictor.name, decode.sizes.batch)
    asked = predictor.predict(decode.executed)
    if asked.unsupported or asked.latency is None:
        return found._replace(missing=(*asked.unsupported, *asked.missing))
    first = predictor.predict(prefill.executed) if prefill is not None else None
    if not isinstance(predictor, Roofline) or keeps_weights_in_flash(predictor.figure):
        limit = {"compute": ARITHMETIC, "memory": WEIGHTS, "overhead": STARTS}.get(asked.limit, "")
        found = found._replace(step=asked.latency, step_bound=asked.bound, limit=limit)
        return found if first is None else found._replace(ttft=first.latency, ttft_bound=first.bound)
    costs = StepCosts.of(predictor.device, decode)
    found = found._replace(step=costs.seconds, step_bound=costs.bound, limit=costs.limit)
    if prefill is None or first is None or first.latency is None:
        return found
    # A graph has attention's scores explicitly, which kernels for long sequences keep on the chip.
    fused = StepCosts.of(predictor.device, prefill)
    low = max(fused.bound, min(first.latency.low, fused.seconds.low))
    return found._replace(ttft=first.latency._replace(low=low), ttft_bound=fused.bound)


class StepCosts(NamedTuple):
    """The seconds of a step on a device of the catalog: the least that it can take, the usual range, and what takes most."""

    bound: float
    seconds: Interval
    limit: str

    @classmethod
    def of(cls, device: Device, phase: Phase) -> StepCosts:
        """In the best case, weights that the chip can hold from one step to the next are not read again."""
        demand = _as_computed(device, phase)
        cached = phase.kv_bytes_read + phase.kv_bytes_written + 2 * phase.state_bytes
        bound = lower_bound(device, replace(demand, operands=phase.weight_bytes_read, ends=cached))
        shares = efficiency(device, next(iter(device.parts)) if (peak := device.runs_as(demand.dtype)) is None else peak.part)
        compute = sum(2 * macs / peak.rate for dtype, macs in demand.macs.items() if (peak := products(device, dtype)))
        bandwidth = device.bandwidth or float("inf")
        kept = on_chip(device).usual
        worst = _spent(shares, 0, phase, demand, (compute, bandwidth, 0))
        best = _spent(shares, 1, phase, demand, (compute, bandwidth, kept))
        low, high = (
            max(bound.seconds, sum(each.values()) - min(each[ARITHMETIC], each[WEIGHTS] + each[CACHE]))
            for each in (best, worst)
        )
        limit = max(worst, key=lambda name: worst[name] + best[name])
        return cls(bound.seconds, Interval(low, max(low, high), "estimate"), limit)


def _spent(shares: Efficiency, which: int, phase: Phase, demand: Demand, at_peak: tuple[float, float, int]) -> Counter[str]:
    """The seconds by limit at the worst (0) or the best (1) shares; ``at_peak`` are those of the arithmetic at the peak, the
    bandwidth, and the bytes of weights that stay on the chip.
    """
    compute, bandwidth, kept = at_peak
    cached = phase.kv_bytes_read + phase.kv_bytes_written + 2 * phase.state_bytes
    return Counter(
        {
            WEIGHTS: max(phase.weight_bytes_read - kept, 0) / bandwidth / shares.traffic[which],
            CACHE: cached / bandwidth / shares.traffic[which],
            ARITHMETIC: compute / shares.products[which],
            STARTS: shares.once[which] + len(demand.steps) * shares.start[which],
        }
    )


def _as_computed(device: Device, phase: Phase) -> Demand:
    """The requirements of the step, with products of low-bit weights in int8 if the device is faster that way: kernels quantize
    the activations for them.
    """
    demand = demand_of(phase.report)
    packed = Counter[str]()
    for cost in phase.report.counted:
        if any(role.bits for role in ROLES.get(cost.node.key, {}).values()):
            packed[cost.dtype] += cost.work.macs
    macs, whole = Counter(demand.macs), products(device, "int8")
    for dtype, count in packed.items():
        floats = products(device, dtype)
        if whole is not None and floats is not None and whole.rate > floats.rate:
            macs[dtype] -= count
            macs["int8"] += count
    return replace(demand, macs={dtype: count for dtype, count in macs.items() if count})
