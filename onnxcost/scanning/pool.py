"""The worker pool: processes that count one model at a time, their messages, and the replacement of those that died."""

from __future__ import annotations

import gc
import os
import pickle
import queue
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections import deque
from collections.abc import Generator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from onnxcost.errors import InputError, MissingFile, OnnxCostError, refusal
from onnxcost.processes import (
    CLOSED,
    claim_output,
    describe_exit,
    end_child,
    import_path,
    leave_interrupts_to_parent,
    listen_to_child,
    listen_to_parent,
    was_killed,
)
from onnxcost.remote.urls import is_remote
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from onnxcost.frontend.reader import Skeleton

READY = "ready"
"""A worker's first message."""


class Answer(NamedTuple):
    """The result for a model, with fields as in ``Scanned``."""

    status: str
    reason: str = ""
    seconds: float = 0.0
    report: Mapping[str, Any] | None = None


COMMAND = (sys.executable, "-P", "-c", "from onnxcost.scanning.pool import serve; serve()")
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""With a process for each core, libraries need no threads of their own, and each thread takes memory."""
START_SECONDS, END_SECONDS = 60, 5
POLL_SECONDS = 0.2
MOST_THREADS = 1024
"""The models that a worker can read at the same time."""


class Message(NamedTuple):
    """From a worker: READY, an Answer, or CLOSED when its process has ended."""

    worker: Worker | None
    content: object


_NOTHING = Message(None, None)
Inbox = queue.SimpleQueue[Message]


def count_tasks(
    waiting: deque[ModelSpec], jobs: int, timeout: float, ahead: int = 0, folder: str | None = None
) -> Generator[tuple[ModelSpec, Answer]]:
    """Every task with its answer, in the order in which the answers arrive. It is taken out of ``waiting``, to which others may
    be added until the last answer has been taken.

    A task whose process dies, or that takes more than ``timeout`` seconds, is answered "unfinished". A worker gets its next
    task when the caller asks for the next answer: with one job, nothing runs in between. While it works on one, a worker reads
    up to ``ahead`` others whose models are at URLs. ``folder`` is that of relative paths, None for the current one.

    If the system refuses more processes, there are fewer than ``jobs``; raises InputError if it refuses all.
    """
    inbox: Inbox = queue.SimpleQueue()
    workers: set[Worker] = set()
    try:
        while waiting or workers:
            while waiting and len(workers) < jobs:
                try:
                    workers.add(Worker(waiting[0], timeout, inbox, folder))
                except OSError as error:
                    if not workers:
                        raise InputError(f"no worker process can be started: {error.strerror or error}") from None
                    jobs = len(workers)
                    break
                waiting.popleft()
            for each in workers:
                each.end_if_late()
            worker, content = _next(inbox)
            if worker is None or worker not in workers:
                continue
            if content == READY:
                worker.begin()
                worker.take(waiting, min(ahead, len(waiting) // jobs))
                continue
            if content is CLOSED and not (worker.has_begun or worker.is_late) and len(workers) > 1:
                # It could not start, which is not the model's fault: another worker takes the model.
                waiting.extendleft(reversed(worker.tasks))
                workers.remove(worker)
                worker.close()
                jobs = len(workers)
                continue
            answer = content if isinstance(content, Answer) else worker.failure()
            yield worker.tasks.popleft(), answer
            is_usable = answer is content and not worker.is_late
            if is_usable:
                # At the end, the other workers get their share of the waiting tasks.
                worker.take(waiting, min(ahead, len(waiting) // jobs))
            if is_usable and worker.tasks:
                worker.begin()
            else:
                waiting.extendleft(reversed(worker.tasks))
                workers.remove(worker)
                worker.close()
    finally:
        for each in workers:
            each.close()


def _next(inbox: Inbox) -> Message:
    """The next message, or _NOTHING: waits are short, so that Ctrl-C works on every system and deadlines are kept."""
    try:
        return inbox.get(timeout=POLL_SECONDS)
    except queue.Empty:
        return _NOTHING


class Worker:
    """A process and its tasks, of which it works on the first one. Raises OSError if the system refuses the process."""

    def __init__(self, task: ModelSpec, timeout: float, inbox: Inbox, folder: str | None) -> None:
        self._timeout, self.is_late, self.has_begun = timeout, False, False
        self.tasks: deque[ModelSpec] = deque()
        self._deadline = time.monotonic() + timeout + START_SECONDS
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115  # closed in close
        try:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                cwd=folder,
                env={**ONE_THREAD, **os.environ, "PYTHONPATH": import_path()},
            )
        except BaseException:
            self._errors.close()
            raise
        self._listener: threading.Thread | None = None
        try:
            self._listener = listen_to_child(
                self._process,
                lambda said: inbox.put(Message(self, CLOSED if isinstance(said, Exception) else said)),
            )
            self.give(task)
        except BaseException:
            self.close()
            raise

    def take(self, waiting: deque[ModelSpec], ahead: int) -> None:
        """Send tasks until there are ``ahead`` after the first one."""
        while waiting and len(self.tasks) <= ahead:
            self.give(waiting.popleft())

    def give(self, task: ModelSpec) -> None:
        """Send a task, for when the process is ready."""
        self.tasks.append(task)
        assert self._process.stdin is not None
        try:
            pickle.dump(task, self._process.stdin)
            self._process.stdin.flush()
        except OSError:
            # It has ended, or waits for a task that will not come: its end arrives as a message.
            self._process.kill()

    def begin(self) -> None:
        """Note that it starts with its task."""
        self._deadline, self.has_begun = time.monotonic() + self._timeout, True

    def end_if_late(self) -> None:
        """Kill the process if its task takes too long."""
        if time.monotonic() > self._deadline:
            self.is_late = True
            self._process.kill()

    def failure(self) -> Answer:
        """The answer to the task during which the process ended."""
        late = f"not counted within {self._timeout:g} seconds (--timeout)"
        return Answer("unfinished", late if self.is_late else self._end())

    def close(self) -> None:
        """End the process, whatever it is doing."""
        end_child(self._process, self._errors, self._listener)

    def _end(self) -> str:
        """How the process ended, and the last line of its errors."""
        try:
            code = self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:  # it waits for its next task, and its answer did not arrive
            return "the process that counted it returned no readable result"
        if was_killed(code):
            return "the process that counted it was killed, most likely because the machine has too little memory"
        self._errors.seek(0)
        said = self._errors.read().decode(errors="replace").strip().splitlines()
        return f"the process that counted it {describe_exit(code)}" + (f": {said[-1]}" if said else "")


NO_NODES = b"\x08\x08:\x03\x12\x01gB\x02\x10\x11"
"""A model without nodes. Counting it imports all that counting needs, so that no model's time includes the imports."""
GARBAGE = 20_000
"""New objects between two garbage collections: Python's default takes a tenth of the time, and no collection too much memory.
"""


def serve() -> None:
    """The main loop of a worker process: count the specs on its standard input, one at a time, until the parent closes it."""
    try:
        _answer_tasks()
    except BaseException:
        traceback.print_exc()
    # Without the interpreter's shutdown, which would wait for the listening thread.
    os._exit(1)


def _answer_tasks() -> None:
    leave_interrupts_to_parent()
    answers = claim_output()
    tasks = TaskQueue()
    # Import everything first: threads that import a module at the same time may see it incomplete.
    _report(ModelSpec(NO_NODES))
    threading.Thread(target=listen_to_parent, args=(tasks,), daemon=True).start()
    gc.freeze()
    gc.set_threshold(GARBAGE)
    message: object = READY
    while True:
        pickle.dump(message, answers)
        answers.flush()
        message = count_task(*tasks.get())


class TaskQueue:
    """The tasks of a worker. Models at URLs are read as soon as their tasks arrive, all at the same time, because servers take
    long to answer; those in files are read when they are counted.
    """

    def __init__(self) -> None:
        self._tasks: queue.SimpleQueue[tuple[ModelSpec, Future[Skeleton] | None]] = queue.SimpleQueue()
        # The parent limits how many tasks there are.
        self._threads = ThreadPoolExecutor(MOST_THREADS)

    def put(self, task: ModelSpec) -> None:
        """Add a task."""
        from onnxcost.frontend.reader import read_skeleton

        reading = self._threads.submit(read_skeleton, task.source) if is_remote(task.source) else None
        self._tasks.put((task, reading))

    def get(self) -> tuple[ModelSpec, Future[Skeleton] | None]:
        """The next task, and for a URL the model that is read."""
        return self._tasks.get()


def count_task(task: ModelSpec, reading: Future[Skeleton] | None = None) -> Answer:
    """The model's counts, or why there are none. The parts of the spec whose names the model has apply to it.

    If a server fails to return a model, other than because it does not exist, another attempt may succeed.
    """
    start = time.perf_counter()
    try:
        if reading is not None:
            task, reading = replace(task, source=cast(Any, reading.result())), None
        answer = Answer("ok", report=_report(task))
    except OnnxCostError as error:
        is_unread = reading is not None and isinstance(error, InputError) and not isinstance(error, MissingFile)
        answer = Answer("unfinished" if is_unread else "failed", str(error))
    except MemoryError:
        answer = Answer("unfinished", "there is not enough memory to count it")
    except OSError as error:
        answer = Answer("unfinished", describe_failure(error))
    except Exception as error:
        answer = Answer("failed", describe_failure(error))
    return answer._replace(seconds=round(time.perf_counter() - start, 6))


def describe_failure(error: Exception) -> str:
    """The reason for an unexpected error, which must not end the scan of the other models."""
    return refusal(error) or f"this is a bug in onnxcost: {type(error).__name__} ({error})"


def _report(spec: ModelSpec) -> dict[str, Any]:
    from onnxcost.estimator import estimate_spec
    from onnxcost.frontend.dims import select_known

    return estimate_spec(select_known(spec)).to_dict(nodes=False)
