"""Quantized operators: as many of each run as in onnxruntime's own optimised graph.

A row with numbers is known to differ: so many more of an operator run after us.

``QDQ(t)`` stands for a QuantizeLinear and a DequantizeLinear, ``QDQ0(t)`` for those whose lowest number is 0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import pytest

from tests.modeltext import graph_of, model
from tests.ort_optimizer.oracle import surplus, why_not

MICROSOFT = ', "com.microsoft" : 1'
"""As the quantizers of onnxruntime write it; without it fewer operators run on integers."""
LOWEST = {"uint8": (128, 0), "int8": (0, -128)}
"""Zero points: of numbers around 0, and of those above it."""
WEIGHTS = ",".join(str(index % 7 - 3) for index in range(256))
CONSTANTS = f"""float s = {{0.1}}, float sw = {{0.05}}, float sb = {{0.005}}, int8 zw = {{0}}, int32 zb = {{0}},
 int32[16] kb = {{{",".join(["3"] * 16)}}}, float low = {{0}}, float high = {{6}}, float[4] twice = {{1, 1, 2, 2}}"""
STORED = {"w": "k, sw, zw", "v": "k, sw, zw", "b": "kb, sb, zb"}
KEPT = {"DequantizeLinear": 1, "QuantizeLinear": 1}
FLOAT_CONV = {"Conv": 1, "DequantizeLinear": 2, "QLinearConv": -1, "QuantizeLinear": 1}
FLOATS = {"MatMul": 1, "DequantizeLinear": 2}
DYNAMIC = "m = ReduceMax<keepdims = 0>(x) d_ = QuantizeLinear(a, m, z) d = DequantizeLinear(d_, m, z)"
THEN_CONV = "e = QDQ(d) f = Conv(e, v) y = QDQ(f)"


Surplus = Mapping[str, int]


def alike(*bodies: str) -> Iterator[tuple[str, Surplus]]:
    yield from ((body, {}) for body in bodies)


def check(dims: str, filters: str, body: str, dtype: str, expected: Surplus) -> None:
    """The input is quantized as ``a``."""
    if reason := why_not():
        pytest.skip(reason)
    read = "".join(f"{name} = DequantizeLinear({of}) " for name, of in STORED.items() if re.search(rf"\b{name}\b", body))
    middle, lowest = LOWEST[dtype]
    constants = f"{CONSTANTS}, {dtype} z = {{{middle}}}, {dtype} z0 = {{{lowest}}}, int8[{filters}] k = {{{WEIGHTS}}}"
    pair = r"\1_ = QuantizeLinear(\3, s, z\2) \1 = DequantizeLinear(\1_, s, z\2)"
    pairs = re.sub(r"(\w+) = QDQ(0?)\((\w+)\)", pair, f"a = QDQ(x) {body}")
    made = model(f"(float[{dims}] x) => (float z9) <{constants}> {{ {read} {pairs} z9 = Neg(y) }}", opset=18, domains=MICROSOFT)
    assert surplus(graph_of(made), made.SerializeToString()) == expected


@pytest.mark.parametrize("dtype", LOWEST)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike(
            "t = Conv(a, w) y = QDQ(t)",
            "t = Conv(a, w, b) u = Relu(t) y = QDQ0(u)",
            "y = Conv(a, w)",
            "t = Conv(a, w) c = QDQ(t) d = Conv(c, v) y = QDQ(d)",
            f"t = Conv(a, w) c = QDQ(t) d = MaxPool<kernel_shape = [2, 2]>(c) {THEN_CONV}",
            f"t = Conv(a, w) c = QDQ(t) d = AveragePool<kernel_shape = [2, 2]>(c) {THEN_CONV}",
            f"t = Conv(a, w) c = QDQ(t) d = GlobalAveragePool(c) {THEN_CONV}",
            f"t = Conv(a, w) c = QDQ(t) d = Sigmoid(c) {THEN_CONV}",
            f"t = Conv(a, w) c = QDQ(t) d = LeakyRelu(c) {THEN_CONV}",
            f"t = Conv(a, w) c = QDQ(t) d = HardSigmoid(c) {THEN_CONV}",
            f"t = Conv(a, w) c = QDQ(t) d = HardSwish(c) {THEN_CONV}",
            f"t = Conv(a, w) c = QDQ(t) d = Tanh(c) {THEN_CONV}",
            f"t = Conv(a, w) c = QDQ(t) d = Clip(c, low, high) {THEN_CONV}",
            "t = Conv(a, w) c = QDQ(t) d = Flatten(c) y = QDQ(d)",
            # Scales that are not stored.
            f"{DYNAMIC} t = Conv(d, w) y = QDQ(t)",
            f"{DYNAMIC} t = Sigmoid(d) y = QDQ(t)",
            f"{DYNAMIC} t = Add(d, a) y = QDQ(t)",
            f"{DYNAMIC} t = Conv(a, w) q_ = QuantizeLinear(t, m, z) y = DequantizeLinear(q_, m, z)",
            f"{DYNAMIC} t = Conv(d, w, b) y = QDQ(t)",
        ),
        # Any operator of one value has its channels last between two convolutions.
        (f"t = Conv(a, w) c = QDQ(t) d = Erf(c) {THEN_CONV}", {"Transpose": 2}),
        # A Resize runs on integers.
        (f"t = Conv(a, w) c = QDQ(t) d = Resize(c, , twice) {THEN_CONV}", {**KEPT, "Transpose": 2}),
        ("d = Resize(a, , twice) y = QDQ(d)", KEPT),
        # This is how it lies already.
        ("t = Conv(a, w) c = QDQ(t) d = Transpose<perm = [0, 2, 3, 1]>(c) y = QDQ(d)", {"Transpose": 1}),
        # What only moves or picks values hands the conversion on to what reads it.
        (
            "d = MaxPool<kernel_shape = [2, 2]>(a) t = Conv(d, w) y = QDQ(t)",
            {
                **FLOAT_CONV,
                "MaxPool": -1,
                "MaxPool in blocks": 1,
                "Reorder": 2,
                "Transpose": -2,
            },
        ),
        # A Relu alone runs on floats, or is none where nothing is below 0: that depends on the zero point.
        ("t = Conv(a, w) c = QDQ(t) d = Relu(c) y = QDQ(d)", {"DequantizeLinear": -1, "QuantizeLinear": -1}),
        ("t = Conv(a, w) c = QDQ0(t) d = Relu(c) y = QDQ0(d)", {"Relu": 1}),
    ],
)
def test_around_convolutions(body: str, expected: Surplus, dtype: str) -> None:
    check("1,16,8,8", "16,16,1,1", body, dtype, expected)


@pytest.mark.parametrize(("dtype", "code"), [("uint8", 2), ("int8", 3)])
@pytest.mark.parametrize("node", ["Conv(d, w)", "Sigmoid(d)", "Add(d, a)"])
def test_a_zero_point_that_is_not_stored(node: str, dtype: str, code: int) -> None:
    """Signed numbers become unsigned only with one that is stored, and few operators run on signed ones."""
    made = (
        f"m = ReduceMax<keepdims = 0>(x) n = Cast<to = {code}>(m) d_ = QuantizeLinear(a, s, n) d = DequantizeLinear(d_, s, n)"
    )
    check("1,16,8,8", "16,16,1,1", f"{made} t = {node} y = QDQ(t)", dtype, {})


@pytest.mark.parametrize(
    ("body", "unsigned", "signed"),
    [
        ("t = Conv(a, w) c = QDQ(t) d = Add(c, a) y = QDQ(d)", {}, {}),
        ("t = Conv(a, w) c = QDQ(t) d = Mul(c, a) y = QDQ(d)", {}, {}),
        ("t = Conv(a, w) c = QDQ(t) d = Concat<axis = 1>(c, c) y = QDQ(d)", {}, {}),
        ("t = Conv(a, w) c = QDQ(t) d = Conv(c, v) e = QDQ(d) f = Add(e, c) y = QDQ(f)", {}, {}),
        (f"t = Conv(a, w) c = QDQ(t) h = HardSigmoid(c) i = QDQ(h) d = Mul(c, i) {THEN_CONV}", {}, {}),
        # What runs on integers reads these, also where another operator reads floats.
        ("t = Conv(a, w) c = QDQ(t) d = Sub(c, a) y = QDQ(d)", {}, {}),
    ],
)
def test_what_two_read(body: str, unsigned: Surplus, signed: Surplus) -> None:
    """Each reader of int8 has a DequantizeLinear of its own."""
    check("1,16,8,8", "16,16,1,1", body, "uint8", unsigned)
    check("1,16,8,8", "16,16,1,1", body, "int8", signed)


@pytest.mark.parametrize("dtype", LOWEST)
@pytest.mark.parametrize("dims", ["4,16", "2,4,16"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike(
            "t = MatMul(a, w) y = QDQ(t)",
            f"{DYNAMIC} t = MatMul(d, w) y = QDQ(t)",
            "t = MatMul(a, w) u = Relu(t) y = QDQ0(u)",
            "t = MatMul(a, w) c = QDQ(t) d = Softmax(c) y = QDQ(d)",
            "t = MatMul(a, w) c = QDQ(t) d = Transpose(c) y = QDQ(d)",
            "t = MatMul(a, w) c = QDQ(t) d = Erf(c) y = QDQ(d)",
        ),
        # Both are a Gemm of integers.
        (
            "t = MatMul(a, w) u = Add(t, b) y = QDQ(u)",
            {**FLOATS, "DequantizeLinear": 3, "QLinearGemm": -1, "QuantizeLinear": 1},
        ),
        # A product of integers may make floats.
        ("t = MatMul(a, w) y = Sigmoid(t)", {**FLOATS, "MatMulInteger": -1}),
    ],
)
def test_products(body: str, expected: Surplus, dims: str, dtype: str) -> None:
    check(dims, "16,16", body, dtype, expected)


@pytest.mark.parametrize("dtype", LOWEST)
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike("t = Gemm(a, w, b) y = QDQ(t)", "t = Gemm(a, w, b) u = Relu(t) y = QDQ0(u)"),
        ("t = Gemm(a, w, b) y = Neg(t)", {**FLOATS, "DequantizeLinear": 3, "QLinearGemm": -1}),
    ],
)
def test_fully_connected_layers(body: str, expected: Surplus, dtype: str) -> None:
    check("4,16", "16,16", body, dtype, expected)


def test_int8_that_the_caller_gives() -> None:
    """It stays int8, and x86 has no convolution of that: it runs on floats."""
    if reason := why_not():
        pytest.skip(reason)
    text = f"""(int8[1,16,8,8] x) => (int8 y) <{CONSTANTS}, int8 z = {{0}}, int8[16,16,1,1] k = {{{WEIGHTS}}}> {{
        a = DequantizeLinear(x, s, z) w = DequantizeLinear(k, sw, zw) t = Conv(a, w) y = QuantizeLinear(t, s, z) }}"""
    made = model(text, opset=18, domains=MICROSOFT)
    expected = {**{name: -more for name, more in FLOAT_CONV.items()}, "Transpose": 1}
    assert surplus(graph_of(made), made.SerializeToString()) == expected


@pytest.mark.parametrize("dims", ["2,8,16", "N,8,16"])
@pytest.mark.parametrize("then", ["y = Mul(f, g)", "t = Mul(f, g) y = Add(t, b)", "t = Mul(f, g) u = Add(t, b) y = Relu(u)"])
def test_what_is_quantized_while_it_runs(then: str, dims: str) -> None:
    """The two scales are multiplied in the product, not before it."""
    if reason := why_not():
        pytest.skip(reason)
    text = f"""(float[{dims}] x) => (float z) <int8[16,16] w = {{{WEIGHTS}}}, int8 zero = {{0}}, float scale = {{0.1}}> {{
        a, s, p = DynamicQuantizeLinear(x) m = MatMulInteger(a, w, p, zero) f = Cast<to = 1>(m) g = Mul(s, scale)
        {then} z = Neg(y) }}"""
    made = model(text, opset=18, domains=MICROSOFT, b=(16,))
    assert surplus(graph_of(made), made.SerializeToString()) == {"Mul": 1}
