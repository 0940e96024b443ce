"""ONNX exports without weights, a few kilobytes each, of models with known figures; and archives of any files."""

from __future__ import annotations

import io
import lzma
import math
import tarfile
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from scripts.export import torchvision_models, ultralytics_models

LARGEST_PAYLOAD = {"f": 64, "i": 1024}  # bytes by kind of dtype: smaller tensors may determine shapes and are kept
# fmt: off
NEWER_EXPORTER = (
    "alexnet", "convnext_tiny", "deeplabv3_mobilenet_v3_large", "densenet121", "efficientnet_b0", "googlenet",
    "lraspp_mobilenet_v3_large", "mnasnet0_5", "mobilenet_v2", "mobilenet_v3_small", "r2plus1d_18",
    "regnet_y_400mf", "resnet18", "resnet50", "shufflenet_v2_x1_0", "squeezenet1_1", "swin_t", "vgg11_bn", "vit_b_32",
)
# fmt: on
"""Models that are also exported with torch.export, so that both kinds of graphs are in the archive. RAFT is not among them: the
exporter folds its first convolution of a flow that is zero everywhere.
"""
NEWER_EXPORTER_ALONE = ("mvit_v1_b", "mvit_v2_s")
"""The older exporter writes their tensor_split as loops over sequences, and takes all memory for the second."""


def source_of(name: str) -> Any:
    """The module that builds the model."""
    return ultralytics_models if name in ultralytics_models.MODELS else torchvision_models


def export(name: str, *, newer: bool) -> bytes:
    """The model as ONNX without its weights. The older exporter keeps BatchNormalization, the newer one folds it."""
    import onnx
    import torch

    torch.backends.mha.set_fastpath_enabled(False)
    model, inputs = source_of(name).build(name)
    older = {"opset_version": 17, "training": torch.onnx.TrainingMode.PRESERVE, "do_constant_folding": False}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        torch.onnx.export(model, inputs, str(path), dynamo=newer, **({"external_data": True} if newer else older))
        return bytes(skeleton(onnx.load(path, load_external_data=False)).SerializeToString(deterministic=True))


def skeleton(model: Any) -> Any:
    """The model without the payload of its larger tensors, stored shapes, documentation and stack traces."""
    import onnx

    for tensor in tensors(model.graph):
        dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.data_type)
        if math.prod(tensor.dims) * dtype.itemsize > LARGEST_PAYLOAD.get(dtype.kind, 1024):
            for field in ("raw_data", "float_data", "int32_data", "int64_data", "double_data", "uint64_data", "external_data"):
                tensor.ClearField(field)
            tensor.data_location = tensor.EXTERNAL
            tensor.external_data.add(key="location", value="weights-not-stored")
        tensor.ClearField("doc_string")
    for graph in graphs(model.graph):
        graph.ClearField("value_info")
        for item in (graph, *graph.node, *graph.input, *graph.output):
            item.ClearField("doc_string")
        for node in graph.node:
            kept = [entry for entry in node.metadata_props if entry.key == "pkg.torch.onnx.name_scopes"]
            node.ClearField("metadata_props")
            node.metadata_props.extend(kept)
        for tensor in graph.initializer:
            tensor.ClearField("metadata_props")
    model.graph.ClearField("metadata_props")
    return model


def graphs(graph: Any) -> Iterator[Any]:
    """The graph and all graphs inside its nodes."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") or attribute.graphs else ():
                yield from graphs(inner)


def tensors(graph: Any) -> Iterator[Any]:
    """The tensors stored anywhere in the graph."""
    for inner in graphs(graph):
        yield from inner.initializer
        for node in inner.node:
            for attribute in node.attribute:
                yield from (attribute.t, *attribute.tensors) if attribute.HasField("t") else attribute.tensors


def pack(target: Path, paths: Iterable[Path]) -> None:
    """Writes the files into one archive, in this order: the same bytes for the same skeletons."""
    memory = io.BytesIO()
    with tarfile.open(fileobj=memory, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for path in paths:
            entry = tarfile.TarInfo(path.name)
            entry.size = path.stat().st_size
            archive.addfile(entry, io.BytesIO(path.read_bytes()))
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 6, "dict_size": 1 << 26}]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(lzma.compress(memory.getvalue(), format=lzma.FORMAT_XZ, filters=filters))
    print(f"{target.name}: {target.stat().st_size:,} bytes")
