"""The program on a board: it runs one job from standard input in a new folder, under the lock of the machine."""

from __future__ import annotations

import io
import os
import platform
import shutil
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr, suppress
from pathlib import Path
from typing import Any, BinaryIO

from onnxcost.documents import parse_json, to_json
from onnxcost.errors import InputError, OnnxCostError, refusal
from onnxcost.files import CHUNK, create_file
from onnxcost.fleet.ssh import MARK, MOST_LINE
from onnxcost.frontend.external import leaves_folder
from onnxcost.processes import claim_output
from onnxcost.version import __version__

LOCK = "onnxcost-fleet.lock"
FOLDER = "onnxcost-fleet-job-"
RESULT = "result"
"""The name, without a suffix, of the file that the job writes."""
MOST_TEXT = 2**14
"""The most characters of a job's messages that are sent back."""
COMMANDS = ("measure", "profile", "compare", "llm", "devices")
TRIES, PAUSE = 5, 0.2
GRACE = 10.0
"""Seconds in which a job must end after the connection is lost."""
RUNTIMES = ("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml", "onnxruntime-rocm")


def serve(run: Callable[[list[str]], int]) -> int:
    """Describe the board, receive a job, run it, and send its result back; ``run`` runs a command line.

    The messages go to what stdout is now. Returns the exit code of the process.
    """
    answers, jobs = claim_output(), sys.stdin.buffer
    with hold_lock() as holder:
        _say(answers, describe_board() | {"busy": holder})
        if holder:
            return 0
        line = jobs.readline(MOST_LINE)
        if not line.strip():
            return 0  # only the description was requested
        with job_folder() as folder:
            code, messages, content = _serve_job(run, line, jobs, folder)
        # This must be last: the connection ends with the answer, and this process with the connection.
        _say(answers, {"code": code, "messages": messages[-MOST_TEXT:], "size": len(content)}, content)
    return 0


def _serve_job(run: Callable[[list[str]], int], line: bytes, jobs: BinaryIO, folder: Path) -> tuple[int, str, bytes]:
    """Run the job in the folder: the exit code, the messages on stderr, and the file that was written."""
    try:
        job = parse_json(line)
        _receive(job, jobs, folder)
    except (OSError, ValueError, LookupError, TypeError, OnnxCostError) as error:
        return InputError.exit_code, f"onnxcost: error: {refusal(error) or error}", b""
    _watch(jobs, folder)
    os.chdir(folder)
    # The files of a killed job are removed with the folder.
    os.environ["TMPDIR"] = tempfile.tempdir = str(folder)
    with redirect_stderr(io.StringIO()) as messages:
        code = run(job["arguments"])
    os.chdir("/")
    result = next(folder.glob(f"{RESULT}.*"), None)
    return code, messages.getvalue(), result.read_bytes() if result else b""


def _say(answers: BinaryIO, message: Mapping[str, Any], content: bytes = b"") -> None:
    answers.write(MARK + to_json(message).encode() + b"\n" + content)
    answers.flush()


def _receive(job: Any, jobs: BinaryIO, folder: Path) -> None:
    """Write the files of the job. Raises ValueError for an invalid job, InputError for a file outside the folder."""
    if job["arguments"][0] not in COMMANDS or not all(isinstance(word, str) for word in job["arguments"]):
        raise ValueError("the job is not a command that boards can run")
    for name, size in job["files"]:
        if leaves_folder(name) or name.startswith(RESULT):
            raise InputError(f"the job has a file '{name}' outside its folder")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with create_file(path) as file:
            while size > 0:
                if not (piece := jobs.read(min(size, CHUNK))):
                    raise ValueError("the job is incomplete")
                file.write(piece)
                size -= len(piece)


def _watch(jobs: BinaryIO, folder: Path) -> None:
    """In a thread that waits for the end of the connection: the job ends with it, and its files are removed."""

    def wait() -> None:
        with suppress(OSError, ValueError):
            while jobs.read(CHUNK):
                pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(GRACE)
        remove_folder(folder)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextmanager
def job_folder() -> Iterator[Path]:
    """A folder for the files of a job, which is removed afterwards, as are those of killed jobs: no other job is running."""
    for left in Path(tempfile.gettempdir()).glob(f"{FOLDER}*"):
        if left.is_dir() and not left.is_symlink() and left.stat().st_uid == os.getuid():
            shutil.rmtree(left, ignore_errors=True)
    folder = Path(tempfile.mkdtemp(prefix=FOLDER)).resolve()
    try:
        yield folder
    finally:
        remove_folder(folder)


def remove_folder(folder: Path) -> None:
    """Remove a job's folder. The process that runs its model may still be ending, and write into it meanwhile."""
    for _ in range(20):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            break
        time.sleep(0.05)


@contextmanager
def hold_lock() -> Iterator[str]:
    """The lock of this machine, for all users: yields who else holds it, or "" if this process does.

    The system releases it with the process, however that ends: what the file says is of interest only while it is locked.
    """
    import fcntl

    descriptor = _open_lock(Path(tempfile.gettempdir(), LOCK))
    try:
        for left in reversed(range(TRIES)):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(PAUSE)  # a request for the description only holds it briefly
                if not left:
                    yield os.read(descriptor, 1000).decode(errors="replace").strip() or "another job"
                    return
        client = os.environ.get("SSH_CLIENT", "").partition(" ")[0] or "this machine"
        owner = os.environ.get("USER") or os.environ.get("LOGNAME") or "someone"
        since = time.strftime("%Y-%m-%d %H:%M:%S %Z")
        # The file of another user can be locked, but not always written.
        with suppress(OSError):
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"a job of {owner} from {client} since {since}, process {os.getpid()}\n".encode(), 0)
        yield ""
    finally:
        os.close(descriptor)


def _open_lock(path: Path) -> int:
    for flags in (os.O_RDWR, os.O_RDWR | os.O_CREAT | os.O_EXCL, os.O_RDONLY):
        with suppress(OSError):
            descriptor = os.open(path, flags | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
            with suppress(OSError):
                os.fchmod(descriptor, 0o666)
            return descriptor
    raise InputError(f"the lock '{path}' cannot be opened")


def describe_board() -> dict[str, Any]:
    """The description of the board, without loading any slow library."""
    import psutil

    from onnxcost.runtime.machine import cpu_name, usable_cores

    return {
        "onnxcost": __version__,
        "onnxruntime": _find_runtime(),
        "python": platform.python_version(),
        "platform": platform.platform(),
        "machine": platform.machine(),
        "device": cpu_name(),
        "cores": usable_cores(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "available_memory_bytes": int(psutil.virtual_memory().available),
        "free_disk_bytes": shutil.disk_usage(tempfile.gettempdir()).free,
        "time": time.time(),
    }


def _find_runtime() -> str:
    from importlib.metadata import PackageNotFoundError, version

    for name in RUNTIMES:
        with suppress(PackageNotFoundError):
            return version(name) if name == RUNTIMES[0] else f"{name} {version(name)}"
    return ""
