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
    # A short process that builds many objects and few cycles: searching for cycles would waste time.
    gc.disable()
    # numpy's library for matrices, which nothing here needs, starts a thread per core when it is imported. Each takes 32 MB
    # of addresses, and where it cannot start one, it interrupts the process.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    try:
        # A terminated command must remove its temporary files and end the process that runs a model.
        end_on_signals()
        from onnxcost.cli.app import DEBUG, run

        if os.environ.get(DEBUG, "0") in ("", "0"):
            # What fails if nothing can be raised, as for lack of memory in a generator that is closed, is no news to a user.
            sys.unraisablehook = bool

        return run(arguments)
    except KeyboardInterrupt:
        return 130
    # During the imports; later interrupts are handled by the command line.
    except (OSError, MemoryError, ImportError) as error:
        from onnxcost.errors import refusal

        refused = refusal(error)
        if refused is None:
            raise
    with suppress(OSError, ValueError):
        print(f"onnxcost: error: {refused}", file=sys.stderr)
    return 2


_STREAMS = (("stdin", "r", os.O_WRONLY), ("stdout", "w", os.O_RDONLY), ("stderr", "w", os.O_WRONLY))
"""How a closed stream is reopened: reading or writing it is still an error, except that errors may be discarded."""


def command() -> NoReturn:
    """Run the command as a process of its own. It ends without the interpreter's shutdown, which frees onnx's many objects one
    by one: that takes as long as counting most models. (mypy does the same.)
    """
    for number, (name, mode, flags) in enumerate(_STREAMS):
        # Closed by the caller: the next opened file would get its number, and the output of libraries.
        if getattr(sys, name) is None:
            with suppress(OSError):
                os.set_inheritable(os.open(os.devnull, flags), True)
                setattr(sys, name, open(number, mode))  # noqa: PTH123, SIM115  # a number, open to the end
    code = None
    try:
        code = main()
        with suppress(OSError, ValueError):
            sys.stdout.flush()
        with suppress(OSError, ValueError):
            sys.stderr.flush()
    except MemoryError:
        if code is None:  # not even the error handlers had memory; these bytes already exist
            os.write(2, b"onnxcost: error: the system refused: there is not enough memory\n")
    os._exit(2 if code is None else code)


if __name__ == "__main__":
    command()
