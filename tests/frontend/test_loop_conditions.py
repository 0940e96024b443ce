"""Loops that count: how often they run, from a condition of integers."""

from __future__ import annotations

import pytest
from onnx import TensorProto

import onnxcost
from onnxcost.frontend import loops
from tests.modeltext import model

ADD, SUB = "k1 = Add(k, one)", "k1 = Sub(k, one)"
# how the counter goes on, the condition, where it starts, the iterations
CONDITIONS = {
    "less": (ADD, "again = Less(k1, ten)", 0, 10),
    "less or equal": (ADD, "again = LessOrEqual(k1, ten)", 0, 11),
    "not greater": (ADD, "g = Greater(k1, ten) again = Not(g)", 0, 11),
    "not equal": (ADD, "e = Equal(k1, ten) again = Not(e)", 0, 10),
    "the other way around": (ADD, "again = Greater(ten, k1)", 0, 10),
    "by what the iteration starts from": (ADD, "again = Less(k, ten)", 0, 11),
    "by the number of the iteration": (ADD, "j = Add(i, one) again = Less(j, ten)", 0, 10),
    "two limits": (ADD, "g = Less(k1, ten) h = LessOrEqual(i, seven) again = And(g, h)", 0, 9),
    "either limit": (ADD, "g = Less(k1, ten) h = LessOrEqual(i, seven) again = Or(g, h)", 0, 10),
    "steps of seven": ("k1 = Add(seven, k)", "again = Less(k1, thousands)", 0, 572),
    "down": (SUB, "again = Greater(k1, one)", 10, 9),
    "down to zero, as a truth value": (SUB, "again = Cast <to = 9> (k1)", 6, 6),
    "times the step": (ADD, "p = Mul(k1, seven) again = Less(p, thousands)", 0, 572),
    "and as before": (ADD, "g = Less(k1, ten) again = And(g, c)", 0, 10),
    "a million": (ADD, "again = Less(k1, million)", 0, 1_000_000),
    "false at once": (ADD, "again = Less(k1, one)", 0, 1),
    "as floats": (ADD, "f = Cast <to = 1> (k1) t = Cast <to = 1> (ten) again = Less(f, t)", 0, 10),
    "below a fraction": (ADD, "f = Cast <to = 1> (k1) half = Constant <value_float = 7.5> () again = Less(f, half)", 0, 8),
    "as halves, and whole again": (ADD, "f = Cast <to = 10> (k1) n = Cast <to = 7> (f) again = Less(n, ten)", 0, 10),
    "to the last number that a float counts": (
        ADD,
        f"f = Cast <to = 1> (k1) t = Constant <value_float = {2**24}.0> () again = Less(f, t)",
        2**24 - 3,
        3,
    ),
}
LIMITS = "int64 one = {1}, int64 seven = {7}, int64 ten = {10}, int64 thousands = {4000}, int64 million = {1000000}"


@pytest.mark.parametrize(("counter", "condition", "start", "trips"), CONDITIONS.values(), ids=CONDITIONS.keys())
def test_counted(counter: str, condition: str, start: int, trips: int) -> None:
    text = f"""(float[2,4] x) => (float y) <int64 most = {{{2**63 - 1}}}, bool go = {{1}}, int64 k0 = {{{start}}}, {LIMITS}> {{
        y, last = Loop (most, go, x, k0) <body = b (int64 i, bool c, float[2,4] a, int64 k)
            => (bool again, float[2,4] o, int64 k1) {{ o = MatMul(a, w) {counter} {condition} }}> }}"""
    report = onnxcost.estimate(model(text, w=(4, 4)))
    assert (report.macs, report.parameters, report.complete) == (32 * trips, 16, True)


NUMBERS = ("INT8", "UINT8", "INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64", "FLOAT16", "BFLOAT16", "FLOAT", "DOUBLE")


@pytest.mark.parametrize("dtype", NUMBERS)
def test_counted_in_each_type(dtype: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loops, "UNROLLED", 0)
    code = TensorProto.DataType.Value(dtype)
    text = f"""(float[2,4] x) => (float y) <bool go = {{1}}, int64 k0 = {{0}}, {LIMITS}> {{ t = Cast <to = {code}> (ten)
        y, last = Loop (, go, x, k0) <body = b (int64 i, bool c, float[2,4] a, int64 k)
            => (bool again, float[2,4] o, int64 k1) {{
                o = MatMul(a, w) {ADD} f = Cast <to = {code}> (k1) again = Less(f, t) }}> }}"""
    report = onnxcost.estimate(model(text, w=(4, 4)))
    assert (report.macs, report.complete) == (32 * 10, True)


@pytest.mark.parametrize(("dtype", "most"), [("FLOAT16", 2**11), ("BFLOAT16", 2**8), ("FLOAT", 2**24), ("DOUBLE", 2**53)])
@pytest.mark.parametrize(("more", "trips"), [(0, 3), (2, 1)], ids=["the last one", "too large"])
def test_whole_numbers_of_floats(dtype: str, most: int, more: int, trips: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to this number a type of floats has all of them; where a counter gets beyond it, the loop counts as one iteration."""
    monkeypatch.setattr(loops, "UNROLLED", 0)
    code, limits = TensorProto.DataType.Value(dtype), f"int64 k0 = {{{most - 3}}}, int64 end = {{{most + more}}}, {LIMITS}"
    text = f"""(float[2,4] x) => (float y) <bool go = {{1}}, {limits}> {{
        t = Cast <to = {code}> (end) f0 = Cast <to = {code}> (k0) n = Cast <to = {code}> (one)
        y, last = Loop (, go, x, f0) <body = b (int64 i, bool c, float[2,4] a, {dtype.lower()} k)
            => (bool again, float[2,4] o, {dtype.lower()} k1) {{ o = MatMul(a, w) k1 = Add(k, n) again = Less(k1, t) }}> }}"""
    report = onnxcost.estimate(model(text, w=(4, 4)))
    assert (report.macs, report.complete) == (32 * trips, more == 0)


@pytest.mark.parametrize(
    ("condition", "trips"),
    [("m = Mod(k1, seven) again = Cast <to = 9> (m)", 7), ("again = Less(k1, given)", 1), ("again = Greater(k1, k)", 1)],
    ids=["one that is followed to its end", "one that an input decides", "one that never ends"],
)
def test_not_counted(condition: str, trips: int) -> None:
    text = f"""(float[2,4] x, int64 given) => (float y) <bool go = {{1}}, int64 k0 = {{0}}, {LIMITS}> {{
        y, last = Loop (, go, x, k0) <body = b (int64 i, bool c, float[2,4] a, int64 k)
            => (bool again, float[2,4] o, int64 k1) {{ o = MatMul(a, w) k1 = Add(k, one) {condition} }}> }}"""
    report = onnxcost.estimate(model(text, w=(4, 4)))
    assert (report.macs, report.complete) == (32 * trips, trips > 1)
    assert ("--value given=" in "".join(caveat.text for caveat in report.caveats)) == ("given" in condition)


@pytest.mark.parametrize(
    ("kind", "start", "step", "trips"),
    [("float", 0.0, 1.0, 10), ("double", -5.0, 3.0, 5), ("float", 9.5, 0.5, 1), ("float", 0.0, 2.5, 4)],
)
def test_counters_that_are_floats(kind: str, start: float, step: float, trips: int) -> None:
    text = f"""(float[2,4] x) => (float y) <bool go = {{1}}, {kind} k0 = {{{start}}}, {kind} step = {{{step}}},
        {kind} ten = {{10.0}}> {{ y, last = Loop (, go, x, k0) <body = b (int64 i, bool c, float[2,4] a, {kind} k)
            => (bool again, float[2,4] o, {kind} k1) {{ o = MatMul(a, w) k1 = Add(k, step) again = Less(k1, ten) }}> }}"""
    report = onnxcost.estimate(model(text, w=(4, 4)))
    assert (report.macs, report.complete) == (32 * trips, True)


def test_an_input_that_decides_how_often_a_loop_runs_is_named() -> None:
    text = """(float[2,4] x, int64 n) => (float y) { y = Loop (n, , x) <body = b (int64 i, bool c, float[2,4] a)
        => (bool again, float[2,4] o) { again = Identity(c) o = MatMul(a, w) }> }"""
    report = onnxcost.estimate(model(text, w=(4, 4)))
    assert "--value n=N sets it" in report.caveats[0].text
    assert onnxcost.estimate(model(text, w=(4, 4)), values={"n": 3}).macs == 3 * 32
