"""Each rule on a small graph: as many of each operator run as onnxruntime's own optimised graph has.

A row with numbers is known to differ: so many more of an operator run after us. The comment says what onnxruntime does.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import pytest

from tests.modeltext import graph_of, model
from tests.ort_optimizer.oracle import list_weights, surplus, why_not

MICROSOFT = ', "com.microsoft" : 1'
NUMBERS = """float scale = {0.125}, float one = {1}, float half = {0.5}, float two = {2}, float three = {3},
 float small = {0.00001}, float root = {1.4142135381698608}, float inverse = {0.7071067690849304},
 float pi = {0.7978845834732056}, float cubic = {0.044714998453855515}, float[1] eighth = {0.125}, float nothing = {0},
 float[4] twice = {1, 1, 2, 2}, float[4] more = {1, 1, 1.5, 1.5}, int64[8] pads = {0, 0, 1, 1, 0, 0, 1, 1},
 int64[1] first = {0}, int64[1] last = {-1}, int64[1] middle = {16}, int64[1] end = {32}"""
FILTER = (32, 32, 1, 1)
IMAGE: dict[str, tuple[int, ...]] = {
    **{"w": FILTER, "w1": FILTER, "w2": FILTER, "deep": (32, 1, 1, 1), "odd": (38, 32, 1, 1)},
    **{"halves": (32, 16, 1, 1), "narrow": (32, 8, 1, 1), "c": (32, 1, 1), "b": (32,), "wide": (8,), "high": (8, 1)},
}  # fmt: skip
ROWS: dict[str, tuple[int, ...]] = {"w": (32, 32), "b": (32,)}
GELU = "t = Div(x, root) u = Erf(t) v = Add(u, one)"
ENLARGED = {"Resize": -1, "Resize in blocks": 1}
TANH = "a = Pow(x, three) k = Mul(a, cubic) d = Add(x, k) e = Mul(d, pi) f = Tanh(e)"
GELU_TIMES = "t = Mul(x, inverse) u = Erf(t) v = Add(u, one)"
SQUARES = "k = Pow(x, two) v = ReduceMean(k, last) e = Add(v, small) q = Sqrt(e)"
MEAN = "m = ReduceMean(x, {0}) d = Sub(x, m) k = Pow(d, two) v = ReduceMean(k, {0}) e = Add(v, small) q = Sqrt(e) n = Div(d, q)"
TURN, BOTH = "Transpose<perm = [0, 2, 3, 1]>(t)", "k = Flatten(u) l = Flatten(v) y = Add(k, l)"
UP = "t = Conv(x, w) y = Resize<mode = "
PLAINLY = (
    *("Mul(u, scale)", "Mul(scale, u)", "Mul(u, eighth)", "Mul(u, wide)", "Mul(u, high)", "Add(u, scale)", "Add(u, wide)"),
    *("Sub(u, c)", "Div(u, scale)"),
)
FLOOR = '"nearest", coordinate_transformation_mode = "asymmetric", nearest_mode = "floor"'


Surplus = Mapping[str, int]


def alike(*bodies: str) -> Iterator[tuple[str, Surplus]]:
    yield from ((body, {}) for body in bodies)


def check(inputs: str, body: str, weights: Mapping[str, tuple[int, ...]], expected: Surplus) -> None:
    """The last value is not the model's output, which keeps onnxruntime from some of its rules."""
    if reason := why_not():
        pytest.skip(reason)
    text = f"({inputs}) => (float z) <{NUMBERS}> {{ {body} z = Neg(y) }}"
    made = model(text, opset=18, domains=MICROSOFT, **weights)
    assert surplus(graph_of(made), made.SerializeToString()) == expected


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike(
            "t = Conv(x, w) u = BatchNormalization(t, b, b, b, b) v = Mul(u, c) k = Add(v, c) y = Relu(k)",
            "t = Conv(x, w) y = Mul(t, scale)",
            "t = Conv(x, w) y = Clip(t)",
            "t = Conv(x, w) y = HardSwish(t)",
            "t = Conv(x, w) y = LeakyRelu(t)",
            "t = Conv(x, w) y = Elu(t)",
            # Nothing is divided by, or subtracted.
            "t = Conv(x, w) y = Div(t, c)",
            "t = Conv(x, w) y = Sub(t, c)",
            "t = Conv(x, w) y = Div(t, scale)",
            "t = Conv(x, w) u = Relu(t) y = Relu(u)",
            "t = Conv(x, w) u = Relu(t) y = Add(u, t)",
            "t = Conv(x, w) y = Add(t, x)",
            # Only one sum, of the same dims.
            "t = Conv(x, w) u = Neg(x) v = Add(t, u) y = Add(v, x)",
            "t = Conv(x, w) k = Neg(x) u = GlobalAveragePool(k) y = Add(t, u)",
            "t = Conv(x, w) u = GlobalMaxPool(x) y = Sum(t, u, x)",
            "t = Conv(x, w) u = Conv(t, w1) y = Sum(t, u)",
            "t = Conv(x, w) u = Conv(t, w1) v = Add(t, u) y = Relu(v)",
            "t = Conv(x, w) u = Sigmoid(t) y = Mul(t, u)",
            "t = Conv(x, w) u = Sigmoid(t) y = Mul(u, x)",
            "t = Conv<group = 4>(x, narrow) u = Mul(t, c) v = Add(u, c) y = Sigmoid(v)",
            # In the plain layout a sum is none of it.
            "t = Conv<group = 4>(x, narrow) u = Add(t, x) y = Relu(u)",
            "t = Conv<group = 4>(x, narrow) y = HardSwish(t)",
            # But where there is a bias.
            "t = Conv<group = 4>(x, narrow, b) u = Add(t, x) y = Relu(u)",
            "t = Conv<group = 4>(x, narrow, b) u = Add(t, x) y = HardSwish(u)",
            "t = Conv<group = 4>(x, narrow, b) u = Sum(t, x) y = Relu(u)",
            "t = Conv<group = 4>(x, narrow) k = BatchNormalization(t, b, b, b, b) y = Add(x, k)",
            "t = BatchNormalization(x, b, b, b, b) y = Relu(t)",
            "t = Conv<group = 4>(x, narrow) u = Conv<group = 4>(t, narrow) v = Add(t, u) y = Relu(v)",
            "t = Cast<to = 1>(x) u = Conv(t, w) y = Cast<to = 1>(u)",
            "t = ConvTranspose(x, w) y = BatchNormalization(t, b, b, b, b)",
            "t = ConvTranspose(x, w) y = Add(t, c)",
            "t = Pad(x, pads) y = Conv(t, w)",
            "t = Pad(x, pads, nothing) y = Conv(t, w)",
            "t = Pad(x, pads, one) y = Conv(t, w)",
            "k = ReduceMax<keepdims = 0>(x) t = Pad(x, pads, k) y = Conv(t, w)",
            'k = ReduceMax<keepdims = 0>(x) t = Pad<mode = "reflect">(x, pads, nothing) u = Conv(t, w) y = Add(u, k)',
            "t = Pad(x, pads) y = MaxPool<kernel_shape = [2, 2]>(t)",
            "t = Pad(x, pads) u = Conv(t, w) v = Conv(t, w1) y = Add(u, v)",
        ),
        # Of numbers only one without any dim is multiplied into the weights.
        ("t = Conv(x, w) y = Mul(t, eighth)", {"Mul": -1}),
        # A constant has to come second.
        ("t = Conv(x, w) y = Mul(c, t)", {"Conv in blocks": -1}),
        ("t = Conv(x, w) y = Add(c, t)", {"Add": -1}),
        # Behind a sum only Relu, Sigmoid and Tanh are taken in.
        ("t = Conv(x, w) u = Conv(t, w1) v = Add(t, u) y = Clip(v)", {"Clip": -1}),
        # Only zeros are a part of a convolution, or of a mean.
        ('t = Pad<mode = "reflect">(x, pads) y = Conv(t, w)', {}),
        ("t = Pad(x, pads, scale) y = Conv(t, w)", {}),
        ("t = Pad(x, pads) y = AveragePool<kernel_shape = [2, 2]>(t)", {"Pad": 1}),
        # The Clip runs, with another bound.
        ("t = Relu(x) y = Clip(t)", {"Clip": -1, "Relu": 1}),
    ],
)
def test_what_a_convolution_takes_in(body: str, expected: Surplus) -> None:
    check("float[1,32,8,8] x", body, IMAGE, expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike(
            "t = Conv(x, w) u = Relu(t) v = Mul(u, c) y = Conv(v, w1)",
            "t = Conv(x, w) u = Relu(t) v = Add(u, c) y = Conv(v, w1)",
            "t = Conv(x, w) u = Relu(t) v = BatchNormalization(u, b, b, b, b) y = Relu(v)",
            "t = Conv(x, w) y = MaxPool<kernel_shape = [2, 2]>(t)",
            "t = Neg(x) y = MaxPool<kernel_shape = [2, 2]>(t)",
            "t = Conv(x, w) u = GlobalAveragePool(t) v = Conv(u, w1) k = Sigmoid(v) l = Mul(t, k) y = Conv(l, w2)",
            "t = Conv(x, w) u = Conv(t, w1) y = Concat<axis = 1>(t, u)",
            "t = Conv(x, w) y = Concat<axis = 2>(t, t)",
            "t = Conv(x, w) y = Concat<axis = 1>(t, x)",
            "t = Conv(x, w) y = Transpose<perm = [0, 2, 3, 1]>(t)",
            "t = Conv(x, w) y = Transpose<perm = [0, 3, 1, 2]>(t)",
            "t = Neg(x) u = Conv<group = 32>(t, deep) y = Add(u, t)",
            "y = Conv(x, odd)",
            "t = Conv<group = 2>(x, halves) y = Relu(t)",
            "t = Neg(w) y = Conv(x, t)",
            f"{UP}{FLOOR}>(t, , twice)",
            f'{UP}"linear">(t, , twice)',
            # A global pool that reads the plain layout stays there, but for the model's input.
            *(
                f"{before} y = Global{pool}Pool({read})"
                for before, read in (("t = Neg(x)", "t"), ("t = Conv(x, w)", "t"), ("", "x"), ("t = Identity(x)", "t"))
                for pool in ("Average", "Max")
            ),
            "t = Neg(x) u = Conv(t, w) v = GlobalAveragePool(t) y = Add(u, v)",
            "t = Conv(x, w) u = Erf(t) v = GlobalAveragePool(t) y = Mul(u, v)",
            "t = Conv(x, w) u = com.microsoft.Gelu(t) y = Conv(u, w1)",
            "t = Conv(x, w) u = com.microsoft.QuickGelu(t) y = Conv(u, w1)",
            "t = Conv(x, w) u = com.microsoft.FastGelu(t) y = Conv(u, w1)",
            "t = Conv(x, w) k = Mul(t, scale) l = Sigmoid(k) u = Mul(t, l) y = Conv(u, w1)",
            "t = Conv(x, w) u = HardSigmoid(t) v = Mul(t, u) y = Conv(v, w1)",
            # Constants that are no number a channel: of no dim, of one, of two.
            *(f"t = Conv(x, w) u = Relu(t) v = {line} y = Conv(v, w1)" for line in PLAINLY),
        ),
        # What scales channels may come first.
        (
            "t = Conv(x, w) u = Relu(t) v = Mul(c, u) y = Conv(v, w1)",
            {"Conv in blocks": -1, "Mul": 1, "Reorder": 2},
        ),
        # What leaves the blocks with its channels last is reordered once more for who reads the plain layout.
        (f"t = Conv(x, w) u = Erf(t) v = {TURN} {BOTH}", {"Reorder": -1}),
        (f"t = Conv(x, w) v = {TURN} u = Erf(t) {BOTH}", {"Reorder": -1}),
        # Blocks are enlarged by whole factors alone, and the nearest pixel is found by rounding down.
        (f'{UP}"nearest">(t, , twice)', ENLARGED),
        (f'{UP}"linear">(t, , more)', ENLARGED),
        (f'{UP}"cubic">(t, , twice)', ENLARGED),
    ],
)
def test_what_works_on_blocks(body: str, expected: Surplus) -> None:
    check("float[1,32,8,8] x", body, IMAGE, expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike(
            "y = Conv(u, w)",
            "v = Conv(u, w) k = Transpose<perm = [0, 2, 3, 1]>(v) y = Softmax(k)",
            "v = Conv<group = 32>(u, deep) k = Transpose<perm = [0, 2, 3, 1]>(v) y = Add(k, t)",
            "y = MaxPool<kernel_shape = [2, 2]>(u)",
            "y = GlobalAveragePool(u)",
        ),
        # The Transpose runs yet where another one reads it.
        ("v = Conv<group = 32>(u, deep) y = Add(u, v)", {"Transpose": -1}),
    ],
)
def test_where_channels_come_last(body: str, expected: Surplus) -> None:
    check("float[1,8,8,32] x", f"t = Neg(x) u = Transpose<perm = [0, 3, 1, 2]>(t) {body}", IMAGE, expected)


@pytest.mark.parametrize("dims", ["2,8,32", "N,8,32", "2,4,8,32"])
@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike(
            "t = MatMul(x, w) y = Add(t, b)",
            "t = MatMul(x, w) y = Add(b, t)",
            "t = MatMul(x, w) u = Add(t, b) y = Relu(u)",
            "t = MatMul(x, w) y = Relu(t)",
            "t = MatMul(x, w) y = Mul(t, scale)",
            "t = MatMul(x, w) y = Div(t, scale)",
            "t = MatMul(x, w) y = Mul(t, b)",
            "t = Mul(x, scale) y = MatMul(t, w)",
            "t = Div(x, scale) y = MatMul(t, w)",
            "t = Add(x, scale) y = MatMul(t, w)",
            "t = Neg(x) u = Add(t, x) v = LayerNormalization(u, b, b) y = Add(u, v)",
            "t = MatMul(x, w) u = Add(t, b) y = com.microsoft.Gelu(u)",
            "t = Add(b, x) y = com.microsoft.Gelu(t)",
            f"{GELU} k = Mul(x, v) y = Mul(k, half)",
            f"{GELU} k = Mul(x, v) h = Mul(k, half) n = Neg(x) y = Add(h, n)",
            f"{TANH} g = Add(f, one) h = Mul(x, half) y = Mul(h, g)",
            f"{MEAN.format('last')} g = Mul(n, b) y = Add(g, b)",
            f"{MEAN.format('first')} g = Mul(n, b) y = Add(g, b)",
            # Of the root of the mean square, divided by or inverted, and only where it is scaled then.
            f"{SQUARES} r = Div(one, q) n = Mul(x, r) y = Mul(n, b)",
            f"{SQUARES} r = Div(one, q) n = Mul(x, r) k1 = Mul(n, b) y = Mul(k1, b)",
            f"{SQUARES} n = Div(x, q) y = Mul(n, b)",
            f"{SQUARES} n = Div(x, q) k1 = Mul(n, b) y = Mul(k1, b)",
            f"{SQUARES} n = Div(x, q) y = Mul(n, n)",
            f"{SQUARES} n = Div(x, q) y = Mul(n, x)",
            f"{SQUARES} r = Reciprocal(q) n = Mul(x, r) y = Mul(n, b)",
            # A QuickGelu may have a factor: one number.
            "t = Mul(x, scale) u = Sigmoid(t) y = Mul(x, u)",
            "t = Mul(x, eighth) u = Sigmoid(t) y = Mul(u, x)",
            "t = Mul(x, scale) u = Sigmoid(t) y = Mul(u, t)",
            "t = Mul(x, scale) u = Sigmoid(t) v = Mul(u, x) y = Add(v, t)",
            "t = Mul(x, b) u = Sigmoid(t) y = Mul(u, x)",
            "t = Mul(x, x) u = Sigmoid(t) y = Mul(u, x)",
            # No beginning of any.
            "t = Mul(x, scale) y = Mul(t, x)",
            "t = Div(x, scale) y = Mul(t, x)",
            # The root has to be divided by.
            f"{GELU_TIMES} k = Mul(x, v) y = Mul(k, half)",
            "t = Cast<to = 1>(x) y = Neg(t)",
            "t = Sigmoid(x) y = Mul(x, t)",
            "t = Identity(x) u = Neg(b) y = Add(t, u)",
            "t = Add(x, b) y = LayerNormalization(t, b, b)",
            "t = Neg(x) u = Add(t, x) y = SimplifiedLayerNormalization(u, b)",
            # Slices of all are one Split.
            "t = Slice(x, first, middle, last) u = Slice(x, middle, end, last) y = Add(t, u)",
            "t = Shape(x) y = Reshape(x, t)",
            "y = HardSwish(x)",
        ),
        # Only what is divided by the number.
        ("t = MatMul(x, w) y = Div(scale, t)", {"Div": -1}),
        ("t = Div(scale, x) y = MatMul(t, w)", {"Div": -1}),
        # The half may come first.
        (f"{GELU} k = Mul(x, half) y = Mul(k, v)", {"Gelu": -1, "Div": 1, "Erf": 1, "Add": 1, "Mul": 2}),
        # What is the same divided by the root.
        (f"{SQUARES} r = Div(one, q) y = Mul(x, r)", {"Mul": 1}),
        # What is worked out twice alike is not worked out again.
        ("t = Neg(x) u = Neg(x) y = Add(t, u)", {"Neg": 1}),
    ],
)
def test_on_rows(body: str, expected: Surplus, dims: str) -> None:
    check(f"float[{dims}] x", body, ROWS, expected)


@pytest.mark.parametrize("dims", ["2,8,32", "N,8,32", "8,32", "2,4,8,32"])
@pytest.mark.parametrize(
    "body",
    [
        "t = Neg(x) u = Add(t, x) y = LayerNormalization(u, b, b)",
        "t = MatMul(x, w) u = Add(t, b) v = Add(u, x) y = LayerNormalization(v, b, b)",
    ],
)
def test_a_sum_is_normalized_with_it(body: str, dims: str) -> None:
    """Where it has three dims."""
    check(f"float[{dims}] x", body, ROWS, {})


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike(
            *(
                f"t = Gemm(x, w, b) y = {activation}(t)"
                for activation in (
                    *("Relu", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "Elu", "Selu", "Softplus", "Softsign"),
                    *("ThresholdedRelu", "HardSwish", "Clip", "Erf"),
                )
            ),
            "t = Gemm(x, w, b) y = Add(t, b)",
            "t = MatMul(x, w) y = Add(t, b)",
            "t = MatMul(x, w) u = Add(t, b) y = LayerNormalization(u, b, b)",
        ),
        # Both are a Gemm, which takes the Relu in.
        ("t = MatMul(x, w) u = Add(t, b) y = Relu(u)", {"Relu": 1}),
        # A number alone is no bias.
        ("t = MatMul(x, w) y = Add(t, scale)", {}),
    ],
)
def test_fully_connected_layers(body: str, expected: Surplus) -> None:
    check("float[4,32] x", body, ROWS, expected)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        *alike(
            "k = Transpose<perm = [0, 2, 1]>(other) y = MatMul(x, k)",
            "k = Transpose<perm = [0, 2, 1]>(other) t = MatMul(x, k) u = Div(t, scale) y = Softmax(u)",
            "k = Transpose<perm = [0, 2, 1]>(other) t = MatMul(x, k) u = Add(t, scale) y = Softmax(u)",
            "t = Mul(x, scale) u = Div(other, scale) y = MatMul(t, u)",
            "t = Transpose<perm = [1, 0, 2]>(x) y = MatMul(t, w)",
            "t = Transpose<perm = [0, 2, 1]>(x) u = MatMul(t, w) y = Add(u, b)",
            "u = Add(x, other) y = LayerNormalization(u, b, b)",
            "k = ReduceMax(other, first) u = Add(x, k) y = LayerNormalization(u, b, b)",
            "k = ReduceMax(other, last) u = Add(k, x) y = LayerNormalization(u, b, b)",
            "k = Transpose<perm = [0, 2, 1]>(other) t = Mul(k, scale) y = MatMul(x, t)",
            # The batch may be moved with it, or alone, but no other dim.
            "k = Transpose<perm = [1, 0, 2]>(other) l = Transpose<perm = [1, 2, 0]>(x) y = MatMul(k, l)",
            "k = Transpose<perm = [2, 0, 1]>(other) l = Transpose<perm = [2, 1, 0]>(x) y = MatMul(k, l)",
        ),
        # Transposed and scaled, it is a part of the product; so it is of one with weights and no bias.
        ("t = Mul(other, scale) k = Transpose<perm = [0, 2, 1]>(t) y = MatMul(x, k)", {"Mul": 1}),
        ("t = Transpose<perm = [0, 2, 1]>(x) y = MatMul(t, w)", {"Transpose": 1}),
    ],
)
def test_products_of_two_values(body: str, expected: Surplus) -> None:
    check("float[4,32,32] x, float[4,32,32] other", body, ROWS, expected)


@pytest.mark.parametrize(
    "body",
    [
        f"{SQUARES} r = Div(one, q) n = Mul(x, r) y = Mul(n, g)",
        f"{SQUARES} r = Div(one, q) n = Mul(x, r) k1 = Neg(g) y = Mul(n, k1)",
        "t = MatMul(x, m) y = Add(t, b)",
        "t = MatMul(x, m) y = Add(t, g)",
        "t = Conv(image, w4) y = Mul(t, g)",
        "t = Transpose<perm = [0, 2, 1]>(square) u = MatMul(t, m) y = Add(u, b)",
        "t = Transpose<perm = [1, 0]>(m) y = MatMul(t, m)",
        "t = Transpose<perm = [1, 0]>(m) y = MatMul(x, t)",
        "t = Transpose<perm = [1, 0]>(m) y = MatMul(t, w)",
        "t = Transpose<perm = [1, 0]>(m) u = MatMul(t, w) y = Add(u, b)",
    ],
)
def test_weights_that_are_inputs(body: str) -> None:
    inputs = "float[2,8,32] x, float[32] g, float[32,32] m, float[1,3,8,32] image, float[2,32,32] square"
    check(inputs, body, ROWS | {"w4": (4, 3, 1, 1)}, {})


@pytest.mark.parametrize(
    ("dims", "body"),
    [
        *(
            ("1,32,8,8", f"t = Conv(x, w) {after}")
            for after in (
                *(
                    "y = Neg(t)",
                    "y = Conv(t, w1, b)",
                    "y = BatchNormalization(t, b, b, b, b)",
                    "y = Mul(t, c)",
                    "y = Add(t, c)",
                    "y = Relu(t)",
                ),
                *("y = Clip(t)", "y = HardSwish(t)", "u = Conv(t, w1) y = Add(t, u)", "y = Mul(t, scale)"),
                *("k = BatchNormalization(t, b, b, b, b) y = Relu(k)", "k = Conv(t, w, b) u = Add(t, k) y = Relu(u)"),
            )
        ),
        *(
            ("1,32,8,8", body)
            for body in (
                "t = Pad(x, pads) y = Conv(t, w)",
                "t = Neg(w) y = Conv(x, t)",
                "t = ConvTranspose(x, w) y = Mul(t, c)",
            )
        ),
        *(
            ("4,8,32", body)
            for body in (
                *("y = MatMul(x, w)", "t = MatMul(x, w) y = Add(t, b)", "t = MatMul(x, w) y = Mul(t, scale)"),
                *("t = Transpose<perm = [1, 0]>(w) y = MatMul(x, t)", "t = Add(b, b) y = Add(x, t)"),
                *("t = Neg(x) u = Add(t, x) y = LayerNormalization(u, b, b)", f"{SQUARES} n = Div(x, q) y = Mul(n, b)"),
                *(f"{GELU} k = Mul(x, v) y = Mul(k, half)", f"{TANH} g = Add(f, one) h = Mul(x, half) y = Mul(h, g)"),
                f"{MEAN.format('last')} g = Mul(n, b) y = Add(g, b)",
            )
        ),
        *(("4,32", body) for body in ("t = MatMul(x, w) y = Add(t, b)", "t = Gemm(x, w, b) y = Relu(t)")),
    ],
)
def test_weights_that_a_caller_may_override(dims: str, body: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    text = f"(float[{dims}] x) => (float z) <{NUMBERS}> {{ {body} z = Neg(y) }}"
    made = list_weights(model(text, opset=18, domains=MICROSOFT, **(IMAGE if dims == "1,32,8,8" else ROWS)))
    assert surplus(graph_of(made), made.SerializeToString()) == {}


@pytest.mark.parametrize("added", ["c", "row", "column", "single", "number", "other"])
def test_which_sums_of_values_a_product_takes_in(added: str) -> None:
    """Both operands, and what is added, are values: MatMulAddFusion needs no constants."""
    values = "float[4,32] x, float[32,16] w, float[16] c, float[1,16] row, float[4,1] column, float[1,1] single, float number"
    check(f"{values}, float[4,16] other", f"t = MatMul(x, w) y = Add(t, {added})", {}, {})


@pytest.mark.parametrize(
    "body",
    [
        "t = NonZero(b) u = Cast<to = 1>(t) v = ReduceSum<keepdims = 0>(u) y = Add(x, v)",
        "k = Cast<to = 9>(b) t = Compress(b, k) v = ReduceSum<keepdims = 0>(t) y = Add(x, v)",
        "t = NonZero(b) u = Shape(t) v = Cast<to = 1>(u) w1 = ReduceMax<keepdims = 0>(v) y = Add(x, w1)",
        "t = NonZero(x) u = Shape(t) v = Cast<to = 1>(u) w1 = ReduceMax<keepdims = 0>(v) y = Add(x, w1)",
        # The lengths of these are known from their inputs.
        "t, k = TopK(b, middle) v = ReduceSum<keepdims = 0>(t) y = Add(x, v)",
        "t = CumSum(b, first) y = Add(x, t)",
    ],
)
def test_constants_of_a_length_that_values_decide_are_not_computed_before(body: str) -> None:
    check("float[4,32] x", body, ROWS, {})
