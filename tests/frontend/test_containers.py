"""Models in containers give the report of the plain file; broken containers end in one line."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
import sys
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import onnx
import pytest

import onnxcost
from onnxcost.frontend import containers
from onnxcost.frontend.byte_source import read_stream

MODELS = Path(__file__).parents[2] / "models"
FILE = MODELS / "mnist_cnn_pytorch.onnx"
CONTENT = FILE.read_bytes()


def zipped(*names: str, content: bytes = CONTENT) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("README.md", "a model")
        for name in names:
            archive.writestr(name, content)
    return packed.getvalue()


def as_text(form: str) -> bytes:
    return bytes(onnx.serialization.registry.get(form).serialize_proto(onnx.load_model_from_string(CONTENT)))


def zstd(content: bytes) -> bytes:
    return bytes(pytest.importorskip("backports.zstd").compress(content))


def ort(path: Path, target: Path) -> bytes:
    """The model as onnxruntime saves it in its own format, without any optimization."""
    onnxruntime = pytest.importorskip("onnxruntime")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.optimized_model_filepath = str(target)
    options.add_session_config_entry("session.save_model_format", "ORT")
    onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return target.read_bytes()


PACKED: dict[str, Callable[[], bytes]] = {
    "model.onnx.gz": lambda: gzip.compress(CONTENT),
    "two members.gz": lambda: gzip.compress(CONTENT[:1000]) + gzip.compress(CONTENT[1000:]),
    "model.onnx.bz2": lambda: bz2.compress(CONTENT),
    "model.onnx.xz": lambda: lzma.compress(CONTENT),
    "model.onnx.zst": lambda: zstd(CONTENT),
    "model.zip": lambda: zipped("onnx/model.onnx"),
    "zip of gz": lambda: zipped("model.onnx"),
    "model.textproto": lambda: as_text("textproto"),
    "with a comment.pbtxt": lambda: b"# proto-file: onnx.proto\n\n" + as_text("textproto"),
    "model.json": lambda: as_text("json"),
    "with a byte order mark.json": lambda: b"\xef\xbb\xbf" + as_text("json"),
}


def report_of(source: Any) -> dict[str, Any]:
    document = onnxcost.estimate(source).to_dict()
    del document["model"]["path"]
    return document


@pytest.mark.parametrize("name", PACKED)
def test_a_container_gives_the_report_of_its_model(name: str, tmp_path: Path) -> None:
    packed = PACKED[name]()
    path = tmp_path / name
    path.write_bytes(packed)
    wanted = report_of(FILE)
    assert report_of(path) == wanted
    assert report_of(packed) == wanted
    with path.open("rb") as file:
        assert report_of(file) == wanted
    assert onnx.load_model_from_string(read_stream(str(path))) == onnx.load_model_from_string(CONTENT)


@pytest.mark.parametrize("before", ["", "# a product\n\n"])
def test_onnx_text_syntax(before: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnxtxt"
    path.write_text(
        before
        + '<ir_version: 8, opset_import: ["" : 17]> g (float[2,3] x, float[3,4] w) => (float[2,4] y) { y = MatMul(x, w) }'
    )
    assert onnxcost.estimate(path).macs == 2 * 3 * 4


@pytest.mark.parametrize("name", ["mnist_cnn_pytorch", "text_transformer_pytorch", "resnet18_int8_qdq"])
def test_onnxruntimes_own_format(name: str, tmp_path: Path) -> None:
    """What onnxruntime saved gives the report of the model, but for the names of the graph and the file."""
    path = tmp_path / f"{name}.ort"
    try:
        packed = ort(MODELS / f"{name}.onnx", path)
    except Exception:
        pytest.skip("onnxruntime cannot load a model without its weights")
    found, wanted = onnxcost.estimate(path), onnxcost.estimate(MODELS / f"{name}.onnx")
    assert found.graph.file_bytes == len(packed)
    for key in ("totals", "by_operator", "inputs", "outputs", "memory"):
        assert found.to_dict()[key] == wanted.to_dict()[key], key
    assert [node.name for node in found.graph.nodes] == [node.name for node in wanted.graph.nodes]


def test_a_model_in_a_container_is_measured(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.gz"
    path.write_bytes(gzip.compress(CONTENT))
    measured = onnxcost.measure(path, runs=3, warmup=0)
    assert measured.latency.median > 0
    assert measured.weights == "stored"


BROKEN: dict[str, tuple[Callable[[], bytes], str]] = {
    "cut gzip": (lambda: gzip.compress(CONTENT)[:5000], "compressed with gzip"),
    "gzip of zeros": (lambda: gzip.compress(bytes(10**6)), "zero"),
    "gzip of text": (lambda: gzip.compress(b"hello world, this is no model"), "text"),
    "cut bzip2": (lambda: bz2.compress(CONTENT)[:5000], "compressed with bzip2"),
    "cut xz": (lambda: lzma.compress(CONTENT)[:5000], "compressed with xz"),
    "zstd garbage": (lambda: b"\x28\xb5\x2f\xfd" + bytes(50), "zstd"),
    "two models": (lambda: zipped("a.onnx", "b/c.onnx"), "2 models, 'a.onnx', 'b/c.onnx'"),
    "a zip without a model": (lambda: zipped("a.txt"), "zip archive"),
    "a cut zip": (lambda: zipped("a.onnx")[:3000], "a zip archive, which cannot be read"),
    "broken text": (lambda: b"ir_version: 8 graph {{{", "as protobuf text, which cannot be read"),
    "broken ONNX text": (lambda: b"<ir_version: 8> agraph (", "ONNX's text syntax, which cannot be read"),
    "broken JSON": (lambda: b'{"irVersion": "x"}', "as JSON, which cannot be read"),
    "deep JSON": (lambda: b'{"graph": ' + b'{"node": [{"attribute": [{"g": ' * 5000, "as JSON, which cannot be read"),
    "an empty flatbuffer": (lambda: b"\x08\0\0\0ORTM" + bytes(100), "ORT"),
    "a flatbuffer out of range": (lambda: b"\xff\xff\0\0ORTM" + bytes(100), "onnxruntime's ORT format, which cannot be read"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_container_is_one_line(name: str, tmp_path: Path) -> None:
    make, said = BROKEN[name]
    path = tmp_path / "model"
    path.write_bytes(make())
    with pytest.raises(onnxcost.OnnxCostError, match=said) as caught:
        onnxcost.estimate(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).count("not a readable ONNX model") <= 1


def test_changed_bytes_of_a_flatbuffer_raise_nothing_else(tmp_path: Path) -> None:
    content = ort(FILE, tmp_path / "model.ort")
    draw = random.Random(1)
    for _ in range(60):
        changed = bytearray(content)
        for _ in range(4):
            changed[draw.randrange(len(changed) - 80_000 if len(changed) > 90_000 else len(changed))] = draw.randrange(256)
        with suppress(onnxcost.OnnxCostError):
            onnxcost.estimate(bytes(changed))


def test_what_is_unpacked_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(containers, "MOST_UNPACKED", 10_000)
    with pytest.raises(onnxcost.OnnxCostError, match="unpack it first"):
        onnxcost.estimate(gzip.compress(CONTENT))
    monkeypatch.setattr(containers, "MOST_TEXT", 10_000)
    with pytest.raises(onnxcost.OnnxCostError, match="save it in the binary format"):
        onnxcost.estimate(as_text("json"))


def test_without_a_decoder_of_zstd(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "compression", None)
    monkeypatch.setitem(sys.modules, "backports", None)
    with pytest.raises(onnxcost.InputError, match=r"pip install 'onnxcost\[zstd\]'"):
        onnxcost.estimate(b"\x28\xb5\x2f\xfd" + bytes(50))


def test_a_folder_with_one_model(tmp_path: Path) -> None:
    (tmp_path / "onnx").mkdir()
    (tmp_path / "onnx" / "model.onnx").write_bytes(CONTENT)
    (tmp_path / "config.txt").write_text("no model")
    report = onnxcost.estimate(tmp_path)
    assert (report.macs, report.graph.path) == (onnxcost.estimate(FILE).macs, str(tmp_path / "onnx" / "model.onnx"))
    (tmp_path / "onnx" / "other.onnx.gz").write_bytes(gzip.compress(CONTENT))
    with pytest.raises(onnxcost.InputError, match=r"2 models, 'onnx/model.onnx', 'onnx/other.onnx.gz': use 'onnxcost scan"):
        onnxcost.estimate(tmp_path)


GENAI: dict[str, tuple[Any, bool]] = {
    "names the decoder": ({"model": {"decoder": {"filename": "decoder.onnx"}}}, True),
    "names a file that is not there": ({"model": {"decoder": {"filename": "other.onnx"}}}, False),
    "names a file elsewhere": ({"model": {"decoder": {"filename": "../decoder.onnx"}}}, False),
    "is a list": ([1, 2], False),
    "has a number for a name": ({"model": {"decoder": {"filename": 3}}}, False),
}


@pytest.mark.parametrize("name", GENAI)
def test_a_folder_of_onnxruntime_genai(name: str, tmp_path: Path) -> None:
    config, is_found = GENAI[name]
    for file in ("decoder.onnx", "encoder.onnx"):
        (tmp_path / file).write_bytes(CONTENT)
    (tmp_path / "genai_config.json").write_text(json.dumps(config))
    if is_found:
        assert onnxcost.estimate(tmp_path).graph.path == str(tmp_path / "decoder.onnx")
    else:
        with pytest.raises(onnxcost.InputError, match="2 models"):
            onnxcost.estimate(tmp_path)
