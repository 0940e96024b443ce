"""Rules for shapes: those of windows against onnx's inference and onnxruntime, those of the first opsets by hand."""

from __future__ import annotations

import itertools
from random import Random
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, parser
from onnxruntime import InferenceSession

import onnxcost
from onnxcost.formulas.shapes import RULES, broadcast, conv_rule, pad_dims, pool_rule, product, reduction_dims
from onnxcost.graph import Node, Tensor


def node_of(op_type: str, dims: list[tuple[int, ...] | None], outputs: int = 1, **attributes: Any) -> Node:
    inputs = tuple(Tensor(f"x{index}", "float32", each) if each is not None else None for index, each in enumerate(dims))
    return Node("", op_type, "", inputs, (None,) * outputs, attributes)


def inferred(op_type: str, dims: list[tuple[int, ...]], opset: int, **attributes: Any) -> tuple[int, ...]:
    """The first output's dims, by onnx."""
    names = [f"x{index}" for index in range(len(dims))]
    made = helper.make_node(op_type, names, ["y"], **attributes)
    inputs = [helper.make_tensor_value_info(name, 1, each) for name, each in zip(names, dims, strict=True)]
    graph = helper.make_graph([made], "g", inputs, [helper.make_empty_tensor_value_info("y")])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    shape = onnx.shape_inference.infer_shapes(model, strict_mode=True).graph.output[0].type.tensor_type.shape
    return tuple(dim.dim_value for dim in shape.dim)


def window(pick: Random, rank: int) -> dict[str, Any]:
    """A window and how it moves, at random."""
    made: dict[str, Any] = {"kernel_shape": [pick.randint(1, 4) for _ in range(rank)]}
    if pick.random() < 0.7:
        made["strides"] = [pick.randint(1, 3) for _ in range(rank)]
    if pick.random() < 0.4:
        made["dilations"] = [pick.randint(1, 2) for _ in range(rank)]
    padding = pick.choice(("none", "pads", "pads", "VALID", "SAME_UPPER", "SAME_LOWER"))
    if padding == "pads":
        made["pads"] = [pick.randint(0, (made["kernel_shape"] * 2)[place] - 1) for place in range(2 * rank)]
    elif padding != "none":
        made["auto_pad"] = padding
    return made


@pytest.mark.parametrize("seed", range(40))
def test_windows(seed: int) -> None:
    pick = Random(seed)
    rank = pick.randint(1, 3)
    space, moved = tuple(pick.randint(8, 13) for _ in range(rank)), window(pick, rank)
    weight = (6, 2, *moved["kernel_shape"])
    ((_, dims),) = conv_rule()(node_of("Conv", [(2, 4, *space), weight], **moved, group=2))
    assert dims == inferred("Conv", [(2, 4, *space), weight], 17, **moved, group=2)
    ((_, turned),) = conv_rule(channels_last=True)(node_of("Conv", [(2, *space, 4), weight], **moved, group=2))
    assert turned == (dims[0], *dims[2:], dims[1])
    if "auto_pad" not in moved:
        moved["ceil_mode"] = pick.randint(0, 1)
    elif moved["auto_pad"] != "VALID":
        moved.pop("dilations", None)  # of which test_dilated_pools_that_pad_themselves has what onnxruntime makes
    ((_, pooled), (_, places)) = pool_rule(indices=True)(node_of("MaxPool", [(2, 4, *space)], **moved))
    assert pooled == places == inferred("MaxPool", [(2, 4, *space)], 22, **moved)
    ((_, turned),) = pool_rule(channels_last=None)(node_of("MaxPool", [(2, *space, 4)], **moved, channels_last=1))
    assert turned == (pooled[0], *pooled[2:], pooled[1])


DILATED = [("MaxPool", 10), ("MaxPool", 11), ("MaxPool", 12), ("MaxPool", 22), ("AveragePool", 19), ("AveragePool", 22)]
DILATED += [("LpPool", 18), ("LpPool", 22)]


@pytest.mark.parametrize("pad", ["SAME_UPPER", "SAME_LOWER"])
@pytest.mark.parametrize(("operator", "opset"), DILATED)
def test_dilated_pools_that_pad_themselves(operator: str, opset: int, pad: str) -> None:
    """As onnxruntime runs them, of 8 × 11 and of 7 × 4."""
    sizes = [(8, 11), (7, 4)], (2, 3), (1, 2, 3), (2, 3), (0, 1)
    for (height, width), k, stride, dilation, ceil_mode in itertools.product(*sizes):
        said = f'auto_pad = "{pad}", kernel_shape = [{k}, 2], strides = [{stride}, 1], dilations = [{dilation}, 2]'
        header = f'<ir_version: 8, opset_import: ["" : {opset}]>'
        model = parser.parse_model(f"""{header} g (float[1, 2, {height}, {width}] x) => (float[a, b, c, d] y) {{
            y = {operator} <{said}, ceil_mode = {ceil_mode}> (x) }}""")
        session = InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        (made,) = session.run(None, {"x": np.ones((1, 2, height, width), np.float32)})
        report = onnxcost.estimate(model)
        assert (report.graph.outputs[0].shape, report.complete) == (made.shape, True), said


@pytest.mark.parametrize("axes", [None, (0,), (1, 2), (-1,), (-3, 1)])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions(axes: tuple[int, ...] | None, keepdims: int) -> None:
    said = {"keepdims": keepdims} | ({"axes": axes} if axes is not None else {})
    assert reduction_dims(node_of("ReduceSum", [(2, 3, 4)], **said)) == inferred("ReduceSum", [(2, 3, 4)], 11, **said)


PAIRS = [((2, 3), (3,)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((1,), (5, 1)), ((4, 1, 2), (1, 3, 1)), ((0, 3), (1, 1))]


@pytest.mark.parametrize(("left", "right"), PAIRS)
def test_broadcasting(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    assert broadcast(left, right) == inferred("Add", [left, right], 17)


@pytest.mark.parametrize(
    ("left", "right"),
    [((2, 3), (3, 4)), ((3,), (3, 4)), ((2, 3), (3,)), ((5, 2, 3), (3, 4)), ((1, 2, 3), (6, 3, 4)), ((3,), (3,))],
)
def test_products(left: tuple[int, ...], right: tuple[int, ...]) -> None:
    assert product(left, right) == inferred("MatMul", [left, right], 17)


def test_pads_are_all_begins_before_all_ends() -> None:
    assert pad_dims((2, 3), (1, 0, 4, 5)) == (7, 8)
    assert pad_dims((2, 3), (0, -1, 0, -3)) == (2, 0)


X = (2, 3, 4)
RECURRENT = [(5, 2, 3), (2, 8, 3), (2, 8, 4)]
# As their first opsets defined them.
FIRST: list[tuple[Node, list[tuple[str, tuple[int, ...]]]]] = [
    (node_of("Cast", [X], to="FLOAT"), [("float32", X)]),
    (node_of("Cast", [X], to="DOUBLE"), [("float64", X)]),
    (node_of("Cast", [X], to="INT64"), [("int64", X)]),
    (node_of("Concat", [X, (2, 5, 4)]), [("float32", (2, 8, 4))]),
    (node_of("Concat", [X, (2, 3, 6)], axis=-1), [("float32", (2, 3, 10))]),
    (node_of("Split", [(6, 4)], outputs=3), [("float32", (2, 4))] * 3),
    (node_of("Split", [(2, 6, 4)], outputs=2, axis=1, split=(1, 5)), [("float32", (2, 1, 4)), ("float32", (2, 5, 4))]),
    (node_of("Split", [(2, 6)], outputs=2, axis=-1), [("float32", (2, 3))] * 2),
    (node_of("Reshape", [X], shape=(0, -1)), [("float32", (2, 12))]),
    (node_of("Reshape", [X], shape=(4, 6)), [("float32", (4, 6))]),
    (node_of("Pad", [X], paddings=(0, 1, 0, 0, 2, 3)), [("float32", (2, 6, 7))]),
    (node_of("RNN", RECURRENT, outputs=2), [("float32", (5, 2, 2, 4)), ("float32", (2, 2, 4))]),
    (node_of("GRU", RECURRENT, outputs=1), [("float32", (5, 2, 2, 4))]),
    (node_of("LSTM", RECURRENT, outputs=3), [("float32", (5, 2, 2, 4)), *[("float32", (2, 2, 4))] * 2]),
    # The second operand is broadcast to the first, along an axis that is named.
    (node_of("Add", [X, (3,)], broadcast=1, axis=1), [("float32", X)]),
    (node_of("Sum", [X, X]), [("float32", X)]),
    (node_of("GreaterOrEqual", [(2, 3), (3,)]), [("bool", (2, 3))]),
    (node_of("BatchNormalization", [(1, 3, 5), (3,), (3,), (3,), (3,)], outputs=5),
     [("float32", (1, 3, 5)), *[("float32", (3,))] * 4]),
    (node_of("Dropout", [X], outputs=2), [("float32", X), ("float32", X)]),
    (node_of("Gemm", [(3, 4), (5, 3)], transA=1, transB=1), [("float32", (4, 5))]),
    (node_of("InstanceNormalization", [(1, 3, 5), (3,), (3,)]), [("float32", (1, 3, 5))]),
    (node_of("GlobalLpPool", [(1, 3, 5, 6)]), [("float32", (1, 3, 1, 1))]),
    (node_of("LpPool", [(1, 3, 5, 6)], kernel_shape=(2, 3)), [("float32", (1, 3, 4, 4))]),
]  # fmt: skip


@pytest.mark.parametrize(("node", "types"), FIRST, ids=lambda each: each.op_type if isinstance(each, Node) else "")
def test_of_the_first_opsets(node: Node, types: list[tuple[str, tuple[int, ...]]]) -> None:
    assert [*RULES[node.op_type](node)] == types
