"""The rules on small graphs; what onnxruntime 1.32 makes of each was seen from the graph that it writes."""

from __future__ import annotations

import pytest

from onnxcost.hardware.kernels.execution import executed
from onnxcost.hardware.kernels.operators import tasks
from tests.modeltext import graph_of, model

IMAGE = "float[1,32,8,8] x"


def families(text: str, blocked: bool = False, domains: str = "", **weights: tuple[int, ...]) -> list[str]:
    graph = graph_of(model(text, opset=18, domains=domains, **weights))
    found = [task.family for step in executed(graph, blocked=blocked) for task in tasks(step)]
    return [family for family in found if not family.startswith("cold")]


CONV = {"w": (32, 32, 1, 1)}


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("y = Conv(x, w)", ["conv-plain-pointwise"]),
        ("t = Conv(x, w) y = Relu(t)", ["conv-plain-pointwise"]),
        ("t = Conv(x, w) u = Add(t, x) y = Relu(u)", ["conv-plain-pointwise", "residual"]),
        ("t = Conv(x, w) u = Relu(t) y = Relu(u)", ["conv-plain-pointwise", "cheap"]),
        ("t = Conv(x, w) u = Mul(t, w1) y = Add(u, c)", ["conv-plain-pointwise"]),
        ("t = Conv(x, w) y = Add(t, w1)", ["conv-plain-pointwise", "binary"]),
        # Another reader of what lies between, and nothing is merged.
        ("t = Conv(x, w) u = Relu(t) y = Add(u, t)", ["conv-plain-pointwise", "cheap", "binary"]),
        ("t = Conv(x, w) u = Sigmoid(t) y = Mul(t, u)", ["conv-plain-pointwise", "quick-gelu"]),
        ("t = Identity(x) y = Neg(t)", ["cheap"]),
        ("t = Neg(w1) y = Add(x, t)", ["binary"]),
        ("s = Shape(x) y = Reshape(x, s)", ["view"]),
    ],
)
def test_what_runs_of_a_graph_with_a_convolution(body: str, found: list[str]) -> None:
    assert families(f"({IMAGE}) => (float y) {{ {body} }}", **CONV, w1=(1,), c=(32, 1, 1)) == found


@pytest.mark.parametrize(
    ("inputs", "body", "found"),
    [
        ("float[4,8,32] x", "t = MatMul(x, w) y = Add(t, b)", ["gemm"]),
        ("float[N,8,32] x", "t = MatMul(x, w) y = Add(t, b)", ["gemm", "broadcast"]),
        ("float[4,32] x", "t = Transpose<perm = [1, 0]>(x) y = MatMul(x, t)", ["matmul"]),
        ("float[4,8,32] x", "t = Neg(x) u = Add(t, x) y = LayerNormalization(u, b, b)", ["cheap", "skip-layernorm"]),
        ("float[4,8,32] x", "t = Div(x, c) u = Erf(t) v = Add(u, c) k = Mul(x, v) y = Mul(k, c)", ["gelu"]),
    ],
)
def test_what_runs_of_a_transformer(inputs: str, body: str, found: list[str]) -> None:
    assert families(f"({inputs}) => (float y) {{ {body} }}", w=(32, 32), b=(32,), c=()) == found


@pytest.mark.parametrize(
    ("body", "found"),
    [
        # In and out of the blocks once, however many kernels there are between.
        ("t = Conv(x, w) u = Relu(t) y = Conv(u, w)",
         ["reorder", "conv-blocked-pointwise", "reorder", "conv-blocked-pointwise"]),
        ("t = Conv(x, w) y = Erf(t)", ["reorder", "conv-blocked-pointwise", "reorder", "erf"]),
        ("t = Conv(x, w) u = Conv(x, w) y = Concat<axis = 1>(t, u)",
         ["reorder", "conv-blocked-pointwise", "conv-blocked-pointwise", "reorder", "concat"]),
        ("t = Conv(x, w) u = Transpose<perm = [0, 2, 3, 1]>(t) y = Neg(u)",
         ["reorder", "conv-blocked-pointwise", "reorder", "view", "cheap"]),
        ("t = Conv(x, w) y = Clip(t)", ["reorder", "reorder", "conv-blocked-pointwise", "fused-clip"]),
    ],
)  # fmt: skip
def test_what_is_brought_into_blocks_and_out_of_them(body: str, found: list[str]) -> None:
    assert families(f"({IMAGE}) => (float y) {{ {body} }}", blocked=True, **CONV) == found


@pytest.mark.parametrize(
    ("shape", "weight", "groups", "family"),
    [
        ((1, 3, 8, 8), (16, 3, 3, 3), 1, "conv-blocked-first"),
        ((1, 36, 8, 8), (16, 36, 3, 3), 1, "conv-blocked"),
        ((1, 38, 8, 8), (16, 38, 3, 3), 1, "conv-plain"),
        ((1, 32, 8, 8), (32, 1, 3, 3), 32, "conv-blocked-depthwise"),
        ((1, 64, 8, 8), (64, 16, 3, 3), 4, "conv-blocked-grouped"),
        ((1, 64, 8, 8), (64, 8, 3, 3), 8, "conv-plain-grouped"),
        ((1, 32, 8), (32, 32, 3), 1, "conv-plain"),
        ((1, 32, 8), (32, 1, 3), 32, "conv-plain-depthwise"),
    ],
)
def test_which_convolutions_work_on_blocks(shape: tuple[int, ...], weight: tuple[int, ...], groups: int, family: str) -> None:
    text = f"(float[{','.join(map(str, shape))}] x) => (float y) {{ y = Conv<group = {groups}>(x, w) }}"
    assert family in families(text, blocked=True, w=weight)
