from __future__ import annotations

import sys
from dataclasses import replace

import pytest

from onnxcost.analysis.memory import Memory
from onnxcost.costs import Counted, Uncounted
from onnxcost.errors import OnnxCostError
from onnxcost.graph import Graph, Node, Work
from onnxcost.operators.traffic import Traffic
from onnxcost.report import CostReport
from tests.graphs import tensor
from tests.measurements import MEASUREMENT

HUGE = 2**53 + 1
"""The first integer that a float does not hold."""


@pytest.fixture
def report() -> CostReport:
    x, y = tensor("x", 2, 3), tensor("y", 2, None)
    product = Counted(
        Node("product", "MatMul", "", (x,), (y,), {}, ("head", "0")), Work(macs=HUGE), Traffic(8, 4), "float32", 6
    )
    lost = Uncounted(Node("", "Mine", "com.acme", (y,), (tensor("z"),)), "no formula")
    graph = Graph("g", (x,), (y,), (product.node, lost.node), {})
    return CostReport(graph, (product, lost), Memory(6, 0, 24, {"float32": 24}, lambda: None))


def test_a_report_has_a_row_for_each_node(report: CostReport) -> None:
    pandas = pytest.importorskip("pandas")
    frame = report.to_pandas()
    assert list(frame["name"]) == ["product", "z"]
    assert list(frame["scope"]) == ["head/0", ""]
    assert list(frame["output_shape"]) == [(2, None), ()]
    assert frame["macs"][0] == HUGE
    assert frame["macs"][1] is pandas.NA
    assert frame["macs"].sum() == HUGE
    assert list(frame["not_counted"]) == [None, "no formula"]


def test_numbers_beyond_64_bits_stay_exact(report: CostReport) -> None:
    pytest.importorskip("pandas")
    product = report.counted[0]
    assert list(replace(report, costs=(replace(product, once=Work(macs=2**70)),)).to_pandas()["macs"]) == [2**70]


def test_a_report_of_no_nodes_has_the_columns(report: CostReport) -> None:
    pytest.importorskip("pandas")
    assert "macs" in replace(report, costs=()).to_pandas().columns


def test_a_measurement_has_a_row_for_each_run() -> None:
    pytest.importorskip("pandas")
    frame = MEASUREMENT.to_pandas()
    assert (frame.index.name, list(frame.index[:2]), len(frame)) == ("run", [1, 2], 20)
    assert frame["seconds"].median() == MEASUREMENT.latency.median


def test_without_pandas_it_says_what_to_install(report: CostReport, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    for result in (report, MEASUREMENT):
        with pytest.raises(OnnxCostError, match="pip install pandas"):
            result.to_pandas()
