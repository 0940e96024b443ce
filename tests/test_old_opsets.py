"""Operators as older opsets had them: inputs that were attributes, other defaults, shapes that onnx did not infer then.

Each row is a model in ONNX's textual syntax, its opset, the shape of its output and its FLOPs in the convention ``flops``.
"""

import pytest

import onnxcost
from tests.modeltext import model

TOPK = 3 * (6 + 3)
"""Two of 8 in each of 3 rows."""

ROWS = [
    ("(float[2,3,4] x) => (y) { y = ReduceSum<axes = [1], keepdims = 0>(x) }", 11, (2, 4), 16),
    ("(float[2,3,4] x) => (y) { a = Constant<value_ints = [1]>() y = ReduceSum<keepdims = 0>(x, a) }", 13, (2, 4), 16),
    ("(float[2,3,4] x) => (y) { y = ReduceMean<axes = [1]>(x) }", 13, (2, 1, 4), 24),
    ("(float[2,3] x) => (y) { y = Pad<paddings = [0, 1, 2, 3]>(x) }", 1, (4, 7), 0),
    ("(float[2,3] x) => (y) { y = Pad<pads = [0, 1, 2, 3]>(x) }", 2, (4, 7), 0),
    ("(float[2,3] x) => (y) { p = Constant<value = int64[4] {0, 1, 2, 3}>() y = Pad(x, p) }", 11, (4, 7), 0),
    ("(float[4,6] x) => (y) { y = Slice<axes = [1], starts = [1], ends = [-1]>(x) }", 1, (4, 4), 0),
    ("(float[4,6] x) => "
     "(y) { s = Constant<value = int64[1] {1}>() e = Constant<value = int64[1] {-1}>() y = Slice(x, s, e, s) }",
     10, (4, 4), 0),
    ("(float[2,3] x) => (y) { y = Clip<min = 0.0, max = 6.0>(x) }", 1, (2, 3), 12),
    ("(float[2,3] x) => (y) { y = Clip<min = 0.0>(x) }", 6, (2, 3), 6),
    ("(float[2,3] x) => (y) { y = Clip(x) }", 6, (2, 3), 0),
    ("(float[2,3] x) => (y) { m = Constant<value = float {0.0}>() y = Clip(x, m) }", 11, (2, 3), 6),
    ("(float[3,8] x) => (y, i) { y, i = TopK<k = 2>(x) }", 1, (3, 2), TOPK),
    ("(float[3,8] x) => (y, i) { k = Constant<value = int64[1] {2}>() y, i = TopK(x, k) }", 10, (3, 2), TOPK),
    ("(float[2,3] x) => (y, m) { y, m = Dropout<is_test = 1, ratio = 0.5>(x) }", 1, (2, 3), 0),
    ("(float[2,3] x) => (y, m) { y, m = Dropout<ratio = 0.5>(x) }", 7, (2, 3), 0),
    ("(float[2,3] x) => "
     "(y, m) { r = Constant<value = float {0.5}>() t = Constant<value = bool {1}>() y, m = Dropout(x, r, t) }", 13,
     (2, 3), 4 * 6),
    ("(float[1,1,4,4] x) => (y) { y = Upsample<height_scale = 2.0, width_scale = 3.0>(x) }", 1, (1, 1, 8, 12), 0),
    ("(float[1,1,4,4] x) => "
     "(y) { y = Upsample<mode = \"linear\", scales = [1.0, 1.0, 2.0, 2.0]>(x) }", 7, (1, 1, 8, 8), 64 * 7),
    ("(float[1,1,4,4] x) => "
     "(y) { s = Constant<value = float[4] {1.0, 1.0, 2.0, 2.0}>() y = Upsample<mode = \"linear\">(x, s) }", 9,
     (1, 1, 8, 8), 64 * 7),
    ("(float[1,4,5] x, float[4] p) => "
     "(y) { y = BatchNormalization<is_test = 1, consumed_inputs = [0, 0, 0, 1, 1]>(x, p, p, p, p) }",
     1, (1, 4, 5), 4 * 20 + 2 * 4),
    # a mean and a variance for each of 4 × 5 activations
    ("(float[2,4,5] x, float[4,5] p) => "
     "(y) { y = BatchNormalization<spatial = 0>(x, p, p, p, p) }", 7, (2, 4, 5), 4 * 40 + 2 * 20),
    ("(float[2,4,5] x, float[4] p) => (y) { y = BatchNormalization(x, p, p, p, p) }", 9, (2, 4, 5), 4 * 40 + 2 * 4),
    # in training: two means (40 operations each), 40 squares, and 2·4 running statistics moved by 3 operations
    ("(float[2,4,5] x, float[4] p) => (y, m, v, a, b) { y, m, v, a, b = BatchNormalization(x, p, p, p, p) }", 9, (2, 4, 5),
     4 * 40 + 2 * 4 + 2 * 40 + 40 + 24),
    ("(float[2,4,5] x, float[4] p) => "
     "(y, m, v) { y, m, v = BatchNormalization<training_mode = 1>(x, p, p, p, p) }", 15, (2, 4, 5),
     4 * 40 + 2 * 4 + 2 * 40 + 40 + 24),
    ("(float[2,1,3] x) => (y) { y = Squeeze<axes = [1]>(x) }", 1, (2, 3), 0),
    ("(float[2,6] x) => (y, z) { y, z = Split<axis = 1, split = [2, 4]>(x) }", 1, (2, 2), 0),
    ("(float[2,6] x) => (y, z) { y, z = Split<axis = 1>(x) }", 2, (2, 3), 0),
    ("(float[2,6] x) => (y, z) <float[2] s = {4, 2}> { y, z = Split<axis = 1>(x, s) }", 1, (2, 4), 0),
    ("(float[2,6] x) => (y) <float n = {3}, float a = {1}> { y = Tile(x, n, a) }", 1, (2, 18), 0),
    ("(float[2,6] x) => (y) { y = ThresholdedRelu(x) }", 1, (2, 6), 12),
    ("(float[1,3,2,2] x) => (y) { y = ImageScaler<scale = 2.0, bias = [1.0, 2.0, 3.0]>(x) }", 1, (1, 3, 2, 2), 24),
    ("(float[2,3,4] x) => (y) { y = Softmax(x) }", 11, (2, 3, 4), 2 * (5 * 12 - 2)),
    ("(float[2,3,4] x) => (y) { y = Softmax(x) }", 13, (2, 3, 4), 6 * (5 * 4 - 2)),
    ("(float[2,3,4,5] x, float[3,4] b) => (y) { y = Add<broadcast = 1, axis = 1>(x, b) }", 1, (2, 3, 4, 5), 120),
    ("(float[2,3] x) => (y) { y = Relu(x) }", 1, (2, 3), 6),
    ("(float[4,3] a, float[4,5] b, float[5] c) => (y) { y = Gemm<transA = 1, broadcast = 1>(a, b, c) }", 1, (3, 5), 15 * 8),
    ("(float[2,3,4] x) => (y) { y = Reshape<shape = [0, -1]>(x) }", 1, (2, 12), 0),
    ("(float[2,3] x, float[2,5] z) => (y) { y = Concat(x, z) }", 1, (2, 8), 0),
    ("(float[2,3] x) => (y) { y = Cast<to = \"FLOAT16\">(x) }", 1, (2, 3), 0),
    ("(float[1,2,6] x) => (y) { y = LpPool<kernel_shape = [3], p = 2.0>(x) }", 1, (1, 2, 4), 8 * 9),
    ("(float[1,2,6] x) => (y) { y = GlobalLpPool(x) }", 1, (1, 2, 1), 36),
    ("(float[3,2,4] x, float[1,15,4] w, float[1,15,5] r) => "
     "(y, h) { y, h = GRU<hidden_size = 5, output_sequence = 1>(x, w, r) }", 1,
     (3, 1, 2, 5), 3 * 2 * 5 * (3 * (2 * 9 - 1) + 5 + 4 + 4 + 1)),
    # without ``output_sequence`` onnx infers no shape; the last states alone
    ("(float[3,2,4] x, float[1,20,4] w, float[1,20,5] r) => (h) { y, h = LSTM<hidden_size = 5>(x, w, r) }", 6,
     (1, 2, 5), 3 * 2 * 5 * (4 * (2 * 9 - 1) + 3 * 4 + 2 + 3 + 1)),
    ("(float[3,2,4] x, float[1,5,4] w, float[1,5,5] r) => (h) { y, h = RNN<hidden_size = 5>(x, w, r) }", 6,
     (1, 2, 5), 3 * 2 * 5 * (2 * 9 - 1 + 1)),
    ("(float[2,3] x, float[3] b) => (y) { y = GreaterOrEqual(x, b) }", 12, (2, 3), 6),
    # a target shape that is computed with Unsqueeze's attribute, by the evaluator of that opset
    ("(float[2,3,4,5] x) => (y) { s = Shape(x) i = Constant<value = int64 {0}>() n = Gather(s, i) u = Unsqueeze<axes = [0]>(n) "
     "r = Constant<value = int64[1] {-1}>() t = Concat<axis = 0>(u, r) y = Reshape(x, t) }", 11, (2, 60), 0),
]  # fmt: skip


@pytest.mark.parametrize(("text", "opset", "dims", "flops"), ROWS, ids=lambda each: str(each)[:60])
def test_row(text, opset, dims, flops) -> None:
    report = onnxcost.estimate(model(text, opset=opset))
    assert report.uncounted == ()
    assert report.graph.outputs[0].dims == dims
    assert not report.graph.outputs[0].is_bound
    assert report.total(onnxcost.CONVENTIONS["flops"]) == flops


def test_other_outputs_than_the_first_have_their_shapes_too() -> None:
    dropout = onnxcost.estimate(model("(float[2,3] x) => (y, m) { y, m = Dropout(x) }", opset=1))
    assert [tensor.dims for tensor in dropout.graph.outputs] == [(2, 3), (2, 3)]
    split = onnxcost.estimate(model("(float[2,6] x) => (y, z) { y, z = Split<axis = 1, split = [2, 4]>(x) }", opset=1))
    assert [tensor.dims for tensor in split.graph.outputs] == [(2, 2), (2, 4)]


def test_a_name_of_a_type() -> None:
    report = onnxcost.estimate(model('(float[2,3] x) => (y) { y = Cast<to = "FLOAT16">(x) }', opset=1))
    assert report.graph.outputs[0].dtype == "float16"
