"""``--pipeline`` as people use it: what it prints where, what it refuses, and how it ends."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli
from onnxcost.errors import MeasurementError
from tests.cli.conftest import Stand
from tests.generation.small import DECODER, ENCODER
from tests.measurements import MEASUREMENT

BOTH = ("--pipeline", "encoder.onnx,decoder.onnx×20")
PI = ("--device", "raspberry-pi-5-8gb")


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "encoder.onnx").write_bytes(ENCODER.SerializeToString())
    (tmp_path / "decoder.onnx").write_bytes(DECODER.SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str, columns: int = 100) -> Result:
    return CliRunner(env={"COLUMNS": str(columns)}).invoke(cli, arguments)


@pytest.mark.parametrize("command", ["estimate", "measure", "budget"])
def test_help_says_it(command: str) -> None:
    assert "--pipeline STAGES" in invoke(command, "--help").stdout


def test_the_table(folder: Path) -> None:
    done = invoke(*BOTH, "--no-run", "--dim", "frames=10")
    assert done.exit_code == 0
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0][:3] == ["Pipeline", "2", "stages"]
    assert rows[1][:3] == ["Stage", "Runs", "MACs"]
    assert [row[:2] for row in rows[2:5]] == [["encoder.onnx", "1"], ["decoder.onnx", "20"], ["Total", "21"]]
    assert "past_sequence = 0 to 19 in decoder.onnx" in done.stdout
    assert "batch = 1 in decoder.onnx as in encoder.onnx" in done.stdout
    assert done.stderr == ""


@pytest.mark.parametrize("columns", [24, 40, 60, 80, 120])
@pytest.mark.parametrize("command", [("estimate", "--no-run"), ("budget", *PI)])
def test_lines_fit_the_width(columns: int, command: tuple[str, ...]) -> None:
    done = invoke(command[0], *BOTH, *command[1:], columns=columns)
    assert done.exit_code == 0
    assert all(len(line) <= columns for line in done.stdout.splitlines())


def test_one_stage_has_the_figures_of_the_model() -> None:
    plain = json.loads(invoke("decoder.onnx", "--no-run", "--format", "json").stdout)["totals"]
    found = json.loads(invoke("--pipeline", "decoder.onnx", "--no-run", "--format", "json").stdout)["pipeline"]["total"]
    names = ("macs", "flops", "parameters", "weight_bytes", "peak_activation_bytes", "read_bytes", "write_bytes")
    assert {name: found[name] for name in names} == {name: plain[name] for name in names}


def test_one_stage_has_the_budget_of_the_model() -> None:
    plain = json.loads(invoke("budget", "decoder.onnx", *PI, "--format", "json").stdout)["devices"][0]
    found = json.loads(invoke("budget", "--pipeline", "decoder.onnx", *PI, "--format", "json").stdout)["devices"][0]
    for name in ("level", "bound", "latency", "fps", "memory", "limit", "energy", "price"):
        assert found[name] == plain[name]
    assert found["stages"][0]["latency"] == plain["latency"]


def test_other_formats(folder: Path) -> None:
    rows = list(csv.DictReader(io.StringIO(invoke(*BOTH, "--format", "csv").stdout)))
    assert [row["name"] for row in rows] == ["encoder.onnx", "decoder.onnx", "total"]
    assert int(rows[2]["macs"]) == int(rows[0]["macs"]) + int(rows[1]["macs"])
    done = invoke(*BOTH, "--no-run", "-o", "p.md")
    assert done.exit_code == 0
    assert "assumed: batch = 1" in done.stderr
    text = (folder / "p.md").read_text()
    assert text.startswith("## Pipeline")
    assert "| decoder.onnx | 20 |" in text
    devices = list(csv.DictReader(io.StringIO(invoke("budget", *BOTH, *PI, "--format", "csv").stdout)))
    assert devices[0]["device"] == "raspberry-pi-5-8gb"


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (("estimate",), 2, "Missing argument 'MODEL'"),
        (("measure",), 2, "Missing argument 'MODEL'"),
        ((*BOTH, "encoder.onnx"), 2, "--pipeline names the models: omit MODEL"),
        ((*BOTH, "--by", "node"), 2, "--by cannot be used with --pipeline"),
        ((*BOTH, "--batches", "1,2"), 2, "--batches cannot be used with --pipeline"),
        (("measure", *BOTH, "--concurrency", "2"), 2, "--concurrency cannot be used with --pipeline"),
        (("budget", *BOTH, "--explain", "jetson-nano"), 2, "--explain cannot be used with --pipeline"),
        ((*BOTH, "--no-run", "--dim", "height=3"), 2, "--dim height: not found in any stage of the pipeline"),
        (("--pipeline", "none.onnx", "--no-run"), 2, "cannot read 'none.onnx'"),
        (("--pipeline", "encoder.onnx×", "--no-run"), 2, "the number of runs must be a whole number"),
        ((*BOTH, "--no-run", "--strict"), 1, "--strict: assumed batch = 1"),
        (("--pipeline", "encoder.onnx", "--no-run", "--strict", "--dim", "batch=1", "--dim", "frames=2"), 0, ""),
        (("budget", *BOTH, *PI, "--latency", "1us"), 1, "raspberry-pi-5-8gb does not fit"),
        (("budget", *BOTH, *PI, "--macs", "1"), 1, "MACs"),
        (("budget", *BOTH, *PI, "--memory", "1KiB"), 1, "memory"),
    ],
)
def test_how_it_ends(arguments: tuple[str, ...], code: int, says: str) -> None:
    done = invoke(*arguments)
    assert (done.exit_code, says in done.stderr) == (code, True), done.stderr


def test_stages_are_timed(stand: Stand) -> None:
    done = invoke("measure", *BOTH, "--threads", "1", "--format", "json")
    assert done.exit_code == 0
    stages = json.loads(done.stdout)["pipeline"]["stages"]
    median = MEASUREMENT.latency.median
    assert [stage["seconds"] for stage in stages] == [median, pytest.approx(20 * median)]
    assert [settings.threads for _, settings, _ in stand.asked] == [1, 1]
    assert [settings.arena for _, settings, _ in stand.asked] == [False, False]
    assert stand.asked[1][2]["dims"]["past_sequence"] == 9
    table = invoke("measure", *BOTH)
    assert "decoder.onnx at past_sequence = 9, in the middle of its 20 runs" in " ".join(table.stdout.split())


@pytest.mark.parametrize(
    ("error", "code", "says"),
    [(MeasurementError("it has no kernel"), 3, "it has no kernel"), (KeyboardInterrupt(), 130, "interrupted")],
)
def test_what_was_counted_is_printed(stand: Stand, error: BaseException, code: int, says: str) -> None:
    stand.error = error
    done = invoke(*BOTH)
    assert done.exit_code == code
    assert says in done.stderr
    assert "Total" in done.stdout
    document = json.loads(invoke(*BOTH, "--format", "json").stdout)["pipeline"]
    assert [stage["measurement"]["status"] for stage in document["stages"]] == ["failed", "failed"]
    assert document["total"]["seconds"] is None
