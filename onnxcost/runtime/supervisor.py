"""Starts the child process, receives its messages, and turns a failure into one line."""

from __future__ import annotations

import os
import pickle
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, NamedTuple, TypeVar

from onnxcost.errors import MeasurementError
from onnxcost.processes import CLOSED, STOP, describe_exit, end_child, import_path, is_closed_pipe, listen_to_child, was_killed
from onnxcost.runtime.ort_errors import last_words
from onnxcost.runtime.protocol import Failure, Progress, Request
from onnxcost.runtime.run_folder import temporary_folders

Kind = TypeVar("Kind")
OnProgress = Callable[[Progress], None]
BEFORE_RUNS = ("", "loading")
WITH_RESULTS = ("measuring", "profiling")
"""The phases from which on the child has results when it is asked to stop."""
POLL_SECONDS, TICK_SECONDS, LEAST_SECONDS = 0.2, 1.0, 0.1
CHILD = (sys.executable, "-P", "-m", "onnxcost.runtime.worker")


class RunError(MeasurementError):
    """The model was opened, but fails on its inputs."""


class Conversation(NamedTuple):
    """A conversation with a child that works on a request: ``messages`` are its answers as they arrive; ``say`` sends it
    another message.
    """

    messages: Iterator[object]
    say: Callable[[object], None]


def answers(request: Request, on_progress: OnProgress | None = None) -> Iterator[object]:
    """The answers of the child, as in ``conversation``."""
    with conversation(request, on_progress) as (messages, _):
        yield from messages


def answer(messages: Iterator[object], kind: type[Kind]) -> Kind:
    """The first message of a kind; raises MeasurementError if the child ends without one."""
    for message in messages:
        if isinstance(message, kind):
            return message
    if STOP.is_made:
        raise KeyboardInterrupt
    raise MeasurementError("the process that ran the model ended without a result")


def scale_progress(on_progress: OnProgress | None, index: int, count: int) -> OnProgress:
    """Reports the progress of the part ``index`` of ``count`` as a share of the whole."""

    def say(progress: Progress) -> None:
        if on_progress is not None:
            done = None if progress.done is None else (index + progress.done) / count
            on_progress(progress._replace(done=done))

    return say


@contextmanager
def conversation(request: Request, on_progress: OnProgress | None = None) -> Iterator[Conversation]:
    """A working child; its progress goes to ``on_progress``. It is ended with the block.

    Its messages raise MeasurementError if it reports a failure, dies, or takes longer than ``request.settings.timeout``
    seconds, and KeyboardInterrupt if it is stopped before it has results.
    """
    child, errors = _take_early() or _start(request.folder)

    def say(message: object) -> None:
        assert child.stdin is not None
        try:
            pickle.dump(message, child.stdin)
            child.stdin.flush()
        except OSError as error:
            if is_closed_pipe(error):
                return  # the child ended before it could listen: its exit code says why
            raise MeasurementError(f"a message cannot be sent to the process that runs the model: {error.strerror}") from None

    try:
        say(request)
        with STOP.receiving():
            yield Conversation(_answers(child, request.settings.timeout, errors, on_progress, say), say)
    finally:
        end_child(child, errors)


Child = tuple[subprocess.Popen[bytes], IO[bytes]]
"""A process, and the file that takes its stderr."""
_EARLY: list[Child] = []


@contextmanager
def start_early() -> Iterator[None]:
    """A child that is started now and loads its libraries while the block does something else: the first run in the block uses
    it. It is ended with the block. If the system refuses it, the run starts its own, or reports why it cannot.
    """
    if not _EARLY:
        with suppress(MeasurementError):
            _EARLY.append(_start(temporary_folders()[0]))
    try:
        yield
    finally:
        while _EARLY:
            end_child(*_EARLY.pop())


def _take_early() -> Child | None:
    """The child that was started early, if it is alive."""
    if not _EARLY:
        return None
    child, errors = _EARLY.pop()
    if child.poll() is None:
        return child, errors
    end_child(child, errors)
    return None


def _start(folder: str) -> Child:
    try:
        errors: IO[bytes] = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115  # closed with the child
        try:
            # numpy does not multiply matrices there, and each of OpenBLAS's threads takes address space.
            environment = {"OPENBLAS_NUM_THREADS": "1", **os.environ, "PYTHONPATH": import_path()}
            child = subprocess.Popen(CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, env=environment)
        except OSError:
            errors.close()
            raise
    except OSError as error:
        raise MeasurementError(f"the process that runs the model cannot be started: {error.strerror or error}") from None
    return child, errors


def _answers(
    child: subprocess.Popen[bytes],
    timeout: float | None,
    errors: IO[bytes],
    on_progress: OnProgress | None,
    say: Callable[[object], None],
) -> Iterator[object]:
    latest, shown, has_results, is_told = Progress("starting"), time.monotonic(), False, False
    for message in _receive(child, timeout):
        if STOP.is_made and not is_told:
            if not has_results:
                raise KeyboardInterrupt
            say(None)
            is_told = True
        match message:
            case None if STOP.is_made and latest.phase == "memory":
                return  # there are results: the rest is one run for an additional figure
            case Progress() | None:
                is_new = message is not None and message.phase != latest.phase
                latest = message or latest
                has_results = has_results or latest.phase in WITH_RESULTS
                # Without reports, the shown time must advance; with many, showing all of them would take longer than the runs.
                wait = TICK_SECONDS if message is None else LEAST_SECONDS
                if on_progress is not None and (is_new or time.monotonic() - shown >= wait):
                    shown = time.monotonic()
                    on_progress(latest)
            case Failure(text, phase):
                raise (MeasurementError if phase in BEFORE_RUNS else RunError)(text)
            case _:
                yield message
    if child.wait():
        raise MeasurementError(_last_words(child.returncode, errors))


def _receive(child: subprocess.Popen[bytes], timeout: float | None) -> Iterator[object]:
    """The messages until the child closes its end, None while there is none; raises MeasurementError after the timeout."""
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    try:
        listen_to_child(child, inbox.put)
    except OSError as error:
        raise MeasurementError(f"cannot start a thread to communicate with the process that runs the model: {error}") from None
    waited = 0.0
    while True:
        start = time.monotonic()
        try:
            # with short waits, so that Ctrl-C works on all systems
            message = inbox.get(timeout=POLL_SECONDS)
        except queue.Empty:
            message = None
        waited += time.monotonic() - start
        if timeout is not None and waited > timeout:
            raise MeasurementError(f"stopped after {timeout:g} seconds (--timeout)")
        if message is CLOSED:
            return
        if isinstance(message, Exception):
            # The child may still be alive, waiting for a message that will not come.
            raise MeasurementError(f"the output of the process that runs the model cannot be read: {message}") from None
        yield message


def _last_words(code: int, errors: IO[bytes]) -> str:
    """One line for a child that ended without an answer."""
    if was_killed(code):
        return "the process that ran the model was killed, most likely because the machine has too little memory"
    errors.seek(0)
    said = last_words(errors.read().decode(errors="replace").strip().splitlines())
    return f"the process that ran the model {describe_exit(code)}" + (f": {said}" if said else "")
