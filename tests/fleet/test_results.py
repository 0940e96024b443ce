"""Commands on two boards behind real servers: what is sent, and what comes back."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from importlib.metadata import version
from pathlib import Path

import numpy as np
import onnx
import pytest
from click.testing import CliRunner
from onnx import numpy_helper

import onnxcost
from onnxcost.cli.app import cli, run
from onnxcost.fleet.hosts import Host
from onnxcost.fleet.results import KINDS, BoardResult, FleetRun, Said
from onnxcost.hardware.calibration.model import load
from onnxcost.report import measurements_to_dict
from tests.fleet.conftest import MODEL, ROOT, Board, Lab
from tests.generation.small import DECODER
from tests.measurements import MEASUREMENT, measurement

QUICK = ("--runs", "3", "--warmup", "0")
CALIBRATED = """\
from dataclasses import replace
import onnxcost.runtime.calibrate as runtime
from tests.hardware.calibration.test_predictor import HERE
runtime.calibrate = lambda settings, name, **_: replace(HERE, name=name)
"""


ABOUT = {"onnxcost": "0.1.0", "busy": "", "cores": 2.0, "time": 1.8e9}
FLEET = FleetRun(
    "measure",
    (
        BoardResult(
            Host("pi5", "10.0.0.7"),
            measurements_to_dict(onnxcost.estimate(MODEL).graph, MEASUREMENT),
            messages=(Said("advice", "some runs are slow"),),
            about=ABOUT,
        ),
        BoardResult(Host("orin", "orin"), failure="busy", reason="a job of ada", about=ABOUT | {"busy": "a job of ada"}),
    ),
)
"""A board with a result, and one without."""


def test_measure_gives_a_column_for_each_board(lab: Lab) -> None:
    done = lab.invoke("measure", "model.onnx", *QUICK, "--on", "two,one", "--dim", "batch=4", "--threads", "1")
    assert done.exit_code == 0, done.stderr
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert rows["model.onnx"][0] == "g"
    assert rows["two"] == ["one"]
    assert (rows["Status"], rows["Threads"]) == (["ok", "ok"], ["1", "1"])
    assert rows["Latency"][1::2][0] in ("µs", "ms")
    assert (lab.boards["one"].left(), lab.boards["two"].left()) == ([], [])


def test_what_a_board_measured_is_the_document_of_the_command(lab: Lab) -> None:
    lab.add("few", "two", threads=1)
    done = lab.invoke("measure", "model.onnx", *QUICK, "--batches", "1,2", "--on", "one,few", "--format", "json")
    document = json.loads(done.stdout)
    assert (document["schema"], document["command"]) == ("onnxcost/1", "measure")
    one, few = (board["result"] for board in document["boards"])
    assert one["model"]["path"] == "model.onnx"
    assert [each["batch"] for each in one["batches"]] == [1, 2]
    assert [len(each["samples"]) for each in one["batches"]] == [3, 3]
    assert few["batches"][0]["threads"]["intra"] == 1
    assert {each["source"] for each in document["boards"][0]["result"]["batches"][0]["inputs"]} != {"given"}


def test_strings_are_not_commands(lab: Lab) -> None:
    name = "a b;$(touch pwned)'\".onnx"
    Path(name).write_bytes(MODEL)
    proto = onnx.load_from_string(MODEL)
    proto.graph.input[0].type.tensor_type.shape.dim[0].dim_param = "$(touch pwned)"
    onnx.save(proto, name)
    done = lab.invoke("measure", name, *QUICK, "--on", "one", "--dim", "$(touch pwned)=2", "--format", "json")
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)["boards"][0]["result"]
    assert (result["model"]["path"], result["measurement"]["batch"]) == (name, 2)
    assert not list(lab.folder.rglob("pwned"))
    assert not (Path.home() / "pwned").exists()


def test_the_configuration_of_ssh_applies(
    lab: Lab, servers: tuple[Path, dict[str, Board]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A name that it alone knows, of a board behind another one."""
    folder, boards = servers
    text = (folder / "config").read_text()
    behind = f"Host behind\n  HostName 127.0.0.1\n  Port {boards['two'].port}\n  ProxyJump 127.0.0.1:{boards['one'].port}\n"
    (lab.folder / "config").write_text(behind + text)
    (lab.folder / "bin").mkdir()
    wrapper = (folder / "bin" / "ssh").read_text().replace(str(folder / "config"), str(lab.folder / "config"))
    (lab.folder / "bin" / "ssh").write_text(wrapper)
    (lab.folder / "bin" / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{lab.folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    lab.hosts["behind"] = {"command": lab.command()}
    done = lab.invoke("fleet", "check", "behind")
    assert done.exit_code == 0, done.stdout


@pytest.mark.parametrize("sends", [True, False])
def test_weights_are_sent_on_request(lab: Lab, sends: bool) -> None:
    proto = onnx.load_from_string(MODEL)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((16, 8), "f"), "w"))
    del proto.graph.input[1:]
    Path("data").mkdir()
    onnx.save(proto, "big.onnx", save_as_external_data=True, location="weights.bin", size_threshold=0)
    np.save("x.npy", np.ones((2, 16), "f"))
    weights = ["--send-weights"] if sends else []
    done = lab.invoke("measure", "big.onnx", *QUICK, "--input", "x=x.npy", "--on", "one", "--format", "json", *weights)
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["boards"][0]["result"]["measurement"]
    assert found["weights"] == ("stored" if sends else "synthesised")
    assert [each["source"] for each in found["inputs"]] == ["x.npy"]
    assert found["batch"] == 2


def test_a_value_is_not_taken_for_a_file(lab: Lab) -> None:
    Path("2").write_text("a file that is called like a number")
    done = lab.invoke("measure", "model.onnx", *QUICK, "--dim", "batch=2", "--value", "x=2", "--on", "one", "--format", "json")
    assert "file-" not in done.stdout + done.stderr


def test_profile(lab: Lab) -> None:
    done = lab.invoke("profile", "model.onnx", *QUICK, "--on", "one,two", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["board"] for row in rows] == ["one", "two"]
    assert all(float(row["seconds_MatMul"]) > 0 for row in rows)


def test_compare(lab: Lab) -> None:
    Path("b.onnx").write_bytes(MODEL)
    done = lab.invoke("compare", "model.onnx", "b.onnx", *QUICK, "--on", "one,two", "--max-increase", "flops=0", "-o", "c.json")
    assert done.exit_code == 0, done.stderr
    for board in json.loads(Path("c.json").read_text())["boards"]:
        assert [model["label"] for model in board["result"]["models"]] == ["model", "b"]
        assert board["result"]["models"][1]["latency_ratio"] > 0


def test_a_check_that_fails_on_a_board(lab: Lab) -> None:
    big = onnx.load_from_string(MODEL)
    big.graph.node.add(op_type="Relu", input=["y"], output=["z"])
    big.graph.output[0].name = "z"
    onnx.save(big, "big.onnx")
    done = lab.invoke("compare", "model.onnx", "big.onnx", *QUICK, "--on", "one", "--max-increase", "flops=0")
    assert done.exit_code == 1
    assert "error: one: --max-increase: big: FLOPs grew from" in done.stderr


def test_a_calibration_is_usable_by_budget(lab: Lab, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two"):
        lab.add(name, name, command=lab.command(CALIBRATED))
    lab.add("Pi_5", "two", command=lab.command(CALIBRATED))
    done = lab.invoke("devices", "calibrate", "--on", "one,Pi_5", "-o", "boards/")
    assert done.exit_code == 0, done.stderr
    assert sorted(path.name for path in Path("boards").iterdir()) == ["one.toml", "pi-5.toml"]
    assert load("boards/pi-5.toml").name == "pi-5"
    assert run(["budget", "model.onnx", "--device-file", "boards/pi-5.toml", "--fps", "30"]) == 0
    assert "pi-5" in capsys.readouterr().out
    assert lab.invoke("devices", "calibrate", "--on", "two", "-o", "two.toml", "--name", "mine").exit_code == 0
    assert load("two.toml").name == "mine"


def test_a_language_model(lab: Lab) -> None:
    Path("decoder.onnx").write_bytes(DECODER if isinstance(DECODER, bytes) else DECODER.SerializeToString())
    sizes = ("--prompt", "8", "--context", "40", "--tokens", "3")
    done = lab.invoke("llm", "decoder.onnx", "--run", *sizes, "--on", "one", "--format", "json")
    assert done.exit_code == 0, done.stderr
    found = json.loads(done.stdout)["boards"][0]["result"]["generation"]
    assert [(each["context"], each["tokens"]) for each in found["contexts"]] == [(8, 3), (37, 3)]


def test_what_the_boards_have(lab: Lab) -> None:
    lab.hosts["off"] = {"address": "127.0.0.1", "port": 1, "tags": ["lab"]}
    done = lab.invoke("fleet", "check", "--format", "json")
    boards = {board["board"]: board for board in json.loads(done.stdout)["boards"]}
    assert {name: board["status"] for name, board in boards.items()} == {"one": "ok", "two": "ok", "off": "failed"}
    assert version("onnxruntime") == boards["one"]["about"]["onnxruntime"]
    assert done.exit_code == 3


def test_a_folder_gets_the_document_of_each_board(lab: Lab) -> None:
    done = lab.invoke("measure", "model.onnx", *QUICK, "--on", "one,two", "-o", "saved/")
    assert "Latency" in done.stdout
    assert [json.loads(Path(f"saved/{name}.json").read_text())["measurement"]["runs"] for name in ("one", "two")] == [3, 3]


def test_the_file_of_a_fleet_can_be_compared(lab: Lab) -> None:
    lab.hosts["off"] = {"address": "127.0.0.1", "port": 1}
    lab.add("few", "two", threads=1)
    lab.invoke("measure", "model.onnx", *QUICK, "--threads", "2", "--on", "one,off", "-o", "all.json")
    lab.invoke("measure", "model.onnx", *QUICK, "--on", "few", "-o", "few.json")
    done = CliRunner(env={"COLUMNS": "100"}).invoke(cli, ["compare", "all.json", "few.json", "--no-run"])
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line.strip()}
    assert "one (all)" in done.stdout
    assert "few (few)" in done.stdout
    assert rows["Threads"] == ["2", "1"]
    assert "Not compared: off (all): 'off' in 'all.json' has no result: unreachable" in done.stdout
    assert "latencies under different conditions: Threads (2, 1)" in done.stderr
    assert done.exit_code == 2


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["measure", "model.onnx", "--hosts", "x.toml"], "--hosts needs --on"),
        (["measure", "model.onnx", "--send-weights"], "--send-weights needs --on"),
        (["measure", "model.onnx", "--on", "-oProxyCommand=touch pwned"], "is not a host"),
        (["measure", "model.onnx", "--on", "one", "--hosts", "nosuch.toml"], "No such file"),
        (["measure", "nosuch.onnx", "--on", "one"], "there is no file 'nosuch.onnx'"),
        (["measure", "model.onnx", "--dim", "nosuch=2", "--on", "one"], "nosuch"),
        (["profile", "model.onnx", "--by", "node", "--on", "one"], "--by cannot be used with --on"),
        (["profile", "model.onnx", "-o", "x.trace.json", "--on", "one"], "cannot be written as trace"),
        (["compare", "model.onnx", "model.onnx", "--no-run", "--on", "one"], "--on and --no-run cannot be used together"),
        (["compare", "model.onnx", "model.onnx", "--check-outputs", "--on", "one"], "--send-weights"),
        (["compare", "model.onnx", "a.json", "--on", "one"], "'a.json' is a saved report"),
        (["llm", "model.onnx", "--on", "one"], "--on needs --run"),
        (["measure", "model.onnx", "--on", "a_b,a-b", "-o", "x/"], "the same file for two boards"),
        (["devices", "calibrate", "--on", "one,two", "-o", "x.toml"], "'x.toml' is not a folder"),
        (["devices", "calibrate", "--on", "one,two", "-o", "x/", "--name", "a"], "--name names one"),
        (["measure", "--pipeline", "model.onnx", "--on", "one"], "--on cannot be used with --pipeline"),
    ],
)
def test_what_boards_cannot_do(
    arguments: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", "")  # without ssh
    Path("model.onnx").write_bytes(MODEL)
    Path("a.json").write_text("{}")
    assert run(arguments) == 2
    assert says in capsys.readouterr().err
    assert not Path("pwned").exists()


def test_each_kind_of_failure_is_in_the_documents() -> None:
    page = (ROOT / "docs" / "fleets.md").read_text()
    assert re.findall(r"^\| ([\w ]+) \|", page, re.M) == ["status", *KINDS]


def test_without_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    Path("model.onnx").write_bytes(MODEL)
    assert run(["measure", "model.onnx", "--on", "one"]) == 3
    assert "one: unreachable: the program 'ssh' was not found" in capsys.readouterr().out


def test_figures_of_boards_that_send_something_else() -> None:
    document = {"schema": "onnxcost/1", "measurement": measurement().to_dict()}
    odd = {**document, "measurement": {**document["measurement"], "fps": "many", "device": 7, "peak_rss_bytes": 10**400}}
    documents = [document, odd, {"measurement": None}, {"batches": [1]}, {}, None]
    boards = tuple(BoardResult(Host(f"b{at}", "h"), each) for at, each in enumerate(documents))
    found = FleetRun("measure", boards).figures()
    assert found[0]["latency"].value == pytest.approx(0.0195)
    assert found[1].keys() == found[0].keys() - {"fps", "device", "peak_rss_bytes"}
    assert found[2:] == [{}, {}, {}, {}]
    records = FleetRun("measure", boards).to_records()
    assert [record["fps"] for record in records] == [pytest.approx(1 / 0.0195), None, None, None, None, None]
