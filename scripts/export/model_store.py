"""Stores an exported model in models/, without its weights unless it is small, and updates its entry in models/models.toml.

A skeleton keeps the graph, names, dims and dtypes. Each tensor of more than 1 KiB loses its data and points to an external
file that does not exist. Stack traces and doc strings are removed, too (they are large and contain local paths); the module
scopes of PyTorch's newer exporter are kept.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")  # looked at when onnxruntime is imported

import numpy as np
import onnx
import onnxruntime
from onnx.external_data_helper import load_external_data_for_tensor, uses_external_data

ROOT = Path(__file__).resolve().parents[2]
MODELS = ROOT / "models"
INLINE_BYTES = 1024
ABSENT_FILE = "weights-not-stored"
KEPT_METADATA = {"pkg.torch.onnx.name_scopes", "pkg.torch.onnx.class_hierarchy"}
DATA_FIELDS = (
    "raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "string_data", "external_data",
)  # fmt: skip
HEADER = """\
# The models of this folder. The scripts in ../scripts make them and write this file; `command` says which.
# stored = "skeleton": tensors of more than 1 KiB have no data and point to a file that does not exist.
# stored = "weights": complete, runs as it is. parameters = the framework's own count. All weights are random.

"""


@dataclass(frozen=True)
class Origin:
    """Where a model comes from. ``parameters`` is the framework's own count."""

    architecture: str
    framework: str
    exporter: str
    module: str
    parameters: int
    provenance: str


def run(names: Iterable[str], doc: str, export: Callable[[str, Path], tuple[Path, Origin, bool]]) -> None:
    """The command line of an export script: exports the models named, all of ``names`` by default, and stores each."""
    names = list(names)
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"what to export, default all: {', '.join(names)}")
    parser.add_argument("--exports", type=Path, default=ROOT / "build" / "exports", help="folder of the complete exports")
    arguments = parser.parse_args()
    if unknown := set(arguments.names) - set(names):
        parser.error(f"no such model: {', '.join(sorted(unknown))} (there are: {', '.join(names)})")
    arguments.exports.mkdir(parents=True, exist_ok=True)
    if len(arguments.names) == 1:
        print(store(*export(arguments.names[0], arguments.exports)), flush=True)
        return
    module = sys.modules["__main__"].__spec__.name
    for name in arguments.names or names:  # a process each: exporters number names over the lifetime of a process
        subprocess.run([sys.executable, "-m", module, name, "--exports", arguments.exports.resolve()], check=True, cwd=ROOT)


def check(path: Path, feeds: Mapping[str, np.ndarray], expected: Iterable[np.ndarray], tolerance: float | None) -> None:
    """Runs the export in onnxruntime; each output must be the framework's within ``tolerance`` of its range.

    None accepts every finite value of the right shape, for quantized models.
    """
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    outputs = session.run(None, dict(feeds))
    errors = []
    for output, reference in zip(outputs, expected, strict=True):
        if output.shape != reference.shape or not np.isfinite(output).all():
            raise SystemExit(f"{path.name}: onnxruntime gives {output.shape} or no finite values, not {reference.shape}")
        if not (spread := float(np.ptp(reference))):
            raise SystemExit(f"{path.name}: an output of the framework is constant, so that comparing proves nothing")
        errors.append(float(np.abs(output - reference).max()) / spread)
    print(f"{path.name}: onnxruntime is off by at most {max(errors):.1e} of the outputs' range", flush=True)
    if tolerance is not None and max(errors) > tolerance:
        raise SystemExit(f"{path.name}: onnxruntime and the framework differ")


def store(export: Path, origin: Origin, keep_weights: bool) -> str:
    """Writes models/<file> and its entry in models.toml; returns a line that says what was stored."""
    model = onnx.load(export, load_external_data=False)
    for tensor in tensors(model):
        if uses_external_data(tensor) and (keep_weights or payload_bytes(tensor) <= INLINE_BYTES):
            load_external_data_for_tensor(tensor, str(export.parent))
            tensor.data_location = onnx.TensorProto.DEFAULT
            tensor.ClearField("external_data")
        if not keep_weights and payload_bytes(tensor) > INLINE_BYTES:
            drop_data(tensor)
    drop_remarks(model)
    data = model.SerializeToString(deterministic=True)
    (MODELS / export.name).write_bytes(data)
    write_entry(export.stem, entry(model, export, origin, keep_weights, data))
    return f"{export.name}: {len(data):,} bytes, {len(model.graph.node)} nodes, {origin.parameters:,} parameters"


def messages(message: Any, kind: type) -> Iterator[Any]:
    """All messages of one kind at any depth of a protobuf message, including subgraphs, attributes and functions."""
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        for child in value if hasattr(value, "__len__") else [value]:
            if isinstance(child, kind):
                yield child
            yield from messages(child, kind)


def tensors(model: onnx.ModelProto) -> list[onnx.TensorProto]:
    return list(messages(model, onnx.TensorProto))


def payload_bytes(tensor: onnx.TensorProto) -> int:
    """Bytes of the elements, from dims and dtype alone; strings have no fixed width and count as 0."""
    if tensor.data_type == onnx.TensorProto.STRING:
        return 0
    return int(np.prod(tensor.dims, dtype=np.int64)) * onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize


def drop_data(tensor: onnx.TensorProto) -> None:
    for name in DATA_FIELDS:
        tensor.ClearField(name)
    tensor.data_location = onnx.TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=ABSENT_FILE)


def drop_remarks(model: onnx.ModelProto) -> None:
    """Clears doc strings and all metadata of nodes, values and tensors but the module scopes."""
    kinds = (onnx.GraphProto, onnx.NodeProto, onnx.ValueInfoProto, onnx.TensorProto, onnx.FunctionProto)
    for message in [found for kind in kinds for found in messages(model, kind)]:
        message.ClearField("doc_string")
        kept = [prop for prop in message.metadata_props if prop.key in KEPT_METADATA]
        message.ClearField("metadata_props")
        message.metadata_props.extend(kept)


def entry(model: onnx.ModelProto, export: Path, origin: Origin, keep_weights: bool, data: bytes) -> dict[str, Any]:
    return {
        "file": export.name,
        "architecture": origin.architecture,
        "framework": origin.framework,
        "exporter": origin.exporter,
        "opset": next(opset.version for opset in model.opset_import if opset.domain in ("", "ai.onnx")),
        "command": f"python -m {origin.module} {export.stem}",
        "stored": "weights" if keep_weights else "skeleton",
        "parameters": origin.parameters,
        "nodes": len(model.graph.node),
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
        "provenance": origin.provenance,
        "inputs": [value_entry(value) for value in model.graph.input],
        "outputs": [value_entry(value) for value in model.graph.output],
    }


def value_entry(value: onnx.ValueInfoProto) -> dict[str, Any]:
    kind = value.type.tensor_type
    dims = [dim.dim_param or dim.dim_value for dim in kind.shape.dim]
    return {"name": value.name, "dtype": onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type).name, "dims": dims}


def write_entry(name: str, new: dict[str, Any]) -> None:
    path = MODELS / "models.toml"
    entries = tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    entries[name] = new
    tables = [f"[{key}]\n" + "".join(f"{k} = {toml(v)}\n" for k, v in entries[key].items()) for key in sorted(entries)]
    path.write_text(HEADER + "\n".join(tables), encoding="utf-8")


def toml(value: Any) -> str:
    """A TOML value on one line, a list of tables one table a line."""
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(item)}" for key, item in value.items()) + " }"
    if isinstance(value, list) and value and isinstance(value[0], dict):
        return "[\n" + "".join(f"    {toml(item)},\n" for item in value) + "]"
    return json.dumps(value)
