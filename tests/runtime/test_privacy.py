"""What a run leaves and sends: nothing, and it writes nowhere but to its own temporary folder and to what -o names."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto

from tests.modeltext import model

NO_NETWORK = ("unshare", "--map-root-user", "--net")
CALLS = (
    "network,open,openat,openat2,creat,mkdir,mkdirat,link,linkat,symlink,symlinkat,rename,renameat,renameat2,truncate,mknodat"
)
PERMITTED = re.compile(
    r'"(?:/dev/null|/dev/shm/[^"]*|\d+:\d+|\w*)"'  # semaphores; what is relative here is relative to a folder that is removed
)
COMMANDS = {
    "measure": ("measure", "model.onnx", "--runs", "1"),
    "profile": ("profile", "model.onnx", "--runs", "1"),
    "trace": ("model.onnx", "--trace", "--no-run"),
    "compare": ("compare", "whole.onnx", "whole.onnx", "--check-outputs", "--runs", "12"),
    "scan": ("scan", "model.onnx", "--run", "--runs", "1"),
}


def works(*command: str) -> bool:
    """Whether the system has the command and permits it."""
    return bool(shutil.which(command[0])) and subprocess.run([*command, "true"], capture_output=True).returncode == 0


def external(name: str, location: str) -> TensorProto:
    tensor = TensorProto(name=name, dims=[300], data_type=TensorProto.FLOAT, data_location=TensorProto.EXTERNAL)
    tensor.external_data.add(key="location", value=location)
    return tensor


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a model that has all its weights, one that lacks some, and two empty folders, for HOME and TMPDIR."""
    absent, there = external("absent", "none"), external("there", "w.bin")
    for file, graph, tensors in (
        ("model.onnx", "{ h = Add(x, there) y = Mul(h, absent) }", (absent, there)),
        ("whole.onnx", "{ y = Add(x, there) }", (there,)),
    ):
        made = model(f"(float[2, 300] x) => (float[2, 300] y) {graph}")
        made.graph.initializer.extend(tensors)
        (tmp_path / file).write_bytes(made.SerializeToString())
    (tmp_path / "w.bin").write_bytes(np.ones(300, np.float32).tobytes())
    for name in ("home", "temporary"):
        (tmp_path / name).mkdir()
    return tmp_path


def environment(home: Path) -> Mapping[str, str]:
    """Of a new user, who has set nothing."""
    own = {"HOME": str(home / "home"), "TMPDIR": str(home / "temporary"), "PYTHONDONTWRITEBYTECODE": "1"}
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("ORT_", "XDG_", "TMP"))}
    return {**kept, **own, "PYTHONPATH": os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)}


def run(home: Path, *command: str, before: tuple[str, ...] = (), **more: str) -> subprocess.CompletedProcess[str]:
    line = [*before, sys.executable, "-m", "onnxcost", *command, "--quiet"]
    return subprocess.run(line, cwd=home, env={**environment(home), **more}, capture_output=True, text=True, timeout=120)


def files(home: Path) -> set[str]:
    return {str(path.relative_to(home)) for path in home.rglob("*")}


@pytest.mark.skipif(not works(*NO_NETWORK), reason="the system permits no network namespace")
def test_a_run_leaves_no_files(home: Path) -> None:
    before = files(home)
    done = run(home, *COMMANDS["measure"], before=NO_NETWORK)
    assert (done.returncode, done.stderr) == (0, "")
    assert files(home) == before


@pytest.mark.parametrize(("given", "expected"), [(None, "1"), ("", "1"), ("1", "1"), ("0", "0"), ("true", "true")])
def test_telemetry_is_off_unless_the_user_turned_it_on(given: str | None, expected: str) -> None:
    """Asked of a stand-in for onnxruntime, which notes what it finds when it is imported and is told."""
    code = """
import os, sys
class Finder:
    def find_spec(self, name, path=None, target=None):
        if name == "onnxruntime":
            from importlib.machinery import ModuleSpec
            return ModuleSpec(name, self)
    def create_module(self, spec): return None
    def exec_module(self, module):
        module.found = os.environ.get("ORT_DISABLE_TELEMETRY")
        module.told = []
        module.disable_telemetry_events = lambda: module.told.append(True)
sys.meta_path.insert(0, Finder())
from onnxcost.runtime.session import onnxruntime
print(onnxruntime().found, bool(onnxruntime().told))
"""
    kept = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
    own = {} if given is None else {"ORT_DISABLE_TELEMETRY": given}
    done = subprocess.run([sys.executable, "-c", code], env={**kept, **own}, capture_output=True, text=True)
    assert done.stdout == f"{expected} {expected != '0'}\n", done.stderr


def test_onnxruntime_is_imported_in_one_place() -> None:
    package = Path(__file__).parents[2] / "onnxcost"
    found = [
        path.name
        for path in package.rglob("*.py")
        if re.search(r"^\s*(import|from) onnxruntime\b", path.read_text(), re.MULTILINE)
    ]
    assert found == ["session.py"]


def traced(home: Path, *command: str) -> tuple[subprocess.CompletedProcess[str], list[str]]:
    """The command and the system calls of CALLS that it and its children made."""
    log = home / "calls"
    done = run(home, *command, before=("strace", "-f", "-qq", "-e", "signal=none", "-e", f"trace={CALLS}", "-o", str(log)))
    calls, begun = [], dict[str, str]()
    for line in log.read_text(errors="replace").splitlines():
        process, _, call = line.partition(" ")
        # Two processes call at a time: the end of a call stands on a line of its own then.
        if call.endswith("<unfinished ...>"):
            begun[process] = line.removesuffix("<unfinished ...>")
        elif call.lstrip().startswith("<... "):
            calls.append(begun.pop(process, "") + call.partition(" resumed>")[2])
        else:
            calls.append(line)
    log.unlink()
    return done, [*calls, *begun.values()]


@pytest.mark.skipif(not works("strace", "-o", os.devnull), reason="there is no strace, or it is not permitted")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_run_writes_to_its_own_folder_and_asks_no_network(command: str, home: Path) -> None:
    before = {path: (home / path).read_bytes() for path in files(home) if (home / path).is_file()}
    done, calls = traced(home, *COMMANDS[command])
    assert (done.returncode, done.stderr) == (0, "")
    assert not [call for call in calls if "AF_INET" in call]
    writing = [call for call in calls if re.search(r"O_WRONLY|O_RDWR|O_CREAT|mkdir|link|rename|truncate|creat\(|mknod", call)]
    assert writing
    # What a child says on stderr goes to a file without a name; a scan lets tempfile choose the place.
    own = re.compile(rf'"{home}/temporary' + ("" if command == "scan" else r'(/onnxcost-run-|", [A-Z_|]*O_TMPFILE)'))
    assert not [call for call in writing if not own.search(call) and not PERMITTED.search(call) and " = -1 " not in call]
    assert {path: (home / path).read_bytes() for path in files(home) if (home / path).is_file()} == before


@pytest.mark.skipif(not works("strace", "-o", os.devnull), reason="there is no strace, or it is not permitted")
@pytest.mark.parametrize("command", COMMANDS)
def test_data_outside_is_not_read(command: str, home: Path) -> None:
    inside = home / "inside"
    inside.mkdir()
    (inside / "link").symlink_to(home)
    for location in ("../w.bin", "link/w.bin"):
        proto = model("(float[300] x) => (float[300] y) { y = Add(x, w) }")
        proto.graph.initializer.append(external("w", location))
        (inside / "model.onnx").write_bytes(proto.SerializeToString())
        done, calls = traced(home, *("inside/model.onnx" if word.endswith(".onnx") else word for word in COMMANDS[command]))
        assert done.returncode == 3
        assert "outside the model's folder" in done.stderr or command == "scan"
        assert not [call for call in calls if "w.bin" in call]
