"""The graphs that onnxruntime writes: optimised at each level, after its quantizers and after its transformer optimizer.

Each is complete, and its MACs are the original's.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, quantize_dynamic, quantize_static

import onnxcost
from onnxcost.report import CostReport
from tests.test_models import MODELS, RUNNABLE_BYTES, name, with_weights

LEVELS = {
    "basic": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC,
    "extended": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED,
    "all": onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL,
}
SMALL = ("mnist_cnn_pytorch", "text_transformer_pytorch")


@cache
def original(path: Path) -> CostReport:
    return onnxcost.estimate(path)


RUNNABLE = [path for path in sorted(MODELS.glob("*.onnx")) if original(path).memory.weight_bytes <= RUNNABLE_BYTES]


def optimised(model: onnx.ModelProto, level: str, folder: Path) -> CostReport:
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = LEVELS[level]
    options.optimized_model_filepath = str(folder / "optimised.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return onnxcost.estimate(folder / "optimised.onnx")


def blocked(channels: int, folder: Path) -> CostReport:
    """16 channels to so many and back to 16, by kernels of 3 × 3 in images of 18 × 18."""
    infos = [helper.make_tensor_value_info("x", TensorProto.FLOAT, (1, 16, 18, 18))]
    results = [helper.make_empty_tensor_value_info("y")]
    sizes = {"v": (channels, 16, 3, 3), "w": (16, channels, 3, 3)}
    weights = [numpy_helper.from_array(np.ones(dims, np.float32), key) for key, dims in sizes.items()]
    nodes = [helper.make_node("Conv", ["x", "v"], ["h"]), helper.make_node("Conv", ["h", "w"], ["y"])]
    graph = helper.make_graph(nodes, "blocked", infos, results, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return optimised(model, "all", folder)


@pytest.fixture(scope="module")
def block(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many channels a block of this processor has; 1 where onnxruntime blocks none on it."""
    nodes = blocked(4, tmp_path_factory.mktemp("block")).graph.nodes
    return next((node.out.shape[1] for node in nodes if node.key == "com.microsoft.nchwc.Conv"), 1)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("path", RUNNABLE, ids=name)
def test_optimised(path: Path, level: str, tmp_path: Path, block: int) -> None:
    report = optimised(with_weights(path), level, tmp_path)
    assert [(cost.node.key, cost.reason) for cost in report.uncounted] == []
    if level == "all" and block > 8:
        # the models have channels in multiples of 8; larger blocks pad some between two convolutions
        assert report.macs >= original(path).macs
    else:
        assert report.macs == original(path).macs


@pytest.mark.parametrize("channels", [4, 5, 8, 10, 16])
def test_what_is_padded_at_the_edge_of_the_blocks_does_not_count(channels: int, tmp_path: Path) -> None:
    """Of channels that ReorderOutput drops the number is known: 256 positions and 196, 9 elements of the kernel."""
    report = blocked(channels, tmp_path)
    assert report.macs == (256 + 196) * 9 * 16 * channels


def test_what_is_padded_between_blocked_convolutions_counts(tmp_path: Path, block: int) -> None:
    """A block and a half of channels is computed as two, and nothing in the graph but the zeros in its weights says so.

    Less than a block would not be padded: the second convolution then reads it as it is.
    """
    channels = block + block // 2
    computed = -(-channels // block) * block
    assert blocked(channels, tmp_path).macs == (256 + 196) * 9 * 16 * computed


class Random(CalibrationDataReader):  # type: ignore[misc]
    """Two samples for a model's inputs."""

    def __init__(self, path: Path) -> None:
        random = np.random.default_rng(0)
        inputs = original(path).graph.inputs
        self.samples = iter([{t.name: random.random(t.shape).astype(t.dtype) for t in inputs} for _ in range(2)])

    def get_next(self) -> dict[str, Any] | None:
        return next(self.samples, None)


def stored(model: str, folder: Path) -> Path:
    """The model with weights. Its shapes are left to onnxruntime's tools, which trip over those that the exporter noted."""
    proto = with_weights(MODELS / f"{model}.onnx")
    del proto.graph.value_info[:]
    onnx.save(proto, folder / "model.onnx")
    return folder / "model.onnx"


def quantized(model: str, form: str, folder: Path) -> onnx.ModelProto:
    source, target = stored(model, folder), folder / "quantized.onnx"
    if form == "dynamic":
        quantize_dynamic(source, target)
    else:
        quantize_static(source, target, Random(MODELS / f"{model}.onnx"), quant_format=QuantFormat[form])
    return onnx.load(target)


@pytest.mark.parametrize("form", ["dynamic", "QOperator", "QDQ"])
@pytest.mark.parametrize("model", [*SMALL, "lstm_text_pytorch"])
def test_quantized(model: str, form: str, tmp_path: Path) -> None:
    if form != "dynamic" and "lstm" in model:
        pytest.skip("onnxruntime quantizes an LSTM dynamically alone")
    proto = quantized(model, form, tmp_path)
    before = original(MODELS / f"{model}.onnx")
    for report in (onnxcost.estimate(proto), optimised(proto, "extended", tmp_path), optimised(proto, "all", tmp_path)):
        assert [(cost.node.key, cost.reason) for cost in report.uncounted] == []
        assert report.macs == before.macs
        assert report.memory.parameters == before.memory.parameters


@pytest.mark.parametrize("model", ["text_transformer_pytorch", "swin_t_pytorch"])
def test_weights_of_4_bits(model: str, tmp_path: Path) -> None:
    """As many parameters as before, in fewer bytes."""
    pytest.importorskip("onnx_ir", reason="onnxruntime's quantizer of weights needs it")
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(with_weights(MODELS / f"{model}.onnx"), block_size=32, is_symmetric=False)
    quantizer.process()
    report, before = onnxcost.estimate(quantizer.model.model), original(MODELS / f"{model}.onnx")
    assert report.complete
    assert any(node.op_type == "MatMulNBits" for node in report.graph.nodes)
    assert (report.macs, report.memory.parameters) == (before.macs, before.memory.parameters)
    assert report.memory.weight_bytes < before.memory.weight_bytes


def test_transformer_optimizer(tmp_path: Path) -> None:
    pytest.importorskip("sympy", reason="onnxruntime's transformer optimizer needs it")
    from onnxruntime.transformers.optimizer import optimize_model

    model = "text_transformer_pytorch"
    proto = optimize_model(str(stored(model, tmp_path)), model_type="bert", opt_level=0).model
    report = onnxcost.estimate(proto)
    assert report.complete
    assert {"SkipLayerNormalization", "BiasGelu"} <= {node.op_type for node in report.graph.nodes}
    assert report.macs == original(MODELS / f"{model}.onnx").macs
