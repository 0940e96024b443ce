"""The child process: reads one request from its standard input, does the task, and answers on its standard output."""

from __future__ import annotations

import os
import pickle
import queue
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import BinaryIO, NamedTuple

from onnxcost.measuring.messages import Failure, Progress

Send = Callable[[object], None]


class Channel(NamedTuple):
    """To the parent and from it."""

    send: Send
    receive: Callable[[], object]


TASKS: Mapping[str, str] = {
    "measure": "onnxcost.measuring.timed_run",
    "turns": "onnxcost.measuring.turns_run",
    "profile": "onnxcost.measuring.profiled_run",
    "trace": "onnxcost.measuring.traced_run",
    "outputs": "onnxcost.measuring.outputs_run",
    "calibrate": "onnxcost.measuring.calibration_run",
}
"""Each module has a function ``run(request, channel)``."""


def main() -> int:
    """Serve one request; returns the exit code."""
    # Ctrl-C reaches the whole process group: the parent decides what it means and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _own_output()
    request = pickle.load(sys.stdin.buffer)
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(inbox, request.folder), daemon=True).start()

    phase = ""

    def send(message: object) -> None:
        nonlocal phase
        if isinstance(message, Progress):
            phase = message.phase
        pickle.dump(message, answers)
        answers.flush()

    try:
        import_module(TASKS[request.task]).run(request, Channel(send, inbox.get))
    except Exception as error:
        from onnxcost.measuring.failures import reason

        send(Failure(reason(error), phase))
        return 1
    return 0


def _own_output() -> BinaryIO:
    """The pipe to the parent, out of reach of whatever a library prints: that goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _listen(inbox: queue.SimpleQueue[object], folder: str) -> None:
    """The parent keeps its end of the pipe open as long as it lives: this process, and the folder, end with it."""
    try:
        while True:
            inbox.put(pickle.load(sys.stdin.buffer))
    except EOFError:
        shutil.rmtree(folder, ignore_errors=True)
        os._exit(1)


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Without the interpreter's tear-down: a library's destructors cannot hang or crash what is already answered.
    os._exit(code)
