"""Which operators between DequantizeLinear and QuantizeLinear run on integers, as onnxruntime 1.32 was seen to do it."""

from __future__ import annotations

import pytest

from onnxcost.hardware.kernels.execution import executed
from tests.modeltext import graph_of, model



def kinds(body: str) -> list[str]:
    text = f"(int8[1,16,8,8] q) => (int8 y) <float s = {{0.1}}, int8 z = {{0}}> {{ {body} }}"
    graph = graph_of(model(text, opset=18, w=(16, 16, 1, 1)))
    return [step.kind or step.node.op_type for step in executed(graph, blocked=False)]


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("x = DequantizeLinear(q, s, z) t = Conv(x, w) y = QuantizeLinear(t, s, z)", ["QLinearConv"]),
        ("x = DequantizeLinear(q, s, z) t = Conv(x, w) u = Relu(t) y = QuantizeLinear(u, s, z)", ["QLinearConv"]),
        ("x = DequantizeLinear(q, s, z) t = MaxPool<kernel_shape = [1, 1]>(x) y = QuantizeLinear(t, s, z)", ["MaxPool"]),
        # No integers behind it: floats, with the conversion before.
        ("x = DequantizeLinear(q, s, z) t = Conv(x, w) u = Erf(t) y = QuantizeLinear(u, s, z)",
         ["DequantizeLinear", "Conv", "Erf", "QuantizeLinear"]),
        # int8 that two read stays int8, what one reads becomes uint8: they do not go together.
        ("x = DequantizeLinear(q, s, z) t = Conv(x, w) u = Erf(x) v = Add(t, u) y = QuantizeLinear(v, s, z)",
         ["DequantizeLinear", "Erf", "Conv", "QuantizeLinear"]),
    ],
)  # fmt: skip
def test_what_runs_on_integers(body: str, found: list[str]) -> None:
    assert sorted(kinds(body)) == sorted(found)
