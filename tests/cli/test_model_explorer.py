"""The provider of node data, in Model Explorer itself: skipped where it is not installed."""

from __future__ import annotations

from pathlib import Path

import pytest

import onnxcost

pytest.importorskip("model_explorer", reason="Google's Model Explorer is not installed")

from onnxcost.cli.model_explorer import CostProvider

RESNET = str(Path(__file__).parents[2] / "models" / "resnet50_pytorch.onnx")


def test_each_node_has_its_macs_and_flops() -> None:
    macs, flops = CostProvider().run("onnxcost", RESNET, "main_graph", {}).result
    report = onnxcost.estimate(RESNET)
    assert sum(each.value for each in macs.results.values()) == report.macs
    assert sum(each.value for each in flops.results.values()) == report.flops
    assert macs.results.keys() == {cost.node.out.name for cost in report.counted}


def test_what_is_no_model_is_an_error_of_a_line(tmp_path: Path) -> None:
    (tmp_path / "model.onnx").write_bytes(b"no model")
    found = CostProvider().run("onnxcost", str(tmp_path / "model.onnx"), "main_graph", {})
    assert found.result is None
    assert "is not a readable ONNX model" in found.error
