"""Which operators between DequantizeLinear and QuantizeLinear run on integers, as onnxruntime 1.32 was seen to do it."""

from __future__ import annotations

import pytest

from onnxcost.ort_optimizer.fused_node import FusedNode
from onnxcost.ort_optimizer.kernels import family_of, kernel_runs
from onnxcost.ort_optimizer.pipeline import optimize
from tests.modeltext import graph_of, model

CONSTANTS = "float s = {{0.1}}, {0} z = {{0}}, int8 zw = {{0}}, int8[1,1,1,1] k = {{1}}"


def steps(body: str, dtype: str = "uint8") -> tuple[FusedNode, ...]:
    text = f"""({dtype}[1,1,8,8] q) => ({dtype} y) <{CONSTANTS.format(dtype)}> {{
        w = DequantizeLinear(k, s, zw) x = DequantizeLinear(q, s, z) {body} }}"""
    return optimize(graph_of(model(text, opset=18)), blocked=False)


def kinds(body: str, dtype: str = "uint8") -> list[str]:
    return [step.kind or step.node.op_type for step in steps(body, dtype)]


CONV = "t = Conv(x, w) "
READ = "q1 = QuantizeLinear(t, s, z) x1 = DequantizeLinear(q1, s, z) "


@pytest.mark.parametrize(
    ("body", "found"),
    [
        (f"{CONV} y = QuantizeLinear(t, s, z)", ["QLinearConv"]),
        (f"{CONV} u = Relu(t) y = QuantizeLinear(u, s, z)", ["QLinearConv"]),
        (f"{CONV} {READ} u = Conv(x1, w) y = QuantizeLinear(u, s, z)", ["QLinearConv", "QLinearConv"]),
        (f"{CONV} {READ} u = Add(x1, x) y = QuantizeLinear(u, s, z)", ["QLinearConv", "QLinearAdd"]),
        (f"{CONV} {READ} u = MaxPool<kernel_shape = [1, 1]>(x1) y = QuantizeLinear(u, s, z)", ["QLinearConv", "MaxPool"]),
        (f"{CONV} {READ} u = Relu(x1) y = QuantizeLinear(u, s, z)", ["QLinearConv", "Relu"]),
        # Integers that are no quantized floats, and a node without inputs
        (f"{CONV} c = Cast<to = 6>(t) u = Sub(c, c) v = Concat<axis = 0>(u, u) y = QuantizeLinear(v, s, z)",
         ["DequantizeLinear", "DequantizeLinear", "Conv", "Cast", "Sub", "Concat", "QuantizeLinear"]),
        (f"{CONV} r = RandomNormal<shape = [1,1,8,8]>() u = Add(t, r) y = QuantizeLinear(u, s, z)",
         ["DequantizeLinear", "DequantizeLinear", "Conv", "RandomNormal", "QuantizeLinear"]),
        # Floats before it or behind it: floats, with the conversion before.
        (f"{CONV} u = Erf(t) y = QuantizeLinear(u, s, z)",
         ["DequantizeLinear", "DequantizeLinear", "Conv", "Erf", "QuantizeLinear"]),
        (f"{CONV} {READ} u = Erf(x1) y = QuantizeLinear(u, s, z)",
         ["QLinearConv", "DequantizeLinear", "Erf", "QuantizeLinear"]),
    ],
)  # fmt: skip
def test_what_runs_on_integers(body: str, found: list[str]) -> None:
    assert sorted(kinds(body)) == sorted(found)


def test_int8_with_two_readers_stays_int8() -> None:
    """What one reads becomes uint8: the two do not go together. Each reader has a DequantizeLinear of its own."""
    body = f"{CONV} u = Erf(x) v = Add(t, u) y = QuantizeLinear(v, s, z)"
    assert sorted(kinds(body, "int8")) == sorted([*["DequantizeLinear"] * 3, "Erf", "Conv", "QuantizeLinear"])


def test_what_runs_on_integers_reads_and_makes_them() -> None:
    """By the names of what is behind the conversions, so that each step reads what another one made."""
    first, second = steps(f"{CONV} {READ} u = Conv(x1, w) y = QuantizeLinear(u, s, z)")
    assert [tensor.name for tensor in first.node.inputs if tensor is not None] == ["q", "k"]
    assert first.node.out.name == second.node.x.name
    assert {tensor.dtype for tensor in (first.node.x, first.node.out, second.node.x, second.node.out)} == {"uint8"}


@pytest.mark.parametrize("between", ["Transpose<perm = [0, 1, 3, 2]>(x1)", "Relu(x1)"])
def test_what_has_the_same_kernel_for_both_makes_integers(between: str) -> None:
    made = steps(f"{CONV} {READ} u = {between} y = QuantizeLinear(u, s, z)")
    assert {step.node.out.dtype for step in made} == {"uint8"}


def test_weights_are_read_as_they_are_stored() -> None:
    (step,) = steps(f"{CONV} y = QuantizeLinear(t, s, z)")
    weight = step.node.required(1)
    assert (weight.dtype, weight.is_constant) == ("int8", True)


@pytest.mark.parametrize(
    ("channels", "groups", "family"),
    [
        (32, 1, "conv-int8"),
        (32, 4, "conv-int8-grouped"),
        (32, 32, "conv-int8-depthwise"),
        (40, 40, "conv-int8-ragged"),
    ],
)
@pytest.mark.parametrize("dtype", ["uint8", "int8"])
def test_convolutions_made_from_floats_are_uint8(channels: int, groups: int, family: str, dtype: str) -> None:
    filters = channels * (channels // groups)
    text = f"""(float[1,{channels},8,8] f) => (float y) <float s = {{0.1}}, {dtype} z = {{0}}, int8 zw = {{0}},
        int8[{channels},{channels // groups},1,1] k = {{{",".join("1" * filters)}}}> {{
        q = QuantizeLinear(f, s, z) x = DequantizeLinear(q, s, z) w = DequantizeLinear(k, s, zw)
        t = Conv<group = {groups}>(x, w)
        {READ} y = Erf(x1) }}"""
    found = [step for step in optimize(graph_of(model(text, opset=18)), blocked=True) if step.kind == "QLinearConv"]
    assert [family_of(step) for step in found] == [family]


def test_values_between_two_convolutions_have_their_channels_last() -> None:
    """Brought there once and back once, by a Transpose of integers each."""
    body = f"{CONV} {READ} u = Sigmoid(x1) q2 = QuantizeLinear(u, s, z) x2 = DequantizeLinear(q2, s, z) v = Conv(x2, w)"
    found = steps(
        f"{body} q3 = QuantizeLinear(v, s, z) x3 = DequantizeLinear(q3, s, z) l = Erf(x3) y = QuantizeLinear(l, s, z)"
    )
    assert [(step.kind or step.node.op_type, step.is_blocked) for step in found] == [
        ("QLinearConv", True),
        ("QLinearSigmoid", True),
        ("QLinearConv", True),
        ("DequantizeLinear", False),
        ("Erf", False),
        ("QuantizeLinear", False),
    ]
    assert [task.family for step in found for task in kernel_runs(step) if task.family == "transpose"] == ["transpose"] * 2
    assert [len(step.reordered) for step in found] == [1, 0, 0, 1, 0, 0]
