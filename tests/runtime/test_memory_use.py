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


def test_what_loading_takes_does_not_hide_what_a_kernel_takes() -> None:
    """Weights of 1 MiB are packed beside their original; the Softmax has copies of its input and its output."""
    graph = "(float[2,512] x) => (float[2,512] y) { a = MatMul(x, w) b = Softmax <axis = 0> (a) y = MatMul(b, w) }"
    proto = modeltext.model(graph, w=(512, 512))
    report = onnxcost.estimate(proto)
    measured = onnxcost.measure(proto, runs=1, warmup=0, arena=True, report=report).memory.arena_activation_bytes
    assert report.memory.peak_activation_bytes == 4 * 4096  # x, a, which b is written over, and the copies
    assert measured in (4 * 4096, None)
