"""``onnxcost profile`` and ``--trace``, on a stand-in for what runs the model."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from onnxcost.cli.app import cli
from onnxcost.errors import MeasurementError
from onnxcost.measurement import Settings
from tests.cli.conftest import Stand
from tests.render.test_profile import PROFILE

ADVICE = "onnxcost: advice: some runs are <slow> | so\n"
REASON = "the file with the model's weights is missing"
ENDS = pytest.mark.parametrize(
    ("error", "reason", "code"), [(MeasurementError(REASON), REASON, 3), (KeyboardInterrupt(), "interrupted", 130)]
)

pytestmark = pytest.mark.usefixtures("folder")


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, list(arguments))


def test_a_traced_model_is_counted_as_it_ran_and_then_measured(stand: Stand) -> None:
    document = json.loads(invoke("model.onnx", "--trace", "--threads", "2", "--format", "json").stdout)
    assert document["totals"]["flops"] == 21
    assert [settings.threads for _, settings, _ in stand.asked] == [2, 2]
    assert stand.asked[1][2]["report"].flops == 21


@ENDS
def test_the_static_cost_is_printed_when_the_trace_fails(stand: Stand, error: BaseException, reason: str, code: int) -> None:
    stand.error = error
    result = invoke("model.onnx", "--trace")
    assert result.stdout == invoke("model.onnx", "--no-run").stdout
    assert (result.stderr, result.exit_code) == (f"onnxcost: error: not traced: {reason}\n", code)
    assert len(stand.asked) == 1


def test_profile_shows_the_model_and_the_two_tables(stand: Stand) -> None:
    result = invoke("profile", "model.onnx", "--top", "1", "--threads", "2")
    assert result.stdout.startswith("model.onnx  ")
    assert "\n\nProfiled  cpu" in result.stdout
    assert "  Top 1 of 4 nodes" in result.stdout
    assert result.stderr == ADVICE
    assert stand.asked[0][:2] == ("model.onnx", Settings(threads=2))


@pytest.mark.parametrize(
    ("options", "start", "lines"),
    [
        ("--format csv", "name,op_type,", 5),
        ("--format csv --top 2", "name,op_type,", 3),
        ("--format csv --by operator", "op_type,domain,", 5),
        ("--format markdown", "## model.onnx\n", None),
        ("--format json", "{\n", None),
    ],
)
def test_formats_of_a_profile(stand: Stand, options: str, start: str, lines: int | None) -> None:
    output = invoke("profile", "model.onnx", *options.split()).stdout
    assert output.startswith(start)
    assert lines is None or output.count("\n") == lines


@ENDS
def test_a_profile_that_cannot_be_made(stand: Stand, error: BaseException, reason: str, code: int) -> None:
    stand.error = error
    result = invoke("profile", "model.onnx", "--format", "json")
    assert json.loads(result.stdout)["measurement"] == {"status": "failed", "reason": reason}
    assert (result.stderr, result.exit_code) == (f"onnxcost: error: not profiled: {reason}\n", code)


@ENDS
def test_what_was_measured_before_the_profile_is_kept(stand: Stand, error: BaseException, reason: str, code: int) -> None:
    stand.profile_error = error
    result = invoke("profile", "model.onnx", "--format", "json")
    document = json.loads(result.stdout)
    assert (document["measurement"]["runs"], "profile" in document, result.exit_code) == (20, False, code)
    assert "\nMeasured  cpu" in invoke("profile", "model.onnx").stdout
    assert invoke("profile", "model.onnx", "--format", "csv").stdout == ""


def test_the_table_of_modules(stand: Stand) -> None:
    result = invoke("profile", "model.onnx", "--by", "module")
    assert "\n  Module " in result.stdout
    rows = invoke("profile", "model.onnx", "--by", "module", "--format", "csv").stdout.splitlines()
    assert rows[0].startswith("module,nodes,executions,seconds,share,")
    assert sum(int(row.split(",")[1]) for row in rows[1:]) == len(PROFILE.nodes)
