"""The child process: what it says is heard, and whatever ends it becomes one line; nothing of it is left behind."""

from __future__ import annotations

import errno
import io
import os
import pickle
import re
import subprocess
import sys
import tempfile
import threading
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import pytest

from onnxcost.errors import MeasurementError
from onnxcost.measurement import Settings
from onnxcost.runtime import supervisor
from onnxcost.runtime.protocol import ArenaUse, Failure, Progress, Request
from tests.modeltext import model

PRELUDE = """
import os, pickle, signal, sys, time
from onnxcost.runtime.protocol import *
from onnxcost.runtime.protocol import ArenaUse
request = pickle.load(sys.stdin.buffer)
def send(message):
    pickle.dump(message, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""
WAITS = "time.sleep(600)"


def asked(
    monkeypatch: pytest.MonkeyPatch, folder: Path, body: str, timeout: float | None = None
) -> tuple[list[object], list[Progress]]:
    """What a child of this body answers, and its progress."""
    monkeypatch.setattr(supervisor, "CHILD", (sys.executable, "-c", PRELUDE + body))
    progress: list[Progress] = []
    request = Request("measure", "model.onnx", (), Settings(timeout=timeout), str(folder))
    return list(supervisor.answers(request, progress.append)), progress


BEFORE: set[psutil.Process] = set()
"""The servers that other tests of this process have started."""


@pytest.fixture(autouse=True)
def _before() -> None:
    BEFORE.clear()
    BEFORE.update(psutil.Process().children())


def children() -> list[psutil.Process]:
    there = (child for child in psutil.Process().children() if child.status() != psutil.STATUS_ZOMBIE)
    return [child for child in there if child not in BEFORE]


def test_answers_and_progress_are_told_apart(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    heard, progress = asked(monkeypatch, tmp_path, "send(Progress('loading', 0.5)); send(ArenaUse(7))")
    assert heard == [ArenaUse(7)]
    assert progress == [Progress("loading", 0.5)]


ENDS = {
    "a failure that it reports": (f"send({Failure('no weights')!r})", None, "^no weights$"),
    "killed": ("os.kill(os.getpid(), signal.SIGKILL)", None, "was killed, most likely .* too little memory"),
    "crashed": ("os.kill(os.getpid(), signal.SIGSEGV)", None, r"crashed .*\(SIGSEGV\)"),
    "ended with a word": ("sys.exit('out of luck')", None, "ended with code 1: .*out of luck"),
    "hung": (WAITS, 1.0, "stopped after 1 seconds"),
    "hung after some progress": ("send(Progress('loading'))\n" + WAITS, 1.0, "stopped after 1 seconds"),
    "gone before it could listen": ("", None, ""),
}


@pytest.mark.skipif(os.name != "posix", reason="signals")
@pytest.mark.parametrize("end", ENDS)
def test_the_end_of_the_child_is_one_line(end: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    body, timeout, message = ENDS[end]
    if message:
        with pytest.raises(MeasurementError, match=message) as caught:
            asked(monkeypatch, tmp_path, body, timeout)
        assert "\n" not in str(caught.value)
        assert caught.value.exit_code == 3
    else:
        assert asked(monkeypatch, tmp_path, body, timeout) == ([], [])
    assert children() == []


@pytest.mark.parametrize("code", [errno.EAGAIN, errno.EMFILE, errno.ENOMEM, errno.ENOSPC])
@pytest.mark.parametrize("what", ["Popen", "TemporaryFile"])
def test_a_child_that_the_system_refuses_is_one_line(
    what: str, code: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(subprocess if what == "Popen" else tempfile, what, refused)
    with pytest.raises(MeasurementError, match=f"cannot be started: {os.strerror(code)}"):
        asked(monkeypatch, tmp_path, WAITS)


def test_a_thread_that_the_system_refuses_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refused)
    with pytest.raises(MeasurementError, match="can't start new thread"):
        asked(monkeypatch, tmp_path, WAITS)
    assert children() == []


@pytest.mark.skipif(sys.platform != "linux", reason="a limit of address space")
@pytest.mark.parametrize("megabytes", [60, 100, 150, 200])
def test_a_child_without_addresses_is_one_line(megabytes: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """The limit is the child's alone, set before it imports anything."""
    code = (
        f"import resource; resource.setrlimit(resource.RLIMIT_AS, 2 * ({megabytes} << 20,));"
        "from onnxcost.runtime import worker; raise SystemExit(worker.main())"
    )
    monkeypatch.setattr(supervisor, "CHILD", (sys.executable, "-c", code))
    (tmp_path / "model.onnx").write_bytes(model("(float[2] x) => (float[2] y) { y = Relu(x) }").SerializeToString())
    request = Request("measure", str(tmp_path / "model.onnx"), (), Settings(timeout=60), str(tmp_path))
    with pytest.raises(MeasurementError) as caught:
        list(supervisor.answers(request))
    # Smaller, older libraries start with 150 MB, and find that the request has no inputs.
    assert re.search(r"(?i)memory|refuses" + ("|inputs have no data" if megabytes >= 150 else ""), str(caught.value))
    assert "\n" not in str(caught.value)


def test_what_was_answered_before_a_crash_is_heard(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(
        supervisor, "CHILD", (sys.executable, "-c", PRELUDE + "send(ArenaUse(7)); os.kill(os.getpid(), signal.SIGKILL)")
    )
    heard = supervisor.answers(Request("measure", "", (), Settings(), str(tmp_path)))
    assert next(heard) == ArenaUse(7)
    with pytest.raises(MeasurementError, match="killed"):
        next(heard)


def test_who_stops_listening_ends_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(supervisor, "CHILD", (sys.executable, "-c", PRELUDE + "send(ArenaUse(7))\n" + WAITS))
    heard = supervisor.answers(Request("measure", "", (), Settings(), str(tmp_path)))
    next(heard)
    assert len(children()) == 1
    heard.close()  # type: ignore[attr-defined]  # it is a generator
    assert children() == []


@pytest.mark.skipif(os.name != "posix", reason="signals")
def test_ctrl_c_while_waiting_ends_the_child(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    body = "signal.signal(signal.SIGINT, signal.SIG_IGN); os.kill(os.getppid(), signal.SIGINT)\n" + WAITS
    with pytest.raises(KeyboardInterrupt):
        asked(monkeypatch, tmp_path, body, timeout=60)
    assert children() == []


def test_what_a_library_prints_does_not_reach_the_parent(tmp_path: Path) -> None:
    """The real child: its standard output is stderr before the task runs; an unknown task ends in a failure."""
    request = Request("no such task", "", (), Settings(), str(tmp_path))
    with pytest.raises(MeasurementError):
        list(supervisor.answers(request))


def test_the_child_ends_with_its_parent(tmp_path: Path) -> None:
    """The child's watch on its standard input: a parent that is killed leaves no process and no folder behind."""
    folder = tmp_path / "onnxcost-1"
    folder.mkdir()
    code = f"""
import os, sys, time
from onnxcost.runtime import supervisor
from onnxcost.runtime.protocol import Request
from onnxcost.measurement import Settings
from onnxcost.runtime.protocol import ArenaUse
supervisor.CHILD = (sys.executable, "-c", '''
import sys, time, os
from onnxcost.runtime import worker as child
from onnxcost.runtime import tasks
tasks.run_timed = lambda request, channel: (channel.send(os.getpid()), time.sleep(600))
child.main()
''')
heard = supervisor.answers(Request("measure", "", (), Settings(), {str(folder)!r}))
print(next(heard), flush=True)
os._exit(1)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    child = int(done.stdout)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(timeout=10)
    assert not psutil.pid_exists(child)
    assert not folder.exists()


def test_only_the_time_that_is_waited_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """In interleaved timing each model waits for the others."""
    now = [0.0]
    monkeypatch.setattr(supervisor, "time", SimpleNamespace(monotonic=lambda: now[0]))
    child: Any = SimpleNamespace(stdout=io.BytesIO(pickle.dumps("first") + pickle.dumps("second")))
    heard = supervisor._receive(child, timeout=5)
    assert next(heard) == "first"
    now[0] = 100.0
    assert next(heard) == "second"


def test_a_living_child_that_cannot_be_read_is_ended(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A pipe that the system refuses to read: the child waits for the next message, which nobody sends."""
    refused = OSError(errno.EIO, os.strerror(errno.EIO))
    monkeypatch.setattr(supervisor.pickle, "load", lambda _: (_ for _ in ()).throw(refused))
    with pytest.raises(
        MeasurementError, match=r"the output of the process that runs the model cannot be read: .*Input/output error"
    ):
        asked(monkeypatch, tmp_path, WAITS)
    assert children() == []


SAYS_WHO = "send(os.getpid())"


def test_a_child_that_was_started_early_is_the_one_that_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(supervisor, "CHILD", (sys.executable, "-c", PRELUDE + SAYS_WHO))
    request = Request("measure", "", (), Settings(), str(tmp_path))
    with supervisor.start_early():
        (early,) = children()
        with supervisor.start_early():
            assert len(children()) == 1
            assert list(supervisor.answers(request)) == [early.pid]
        assert list(supervisor.answers(request)) != [early.pid]
    assert children() == []


@pytest.mark.parametrize("end", [MeasurementError("no model"), KeyboardInterrupt(), SystemExit(143), None])
def test_an_unused_child_ends_with_the_block(end: BaseException | None) -> None:
    """The real one, in the middle of its imports."""
    with suppress(BaseException), supervisor.start_early():
        assert len(children()) == 1
        if end is not None:
            raise end
    assert children() == []


def test_a_child_that_died_early_is_replaced(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(supervisor, "CHILD", (sys.executable, "-c", "raise SystemExit(7)"))
    with supervisor.start_early():
        supervisor._EARLY[0][0].wait(60)
        heard, _ = asked(monkeypatch, tmp_path, "send(ArenaUse(7))")
    assert heard == [ArenaUse(7)]
    assert children() == []


@pytest.mark.parametrize("what", ["Popen", "TemporaryFile"])
def test_without_an_early_child_the_run_starts_its_own(what: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    with monkeypatch.context() as context:
        context.setattr(subprocess if what == "Popen" else tempfile, what, refused)
        early = supervisor.start_early()
        early.__enter__()
    assert asked(monkeypatch, tmp_path, "send(ArenaUse(7))")[0] == [ArenaUse(7)]
    early.__exit__(None, None, None)
    assert children() == []


def test_an_early_child_ends_with_its_parent() -> None:
    code = """
import os, sys
from onnxcost.runtime import supervisor
early = supervisor.start_early()
early.__enter__()
print(supervisor._EARLY[0][0].pid, flush=True)
os._exit(1)
"""
    child = int(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout)
    with suppress(psutil.NoSuchProcess):
        psutil.Process(child).wait(timeout=60)
    assert not psutil.pid_exists(child)
