"""``onnxcost budget`` as people use it: what it prints where, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli
from tests.hardware.test_predictors import MINE
from tests.modeltext import model

SMALL = model("(float[batch,16] x) => (float y) { y = MatMul(x, w) }", w=(16, 8))
FIXED = model("(float[1,16] x) => (float[1,8] y) { y = MatMul(x, w) }", w=(16, 8))
BUDGET = """
[budget]
devices = ["raspberry-pi-5-8gb"]
fps = 30
[budget.models."small.onnx"]
batch = 2
[budget.models."fixed.onnx"]
params = 100
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.onnx").write_bytes(SMALL.SerializeToString())
    (tmp_path / "fixed.onnx").write_bytes(FIXED.SerializeToString())
    (tmp_path / "mine.toml").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, ["budget", *arguments])


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("small.onnx", "--fps", "30"), 0, ""),
        (("small.onnx", "--fps", "30", "--device", "raspberry-pi-5-8gb"), 0, ""),
        (("small.onnx",), 0, ""),
        (("small.onnx", "--fps", "1e9"), 2, "fps expects a quantity such as 30, not '1e9'"),
        (("small.onnx", "--fps", "1000000000"), 0, ""),
        (
            ("small.onnx", "--fps", "1000000000", "--device", "raspberry-pi-5-8gb"),
            1,
            "small.onnx: raspberry-pi-5-8gb does not fit: 600,000,000 FPS at the very most",
        ),
        (
            ("small.onnx", "--device", "hailo-8", "--device", "raspberry-pi-5-8gb"),
            1,
            "small.onnx: hailo-8 does not fit: has no float32",
        ),
        (
            ("small.onnx", "--device", "raspberry-pi-zero-2-w", "--fps", "3"),
            1,
            "raspberry-pi-zero-2-w may not fit: bandwidth not known",
        ),
        (("small.onnx", "--device", "mine", "--device-file", "mine.toml"), 0, ""),
        (("small.onnx", "--device-file", "mine.toml", "--memory", "10MiB"), 1, "mine does not fit: memory 72 MiB of 10 MiB"),
        (("small.onnx", "--device", "raspberry-pi-5-8gb,memory=64MiB"), 1, "does not fit: memory 72 MiB of 64 MiB"),
        (("small.onnx", "--params", "100"), 1, "small.onnx: parameters 128 of 100"),
        (("small.onnx", "--macs", "1k"), 0, ""),
        (("small.onnx", "--batch", "8", "--macs", "1k"), 1, "small.onnx: MACs 1.024 k of 1 k"),
        (("fixed.onnx", "--batch", "1"), 0, ""),
        (("fixed.onnx", "--batch", "8"), 2, "--batch 8: the model's batch is fixed at 1"),
        (("small.onnx", "--latency", "33"), 2, "latency expects a quantity such as 33ms"),
        (
            ("small.onnx", "--device", "raspbery-pi-5-8gb"),
            2,
            "there is no device 'raspbery-pi-5-8gb'; did you mean 'raspberry-pi-5-8gb'",
        ),
        (("small.onnx", "--price", "t4"), 2, "--price expects NAME=0.53, in dollars per hour, not 't4'"),
        (("small.onnx", "--price", "t4=cheap"), 2, "--price expects NAME=0.53, in dollars per hour, not 't4=cheap'"),
        (("small.onnx", "--price", "t4=-1"), 2, "--price expects NAME=0.53, in dollars per hour, not 't4=-1'"),
        (("small.onnx", "--price", "=1"), 2, "--price expects NAME=0.53, in dollars per hour, not '=1'"),
        (
            ("small.onnx", "--price", "rtx-4091=1"),
            2,
            "there is no device 'rtx-4091' to set a price for; did you mean 'rtx-4090'",
        ),
        (("small.onnx", "--device", "l4", "--price", "t4=1"), 2, "there is no device 't4' to set a price for"),
        (("--check", "--price", "t4=1"), 2, "omit --price"),
        (("smal.onnx", "--fps", "30"), 2, "there is no file 'smal.onnx'; did you mean 'small.onnx'?"),
        ((), 2, "no model is given: use 'onnxcost budget MODEL --fps 30'"),
        (("small.onnx", "--check"), 2, "--check takes models, devices and limits from its file: omit MODEL"),
        (
            ("--check",),
            2,
            "no budget found: there is neither a file onnxcost.toml nor [tool.onnxcost.budget] in pyproject.toml",
        ),
        (("small.onnx", "-o", "x.pdf"), 2, "'x.pdf' has no known suffix"),
    ],
)
def test_how_it_ends(arguments: tuple[str, ...], code: int, says: str) -> None:
    result = invoke(*arguments, "--quiet")
    assert result.exit_code == code, result.output
    assert says in result.stderr
    assert bool(result.stderr) == bool(says)


def test_what_was_assumed_is_said_on_stderr() -> None:
    assert invoke("small.onnx", "--fps", "30").stderr == "onnxcost: assumed: batch = 1 (--dim batch=N)\n"


def test_a_device_that_misses_is_still_shown() -> None:
    result = invoke("small.onnx", "--device", "hailo-8", "--quiet")
    assert "hailo-8" in result.stdout
    assert "int8: " in result.stdout


def test_formats(folder: Path) -> None:
    arguments = ("small.onnx", "--fps", "30", "--device", "t4", "--device", "raspberry-pi-5-8gb", "--quiet")
    assert {each["device"] for each in json.loads(invoke(*arguments, "--format", "json").stdout)["devices"]} == {
        "t4",
        "raspberry-pi-5-8gb",
    }
    assert len(list(csv.DictReader(io.StringIO(invoke(*arguments, "--format", "csv").stdout)))) == 2
    assert invoke(*arguments, "-o", "budget.md").exit_code == 0
    assert (folder / "budget.md").read_text().startswith("### small.onnx\n")


def test_the_cost_of_a_million_is_in_every_format(folder: Path) -> None:
    arguments = ("small.onnx", "--sort", "cost", "--device", "t4", "--device", "l4", "--price", "l4=0.36", "--quiet")
    first, second = json.loads(invoke(*arguments, "--format", "json").stdout)["devices"]
    assert (first["device"], first["hourly"], second["hourly"], second["cost_per_million"]) == ("l4", 0.36, None, None)
    assert first["cost_per_million"]["low"] == pytest.approx(100 * first["latency"]["low"])
    row = next(csv.DictReader(io.StringIO(invoke(*arguments, "--format", "csv").stdout)))
    assert [float(row[key]) for key in ("hourly", "cost_low")] == [0.36, first["cost_per_million"]["low"]]
    text = invoke(*arguments).stdout
    assert "$/million" in text.splitlines()[3]
    assert "$0.36/h" in text
    assert "million | FPS |" in invoke(*arguments, "--format", "markdown").stdout
    assert "$/million" not in invoke("small.onnx", "--device", "t4", "--quiet").stdout


def test_all_budgets_of_a_file(folder: Path) -> None:
    (folder / "onnxcost.toml").write_text(BUDGET)
    result = invoke("--check")
    assert result.exit_code == 1
    assert result.stderr == "onnxcost: error: fixed.onnx: parameters 128 of 100\n"
    assert [line.split()[0] for line in result.stdout.splitlines()] == ["Model", "small.onnx", "fixed.onnx", "fixed.onnx"]
    (folder / "ci.toml").write_text(BUDGET.replace("100", "128"))
    assert invoke("--check", "ci.toml").exit_code == 0
    document = json.loads(invoke("--check", "ci.toml", "--format", "json").stdout)
    assert [each["devices"][0]["batch"] for each in document["budgets"]] == [2, 1]


def test_explain_shows_the_sum_and_the_command() -> None:
    result = invoke("small.onnx", "--dim", "batch=4", "--fps", "30", "--explain", "raspberry-pi-5-8gb")
    assert result.exit_code == 0
    text = " ".join(result.stdout.split())
    assert "2 × 512 MACs of float32 / 153.6 GFLOP/s" in text
    assert "onnxcost measure small.onnx --dim batch=4 --provider cpu (on the device)" in text
    nodes = json.loads(invoke("small.onnx", "--explain", "t4", "--format", "json", "--quiet").stdout)["devices"][0]["nodes"]
    assert nodes[0]["op_type"] == "MatMul"


def test_nothing_is_run() -> None:
    """In a process of its own: here other tests have imported onnxruntime."""
    code = (
        "import sys; from onnxcost.cli.app import run; run(['budget', 'small.onnx', '--fps', '30', '--quiet']); "
        "sys.exit('onnxruntime' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Fits" in done.stdout
