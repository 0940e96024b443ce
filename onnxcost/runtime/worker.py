"""The child process: reads one request from its standard input, does the task, and answers on its standard output."""

from __future__ import annotations

import os
import pickle
import queue
import shutil
import sys
import threading
from collections.abc import Mapping
from functools import partial
from importlib import import_module

from onnxcost.processes import claim_output, leave_interrupts_to_parent, listen_to_parent
from onnxcost.runtime.protocol import Channel, Failure, Progress

TASKS: Mapping[str, tuple[str, str]] = {
    "measure": ("tasks", "run_timed"),
    "interleaved": ("tasks", "run_interleaved"),
    "outputs": ("tasks", "run_outputs"),
    "calibrate": ("tasks", "run_calibration"),
    "profile": ("profiler_tasks", "run_profiled"),
    "trace": ("profiler_tasks", "run_traced"),
    "generate": ("generate", "run_generation"),
}
"""The module and the function of each, which is called with the request and the channel."""


def main() -> int:
    """Serve one request; returns the exit code."""
    leave_interrupts_to_parent()
    if os.name == "posix":
        os.umask(0o077)  # only this user may read the files that onnxruntime writes
    answers = claim_output()
    failure: Exception | None = None
    try:
        # The parent may still be counting.
        import_module("onnxcost.runtime.tasks")
        import_module("numpy.random")
        import_module("onnxcost.runtime.session").onnxruntime()
    except Exception as error:
        failure = error
    try:
        request = pickle.load(sys.stdin.buffer)
    except EOFError:  # there is no request
        return 0
    inbox: queue.SimpleQueue[object] = queue.SimpleQueue()
    clean_up = partial(shutil.rmtree, request.folder, ignore_errors=True)
    threading.Thread(target=listen_to_parent, args=(inbox, clean_up), daemon=True).start()

    phase = ""

    def send(message: object) -> None:
        nonlocal phase
        if isinstance(message, Progress):
            phase = message.phase
        pickle.dump(message, answers)
        answers.flush()

    try:
        if failure is not None:
            raise failure
        module, name = TASKS[request.task]
        run = getattr(import_module(f"onnxcost.runtime.{module}"), name)
        run(request, Channel(send, inbox.get, lambda: not inbox.empty()))
    except Exception as error:
        from onnxcost.runtime.ort_errors import reason

        send(Failure(reason(error), phase))
        return 1
    return 0


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    # Without the interpreter's shutdown: destructors of libraries could hang or crash after the answer.
    os._exit(code)
