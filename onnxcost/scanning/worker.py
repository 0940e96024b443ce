"""The process that counts: reads specs from its standard input, one after the other, and answers each on standard output."""

from __future__ import annotations

import gc
import os
import pickle
import queue
import threading
import time
import traceback
from typing import Any

from onnxcost.errors import OnnxCostError, refusal
from onnxcost.processes import claim_output, leave_interrupts_to_parent, listen_to_parent
from onnxcost.scanning.pool import READY, Answer
from onnxcost.spec import ModelSpec

NO_NODES = b"\x08\x08:\x03\x12\x01gB\x02\x10\x11"
"""A model without nodes. Counting it imports all that counting needs, so that no model's time includes the imports."""
GARBAGE = 20_000
"""New objects between two garbage collections: Python's default takes a tenth of the time, none at all too much memory."""


def main() -> None:
    """Serve until the parent closes its end."""
    leave_interrupts_to_parent()
    answers = claim_output()
    tasks: queue.SimpleQueue[Any] = queue.SimpleQueue()
    threading.Thread(target=listen_to_parent, args=(tasks,), daemon=True).start()
    _report(ModelSpec(NO_NODES))
    gc.freeze()
    gc.set_threshold(GARBAGE)
    message: object = READY
    while True:
        pickle.dump(message, answers)
        answers.flush()
        message = count_task(tasks.get())


def count_task(task: ModelSpec) -> Answer:
    """The model's counts, or why there are none. The parts of the spec apply whose names the model has."""
    start = time.perf_counter()
    try:
        answer = Answer("ok", report=_report(task))
    except OnnxCostError as error:
        answer = Answer("failed", str(error))
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


if __name__ == "__main__":
    try:
        main()
    except BaseException:
        traceback.print_exc()
    # Without the interpreter's shutdown, which would wait for the listening thread.
    os._exit(1)
