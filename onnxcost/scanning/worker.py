"""The process that counts: reads one task after the other from its standard input, answers each on its standard output."""

from __future__ import annotations

import gc
import os
import pickle
import queue
import signal
import sys
import threading
import time
import traceback
from typing import Any, BinaryIO

from onnxcost.errors import OnnxCostError
from onnxcost.scanning.messages import READY, Answer, Given, Task

NO_NODES = b"\x08\x08:\x03\x12\x01gB\x02\x10\x11"
"""A model of no nodes: to count it imports all that counting needs, so that this is in no model's time."""
GARBAGE = 20_000
"""New objects between two looks for cycles: to look as often as usual takes a tenth of the time, never to look the memory."""


def main() -> None:
    """Serve until the parent closes its end."""
    # Ctrl-C reaches the whole process group: the parent decides what it means and ends this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = _own_output()
    tasks: queue.SimpleQueue[Task] = queue.SimpleQueue()
    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    _report(NO_NODES, Given())
    gc.freeze()
    gc.set_threshold(GARBAGE)
    message: object = READY
    while True:
        pickle.dump(message, answers)
        answers.flush()
        message = counted(tasks.get())


def counted(task: Task) -> Answer:
    """The model's counts, or why there are none."""
    start = time.perf_counter()
    try:
        answer = Answer("ok", report=_report(task.path, own(task.given, task.path)))
    except OnnxCostError as error:
        answer = Answer("failed", str(error))
    except MemoryError:
        answer = Answer("unfinished", "there is not enough memory to count it")
    except Exception as error:
        answer = Answer("failed", bug(error))
    return answer._replace(seconds=round(time.perf_counter() - start, 6))


def bug(error: Exception) -> str:
    """The reason where nobody foresaw one: the other models are not to suffer for it."""
    return f"this is a bug in onnxcost: {type(error).__name__} ({error})"


def _report(model: str | bytes, given: Given) -> dict[str, Any]:
    from onnxcost.estimator import estimate
    from onnxcost.schema import report_to_dict

    return report_to_dict(estimate(model, **given._asdict()), has_nodes=False)


def own(given: Given, path: str) -> Given:
    """What of ``given`` the model has a name for."""
    if not any(given):
        return given
    from onnxcost.frontend.input_names import input_names

    inputs, dims = input_names(path)
    shapes, sizes, values = (
        {name: value for name, value in said.items() if name in known}
        for said, known in zip(given, (inputs, dims, inputs), strict=True)
    )
    return Given(shapes, sizes, values)


def _own_output() -> BinaryIO:
    """The pipe to the parent, out of reach of whatever a library prints: that goes to stderr."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def _listen(tasks: queue.SimpleQueue[Task]) -> None:
    """The parent keeps its end of the pipe open as long as it lives: this process ends with it."""
    try:
        while True:
            tasks.put(pickle.load(sys.stdin.buffer))
    except EOFError:
        os._exit(0)


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
    # Without the interpreter's tear-down, which would wait for the thread that listens.
    os._exit(1)
