"""Two boards: OpenSSH servers on free ports of this machine, each with a folder and a command of its own."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from getpass import getuser
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import onnxcost
from onnxcost.cli.app import cli
from tests.modeltext import model

ROOT = Path(onnxcost.__file__).parents[1]
SSHD = shutil.which("sshd") or shutil.which("sshd", path="/usr/sbin:/usr/local/sbin")
MODEL = model("(float[batch,16] x) => (float[batch,8] y) { h = MatMul(x, w) y = Relu(h) }", w=(16, 8)).SerializeToString()
CONFIG = """\
ListenAddress 127.0.0.1
Port {port}
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/user_key.pub
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
PermitRootLogin prohibit-password
PermitUserEnvironment no
SetEnv TMPDIR={board}
"""
CLIENT = """\
Host *
  User {user}
  IdentityFile {folder}/user_key
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile {folder}/known_hosts
  GlobalKnownHostsFile /dev/null
"""


@dataclass
class Board:
    """A server: its port, the folder for temporary files there, and its process."""

    name: str
    port: int
    folder: Path
    server: subprocess.Popen[bytes]

    def processes(self, part: bytes) -> list[int]:
        """The processes behind the server, itself left out, that have this in their command line."""
        listed = subprocess.run(["ps", "-e", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
        parents = {int(pid): int(parent) for pid, parent in map(str.split, listed.splitlines())}
        found = [self.server.pid]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return [pid for pid in found[1:] if part in _command_of(pid)]

    def connections(self) -> list[int]:
        """The processes of the server that serve connections, the innermost first."""
        return self.processes(b"sshd")[::-1]

    def commands(self) -> list[int]:
        """The processes of onnxcost in its connections."""
        return self.processes(b"fleet\0board")

    def left(self) -> list[str]:
        """The files that are left in its folder, beside the lock."""
        return sorted(each.name for each in self.folder.iterdir() if each.name != "onnxcost-fleet.lock")


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


@dataclass
class Lab:
    """The boards "one" and "two", and what a test adds to the hosts file."""

    folder: Path
    boards: dict[str, Board]
    hosts: dict[str, dict[str, object]] = field(default_factory=dict)

    def add(self, name: str, board: str = "one", **options: object) -> None:
        """A host with options of its own, behind the server of a board."""
        self.hosts[name] = {"address": "127.0.0.1", "port": self.boards[board].port, "command": self.command()} | options

    def command(self, before: str = "") -> str:
        """A program that starts onnxcost of this tree, in which the Python code ``before`` is run first."""
        path = self.folder / f"onnxcost-{len(list(self.folder.glob('onnxcost-*')))}"
        code = f"{before}\nfrom onnxcost.__main__ import command\ncommand()\n"
        path.write_text(f"#!{sys.executable}\nimport sys\nsys.path.insert(0, {str(ROOT)!r})\nsys.argv[0] = 'onnxcost'\n{code}")
        path.chmod(0o755)
        return str(path)

    def invoke(self, *arguments: str, width: int = 100) -> Result:
        """The command line, with the hosts file of the test."""
        return CliRunner(env={"COLUMNS": str(width)}).invoke(cli, [*arguments, "--hosts", str(self.write_hosts())])

    def write_hosts(self) -> Path:
        """The hosts file, written now."""
        path = self.folder / "hosts.toml"
        text = "".join(
            f"[{name}]\n" + "".join(f"{key} = {_toml(value)}\n" for key, value in options.items())
            for name, options in self.hosts.items()
        )
        path.write_text(text)
        return path


def _toml(value: object) -> str:
    return str(value) if isinstance(value, int | float | list) else f"'{value}'"


@pytest.fixture(scope="session")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, Board]]]:
    """The running servers and the folder with their keys and the configuration of ssh."""
    if sys.platform != "linux" or SSHD is None or shutil.which("ssh") is None or shutil.which("ps") is None:
        pytest.skip("OpenSSH's server and client are not installed: apt-get install openssh-server")
    folder = tmp_path_factory.mktemp("ssh")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)  # sshd wants it where it is started as root
    for key in ("host_key", "user_key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", folder / key], check=True)
    (folder / "config").write_text(CLIENT.format(folder=folder, user=getuser()))
    (folder / "bin").mkdir()
    wrapper = folder / "bin" / "ssh"
    wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {folder}/config "$@"\n')
    wrapper.chmod(0o755)
    boards = {}
    try:
        for name in ("one", "two"):
            boards[name] = _start(SSHD, name, folder)
        host_key = (folder / "host_key.pub").read_text().split()
        known = (f"[127.0.0.1]:{board.port} {' '.join(host_key[:2])}\n" for board in boards.values())
        (folder / "known_hosts").write_text("".join(known))
        words = [wrapper, "-o", "BatchMode=yes", "-p", str(boards["one"].port), "127.0.0.1", "true"]
        if (probe := subprocess.run(words, capture_output=True, text=True)).returncode:
            pytest.skip(f"sshd lets this user not in: {probe.stderr.strip()[-300:]}")
        yield folder, boards
    finally:
        for board in boards.values():
            board.server.kill()
            board.server.wait()


def _start(sshd: str, name: str, folder: Path) -> Board:
    place = folder / name
    place.mkdir()
    for _ in range(5):  # another process may take the port first
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        (place / "sshd_config").write_text(CONFIG.format(port=port, folder=folder, board=place / "tmp"))
        (place / "tmp").mkdir(exist_ok=True)
        with (place / "log").open("wb") as log:
            server = subprocess.Popen([sshd, "-D", "-e", "-f", place / "sshd_config"], stderr=log, start_new_session=True)
        for _ in range(100):
            time.sleep(0.05)
            if server.poll() is not None:
                break
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    return Board(name, port, place / "tmp", server)
        server.kill()
        server.wait()
    pytest.skip(f"sshd does not start here: {(place / 'log').read_text()[-300:]}")


@pytest.fixture
def lab(servers: tuple[Path, dict[str, Board]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    """The boards "one" and "two" in a hosts file, and a folder with model.onnx to work in."""
    folder, boards = servers
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    Path("model.onnx").write_bytes(MODEL)
    lab = Lab(tmp_path, boards)
    for name in boards:
        lab.add(name, name)
    return lab
