"""Nothing that POSIX alone has is needed: the commands run in a process without it, as on Windows, and on any console."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from onnxcost.cli import output
from onnxcost.processes import is_closed_pipe

ROOT = Path(__file__).parents[1]
CNN = str(ROOT / "models" / "mnist_cnn_pytorch.onnx")
RESNET = str(ROOT / "models" / "resnet18_int8_qdq.onnx")

OTHERS = ("fcntl", "grp", "pty", "pwd", "resource", "termios", "tty")
OF_OS = (
    *("O_NOFOLLOW", "O_NONBLOCK", "fork", "geteuid", "getuid", "getloadavg", "getpgid", "killpg", "mkfifo", "posix_fadvise"),
    *("sched_getaffinity", "set_blocking", "setsid", "statvfs", "sysconf", "uname", "waitstatus_to_exitcode"),
)
OF_SIGNAL = (
    *("SIGALRM", "SIGCHLD", "SIGHUP", "SIGPIPE", "SIGQUIT", "SIGUSR1", "SIGUSR2"),
    *("pthread_sigmask", "setitimer"),
)
"""What Windows lacks, and the package might use. The standard library needs the rest on this system, as SIGKILL."""
WITHOUT = f"""
import asyncio, ctypes, importlib.metadata, importlib.resources, multiprocessing, os, platform, shutil, signal, sys, tempfile
import click, numpy, onnx, psutil, rich.console, rich.progress
platform.platform()
for name in {OTHERS}:
    sys.modules[name] = None
for module, names in ((os, {OF_OS}), (signal, {OF_SIGNAL})):
    for name in names:
        if hasattr(module, name):
            delattr(module, name)
sys.platform = "win32"
from onnxcost.__main__ import main
sys.exit(main(sys.argv[1:]))
"""
MAIN = "import sys; from onnxcost.__main__ import main; sys.exit(main(sys.argv[1:]))"
COMMANDS = {
    "estimate": [CNN, "--no-run"],
    "estimate and run": [CNN, "--runs", "1", "-o", "cost.json"],
    "measure": ["measure", CNN, "--runs", "1"],
    "profile": ["profile", CNN, "--runs", "1"],
    "compare": ["compare", CNN, RESNET, "--no-run"],
    "outputs": ["compare", CNN, CNN, "--no-run", "--check-outputs"],
    "scan": ["scan", CNN, RESNET, "--resume", "scan.jsonl"],
    "budget": ["budget", CNN, "--fps", "1"],
    "devices": ["devices", "raspberry-pi-5-8gb"],
    "strip": ["strip", CNN, "-o", "skeleton.onnx"],
    "page": [CNN, "--no-run", "-o", "report.html"],
}


def python(code: str, *arguments: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    variables = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "100", **environment}
    return subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, cwd=cwd, env=variables)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_needs_nothing_of_posix(name: str, tmp_path: Path) -> None:
    done = python(WITHOUT, *COMMANDS[name], cwd=tmp_path)
    assert (done.returncode, b"Traceback" in done.stderr) == (0, False), done.stderr.decode()
    assert done.stdout or "-o" in COMMANDS[name]


@pytest.mark.parametrize("encoding", ["cp1252", "cp437", "cp932", "ascii", "utf-16"])
def test_a_console_of_any_encoding_shows_a_report(encoding: str, tmp_path: Path) -> None:
    done = python(MAIN, CNN, "--no-run", cwd=tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0, done.stderr.decode(encoding)
    assert "337.0 k" in done.stdout.decode(encoding)


CLOSED = {
    "POSIX": (BrokenPipeError(errno.EPIPE, "Broken pipe"), "linux", True),
    "Windows": (OSError(errno.EINVAL, "Invalid argument"), "win32", True),
    "another fault": (OSError(errno.EINVAL, "Invalid argument"), "linux", False),
    "a full disk": (OSError(errno.ENOSPC, "No space left on device"), "win32", False),
}


@pytest.mark.parametrize(("error", "platform", "is_closed"), CLOSED.values(), ids=CLOSED)
def test_a_pipe_whose_reader_is_gone(
    error: OSError, platform: str, is_closed: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    assert is_closed_pipe(error) is is_closed

    def write(stream: io.TextIOBase) -> None:
        raise error

    with (tmp_path / "out").open("w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        if is_closed:
            output.print_on(write)
        else:
            with pytest.raises(OSError, match=error.strerror):
                output.print_on(write)


def test_texts_do_not_depend_on_the_locale(tmp_path: Path) -> None:
    """No file is read or written in the locale's encoding, which is not UTF-8 on Windows: Python warns of that."""
    done = python(
        MAIN, CNN, "--no-run", "-o", "cost.json", cwd=tmp_path, PYTHONWARNDEFAULTENCODING="1",
        PYTHONWARNINGS="error::EncodingWarning",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr.decode()
    assert json.loads((tmp_path / "cost.json").read_bytes())["totals"]["macs"] == 337_024
