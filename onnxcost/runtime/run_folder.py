"""The temporary folder of a run: for files of our own alone, and gone with its process, however that ends."""

from __future__ import annotations

import os
import re
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from onnxcost.errors import MeasurementError
from onnxcost.processes import defer_signals

PREFIX, LOCK = "onnxcost-run-", "lock"
_NAME = re.compile(PREFIX + r"[a-z0-9_]{8}")


@contextmanager
def run_folder() -> Iterator[str]:
    """A new folder that this user alone can open; it goes with the block. Nothing in it may be named by a model.

    While the process lives it holds a lock on the file LOCK in it, which the system releases when the process ends, however
    that is: the next process that runs a model removes a folder whose lock nobody holds. Raises MeasurementError where the
    system refuses one.
    """
    folder, lock = _create()
    try:
        yield folder
    finally:
        with defer_signals():
            os.close(lock)  # to look into a folder takes a file descriptor: the last one may be this
            for _ in range(2):  # what the system refuses once may well go a second time
                shutil.rmtree(folder, ignore_errors=True)


def _create() -> tuple[str, int]:
    """The folder, and the file descriptor that holds its lock, in the first place that takes one."""
    refusal = ""
    for parent in _parents():
        _sweep(parent)
        try:
            return _create_in(parent)
        except OSError as error:
            refusal = refusal or f"no temporary folder can be made in '{parent}' to run the model in: {error.strerror}"
    raise MeasurementError(f"{refusal}; set TMPDIR to a folder that can be written to")


def _parents() -> list[str]:
    """Where temporary files go, in the order of ``tempfile``, which would write a file to each to try it."""
    if os.name != "posix":
        return [tempfile.gettempdir()]
    named = [path for name in ("TMPDIR", "TEMP", "TMP") if (path := os.environ.get(name))]
    return [*named, "/tmp", "/var/tmp", "/usr/tmp"]


def _create_in(parent: str) -> tuple[str, int]:
    while True:
        folder = tempfile.mkdtemp(prefix=PREFIX, dir=parent)
        try:
            lock = _lock(folder)
        except FileNotFoundError:
            continue  # another process took it for one that is left over
        except OSError:
            os.rmdir(folder)  # noqa: PTH106
            raise
        if lock is not None:
            return folder, lock


def _lock(folder: str) -> int | None:
    """The file descriptor that holds the lock of a new folder; None where the folder is gone meanwhile."""
    path = os.path.join(folder, LOCK)  # noqa: PTH118
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    if sys.platform == "win32":
        return lock
    import fcntl

    with suppress(OSError):  # there are file systems without locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fstat(lock).st_nlink:
        return lock
    os.close(lock)
    return None


@cache
def _sweep(parent: str) -> None:
    """Removes the folders of processes that are gone: those of this user that hold no lock. Never an error."""
    if sys.platform == "win32":
        return
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_left(entry)


def _remove_if_left(entry: os.DirEntry[str]) -> None:
    """Raises OSError where it is not there any more, in use, or not ours."""
    import fcntl

    found = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    path = Path(entry.path)
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        path.rmdir()  # left, or just about to be locked: then its process makes another one; what is not empty is not ours
        return
    try:
        if stat.S_ISREG(os.fstat(lock).st_mode):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
