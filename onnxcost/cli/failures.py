"""How a command ends: each error is one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import click

from onnxcost.errors import REFUSALS, MeasurementError, OnnxCostError, refusal
from onnxcost.render.escaping import plain

DEBUG = "ONNXCOST_DEBUG"
INTERRUPTED = 130
BAD_INPUT = 2
CLICK_PIPE_BROKEN = 1


def say(kind: str, message: str) -> None:
    """One line on stderr: ``onnxcost: error: …``. Line ends inside it become spaces, control characters ``?``."""
    line = plain(" ".join(message.split()))
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    # What cannot be said changes nothing of what was done, nor the exit code.
    with suppress(OSError, ValueError):
        click.echo(f"onnxcost: {kind}: {line}".encode(encoding, "replace").decode(encoding), err=True)


def note(message: str) -> None:
    """Something worth knowing that changes nothing."""
    say("note", message)


def exit_code(command: Callable[[], object]) -> int:
    """Run the command; returns the code that the process ends with."""
    try:
        result = command()
    except SystemExit as end:
        # click ends so where nobody reads on (onnxcost --help | head): that is no failure.
        if end.code != CLICK_PIPE_BROKEN:
            raise
        return 0
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.UsageError as usage:
        where = usage.ctx.command_path if usage.ctx else "onnxcost"
        say("error", f"{usage.format_message().strip().removesuffix('.')}; see '{where} --help'")
        return BAD_INPUT
    except OnnxCostError as error:
        say("error", str(error))
        return error.exit_code
    except Exception as error:
        refused = refusal(error)
        if refused is None or _shows_tracebacks():
            return _bug(error)
    else:
        return result if isinstance(result, int) else 0
    # Here the exception is gone, and with it what its frames kept: without memory not even a line could be printed.
    say("error", refused)
    return BAD_INPUT


@contextmanager
def refusals_of_measuring() -> Iterator[None]:
    """What the system refuses inside is a measurement that failed: raises MeasurementError, so that what was counted stands."""
    try:
        yield
    except REFUSALS as error:
        if (refused := refusal(error)) is None or _shows_tracebacks():
            raise
        raise MeasurementError(refused) from None


def _shows_tracebacks() -> bool:
    return os.environ.get(DEBUG, "0") not in ("", "0")


def _bug(error: Exception) -> int:
    """The line for what nobody foresaw; the traceback where it is asked for."""
    if _shows_tracebacks():
        raise error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""  # noqa: PTH119
    message = f"{type(error).__name__}{f' ({error})' if str(error) else ''}{where}"
    say("error", f"this is a bug in onnxcost: {message}. Run it again with {DEBUG}=1 and report what that prints")
    return BAD_INPUT
