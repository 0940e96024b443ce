"""Models in float16 on a CPU: as many of each operator run, and of Casts, as in onnxruntime's own optimized graph."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from onnxcost.ort_optimizer.halves import HALF_KERNELS, insert_casts
from onnxcost.ort_optimizer.pipeline import optimize
from tests.modeltext import graph_of, model
from tests.ort_optimizer.oracle import optimised, surplus, why_not

IMAGE, ROWS = "float16[1,32,8,8] x", "float16[1,8,32] x"
WEIGHTS: Mapping[str, tuple[int, ...]] = {
    **{"w": (32, 32, 3, 3), "w1": (32, 32, 1, 1), "wide": (32, 64, 1, 1), "b": (32,), "g": (32,)},
    **{"m": (32, 32), "m1": (32, 32), "b1": (32,)},
}
BODIES = (
    (IMAGE, "t = Conv(x, w) u = Relu(t) z = Conv(u, w1)"),
    (IMAGE, "t = Conv(x, w) u = BatchNormalization(t, b, b, b, b) v = Sigmoid(u) z = Mul(u, v)"),
    (IMAGE, "t = Conv<pads = [1, 1, 1, 1]>(x, w) u = Add(t, x) v = Relu(u) z = Conv(v, w1)"),
    (IMAGE, "t = Conv(x, w) u = Clip(t) z = Conv(u, w1)"),
    (IMAGE, "t = Conv(x, w) z = Clip(t)"),
    (IMAGE, "t = Conv(x, w) u = Neg(t) v = Concat<axis = 1>(t, u) z = Conv(v, wide)"),
    (IMAGE, "t = Conv(x, w) u = Transpose<perm = [0, 2, 3, 1]>(t) v = Flatten(u) z = Erf(v)"),
    (IMAGE, "t = Conv(x, w1) u = Cast<to = 1>(t) v = Relu(u) k = Cast<to = 10>(v) z = Conv(k, w)"),
    (IMAGE, "z = Concat<axis = 1>(x, x)"),
    # A weight that two nodes read is cast in each run, and so not laid out in blocks.
    (IMAGE, "t = Conv(x, w1) u = Neg(t) z = Conv(u, w1)"),
    # So is a bias that they read through an Identity.
    (IMAGE, "c = Identity(b) t = Conv(x, w, b) u = Neg(t) z = Conv(u, w1, c)"),
    (ROWS, "t = MatMul(x, m) u = Add(t, b) z = Softmax(u)"),
    (ROWS, "t = MatMul(x, m) u = Add(t, b) v = Erf(u) z = Mul(v, u)"),
    (ROWS, "z = LogSoftmax<axis = 1>(x)"),
    ("float16[4,32] x", "t = Gemm(x, m, b) u = Relu(t) z = Gemm(u, m1, b1)"),
    ("float[1,32,8,8] x", "t = Cast<to = 10>(x) u = Conv(t, w) z = Sigmoid(u)"),
)


def in_half(proto: onnx.ModelProto) -> onnx.ModelProto:
    """The model with the weights as float16."""
    for tensor in proto.graph.initializer:
        if tensor.data_type == onnx.TensorProto.FLOAT:
            values = numpy_helper.to_array(tensor).astype(np.float16)
            tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    return proto


@pytest.mark.parametrize("opset", [13, 18])
@pytest.mark.parametrize(("inputs", "body"), BODIES)
def test_where_types_change(inputs: str, body: str, opset: int) -> None:
    if reason := why_not():
        pytest.skip(reason)
    used = {name: shape for name, shape in WEIGHTS.items() if f" {name}" in body}
    made = in_half(model(f"({inputs}) => (float16 z) {{ {body} }}", opset=opset, **used))
    assert surplus(graph_of(made), made.SerializeToString()) == {}


@pytest.mark.parametrize("operator", ["Add(x, x)", "Concat<axis = 0>(x, x)", "Clip(x)", "Sqrt(x)", "Transpose(x)", "Max(x, x)"])
def test_which_operators_have_a_kernel(operator: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    made = model(f"(float16[4,8] x) => (float16 z) {{ z = {operator} }}", opset=18)
    has_casts = "Cast" in {node.op_type for node in optimised(made.SerializeToString())}
    assert has_casts == (operator.partition("(")[0].partition("<")[0] not in HALF_KERNELS)


def test_models_without_float16_stay_as_they_are() -> None:
    graph = graph_of(model("(float[4,8] x) => (float y) { y = Relu(x) }"))
    assert insert_casts(graph) is graph


def test_types_stay_where_there_are_kernels() -> None:
    graph = graph_of(in_half(model("(float16[1,32] x) => (float16 y) { t = MatMul(x, m) y = Tanh(t) }", m=(32, 32))))
    on_cpu, elsewhere = (optimize(graph, blocked=True, casts=casts) for casts in (True, False))
    assert Counter(step.node.op_type for step in on_cpu) == {"Cast": 2, "MatMul": 1, "Tanh": 1}
    assert [step.node.op_type for step in elsewhere] == ["MatMul", "Tanh"]
    assert {step.node.out.dtype for step in elsewhere} == {"float16"}
