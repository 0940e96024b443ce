"""Every model of the repository, in every format and at every width."""

from __future__ import annotations

import csv
import io
import json
from functools import cache
from pathlib import Path

import pytest

import onnxcost
from onnxcost.render.formats import dumps
from onnxcost.render.layout import ASCII, UNICODE, Screen, text_of
from onnxcost.render.report import report_csv, report_lines, report_markdown
from onnxcost.render.tables import View
from onnxcost.report import CostReport

MODELS = sorted((Path(__file__).parents[2] / "models").glob("*.onnx"))

every_model = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)


@cache
def report_of(path: Path) -> CostReport:
    return onnxcost.estimate(path)


@every_model
@pytest.mark.parametrize("width", [80, 200])
@pytest.mark.parametrize("view", [View(), View(depth=3, top=3, sort="traffic")], ids=["operators", "modules"])
def test_it_fits_the_screen(path: Path, width: int, view: View) -> None:
    lines = text_of(report_lines(report_of(path), view, Screen(width, UNICODE))).splitlines()
    assert max(map(len, lines)) <= width
    assert len(lines) < 80 or view.depth


@every_model
def test_it_can_be_shown_in_ascii(path: Path) -> None:
    assert text_of(report_lines(report_of(path), View(), Screen(80, ASCII))).isascii()


@every_model
def test_the_formats_agree(path: Path) -> None:
    report = report_of(path)
    totals = json.loads(dumps(report.to_dict()))["totals"]
    rows = list(csv.DictReader(io.StringIO(report_csv(report, View(top=None, sort="order")))))
    assert len(rows) == len(report.graph.nodes)
    for number in ("macs", "flops", "read_bytes", "write_bytes"):
        assert sum(int(row[number] or 0) for row in rows) == totals[number]
    outermost = [row for row in csv.DictReader(io.StringIO(report_csv(report, View(depth=2)))) if row["level"] == "0"]
    assert sum(int(row["flops"]) for row in outermost) == totals["flops"]
    assert f"{totals['macs']:,}" in report_markdown(report, View())
