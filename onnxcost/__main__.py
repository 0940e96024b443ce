"""``python -m onnxcost`` and the ``onnxcost`` command."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import NoReturn

from onnxcost.processes import end_on_signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    # A short process that builds many objects and no cycles to speak of: looking for them is time lost.
    gc.disable()
    # numpy's library for matrices, which nothing here needs, takes 32 MB of addresses a thread as soon as it is imported.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # So that a terminated command removes its temporary files and ends the process that runs a model.
    end_on_signals()
    try:
        from onnxcost.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:
        return 130


def command() -> NoReturn:
    """Run the command as a process of its own. It ends without the interpreter's tear-down, in which onnx's many objects are
    freed one by one: that takes as long as most models take to count. (mypy ends so, too.)
    """
    code = main()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


if __name__ == "__main__":
    command()
