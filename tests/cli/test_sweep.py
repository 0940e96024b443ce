"""``--dim`` and ``--shape`` with several sizes: what is parsed, what is printed in which format, and how the commands end."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

import onnxcost
from onnxcost.cli.app import cli
from onnxcost.cli.sweep import expand_braces
from onnxcost.measurement import MeasurementResult, Settings, Unmeasured
from onnxcost.runtime.interleaved import InterleavedResults
from onnxcost.spec import ModelSpec
from onnxcost.symbolic import sweep as sweeps
from tests.measurements import at_batch
from tests.modeltext import model
from tests.test_hostile_strings import STRINGS, named, safe

LIMITED = model("(float[n,s,4] x) => (float[n,s,4] y) { y = Add(x, table) }", table=(1, 8, 4))
"""Of s there may be 1 or 8."""
TWO_INPUTS = model(
    "(float[n,3,h,w] image, float[n,4] side) => (float[n,3,h,w] y, float[n,4] z) { y = Relu(image) z = Relu(side) }"
)
PI = ("--device", "raspberry-pi-5-8gb")

EXPANDED: dict[str, list[str]] = {
    "1x3x{320,640}x{32,64}": ["1x3x320x32", "1x3x320x64", "1x3x640x32", "1x3x640x64"],
    "1x3x{320x320,640x640}": ["1x3x320x320", "1x3x640x640"],
    "{1..3}": ["1", "2", "3"],
    "{128..1024..448}x4": ["128x4", "576x4", "1024x4"],
    "{5..5}": ["5"],
    "1x2": ["1x2"],
}


@pytest.mark.parametrize(("text", "expected"), EXPANDED.items(), ids=EXPANDED)
def test_braces_are_those_of_a_shell(text: str, expected: list[str]) -> None:
    assert expand_braces(text) == expected


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name, made in (("m", LIMITED), ("two", TWO_INPUTS)):
        (tmp_path / f"{name}.onnx").write_bytes(made.SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(cli, list(arguments))


WRONG: dict[str, tuple[tuple[str, ...], str]] = {
    "no size": (("m.onnx", "--dim", "n=1,,2"), "--dim expects SYMBOL=8 or SYMBOL=1,2,4 or SYMBOL={1..8}, not 'n=1,,2': a dim"),
    "no number": (("m.onnx", "--dim", "n=1,two"), "not 'n=1,two'"),
    "no name": (("m.onnx", "--dim", "1,2"), "not '1,2'"),
    "a size twice": (("m.onnx", "--dim", "n=2,2"), "--dim n=2,2 has the same size twice"),
    "an empty range": (("m.onnx", "--dim", "n={4..2}"), "{4..2} is empty"),
    "no step": (("m.onnx", "--dim", "n={1..4..0}"), "{1..4..0} is empty"),
    "a huge range": (("m.onnx", "--dim", f"n={{1..{2**62}}}"), "has more than 1,000 sizes"),
    "a huge product": (("m.onnx", "--shape", "x={1..99}x{1..99}x4"), "9,801 sizes; the maximum is 1,000"),
    "many points": (("m.onnx", "--no-run", "--dim", "n={1..100}", "--dim", "s={1..100}"), "10,000 combinations; the maximum"),
    "many to time": (("m.onnx", "--dim", "n={1..65}"), "65 combinations; the maximum is 64 to time"),
    "open braces": (("m.onnx", "--shape", "x={1,2x8x4"), "--shape expects INPUT=1x3x224x224 or INPUT=1x3x{320,640}"),
    "a dim twice": (("m.onnx", "--dim", "n=1,2", "--dim", "n=4"), "--dim is given more than once for 'n'"),
    "an axis twice": (("m.onnx", "--dim", "n=1,2", "--dim", "n=4,8"), "--dim is given more than once for 'n'"),
    "a shape twice": (("m.onnx", "--shape", "x={1,2}x8x4", "--shape", "{1,2}x8x4"), "--shape is given more than once for 'x'"),
    "no such input": (("m.onnx", "--shape", "y={1,2}x8x4"), "the model has no input 'y'"),
    "no input that fits": (("m.onnx", "--shape", "{1,2}x8x5"), "--shape 1x8x5 fits no input of the model"),
    "expanded by the shell": (("m.onnx", "--shape", "x=1x8x4", "x=2x8x4"), "'x=2x8x4' is not a model: put --shape"),
    "another option": (("m.onnx", "--dim", "n=1,2", "--by", "node"), "--by cannot be used with --dim n=1,2"),
    "streams": (("measure", "m.onnx", "--dim", "n=1,2", "--concurrency", "2"), "--concurrency cannot be used with --dim n=1,2"),
    "batches": (("measure", "m.onnx", "--dim", "s=1,8", "--batches", "1,2"), "--batches cannot be used with --dim s=1,8"),
    "tokens": (("budget", "m.onnx", "--dim", "n=1,2", "--ttft", "1s"), "--ttft cannot be used with --dim n=1,2"),
    "explain": (("budget", "m.onnx", "--dim", "n=1,2", "--explain", "box"), "--explain cannot be used with --dim n=1,2"),
    "node data": (("m.onnx", "--dim", "n=1,2", "-o", "x.nodedata.json"), "'x.nodedata.json' shows the nodes at a single size"),
    "no model": (("budget", "--dim", "n=1,2"), "Missing argument 'MODEL'"),
    "a pipeline": (("--pipeline", "m.onnx", "--dim", "n=1,2"), "--dim n=1,2 asks for several sizes: only 'onnxcost estimate'"),
    **{
        command: ((command, "m.onnx", *more, "--dim", "n=1,2"), "--dim n=1,2 asks for several sizes: only 'onnxcost estimate'")
        for command, more in {
            "profile": (), "compare": ("two.onnx",), "scan": (), "scale": (), "view": ("--no-browser",), "llm": (),
            "annotate": ("-o", "out.onnx"),
        }.items()
    },
}  # fmt: skip


@pytest.mark.parametrize(("arguments", "text"), WRONG.values(), ids=WRONG)
def test_what_is_refused_is_one_line(arguments: tuple[str, ...], text: str) -> None:
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert text in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "sizes"),
    [
        (("m.onnx", "--dim", "n=1,2", "--dim", "s=1,8"), [{"n": n, "s": s} for n in (1, 2) for s in (1, 8)]),
        (("m.onnx", "--shape", "x={1,2}x8x4"), [{"x": [1, 8, 4]}, {"x": [2, 8, 4]}]),
        (("m.onnx", "--shape", "{1,2}x8x4"), [{"x": [1, 8, 4]}, {"x": [2, 8, 4]}]),
        (("two.onnx", "--shape", "image=2x3x{8x8,16x4}"), [{"image": [2, 3, 8, 8]}, {"image": [2, 3, 16, 4]}]),
        (("two.onnx", "--dim", "h={8..24..8}", "--dim", "w=4", "--dim", "n=1"), [{"h": 8}, {"h": 16}, {"h": 24}]),
    ],
)  # fmt: skip
def test_the_points(arguments: tuple[str, ...], sizes: list[dict[str, Any]]) -> None:
    result = invoke(*arguments, "--no-run", "--format", "json", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    points = json.loads(result.stdout)["sweep"]["points"]
    assert [{**point["dims"], **point["shapes"]} for point in points] == sizes
    fixed = {
        name: int(size)
        for name, size in (text.split("=") for text in arguments if text[:2] in ("w=", "n=") and "," not in text)
    }
    report = onnxcost.estimate(arguments[0], dims=fixed | points[-1]["dims"], shapes=points[-1]["shapes"])
    assert points[-1]["flops"] == report.flops


def test_sizes_that_contradict_the_graph_are_rows_with_the_reason() -> None:
    result = invoke("m.onnx", "--no-run", "--dim", "n=1", "--dim", "s=1,3,8")
    assert result.exit_code == 2
    lines = result.stdout.splitlines()
    assert [line.split() for line in lines[3:6]] == [
        ["1", "0", "32", "272", "B", "144", "B"],
        ["3", *"––––"],
        ["8", "0", "32", "384", "B", "256", "B"],
    ]
    assert "At s = 3: node 'Add_0' (Add) is invalid: Incompatible dimensions" in result.stdout
    assert result.stderr.splitlines()[-1] == "onnxcost: error: 1 of 3 points could not be counted: s = 3"


def test_every_format_has_the_points() -> None:
    arguments = ("m.onnx", "--no-run", "--quiet", "--dim", "n=1,2", "--dim", "s=8")
    markdown = invoke(*arguments, "--format", "markdown").stdout
    rows = list(csv.DictReader(io.StringIO(invoke(*arguments, "--format", "csv").stdout)))
    page = invoke(*arguments, "--format", "html").stdout
    assert "| n | MACs | FLOPs | Traffic | Activations |" in markdown
    assert [(row["n"], row["flops"], row["status"]) for row in rows] == [("1", "32", "ok"), ("2", "64", "ok")]
    assert page.startswith("<!doctype html>")


class Timed:
    """In the place of the runs: each point takes 1 ms an item but for those that fail."""

    def __init__(self, failing: int = 0, interrupts: bool = False) -> None:
        self.failing, self.interrupts = failing, interrupts
        self.asked: list[ModelSpec] = []
        self.settings = Settings()

    def __call__(self, specs: Sequence[ModelSpec], settings: Settings, **_: Any) -> InterleavedResults:
        if self.interrupts:
            raise KeyboardInterrupt
        self.asked, self.settings = list(specs), settings
        results: list[MeasurementResult] = []
        for number, spec in enumerate(specs):
            fails = number < self.failing
            results.append(Unmeasured("failed", "no memory") if fails else at_batch(spec.dims["n"], 0.001 * spec.dims["n"]))
        return InterleavedResults(tuple(results), (None,) * len(results), ())


@pytest.mark.parametrize("command", [(), ("measure",)])
def test_the_points_are_timed_together(command: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    timed = Timed()
    monkeypatch.setattr(sweeps, "measure_interleaved", timed)
    result = invoke(*command, "m.onnx", "--dim", "n=1,4", "--dim", "s=8", "--runs", "5", "--threads", "1")
    assert (result.exit_code, [spec.dims for spec in timed.asked]) == (0, [{"s": 8, "n": 1}, {"s": 8, "n": 4}])
    assert (timed.settings.runs, timed.settings.threads) == (5, 1)
    assert "1.000 ms" in result.stdout
    assert "Best batch: 1, 1,000 FPS" in result.stdout
    assert result.stderr.startswith("onnxcost: advice: at n = 1, n = 4: some runs are <slow> | so\n")


@pytest.mark.parametrize(
    ("stand", "code", "said", "shown"),
    [
        (Timed(failing=1), 3, "1 of 2 points could not be run: n = 1", "At n = 1: not measured: no memory"),
        (Timed(interrupts=True), 130, "not measured: interrupted", "Activations"),
    ],
)
def test_points_that_cannot_be_run_are_still_counted(
    stand: Timed, code: int, said: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweeps, "measure_interleaved", stand)
    result = invoke("m.onnx", "--dim", "n=1,2", "--dim", "s=8", "--quiet")
    assert result.exit_code == code
    assert result.stderr == f"onnxcost: error: {said}\n"
    assert shown in result.stdout
    assert "32 B" in result.stdout or "128 B" in result.stdout


@pytest.mark.parametrize(
    ("more", "code", "said"),
    [
        (PI, 0, ""),
        (
            ("--memory", "1KiB", *PI),
            1,
            "raspberry-pi-5-8gb: no size meets the budget (memory 1 KiB)",
        ),
        (("--memory", "1KiB"), 0, ""),
        (("--params", "1", *PI), 1, "(parameters 1)"),
    ],
)
def test_a_budget_fails_if_a_named_device_meets_it_at_no_size(more: tuple[str, ...], code: int, said: str) -> None:
    result = invoke("budget", "m.onnx", "--dim", "n=1,2", "--dim", "s=8", *more)
    assert result.exit_code == code
    assert said in result.stderr


def test_a_budget_names_the_best_batch_of_each_device() -> None:
    source = str(Path(__file__).parents[2] / "models" / "text_transformer_pytorch.onnx")
    arguments = ("budget", source, "--dim", "batch=1,8", "--dim", "sequence=32,128", *PI, "--device", "jetson-nano")
    document = json.loads(invoke(*arguments, "--format", "json").stdout)["sweep"]
    assert {(best["device"], best["dims"]["sequence"]) for best in document["best"]} == {
        (name, size) for name in ("raspberry-pi-5-8gb", "jetson-nano") for size in (32, 128)
    }
    text = invoke(*arguments).stdout
    assert "  raspberry-pi-5-8gb: best batch " in text
    assert " at sequence = 128, " in text
    alone = json.loads(invoke("budget", source, "--dim", "batch=8", "--dim", "sequence=128", *PI, "--format", "json").stdout)
    assert document["points"][-1]["devices"][0]["latency"] == alone["devices"][0]["latency"]


def test_strict_fails_for_what_is_assumed() -> None:
    assert invoke("m.onnx", "--no-run", "--strict", "--dim", "n=1,2", "--dim", "s=8").exit_code == 0
    result = invoke("m.onnx", "--no-run", "--strict", "--dim", "n=1,2")
    assert (result.exit_code, result.stderr) == (1, "onnxcost: error: --strict: assumed s = 8 (--dim s=N)\n")


@pytest.mark.parametrize("format_", ["table", "csv", "markdown"])
@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS)
def test_no_name_steers_a_terminal(text: str, format_: str, tmp_path: Path) -> None:
    (tmp_path / "hostile.onnx").write_bytes(named(text).SerializeToString())
    result = invoke("hostile.onnx", "--no-run", "--dim", f"{text}dim=1,2", "--format", format_)
    safe(result.stdout)
    safe(result.stderr)
    assert result.exit_code == 0
