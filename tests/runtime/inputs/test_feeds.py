"""What inputs are fed with: it fits what the model does with them, so that onnxruntime runs, and it is what was asked for."""

from __future__ import annotations

import pickle
import re
from typing import Any

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper

from onnxcost import estimate
from onnxcost.errors import MeasurementError
from onnxcost.runtime.inputs.feeds import arrays, describe_inputs, feeds_of
from onnxcost.runtime.protocol import Feed
from tests.modeltext import model

CONTRIB = ', "com.microsoft" : 1'
BY_BITS = {"bfloat16": 16, "float8e4m3fn": 17, "float8e4m3fnuz": 18, "float8e5m2": 19, "float8e5m2fnuz": 20}


def feeds(proto: ModelProto, values: dict[str, Any] | None = None, **arguments: Any) -> tuple[Feed, ...]:
    graph = estimate(proto, values=values, **arguments).graph
    return pickle.loads(pickle.dumps(feeds_of(graph, values or {}, {})))


def run(proto: ModelProto, made: dict[str, Any]) -> Any:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, made)


def fed(proto: ModelProto, values: dict[str, Any] | None = None, **arguments: Any) -> dict[str, Any]:
    """The arrays; onnxruntime has run with them."""
    (made,) = arrays(feeds(proto, values, **arguments), seed=0)
    run(proto, made)
    return made


# name: graph, how many indices are valid, the weights
INDICES: dict[str, tuple[str, int, dict[str, tuple[int, ...]]]] = {
    "Gather": ("(int64[2,200] i) => (float[2,200,4] y) { y = Gather(w, i) }", 7, {"w": (7, 4)}),
    "Gather on another axis": ("(int64[400] i) => (float[4,400] y) { y = Gather<axis = -1>(w, i) }", 7, {"w": (4, 7)}),
    "int32": ("(int32[400] i) => (float[400,4] y) { y = Gather(w, i) }", 7, {"w": (7, 4)}),
    "numbers that are cast": (
        "(float[400] i) => (float[400,4] y) { j = Cast<to = 7>(i) y = Gather(w, j) }", 7, {"w": (7, 4)},
    ),
    "behind what only moves them": (
        """(int64[1,400] i) => (float[200,2,1,4] y) {
        shape = Constant<value = int64[2] {2, 200}>() axis = Constant<value = int64[1] {2}>()
        a = Cast<to = 6>(i) b = Reshape(a, shape) c = Transpose(b) d = Unsqueeze(c, axis) y = Gather(w, d) }""",
        7, {"w": (7, 4)},
    ),
    "behind a part and a whole": (
        """(int64[2,400] i) => (float[400,4] y) {
        one, two = Split<axis = 0>(i) both = Concat<axis = 1>(one, two)
        zero = Constant<value = int64[1] {0}>() end = Constant<value = int64[1] {800}>()
        axis = Constant<value = int64[1] {1}>() step = Constant<value = int64[1] {2}>()
        half = Slice(both, zero, end, axis, step) flat = Squeeze(half, zero) y = Gather(w, flat) }""",
        7, {"w": (7, 4)},
    ),
    "shifted": (
        "(int64[400] i) => (float[400,4] y) { two = Constant<value = int64 {2}>() j = Add(two, i) y = Gather(w, j) }",
        5, {"w": (7, 4)},
    ),
    "counted from one": (
        "(int64[400] i) => (float[400,4] y) { one = Constant<value = int64 {1}>() j = Sub(i, one) y = Gather(w, j) }",
        8, {"w": (7, 4)},
    ),
    "the smallest of several tables": (
        "(int64[400] i) => (float[400,4] y, float[400,4] z) { y = Gather(w, i) z = Gather(v, i) }",
        5, {"w": (7, 4), "v": (5, 4)},
    ),
    "in the branches of an If": (
        """(int64[400] i, bool c) => (float[400,4] y) { y = If(c)<
        then_branch = t () => (float[400,4] a) { a = Gather(w, i) },
        else_branch = e () => (float[400,4] b) { b = Gather(v, i) } > }""",
        5, {"w": (7, 4), "v": (5, 4)},
    ),
    "in the body of a Loop": (
        """(int64[400] i, float[400,4] x) => (float[400,4] y) {
        n = Constant<value = int64 {3}>() c = Constant<value = bool {1}>()
        y = Loop(n, c, x)<body = b (int64 k, bool go, float[400,4] old) => (bool on, float[400,4] new) {
            on = Identity(go) rows = Gather(w, i) new = Add(old, rows) }> }""",
        7, {"w": (7, 4)},
    ),
    "GatherElements": ("(int64[400,4] i) => (float[400,4] y) { y = GatherElements(w, i) }", 7, {"w": (7, 4)}),
    "GatherND": ("(int64[400,2] i) => (float[400] y) { y = GatherND(w, i) }", 4, {"w": (7, 4)}),
    "ScatterElements": (
        "(int64[400,4] i, float[400,4] u) => (float[7,4] y) { y = ScatterElements(w, i, u) }", 7, {"w": (7, 4)},
    ),
    "ScatterND": ("(int64[400,1] i, float[400,4] u) => (float[7,4] y) { y = ScatterND(w, i, u) }", 7, {"w": (7, 4)}),
    "OneHot": (
        """(int64[400] i) => (float[400,7] y) { depth = Constant<value = int64 {7}>()
        values = Constant<value = float[2] {0.0, 1.0}>() y = OneHot(i, depth, values) }""",
        7, {},
    ),
    "a one-hot encoding by hand": (
        """(int64[400,1] i) => (float[400,7] y) { classes = Constant<value = int64[7] {0, 1, 2, 3, 4, 5, 6}>()
        is = Equal(i, classes) y = Cast<to = 1>(is) }""",
        7, {},
    ),
    "a table of embeddings, fused": (
        """(int32[2,200] i, int32[2,200] s) => (float[2,200,4] y, int32[2] m) {
        y, m = com.microsoft.EmbedLayerNormalization(i, s, w, p, t, g, b) }""",
        7, {"w": (7, 4), "p": (200, 4), "t": (2, 4), "g": (4,), "b": (4,)},
    ),
    "regions of images": (
        "(float[400,4] boxes, int64[400] i) => (float[400,1,1,1] y) { y = RoiAlign(w, boxes, i) }", 3, {"w": (3, 1, 4, 4)},
    ),
    "classes of a loss": (
        "(int64[400] i) => (float y) { y = NegativeLogLikelihoodLoss(w, i) }", 7, {"w": (400, 7)},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", INDICES)
def test_indices_are_inside_the_table_that_they_index(name: str) -> None:
    graph, valid, weights = INDICES[name]
    indices = fed(model(graph, domains=CONTRIB, **weights))["i"]
    assert sorted(np.unique(indices)) == list(range(valid))


# name: graph, an input, its elements
ELEMENTS: dict[str, tuple[str, str, Any]] = {
    "a mask, by its name": ("(int64[2,5] attention_mask) => (float[2,5] y) { y = Cast<to = 1>(attention_mask) }",
        "attention_mask", [[1] * 5] * 2),
    "a mask of floats": ("(float[2,5] src_mask) => (float[2,5] y) { y = Neg(src_mask) }", "src_mask", [[1] * 5] * 2),
    "a condition": ("(bool[2] c, float[2] x) => (float[2] y) { y = Where(c, x, x) }", "c", [True] * 2),
    "positions": ("(int64[2,4] position_ids) => (float[2,4] y) { y = Cast<to = 1>(position_ids) }",
        "position_ids", [[0, 1, 2, 3]] * 2),
    "positions in a short table": ("(int64[1,4] position_ids) => (float[1,4,2] y) { y = Gather(three, position_ids) }",
        "position_ids", [[0, 1, 2, 0]]),
    "durations": ("(int64[8] noteDurs) => (int64[8] y) <int64 z = {0}> { y = CumSum(noteDurs, z) }", "noteDurs", [1] * 8),
    "a sample rate": ("(int64 sr, float[4] x) => (float[4] y) { f = Cast<to = 1>(sr) y = Div(x, f) }", "sr", 16000),
    "a length, by its name": ("(float[2,9,80] speech, int64[2] speech_lengths, float[1,4] other) => (float[2] y) {"
        " y = Cast<to = 1>(speech_lengths) }", "speech_lengths", [9, 9]),
    "a length along an open dim": ("(float[2,80,T] audio, int64[2] length) => (float[2] y) { y = Cast<to = 1>(length) }",
        "length", [128, 128]),
    "the sides of the image": ("(float[1,3,20,30] x, int64[1,2] orig_target_sizes) => (float[1,2] y) {"
        " y = Cast<to = 1>(orig_target_sizes) }", "orig_target_sizes", [[20, 30]]),
    "a scale": ("(float[1,2] scale_factor) => (float[1,2] y) { y = Neg(scale_factor) }", "scale_factor", [[1, 1]]),
    "a single integer": ("(int64[1] steps) => (float[1] y) { y = Cast<to = 1>(steps) }", "steps", [1]),
    "a divisor": ("(int64[4] n, int64[4] x) => (int64[4] y) { y = Div(x, n) }", "n", [1] * 4),
    "strings": ("(string[2] x) => (string[2] y) { y = Identity(x) }", "x", ["word"] * 2),
    "lengths of sequences": ("""(float[6,2,3] x, int32[2] l) => (a, float[1,2,4] h) {
        a, h = GRU<hidden_size = 4>(x, kernel, recurrence, , l) }""", "l", [6, 6]),
    "lengths to reverse": ("(float[6,2] x, int64[2] l) => (float[6,2] y) { y = ReverseSequence(x, l) }", "l", [6, 6]),
    "a shape that is known otherwise": ("(float[2,3] x, int64[3] s) => (float[1,3,2] y) { y = Reshape(x, s) }", "s", [1, 3, 2]),
    "a shape that is not": ("(float[2,3] x, int64[3] s) => (y) { y = Reshape(x, s) }", "s", [1, 1, 6]),
    "a shape to expand to": ("(float[2,3] x, int64[2] s) => (y) { y = Expand(x, s) }", "s", [2, 3]),
    "a shape of fewer dims to expand to": ("(float[2,1,3] x, int64[2] s) => (y) { y = Expand(x, s) }", "s", [1, 1]),
    "repeats": ("(float[2,3] x, int64[2] n) => (y) { y = Tile(x, n) }", "n", [1, 1]),
    "a border": ("(float[2,3] x, int64[4] p) => (y) { y = Pad(x, p) }", "p", [0] * 4),
    "how many of the largest": ("(float[2,9] x, int64[1] k) => (y, i) { y, i = TopK(x, k) }", "k", [9]),
    "axes to reduce": ("(float[2,3] x, int64[1] a) => (y) { y = ReduceSum(x, a) }", "a", [0]),
    "axes to take away": ("(float[2,1,3] x, int64[1] a) => (y) { y = Squeeze(x, a) }", "a", [1]),
    "parts": ("(float[7] x, int64[2] s) => (y, z) { y, z = Split(x, s) }", "s", [4, 3]),
    "scales of a Resize": ("(float[1,1,4,4] x, float[4] s) => (y) { y = Resize(x, , s) }", "s", [1] * 4),
    "sizes of a Resize": ("(float[1,1,4,4] x, int64[4] s) => (float[1,1,8,6] y) { y = Resize(x, , , s) }", "s", [1, 1, 8, 6]),
    "the end of a Slice": ("(float[4,6] x, int64[2] s, int64[2] e) => (y) { y = Slice(x, s, e) }", "e", [6, 6]),
    "the limit of a Range": ("(int64 a, int64 b, int64 c) => (int64[n] y) { y = Range(a, b, c) }", "b", 16),
    "an axis": ("(float[4] x, int64 a) => (float[4] y) { y = CumSum(x, a) }", "a", 0),
    "boxes to keep": ("(float[1,9,4] b, float[1,2,9] s, int64[1] n) => (y) { y = NonMaxSuppression(b, s, n) }", "n", [9]),
    "whether it is training": ("(float[4] x, float r, bool t) => (float[4] y) { y = Dropout(x, r, t) }", "t", False),
    "the trips of a Loop": ("""(int64 n, float[2] x) => (float[2] y) { c = Constant<value = bool {1}>()
        y = Loop(n, c, x)<body = b (int64 k, bool go, float[2] old) => (bool on, float[2] new) {
            on = Identity(go) new = Neg(old) }> }""", "n", 1),
    "totals of a cache": ("""(float[1,2,16] q, float[1,2,8] k, float[1,2,8] v, float[1,1,5,8] pk, float[1,1,5,8] pv,
        int32[1] s, int32 total) => (float[1,2,16] y, float[1,1,7,8] ok, float[1,1,7,8] ov) {
        y, ok, ov = com.microsoft.GroupQueryAttention<num_heads = 2, kv_num_heads = 1>(q, k, v, pk, pv, s, total) }""",
        "s", [6]),
    "a mask of lengths": ("""(float[2,5,4] x, int32[2] l) => (float[2,5,4] y) {
        y = com.microsoft.Attention<num_heads = 2>(x, qkv, bias, l) }""", "l", [5, 5]),
}  # fmt: skip
WEIGHTS = {"three": (3, 2), "kernel": (1, 12, 3), "recurrence": (1, 12, 4), "qkv": (4, 12), "bias": (12,)}


@pytest.mark.parametrize("name", ELEMENTS)
def test_inputs_that_steer_the_model_hold_what_it_can_take(name: str) -> None:
    graph, which, elements = ELEMENTS[name]
    words = set(re.findall(r"\w+", graph))
    proto = model(graph, domains=CONTRIB, **{weight: dims for weight, dims in WEIGHTS.items() if weight in words})
    assert fed(proto)[which].tolist() == elements


def identity(dtype: int, dims: list[int]) -> ModelProto:
    x, y = (helper.make_tensor_value_info(name, dtype, dims) for name in "xy")
    graph = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [x], [y])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 21)], ir_version=10)


RANGES = {
    "FLOAT": (0, 1), "DOUBLE": (0, 1), "FLOAT16": (0, 1),
    "INT8": (-128, 127), "UINT8": (0, 255),
    **dict.fromkeys(("INT16", "UINT16", "INT32", "UINT32", "INT64", "UINT64"), (0, 1)),
}  # fmt: skip


@pytest.mark.parametrize("name", RANGES)
def test_numbers_are_of_the_type_and_in_its_usual_range(name: str) -> None:
    low, high = RANGES[name]
    dtype = TensorProto.DataType.Value(name)
    array = fed(identity(dtype, [40, 200]))["x"]
    assert array.dtype == helper.tensor_dtype_to_np_dtype(dtype)
    assert array.shape == (40, 200)
    assert (round(float(array.min()), 2), round(float(array.max()), 2)) == (low, high)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_no_number_is_denormal(dtype: type) -> None:
    array = fed(identity(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)), [1000, 1000]))["x"]
    assert array.min() >= np.finfo(dtype).smallest_normal


@pytest.mark.parametrize("dims", [[], [3, 5]], ids=["scalar", "matrix"])
@pytest.mark.parametrize("name", BY_BITS)
def test_types_that_numpy_lacks_are_given_by_their_bits(name: str, dims: list[int]) -> None:
    proto = identity(BY_BITS[name], dims)
    (made,) = arrays(feeds(proto), seed=0)
    assert made["x"].data_type() == f"tensor({name})"
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    assert session.run_with_ort_values(None, made)[0].shape() == dims


@pytest.mark.parametrize("name", ["COMPLEX64", "INT4"])
def test_types_that_onnxruntime_takes_no_arrays_of_are_refused(name: str) -> None:
    with pytest.raises(
        MeasurementError, match=rf"^input 'x' is of type {name.lower()}, for which onnxruntime accepts no arrays$"
    ):
        feeds(identity(TensorProto.DataType.Value(name), [2]))


TWO = "(float[3,50] a, int64[3,50] b) => (float[3,50] y, int64[3,50] z) { y = Neg(a) z = Neg(b) }"
THREE = (
    TWO.replace("(float[3,50] a", "(bool[9] c, float[3,50] a")
    .replace("(float[3,50] y", "(bool[9] x, float[3,50] y")
    .replace("{", "{ x = Not(c)")
)


def test_the_seed_decides_the_elements() -> None:
    one, again, other = (arrays(feeds(model(TWO)), seed)[0] for seed in (1, 1, 2))
    for name in "ab":
        assert np.array_equal(one[name], again[name])
        assert not np.array_equal(one[name], other[name])


def test_another_input_changes_none_of_the_others() -> None:
    two, three = (arrays(feeds(model(graph)), 0)[0] for graph in (TWO, THREE))
    assert all(np.array_equal(two[name], three[name]) for name in "ab")


SEQUENCE = "(seq(float[2,3]) s) => (float[n,3] y) { y = ConcatFromSequence<axis = 0>(s) }"
OPTIONAL = "(optional(float[2]) o) => (bool y) { y = OptionalHasElement(o) }"
TAKEN = "(optional(float[2]) o) => (float[2] y) { y = OptionalGetElement(o) }"

# name: graph, values given, the arrays expected (None: only their shapes are), what is said of their origin
CONTAINERS: dict[str, tuple[str, dict[str, Any], Any, str]] = {
    "a sequence": (SEQUENCE, {}, [(2, 3)], "synthesised: numbers between 0 and 1"),
    "a sequence that is given": (SEQUENCE, {"s": [np.ones((2, 3))] * 4}, [(2, 3)] * 4, "given"),
    "an optional": (OPTIONAL, {}, None, "left empty, because it is optional"),
    "an optional that is taken": (TAKEN, {}, (2,), "synthesised: numbers between 0 and 1"),
    "an optional that is given": (OPTIONAL, {"o": [1, 2]}, (2,), "given"),
}


@pytest.mark.parametrize("name", CONTAINERS)
def test_sequences_and_optionals_are_fed(name: str) -> None:
    graph, values, shapes, source = CONTAINERS[name]
    proto = model(graph, opset=18)
    made = fed(proto, values).get(*describe_inputs(feeds(proto, values))[0][:1])
    found = [array.shape for array in made] if isinstance(made, list) else made.shape if made is not None else None
    assert found == shapes
    assert describe_inputs(feeds(proto, values))[0].source == source


def test_a_sequence_that_the_model_says_nothing_of_is_refused() -> None:
    with pytest.raises(MeasurementError, match="does not declare what tensors the sequence 's' has"):
        feeds(model("(seq(float[]) s) => (int64 y) { y = SequenceLength(s) }"))


GIVEN: dict[str, tuple[Any, list[Any]]] = {
    "a list": ([1, 2, 3], [1, 2, 3]),
    "an array of another type": (np.array([1, 2, 3], np.float64), [1, 2, 3]),
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_value_that_is_given_is_fed(name: str) -> None:
    value, elements = GIVEN[name]
    made = fed(model("(int64[3] mask) => (int64[3] y) { y = Neg(mask) }"), {"mask": value})["mask"]
    assert (made.dtype, made.tolist()) == (np.int64, elements)


def test_a_number_fits_an_input_of_one_element() -> None:
    assert fed(model("(float[1,1] x) => (float[1,1] y) { y = Neg(x) }"), {"x": 2.5})["x"].tolist() == [[2.5]]


def test_an_unknown_shape_is_requested() -> None:
    proto = identity(TensorProto.FLOAT, [])
    proto.graph.input[0].type.tensor_type.ClearField("shape")
    with pytest.raises(MeasurementError, match=r"the shape of input 'x': set it with --input x=FILE\.npy"):
        feeds(proto)
    assert fed(proto, shapes={"x": (2, 2)})["x"].shape == (2, 2)


def test_the_report_says_what_was_fed() -> None:
    proto = model(INDICES["Gather"][0], **INDICES["Gather"][2])
    assert describe_inputs(feeds(proto)) == (("i", "int64", (2, 200), "synthesised: indices below 7"),)
