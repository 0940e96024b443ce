"""Child processes: starting one, communicating over its pipes, and ending it."""

from __future__ import annotations

import errno
import os
import pickle
import queue
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    import subprocess
    from types import FrameType

ENDING = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))
"""The signals that ask a process to end."""


def import_path() -> str:
    """PYTHONPATH for a child, which then finds the same packages as this process in any working folder."""
    return os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)


def check_address_space(needed: int) -> None:
    """Raises MemoryError if a limit on the process (ulimit -v) leaves less address space than ``needed`` bytes.

    Otherwise, libraries that cannot get it would end the process with their own exit code, or crash.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    if resource.getrlimit(resource.RLIMIT_AS)[0] == resource.RLIM_INFINITY:
        return
    import mmap

    try:
        mmap.mmap(-1, needed).close()
    except OSError:
        raise MemoryError from None


def is_closed_pipe(error: OSError) -> bool:
    """Whether the reader of a pipe is gone: Windows has no separate error number for that."""
    return isinstance(error, BrokenPipeError) or (sys.platform == "win32" and error.errno == errno.EINVAL)


def describe_exit(code: int) -> str:
    """The end of a child by its exit code: "crashed (SIGSEGV)", "ended with code 1"."""
    if code >= 0:
        return f"ended with code {code}"
    try:
        return f"crashed ({signal.Signals(-code).name})"
    except ValueError:
        return f"crashed (signal {-code})"


def was_killed(code: int) -> bool:
    """Whether it ended like a process that the kernel kills for using too much memory."""
    return os.name == "posix" and code == -signal.SIGKILL


def end_on_signals() -> None:
    """Make SIGTERM, and SIGHUP from a closed terminal, run all cleanup blocks before the process ends. An ignored signal stays
    ignored, as nohup requires.
    """
    for number in ENDING:
        if number != signal.SIGINT and signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, lambda number, _: sys.exit(128 + number))


@contextmanager
def defer_signals() -> Iterator[None]:
    """Delays signals that ask the process to end until after the block, so that it can finish cleaning up."""
    if threading.current_thread() is not threading.main_thread():
        # Only the main thread handles signals.
        yield
        return
    heard: list[int] = []
    usual = {number: handler for number in ENDING if (handler := signal.getsignal(number)) is not None}
    for number in usual:
        signal.signal(number, lambda number, _: heard.append(number))
    try:
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])


class StopRequest:
    """Ctrl-C in a command that keeps its results so far: ``is_made`` tells the receiver of results to end with those.

    Only inside ``receiving``; elsewhere, there is nothing to keep, and Ctrl-C raises KeyboardInterrupt as usual.
    """

    is_made = False
    _receivers = 0

    @contextmanager
    def receiving(self) -> Iterator[None]:
        """A block that checks ``is_made``."""
        self._receivers += 1
        try:
            yield
        finally:
            self._receivers -= 1

    @contextmanager
    def from_keyboard(self) -> Iterator[None]:
        """Takes the first Ctrl-C in the block for the request; the second one raises KeyboardInterrupt."""
        usual = signal.getsignal(signal.SIGINT)
        is_main = threading.current_thread() is threading.main_thread()
        if not is_main or usual is not signal.default_int_handler:  # others handle it, or it is ignored
            yield
            return

        def handle(number: int, frame: FrameType | None) -> None:
            signal.signal(number, usual)
            if not self._receivers:
                raise KeyboardInterrupt
            self.is_made = True

        self.is_made = False
        signal.signal(signal.SIGINT, handle)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, usual)
            self.is_made = False


STOP = StopRequest()


CLOSED = object()
"""Follows a child's last message."""


def listen_to_child(child: subprocess.Popen[bytes], put: Callable[[object], object]) -> threading.Thread:
    """A thread that passes on the output of the child: each message, then CLOSED, or an exception for invalid bytes.

    Raises OSError if the system refuses the thread.
    """

    def listen() -> None:
        try:
            while True:
                put(pickle.load(child.stdout))  # type: ignore[arg-type]  # it has one
        except (EOFError, pickle.UnpicklingError):  # it ended, perhaps in the middle of a message
            put(CLOSED)
        except Exception as error:
            put(error)

    listener = threading.Thread(target=listen, daemon=True)
    try:
        listener.start()
    except RuntimeError as error:
        raise OSError(str(error)) from None
    return listener


def end_child(child: subprocess.Popen[bytes], errors: IO[bytes], listener: threading.Thread | None = None) -> None:
    """Kill a child, wait for its ``listener``, and close its pipes and the file of its stderr."""
    with defer_signals():
        child.kill()
        child.wait()
        if listener is not None and listener.ident is not None:
            listener.join()
        for pipe in (child.stdin, child.stdout, errors):
            # Closing flushes what the child did not read.
            with suppress(OSError):
                pipe.close()  # type: ignore[union-attr]  # all are there


def leave_interrupts_to_parent() -> None:
    """In the child: Ctrl-C reaches the whole process group; the parent decides what it means and ends this process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def claim_output() -> BinaryIO:
    """In the child: the pipe to the parent. From now on, what libraries print to stdout goes to stderr instead."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def listen_to_parent(inbox: queue.SimpleQueue[object], at_end: Callable[[], object] = bool) -> None:
    """In a thread of the child: the parent's messages go to the inbox. When the parent ends, so does this process, after
    ``at_end``.
    """
    try:
        while True:
            inbox.put(pickle.load(sys.stdin.buffer))
    except Exception:  # the end of the stream, or a read that the system refuses
        at_end()
        os._exit(1)
