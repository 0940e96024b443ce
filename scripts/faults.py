"""Makes the n-th call of a kind fail inside this process: open, write, starting a process or a thread, folders, memory.

Python's audit events name most calls before they happen, so that a hook that raises is a call that failed. Writes have no
event, threads in old versions: files that are opened for writing, standard output, ``os.write`` and what starts threads are
replaced. Imports are not counted: the other layer of ``inject_faults.py``, in which the kernel refuses calls, makes them fail.
"""

from __future__ import annotations

import errno
import io
import os
import sys
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

VARIABLE = "ONNXCOST_FAULT"
"""The environment variable with the fault, for child processes."""

EVENTS: Mapping[str, frozenset[str]] = {
    "open": frozenset({"open"}),
    "process": frozenset({"subprocess.Popen", "os.fork", "os.posix_spawn"}),
    "mkdir": frozenset({"os.mkdir"}),
    "remove": frozenset({"os.remove", "os.rmdir"}),
    "rename": frozenset({"os.rename", "os.link", "os.symlink", "os.chmod", "os.truncate"}),
    "list": frozenset({"os.listdir", "os.scandir"}),
    "map": frozenset({"mmap.__new__"}),
}
KINDS = (*EVENTS, "thread", "write", "memory", "space")
ERRORS: Mapping[str, tuple[int, ...]] = {
    "open": (errno.EMFILE, errno.EACCES, errno.EIO, errno.ENOSPC),
    "process": (errno.EAGAIN, errno.ENOMEM, errno.EMFILE),
    "thread": (errno.EAGAIN,),
    "mkdir": (errno.ENOSPC, errno.EACCES),
    "remove": (errno.EACCES, errno.EIO),
    "rename": (errno.ENOSPC, errno.EACCES),
    "list": (errno.EMFILE, errno.EACCES),
    "map": (errno.ENOMEM,),
    "write": (errno.ENOSPC, errno.EIO),
    "memory": (errno.ENOMEM,),
    "space": (errno.ENOMEM,),
}
"""The errors: the n-th call fails with the n-th of them, modulo their number."""


class Fault(NamedTuple):
    """The ``number``-th call of ``kind`` fails, in this process or in those that it starts; the file ``seen`` tells where."""

    kind: str
    number: int
    in_child: bool
    seen: str

    @property
    def error(self) -> int:
        choice = ERRORS[self.kind]
        return choice[self.number % len(choice)]

    def text(self) -> str:
        return "|".join((self.kind, str(self.number), str(int(self.in_child)), self.seen))


def of_text(text: str) -> Fault:
    kind, number, in_child, seen = text.split("|")
    return Fault(kind, int(number), bool(int(in_child)), seen)


class Counter:
    """Counts the calls of a kind, and makes the requested one fail."""

    def __init__(self, fault: Fault) -> None:
        self.fault, self.count, self.is_busy = fault, 0, False
        folders = (sys.prefix, sys.base_prefix, str(Path(__file__).parent.parent / "onnxcost"))
        self.imported = (*folders, *map(os.path.realpath, folders))
        self.seen = os.open(fault.seen, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC)
        self.write = os.write

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event not in EVENTS[self.fault.kind] or self.is_busy:
            return
        if self.fault.kind in ("open", "list"):
            path = os.fsdecode(arguments[0]) if isinstance(arguments[0], (str, bytes, os.PathLike)) else ""
            if not path or (path.startswith(self.imported) and not path.endswith(("catalogue", ".toml"))):
                return
        self.called(f"{event} {arguments[:1]}")

    def called(self, what: str) -> None:
        self.count += 1
        if self.count != self.fault.number:
            return
        self.is_busy = True
        frames = reversed(traceback.extract_stack()[:-2])
        stack = " < ".join(f"{frame.name} ({frame.filename.rpartition('/')[2]})" for frame in frames)
        self.write(self.seen, f"{what} in {stack}\n".encode(errors="replace"))
        self.is_busy = False
        if self.fault.kind == "thread":
            raise RuntimeError("can't start new thread")
        raise OSError(self.fault.error, os.strerror(self.fault.error), None)


def arm(fault: Fault) -> None:
    """From now on calls are counted."""
    if fault.kind in ("memory", "space"):
        (_fail_allocation if fault.kind == "memory" else _limit_space)(fault)
        return
    counter = Counter(fault)
    if fault.kind == "write":
        _replace_writers(counter.called)
    elif fault.kind == "thread":
        _replace_threads(counter.called)
    else:
        sys.addaudithook(counter.hook)


STRIDE = 37
"""Python makes many thousands of allocations: one in this many is tried for ``memory``."""


def _fail_allocation(fault: Fault) -> None:
    """One of Python's own allocations fails; their number is unknown, so the fault is assumed to be reached."""
    import _testcapi

    Path(fault.seen).write_text("allocation\n", encoding="ascii")
    start = fault.number * STRIDE
    _testcapi.set_nomemory(start, start + 1)


STEP_BYTES = 2**20


def _limit_space(fault: Fault) -> None:
    """Limits the address space to the current size and ``number - 1`` steps more: too little, until it is enough."""
    import resource

    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0]) * resource.getpagesize()
    Path(fault.seen).write_text("address space\n", encoding="ascii")
    limit = used + (fault.number - 1) * STEP_BYTES
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _replace_writers(called: Callable[[str], None]) -> None:
    opened, written = io.open, os.write

    class Writer(io.FileIO):
        def write(self, data: Any) -> int:
            called(f"write to {self.name}")
            return super().write(data)

    def open_file(
        file: Any,
        mode: str = "r",
        buffering: int = -1,
        encoding: str | None = None,
        errors: str | None = None,
        newline: str | None = None,
        closefd: bool = True,
        opener: Any = None,
    ) -> Any:
        if not set(mode) & set("wax+"):
            return opened(file, mode, buffering, encoding, errors, newline, closefd, opener)
        raw = Writer(file, mode.replace("b", "").replace("t", ""), closefd, opener)
        if not buffering:
            return raw
        buffered = io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)
        return buffered if "b" in mode else io.TextIOWrapper(buffered, encoding, errors, newline, buffering == 1)

    def write(descriptor: int, data: Any) -> int:
        called(f"write to {descriptor}")
        return written(descriptor, data)

    import builtins

    builtins.open = io.open = open_file
    os.write = write
    sys.stdout, sys.stderr = (open_file(number, "w", number - 1 or -1, "utf-8", closefd=False) for number in (1, 2))


def _replace_threads(called: Callable[[str], None]) -> None:
    import threading

    start: Any = threading._start_new_thread  # type: ignore[attr-defined]

    def start_thread(*arguments: Any) -> Any:
        called("thread")
        return start(*arguments)

    threading._start_new_thread = start_thread  # type: ignore[attr-defined]


def arm_child() -> None:
    """In a child of a process with a fault: arms the fault if it is meant for the child."""
    text = os.environ.get(VARIABLE)
    if text and of_text(text).in_child:
        arm(of_text(text))
