"""Operators of other tools: what they keep of the shape, and what is behind them."""

from __future__ import annotations

import pytest

import onnxcost
from tests.modeltext import model

QONNX = ', "qonnx.custom_op.general" : 1'

# nodes and domains, shape of y, FLOPs (Quant: /s, +z, rounding, two bounds, -z, *s: 7 an element), parameters
KEPT = {
    "Quant": ("y = qonnx.custom_op.general.Quant(x, s, z, n)", QONNX, (1, 3, 4), 12 * 7, 0),
    "BipolarQuant": ("y = qonnx.custom_op.general.BipolarQuant(x, s)", QONNX, (1, 3, 4), 12 * 2, 0),
    "Trunc": ("y = qonnx.custom_op.general.Trunc(x, s, z, n, n)", QONNX, (1, 3, 4), 12 * 8, 0),
    "FloatQuant": ("y = qonnx.custom_op.general.FloatQuant(x, s, n, n, n, n, n)", QONNX, (1, 3, 4), 12 * 5, 0),
    "a scale a channel": ("y = qonnx.custom_op.general.Quant(x, c, z, n)", QONNX, (1, 3, 4), 12 * 7, 0),
    "a tokenizer's": ("y = ai.onnx.contrib.StringLower(x)", ', "ai.onnx.contrib" : 1', (1, 3, 4), 0, 0),
}


@pytest.mark.parametrize(("node", "domains", "shape", "flops", "parameters"), KEPT.values(), ids=KEPT.keys())
def test_the_shape_is_kept(node: str, domains: str, shape: tuple[int, ...], flops: int, parameters: int) -> None:
    text = f"(float[1,3,4] x) => (float y) <float s = {{1}}, float z = {{0}}, float n = {{4}}> {{ {node} }}"
    report = onnxcost.estimate(model(text, domains=domains, c=(3, 1)))
    assert report.graph.outputs[0].shape == shape
    assert (report.flops, report.parameters, report.complete) == (flops, parameters, True)


def test_a_quantized_weight_is_a_parameter() -> None:
    text = """(float[1,8] x) => (float y) <float s = {1}, float z = {0}, float n = {4}> {
        q = qonnx.custom_op.general.Quant(w, s, z, n) y = MatMul(x, q) }"""
    report = onnxcost.estimate(model(text, domains=QONNX, w=(8, 6)))
    assert (report.macs, report.parameters, report.complete) == (48, 48, True)


@pytest.mark.parametrize("key", ["EfficientNMS_TRT", "TRT.EfficientNMS_TRT"])
def test_detections_of_a_plugin(key: str) -> None:
    text = f"(float[2,50,4] b, float[2,50,8] s) => (int32 n, float d, float p, int32 c) {{ n, d, p, c = {key} <max_output_boxes = 9> (b, s) }}"  # noqa: E501
    report = onnxcost.estimate(model(text, domains=', "TRT" : 1'))
    assert [tensor.shape for tensor in report.graph.outputs] == [(2, 1), (2, 9, 4), (2, 9), (2, 9)]
    assert (report.macs, report.complete, report.bound) == (0, True, "upper")
