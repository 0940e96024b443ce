"""Starts the child process, listens to it, and makes one line of whatever ends it."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO

from onnxcost.errors import MeasurementError
from onnxcost.measure.failures import reason
from onnxcost.measure.messages import Failure, Progress, Request

OnProgress = Callable[[Progress], None]
POLL_SECONDS = 0.2
CHILD = (sys.executable, "-P", "-m", "onnxcost.measure.child")


def answers(request: Request, on_progress: OnProgress | None = None) -> Iterator[object]:
    """What the child answers, as it comes; its progress goes to ``on_progress``.

    The child is ended when the caller stops listening, for whatever reason. Raises MeasurementError where it reports a failure,
    dies, or is not done within ``request.settings.timeout`` seconds.
    """
    errors = Path(request.folder, "stderr.txt")
    with errors.open("wb") as stderr:
        child = subprocess.Popen(
            CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, env={**os.environ, "PYTHONPATH": _import_path()}
        )
    try:
        _ask(child, request)
        for message in _heard(child, request.settings.timeout):
            match message:
                case Progress():
                    if on_progress is not None:
                        on_progress(message)
                case Failure(text):
                    raise MeasurementError(text)
                case _:
                    yield message
        if child.wait():
            raise MeasurementError(_last_words(child.returncode, errors))
    finally:
        child.kill()
        child.wait()
        for pipe in (child.stdin, child.stdout):
            _close(pipe)


def _import_path() -> str:
    """Where this process imports from: the child finds the same packages, whatever folder the user is in."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)


def _ask(child: subprocess.Popen[bytes], request: Request) -> None:
    assert child.stdin is not None
    try:
        pickle.dump(request, child.stdin)
        child.stdin.flush()
    except OSError:
        # It is gone before it could listen: its exit code says why.
        pass


def _heard(child: subprocess.Popen[bytes], timeout: float | None) -> Iterator[object]:
    """The messages until the child closes its end; raises MeasurementError when the time is up."""
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    listener = threading.Thread(target=_listen, args=(child.stdout, inbox), daemon=True)
    listener.start()
    deadline = None if timeout is None else time.monotonic() + timeout
    while True:
        try:
            # In short waits, so that Ctrl-C is heard on every system.
            message = inbox.get(timeout=POLL_SECONDS)
        except queue.Empty:
            if deadline is not None and time.monotonic() > deadline:
                raise MeasurementError(f"not done within {timeout:g} seconds (--timeout): the run was ended") from None
            continue
        if message is None:
            return
        yield message


def _listen(pipe: IO[bytes], inbox: queue.SimpleQueue[object]) -> None:
    try:
        while True:
            inbox.put(pickle.load(pipe))
    except (EOFError, OSError, ValueError, pickle.UnpicklingError):
        inbox.put(None)


def _last_words(code: int, errors: Path) -> str:
    """One line for a child that ended without an answer."""
    if code == -signal.SIGKILL if os.name == "posix" else False:
        return "the process that ran the model was killed, most likely because the machine has too little memory for it"
    said = errors.read_text(errors="replace").strip().splitlines()
    last = f": {reason(said[-1])}" if said else ""
    if code < 0:
        return f"onnxruntime crashed while it ran the model ({_signal_name(-code)}){last}"
    return f"the process that ran the model ended with code {code}{last}"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _close(pipe: IO[bytes] | None) -> None:
    try:
        if pipe is not None:
            pipe.close()
    except OSError:
        # Closing flushes what the child did not want to hear any more.
        pass
