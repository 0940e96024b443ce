"""What installed packages register is used: the packages of the documents, and packages that are broken."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import metadata
from pathlib import Path

import onnx
import pytest

from onnxcost.cli.app import run
from onnxcost.hardware.catalogue import catalogue, registered_devices
from tests.modeltext import model

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "tests" / "data" / "example_packages"
CNN = str(ROOT / "models" / "mnist_cnn_pytorch.onnx")
GATED = model("(float[2,6] x) => (float[2,3] y) { h = my.domain.Gated(x) y = Relu(h) }", domains=', "my.domain" : 1')


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the example packages as pip installs them: their modules, and what they register."""
    folder = tmp_path_factory.mktemp("site")
    for example in EXAMPLES.iterdir():
        project = tomllib.loads((example / "pyproject.toml").read_text())["project"]
        shutil.copytree(example, folder, dirs_exist_ok=True, ignore=shutil.ignore_patterns("pyproject.toml", "__pycache__"))
        info = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n")
        groups = project["entry-points"].items()
        lines = (f"[{group}]\n" + "".join(f"{name} = {value}\n" for name, value in points.items()) for group, points in groups)
        (info / "entry_points.txt").write_text("".join(lines))
    return folder


def call(site: Path, *arguments: str | Path, code: int = 0) -> str:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-P", "-m", "onnxcost", *arguments], capture_output=True, text=True, env=environment, encoding="utf-8"
    )
    assert done.returncode == code, done.stderr
    return done.stdout


def test_formulas_count_an_operator(site: Path, tmp_path: Path) -> None:
    path = tmp_path / "gated.onnx"
    onnx.save(GATED, path)
    report = json.loads(call(site, path, "--no-run", "--format", "json"))
    # 2×3 outputs of 5 operations each, and as many comparisons.
    assert report["complete"]
    assert report["totals"]["flops"] == 6 * 5 + 6


def test_devices_are_in_the_catalog(site: Path) -> None:
    device = json.loads(call(site, "devices", "my-board", "--format", "json"))["devices"][0]
    assert device["memory"]["value"] == 4 * 2**30
    assert device["parts"][0]["peaks"][0]["value"] == 96e9
    budget = json.loads(call(site, "budget", CNN, "--fps", "1", "--all", "--format", "json"))
    names = [each["device"] for each in budget["devices"]]
    assert "my-board" in names
    assert set(names) == {*catalogue(), "my-board"}
    assert "my-board" in call(site, "budget", CNN, "--fps", "1", "--device", "my-board")


def test_a_format_writes_documents(site: Path, tmp_path: Path) -> None:
    text = call(site, CNN, "--no-run", "--format", "prom")
    assert re.fullmatch(r'(onnxcost_\w+\{model=".*"\} \d+\n){4}', text)
    call(site, CNN, "--no-run", "-o", tmp_path / "cost.prom")
    assert (tmp_path / "cost.prom").read_text() == text
    assert call(site, "devices", "--format", "prom", code=2) == ""


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.toml")) + sorted(EXAMPLES.rglob("*.py")), ids=lambda path: path.name)
def test_the_documents_show_the_examples(path: Path) -> None:
    text = f"# {path.relative_to(EXAMPLES).as_posix()}\n{path.read_text()}"
    assert text in (ROOT / "docs" / "extending.md").read_text()


class Point:
    """An entry point of an installed package."""

    name, value = "mine", "package:thing"

    def __init__(self, group: str, found: object) -> None:
        self.group, self.found = group, found

    def load(self) -> object:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch):
    def register(where: str, found: object) -> None:
        registered_devices.cache_clear()
        monkeypatch.setattr(metadata, "entry_points", lambda group: [Point(group, found)] if group == where else [])

    yield register
    registered_devices.cache_clear()


BROKEN_DEVICES = {
    "no path": (7, "is no TOML file, and no folder: package:thing"),
    "an absent file": ("/nowhere/devices.toml", "is no TOML file, and no folder: package:thing"),
    "does not load": (ImportError("no module"), "cannot be loaded: ImportError: no module"),
}


@pytest.mark.parametrize(("found", "says"), BROKEN_DEVICES.values(), ids=BROKEN_DEVICES)
def test_devices_that_are_broken(register: Callable[[str, object], None], found: object, says: str, capsys) -> None:
    register("onnxcost.devices", found)
    assert run(["devices", "raspberry-pi-5-8gb", "--format", "json"]) == 2
    assert f"the entry point 'mine' of onnxcost.devices {says}" in " ".join(capsys.readouterr().err.split())


def test_a_file_of_devices_that_is_invalid(register: Callable[[str, object], None], tmp_path: Path, capsys) -> None:
    (tmp_path / "bad.toml").write_text("name = 'x'\nkind = 'spaceship'\n")
    register("onnxcost.devices", tmp_path)
    assert run(["budget", CNN, "--fps", "1", "--device", "x"]) == 2
    assert "bad.toml: x" in capsys.readouterr().err


def test_a_known_device_needs_no_packages(register: Callable[[str, object], None]) -> None:
    register("onnxcost.devices", ImportError("no module"))
    assert run(["budget", CNN, "--fps", "1", "--device", "raspberry-pi-5-8gb"]) == 0


BROKEN_FORMATS = {
    "an exception": (lambda document: 1 / 0, "failed: ZeroDivisionError: division by zero"),
    "no text": (lambda document: 7, "failed: it returned int, not text"),
    "no function": (7, "failed: TypeError"),
    "does not load": (AttributeError("no thing"), "cannot be loaded: AttributeError: no thing"),
}


@pytest.mark.parametrize(("found", "says"), BROKEN_FORMATS.values(), ids=BROKEN_FORMATS)
def test_formats_that_are_broken(
    register: Callable[[str, object], None], found: object, says: str, capsys, tmp_path: Path
) -> None:
    register("onnxcost.formats", found)
    for where in (["--format", "mine"], ["-o", str(tmp_path / "cost.mine")]):
        assert run([CNN, "--no-run", *where]) == 2
        captured = capsys.readouterr()
        assert captured.out == ""
        assert says in " ".join(captured.err.split())
    assert not (tmp_path / "cost.mine").exists()


def test_an_unregistered_format(register: Callable[[str, object], None], capsys) -> None:
    register("onnxcost.formats", str)
    assert run([CNN, "--no-run", "--format", "yours"]) == 2
    assert "'yours' is not one of" in capsys.readouterr().err


def test_a_format_of_ours_is_not_replaced(register: Callable[[str, object], None], capsys, monkeypatch) -> None:
    register("onnxcost.formats", lambda document: "mine")
    monkeypatch.setattr(Point, "name", "json")
    assert run([CNN, "--no-run", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["totals"]
