"""Whatever can be estimated can be predicted: all test cases of onnx, and graphs whose shapes are known in the run alone."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterator
from math import isfinite

import pytest
from onnx import ModelProto
from onnx.backend.test.case.node import collect_testcases

from onnxcost.estimator import estimate
from onnxcost.hardware.calibration.model import Calibration, Machine
from onnxcost.hardware.calibration.predictor import Calibrated
from onnxcost.hardware.calibration.rates import COLD, Point, Speeds
from onnxcost.ort_optimizer.kernels import FAMILIES
from tests.modeltext import model

WIDTHS = {name: len(family.names) for name, family in FAMILIES.items()} | dict.fromkeys(COLD, 1)
SPEEDS = Speeds(5e-6, {name: (Point((10.0,) * n, 1e-6), Point((1e6,) * n, 1e-3)) for name, n in WIDTHS.items()})
"""Of every family."""
DATE = datetime.date(2026, 11, 23)
MACHINES = [
    Calibrated(Calibration("here", Machine("a", 1 << 30, 2.0, "1.32.0", "Linux", "cpu", blocked), DATE, {1: found}, 1.0))
    for blocked, found in ((True, SPEEDS), (False, Speeds(5e-6, {"cheap": SPEEDS.points["cheap"]})))
]
"""With the blocked layout and all times; and without, with the times that no calibration lacks."""


def is_predicted(proto: ModelProto) -> bool:
    """Whether it takes longer than nothing, and not for ever."""
    report = estimate(proto)
    found = (machine.predict(report).latency for machine in MACHINES)
    return all(latency is not None and 0 < latency.low <= latency.high and isfinite(latency.high) for latency in found)


@pytest.fixture(scope="module")
def cases() -> Iterator[list[tuple[str, ModelProto]]]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield [(case.name, case.model) for case in collect_testcases(None)]


def test_every_case_of_onnx_is_predicted(cases: list[tuple[str, ModelProto]]) -> None:
    assert len(cases) > 1300
    assert [name for name, proto in cases if not is_predicted(proto)] == []


STORED = """float number = {0.125}, float[1] numbers = {0.125}, float[4] twice = {1, 1, 2, 2}, float two = {2},
 float small = {0.1}, int64[1] last = {-1}, int64[1] first = {0}"""
WEIGHTS = {"w": (32, 32, 1, 1), "c": (32, 1, 1), "b": (32,), "m": (32, 32)}
UNKNOWN = {
    "open dims": "(float[A,32,C,D] x) => (float z)",
    "four dims that the run tells": "(float[1,32,8,32] x, int64[4] shape) => (float z)",
    "dims that the run tells": "(float[1,32,8,32] x, int64[R] shape) => (float z)",
}


@pytest.mark.parametrize("inputs", UNKNOWN.values(), ids=UNKNOWN)
@pytest.mark.parametrize(
    "body",
    [
        "y = Softmax<axis = 1>(u)",
        "y = Transpose(u)",
        "y = ReduceMean(u, last)",
        "t = Conv(u, w) y = Mul(t, c)",
        "t = Conv(u, w) v = Relu(t) k = Mul(v, number) y = Conv(k, w)",
        "t = Conv(u, w) v = Relu(t) k = Mul(v, numbers) y = Conv(k, w)",
        "t = Conv(u, w) y = BatchNormalization(t, b, b, b, b)",
        "t = Conv(u, w) v = Relu(t) k = BatchNormalization(v, b, b, b, b) y = Conv(k, w)",
        "t = Conv(u, w) v = Conv(u, w) y = Concat<axis = 1>(t, v)",
        "t = Conv(u, w) v = Conv(u, w) k = Add(t, v) y = Relu(k)",
        "t = Conv(u, w) y = GlobalAveragePool(t)",
        "y = MaxPool<kernel_shape = [2, 2]>(u)",
        "y = ConvTranspose(u, w)",
        "y = Resize(u, , twice)",
        "k = Transpose<perm = [0, 1, 3, 2]>(u) y = MatMul(u, k)",
        "t = Mul(u, number) v = Sigmoid(t) y = Mul(u, v)",
        "a = Pow(u, two) e = ReduceMean(a, last) f = Add(e, small) q = Sqrt(f) y = Div(u, q)",
        "y = LayerNormalization(u, b, b)",
        "y = Pow(u, two)",
        "y = Gather(u, first)",
        "q = QuantizeLinear(u, number) d = DequantizeLinear(q, number) t = Conv(d, w) r = QuantizeLinear(t, number) "
        "y = DequantizeLinear(r, number)",
        "a, s, k = DynamicQuantizeLinear(u) y = DequantizeLinear(a, s, k)",
    ],
)
def test_what_has_no_known_shape_is_predicted(inputs: str, body: str) -> None:
    made = "u = Reshape(x, shape)" if "shape" in inputs else "u = Neg(x)"
    assert is_predicted(model(f"{inputs} <{STORED}> {{ {made} {body} z = Neg(y) }}", opset=18, **WEIGHTS))


@pytest.mark.parametrize("dims", ["", "[1]", "[32]", "[8,1]", "[1,32,1,1]", "[32,1,1]"])
@pytest.mark.parametrize("line", ["Mul(u, k)", "Mul(k, u)", "Add(u, k)", "Sub(k, u)", "Div(u, k)"])
def test_constants_of_any_rank_are_predicted(line: str, dims: str) -> None:
    size = {"": 1, "[1]": 1, "[8,1]": 8}.get(dims, 32)
    stored = f"float{dims} k = {{{','.join(['1'] * size)}}}"
    text = f"(float[1,32,8,32] x) => (float y) <{stored}> {{ t = Conv(x, w) u = Relu(t) v = {line} y = Conv(v, w) }}"
    assert is_predicted(model(text, opset=18, **WEIGHTS))
