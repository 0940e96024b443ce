"""What the operating system refuses: one line that says so, and an exit code of its meaning."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

import pytest
from click.testing import CliRunner

import onnxcost
from onnxcost import runtime
from onnxcost.cli.app import cli
from onnxcost.errors import refusal
from onnxcost.frontend import byte_source
from tests.generation.small import DECODER
from tests.modeltext import model

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="what is refused, and how, is Linux's")
RUNNABLE = model("(float[2,16] x) => (float[2,8] y) { h = MatMul(x, w) y = Relu(h) }", w=(16, 8)).SerializeToString()
ROOT = Path(onnxcost.__file__).parent.parent
FULL = "the system refused: No space left on device"
CLOSED = "the system refused: Bad file descriptor"
MEMORY = "the system refused: there is not enough memory"
FILES = "started: Too many open files"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "model.onnx").write_bytes(RUNNABLE)
    return tmp_path


def shell(command: str, folder: Path) -> tuple[int, str, str]:
    """What a shell command ends with and prints; ``onnxcost`` in it is the command."""
    script = f'onnxcost() {{ exec "{sys.executable}" -m onnxcost "$@"; }}\n{command}'
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "80", "COVERAGE_PROCESS_START": ""}
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, cwd=folder, env=environment, timeout=120)
    return done.returncode, done.stdout, done.stderr


REFUSED = {
    "a closed stdout": ("(onnxcost model.onnx --no-run >&-)", 2, CLOSED),
    "a closed stdout for help": ("(onnxcost --help >&-)", 2, CLOSED),
    "a closed stdin": ("(onnxcost - --no-run <&-)", 2, "the model is empty"),
    "a full stdout": ("(onnxcost model.onnx --no-run >/dev/full)", 2, FULL),
    "a full stdout for JSON": ("(onnxcost model.onnx --no-run --format json >/dev/full)", 2, FULL),
    "a full stdout for help": ("(onnxcost --help >/dev/full)", 2, FULL),
    "a full stdout for lines": ("(onnxcost scan model.onnx --format jsonl >/dev/full)", 2, FULL),
    "a full file": ("onnxcost model.onnx --no-run -o /dev/full --format csv", 2, "cannot write '/dev/full': No space left"),
    "a device to resume from": (
        "onnxcost scan model.onnx --resume /dev/full",
        2,
        "cannot read '/dev/full': it is not a regular file",
    ),
    "a device of devices": ("onnxcost devices --device-file /dev/zero", 2, "cannot read '/dev/zero': it is a character device"),
    "no open files for workers": ("ulimit -n 8; onnxcost scan model.onnx", 2, FILES),
    "little memory": ("ulimit -v 100000; onnxcost model.onnx --no-run", 2, MEMORY),
    "little memory for workers": ("ulimit -v 100000; onnxcost scan model.onnx", 2, MEMORY),
    "a deleted folder": ("mkdir gone; cd gone; rmdir ../gone; onnxcost scan ../model.onnx", 2, "No such file or directory"),
}


@pytest.mark.parametrize(("command", "code", "says"), REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_one_line(folder: Path, command: str, code: int, says: str) -> None:
    found, _, errors = shell(command, folder)
    assert (found, errors.count("\n")) == (code, 1), errors
    assert errors.startswith("onnxcost: error: ")
    assert says in errors
    assert "bug in onnxcost" not in errors


UNMEASURED = {
    "open files": (
        "ulimit -n 8; onnxcost model.onnx",
        "not measured: the process that runs the model cannot be started: Too many open files",
    ),
    "address space": ("ulimit -v 150000; onnxcost model.onnx", "not measured: "),
    "address space for outputs": (
        "ulimit -v 150000; onnxcost compare model.onnx model.onnx --max-difference 1 --no-run",
        "not",
    ),
    "open files for a comparison": ("ulimit -n 8; onnxcost compare model.onnx model.onnx", FILES),
    "open files for a profile": ("ulimit -n 8; onnxcost profile model.onnx", FILES),
}


@pytest.mark.parametrize(("command", "says"), UNMEASURED.values(), ids=UNMEASURED)
def test_where_only_the_measurement_is_refused_the_counts_stand(folder: Path, command: str, says: str) -> None:
    code, output, errors = shell(command, folder)
    if code == 0 and "ulimit -v" in command:
        pytest.skip("these versions of the libraries need less than that")
    assert code == 3, errors
    assert "model" in output
    assert says in errors
    assert "Traceback" not in errors
    assert "bug in onnxcost" not in errors


QUIET = {
    "a closed stderr": ("(onnxcost nosuch.onnx 2>&-)", 2),
    "a full stderr": ("(onnxcost nosuch.onnx 2>/dev/full)", 2),
    "a full stderr and a failed check": ("(onnxcost budget model.onnx --macs 1 2>/dev/full)", 1),
    "a closed stderr with a result": ("(onnxcost model.onnx --no-run 2>&-)", 0),
    "nobody who reads on": ("onnxcost formulas | true; exit ${PIPESTATUS[0]}", 0),
    "nobody who reads help": ("onnxcost --help | true; exit ${PIPESTATUS[0]}", 0),
    "nobody who reads lines": ("onnxcost scan model.onnx --format jsonl | true; exit ${PIPESTATUS[0]}", 0),
    "a closed stdin that nobody needs": ("(onnxcost model.onnx --no-run <&-)", 0),
    "a home that is not there": ("HOME=/nosuch onnxcost model.onnx --no-run", 0),
    "a closed stdout that nobody needs": ("(onnxcost model.onnx --no-run -o cost.json >&-) && test -s cost.json", 0),
}


@pytest.mark.parametrize(("command", "code"), QUIET.values(), ids=QUIET)
def test_an_unread_message_changes_no_exit_code(folder: Path, command: str, code: int) -> None:
    found, _, errors = shell(command, folder)
    assert (found, errors) == (code, "")


def test_a_file_that_is_opened_does_not_get_the_number_of_a_closed_stream(folder: Path) -> None:
    """What onnxruntime's libraries print on stderr would otherwise go into the file."""
    code, _, _ = shell("(onnxcost model.onnx --no-run -o cost.csv >&- 2>&- <&-)", folder)
    assert code == 0
    assert (folder / "cost.csv").read_text().startswith("name,op_type")


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (MemoryError(), MEMORY),
        (OSError(28, "No space left on device"), FULL),
        (FileNotFoundError(2, "No such file or directory", "a.txt"), "the system refused: No such file or directory: 'a.txt'"),
        (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), "No usable temporary directory found"),
        (RuntimeError("can't start new thread"), "the system refused: no more threads can be started"),
        (RecursionError("maximum recursion depth exceeded"), "the input is nested too deeply"),
        (OverflowError("int too large to convert to float"), "the input results in a number that is too large"),
        (ImportError("numpy explains\nits own", name="numpy"), "a library cannot be loaded: numpy explains"),
        (ImportError("cannot import name", name="onnxcost.report"), None),
        (ModuleNotFoundError("No module named 'onnxcost.graph'", name="onnxcost.graph"), "'onnxcost.graph' cannot be read"),
        (
            ImportError("cannot import name 'api' from 'onnxcost.runtime' (…)", name="onnxcost.runtime", path=runtime.__file__),
            "'onnxcost.runtime.api' cannot be read",
        ),
        (
            ImportError("cannot import name 'x' from 'onnxcost.runtime' (…)", name="onnxcost.runtime", path=runtime.__file__),
            None,
        ),
        (RuntimeError("can't allocate read lock"), MEMORY),
        (
            AttributeError("module 'numpy.random' has no attribute 'default_rng'"),
            "a library cannot be loaded: module 'numpy.random'",
        ),
        (AttributeError("module 'onnxcost.report' has no attribute 'x'"), None),
        (AttributeError("'int' object has no attribute 'x'"), None),
        (RuntimeError("dictionary changed size during iteration"), None),
        (KeyError("a"), None),
    ],
    ids=repr,
)
def test_what_is_a_refusal_of_the_system(error: Exception, says: str | None) -> None:
    found = refusal(error)
    assert found is None if says is None else says in str(found)
    assert "\n" not in str(found)


READS = {
    "estimate": ["estimate", "decoder.onnx", "--no-run"],
    "scale": ["scale", "model.onnx"],
    "llm": ["llm", "decoder.onnx"],
    "pipeline": ["estimate", "--pipeline", "model.onnx,decoder.onnx*3", "--no-run"],
    "budget": ["budget", "model.onnx", "--device", "jetson-nano", "--fps", "1000000000"],
}


@pytest.mark.parametrize("arguments", READS.values(), ids=READS)
def test_a_file_that_cannot_be_read_once_more_is_no_misfit(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Models are read for each size: what the system refuses says nothing of the size."""
    (tmp_path / "model.onnx").write_bytes(
        model("(float[n,16] x) => (float y) { y = MatMul(x, w) }", w=(16, 8)).SerializeToString()
    )
    (tmp_path / "decoder.onnx").write_bytes(DECODER.SerializeToString())
    monkeypatch.chdir(tmp_path)
    opened = byte_source.open_file
    left = 0

    def open_file(path: str) -> AbstractContextManager[tuple[BinaryIO, bytes | None]]:
        nonlocal left
        left -= 1
        if left == 0:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return opened(path)

    monkeypatch.setattr(byte_source, "open_file", open_file)
    for number in range(1, 30):
        left = number
        result = CliRunner().invoke(cli, arguments)
        if left > 0:
            break
        assert result.exit_code == 2, (number, result.output)
        assert "Input/output error" in result.stderr.splitlines()[-1]
        assert result.stdout == ""
    assert number > 1
