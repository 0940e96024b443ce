"""Bounds worked out by hand. MATMUL: 2·10^6 operations, 4,000,000 bytes of weights, 8,000 of inputs and outputs."""

from __future__ import annotations

import pytest

from onnxcost.hardware.device import Device
from onnxcost.hardware.roofline import lower_bound
from onnxcost.hardware.variants import retype_report
from onnxcost.hardware.workload import demand_of
from onnxcost.report import CostReport
from tests.hardware.machines import CONV, MATMUL, machine, part

TWO = {"gpu": part("gpu", float32=1e12), "cpu": part("cpu", float32=1e12)}
FAST = {"cpu": part("cpu", clock=2e9, boost=4e9, float32=1e12)}
TENSOR = {"gpu": part("gpu", float32=1e12, tf32=8e12)}
HALVES = {"npu": part("npu", float16=2e12)}


@pytest.mark.parametrize(
    ("device", "report", "seconds"),
    [
        (machine(bandwidth=1e10, sram=0), MATMUL, 4_008_000 / 1e10),
        (machine(bandwidth=1e10, sram=4_000_000), MATMUL, 2e6 / 1e12),
        (machine(bandwidth=1e10, sram=4_000_000), CONV, 2 * 589_824 / 1e12),
        (machine(bandwidth=1e13, sram=0), MATMUL, 2e6 / 1e12),
        (machine(), MATMUL, 2e6 / 1e12),
        (machine(bandwidth=1e10), MATMUL, 2e6 / 1e12),
        (machine(TWO), MATMUL, 2e6 / 2e12),
        (machine(FAST, "cpu"), MATMUL, 2e6 / 2e12),
        (machine(TENSOR), MATMUL, 2e6 / 8e12),
        (machine(HALVES, "phone"), MATMUL, 2e6 / 2e12),
        (machine(kind="microcontroller", flash=1e7, flash_bandwidth=1e6), MATMUL, 4.0),
        (machine(kind="microcontroller", flash=1e7, flash_bandwidth=1e6, memory=3e6), MATMUL, 1.0),
        (machine(kind="microcontroller", flash=1e7, bandwidth=1e6), MATMUL, 0.008),
    ],
    ids=[
        "the weights cross the bus", "they stay on the chip but for little", "all stays on the chip", "the bus is fast",
        "no bandwidth is known", "the largest chip of the kind", "two parts", "a higher clock", "tensor cores", "another type",
        "the flash is slow", "the memory holds a part of it", "only inputs and outputs",
    ],
)  # fmt: skip
def test_a_bound(device: Device, report: CostReport, seconds: float) -> None:
    assert lower_bound(device, demand_of(report)).seconds == pytest.approx(seconds)


def test_the_computation() -> None:
    bound = lower_bound(machine(bandwidth=1e10, sram=1_000_000), demand_of(MATMUL))
    assert (bound.rates, bound.moved, bound.kept) == ({"float32": 1e12}, 4_008_000, 1_000_000)
    assert (bound.work, bound.transfer) == (pytest.approx(2e-6), pytest.approx(300.8e-6))


def test_integers_run_at_the_peak_of_integers() -> None:
    eight = retype_report(MATMUL, {"float32": "int8"})
    bound = lower_bound(machine(bandwidth=1e10, sram=0), demand_of(eight))
    assert bound.work == pytest.approx(2e6 / 4e12)
    assert bound.transfer == pytest.approx(1_002_000 / 1e10)
