"""A command for several boards: the files that it needs, sent to all of them in parallel, and the results received."""

from __future__ import annotations

import queue
import re
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePath
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from onnxcost.documents import parse_json
from onnxcost.errors import NO_MEMORY, CheckFailed, InputError, OnnxCostError
from onnxcost.fleet.board import RESULT
from onnxcost.fleet.hosts import Host
from onnxcost.fleet.results import INTERRUPTED, KINDS, BoardResult, Document, FleetRun, Said
from onnxcost.fleet.ssh import MARK, MOST_LINES, START_SECONDS, BoardFailure, Connection, parse_message
from onnxcost.frontend.external import leaves_folder, stored_tensors
from onnxcost.frontend.reader import read_locations
from onnxcost.frontend.strip import strip
from onnxcost.results import SCHEMA
from onnxcost.spec import ModelSource
from onnxcost.version import __version__

MOST_RESULT = 2**27
"""The most bytes of a result that are accepted from a board."""
MOST_SKEW = 30.0
"""Seconds by which a board's clock may differ."""
_VERSION = re.compile(rb"onnxcost (\d\S{0,40})")
_SAID = re.compile(r"onnxcost: (error|warning|advice|note): (.*)")
_NO_MEMORY = re.compile(rf"{re.escape(NO_MEMORY)}|too little memory|not enough memory|refuses memory")


class JobFile(NamedTuple):
    """A file of a job: its name on the board, a relative path, and its bytes or its local path."""

    name: str
    content: bytes | Path

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.content) if isinstance(self.content, bytes) else self.content.stat().st_size


class BoardJob(NamedTuple):
    """A command line of onnxcost, without the options of its output, and the files that it names.

    ``names`` are what the files of models are called here, by what they are called in the job. ``read`` makes a document of
    what the command writes, a file with the ``suffix``. ``has_name``: it takes ``--name``, the name of the machine.
    """

    arguments: tuple[str, ...]
    files: tuple[JobFile, ...] = ()
    names: Mapping[str, str] = {}
    read: Callable[[str], Document] = parse_json
    suffix: str = ".json"
    has_name: bool = False

    def arguments_for(self, host: Host) -> list[str]:
        """The words for a host: with its provider and its threads if none are given."""
        own = {"--provider": host.provider, "--threads": str(host.threads or "")}
        own["--name"] = host.file_name if self.has_name else ""
        given = {word.partition("=")[0] for word in self.arguments}
        added = [f"{option}={value}" for option, value in own.items() if value and option not in given]
        return [*self.arguments, *added, "-o", f"{RESULT}{self.suffix}"]

    def restore(self, value: Any) -> Any:
        """The value with the names that models have here in all its strings."""
        if isinstance(value, str):
            return _IN_JOB.sub(lambda match: self.names.get(match[0], match[0]), value) if MODEL in value else value
        if isinstance(value, dict):
            return {key: self.restore(each) for key, each in value.items()}
        return [self.restore(each) for each in value] if isinstance(value, list) else value


MODEL = "fleet-model-"
_IN_JOB = re.compile(rf"{MODEL}\d+(?:/{MODEL}\d+[\w.]*)?")


def pack_model(source: ModelSource, at: int, *, has_weights: bool) -> list[JobFile]:
    """The files of a model, its own first: its skeleton, or with weights all its files. ``at`` is its index in the job.

    Raises what ``strip`` raises, and InputError for the weights of a model that is not a file.
    """
    name = f"{MODEL}{at}/{MODEL}{at}"
    if not has_weights:
        with TemporaryDirectory() as folder:
            skeleton = Path(folder, "skeleton.onnx")
            strip(source, skeleton)
            return [JobFile(f"{name}.onnx", skeleton.read_bytes())]
    if not isinstance(source, str | Path) or not Path(source).is_file():
        raise InputError("--send-weights needs a model in a file")
    path = Path(source)
    locations = {stored.location for stored in stored_tensors(read_locations(source)) if stored.is_external}
    beside = [place for place in sorted(locations) if not leaves_folder(place) and (path.parent / place).is_file()]
    suffix = "".join(part for part in PurePath(path).suffixes[-2:] if re.fullmatch(r"\.\w+", part, re.ASCII))
    return [JobFile(f"{name}{suffix}", path), *(JobFile(f"{MODEL}{at}/{place}", path.parent / place) for place in beside)]


def run_job(
    command: str, hosts: Sequence[Host], job: BoardJob | None, on_result: Callable[[BoardResult], object] = bool
) -> FleetRun:
    """Send the job to all hosts in parallel; ``on_result`` gets each result as it arrives. Without a job, only describe the
    boards.

    After KeyboardInterrupt, boards without a result are marked as interrupted.
    """
    done: queue.Queue[BoardResult] = queue.Queue()
    running: dict[str, Connection] = {}
    found: dict[str, BoardResult] = {}

    def work(host: Host) -> None:
        try:
            done.put(_run_on(host, job, running))
        except Exception as error:  # a thread that ends without a result would be waited for forever
            done.put(BoardResult(host, failure="died", reason=f"{type(error).__name__}: {error}"))

    try:
        for host in hosts:
            threading.Thread(target=work, args=(host,), daemon=True).start()
        while len(found) < len(hosts):
            result = done.get()
            found[result.name] = result
            on_result(result)
    except KeyboardInterrupt:
        for connection in [*running.values()]:
            connection.kill()
    stopped = {host.name: BoardResult(host, failure=INTERRUPTED, reason=KINDS[INTERRUPTED]) for host in hosts}
    return FleetRun(command, tuple(found.get(name, result) for name, result in stopped.items()))


def _run_on(host: Host, job: BoardJob | None, running: dict[str, Connection]) -> BoardResult:
    """The result of the job on one board."""
    result = BoardResult(host)
    try:
        with Connection(host) as connection:
            running[host.name] = connection
            connection.limit(START_SECONDS, f"onnxcost did not start on the board within {START_SECONDS} s")
            sent = time.time()
            about = _greet(connection)
            result = replace(result, about=about, messages=_check_clock(about, sent, time.time()))
            if about.get("busy"):
                raise BoardFailure("busy", str(about["busy"])[:300])
            if job is None:
                return result
            connection.limit(host.timeout, f"no result within {host.timeout:g} s ('timeout' in the hosts file)")
            files = [[file.name, file.size] for file in job.files]
            connection.send({"arguments": job.arguments_for(host), "files": files}, (file.content for file in job.files))
            answer = connection.read_message()
            size = answer.get("size")
            if type(size) is not int or not 0 <= size <= MOST_RESULT:
                raise BoardFailure("died", f"its result has {size!r} bytes")
            text = connection.read_bytes(size).decode(errors="replace")
        return _complete(result, job, text, answer)
    except BoardFailure as failure:
        return replace(result, failure=failure.kind, reason=str(failure))


def _greet(connection: Connection) -> Mapping[str, Any]:
    """The description of the board; other lines before it, such as a shell's, are skipped."""
    for _ in range(MOST_LINES):
        line = connection.read_line()
        if (match := _VERSION.fullmatch(line)) and match[1].decode(errors="replace") != __version__:
            raise BoardFailure("another version", f"onnxcost {match[1].decode(errors='replace')} there, {__version__} here")
        if line.startswith(MARK):
            connection.has_answered = True
            return parse_message(line)
    raise BoardFailure("no onnxcost", "its output is not from onnxcost")


def _check_clock(about: Mapping[str, Any], sent: float, received: float) -> tuple[Said, ...]:
    """A warning if the clock of the board differs from the local one."""
    there = about.get("time")
    if not isinstance(there, float):  # an integer may be too large for a float
        return ()
    skew = there - received if there > received else min(there - sent, 0.0)
    if abs(skew) <= MOST_SKEW:
        return ()
    which = "ahead of" if skew > 0 else "behind"
    return (
        Said(
            "warning", f"its clock is at least {abs(skew):.0f} s {which} this machine's, so the dates in its results are wrong"
        ),
    )


def _complete(result: BoardResult, job: BoardJob, text: str, answer: Mapping[str, Any]) -> BoardResult:
    """The result with the output and the messages of the job."""
    lines = job.restore(str(answer.get("messages", ""))).splitlines()
    said = [Said(*match.groups()) for line in lines if (match := _SAID.match(line))]
    errors = [message for message in said if message.kind == "error"]
    code = int(answer["code"]) if type(answer.get("code")) is int else InputError.exit_code
    if text:
        try:
            document = job.restore(job.read(text))
            if not isinstance(document, dict) or document.get("schema") != SCHEMA:
                raise ValueError("it is not an onnxcost document")
        except (ValueError, OnnxCostError) as error:
            return replace(result, failure="died", reason=f"its result cannot be read: {error}")
        result = replace(result, document=document, text=text)
    is_check = code == CheckFailed.exit_code and bool(text)
    kept = (message for message in said if is_check or message.kind != "error")
    result = replace(result, code=code, messages=(*result.messages, *kept))
    if is_check or (not code and text):
        return result
    reason = "; ".join(message.text for message in errors) or f"onnxcost ended on the board with code {code} and no result"
    return replace(result, failure="no memory" if _NO_MEMORY.search(reason) else "not measured", reason=reason)
