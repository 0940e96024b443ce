"""Long lists in attributes: what the reader makes of them, and that counts and skeletons are as those of short ones."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import onnxcost
from onnxcost.frontend.long_lists import LONG, holds_list, numbers_in, restore_list
from onnxcost.frontend.nodes import _plain
from onnxcost.frontend.reader import read_skeleton

MANY = 50_000
GENERATOR = np.random.default_rng(0)
LISTS = {
    "integers": GENERATOR.integers(0, 300, MANY).tolist(),
    "integers of each length": [sign * (1 << bits) - (sign > 0) for sign in (1, -1) for bits in range(64)] * 300,
    "floats": GENERATOR.random(MANY, np.float32).tolist(),
    "short strings": [b"BRANCH_LEQ", b"LEAF", b""] * MANY,
    "strings of each length": [b"x" * size for size in range(200)] * 10,
}


def model_of(*nodes: onnx.NodeProto) -> onnx.ModelProto:
    x, y = (helper.make_tensor_value_info(name, TensorProto.FLOAT, [5, size]) for name, size in (("x", 4), ("y", 1)))
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(helper.make_graph(nodes, "g", [x], [y]), opset_imports=opsets)


def read_attribute(content: bytes) -> onnx.AttributeProto:
    return read_skeleton(content).model.graph.node[0].attribute[0]


def trees(count: int, depth: int) -> onnx.NodeProto:
    """``count`` full trees as a regressor, all of one depth."""
    size = 2 ** (depth + 1) - 1
    inner = 2**depth - 1
    leaves = [own for _ in range(count) for own in range(inner, size)]
    return helper.make_node(
        "TreeEnsembleRegressor", ["x"], ["y"], domain="ai.onnx.ml", n_targets=1,
        nodes_treeids=np.repeat(range(count), size).tolist(), nodes_nodeids=[*range(size)] * count,
        nodes_modes=(["BRANCH_LEQ"] * inner + ["LEAF"] * (size - inner)) * count,
        nodes_featureids=[own % 4 for own in range(size)] * count, nodes_values=[0.5] * (size * count),
        nodes_truenodeids=[2 * own + 1 if own < inner else 0 for own in range(size)] * count,
        nodes_falsenodeids=[2 * own + 2 if own < inner else 0 for own in range(size)] * count,
        target_treeids=np.repeat(range(count), size - inner).tolist(), target_nodeids=leaves,
        target_ids=[0] * len(leaves), target_weights=[0.1] * len(leaves),
    )  # fmt: skip


@pytest.mark.parametrize("elements", LISTS.values(), ids=LISTS.keys())
def test_a_long_list_is_a_tensor_with_the_same_elements(elements: list) -> None:
    content = model_of(helper.make_node("Trees", ["x"], ["y"], nodes_list=elements)).SerializeToString()
    attribute = read_attribute(content)
    assert len(content) > LONG
    assert holds_list(attribute)
    decoded = [each.decode() for each in elements] if isinstance(elements[0], bytes) else elements
    assert list(_plain(attribute)) == decoded
    restore_list(attribute)
    assert attribute == onnx.ModelProto.FromString(content).graph.node[0].attribute[0]


@pytest.mark.parametrize("field", [7, 8], ids=["floats", "integers"])
def test_a_packed_list_reads_as_an_unpacked_one(field: int) -> None:
    numbers = LISTS["floats" if field == 7 else "integers"]
    packed = np.array(numbers, np.float32).tobytes() if field == 7 else b"".join(map(varint, numbers))
    message = b"\x0a\x0anodes_list\xa0\x01" + bytes([6 if field == 7 else 7]) + framed(field, packed)
    node = framed(1, framed(5, message) + b"\x22\x05Trees")
    assert list(numbers_in(read_attribute(framed(7, node)))) == numbers


def varint(number: int) -> bytes:
    return bytes([number]) if number < 128 else bytes([number & 0x7F | 0x80]) + varint(number >> 7)


def framed(field: int, payload: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(payload)) + payload


@pytest.mark.parametrize(
    ("name", "elements", "data_type"),
    [("value_floats", [0.5] * MANY, TensorProto.FLOAT), ("value_ints", [300] * MANY, TensorProto.INT64),
     ("value_strings", [b"word", b"x" * 99] * MANY, TensorProto.STRING)],
)  # fmt: skip
def test_a_long_constant_is_a_tensor_without_data(name: str, elements: list, data_type: int) -> None:
    content = model_of(helper.make_node("Constant", [], ["c"], **{name: elements})).SerializeToString()
    attribute = read_attribute(content)
    assert (attribute.name, attribute.type) == ("value", onnx.AttributeProto.TENSOR)
    assert (list(attribute.t.dims), attribute.t.data_type) == ([len(elements)], data_type)
    assert attribute.t.data_location == TensorProto.EXTERNAL


def test_long_trees_count_as_short_ones_do() -> None:
    short, long = (onnxcost.estimate(model_of(trees(count, 6))) for count in (2, 1_000))
    assert len(model_of(trees(2, 6)).SerializeToString()) < LONG
    assert (short.parameters, long.parameters) == (2 * 127, 1_000 * 127)
    compares = [report.to_dict()["totals"]["work"]["compares"] for report in (short, long)]
    assert compares == [5 * 2 * 6, 5 * 1_000 * 6]
    assert long.memory.weight_bytes == 500 * short.memory.weight_bytes


def test_the_skeleton_of_long_trees_is_a_model_that_counts_the_same(tmp_path: Path) -> None:
    model, path = model_of(trees(300, 6)), tmp_path / "skeleton.onnx"
    onnxcost.strip(model, path)
    onnx.checker.check_model(onnx.load(path))
    assert onnx.load(path).graph == model.graph
    assert onnxcost.estimate(path).to_dict()["totals"] == onnxcost.estimate(model).to_dict()["totals"]
