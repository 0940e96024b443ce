"""A connection to onnxcost on a board, by the system's ssh: the user's configuration, agent and jump hosts apply."""

from __future__ import annotations

import shlex
import subprocess
import threading
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from onnxcost.documents import parse_json, to_json
from onnxcost.files import CHUNK
from onnxcost.fleet.hosts import Host

MARK = b"onnxcost-fleet "
"""The start of a board's message: a login shell may print other lines first."""
MOST_LINE, MOST_LINES = 2**18, 1000
"""The bytes of a message, and the lines that are skipped before one."""
MOST_ERRORS = 2**16
SSH_FAILED, NOT_STARTED = 255, (126, 127)
"""Exit codes of ssh, and of a shell that cannot start a command."""
CONNECT_SECONDS, START_SECONDS = 10, 90
SSH_OPTIONS: Mapping[str, str] = {
    "BatchMode": "yes",
    "ConnectTimeout": str(CONNECT_SECONDS),
    # Notices within a minute that a board has lost its power or its network.
    "ServerAliveInterval": "20",
    "ServerAliveCountMax": "3",
    "ClearAllForwardings": "yes",
    "RemoteCommand": "none",
    # An open connection is used, but none is left open, because it would keep the pipes of this process open.
    "ControlMaster": "no",
    "LogLevel": "ERROR",
}


class BoardFailure(Exception):
    """A board that gives no result: ``kind`` is a key of ``fleet.jobs.KINDS``."""

    def __init__(self, kind: str, reason: str) -> None:
        super().__init__(reason)
        self.kind = kind


def remote_command(words: Iterable[str]) -> str:
    """The command for the shell of a board, which prints the version of onnxcost there and then receives a job.

    Words are quoted except for a leading ``~/``, which the shell expands.
    """
    start = " ".join(f"~/{shlex.quote(word[2:])}" if word[:2] == "~/" and word[2:] else shlex.quote(word) for word in words)
    return f"{start} --version && exec {start} fleet board"


def ssh_command(host: Host) -> list[str]:
    """The words that connect to the host and start onnxcost there."""
    options = [word for name, value in SSH_OPTIONS.items() for word in ("-o", f"{name}={value}")]
    user = ["-l", host.user] if host.user else []
    port = ["-p", str(host.port)] if host.port else []
    identity = ["-i", str(Path(host.identity).expanduser())] if host.identity else []
    return ["ssh", "-T", *options, *user, *port, *identity, "--", host.address, remote_command(host.command)]


def parse_message(line: bytes) -> Mapping[str, Any]:
    """The message in a line that starts with MARK."""
    try:
        message = parse_json(line.removeprefix(MARK))
    except ValueError as error:
        raise BoardFailure("died", f"its answer is not JSON ({error})") from None
    if not isinstance(message, dict):
        raise BoardFailure("died", "its answer is not an onnxcost message")
    return message


class Connection:
    """A process of ssh that runs onnxcost on a board. Use it in a ``with`` block, which ends it.

    Reading and writing raise BoardFailure if the board cannot be reached, does not answer in time, or disconnects.
    """

    def __init__(self, host: Host) -> None:
        self.host = host
        try:
            # In a session of its own: Ctrl-C is handled here, and ssh asks nothing on the terminal.
            self._child = subprocess.Popen(
                ssh_command(host),
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
            )  # fmt: skip
        except FileNotFoundError:
            raise BoardFailure("unreachable", "the program 'ssh' was not found: install the OpenSSH client") from None
        self._stdin, self._stdout = _pipe(self._child.stdin), _pipe(self._child.stdout)
        self._errors = b""
        self._listener = threading.Thread(target=self._collect_errors, args=(_pipe(self._child.stderr),), daemon=True)
        self._listener.start()
        self.has_answered = False
        self._late = ""
        self._timer: threading.Timer | None = None

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self.limit(None)
        self.kill()
        for pipe in (self._stdin, self._stdout):
            with suppress(OSError):
                pipe.close()

    def kill(self) -> None:
        """End ssh; the board notices that and ends its job."""
        self._child.kill()
        self._child.wait()

    def limit(self, seconds: float | None, late: str = "") -> None:
        """Limit the time of the board from now on; None removes the limit. ``late`` is the reason if it takes longer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = None
        if seconds is not None:

            def end() -> None:
                self._late = late
                self._child.kill()

            self._timer = threading.Timer(min(seconds, threading.TIMEOUT_MAX), end)
            self._timer.daemon = True
            self._timer.start()

    def read_line(self) -> bytes:
        """The next line, without its line break. Raises BoardFailure at the end of the stream."""
        try:
            line = self._stdout.readline(MOST_LINE + 1)
        except OSError:
            line = b""
        if not line.endswith(b"\n"):
            raise self.explain_end() if len(line) <= MOST_LINE else BoardFailure("died", "it sent a line that is too long")
        return line.rstrip(b"\r\n")

    def read_message(self) -> Mapping[str, Any]:
        """The next message; other lines are skipped."""
        for _ in range(MOST_LINES):
            if (line := self.read_line()).startswith(MARK):
                return parse_message(line)
        raise BoardFailure("died", "its output is not from onnxcost")

    def read_bytes(self, count: int) -> bytes:
        """The ``count`` bytes that follow a message."""
        try:
            content = self._stdout.read(count)
        except OSError:
            content = b""
        if len(content) < count:
            raise self.explain_end()
        return content

    def send(self, message: Mapping[str, Any], contents: Iterable[bytes | Path]) -> None:
        """Send a message and the contents that follow it, those of files in parts."""
        try:
            self._stdin.write(to_json(message).encode() + b"\n")
            for content in contents:
                if isinstance(content, bytes):
                    self._stdin.write(content)
                    continue
                with content.open("rb") as file:
                    while piece := file.read(CHUNK):
                        self._stdin.write(piece)
            self._stdin.flush()
        except BrokenPipeError:
            raise self.explain_end() from None

    def explain_end(self) -> BoardFailure:
        """Why the connection ended."""
        with suppress(subprocess.TimeoutExpired):
            self._child.wait(CONNECT_SECONDS)
        self.kill()
        # A process that ssh has started for a jump host may keep the pipe open for a moment.
        self._listener.join(CONNECT_SECONDS)
        if self._late:
            return BoardFailure("timed out", self._late)
        lines = [line.strip() for line in self._errors.decode(errors="replace").splitlines() if line.strip()]
        reason = lines[-1] if lines else ""
        # ssh exits with 255 for its own errors, and if a signal ended the remote command, then without output.
        is_of_ssh = self._child.returncode == SSH_FAILED and bool(reason)
        if self.has_answered:
            lost = f"the connection was lost during the job: {reason}"
            why = f": {reason}" if reason else ", perhaps because of too little memory"
            ended = f"onnxcost ended on the board during the job{why}"
            return BoardFailure("died", lost if is_of_ssh else ended)
        if is_of_ssh:
            return BoardFailure("unreachable", reason)
        shown = " ".join(map(shlex.quote, self.host.command))
        what = "cannot be started" if self._child.returncode in NOT_STARTED else "does not respond"
        why = f"'{shown}' {what} on the board{f' ({reason})' if reason else ''}: set its path with 'command' in the hosts file"
        return BoardFailure("no onnxcost", why)

    def _collect_errors(self, pipe: IO[bytes]) -> None:
        with suppress(OSError, ValueError), pipe:
            while piece := pipe.read1(CHUNK):  # type: ignore[attr-defined]  # it is buffered
                self._errors = (self._errors + piece)[-MOST_ERRORS:]


def _pipe(pipe: IO[bytes] | None) -> IO[bytes]:
    assert pipe is not None  # all were asked for
    return pipe
