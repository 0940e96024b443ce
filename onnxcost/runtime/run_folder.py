"""The temporary folder of a run: only for onnxcost's own files, and removed with its process, however that ends."""

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
    """A new folder that only this user can open; it is removed with the block. No file in it may be named by a model.

    While the process lives it holds a lock on the file LOCK in it, which the system releases when the process ends, however
    that happens: the next process that runs a model removes folders whose lock is free. Raises MeasurementError if no
    folder can be created.
    """
    folder, lock = _create()
    try:
        yield folder
    finally:
        with defer_signals():
            os.close(lock)  # reading a folder takes a file descriptor, and this may be the last one
            for _ in range(2):  # a second attempt may succeed
                shutil.rmtree(folder, ignore_errors=True)


def _create() -> tuple[str, int]:
    """The folder, in the first place that allows one, and the file descriptor that holds its lock."""
    refusal = ""
    for parent in temporary_folders():
        _sweep(parent)
        try:
            return _create_in(parent)
        except OSError as error:
            refusal = refusal or f"cannot create a temporary folder in '{parent}' to run the model: {error.strerror}"
    raise MeasurementError(f"{refusal}; set TMPDIR to a writable folder")


def temporary_folders() -> list[str]:
    """The folders for temporary files, in the order of ``tempfile``, which would write a file into each to try it."""
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
            continue  # another process removed it as left over
        except OSError:
            os.rmdir(folder)  # noqa: PTH106
            raise
        if lock is not None:
            return folder, lock


def _lock(folder: str) -> int | None:
    """The file descriptor that holds the lock of a new folder; None if the folder was removed meanwhile."""
    path = os.path.join(folder, LOCK)  # noqa: PTH118
    lock = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    if sys.platform == "win32":
        return lock
    import fcntl

    with suppress(OSError):  # some file systems have no locks
        fcntl.flock(lock, fcntl.LOCK_EX)
    if os.fstat(lock).st_nlink:
        return lock
    os.close(lock)
    return None


@cache
def _sweep(parent: str) -> None:
    """Removes the folders of processes that have ended: those of this user whose lock is free. Errors are ignored."""
    if sys.platform == "win32":
        return
    with suppress(OSError), os.scandir(parent) as entries:
        for entry in entries:
            if _NAME.fullmatch(entry.name):
                with suppress(OSError):
                    _remove_if_left(entry)


def _remove_if_left(entry: os.DirEntry[str]) -> None:
    """Removes a folder that was left over; raises OSError if it is gone, in use, or not ours."""
    import fcntl

    found = entry.stat(follow_symlinks=False)
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid():
        return
    path = Path(entry.path)
    try:
        lock = os.open(path / LOCK, os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK)
    except FileNotFoundError:
        # Left over, or about to be locked: its process then creates another one. A folder with other files is not ours.
        path.rmdir()
        return
    try:
        if stat.S_ISREG(os.fstat(lock).st_mode):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(path, ignore_errors=True)
    finally:
        os.close(lock)
