"""How a command ends: each error is one line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

import click

from onnxcost.errors import OnnxCostError
from onnxcost.render.escaping import plain

DEBUG = "ONNXCOST_DEBUG"
INTERRUPTED = 130
BAD_INPUT = 2


def say(kind: str, message: str) -> None:
    """One line on stderr: ``onnxcost: error: …``. Line ends inside it become spaces, control characters ``?``."""
    line = plain(" ".join(message.split()))
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    click.echo(f"onnxcost: {kind}: {line}".encode(encoding, "replace").decode(encoding), err=True)


def note(message: str) -> None:
    """Something worth knowing that changes nothing."""
    say("note", message)


def exit_code(command: Callable[[], object]) -> int:
    """Run the command; returns the code that the process ends with."""
    try:
        result = command()
    except click.exceptions.Exit as end:
        return end.exit_code
    except (click.Abort, KeyboardInterrupt):
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as missing:
        click.echo(missing.ctx.get_help() if missing.ctx else "", err=True)
        return BAD_INPUT
    except click.UsageError as usage:
        where = usage.ctx.command_path if usage.ctx else "onnxcost"
        say("error", f"{usage.format_message().strip().removesuffix('.')}; see '{where} --help'")
        return BAD_INPUT
    except OnnxCostError as error:
        say("error", str(error))
        return error.exit_code
    except Exception as error:
        return _bug(error)
    return result if isinstance(result, int) else 0


def _bug(error: Exception) -> int:
    """The line for what nobody foresaw; the traceback where it is asked for."""
    if os.environ.get(DEBUG, "0") not in ("", "0"):
        raise error
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    where = f" at {os.path.basename(trace.tb_frame.f_code.co_filename)}:{trace.tb_lineno}" if trace else ""  # noqa: PTH119
    message = f"{type(error).__name__}{f' ({error})' if str(error) else ''}{where}"
    say("error", f"this is a bug in onnxcost: {message}. Run it again with {DEBUG}=1 and report what that prints")
    return BAD_INPUT
