"""Boards that give no result, behind real servers: each is a column with its reason, and the others are not disturbed."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from onnxcost.version import __version__
from tests.fleet.conftest import Lab

QUICK = ("--runs", "3", "--warmup", "0")
LATE = "import onnxcost.fleet.board as board, time\nboard.redirect_stderr = lambda *_: time.sleep(60)"
LITTLE = "import resource\nresource.setrlimit(resource.RLIMIT_AS, (150 << 20, 150 << 20))"
OLD = "import onnxcost.version\nonnxcost.version.__version__ = '0.0.1'"
BEHIND = "import time\nnow = time.time\ntime.time = lambda: now() - 3600"
SAYS = "import sys\nprint('onnxcost {version}\\n' + {text!r}, flush=True)\nsys.stdin.read() if {waits} else None\nsys.exit(0)"


def says(text: str, *, waits: bool = True) -> str:
    """Code of a board that says the version and the text, and nothing else."""
    return SAYS.format(version=__version__, text=text, waits=waits)


def test_each_failure_has_its_reason(lab: Lab) -> None:
    lab.add("old", command=lab.command(OLD))
    lab.add("none", command="/nowhere/onnxcost")
    lab.add("mute", command="true")
    lab.add("denied", user="nobody")
    lab.hosts["off"] = {"address": "127.0.0.1", "port": 1}
    lab.hosts["unnamed"] = {"address": "no-such-host.invalid"}
    lab.add("unknown", address="localhost")
    done = lab.invoke("measure", "model.onnx", *QUICK, "--on", "old,none,mute,denied,off,unnamed,unknown,one", "-o", "all.json")
    found = {board["board"]: board for board in json.loads(Path("all.json").read_text())["boards"]}
    assert {name: board["failure"] for name, board in found.items()} == {
        "old": "another version", "none": "no onnxcost", "mute": "no onnxcost", "denied": "unreachable", "off": "unreachable",
        "unnamed": "unreachable", "unknown": "unreachable", "one": None,
    }  # fmt: skip
    assert found["old"]["reason"] == f"onnxcost 0.0.1 there, {__version__} here"
    assert "'/nowhere/onnxcost' cannot be started on the board" in found["none"]["reason"]
    assert "refused" in found["off"]["reason"]
    assert "Permission denied" in found["denied"]["reason"]
    assert "Host key verification failed" in found["unknown"]["reason"]
    assert found["one"]["result"]["measurement"]["status"] == "ok"
    assert done.exit_code == 3
    assert "7 of 8 boards returned no result: old (another version), none (no onnxcost)" in done.stderr


def test_a_failed_board_is_a_column(lab: Lab) -> None:
    lab.hosts["off"] = {"address": "127.0.0.1", "port": 1}
    done = lab.invoke("measure", "model.onnx", *QUICK, "--on", "one,off")
    lines = done.stdout.splitlines()
    head = next(at for at, line in enumerate(lines) if line.split() == ["one", "off"])
    assert lines[head + 1].split() == ["Status", "ok", "unreachable"]
    assert any(line.split()[:1] == ["Latency"] and line.endswith("–") for line in lines)
    assert "  off: unreachable: ssh: connect to host 127.0.0.1 port 1: Connection refused" in lines


def test_a_board_that_is_busy(lab: Lab) -> None:
    lab.add("slow", "two", command=lab.command(LATE), timeout=1)
    lock = lab.boards["one"].folder / "onnxcost-fleet.lock"
    with lock.open("w") as file:
        file.write("a job of ada from 10.0.0.1 \x1b[31m\n")
        file.flush()
        fcntl.flock(file, fcntl.LOCK_EX)
        done = lab.invoke("measure", "model.onnx", *QUICK, "--on", "one,slow")
    assert "one: busy: a job of ada from 10.0.0.1 ?[31m" in done.stdout
    assert "slow: timed out: no result within 1 s" in done.stdout
    assert done.exit_code == 3
    # The file is still there, but nobody holds the lock; the job that was late has ended, too.
    wait_until(lambda: not lab.boards["two"].commands())
    assert lab.invoke("measure", "model.onnx", *QUICK, "--on", "one,two").exit_code == 0


@pytest.mark.parametrize(
    ("before", "failure", "reason"),
    [
        (LITTLE, "no memory", "the system refused: there is not enough memory"),
        (says('onnxcost-fleet {"busy": ""}\nonnxcost-fleet {"code": 0, "size": 99999999999}'), "died", "its result has"),
        (says('onnxcost-fleet {"busy": ""}\nonnxcost-fleet {"code": 0, "size": 2}\n[]'), "died", "its result cannot be read"),
        (
            says('onnxcost-fleet {"busy": ""}\nonnxcost-fleet {"code": 0, "size": 9999}\n{}', waits=False),
            "died",
            "during the job",
        ),
        (says("onnxcost-fleet {"), "died", "its answer is not JSON"),
        (says("onnxcost-fleet []"), "died", "its answer is not an onnxcost message"),
        (says("x" * 300_000), "died", "it sent a line that is too long"),
        (says("hello\n" * 1001), "no onnxcost", "its output is not from onnxcost"),
        (says("\x1b]0;x\x07", waits=False), "no onnxcost", "does not respond on the board"),
    ],
    ids=["memory", "size", "list", "end", "half", "no message", "long", "many", "silent"],
)
def test_a_board_that_answers_wrongly(lab: Lab, before: str, failure: str, reason: str) -> None:
    lab.add("odd", command=lab.command(before))
    done = lab.invoke("measure", "model.onnx", *QUICK, "--on", "odd", width=300)
    assert f"odd: {failure}: " in done.stdout
    assert reason in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert done.exit_code == 3


def test_what_a_shell_prints_first_is_skipped(lab: Lab) -> None:
    lab.add("talks", command=lab.command("print('Welcome!\\nonnxcost-fleet', flush=True)"))
    assert lab.invoke("measure", "model.onnx", *QUICK, "--on", "talks").exit_code == 0


def test_a_clock_that_is_wrong_is_a_warning(lab: Lab) -> None:
    lab.add("behind", command=lab.command(BEHIND))
    done = lab.invoke("measure", "model.onnx", *QUICK, "--on", "behind,two", "--warnings")
    skew = re.search(r"warning: behind: its clock is at least (\d+) s behind this machine's", done.stderr)
    assert skew is not None, done.stderr
    assert 3500 < int(skew[1]) <= 3600
    assert "two: its clock" not in done.stderr
    assert done.exit_code == 0


def test_boards_that_die_in_the_middle_of_a_job(lab: Lab) -> None:
    """On one the process is killed, on two the server's, so that the process there loses its connection."""
    one, two = lab.boards["one"], lab.boards["two"]
    with start(lab, "measure", "model.onnx", "--seconds", "60", "--on", "one,two", "-o", "died.json") as child:
        wait_until(lambda: all(board.commands() and board.left() for board in (one, two)))
        os.kill(one.commands()[0], signal.SIGKILL)
        (command,) = two.commands()
        for session in two.connections():
            os.kill(session, signal.SIGKILL)
        assert child.wait(60) == 3
    found = json.loads(Path("died.json").read_text())["boards"]
    assert [board["failure"] for board in found] == ["died", "died"]
    assert "onnxcost ended on the board during the job" in found[0]["reason"]
    assert "the connection was lost during the job" in found[1]["reason"]
    wait_until(lambda: not Path(f"/proc/{command}").exists())
    assert two.left() == []
    again = lab.invoke("measure", "model.onnx", *QUICK, "--on", "one,two")
    assert again.exit_code == 0, again.stdout
    assert (one.left(), two.left()) == ([], [])


def test_ctrl_c_ends_the_jobs_on_the_boards(lab: Lab) -> None:
    one = lab.boards["one"]
    with start(lab, "measure", "model.onnx", "--seconds", "60", "--on", "one", "-o", "ended.json") as child:
        wait_until(lambda: bool(one.commands() and one.left()))
        child.send_signal(signal.SIGINT)
        assert child.wait(60) == 130
    assert json.loads(Path("ended.json").read_text())["boards"][0]["failure"] == "interrupted"
    wait_until(lambda: not one.commands() and not one.left())


@contextmanager
def start(lab: Lab, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """The command line as a process of its own, which hears Ctrl-C even where the tests run in the background."""
    before = "import signal\nsignal.signal(signal.SIGINT, signal.default_int_handler)"
    words = [lab.command(before), *arguments, "--hosts", str(lab.write_hosts())]
    with subprocess.Popen(words) as child:
        try:
            yield child
        finally:
            child.kill()


def wait_until(is_so: Callable[[], bool], seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
