"""The walk: shapes that data decides, branches, values, functions, and graphs that cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import onnxcost
from onnxcost.errors import InputError, ModelError
from tests.modeltext import graph_of, model

FOUND = {
    "static": ("(float[1,3,8,8] x, float[4,3,3,3] w) => (float y) { y = Conv(x, w) }", {}, {"y": (1, 4, 6, 6)}),
    "assumed batch": ("(float[n,3] x) => (float y) { y = Relu(x) }", {}, {"y": (1, 3)}),
    "given batch": ("(float[n,3] x) => (float y) { y = Relu(x) }", {"dims": {"n": 7}}, {"y": (7, 3)}),
    "given shape": ("(float[n,3] x) => (float y) { y = Relu(x) }", {"shapes": {"x": (7, 3)}}, {"y": (7, 3)}),
    "a shape computed from a shape": (
        """(float[2,3,4] x) => (float y) <int64 i = {0}, int64[1] m = {-1}> {
           s = Shape(x) g = Gather(s, i) z = Constant <value_ints = [0]> ()
           u = Unsqueeze(g, z) t = Concat <axis = 0> (u, m) y = Reshape(x, t) }""",
        {},
        {"y": (2, 12)},
    ),
    "a shape computed through floats": (
        """(float[1,3,10,10] x) => (float y) <float half = {0.5}> {
           s = Shape <start = 2> (x) f = Cast <to = 1> (s) h = Mul(f, half) r = Floor(h) t = Cast <to = 7> (r)
           b = Shape <end = 2> (x) o = Concat <axis = 0> (b, t) y = Resize <mode = "nearest"> (x, , , o) }""",
        {},
        {"y": (1, 3, 5, 5)},
    ),
    "nodes that differ in an attribute, an input or their order alone": (
        """(float[2,3,4] x) => (float v, float w, float y, float z) <int64[1] m = {-1}, int64[1] six = {6}> {
           a = Shape <end = 1> (x) b = Shape <start = 1, end = 2> (x) p = Concat <axis = 0> (a, m) q = Concat <axis = 0> (b, m)
           r = Concat <axis = 0> (m, b) t = Concat <axis = 0> (six, m)
           v = Reshape(x, p) w = Reshape(x, q) y = Reshape(x, r) z = Reshape(x, t) }""",
        {},
        {"v": (2, 12), "w": (3, 8), "y": (8, 3), "z": (6, 4)},
    ),
    "a range": (
        """(float[n,16] x) => (float y) <int64 i = {0}, int64 one = {1}> {
           s = Shape(x) n = Gather(s, i) r = Range(i, n, one) y = Cast <to = 1> (r) }""",
        {"dims": {"n": 9}},
        {"y": (9,)},
    ),
    "a value given": ("(float[6] x, int64[2] s) => (float y) { y = Reshape(x, s) }", {"values": {"s": [2, 3]}}, {"y": (2, 3)}),
    "a number for one element": (
        "(float[2,6] x, int64[1] k) => (float v, int64 i) { v, i = TopK(x, k) }",
        {"values": {"k": 5}},
        {"v": (2, 5), "i": (2, 5)},
    ),
    "the taken branch alone": (
        """(float[4] x) => (float y) { c = Constant <value = bool {0}> () y = If (c) <
           then_branch = t () => (float a) { a = Relu(x) },
           else_branch = e () => (float b) { k = Concat <axis = 0> (x, x) b = Relu(k) }> }""",
        {},
        {"y": (8,)},
    ),
    "a branch that a shape decides": (
        """(float[4] x) => (float y) <int64 four = {4}> { s = Size(x) c = Equal(s, four) y = If (c) <
           then_branch = t () => (float a) { a = Concat <axis = 0> (x, x) },
           else_branch = e () => (float b) { b = Relu(x) }> }""",
        {},
        {"y": (8,)},
    ),
    "nodes out of order": ("(float[4] x) => (float y) { y = Relu(a) a = Concat <axis = 0> (x, x) }", {}, {"y": (8,)}),
    "no nodes": ("(float[4] x) => (float[4] x) { }", {}, {"x": (4,)}),
    "a size of zero": ("(float[0,4] x, float[4,5] w) => (float y) { y = MatMul(x, w) }", {}, {"y": (0, 5)}),
    "what data decides has a bound": ("(float[4] x) => (int64 y) { y = NonZero(x) }", {}, {"y": (1, 4)}),
    "what data decides without a bound stays open": (
        "(int64 n) => (int64 y) <int64 zero = {0}, int64 one = {1}> { y = Range(zero, n, one) }",
        {},
        {"y": (None,)},
    ),
    "Dropout's mask, opset 7": (
        "(float[4] x) => (float y, float m) { y, m = Dropout(x) }",
        {"opset": 7},
        {"y": (4,), "m": (4,)},
    ),
    "ai.onnx as a domain": ("(float[4] x) => (float y) { y = ai.onnx.Relu(x) }", {}, {"y": (4,)}),
    "an initializer that is an input too": (
        "(float[2] x, float[2] w) => (float y) <float[2] w = {1, 2}> { y = Add(x, w) }",
        {},
        {"y": (2,)},
    ),
}


@pytest.mark.parametrize(("text", "arguments", "expected"), FOUND.values(), ids=FOUND.keys())
def test_shapes(text: str, arguments: dict[str, Any], expected: dict[str, tuple]) -> None:
    arguments = dict(arguments)
    graph = graph_of(model(text, opset=arguments.pop("opset", 17)), **arguments)
    assert {tensor.name: tensor.dims for tensor in graph.outputs} == expected


def test_a_long_chain_of_small_integers_is_folded_without_recursion() -> None:
    steps = " ".join(f"a{i + 1} = Add(a{i}, one)" for i in range(3000))
    text = f"(float[3000] x) => (float y) <int64[1] a0 = {{0}}, int64[1] one = {{1}}> {{ {steps} y = Reshape(x, a3000) }}"
    assert graph_of(model(text)).outputs[0].shape == (3000,)


def test_functions_are_inlined_also_nested() -> None:
    functions = """<domain: "local", opset_import: ["" : 17, "local" : 1]> twice (a) => (b) { h = Relu(a) b = local.half(h) }
    <domain: "local", opset_import: ["" : 17]> half (a) => (b) { b = Concat <axis = 0> (a, a) }"""
    graph = graph_of(model("(float[4] x) => (float y) { y = local.twice(x) }", functions=functions, domains=', "local" : 1'))
    assert [node.op_type for node in graph.nodes] == ["Relu", "Concat"]
    assert graph.outputs[0].shape == (8,)


def test_two_branches_may_use_the_same_names() -> None:
    branch = "then_branch = t () => (float a) { a = Relu(x) }, else_branch = e () => (float a) { a = Neg(x) }"
    nodes = f"c = Constant <value = bool {{1}}> () y = If (c) <{branch}> z = If (c) <{branch}>"
    text = f"(float[4] x) => (float y, float z) {{ {nodes} }}"
    graph = graph_of(model(text))
    names = [tensor.name for node in graph.nodes for tensor in node.outputs if tensor]
    assert len(names) == len(set(names)) == 5  # the constant, and for each If what the branch makes and what the If hands on


def test_a_stored_shape_that_is_wrong_loses_to_the_derived_one() -> None:
    lying = model("(float[4] x) => (float[5] y) <float[9] h> { h = Relu(x) y = Relu(h) }")
    lying.graph.value_info.append(onnx.helper.make_tensor_value_info("h", 1, [9]))
    assert graph_of(lying).outputs[0].shape == (4,)


def test_a_stored_shape_helps_after_a_custom_operator() -> None:
    custom = model("(float[4] x) => (float y) { h = my.Op(x) y = Relu(h) }", domains=', "my" : 1')
    custom.graph.value_info.append(onnx.helper.make_tensor_value_info("h", 1, [9]))
    assert graph_of(custom).outputs[0].shape == (9,)


REFUSED = {
    "cycle": ("(float[4] x) => (float y) { a = Add(x, b) b = Relu(a) y = Relu(b) }", "cycle: .*Add.* → .*Relu"),
    "undefined": ("(float[4] x) => (float y) { y = Add(x, nope) }", "reads 'nope', which is not defined in the model"),
    "broadcast": ("(float[4] x, float[3] z) => (float y) { y = Add(x, z) }", r"Add.*Incompatible.*x \[4\], z \[3\]"),
    "product": ("(float[1,3] x, float[4,4] z) => (float y) { y = MatMul(x, z) }", "MatMul.*Incompatible dimensions"),
    "too few inputs": ("(float[1,3,4] x) => (float y) { y = Conv(x) }", "Conv.*input size 1 not in range"),
    "axis": ("(float[4] x) => (float y) { y = Softmax <axis = 7> (x) }", "Softmax"),
    "output by nobody": ("(float[4] x) => (float z) { y = Relu(x) }", "output 'z' of the graph is not produced by any node"),
    "defined twice": ("(float[4] x) => (float y) { y = Relu(x) y = Neg(x) }", "'y' is defined twice"),
    "reshape": ("(float[4] x) => (float y) <int64[1] s = {5}> { y = Reshape(x, s) }", "4 elements cannot be reshaped to"),
    "assumption": (
        "(float[n,3,h,w] x) => (float y) <int64[2] s = {1, 1000}> { y = Reshape(x, s) }",
        r"Assumed sizes: n = 1, h = 224, w = 224; set sizes that fit with --dim n=N --dim h=N --dim w=N",
    ),
}


@pytest.mark.parametrize(("text", "says"), REFUSED.values(), ids=REFUSED.keys())
def test_a_graph_that_cannot_be_is_refused_in_one_line(text: str, says: str) -> None:
    with pytest.raises(ModelError, match=says) as refusal:
        graph_of(model(text))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize(("opset", "says"), [(0, "opset 0"), (999, "opset 999 of ai.onnx.*upgrade onnx")])
def test_an_opset_that_does_not_exist_is_refused(opset: int, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        graph_of(model("(float[4] x) => (float y) { y = Relu(x) }", opset=opset))


def test_a_negative_dim_of_a_constant_is_refused() -> None:
    negative = model("(float[4] x) => (float y) <float[4] w = {1,2,3,4}> { y = Add(x, w) }")
    negative.graph.initializer[0].dims[0] = -4
    with pytest.raises(ModelError, match="'w' has a negative dim"):
        graph_of(negative)


VALUES = {
    "unknown input": ({"z": 1}, "no input 'z': it has 'x', 's'"),
    "not a number": ({"s": ["a", "b"]}, "'s' does not fit its type"),
    "shape": ({"s": [1, 2, 3]}, r"'s' has the shape \[3\], but the model declares \[2\]"),
}


@pytest.mark.parametrize(("values", "says"), VALUES.values(), ids=VALUES.keys())
def test_values_that_do_not_fit_are_refused(values: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        graph_of(model("(float[6] x, int64[2] s) => (float y) { y = Reshape(x, s) }"), values=values)


def test_a_value_binds_the_symbols_in_its_shape() -> None:
    proto = model("(int64[N] ids, float[N,3] x) => (float[N,3] y) { y = Neg(x) }")
    graph = graph_of(proto, values={"ids": [1, 2, 3, 4]})
    assert graph.inputs[1].dims == (4, 3)
    assert [(dim.name, dim.value, dim.source) for dim in graph.dims] == [("N", 4, "given")]


def test_a_value_of_another_shape_than_the_one_given_is_refused() -> None:
    proto = model("(int64[N] ids) => (int64[N] y) { y = Neg(ids) }")
    with pytest.raises(InputError, match=r"'ids' was given the shape \[3\] and a value of \[2\]"):
        graph_of(proto, values={"ids": [1, 2]}, shapes={"ids": (3,)})


def test_a_value_may_be_an_array() -> None:
    graph = graph_of(model("(float[6] x, int64[2] s) => (float y) { y = Reshape(x, s) }"), values={"s": np.array([3, 2])})
    assert graph.outputs[0].shape == (3, 2)


@pytest.mark.parametrize(("opset", "is_inlined"), [(13, True), (18, True), (12, False)])
def test_functions_of_another_opset_are_inlined_where_their_operators_are_the_same(opset: int, is_inlined: bool) -> None:
    """Softmax is the same from opset 13 on, and was another one before."""
    functions = f"""<domain: "local", opset_import: ["" : {opset}]> soft (a) => (b) {{ h = Neg(a) b = Softmax(h) }}"""
    graph = graph_of(model("(float[4] x) => (float y) { y = local.soft(x) }", functions=functions, domains=', "local" : 1'))
    assert [node.op_type for node in graph.nodes] == (["Neg", "Softmax"] if is_inlined else ["soft"])


@pytest.mark.parametrize("opset", [11, 18, 19, 22])
@pytest.mark.parametrize(
    ("length", "window"),
    [
        (10, "kernel_shape = [2], strides = [2], pads = [0, 1]"),
        (9, "kernel_shape = [2], strides = [2], pads = [0, 1]"),
        (9, "kernel_shape = [2], strides = [2]"),
        (10, "kernel_shape = [1], strides = [2]"),
        (10, "kernel_shape = [3], strides = [3], pads = [1, 1]"),
    ],
)
@pytest.mark.parametrize("operator", ["MaxPool", "AveragePool"])
def test_no_window_begins_in_the_padding_after_the_end(operator: str, length: int, window: str, opset: int) -> None:
    """As onnxruntime has it in each opset, and onnx's own inference from 22 on."""
    node = f"{operator} <{window}, ceil_mode = 1> (x)"
    made = model(f"(float[1, 1, {length}] x) => (float[1, 1, n] y) {{ y = {node} }}", opset=opset)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.ones((1, 1, length), np.float32)})
    assert onnxcost.estimate(made).graph.outputs[0].dims == y.shape


@pytest.mark.parametrize("size", [3, 5, 10, 20, 30])
@pytest.mark.parametrize("scale", [1.3, 1.4, 1.5, 1.7, 4 / 3])
@pytest.mark.parametrize(
    ("opset", "node"),
    [
        (8, "Upsample <scales = [1.0, 1.0, {}, 1.0]> (x)"),
        (9, "Upsample (x, s)"),
        (10, "Resize (x, s)"),
        (13, "Resize (x, , s)"),
        (18, "Resize <axes = [2, -1]> (x, , t)"),
    ],
)
def test_scales_make_the_sizes_of_onnxruntime(opset: int, node: str, scale: float, size: int) -> None:
    """Products of floats of 32 bits: 7 rows of 5 with 1.4, of which onnx makes 6."""
    made = model(f"(float[1,1,{size},4] x) => (float[1,1,h,w] y) {{ y = {node.format(scale)} }}", opset=opset)
    made.graph.output[0].type.tensor_type.ClearField("shape")
    for name, scales in (("s", [1, 1, scale, 1]), ("t", [scale, 1])):
        made.graph.initializer.append(onnx.numpy_helper.from_array(np.array(scales, np.float32), name))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.ones((1, 1, size, 4), np.float32)})
    assert onnxcost.estimate(made).graph.outputs[0].dims == y.shape


@pytest.mark.parametrize("kernel", [1, 2, 3, 4])
@pytest.mark.parametrize(("stride", "dilation", "added"), [(2, 1, 0), (2, 1, 1), (2, 2, 1), (3, 1, 1), (3, 1, 2), (3, 2, 0)])
@pytest.mark.parametrize("padding", ["SAME_UPPER", "SAME_LOWER"])
def test_a_transposed_convolution_with_automatic_padding(
    padding: str, stride: int, dilation: int, added: int, kernel: int
) -> None:
    attributes = f'auto_pad = "{padding}", strides = [{stride}], dilations = [{dilation}], output_padding = [{added}]'
    made = model(f"(float[1,2,5] x) => (float[1,3,n] y) {{ y = ConvTranspose <{attributes}> (x, w) }}", w=(2, 3, kernel))
    made.graph.output[0].type.tensor_type.ClearField("shape")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(made.SerializeToString(), options, providers=["CPUExecutionProvider"])
    (y,) = session.run(None, {"x": np.ones((1, 2, 5), np.float32)})
    assert onnxcost.estimate(made).graph.outputs[0].dims == y.shape


def test_onnx_infers_equal_nodes_of_several_models_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    infer = onnx.shape_inference.infer_node_outputs

    def noting(schema: Any, proto: onnx.NodeProto, *others: Any, **named: Any) -> Any:
        asked.append(proto.op_type)
        return infer(schema, proto, *others, **named)

    monkeypatch.setattr(onnx.shape_inference, "infer_node_outputs", noting)
    text = "(float[2,3,9973] x) => (float z) { y = Relu(x) z = Transpose <perm = [0, 2, 1]> (y) }"
    first, second = graph_of(model(text)), graph_of(model(text))
    assert sorted(asked) == ["Relu", "Transpose"]
    assert [node.out.dims for node in first.nodes] == [node.out.dims for node in second.nodes] == [(2, 3, 9973), (2, 9973, 3)]


def test_what_onnx_answered_for_another_opset_does_not_count() -> None:
    for opset, mask in ((7, "float32"), (12, "bool"), (7, "float32"), (13, "bool")):
        graph = graph_of(model("(float[2,9973] x) => (float y) { y, m = Dropout(x) }", opset=opset))
        outputs = [(tensor.name, tensor.dtype, tensor.dims) for tensor in graph.nodes[0].outputs if tensor is not None]
        assert outputs == [("y", "float32", (2, 9973)), ("m", mask, (2, 9973))]


def test_shapes_that_depend_on_absent_data_are_open() -> None:
    made = model("(float[2,3] x, int64[2] i) => (float y) <int64[2] one = {1, 1}> { t = Add(s, one) y = Reshape(x, t) }")
    made.graph.initializer.add(name="s", data_type=7, dims=[2], data_location=1).external_data.add(
        key="location", value="weights-not-stored"
    )
    report = onnxcost.estimate(made)
    assert [tensor.dims for tensor in report.graph.outputs] == [(None, None)]
    assert report.graph.nodes[0].out.shape == (2,)
