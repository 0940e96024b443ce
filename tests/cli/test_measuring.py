"""The commands that run a model: what they print when, and how they end. What runs the model is a stand-in."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from onnxcost.cli import run_options
from onnxcost.cli.app import cli
from onnxcost.errors import MeasurementError
from onnxcost.measurement import OPTIMIZATIONS, Settings
from onnxcost.report import CostReport
from tests.cli.conftest import RUNNABLE, Stand
from tests.measurements import MEASUREMENT
from tests.modeltext import model

REASON = "the file with the model's weights is missing"
ADVICE = "onnxcost: advice: some runs are <slow> | so\n"
NOT_MEASURED = f"onnxcost: error: not measured: {REASON}\n"


pytestmark = pytest.mark.usefixtures("folder")


def invoke(*arguments: str, stdin: bytes | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, list(arguments), input=stdin)


def test_the_static_cost_comes_first_and_the_measurement_after_it(stand: Stand) -> None:
    static, whole = invoke("model.onnx", "--no-run"), invoke("model.onnx")
    assert static.stderr == ""
    before, _, _ = static.stdout.rpartition("\n\n")
    assert whole.stdout.startswith(f"{before}\n\n  Latency      19.50 ms")
    detailed = [invoke("model.onnx", "-v", *more).stdout for more in (["--no-run"], [])]
    assert detailed[1].startswith(detailed[0].rpartition("\n\n")[0] + "\n\nMeasured  cpu · A Processor")
    assert whole.stderr == ADVICE
    assert (static.exit_code, whole.exit_code, len(stand.asked)) == (0, 0, 2)


def test_options_reach_the_measurement(stand: Stand) -> None:
    invoke("model.onnx", "--shape", "x=2x16")
    source, settings, others = stand.asked[0]
    assert (source, settings) == ("model.onnx", Settings(arena=False))
    assert others["shapes"] == {"x": (2, 16)}
    assert isinstance(others["report"], CostReport)


def test_a_model_from_standard_input_is_measured(stand: Stand) -> None:
    assert "  Latency      19.50 ms" in invoke("-", stdin=RUNNABLE).stdout
    assert stand.asked[0][0] == RUNNABLE


@pytest.mark.parametrize("command", [[], ["measure"]])
def test_json_has_the_measurement(stand: Stand, command: list[str]) -> None:
    result = invoke(*command, "model.onnx", "--format", "json")
    assert json.loads(result.stdout)["measurement"] == json.loads(json.dumps(MEASUREMENT.to_dict()))
    assert (result.stderr, result.exit_code) == (ADVICE, 0)


@pytest.mark.parametrize(("name", "has"), [("a.md", "### Measured\n"), ("a.txt", "\n  Latency      "), ("a.json", '"samples"')])
@pytest.mark.parametrize("command", ["estimate", "measure"])
def test_a_file_has_all_in_one(stand: Stand, folder: Path, command: str, name: str, has: str) -> None:
    assert invoke(command, "model.onnx", "-o", name).stdout == ""
    assert has in (folder / name).read_text(encoding="utf-8")


def test_csv_has_only_nodes_so_nothing_is_run(stand: Stand) -> None:
    result = invoke("model.onnx", "--format", "csv")
    assert result.stdout.startswith("name,")
    assert stand.asked == []


def test_no_run_says_so_in_json(stand: Stand) -> None:
    document = json.loads(invoke("model.onnx", "--no-run", "--format", "json").stdout)
    assert document["measurement"] == {"status": "skipped", "reason": "--no-run was given"}
    assert stand.asked == []


ENDS = pytest.mark.parametrize(
    ("error", "reason", "code"), [(MeasurementError(REASON), REASON, 3), (KeyboardInterrupt(), "interrupted", 130)]
)


@ENDS
def test_the_static_cost_is_printed_when_the_run_fails(stand: Stand, error: BaseException, reason: str, code: int) -> None:
    stand.error = error
    result = invoke("model.onnx")
    assert result.stdout == invoke("model.onnx", "--no-run").stdout
    assert (result.stderr, result.exit_code) == (f"onnxcost: error: not measured: {reason}\n", code)


@ENDS
@pytest.mark.parametrize("command", ["estimate", "measure"])
def test_json_is_written_after_a_failure(stand: Stand, command: str, error: BaseException, reason: str, code: int) -> None:
    stand.error = error
    result = invoke(command, "model.onnx", "--format", "json")
    assert json.loads(result.stdout)["measurement"] == {"status": "failed", "reason": reason}
    assert result.exit_code == code


@pytest.mark.parametrize("command", ["estimate", "measure"])
def test_markdown_says_why_there_is_no_measurement(stand: Stand, command: str) -> None:
    stand.error = MeasurementError(REASON)
    assert invoke(command, "model.onnx", "--format", "markdown").stdout.endswith(f"\n\n**Not measured: {REASON}**\n")


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (("plot", "model.onnx", "--kind", "latency", "-o", "chart.svg"), "not drawn"),
        (("plot", "model.onnx", "--profile", "-o", "chart.svg"), "not drawn"),
        (("annotate", "model.onnx", "--profile", "-o", "chart.svg"), "not annotated"),
        (("view", "model.onnx", "--run", "--no-browser"), "not measured"),
    ],
)
@pytest.mark.parametrize(
    ("error", "reason", "code"), [(MeasurementError(REASON), REASON, 3), (KeyboardInterrupt(), "interrupted", 130)]
)
def test_all_commands_report_a_failed_run_in_the_same_way(
    arguments: tuple[str, ...], what: str, error: BaseException, reason: str, code: int, stand: Stand
) -> None:
    stand.error = error
    result = invoke(*arguments)
    assert (result.exit_code, result.stderr) == (code, f"onnxcost: error: {what}: {reason}\n")
    assert not Path("chart.svg").exists()


@pytest.mark.parametrize(("error", "code"), [(None, 1), (MeasurementError(REASON), 1), (KeyboardInterrupt(), 130)])
def test_of_two_exit_codes_the_interrupt_comes_first_then_the_check(
    stand: Stand, folder: Path, error: BaseException | None, code: int
) -> None:
    (folder / "open.onnx").write_bytes(model("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }").SerializeToString())
    stand.error = error
    assert invoke("open.onnx", "--strict").exit_code == code


def test_quiet_keeps_the_advice_but_not_the_failure(stand: Stand) -> None:
    assert invoke("model.onnx", "--quiet").stderr == ""
    stand.error = MeasurementError(REASON)
    assert invoke("model.onnx", "--quiet").stderr == NOT_MEASURED


@pytest.mark.parametrize(
    ("options", "settings"),
    [
        ("", Settings()),
        ("--provider CUDAExecutionProvider", Settings(provider="cuda")),
        ("--provider-option a=1 --provider-option b=x=2", Settings(provider_options={"a": "1", "b=x": "2"})),
        ("--threads 3 --inter-threads 2", Settings(threads=3, inter_threads=2)),
        ("--optimization basic", Settings(optimization="basic")),
        ("--runs 5 --seconds 0.5 --warmup 0", Settings(runs=5, seconds=0.5, warmup=0)),
        ("--timeout 9 --concurrency 2 --seed 7", Settings(timeout=9.0, concurrency=2, seed=7)),
    ],
)
@pytest.mark.parametrize("command", ["estimate", "measure"])
def test_options_are_settings(stand: Stand, command: str, options: str, settings: Settings) -> None:
    assert invoke(command, "model.onnx", *options.split()).exit_code == 0
    assert replace(stand.asked[0][1], arena=None) == settings


@pytest.mark.parametrize(
    ("arguments", "arena"),
    [
        ("estimate", False),  # the first screen does not show it
        ("estimate -v", None),
        ("estimate --format json", None),
        ("estimate --arena", True),
        ("measure", None),
        ("measure --no-arena", False),
    ],
)
def test_a_second_session_for_the_arena_is_for_those_who_see_it(stand: Stand, arguments: str, arena: bool | None) -> None:
    command, *options = arguments.split()
    assert invoke(command, "model.onnx", *options).exit_code == 0
    assert stand.asked[0][1].arena is arena


def test_inputs_come_from_files(stand: Stand, folder: Path) -> None:
    for name in ("a.npy", "b.npy"):
        np.save(folder / name, np.zeros((2, 16), np.float32))
    np.savez(folder / "all.npz", x=np.zeros((2, 16), np.float32))
    for given, files in {("x=a.npy", "x=b.npy"): ("a.npy", "b.npy"), ("all.npz",): ("all.npz",)}.items():
        options = [word for argument in given for word in ("--input", argument)]
        assert invoke("measure", "model.onnx", *options).exit_code == 0
        assert stand.asked.pop()[2]["inputs"] == {"x": files}


def test_the_static_cost_is_that_of_the_shapes_of_the_files(stand: Stand, folder: Path) -> None:
    (folder / "open.onnx").write_bytes(model("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }").SerializeToString())
    np.save(folder / "a.npy", np.zeros((7, 3), np.float32))
    document = json.loads(invoke("open.onnx", "--input", "x=a.npy", "--format", "json").stdout)
    assert document["totals"]["flops"] == 21


OPEN = model("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }").SerializeToString()


def test_batches_are_a_table(stand: Stand, folder: Path) -> None:
    (folder / "open.onnx").write_bytes(OPEN)
    result = invoke("measure", "open.onnx", "--batches", "1,4")
    assert "  Batch   Latency" in result.stdout
    assert result.stdout.count("\n      ") == 2
    assert "onnxcost: advice: batch 1, 4: some runs" in result.stderr


def test_only_a_fixed_batch_is_measured(stand: Stand) -> None:
    result = invoke("measure", "model.onnx", "--batches", "1,4", "--format", "json")
    document = json.loads(result.stdout)
    assert [(each["status"], each.get("batch")) for each in document["batches"]] == [("ok", 2)]
    text = "--batches: the model has no open batch dim, so it is measured at its batch size of 2"
    assert (f"onnxcost: warning: {text}" in result.stderr, result.exit_code) == (True, 0)


def test_batches_before_a_failure_are_kept(stand: Stand, folder: Path) -> None:
    (folder / "open.onnx").write_bytes(OPEN)
    result = invoke("measure", "open.onnx", "--batches", "1,4,8", "--format", "json")
    document = json.loads(result.stdout)
    assert [(each["status"], each.get("batch")) for each in document["batches"]] == [("ok", 1), ("ok", 4), ("failed", None)]
    assert (document["measurement"], result.exit_code) == (None, 3)
    rows = csv.DictReader(io.StringIO(invoke("measure", "open.onnx", "--batches", "1,4,8", "--format", "csv").stdout))
    assert [row["batch"] for row in rows] == ["1", "4"]


def test_measure_shows_only_the_model_and_the_measurement(stand: Stand) -> None:
    result = invoke("measure", "model.onnx")
    assert result.stdout.startswith("model.onnx  ")
    assert "\n\nMeasured  cpu" in result.stdout
    assert "FLOPs per byte" not in result.stdout


def test_measure_csv_has_the_samples(stand: Stand) -> None:
    assert invoke("measure", "model.onnx", "--format", "csv").stdout.startswith("run,seconds\n1,0.01\n2,0.011\n")
    stand.error = MeasurementError(REASON)
    assert invoke("measure", "model.onnx", "--format", "csv").stdout == ""


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--provider cdua", "there is no provider 'cdua'; did you mean 'cuda'"),
        ("--provider-option device", "--provider-option expects KEY=VALUE, not 'device'"),
        ("--threads 0", "Invalid value for '--threads'"),
        ("--seconds nan", "Invalid value for '--seconds': 'nan' is not a number"),
        ("--timeout 0", "Invalid value for '--timeout'"),
        ("--optimization most", "Invalid value for '--optimization'"),
        ("--batches 0", "--batches expects sizes of 1 or more, each once, such as 1,2,4,8, not '0'"),
        ("--batches 1,2,1", "--batches expects"),
        ("--batches 1,,2", "--batches expects"),
        ("--input x=nosuch.npy", "cannot read 'nosuch.npy': No such file or directory"),
        ("--input nosuch.npz", "cannot read 'nosuch.npz': No such file or directory"),
        ("-o nosuch/cost.json", "cannot write 'nosuch/cost.json': No such file or directory"),
    ],
)
def test_bad_usage_gets_one_line(options: str, says: str) -> None:
    result = invoke("measure", "model.onnx", *options.split(), "--format", "json")
    assert (result.exit_code, result.stdout) == (2, "")
    assert says in result.stderr
    assert result.stderr.count("\n") == 1


def test_help_has_a_heading_for_measuring() -> None:
    before, _, after = invoke("estimate", "--help").stdout.partition("\nMeasuring:\n")
    assert "--depth" in before
    assert "--help" in before
    assert "--threads" in after
    assert "--threads" not in before


def test_the_optimizations_are_those_of_the_settings() -> None:
    assert run_options.OPTIMIZATIONS == OPTIMIZATIONS
