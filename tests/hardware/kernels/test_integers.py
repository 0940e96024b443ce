"""Which operators between DequantizeLinear and QuantizeLinear run on integers, as onnxruntime 1.32 was seen to do it."""

from __future__ import annotations

import pytest

from onnxcost.hardware.kernels.execution import executed
from tests.modeltext import graph_of, model


def kinds(body: str) -> list[str]:
    constants = "float s = {0.1}, int8 z = {0}, int8[1,1,1,1] k = {1}"
    text = f"(int8[1,1,8,8] q) => (int8 y) <{constants}> {{ w = DequantizeLinear(k, s, z) {body} }}"
    graph = graph_of(model(text, opset=18))
    return [step.kind or step.node.op_type for step in executed(graph, blocked=False)]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("x = DequantizeLinear(q, s, z) t = Conv(x, w) y = QuantizeLinear(t, s, z)", ["QLinearConv"]),
        ("x = DequantizeLinear(q, s, z) t = Conv(x, w) u = Relu(t) y = QuantizeLinear(u, s, z)", ["QLinearConv"]),
        ("x = DequantizeLinear(q, s, z) t = MaxPool<kernel_shape = [1, 1]>(x) u = Conv(t, w) "
         "y = QuantizeLinear(u, s, z)", ["DequantizeLinear", "DequantizeLinear", "MaxPool", "Conv", "QuantizeLinear"]),
        # Floats before it or behind it: floats, with the conversion before.
        ("x = DequantizeLinear(q, s, z) t = Conv(x, w) u = Erf(t) y = QuantizeLinear(u, s, z)",
         ["DequantizeLinear", "DequantizeLinear", "Conv", "Erf", "QuantizeLinear"]),
        # int8 that two read stays int8, what one reads becomes uint8: they do not go together.
        ("x = DequantizeLinear(q, s, z) t = Conv(x, w) u = Erf(x) v = Add(t, u) y = QuantizeLinear(v, s, z)",
         ["DequantizeLinear", "DequantizeLinear", "Erf", "Conv", "QuantizeLinear"]),
    ],
)  # fmt: skip
def test_what_runs_on_integers(body: str, found: list[str]) -> None:
    assert sorted(kinds(body)) == sorted(found)
