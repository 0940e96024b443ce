"""``python -m onnxcost`` and the ``onnxcost`` command."""

from __future__ import annotations

import gc
import signal
import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; returns its exit code."""
    # A short process that builds many objects and no cycles to speak of: looking for them is time lost.
    gc.disable()
    # So that a terminated command removes its temporary files and ends the process that runs a model.
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        from onnxcost.cli.app import run

        return run(arguments)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
