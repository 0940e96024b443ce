"""Devices of round numbers, and models whose work and bytes can be worked out by hand."""

from __future__ import annotations

from collections.abc import Mapping

import onnxcost
from onnxcost.hardware.device import Device, Figure, Part, Peak, Source
from onnxcost.report import CostReport
from tests.modeltext import model

SOURCE = Source("a test")


def figure(value: float) -> Figure:
    return Figure(value, "given", SOURCE)


def part(kind: str, clock: float = 0, boost: float = 0, **rates: float) -> Part:
    peaks = {dtype: Peak(kind, dtype, "", figure(rate)) for dtype, rate in rates.items()}
    return Part(kind, kind, peaks, figure(clock) if clock else None, "base", figure(boost) if boost else None)


def machine(parts: Mapping[str, Part] | None = None, kind: str = "gpu", name: str = "box", **figures: float) -> Device:
    """A GPU of 1 TFLOP/s in float32, 2 TFLOP/s in float16 and 4 TOP/s in int8, unless told otherwise."""
    own = parts or {"gpu": part("gpu", float32=1e12, float16=2e12, int8=4e12)}
    return Device(name, name.title(), "Acme", kind, own, {key: figure(value) for key, value in figures.items()})


def report(graph: str, **weights: tuple[int, ...]) -> CostReport:
    return onnxcost.estimate(model(graph, **weights))


MATMUL = report("(float[1,1000] x) => (float[1,1000] y) { y = MatMul(x, w) }", w=(1000, 1000))
"""10^6 MACs; 4,000,000 bytes of weights, 4,000 of the input and as many of the output."""
CONV = report(
    "(float[1,8,32,32] x) => (float[1,8,32,32] y) { c = Conv<pads = [1, 1, 1, 1]>(x, w) y = Relu(c) }", w=(8, 8, 3, 3)
)
"""8 · 32 · 32 outputs of 72 products: 589,824 MACs; 2,304 bytes of weights; 32,768 of the input and as many of the output."""
