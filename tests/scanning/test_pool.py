"""The processes that count, with a stand-in for what they run: what becomes of tasks when processes die."""

from __future__ import annotations

import sys
from collections import deque
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from onnxcost.errors import InputError
from onnxcost.scanning import pool
from onnxcost.scanning.pool import Answer
from onnxcost.spec import ModelSpec

WORKER = """
import os, pickle, signal, sys
from onnxcost.scanning.pool import READY, Answer

pipe, number = os.fdopen(os.dup(1), "wb"), 0

def say(message):
    pickle.dump(message, pipe)
    pipe.flush()

def killed(): os.kill(os.getpid(), signal.SIGKILL)
def crashed(): os.kill(os.getpid(), signal.SIGUSR1)
def exits(): os.write(2, b"Traceback ...\\nImportError: no module\\n"); os._exit(3)
def garbled(): os.write(1, b"no pickle"); os._exit(0)
def hangs(): sys.stdin.buffer.read()
def deaf(): os.write(1, b"no pickle"); sys.stdin.buffer.read()
def fine(): return f"{os.getpid()} {number}"
def sees(): return str(os.path.exists(task.source.removeprefix("sees-")))

say(READY)
while True:
    task = pickle.load(sys.stdin.buffer)
    number += 1
    say(Answer("ok", globals()[task.source.split("-")[0]]()))
"""


@pytest.fixture(autouse=True)
def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.setattr(pool, "COMMAND", (sys.executable, str(tmp_path / "worker.py")))


def answers(*paths: str, jobs: int = 1, timeout: float = 60, ahead: int = 0) -> list[tuple[str, Answer]]:
    return [(str(spec.source), answer) for spec, answer in pool.count_tasks(deque(map(ModelSpec, paths)), jobs, timeout, ahead)]


def test_a_process_does_one_task_after_the_other() -> None:
    found = answers(*(f"fine-{i}" for i in range(5)))
    assert [path for path, _ in found] == [f"fine-{i}" for i in range(5)]
    pids, numbers = zip(*(answer.reason.split() for _, answer in found), strict=True)
    assert len(set(pids)) == 1
    assert numbers == ("1", "2", "3", "4", "5")


def test_there_are_no_more_processes_than_jobs_or_tasks() -> None:
    assert len({answer.reason.split()[0] for _, answer in answers(*(f"fine-{i}" for i in range(30)), jobs=3)}) == 3
    assert len({answer.reason.split()[0] for _, answer in answers("fine-0", "fine-1", jobs=8)}) == 2
    assert answers(jobs=2) == []


@pytest.mark.parametrize(
    ("what", "reason"),
    [
        ("killed", "the process that counted it was killed, most likely because the machine has too little memory"),
        ("crashed", "the process that counted it crashed (SIGUSR1)"),
        ("exits", "the process that counted it ended with code 3: ImportError: no module"),
        ("garbled", "the process that counted it ended with code 0"),
    ],
)
@pytest.mark.parametrize(("jobs", "ahead"), [(1, 0), (2, 0), (1, 9), (2, 3)])
def test_only_the_task_whose_process_ends_is_unfinished(what: str, reason: str, jobs: int, ahead: int) -> None:
    listed = answers("fine-0", "fine-1", f"{what}-2", "fine-3", "fine-4", f"{what}-5", "fine-6", jobs=jobs, ahead=ahead)
    found = dict(listed)
    assert len(listed) == len(found) == 7
    assert found.pop(f"{what}-2") == found.pop(f"{what}-5") == Answer("unfinished", reason)
    assert sorted(found) == ["fine-0", "fine-1", "fine-3", "fine-4", "fine-6"]
    assert {answer.status for answer in found.values()} == {"ok"}


@pytest.mark.parametrize("ahead", [0, 2])
def test_a_task_that_takes_too_long_is_given_up(ahead: int) -> None:
    found = answers("fine-0", "hangs-1", "fine-2", timeout=0.2, ahead=ahead)
    assert found[1] == ("hangs-1", Answer("unfinished", "not counted within 0.2 seconds (--timeout)"))
    assert [answer.status for _, answer in found] == ["ok", "unfinished", "ok"]


def test_with_one_job_nothing_runs_until_the_next_answer_is_asked_for(tmp_path: Path) -> None:
    tasks = [ModelSpec("fine-0"), ModelSpec(f"sees-{tmp_path}/asked")]
    with closing(pool.count_tasks(deque(tasks), 1, 60)) as found:
        assert next(found)[1].status == "ok"
        (tmp_path / "asked").touch()
        assert next(found)[1].reason == "True"


def test_tasks_may_be_added_until_the_last_answer_is_taken() -> None:
    waiting = deque([ModelSpec("fine-0")])
    with closing(pool.count_tasks(waiting, 1, 60)) as found:
        pids = {next(found)[1].reason.split()[0]}
        waiting.append(ModelSpec("fine-1"))
        pids.add(next(found)[1].reason.split()[0])
    assert len(pids) == 1


def test_closing_the_generator_ends_the_processes() -> None:
    before = psutil.Process().children()
    found = pool.count_tasks(deque(map(ModelSpec, ("fine-0", "hangs-1", "hangs-2"))), 3, 60)
    next(found)
    assert len(psutil.Process().children()) == len(before) + 3
    found.close()
    assert psutil.Process().children() == before


@pytest.mark.parametrize("what", ["Popen", "start"])
def test_where_the_system_refuses_processes_there_are_fewer(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    owner = pool.subprocess if what == "Popen" else pool.threading.Thread
    usual, started = getattr(owner, what), []

    def refused(*arguments: Any, **more: Any) -> Any:
        started.append(True)
        if len(started) == 2:
            raise BlockingIOError(11, "no more") if what == "Popen" else RuntimeError("no more")
        return usual(*arguments, **more)

    monkeypatch.setattr(owner, what, refused)
    found = answers(*(f"fine-{i}" for i in range(5)), jobs=4)
    assert sorted(path for path, _ in found) == [f"fine-{i}" for i in range(5)]
    assert len({answer.reason.split()[0] for _, answer in found}) == 1


@pytest.mark.parametrize(("owner", "what"), [("subprocess", "Popen"), ("tempfile", "TemporaryFile")])
def test_where_the_system_refuses_all_processes_is_one_line(owner: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any, **__: Any) -> None:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(getattr(pool, owner), what, refused)
    with pytest.raises(InputError, match=r"^no worker process can be started: Too many open files$"):
        answers("fine-1", jobs=4)


def test_a_living_process_that_cannot_be_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for its next task, and would do so for ever."""
    monkeypatch.setattr(pool, "END_SECONDS", 0.2)
    before = psutil.Process().children()
    ((_, answer),) = answers("deaf")
    assert (answer.status, answer.reason) == ("unfinished", "the process that counted it returned no readable result")
    assert psutil.Process().children() == before
