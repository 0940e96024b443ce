"""Files for viewers of graphs and traces: what ``annotate``, ``strip --annotate`` and the names of files ask for."""

from __future__ import annotations

import json
from pathlib import Path

import onnx
import pytest
from click.testing import CliRunner, Result

import onnxcost
from onnxcost.cli.app import cli
from tests.modeltext import model

SMALL = model("(float[2,16] x) => (float[2,8] y) { h = MatMul(x, w) y = Relu(h) }", w=(16, 8))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "small.onnx").write_bytes(SMALL.SerializeToString())
    monkeypatch.chdir(tmp_path)
    return tmp_path


def invoke(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "80"}).invoke(cli, arguments)


def notes(path: str) -> list[dict[str, str]]:
    return [{entry.key: entry.value for entry in node.metadata_props} for node in onnx.load(path).graph.node]


def test_an_annotated_model_has_the_numbers_of_the_report() -> None:
    result = invoke("annotate", "small.onnx", "-o", "annotated.onnx")
    assert (result.exit_code, result.stdout) == (0, "annotated.onnx: 2 nodes annotated\n")
    report = onnxcost.estimate("small.onnx")
    found = notes("annotated.onnx")
    assert [int(each["onnxcost.macs"]) for each in found] == [cost.work.macs for cost in report.counted]
    assert sum(int(each["onnxcost.flops"]) for each in found) == report.flops
    assert onnxcost.estimate("annotated.onnx").flops == report.flops


def test_with_a_profile_the_nodes_have_their_time() -> None:
    arguments = ("annotate", "small.onnx", "-o", "annotated.onnx", "--profile", "--runs", "2", "--warmup", "1")
    assert invoke(*arguments).exit_code == 0
    assert sum(float(each.get("onnxcost.share", 0)) for each in notes("annotated.onnx")) == pytest.approx(1, abs=0.01)


def test_a_skeleton_can_be_annotated() -> None:
    result = invoke("strip", "small.onnx", "-o", "skeleton.onnx", "--annotate")
    assert result.exit_code == 0
    assert [each["onnxcost.macs"] for each in notes("skeleton.onnx")] == ["256", "0"]
    size = Path("skeleton.onnx").stat().st_size
    assert f"skeleton.onnx: {size / 1024:.4g} KiB" in result.stdout or f"skeleton.onnx: {size} B" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("annotate", "small.onnx"), "Missing option '-o'"),
        (("annotate", "smal.onnx", "-o", "a.onnx"), "there is no file 'smal.onnx'"),
        (("annotate", "small.onnx", "-o", "nowhere/a.onnx"), "cannot write 'nowhere/a.onnx'"),
    ],
)
def test_what_cannot_be_annotated(arguments: tuple[str, ...], says: str) -> None:
    result = invoke(*arguments)
    assert result.exit_code == 2
    assert says.lower() in result.stderr.lower()


def test_node_data_by_the_name_of_the_file() -> None:
    assert invoke("small.onnx", "--convention", "macs", "-o", "small.nodedata.json", "--quiet").exit_code == 0
    data = json.loads(Path("small.nodedata.json").read_text())
    assert (data["name"], data["results"]) == ("macs (onnxcost)", {"h": {"value": 256}, "y": {"value": 0}})


@pytest.mark.parametrize("name", ["trace.json", "small.trace.json"])
def test_the_slices_of_a_trace_add_up_to_the_profile(name: str) -> None:
    assert invoke("profile", "small.onnx", "-o", name, "--runs", "4", "--warmup", "1", "--quiet").exit_code == 0
    document = json.loads(Path(name).read_text())
    slices = [event for event in document["traceEvents"] if event["ph"] == "X"]
    others = document["otherData"]
    assert others["runs"] == others["runs_profiled"] == 4
    assert sum(each["args"]["own_us"] for each in slices) / 4 == pytest.approx(1e6 * others["node_seconds"], abs=0.01)
    assert sum(each["dur"] for each in slices) == sum(each["args"]["own_us"] for each in slices)
    assert {"MatMul", "Relu"} & {each["args"]["op_type"] for each in slices}
    assert all(each["args"]["origins"] for each in slices)


def test_of_a_profile_node_data_are_milliseconds() -> None:
    assert invoke("profile", "small.onnx", "-o", "p.nodedata.json", "--runs", "2", "--warmup", "1", "--quiet").exit_code == 0
    data = json.loads(Path("p.nodedata.json").read_text())
    assert data["name"] == "ms (onnxcost profile)"
    assert data["results"].keys() <= {"h", "y"}


def test_other_names_are_what_they_were() -> None:
    assert invoke("profile", "small.onnx", "-o", "p.json", "--runs", "2", "--warmup", "1", "--quiet").exit_code == 0
    assert json.loads(Path("p.json").read_text())["schema"] == "onnxcost/1"
    assert invoke("small.onnx", "--no-run", "-o", "trace.json", "--quiet").exit_code == 0
    assert json.loads(Path("trace.json").read_text())["schema"] == "onnxcost/1"
