"""What a measurement and a profile tell of the activations is what the estimate means."""

from __future__ import annotations

import onnxcost
from tests import modeltext

MODEL = modeltext.model(
    """(float[1,8,16,16] x) => (float[1,16,1,1] y) {
        a = Transpose <perm = [0,1,3,2]> (x)
        b = Concat <axis = 1> (a, x)
        c = Sigmoid(b)
        y = ReduceMax <axes = [2,3]> (c) }"""
)
PEAK = 4 * (4 * 8 * 16 * 16)
"""x, a, and b of twice the size, which c is written over."""


def test_estimated_measured_and_profiled_are_the_same() -> None:
    profile = onnxcost.profile(MODEL, runs=1, warmup=0)
    assert profile.measurement is not None
    assert onnxcost.estimate(MODEL).memory.peak_activation_bytes == PEAK
    assert profile.report.memory.peak_activation_bytes == PEAK
    assert {profile.peak_activation_bytes, profile.measurement.memory.arena_activation_bytes} <= {PEAK, None}
