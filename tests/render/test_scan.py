"""A scan on screens of several widths: figures below figures, reasons in the place of figures, nothing beyond the edge."""

from __future__ import annotations

import pytest

from onnxcost.render.layout import ASCII, UNICODE, Screen, text_of
from onnxcost.render.scan import scan_csv, scan_lines, scan_markdown, some_labels
from onnxcost.report import CostReport
from onnxcost.scanning.results import Scan, Scanned, build_scan
from tests.measurements import MEASUREMENT

LONG = (
    "node '/a/very/long/name/of/a/node' (Reshape) is invalid: 6 elements cannot be reshaped to [4, 2] × [2]"
    + ", and so on" * 40
)


@pytest.fixture
def scan(report: CostReport, incomplete: CostReport) -> Scan:
    whole, partly = (each.to_dict(nodes=False) for each in (report, incomplete))
    timed = {**whole, "measurement": MEASUREMENT.to_dict()}
    untimed = {**whole, "measurement": {"status": "failed", "reason": "why"}}
    return build_scan(
        [
            ("whole", Scanned("zoo/whole.onnx", "ok", report=whole)),
            ("bad", Scanned("zoo/bad.onnx", "failed", "zoo/bad.onnx is empty (0 bytes)")),
            ("partly", Scanned("zoo/partly.onnx", "ok", report=partly)),
            ("long", Scanned("zoo/long.onnx", "unfinished", LONG)),
            ("timed", Scanned("zoo/timed.onnx", "ok", report=timed)),
            ("untimed", Scanned("zoo/untimed.onnx", "unmeasured", "why", report=untimed)),
        ]
    )


def lines(scan: Scan, width: int, glyphs: object = UNICODE) -> list[str]:
    return text_of(scan_lines(scan, Screen(width, glyphs))).splitlines()  # type: ignore[arg-type]


def test_figures_and_reasons(scan: Scan) -> None:
    shown = lines(scan, 100)
    assert shown[0].split()[:5] == ["Model", "Input", "MACs", "FLOPs", "Parameters"]
    assert shown[1].split()[:6] == ["whole", "1×3×8×8", "9.472", "k", "19.20", "k"]
    assert shown[2] == "  bad      is empty (0 bytes)"
    assert "≥ 9.472 k  ≥ 19.20 k" in shown[3]
    assert shown[4].startswith("  long     node '/a/very")
    assert shown[6].endswith(" …")
    assert "19.50 ms" in shown[7]
    assert "not measured" in shown[8]
    assert shown[9:] == ["  Not measured: untimed: why", "  4 of 6 models counted"]


@pytest.mark.parametrize("width", [60, 72, 80, 100, 132, 200, 300])
@pytest.mark.parametrize("glyphs", [UNICODE, ASCII])
def test_nothing_goes_beyond_the_edge(scan: Scan, width: int, glyphs: object) -> None:
    shown = lines(scan, width, glyphs)
    assert max(map(len, shown)) <= width
    assert all(any(line.startswith(f"  {row.label} ") for line in shown) for row in scan.rows)
    if glyphs is ASCII:
        assert all(line.isascii() for line in shown)


def test_what_it_is_sorted_by_is_shown_on_the_narrowest_screen(scan: Scan) -> None:
    assert "Intensity" not in lines(scan, 60)[0]
    assert "Intensity" in lines(scan._replace(sort="intensity"), 60)[0]
    assert "thop" in lines(scan._replace(sort="thop"), 60)[0]


def test_nothing_but_broken_models() -> None:
    bad = build_scan([("bad", Scanned("bad.onnx", "failed", "it is bad"))], "macs")
    assert lines(bad, 80) == ["  Model  Input", "  bad    it is bad", "  0 of 1 model counted"]
    assert scan_csv(bad) == "path,bound,status,reason\nbad.onnx,,failed,it is bad\n"
    assert scan_markdown(bad).endswith("0 of 1 model counted\n\n- bad: it is bad\n")


def test_csv(scan: Scan) -> None:
    header, *rows = (line.split(",") for line in scan_csv(scan).splitlines())
    assert (header[0], header[-3:]) == ("path", ["bound", "status", "reason"])
    assert rows[0][header.index("flops")] == "19200"
    assert [row[header.index("status")] for row in rows] == ["ok", "failed", "ok", "unfinished", "ok", "unmeasured"]
    assert rows[2][header.index("bound")] == "lower"
    assert rows[4][header.index("latency")] == "0.0195"


def test_a_few_labels_of_many() -> None:
    assert some_labels(["a", "b"]) == "a, b"
    assert some_labels([*"abcde"]) == "a, b, c, d, e"
    assert some_labels([*"abcdefg"]) == "a, b, c, d, e and 2 more"
