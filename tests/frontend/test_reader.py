"""The walk over the wire format: what is dropped, what is kept, what is refused."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxcost.errors import InputError, ModelError
from onnxcost.frontend.file_kinds import NOT_STORED
from onnxcost.frontend.reader import LARGE, read_skeleton

BIG = np.arange(100_000, dtype=np.float32)


def tensor(name: str, elements: int) -> TensorProto:
    return numpy_helper.from_array(BIG[:elements], name)


def typed_tensor(name: str, data_type: int, values: list[float] | list[bytes]) -> TensorProto:
    return helper.make_tensor(name, data_type, [len(values)], values)


def graph_with(*nodes: onnx.NodeProto, initializers: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    out = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "g", [], [out], initializer=list(initializers))


def model_with(*nodes: onnx.NodeProto, initializers: tuple[TensorProto, ...] = ()) -> onnx.ModelProto:
    return helper.make_model(graph_with(*nodes, initializers=initializers), opset_imports=[helper.make_opsetid("", 17)])


def with_function() -> onnx.ModelProto:
    constant = helper.make_node("Constant", [], ["c"], value=tensor("c", 1000))
    function = helper.make_function("local", "f", [], ["c"], [constant], [helper.make_opsetid("", 17)])
    model = model_with(helper.make_node("f", [], ["y"], domain="local"))
    model.functions.append(function)
    return model


def with_sparse() -> onnx.ModelProto:
    model = model_with(helper.make_node("Identity", ["s"], ["y"]))
    indices = numpy_helper.from_array(np.arange(1000, dtype=np.int64), "i")
    model.graph.sparse_initializer.append(helper.make_sparse_tensor(tensor("s", 1000), indices, [2000]))
    return model


def with_attribute(field: str) -> onnx.ModelProto:
    """A node whose attribute holds a large tensor in the field, or two of them."""
    indices = numpy_helper.from_array(np.arange(1000, dtype=np.int64), "i")
    sparse = helper.make_sparse_tensor(tensor("s", 1000), indices, [2000])
    node = helper.make_node("Odd", [], ["y"], domain="local")
    attribute = node.attribute.add(name="a")
    value = tensor("t", 1000) if field.startswith("t") else BRANCH if field.startswith("g") else sparse
    if field.endswith("s"):
        getattr(attribute, field).extend([value, value])
    else:
        getattr(attribute, field).CopyFrom(value)
    return model_with(node)


def with_default() -> onnx.ModelProto:
    model = with_function()
    del model.functions[0].node[:]
    model.functions[0].attribute_proto.append(helper.make_attribute("value", tensor("t", 1000)))
    return model


BRANCH = graph_with(helper.make_node("Constant", [], ["y"], value=tensor("b", 1000)))
CONDITION = helper.make_node("Constant", [], ["c"], value=helper.make_tensor("c", TensorProto.BOOL, [], [True]))
WHERE_PAYLOADS_SIT = {
    "initializer": model_with(helper.make_node("Identity", ["w"], ["y"]), initializers=(tensor("w", 1000),)),
    "Constant node": model_with(helper.make_node("Constant", [], ["y"], value=tensor("c", 1000))),
    "subgraph": model_with(CONDITION, helper.make_node("If", ["c"], ["y"], then_branch=BRANCH, else_branch=BRANCH)),
    "function": with_function(),
    "sparse initializer": with_sparse(),
    **{
        f"attribute {field}": with_attribute(field)
        for field in ("t", "g", "tensors", "graphs", "sparse_tensor", "sparse_tensors")
    },
    "default of a function": with_default(),
    "float_data": model_with(initializers=(typed_tensor("w", TensorProto.FLOAT, [1.0] * 1000),)),
    "int32_data": model_with(initializers=(typed_tensor("w", TensorProto.INT32, [70000] * 1000),)),
    "int64_data": model_with(initializers=(typed_tensor("w", TensorProto.INT64, [70000] * 1000),)),
    "double_data": model_with(initializers=(typed_tensor("w", TensorProto.DOUBLE, [1.0] * 1000),)),
    "uint64_data": model_with(initializers=(typed_tensor("w", TensorProto.UINT64, [70000] * 1000),)),
    "string_data": model_with(initializers=(typed_tensor("w", TensorProto.STRING, [b"word"] * 1000),)),
}


@pytest.mark.parametrize("model", WHERE_PAYLOADS_SIT.values(), ids=WHERE_PAYLOADS_SIT.keys())
def test_large_payloads_are_dropped_wherever_they_sit(model: onnx.ModelProto) -> None:
    skeleton = read_skeleton(model.SerializeToString())
    assert skeleton.model.ByteSize() < 1500
    assert skeleton.file_bytes == model.ByteSize()
    marked = str(skeleton.model).count(NOT_STORED)
    assert marked == str(model).count("raw_data") or marked == 1


def test_dims_names_and_types_are_kept() -> None:
    (kept,) = read_skeleton(WHERE_PAYLOADS_SIT["initializer"].SerializeToString()).model.graph.initializer
    assert (kept.name, list(kept.dims), kept.data_type) == ("w", [1000], TensorProto.FLOAT)
    assert (kept.data_location, len(kept.raw_data)) == (TensorProto.EXTERNAL, 0)


def test_what_is_small_is_kept_to_the_byte() -> None:
    model = model_with(helper.make_node("Identity", ["w"], ["y"]), initializers=(tensor("w", LARGE // 4 - 20),))
    assert read_skeleton(model.SerializeToString()).model == model


STORED_BYTES = {
    "raw_data": lambda size: TensorProto(data_type=TensorProto.INT8, dims=[size], raw_data=bytes(size)),
    "float_data": lambda size: typed_tensor("w", TensorProto.FLOAT, [1.0] * (size // 4)),
    "int32_data": lambda size: typed_tensor("w", TensorProto.INT8, [1.0] * size),
    "int64_data": lambda size: typed_tensor("w", TensorProto.INT64, [1.0] * size),
    "string_data": lambda size: typed_tensor("w", TensorProto.STRING, [b"word"] * (size // 4)),
}


@pytest.mark.parametrize("has_long_name", [False, True])
@pytest.mark.parametrize("stored", STORED_BYTES.values(), ids=STORED_BYTES.keys())
def test_tensors_of_up_to_1_kib_in_the_file_are_kept(stored: Callable[[int], TensorProto], has_long_name: bool) -> None:
    for size, stays in ((LARGE, True), (LARGE + 4, False)):
        made = stored(size)
        made.name = "w" * (2000 if has_long_name else 1)
        (kept,) = read_skeleton(model_with(initializers=(made,)).SerializeToString()).model.graph.initializer
        assert (kept == made) is stays
        assert (kept.data_location == TensorProto.EXTERNAL) is not stays
        assert (kept.name, kept.dims) == (made.name, made.dims)


@pytest.mark.parametrize(("size", "stays"), [(LARGE, True), (LARGE + 1, False)])
def test_a_large_compiled_model_in_an_attribute_is_removed(size: int, stays: bool) -> None:
    model = model_with(helper.make_node("EPContext", [], ["y"], domain="com.microsoft", ep_cache_context=b"x" * size))
    (attribute,) = read_skeleton(model.SerializeToString()).model.graph.node[0].attribute
    assert attribute.s == (b"x" * size if stays else b"")


def test_a_payload_in_many_pieces_is_as_large_as_all_of_them() -> None:
    unpacked = bytes([7 << 3, 5]) * 2000  # int64_data, element by element
    tensor = TensorProto(name="w", data_type=TensorProto.INT64, dims=[2000]).SerializeToString()
    content = onnx.ModelProto(graph=onnx.GraphProto(name="g")).SerializeToString()
    for count, stays in ((1000, True), (1025, False)):
        message = tensor + unpacked[: 2 * count]
        field = bytes([5 << 3 | 2, len(message) & 0x7F | 0x80, len(message) >> 7]) + message
        graph = bytes([7 << 3 | 2, len(field) & 0x7F | 0x80, len(field) >> 7]) + field
        (kept,) = read_skeleton(content + graph).model.graph.initializer
        assert (len(kept.int64_data), kept.data_location == TensorProto.EXTERNAL) == (count if stays else 0, not stays)


def test_a_skeleton_is_its_own_skeleton() -> None:
    once = read_skeleton(WHERE_PAYLOADS_SIT["subgraph"].SerializeToString()).model
    assert read_skeleton(once.SerializeToString()).model == once


def test_every_kind_of_source_reads_the_same(tmp_path: Path) -> None:
    model = WHERE_PAYLOADS_SIT["initializer"]
    content = model.SerializeToString()
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    sources = [path, str(path), content, io.BytesIO(content), model]
    assert len({read_skeleton(source).model.SerializeToString() for source in sources}) == 1
    assert read_skeleton(path).path == str(path)


def test_external_data_is_never_opened(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    model = onnx.ModelProto.FromString(WHERE_PAYLOADS_SIT["initializer"].SerializeToString())
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    assert list(read_skeleton(path).model.graph.initializer[0].dims) == [1000]


def nested(depth: int) -> bytes:
    """A model whose ``If`` holds an ``If``, ``depth`` deep, written by hand: protobuf itself refuses to."""
    message = b"x" * 2000
    for number in [6, 5, 1] * depth + [7]:
        size = len(message)
        varint = bytes([size & 0x7F | 0x80, size >> 7 & 0x7F | 0x80, size >> 14])
        message = bytes([number << 3 | 2]) + varint + message
    return message


WHOLE = WHERE_PAYLOADS_SIT["initializer"].SerializeToString()
NOT_A_MODEL = {
    "empty": (b"", "is empty"),
    "text": (b"this is not a model\n" * 10, "not a readable ONNX model"),
    "html": (b"<!DOCTYPE html><html></html>", "not a readable ONNX model"),
    "zip": (b"PK\x03\x04" + bytes(100), "not a readable ONNX model"),
    "zeros": (bytes(100), "not a readable ONNX model"),
    "cut in a payload": (WHOLE[:2000], "ends in the middle of a field"),
    "cut in a number": (WHOLE[:-1] + b"\xff", "not a readable ONNX model"),
    "a varint without end": (b"\x08" + b"\xff" * 20, "ends in the middle of a number"),
    "no graph": (onnx.ModelProto(ir_version=8, producer_name="p").SerializeToString(), "it has no graph"),
    "nested too deep": (nested(90), "nested more than 64 deep"),
}


@pytest.mark.parametrize(("content", "says"), NOT_A_MODEL.values(), ids=NOT_A_MODEL.keys())
def test_what_is_no_model_is_refused_in_one_line(content: bytes, says: str) -> None:
    with pytest.raises(ModelError, match=says) as refusal:
        read_skeleton(content)
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("cut", range(100, len(WHOLE) - 200, 97))
def test_a_file_cut_in_its_payload_is_refused(cut: int) -> None:
    with pytest.raises(ModelError, match="ends in the middle of a field"):
        read_skeleton(WHOLE[:cut])


def test_what_cannot_be_read_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="No such file"):
        read_skeleton(tmp_path / "missing.onnx")
    with pytest.raises(InputError, match="Is a directory"):
        read_skeleton(tmp_path)
    with pytest.raises(InputError, match="not int"):
        read_skeleton(3)


def group(number: int, *fields: bytes) -> bytes:
    """A field of the wire types 3 and 4, which ONNX has none of."""
    return bytes([number << 3 | 3]) + b"".join(fields) + bytes([number << 3 | 4])


INNER = b"\x4a\x03abc"
"""In a tensor the field 9 is its raw data."""


@pytest.mark.parametrize(
    "unknown",
    [group(12), group(9, INNER), group(9, group(9, INNER), INNER), b"\x49" + bytes(8) + b"\x4d" + bytes(4)],
    ids=["empty", "one", "nested", "of fixed sizes"],
)
def test_groups_are_kept_unseen(unknown: bytes) -> None:
    made = model_with(helper.make_node("MatMul", ["x", "w"], ["y"]), initializers=(tensor("w", 4 * LARGE),))
    read = read_skeleton(made.SerializeToString() + unknown).model
    assert [node.op_type for node in read.graph.node] == ["MatMul"]
    assert read.SerializeToString().endswith(unknown)


@pytest.mark.parametrize(
    "unknown", [b"\x4b", b"\x4b" + INNER, b"\x4c", group(9, b"\x4b")], ids=["open", "full", "no start", "inner"]
)
def test_a_group_without_its_other_end_is_refused(unknown: bytes) -> None:
    with pytest.raises(ModelError, match=r"does not start a protobuf field|does not end|does not parse"):
        read_skeleton(model_with().SerializeToString() + unknown)
