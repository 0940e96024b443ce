"""What notebooks show: well-formed HTML with nothing of the model taken for markup."""

from __future__ import annotations

from xml.etree import ElementTree

from onnxcost.measurement import Advice, InputUsed
from onnxcost.report import CostReport
from tests.measurements import MEASUREMENT, measurement


def cells(html: str) -> list[list[str]]:
    """The text of each row of each table."""
    root = ElementTree.fromstring(f"<div>{html}</div>")
    return [["".join(cell.itertext()) for cell in row] for row in root.iter("tr")]


def test_a_report(incomplete: CostReport) -> None:
    html = incomplete._repr_html_()
    rows = cells(html)
    assert ["FLOPs", "≥ 19.20 k", "≥ 19,200"] in rows
    assert next(row for row in rows if row[0] == "Conv")[:4] == ["Conv", "1", "6.912 k", "13.82 k"]
    assert "<p>3 × NonMaxSuppression: depends on data</p>" in html


def test_a_measurement() -> None:
    html = MEASUREMENT._repr_html_()
    assert ["Latency", "19.50 ms", "median, 95 % confidence 15.00 to 24.00"] in cells(html)
    assert "some runs are &lt;slow&gt; | so" in html


def test_names_are_no_markup() -> None:
    name = "<script>'\"&"
    html = measurement(inputs=(InputUsed(name, "float32", (1,), "given"),), advice=(Advice("kind", name),))._repr_html_()
    assert ["Inputs", f"{name} (given)"] in cells(html)
    assert "<script" not in html
