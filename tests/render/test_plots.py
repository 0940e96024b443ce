"""Plots by matplotlib: what is drawn is what the result says, in files that other programs read."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner

import onnxcost
from onnxcost.cli.app import cli
from onnxcost.errors import InputError, OnnxCostError
from onnxcost.render.plots import KINDS, draw, save_figure
from tests.measurements import measurement
from tests.modeltext import model
from tests.test_hostile_strings import STRINGS, named

pytest.importorskip("matplotlib")
MODELS = Path(__file__).parents[2] / "models"
SMALL, RESNET = MODELS / "mnist_cnn_pytorch.onnx", MODELS / "resnet50_pytorch.onnx"
TEXT = MODELS / "text_transformer_pytorch.onnx"
HEADS = {"svg": b"<?xml", "png": b"\x89PNG\r\n\x1a\n", "pdf": b"%PDF-"}


def test_bars_are_the_shares_of_the_operators() -> None:
    report = onnxcost.estimate(RESNET)
    (axes,) = report.plot("share").axes
    flops = report.to_dict()["by_operator"]
    expected = sorted((group["flops"] for group in flops if group["flops"]), reverse=True)
    assert [bar.get_width() for bar in axes.patches] == expected
    assert axes.get_yticklabels()[0].get_text() == "Conv"


def test_the_curve_of_memory_is_that_of_the_json() -> None:
    report = onnxcost.estimate(RESNET)
    memory = report.to_dict()["memory"]
    (axes,) = report.plot("memory").axes
    assert list(axes.patches[0].get_data().values) == [step["bytes"] for step in memory["curve"]]
    assert axes.get_lines()[0].get_ydata()[0] == memory["peak_bytes"]


def test_no_point_of_a_roofline_is_above_the_roof() -> None:
    (axes,) = onnxcost.estimate(RESNET).plot("roofline").axes
    roof = axes.get_lines()[0].get_xydata()
    bandwidth, peak = roof[0][1] / roof[0][0], roof[-1][1]
    points = [point for marks in axes.collections for point in marks.get_offsets()]
    assert points
    for intensity, rate in points:
        assert rate <= min(peak, intensity * bandwidth) * 1.0001


def test_the_lines_of_formulas_are_the_totals_over_each_dim() -> None:
    found = onnxcost.scaling(TEXT)
    (axes,) = found.plot().axes
    lines = {line.get_label(): line.get_xydata() for line in axes.get_lines()}
    assert list(lines) == ["batch", "sequence"]
    for dim, points in lines.items():
        assert points[0][0] == found.domain[dim].least
        assert points[-1][0] == found.domain[dim].most
        for size, macs in points[::25]:
            assert found.at(**{dim: int(size)})["macs"] == macs
    assert axes.get_xlabel() == "size, the other dims of batch = 1, sequence = 128"


def test_a_latency_has_all_runs() -> None:
    made = measurement()
    (axes,) = made.plot().axes
    assert sum(bar.get_height() for bar in axes.containers[0]) == made.runs
    assert axes.get_lines()[0].get_xdata()[0] == made.latency.median


@pytest.mark.parametrize("format_", HEADS)
def test_the_same_figure_gives_the_same_bytes(format_: str) -> None:
    report = onnxcost.estimate(SMALL)
    first, second = (save_figure(draw(report, "memory"), format_) for _ in range(2))
    assert first.startswith(HEADS[format_])
    assert first == second


@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS)
def test_strings_of_a_model_are_labels_and_no_formulas(text: str) -> None:
    report = onnxcost.estimate(named(text))
    drawn = save_figure(draw(report), "svg")
    ElementTree.fromstring(drawn)
    assert b"<script" not in drawn


@pytest.mark.parametrize(("kind", "other"), [("memry", "memory"), ("pie", "share, memory, roofline")])
def test_another_kind_is_refused_and_the_nearest_is_named(kind: str, other: str) -> None:
    with pytest.raises(InputError, match=re.escape(other)):
        onnxcost.estimate(SMALL).plot(kind)


def test_a_result_without_plots_says_so() -> None:
    with pytest.raises(InputError, match="available: none"):
        onnxcost.compare([SMALL, RESNET], run=False).plot()


@pytest.mark.parametrize("kind", KINDS[onnxcost.CostReport])
def test_the_command_writes_a_file(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    done = CliRunner().invoke(cli, ["plot", str(SMALL), "--kind", kind, "-o", str(path)])
    assert (done.exit_code, done.output) == (0, "")
    assert path.read_bytes() == save_figure(draw(onnxcost.estimate(SMALL), kind), "svg")


@pytest.mark.parametrize("arguments", [["--kind", "latency"], ["--kind", "roofline", "--profile"], ["--profile"]])
def test_the_command_runs_the_model_where_that_is_needed(arguments: list[str], tmp_path: Path) -> None:
    path = tmp_path / "chart.png"
    done = CliRunner().invoke(cli, ["plot", str(SMALL), *arguments, "--runs", "3", "--warmup", "0", "-o", str(path)])
    assert done.exit_code == 0, done.output
    assert path.read_bytes().startswith(HEADS["png"])


@pytest.mark.parametrize("sizes", [{"batch": [1, 2, 8]}, {"batch": [1, 4], "sequence": [16, 64]}])
@pytest.mark.parametrize("devices", [(), ("jetson-nano", "rtx-4090")])
def test_a_sweep_has_a_line_for_each_combination_of_the_other_sizes(
    sizes: dict[str, list[int]], devices: tuple[str, ...]
) -> None:
    swept = onnxcost.sweep(TEXT, dims=sizes, devices=devices)
    (axes,) = swept.plot("memory").axes
    assert [text.get_text() for text in axes.get_xticklabels()] == [str(size) for size in sizes["batch"]]
    drawn = sorted(value for line in axes.lines for value in line.get_ydata())
    assert drawn == sorted(point.cost.peak_activation_bytes for point in swept.points if point.cost)
    assert len(axes.lines) == len(sizes.get("sequence", [0]))
    if devices:
        (axes,) = swept.plot().axes
        assert len(axes.lines) == len(devices) * len(sizes.get("sequence", [0]))
        assert b"<svg" in save_figure(draw(swept), "svg")
    else:
        with pytest.raises(InputError, match="no size has this result"):
            swept.plot("latency")


def test_the_command_draws_several_sizes(tmp_path: Path) -> None:
    path = tmp_path / "chart.svg"
    done = CliRunner().invoke(cli, ["plot", str(SMALL), "--kind", "memory", "--dim", "batch=1,2", "-o", str(path)])
    assert (done.exit_code, done.output) == (0, "")
    assert path.read_bytes() == save_figure(draw(onnxcost.sweep(SMALL, dims={"batch": [1, 2]}), "memory"), "svg")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["-o", "chart.bmp"], ".svg, .png, .pdf"),
        (["--kind", "memory", "--profile", "-o", "a.svg"], "not memory"),
        (["--dim", "batch=1,2", "-o", "a.svg"], "with several sizes, memory and latency can be plotted, not share"),
        (["--dim", "batch=1,2", "-o", "a.bmp"], ".svg, .png, .pdf"),
    ],
)
def test_what_cannot_be_drawn_is_said_in_one_line(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(cli, ["plot", str(SMALL), *arguments])
    assert done.exit_code == 2
    assert says in done.output
    assert done.output.count("\n") == 1


@pytest.mark.parametrize("kind", ["share", "roofline"])
def test_a_model_without_work_has_no_such_chart(kind: str) -> None:
    empty = onnxcost.estimate(model("(float[2] x) => (float[2] y) { y = Identity(x) }"))
    with pytest.raises(InputError, match=r"nothing to plot|no roofline can be plotted"):
        empty.plot(kind)


def test_a_notebook_shows_the_chart_with_the_table() -> None:
    shown = onnxcost.estimate(SMALL)._repr_html_()
    assert "<table" in shown
    assert '<img alt="chart" src="data:image/png;base64,' in shown


@pytest.mark.parametrize("kind", ["share", "memory", "roofline"])
@pytest.mark.parametrize("dims", [4, 6, 12, 20])
def test_numbers_that_no_axis_has_are_drawn_or_refused_in_one_line(kind: str, dims: int, tmp_path: Path) -> None:
    sizes = ",".join([str(2**62)] * dims)
    path = tmp_path / "model.onnx"
    path.write_bytes(model(f"(float[{sizes}] x) => (float[{sizes}] y) {{ z = Relu(x) y = Neg(z) }}").SerializeToString())
    result = CliRunner().invoke(cli, ["plot", str(path), "--kind", kind, "-o", str(tmp_path / "x.svg")])
    assert result.exit_code == (0 if dims < 11 else 2), result.output
    assert "bug in onnxcost" not in result.output
    assert len(result.stderr.splitlines()) == (dims >= 11)


def test_a_memory_of_no_bytes_is_drawn_without_a_warning() -> None:
    report = onnxcost.estimate(model("(float[0,4] x) => (float[0,4] y) { z = Relu(x) y = Neg(z) }"))
    assert save_figure(draw(report, "memory"), "svg").startswith(HEADS["svg"])


def test_a_font_that_cannot_be_read_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    figure = draw(onnxcost.estimate(SMALL))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("failed to load glyph")

    monkeypatch.setattr(figure, "savefig", fail)
    with pytest.raises(OnnxCostError, match=r"^matplotlib cannot draw the chart: failed to load glyph$"):
        save_figure(figure, "svg")
