"""Notes in the metadata of nodes: nothing else of the file changes, and no weight is read."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import GraphProto, ModelProto, NodeProto, external_data_helper, numpy_helper

from onnxcost.errors import InputError, ModelError
from onnxcost.frontend.annotate import annotate, function_calls
from tests.modeltext import model

BRANCHES = """
(float[2,64] x, bool c) => (float[2,64] y) {
  [fc] h = MatMul(x, w)
  [if] y = If(c) <
    then_branch = t () => (float[2,64] o) { k = Relu(h) o = Neg(k) },
    else_branch = e () => (float[2,64] o) { o = Abs(h) }>
}
"""


def made() -> ModelProto:
    built = model(BRANCHES, w=(64, 64))
    built.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((64, 64), np.float32), "w"))
    built.metadata_props.add(key="author", value="me")
    return built


def notes_in(graph: GraphProto) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    for node in graph.node:
        found[node.output[0]] = {entry.key: entry.value for entry in node.metadata_props}
        for attribute in node.attribute:
            if attribute.HasField("g"):
                found |= {f"{attribute.name}/{name}": notes for name, notes in notes_in(attribute.g).items()}
    return found


def without_notes(built: ModelProto) -> ModelProto:
    def clear(nodes: list[NodeProto]) -> None:
        for node in nodes:
            del node.metadata_props[:]
            for attribute in node.attribute:
                clear(list(attribute.g.node))

    clear(list(built.graph.node))
    del built.metadata_props[:]
    return built


def test_nodes_of_the_graph_and_of_branches_get_their_notes(tmp_path: Path) -> None:
    source, target = tmp_path / "model.onnx", tmp_path / "annotated.onnx"
    onnx.save(made(), source)
    notes = {"h": {"macs": "8192"}, "if/then/k": {"macs": "1"}, "if/else/o": {"macs": "2"}, "nowhere": {"macs": "3"}}
    assert annotate(source, target, notes, {"macs": "9"}) == 3
    found = onnx.load(target)
    assert {name: each for name, each in notes_in(found.graph).items() if each} == {
        "h": {"onnxcost.macs": "8192"},
        "then_branch/k": {"onnxcost.macs": "1"},
        "else_branch/o": {"onnxcost.macs": "2"},
    }
    assert {entry.key: entry.value for entry in found.metadata_props} == {"author": "me", "onnxcost.macs": "9"}
    assert without_notes(found) == without_notes(made())
    onnx.checker.check_model(target)


def test_earlier_notes_are_replaced_and_other_metadata_is_kept(tmp_path: Path) -> None:
    built = made()
    built.graph.node[0].metadata_props.add(key="onnxcost.old", value="1")
    built.graph.node[0].metadata_props.add(key="pkg.torch", value="fc")
    built.metadata_props.add(key="onnxcost.file_bytes", value="123")
    path = tmp_path / "model.onnx"
    onnx.save(built, path)
    for value in ("1", "2"):
        annotate(path, path, {"h": {"macs": value}}, {"macs": value})
    found = onnx.load(path)
    assert notes_in(found.graph)["h"] == {"pkg.torch": "fc", "onnxcost.macs": "2"}
    assert {entry.key: entry.value for entry in found.metadata_props} == {
        "author": "me",
        "onnxcost.file_bytes": "123",
        "onnxcost.macs": "2",
    }


def test_it_computes_the_same(tmp_path: Path) -> None:
    source, target = str(tmp_path / "model.onnx"), str(tmp_path / "annotated.onnx")
    onnx.save(made(), source)
    annotate(source, target, {"h": {"macs": "1"}, "if/then/o": {"macs": "1"}})
    feeds = {"x": np.full((2, 64), 0.5, np.float32), "c": np.array(True)}
    before, after = (onnxruntime.InferenceSession(path).run(None, feeds)[0] for path in (source, target))
    assert np.array_equal(before, after)


def test_weights_in_other_files_stay_there_unread(tmp_path: Path) -> None:
    source = tmp_path / "model.onnx"
    built = made()
    external_data_helper.convert_model_to_external_data(built, location="weights.bin", size_threshold=0)
    onnx.save(built, source)
    (tmp_path / "weights.bin").unlink()
    annotate(source, tmp_path / "annotated.onnx", {"h": {"macs": "1"}})
    before, after = (onnx.load(tmp_path / f"{name}.onnx", load_external_data=False) for name in ("model", "annotated"))
    assert after.graph.initializer == before.graph.initializer
    (tmp_path / "other").mkdir()
    with pytest.raises(InputError, match="write the annotated model to the same folder"):
        annotate(source, tmp_path / "other" / "annotated.onnx", {})
    (tmp_path / "weights.bin").write_bytes(b"weights")
    with pytest.raises(InputError, match="has the weights of"):
        annotate(source, tmp_path / "weights.bin", {})
    assert (tmp_path / "weights.bin").read_bytes() == b"weights"


def test_large_weights_are_copied_in_pieces(tmp_path: Path) -> None:
    """A tensor of 64 MiB of zeros that the disk does not have: a hole of the file."""
    built = made()
    built.graph.initializer[0].raw_data = b""
    head = built.SerializeToString()
    source, target = tmp_path / "model.onnx", tmp_path / "annotated.onnx"
    size = 2**26
    tensor = b"\x4a" + _varint(size)
    with source.open("wb") as file:
        file.write(head + b"\x3a" + _varint(len(tensor) + 1 + len(_varint(len(tensor) + size)) + size))
        file.write(b"\x2a" + _varint(len(tensor) + size) + tensor)
        file.truncate(file.tell() + size)
    tracemalloc.start()
    assert annotate(source, target, {"h": {"macs": "1"}}) == 1
    assert tracemalloc.get_traced_memory()[1] < 2**23
    tracemalloc.stop()
    assert target.stat().st_size > size


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


HOSTILE = "\x00\x1b[2J\r\n<script>\u202e" + "é" * 100


def test_strings_of_the_model_are_data(tmp_path: Path) -> None:
    built = made()
    built.graph.node[0].output[0] = built.graph.node[1].attribute[0].g.node[0].input[0] = HOSTILE
    built.graph.node[1].attribute[1].g.node[0].input[0] = HOSTILE
    source, target = tmp_path / "model.onnx", tmp_path / "annotated.onnx"
    onnx.save(built, source)
    assert annotate(source, target, {HOSTILE: {"uncounted": HOSTILE}}) == 1
    assert notes_in(onnx.load(target).graph)[HOSTILE] == {"onnxcost.uncounted": HOSTILE}


@pytest.mark.parametrize("content", [b"", b"no model", b"\x3a\xff\xff", made().SerializeToString()[:-16]])
def test_what_is_no_model_is_refused_and_nothing_written(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(ModelError):
        annotate(tmp_path / "model.onnx", tmp_path / "annotated.onnx", {})
    assert [path.name for path in tmp_path.iterdir()] == ["model.onnx"]


def test_calls_of_functions_are_told_by_their_outputs(tmp_path: Path) -> None:
    built = onnx.parser.parse_model("""
        <ir_version: 9, opset_import: ["": 18, "my": 1]>
        g (float[2] x) => (float[2] y) { h = my.f(x) y = Relu(h) }
        <domain: "my", opset_import: ["": 18]>
        f (a) => (b) { b = Neg(a) }""")
    onnx.save(built, tmp_path / "model.onnx")
    assert function_calls(str(tmp_path / "model.onnx")) == {"h"}
    assert function_calls("") == frozenset()


GROUP = bytes((15 << 3 | 3, 1 << 3 | 2, 3, 10, 1, 97, 15 << 3 | 4))
"""A group, which ONNX has none of, with a field in it that has the number of nodes."""
NUMBER = bytes((7 << 3, 5))
"""A number in a field of the number of a graph."""


@pytest.mark.parametrize("more", [GROUP, GROUP + GROUP, NUMBER, NUMBER + GROUP], ids=["group", "groups", "number", "both"])
def test_fields_that_onnx_does_not_know_are_copied(more: bytes, tmp_path: Path) -> None:
    built = model("(float[2] x) => (float[2] y) { y = Relu(x) }")
    for message in (built, built.graph, built.graph.node[0]):
        message.MergeFromString(more)
    path, target = tmp_path / "model.onnx", tmp_path / "annotated.onnx"
    path.write_bytes(built.SerializeToString())
    assert annotate(path, target, {"y": {"macs": "1"}}) == 1
    noted = onnx.load(target)
    assert notes_in(noted.graph) == {"y": {"onnxcost.macs": "1"}}
    assert len(target.read_bytes()) > len(path.read_bytes()) > 3 * len(more)
    del noted.graph.node[0].metadata_props[:]
    assert noted.SerializeToString(deterministic=True) == built.SerializeToString(deterministic=True)


FIXED = bytes((15 << 3 | 1, *range(8), 15 << 3 | 5, *range(4)))
"""Numbers of 64 and 32 bits."""


@pytest.mark.parametrize("more", [GROUP, NUMBER, FIXED], ids=["group", "number", "fixed"])
def test_fields_that_onnx_does_not_know_may_come_first(more: bytes, tmp_path: Path) -> None:
    path, target = tmp_path / "model.onnx", tmp_path / "annotated.onnx"
    path.write_bytes(more + model("(float[2] x) => (float[2] y) { y = Relu(x) }").SerializeToString())
    assert annotate(path, target, {"y": {"macs": "1"}}) == 1
    assert notes_in(onnx.load(target).graph) == {"y": {"onnxcost.macs": "1"}}


@pytest.mark.parametrize("location", ["a" * 5000, "a/" * 3000, "\n", "nowhere/x"], ids=["long", "deep", "line", "absent"])
def test_weights_may_be_in_files_that_cannot_be(location: str, tmp_path: Path) -> None:
    built = model("(float[2] x) => (float[2] y) { y = Add(x, w) }")
    built.graph.initializer.add(name="w", data_type=1, dims=[2], data_location=1).external_data.add(
        key="location", value=location
    )
    path = tmp_path / "model.onnx"
    path.write_bytes(built.SerializeToString())
    assert annotate(path, path, {"y": {"macs": "1"}}) == 1
    assert notes_in(onnx.load(path, load_external_data=False).graph) == {"y": {"onnxcost.macs": "1"}}
