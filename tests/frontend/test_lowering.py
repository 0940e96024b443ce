"""Lowering: schema defaults, constants a formula can see, scopes of three exporters, old forms of operators."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from onnxcost.frontend.lowering import BLOCKED, note_true_channels
from tests.graphs import node, tensor
from tests.modeltext import graph_of, model

ATTRIBUTES = {
    "defaults": (
        "(float[1,3,8,8] x) => (float y) { y = MaxPool <kernel_shape = [2,2]> (x) }",
        17,
        {"ceil_mode": 0, "kernel_shape": (2, 2)},
    ),
    "own": ("(float[4] x) => (float y) { y = LeakyRelu <alpha = 0.5> (x) }", 17, {"alpha": 0.5}),
    "text": ("(float[1,3,8,8] x) => (float y) { y = MaxPool <kernel_shape = [2,2]> (x) }", 17, {"auto_pad": "NOTSET"}),
    "Softmax now": ("(float[2,3,4] x) => (float y) { y = Softmax <axis = 1> (x) }", 13, {"axes": (1,)}),
    "Softmax before 13": ("(float[2,3,4] x) => (float y) { y = Softmax <axis = 1> (x) }", 11, {"axes": (1, 2)}),
    "Softmax's default now": ("(float[2,3,4] x) => (float y) { y = Softmax(x) }", 13, {"axes": (2,)}),
    "Softmax's default before 13": ("(float[2,3,4] x) => (float y) { y = Softmax(x) }", 11, {"axes": (1, 2)}),
}


@pytest.mark.parametrize(("text", "opset", "expected"), ATTRIBUTES.values(), ids=ATTRIBUTES.keys())
def test_attributes(text: str, opset: int, expected: dict[str, Any]) -> None:
    (node,) = graph_of(model(text, opset=opset)).nodes
    assert {name: node.attributes[name] for name in expected} == expected


def test_small_constants_show_their_elements() -> None:
    (node,) = graph_of(model("(float[4] x) => (float y) <int64[1] s = {4}> { y = Reshape(x, s) }")).nodes
    assert [(t.is_constant, t.value) for t in node.inputs if t] == [(False, None), (True, (4,))]


@pytest.mark.parametrize(("count", "is_shown"), [(1, True), (64, True), (65, False)])
def test_up_to_64_elements_are_shown(count: int, is_shown: bool) -> None:
    stored = ", ".join(["2"] * count)
    (node,) = graph_of(model(f"(float[{count}] x) => (float y) <float[{count}] c = {{{stored}}}> {{ y = Add(x, c) }}")).nodes
    assert node.required(1).value == ((2,) * count if is_shown else None)


def test_what_follows_from_constants_is_constant_but_not_stored() -> None:
    text = "(float[2,2] x) => (float y) <float[2,2] w = {1,2,3,4}> { t = Transpose(w) y = MatMul(x, t) }"
    graph = graph_of(model(text))
    assert graph.nodes[1].required(1).is_constant
    assert set(graph.constants) == {"w"}


def test_absent_inputs_and_outputs_are_none() -> None:
    (node,) = graph_of(model("(float[1,3,8,8] x, float[4] s) => (float y) { y = Resize(x, , s) }")).nodes
    assert [tensor is None for tensor in node.inputs] == [False, True, False]


SCOPES = {
    "PyTorch's older exporter": ("/layer1/layer1.0/conv1/Conv", "", ("layer1", "0", "conv1")),
    "PyTorch's newer exporter": (
        "node_conv",
        "['', 'layer1', 'layer1.0', 'layer1.0.conv1', 'conv2d']",
        ("layer1", "0", "conv1"),
    ),
    "TensorFlow": ("block1/conv/Conv2D", "", ("block1", "conv")),
    "no scope": ("Conv_12", "", ()),
}


@pytest.mark.parametrize(("name", "metadata", "scope"), SCOPES.values(), ids=SCOPES.keys())
def test_scopes(name: str, metadata: str, scope: tuple[str, ...]) -> None:
    proto = model("(float[4] x) => (float y) { y = Relu(x) }")
    proto.graph.node[0].name = name
    if metadata:
        proto.graph.node[0].metadata_props.append(onnx.StringStringEntryProto(key="pkg.torch.onnx.name_scopes", value=metadata))
    assert graph_of(proto).nodes[0].scope == scope


def test_types_are_named_as_numpy_names_them() -> None:
    graph = graph_of(model("(float[1] a, double[1] b, bfloat16[1] c, seq(float[1]) s) => (float y) { y = Relu(a) }"))
    assert [tensor.dtype for tensor in graph.inputs] == ["float32", "float64", "bfloat16", "sequence(float32)"]


def test_dims_that_are_known_before_a_run_keep_their_symbols() -> None:
    """A Reshape to a shape that is computed loses them."""
    made = model(
        """(float[batch,6] x, int64[2] s) => (float[?,?] y) {
            a = Relu(x) b = Reshape(a, s) y = Neg(b) }"""
    )
    found = graph_of(made, values={"s": [2, 3]}, dims={"batch": 1}).symbolic_dims
    assert found is not None
    assert (found["x"], found["a"]) == (("batch", 6), ("batch", 6))
    assert None in found.get("b", (None,))
    assert graph_of(model("(float[1,6] x) => (float[1,6] y) { y = Relu(x) }")).symbolic_dims is None


def test_channels_before_they_are_padded() -> None:
    """Five of the input and twelve of the output; of two padded blocks behind each other nothing says which are padded."""
    sizes = {"x": 5, "r": 8, "s": 8, "k": 16, "c": 16, "y": 12}
    x, r, s, k, c, y = (tensor(name, 1, size, 4, 4) for name, size in sizes.items())
    first, last = node(f"{BLOCKED}.ReorderInput", [x], [r]), node(f"{BLOCKED}.ReorderOutput", [c], [y], channels=12)
    joined, bounded = node("Concat", [r, r], [k], axis=1), node("Relu", [r], [s])
    for read, between, expected in ((r, (), 5), (k, (joined,), None), (s, (bounded,), 5)):
        conv = node(f"{BLOCKED}.Conv", [read, None, None, None], [c], kernel_shape=(1, 1))
        noted = note_true_channels([first, *between, conv, last])[-2]
        assert (noted.attributes.get("channels"), noted.attributes.get("input_channels")) == (12, expected)
