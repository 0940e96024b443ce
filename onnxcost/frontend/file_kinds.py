"""The marks of a skeleton, and kinds of files that are not ONNX models, recognized by their first bytes if parsing fails."""

from __future__ import annotations

import re
from codecs import getincrementaldecoder
from pathlib import PurePath
from typing import NamedTuple

NOT_STORED = "weights-not-stored"
"""The external location that a tensor without its payload names."""

FILE_BYTES = "onnxcost.file_bytes"
"""The key of a stored skeleton's metadata that holds the size of the original file."""


class Kind(NamedTuple):
    """A kind of file: a pattern that must match its beginning, and the message for it."""

    pattern: bytes
    says: str


_UNPACK = "unpack it and pass the .onnx file in it"
_EXPORT = "export the model with torch.onnx.export"
_TF = "convert it with tf2onnx"
_AGAIN = "not the model: download it again"
_BINARY = "save it in the binary format with onnx.save"

BINARY: tuple[Kind, ...] = (
    Kind(rb"PK\x03\x04.{26}[^\0]{0,200}(data\.pkl|/version|/byteorder|\.format_version)", f"a PyTorch file: {_EXPORT}"),
    Kind(rb"PK\x03\x04.{26}[^\0]{0,200}\.npy", "a NumPy .npz archive, not a model"),
    Kind(rb"PK\x03\x04.{26}(metadata|config)\.json", "a Keras model: export it with model.export(path, format='onnx')"),
    Kind(rb"PK\x03\x04|PK\x05\x06", f"a zip archive: {_UNPACK}"),
    Kind(rb"\x1f\x8b", f"compressed with gzip: {_UNPACK}"),
    Kind(rb"BZh[1-9]", f"compressed with bzip2: {_UNPACK}"),
    Kind(rb"\xfd7zXZ\0", f"compressed with xz: {_UNPACK}"),
    Kind(rb"\x28\xb5\x2f\xfd", f"compressed with zstd: {_UNPACK}"),
    Kind(rb"\x04\x22\x4d\x18", f"compressed with lz4: {_UNPACK}"),
    Kind(rb"7z\xbc\xaf\x27\x1c", f"a 7z archive: {_UNPACK}"),
    Kind(rb"Rar!\x1a\x07", f"a RAR archive: {_UNPACK}"),
    Kind(rb".{257}ustar", f"a tar archive: {_UNPACK}"),
    Kind(rb"\x80[\x02-\x05](\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19|.{0,200}torch)", f"a PyTorch file: {_EXPORT}"),
    Kind(rb"\x80[\x02-\x05]", "a Python pickle, not a model: export the model in it to ONNX"),
    Kind(rb'.{5}\0{3}\{"', "a safetensors file, which has weights but no graph: export the model to ONNX"),
    Kind(rb".{4}TFL[23]", "a TensorFlow Lite model: convert it with tf2onnx --tflite"),
    Kind(rb".{4}ORTM", "a model in onnxruntime's ORT format: use the .onnx file that it was made from"),
    Kind(rb".{4}ET1[0-9]", "an ExecuTorch program: export the model with torch.onnx.export"),
    Kind(rb"GGUF|lmgg|tjgg", "a GGUF file of llama.cpp, which has no graph: export the model to ONNX"),
    Kind(rb"\x89HDF\r\n\x1a\n", f"an HDF5 file, such as a Keras model: {_TF}"),
    Kind(rb"\x93NUMPY", "a NumPy array, not a model"),
    Kind(rb"[fp]trt", "a TensorRT engine: use the .onnx file that it was built from"),
    Kind(rb"RKNN", "an RKNN model: use the .onnx file that it was converted from"),
    Kind(rb"\x7fELF|MZ.{58}|\xcf\xfa\xed\xfe|\xca\xfe\xba\xbe", "a program or a shared library, not a model"),
    Kind(rb"%PDF-|\x89PNG\r\n|\xff\xd8\xff|GIF8[79]a|RIFF", "a document or a media file, not a model"),
    Kind(rb"SQLite format 3\0|PAR1|ARROW1", "a data file, not a model"),
    Kind(rb"\xff\xfe|\xfe\xff", "text in UTF-16 or UTF-32, not a model"),
    # SavedModel: saved_model_schema_version: 1, meta_graphs { meta_info_def { … }}. GraphDef: node { name, op }.
    Kind(rb"\x08\x01\x12[\x80-\xff]{0,4}.\n[\x80-\xff]{0,4}.[\x12\x1a\x22\x2a]", f"a TensorFlow SavedModel: {_TF}"),
    Kind(rb"\n[\x80-\xff]{0,4}.\n.[\w/.:-]+\x12.(Placeholder|Const|NoOp|VarHandleOp|Identity)\b", f"a TensorFlow graph: {_TF}"),
    # CoreML: specificationVersion, description { input { name.
    Kind(rb"\x08[\x01-\x0a]\x12[\x80-\xff]{0,4}.\n[\x80-\xff]{0,4}.\n", "a Core ML model: export the model to ONNX instead"),
)

TEXT: tuple[Kind, ...] = (
    Kind(rb"version https://(git-lfs|hawser)\.github\.com/spec/", "a git-lfs pointer, not the model: git lfs pull"),
    Kind(rb"# xet version", "a Xet pointer, not the model: git lfs pull"),
    Kind(rb"[/.\w]*/?annex/objects/", "a git-annex pointer, not the model: git annex get"),
    Kind(rb"(md5: |outs:\s)", "a DVC pointer, not the model: dvc pull"),
    Kind(rb"(?i)<!doctype html|<!--|<html|<head|<body", f"an HTML page, such as an error or a login, {_AGAIN}"),
    Kind(rb"(?i)(<\?xml.{0,200}?)?<net\s", "an OpenVINO model: use the .onnx file that it was converted from"),
    Kind(rb"(?i)<\?xml|<error", f"an XML page, such as a server's error, {_AGAIN}"),
    Kind(rb"<\s*ir_version", f"a model in ONNX's text syntax: {_BINARY}"),
    Kind(rb".{0,400}?\b(ir_version|opset_import|producer_name)(:| \{)", f"a model as protobuf text: {_BINARY}"),
    Kind(rb'(?i)\{.{0,400}"(ir_?version|opset_?import|producer_?name)"', f"a model as JSON: {_BINARY}"),
    Kind(rb'\{\s*"schema": "onnxcost/', "an onnxcost report, not a model: 'onnxcost compare' reads it"),
    Kind(rb"[\[{]", "JSON, such as a server's error message, not a model"),
    Kind(rb"", "text, not a model"),
)

_BEGINNING = re.compile(rb"(\xef\xbb\xbf)?\s*")
_NOT_TEXT = re.compile(rb"[\x00-\x08\x0e-\x1a\x1c-\x1f\x7f]")
_DATA = frozenset({".data", ".bin", ".weights"})


def describe_file(head: bytes, path: str) -> str:
    """What the file that begins with ``head`` is, and what to do; "" if unknown. No byte of it is quoted."""
    if not any(head):
        return f"its first {len(head)} bytes are zero, as in an incomplete copy or download"
    found = _BEGINNING.match(head)
    kinds, start = (TEXT, found.end() if found else 0) if _is_text(head) else (BINARY, 0)
    says = next((kind.says for kind in kinds if re.compile(kind.pattern, re.DOTALL).match(head, start)), "")
    if not says and PurePath(path).suffix.lower() in _DATA:
        says = "perhaps a model's external data: pass the .onnx file that refers to it"
    return f"it is {says}" if says else ""


def _is_text(head: bytes) -> bool:
    if _NOT_TEXT.search(head):
        return False
    ascii_bytes = sum(byte < 0x80 for byte in head)
    try:
        getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return ascii_bytes > 0.8 * len(head)
    return True
