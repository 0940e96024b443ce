"""A measurement whose every statistic can be worked out by hand.

The runs took 10, 11, … 29 ms: the median and the mean are 19.5 ms, σ is √(20·21/12) = √35 = 5.916 ms, the q-th percentile is
10 + 19·q/100 ms, and the 95 % interval of the median of 20 runs is from the 6th to the 15th: 15 to 24 ms.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from onnxcost.measurement import Advice, Environment, InputUsed, MeasuredDevice, Measurement, MemoryUse, Settings

MIB = 1 << 20

MEASUREMENT = Measurement(
    settings=Settings(),
    samples=np.arange(10, 30) / 1000,
    wall_seconds=0.4,
    first_run_seconds=0.039,
    session_seconds=0.1234,
    warmup_runs=3,
    batch=1,
    inputs=(InputUsed("x", "float32", (1, 3, 8, 8), "synthesised: numbers between 0 and 1"),),
    device=MeasuredDevice("A Processor"),
    environment=Environment(4, 4.0, 0.1, 3e9, 4e9, "1.30.0", "Linux"),
    memory=MemoryUse(64 * MIB, 40 * MIB, 3 * MIB, MIB),
    threads=(4, 1),
    flops=19_200,
    advice=(Advice("outliers", "some runs are <slow> | so"),),
)


def measurement(**changes: Any) -> Measurement:
    return replace(MEASUREMENT, **changes)


def at_batch(batch: int, seconds: float) -> Measurement:
    """Ten runs that took the same time each."""
    return measurement(batch=batch, samples=np.full(10, seconds), flops=1000 * batch)
