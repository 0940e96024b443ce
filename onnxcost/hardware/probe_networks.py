"""Probes of what no cache holds any more when it is wanted: weights of other nodes, and values that were made long before."""

from __future__ import annotations

from collections.abc import Iterator

from onnxcost.hardware.probe import Probe, Weights, chain

DELAYS = ((1 << 16, 4), (1 << 17, 8), (1 << 17, 16), (1 << 18, 16), (1 << 18, 32), (1 << 18, 64), (1 << 19, 64), (1 << 19, 128))
"""The bytes of a value, and how many nodes later it is read again: from what fits any cache to what fits none."""


def delay_lines() -> Iterator[Probe]:
    """Each node adds what the one before made and what one long before it made, and writes over that."""
    for size, delay in DELAYS:
        count = max(3 * delay, 32)
        older = ["x" if index < delay else f"y{index - delay}" for index in range(1, count)]
        lines = [f"y{index} = Add(y{index - 1}, {old})" for index, old in enumerate(older, start=1)]
        graph = f"(float[{size // 4}] x) => (float y{count - 1}) {{ y0 = Neg(x) {' '.join(lines)} }}"
        yield Probe("cold-values", graph)


def bottlenecks() -> Iterator[Probe]:
    """Ever more blocks of three convolutions, until no cache holds their weights, as in ResNet-50."""
    for count in (1, 4, 8, 16):
        weights: Weights = {}
        lines = []
        for index in range(count):
            weights = {
                **weights,
                f"a{index}": ("float32", (256, 1024, 1, 1)),
                f"b{index}": ("float32", (256, 256, 3, 3)),
                f"c{index}": ("float32", (1024, 256, 1, 1)),
            }
            pads = "pads = [1, 1, 1, 1]"
            lines += [f"Conv(IN, a{index})", f"Conv<kernel_shape = [3, 3], {pads}>(IN, b{index})", f"Conv(IN, c{index})"]
        yield chain("cold-conv", (1, 1024, 14, 14), *lines, weights=weights)
