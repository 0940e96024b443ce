from __future__ import annotations

import io
import re

import pytest

from onnxcost.conventions import CONVENTIONS, FLOPS, Convention
from onnxcost.render.layout import ASCII, Screen, detect_screen, text_of, write
from onnxcost.render.report import report_lines
from onnxcost.render.tables import View
from onnxcost.report import CostReport

AT_80 = """\
small.onnx  main_graph · pytorch 2.13.0 · opset 17 · 2.000 KiB file
  Input        x  float32 1×3×8×8
  Output       y  float32 1×10
  Given        side = 8
  Assumed      batch = 1 (--dim batch=N)

  MACs         9.472 k    9,472
  FLOPs        19.20 k    19,200
  Parameters   2.682 k    2,682, and 8 running statistics
  Weights      10.51 KiB  float32
  Activations  2.000 KiB  at peak
  Traffic      15.27 KiB  13.23 KiB read, 2.039 KiB written
  Intensity    1.228      FLOPs per byte
  Nodes            4      all counted
"""

OPERATORS_AT_80 = """\
  Operator  Nodes     MACs    FLOPs   Params    Traffic  of FLOPs
  Conv          1  6.912 k  13.82 k    112    2.188 KiB    72.0 %  █████████▍
  Gemm          1  2.560 k  5.120 k  2.570 k  11.08 KiB    26.7 %  ███▌
  Relu          1      0      256        0    2.000 KiB     1.3 %  ▏
  No arithmetic: 1 Reshape
"""

NODES_AT_80 = """\
  Top 2 of 4 nodes  Operator  Output      MACs    FLOPs   Params   Share
  /features/0/Conv  Conv      1×4×8×8  6.912 k  13.82 k    112    72.0 %
  /head/Gemm        Gemm      1×10     2.560 k  5.120 k  2.570 k  26.7 %
"""

TRIPLE = Convention("mine", "three for each MAC", "a test", {"macs": 3})


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def shown(report: CostReport, view: View | None = None, screen: Screen | None = None) -> str:
    return text_of(report_lines(report, view or View(), screen or Screen(80)))


def test_the_report_at_80_columns(report: CostReport) -> None:
    summary, *_ = shown(report).split("  Conventions")
    assert summary == AT_80


def test_the_tables_at_80_columns(report: CostReport) -> None:
    *_, operators, nodes = shown(report, View(top=2)).split("\n\n")
    assert operators + "\n" == OPERATORS_AT_80
    assert nodes == NODES_AT_80


def test_the_other_conventions_are_named(report: CostReport) -> None:
    text = shown(report)
    for name in CONVENTIONS.keys() - {"flops", "macs"}:
        assert f"{name} " in text


@pytest.mark.parametrize("width", [60, 80, 120, 200])
@pytest.mark.parametrize("view", [View(), View(top=None, depth=3), View(sort="traffic"), View(TRIPLE)])
def test_nothing_is_wider_than_the_screen(incomplete: CostReport, width: int, view: View) -> None:
    assert max(map(len, shown(incomplete, view, Screen(width)).splitlines())) <= width


def test_every_total_is_a_lower_bound_while_a_node_is_not_counted(incomplete: CostReport) -> None:
    summary = shown(incomplete).split("\n\n")[1]
    labels = {line.split()[0]: line for line in summary.splitlines()}
    for label in ("MACs", "FLOPs", "Activations", "Traffic"):
        assert "≥ " in labels[label]
    # What is stored is known, whatever is counted.
    for label in ("Parameters", "Weights"):
        assert "≥ " not in labels[label]
    assert labels["Nodes"].split() == ["Nodes", "8", "4", "counted,", "4", "not"]


def test_reasons_are_listed_and_their_nodes_show_no_number(incomplete: CostReport) -> None:
    text = shown(incomplete)
    assert "Not counted: 4 of 8 nodes, so every total is a lower bound\n    3 × NonMaxSuppression: depends on data\n" in text
    row = next(line for line in text.splitlines() if line.startswith("  NonMaxSuppression"))
    assert row.split() == ["NonMaxSuppression", "3", "?", "?", "0", "?"]


def test_a_complete_report_has_no_lower_bound(report: CostReport) -> None:
    assert "≥" not in shown(report)


def test_ascii(incomplete: CostReport) -> None:
    assert shown(incomplete, View(depth=2), Screen(80, ASCII)).isascii()


def test_another_convention_gets_a_column(report: CostReport) -> None:
    text = shown(report, View(TRIPLE))
    assert "of mine" in text
    assert "  mine         28.42 k    28,416\n" in text


def test_repeats_are_marked(repeated: CostReport) -> None:
    assert "Conv ×12" in shown(repeated)


def test_only_terminals_get_color(report: CostReport, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    assert detect_screen(Terminal()).color
    assert detect_screen(io.StringIO()) == Screen(100, color=False)
    monkeypatch.setenv("NO_COLOR", "1")
    assert not detect_screen(Terminal()).color
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert not detect_screen(Terminal()).color


def test_columns_is_honoured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "72")
    assert detect_screen(Terminal()).width == detect_screen(io.StringIO()).width == 72


def test_colors_change_no_character(report: CostReport) -> None:
    stream, screen = Terminal(), Screen(80, color=True)
    write(report_lines(report, View(FLOPS), screen), stream, screen)
    colored = stream.getvalue()
    assert "\x1b[" in colored
    bare = re.sub(r"\x1b\[[0-9;]*m", "", colored)
    assert [line.rstrip() for line in bare.splitlines()] == shown(report).splitlines()
