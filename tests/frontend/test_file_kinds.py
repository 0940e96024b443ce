"""What a file is that is no ONNX model: said in one line, with what to do, and without anything of what is in it."""

from __future__ import annotations

import gzip
import io
import lzma
import pickle
import tarfile
import zipfile
from bz2 import compress
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from onnxcost.errors import ModelError
from onnxcost.frontend.reader import read_skeleton
from tests.modeltext import model

RELU = model("(float[2,3] x) => (float[2,3] y) { y = Relu(x) }")
LFS = (
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\n"
)


def zipped(name: str) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(name, bytes(2000))
    return file.getvalue()


def tarred() -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("model.onnx"), io.BytesIO())
    return file.getvalue()


def saved_array() -> bytes:
    file = io.BytesIO()
    np.save(file, np.zeros(3))
    return file.getvalue()


def text_of(suffix: str) -> bytes:
    from onnx.serialization import registry

    content = registry.get(suffix).serialize_proto(RELU)
    return content if isinstance(content, bytes) else content.encode()


KINDS: dict[str, tuple[bytes, str]] = {
    "git-lfs": (LFS, "git lfs pull"),
    "git-lfs, CRLF": (LFS.replace(b"\n", b"\r\n"), "git lfs pull"),
    "git-annex": (b"/annex/objects/SHA256E-s1--ab.onnx\n", "git annex get"),
    "HTML": (b"\n <!DOCTYPE html><html><title>404</title></html>", "an HTML page"),
    "HTML with a byte order mark": (b"\xef\xbb\xbf<html>" + "é".encode() * 2000, "an HTML page"),
    "HTML in Latin-1": ("<HTML><title>Fichier supprimé</title>".encode("latin-1") * 9, "an HTML page"),
    "XML": (b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>', "an XML page"),
    "OpenVINO": (b'<?xml version="1.0"?>\n<net name="m" version="11">', "OpenVINO"),
    "JSON": (b'{"message": "Not Found"}', "JSON"),
    "a report": (b'{\n  "schema": "onnxcost/1",', "an onnxcost report"),
    "text": (b"This is no model.\n" * 100, "text, not a model"),
    "text in UTF-16": ("This is no model".encode("utf-16"), "text in UTF-16"),
    "text that is cut in a character": ("é".encode() * 600, "text, not a model"),
    "ONNX as protobuf text": (text_of("textproto")[:-2], "protobuf text"),
    "ONNX as JSON": (text_of("json")[:-2], "a model as JSON"),
    "ONNX's text syntax": (text_of("onnxtxt")[:-3], "ONNX's text syntax"),
    "gzip": (gzip.compress(RELU.SerializeToString())[:-9], "gzip"),
    "bzip2": (compress(b"model")[:-9], "bzip2"),
    "xz": (lzma.compress(b"model")[:-9], "xz"),
    "zstd": (b"\x28\xb5\x2f\xfd" + bytes(50), "zstd"),
    "7z": (b"7z\xbc\xaf\x27\x1c\0\4", "7z"),
    "tar": (tarred(), "a tar archive"),
    "zip": (zipped("model.txt"), "a zip archive"),
    "PyTorch": (zipped("archive/data.pkl"), "torch.onnx.export"),
    "PyTorch, old": (pickle.dumps(0x1950A86A20F9469CFC6C, 2) + bytes(50), "torch.onnx.export"),
    "pickle": (pickle.dumps({"a": 1}, 4), "pickle"),
    "npz": (zipped("x.npy"), "npz"),
    "npy": (saved_array(), "a NumPy array"),
    "Keras": (zipped("metadata.json"), "Keras"),
    "HDF5": (b"\x89HDF\r\n\x1a\n" + bytes(50), "HDF5"),
    "safetensors": (b"\x40\0\0\0\0\0\0\0" + b'{"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', "safetensors"),
    "TensorFlow Lite": (b"\x1c\0\0\0TFL3" + bytes(50), "TensorFlow Lite"),
    "onnxruntime's format": (b"\x1c\0\0\0ORTM" + bytes(50), "onnxruntime's ORT format"),
    "GGUF": (b"GGUF\x03\0\0\0" + bytes(50), "GGUF"),
    "TensorRT": (b"ftrt" + bytes(50), "TensorRT"),
    "ELF": (b"\x7fELF\x02\x01\x01" + bytes(50), "a program"),
    "SavedModel": (b"\x08\x01\x12\x1e\x0a\x1c\x22\x05serve\x2a\x062.15.0\x32\x05abcde\x3a\x00", "SavedModel"),
    "a frozen graph": (b"\x0a\x10\x0a\x01x\x12\x0bPlaceholder" + b"\x22\x02\x08\x15", "a TensorFlow graph"),
    "zeros": (bytes(5000), "are zero"),
    "a tensor": (numpy_helper.from_array(np.zeros((40, 50), np.float32), "x").SerializeToString(), "a single tensor"),
    "a small tensor": (TensorProto(data_type=1, raw_data=bytes(4)).SerializeToString(), "a single tensor"),
    "a graph": (RELU.graph.SerializeToString(), "a single graph"),
    "a function": (
        helper.make_function("d", "f", ["x"], ["y"], [RELU.graph.node[0]], [helper.make_opsetid("", 17)]).SerializeToString(),
        "a single function",
    ),
    "a part of a download": (RELU.SerializeToString()[:-20], "as an incomplete download would"),
}


@pytest.mark.parametrize(("content", "says"), KINDS.values(), ids=KINDS.keys())
def test_a_file_is_called_what_it_is(content: bytes, says: str, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    for source in (path, content, io.BytesIO(content)):
        with pytest.raises(ModelError, match="not a readable ONNX model") as refusal:
            read_skeleton(source)
        assert says in str(refusal.value)
        assert str(refusal.value).isprintable()


def test_external_data_is_recognized_only_by_its_name(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx.data"
    path.write_bytes(np.random.default_rng(0).normal(size=1000).astype(np.float32).tobytes())
    with pytest.raises(ModelError, match="perhaps a model's external data"):
        read_skeleton(path)


@pytest.mark.parametrize("name", ["<!DOCTYPE html>", "PK\x03\x04", "\x1f\x8b", "version https://git-lfs.github.com/spec/v1"])
def test_a_model_is_read_whatever_its_first_bytes_look_like(name: str) -> None:
    made = onnx.ModelProto(producer_name=name)
    made.MergeFrom(RELU)
    made.producer_name = name
    unknown = bytes([15 << 3 | 2, len(name.encode())]) + name.encode()  # a field that ONNX does not have
    assert read_skeleton(unknown + made.SerializeToString()).model.producer_name == name
