"""Ctrl-C, as a real signal to a real command: what was measured until then is kept, and nothing is left behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import psutil
import pytest

from onnxcost.hardware.calibration.model import load
from tests.generation.small import DECODER

if sys.platform == "win32":
    pytest.skip("there is no SIGINT to send, and no pseudo-terminal", allow_module_level=True)

FOR_EVER = ("--seconds", "600", "--threads", "1")


class End(NamedTuple):
    code: int
    output: str
    errors: str


class Stopped:
    """A command whose progress bar is read: it gets Ctrl-C as soon as the bar shows a step."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.temporary = folder / "temporary"
        self.temporary.mkdir()

    def at(self, step: str, *arguments: str, times: int = 1) -> End:
        """The end of the command, which leaves no process and no file behind."""
        ours, theirs = os.openpty()
        environment = {**os.environ, "TMPDIR": str(self.temporary), "TERM": "xterm-256color", "COLUMNS": "300"}
        command = [sys.executable, "-m", "onnxcost", *arguments]
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=theirs, env=environment
        ) as running:
            os.close(theirs)
            read: list[bytes] = []
            reader = threading.Thread(target=_read_all, args=(ours, step.encode(), read, seen := threading.Event()))
            reader.start()
            assert seen.wait(60), b"".join(read)
            children = psutil.Process(running.pid).children(recursive=True)
            for _ in range(times):
                running.send_signal(signal.SIGINT)
            output = running.communicate(timeout=60)[0].decode()
        reader.join()
        os.close(ours)
        assert [child for child in children if child.is_running()] == []
        assert list(self.temporary.iterdir()) == []
        text = b"".join(read).decode().replace("\r\n  ", " ")
        assert "Traceback" not in text
        return End(running.returncode, output, text)


def _read_all(terminal: int, step: bytes, read: list[bytes], seen: threading.Event) -> None:
    """Reads until the terminal closes, which is an error on Linux; says when the step is seen."""
    with suppress(OSError):
        while more := os.read(terminal, 65536):
            read.append(more)
            if step in b"".join(read[-2:]):
                seen.set()


@pytest.fixture
def stopped(folder: Path) -> Stopped:
    return Stopped(folder)


KEPT = "onnxcost: error: interrupted: the results are from the runs completed so far"


def check_partial(measured: dict[str, Any]) -> None:
    assert (measured["status"], measured["interrupted"]) == ("ok", True)
    assert len(measured["samples"]) == measured["runs"] >= 1
    assert min(measured["samples"]) <= measured["latency"]["median"] <= max(measured["samples"])


@pytest.mark.parametrize("more", [[], ["--concurrency", "2"]])
@pytest.mark.parametrize("command", [["estimate"], ["measure"]])
def test_a_measurement_keeps_its_samples(stopped: Stopped, command: list[str], more: list[str]) -> None:
    end = stopped.at("measuring", *command, "model.onnx", *FOR_EVER, *more, "--format", "json")
    assert (end.code, KEPT in end.errors) == (130, True)
    check_partial(json.loads(end.output)["measurement"])


@pytest.mark.parametrize(("command", "mark"), [(["estimate"], "(interrupted)"), (["measure"], ", interrupted")])
def test_text_says_that_it_was_interrupted(stopped: Stopped, command: list[str], mark: str) -> None:
    end = stopped.at("measuring", *command, "model.onnx", *FOR_EVER)
    assert (end.code, mark in end.output) == (130, True)


def test_batches_before_the_interrupt_are_whole(stopped: Stopped, folder: Path) -> None:
    from tests.modeltext import model

    (folder / "open.onnx").write_bytes(model("(float[N,3] x) => (float[N,3] y) { y = Relu(x) }").SerializeToString())
    end = stopped.at("batch 2: measuring", "measure", "open.onnx", "--batches", "1,2,4", "--seconds", "0.5", "--format", "json")
    whole, partial = json.loads(end.output)["batches"]
    assert (end.code, whole["batch"], whole["interrupted"], partial["batch"]) == (130, 1, False, 2)
    check_partial(partial)


def test_a_decoder_keeps_its_tokens(stopped: Stopped, folder: Path) -> None:
    (folder / "decoder.onnx").write_bytes(DECODER.SerializeToString())
    many = ("--run", "--prompt", "8", "--tokens", "1000000")
    end = stopped.at("measuring", "llm", "decoder.onnx", *many, "--seconds", "600", "--format", "json")
    found = json.loads(end.output)["generation"]
    assert (end.code, KEPT in end.errors, found["interrupted"]) == (130, True, True)
    assert 1 <= found["contexts"][0]["tokens"] < 1000000


def test_before_the_first_sample_there_is_nothing_to_keep(stopped: Stopped) -> None:
    end = stopped.at("warming up", "measure", "model.onnx", "--warmup", "1000000000", "--format", "json")
    assert end.code == 130
    assert json.loads(end.output)["measurement"] == {"status": "failed", "reason": "interrupted"}


def test_a_profile_keeps_its_runs(stopped: Stopped) -> None:
    end = stopped.at("profiling", "profile", "model.onnx", "--runs", "200000", "--format", "json")
    document = json.loads(end.output)
    assert (end.code, KEPT in end.errors, document["measurement"]["interrupted"]) == (130, True, False)
    assert document["profile"]["interrupted"] is True
    assert len(document["profile"]["run_seconds"]) == document["profile"]["runs"] >= 1
    assert sum(node["share"] for node in document["profile"]["nodes"]) == pytest.approx(1)


def test_without_a_profiled_run_the_measurement_is_kept(stopped: Stopped) -> None:
    end = stopped.at("measuring", "profile", "model.onnx", *FOR_EVER, "--format", "json")
    document = json.loads(end.output)
    assert (end.code, "profile" in document) == (130, False)
    check_partial(document["measurement"])


def test_a_comparison_keeps_its_rounds(stopped: Stopped, folder: Path) -> None:
    (folder / "b.onnx").write_bytes((folder / "model.onnx").read_bytes())
    end = stopped.at("measuring", "compare", "model.onnx", "b.onnx", *FOR_EVER, "--check-outputs", "--format", "json")
    models = json.loads(end.output)["models"]
    assert (end.code, KEPT in end.errors) == (130, True)
    assert [(each["interrupted"], each["not_measured"]) for each in models] == [(True, None)] * 2
    assert all(each["metrics"]["latency"] > 0 for each in models)
    assert models[1]["latency_ratio"] > 0


def test_a_calibration_keeps_its_times(stopped: Stopped, folder: Path) -> None:
    end = stopped.at("measuring", "devices", "calibrate", "-o", "here.toml", "--threads", "1")
    assert (end.code, KEPT in end.errors) == (130, True)
    found = load(folder / "here.toml")
    assert (found.interrupted, list(found.speeds)) == (True, [1])
    assert "cheap" in found.speeds[1].points


@pytest.mark.parametrize(
    "command",
    [["estimate", "model.onnx"], ["measure", "model.onnx"], ["profile", "model.onnx"], ["compare", "model.onnx", "b.onnx"]],
)
def test_a_second_one_ends_immediately(stopped: Stopped, folder: Path, command: list[str]) -> None:
    (folder / "b.onnx").write_bytes((folder / "model.onnx").read_bytes())
    assert stopped.at("measuring", *command, *FOR_EVER, times=2).code == 130
