"""The command in a process of its own, with a model that is really run."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.modeltext import model

pytestmark = pytest.mark.usefixtures("folder")


def process(*arguments: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "onnxcost", *arguments]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, bufsize=0)


def test_counting_imports_nothing_that_runs_models_or_knows_decoders() -> None:
    code = (
        "import sys\nfrom onnxcost.cli.app import run\nrun(['model.onnx', '--no-run'])\n"
        "unneeded = {'onnxruntime', 'psutil', 'rich', 'onnxcost.runtime', 'onnxcost.measurement', 'onnxcost.generation'}\n"
        "sys.exit(str(unneeded & sys.modules.keys()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stderr == "set()\n"


def test_a_model_is_really_measured() -> None:
    with process("model.onnx", "--runs", "3", "--format", "json", "--quiet") as done:
        output, errors = done.communicate(timeout=60)
    assert (done.returncode, errors) == (0, b"")
    measured = json.loads(output)["measurement"]
    assert (measured["status"], measured["runs"], len(measured["samples"]), measured["batch"]) == ("ok", 3, 3, 2)
    assert all(seconds > 0 for seconds in measured["samples"])


def test_a_model_is_really_profiled() -> None:
    with process("profile", "model.onnx", "--runs", "3", "--format", "json", "--quiet") as done:
        output, errors = done.communicate(timeout=60)
    assert (done.returncode, errors) == (0, b"")
    nodes = json.loads(output)["profile"]["nodes"]
    assert sum(node["flops"] for node in nodes) == 2 * 8 * 31 + 16
    assert sum(node["share"] for node in nodes) == pytest.approx(1)


def test_a_model_is_really_traced(folder: Path) -> None:
    proto = model("(float[2,3] x) => (int64[2,N] y) { y = NonZero(x) }")
    np.save(folder / "x.npy", np.array([[0, 1, 0], [0, 0, 2]], np.float32))
    (folder / "model.onnx").write_bytes(proto.SerializeToString())
    with process("model.onnx", "--trace", "--no-run", "--strict", "--input", "x=x.npy", "--format", "json") as done:
        output, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    assert json.loads(output)["nodes"][0]["outputs"][0]["shape"] == [2, 2]


def test_a_model_that_cannot_run_is_counted(folder: Path) -> None:
    unknown = model("(float[2,3] x) => (float[2,3] y) { a = Relu(x) y = com.acme.Mine(a) }", domains=', "com.acme" : 1')
    (folder / "model.onnx").write_bytes(unknown.SerializeToString())
    with process("model.onnx", "--runs", "3") as done:
        output, errors = done.communicate(timeout=60)
    assert done.returncode == 3
    assert b"1 of 2 nodes" in output
    assert errors.startswith(b"onnxcost: error: not measured: ")
    assert errors.count(b"\n") == 1


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGINT to send")
def test_an_interrupt_while_measuring_leaves_the_static_cost() -> None:
    with process("model.onnx", "--seconds", "600") as running:
        assert running.stdout is not None
        head = running.stdout.readline()
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert head.startswith(b"model.onnx")
    assert b"FLOPs" in output
    assert b"Traceback" not in errors


@pytest.mark.skipif(sys.platform == "win32", reason="there is no SIGHUP to send")
@pytest.mark.parametrize("number", [signal.SIGTERM, getattr(signal, "SIGHUP", 1)])
def test_a_command_that_is_ended_leaves_no_weights(number: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lacking = model("(float[2, 300] x) => (float[2, 300] y) { y = Add(x, w) }")
    lacking.graph.initializer.add(name="w", dims=[300], data_type=1, data_location=1)
    (folder / "model.onnx").write_bytes(lacking.SerializeToString())
    temporary = folder / "temporary"
    temporary.mkdir()
    monkeypatch.setenv("TMPDIR", str(temporary))
    with process("measure", "model.onnx", "--seconds", "600") as running:
        deadline = time.monotonic() + 60
        while not list(temporary.glob("*/synthetic.onnx")) and time.monotonic() < deadline:
            time.sleep(0.02)
        assert list(temporary.glob("*/synthetic.weights"))
        running.send_signal(number)
        running.communicate(timeout=60)
    assert running.returncode == 128 + number
    assert list(temporary.iterdir()) == []
