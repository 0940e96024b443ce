"""The models that the onnx package carries for its backends: simple, pytorch-converted, pytorch-operator, light."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

import onnxcost
from onnxcost.formulas import UNCOUNTABLE

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data"
FOLDERS = [
    path.parent
    for kind in ("simple", "pytorch-converted", "pytorch-operator")
    for path in sorted(DATA.glob(f"{kind}/*/model.onnx"))
]


def test_there_are_many() -> None:
    assert len(FOLDERS) > 100


def stored(folder: Path, kind: str) -> list[TensorProto]:
    """The tensors of the first data set; what is no tensor (a sequence) reads as one without a type."""
    files = sorted(folder.glob(f"test_data_set_0/{kind}_*.pb"), key=lambda path: int(path.stem.rsplit("_", 1)[1]))
    return [TensorProto.FromString(file.read_bytes()) for file in files]


def given(model: onnx.ModelProto, tensors: list[TensorProto]) -> tuple[dict[str, Any], dict[str, tuple[int, ...]]]:
    """The values of integers and strings that may decide a shape, and the shapes of the other inputs."""
    constants = {tensor.name for tensor in model.graph.initializer}
    inputs = [value for value in model.graph.input if value.name not in constants and value.type.HasField("tensor_type")]
    arrays = {v.name: numpy_helper.to_array(t) for v, t in zip(inputs, tensors, strict=False) if t.data_type}
    values = {
        name: array for name, array in arrays.items() if array.dtype.kind in "iubO" and array.size <= 64 and array.ndim < 2
    }
    return values, {name: array.shape for name, array in arrays.items() if name not in values}


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)
def test_complete_and_of_the_expected_shapes(folder: Path) -> None:
    model = onnx.load(folder / "model.onnx")
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    del model.graph.value_info[:]
    values, shapes = given(model, stored(folder, "input"))
    report = onnxcost.estimate(model, values=values, shapes=shapes)
    assert {cost.node.key: cost.reason for cost in report.uncounted if cost.node.key not in UNCOUNTABLE} == {}
    if not report.complete:
        return  # the shapes behind what cannot be counted stay open as well
    for found, tensor in zip(report.graph.outputs, stored(folder, "output"), strict=True):
        expected = np.array(tensor.dims)
        assert found.is_shaped
        assert found.rank == len(expected)
        assert np.all(np.array(found.shape) >= expected) if found.is_bound else found.shape == tuple(tensor.dims)
