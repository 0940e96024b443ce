"""Real models: those under ``models/`` and the light ones that the onnx package carries. Complete, and no shape wrong."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from math import prod
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

import onnxcost

MODELS = Path(__file__).parent.parent / "models"
CATALOGUE = tomllib.loads((MODELS / "models.toml").read_text())
LIGHT = sorted((Path(onnx.__file__).parent / "backend" / "test" / "data" / "light").glob("*.onnx"))
ALL = sorted(MODELS.glob("*.onnx")) + LIGHT
RUNNABLE_BYTES = 150_000_000
"""Models with more weights than this are not run here: it would take long, and their operators occur in the others."""


def name(path: Path) -> str:
    return path.stem


def test_the_nine_light_models_are_here() -> None:
    assert len(LIGHT) == 9


def test_every_model_is_in_the_catalogue() -> None:
    assert {entry["file"] for entry in CATALOGUE.values()} == {path.name for path in MODELS.glob("*.onnx")}


@pytest.mark.parametrize("path", ALL, ids=name)
def test_complete(path: Path) -> None:
    report = onnxcost.estimate(path)
    assert [(cost.node.name, cost.reason) for cost in report.uncounted] == []
    assert report.macs > 0
    assert report.memory.peak_activation_bytes is not None


def with_weights(path: Path) -> onnx.ModelProto:
    """The model with small positive numbers where its weights are not stored."""
    model = onnx.load(path, load_external_data=False)
    for tensor in stored_tensors(model.graph):
        if tensor.data_location == TensorProto.EXTERNAL:
            dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensor.CopyFrom(numpy_helper.from_array(np.full(tuple(tensor.dims), 1, dtype), tensor.name))
    return model


def stored_tensors(graph: onnx.GraphProto) -> Iterator[TensorProto]:
    yield from graph.initializer
    yield from (attribute.t for node in graph.node for attribute in node.attribute if attribute.HasField("t"))


def true_shapes(model: onnx.ModelProto, feeds: dict[str, np.ndarray]) -> dict[str, tuple[int, ...]]:
    """The shape of every value, from onnxruntime running the model as it stands, with every value as an output."""
    known = {value.name for value in model.graph.output}
    made = [output for node in model.graph.node for output in node.output if output and output not in known]
    model.graph.output.extend(onnx.ValueInfoProto(name=output) for output in made)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return dict(zip(names, (np.shape(value) for value in session.run(names, feeds)), strict=True))


@pytest.mark.parametrize("path", ALL, ids=name)
def test_shapes_are_those_of_a_real_run(path: Path) -> None:
    report = onnxcost.estimate(path)
    if report.memory.weight_bytes > RUNNABLE_BYTES:
        pytest.skip(f"{report.memory.weight_bytes:,} bytes of weights")
    feeds = {t.name: np.ones(t.shape, np.dtype(t.dtype)) for t in report.graph.inputs}
    truth = true_shapes(with_weights(path), feeds)
    found = {t.name: t.shape for node in report.graph.nodes for t in node.outputs if t is not None}
    assert {key: found[key] for key in truth} == truth


PARAMETERS = {
    "bert_base_pytorch": "equal",
    "lstm_text_pytorch": "equal",
}


@pytest.mark.parametrize("entry", CATALOGUE.values(), ids=CATALOGUE.keys())
def test_the_catalogue_is_true(entry: dict) -> None:
    import hashlib

    content = (MODELS / entry["file"]).read_bytes()
    assert hashlib.sha256(content).hexdigest() == entry["sha256"]
    model = onnx.ModelProto.FromString(content)
    assert [value.name for value in model.graph.input] == [value["name"] for value in entry["inputs"]]
    kept = [
        tensor
        for tensor in stored_tensors(model.graph)
        if prod(tensor.dims) > 256 and tensor.data_location == TensorProto.DEFAULT
    ]
    assert bool(kept) == (entry["stored"] == "weights")
