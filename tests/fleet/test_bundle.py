"""The wheels for boards without a network; pip finds them in a folder, as it would at an index."""

from __future__ import annotations

import re
import subprocess
import sys
import venv
import zipfile
from importlib.metadata import distribution
from pathlib import Path

import pytest

import onnxcost
from onnxcost.cli.app import run
from onnxcost.fleet.bundle import build_wheel
from onnxcost.version import __version__

pytest.importorskip("pip")
WHEEL = f"onnxcost-{__version__}-py3-none-any.whl"


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with empty wheels of what onnxcost needs, the only place where pip looks."""
    folder = tmp_path / "index"
    folder.mkdir()
    for need in distribution("onnxcost").requires or ():
        if "extra" not in need and (match := re.match(r"[\w.-]+", need)):
            _write_empty_wheel(folder, match[0].replace("-", "_"))
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.chdir(tmp_path)
    return folder


def _write_empty_wheel(folder: Path, name: str) -> None:
    info = f"{name}-999.dist-info"
    with zipfile.ZipFile(folder / f"{name}-999-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 999\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_a_bundle_has_all_wheels(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fleet", "bundle", "wheels", "--platform", "manylinux_2_28_aarch64", "--python", "3.12"]) == 0
    wheels = {path.name for path in Path("wheels").glob("*.whl")}
    assert wheels == {WHEEL, *(path.name for path in index.iterdir())}
    assert f"wheels: {len(wheels)} wheels, " in capsys.readouterr().out
    assert Path("wheels/install.sh").stat().st_mode & 0o111


def test_what_is_not_found(index: Path, capsys: pytest.CaptureFixture[str]) -> None:
    next(index.glob("psutil*")).unlink()
    assert run(["fleet", "bundle", "wheels"]) == 2
    assert "error: pip found no wheels: No matching distribution found for psutil" in capsys.readouterr().err


@pytest.mark.parametrize("words", [["--python", "3"], ["--python", "x"], ["--platform", "-r"], ["--platform", "a b"]])
def test_what_is_refused(words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["fleet", "bundle", str(tmp_path / "wheels"), *words]) == 2
    assert f"{words[0]} expects" in capsys.readouterr().err
    assert not (tmp_path / "wheels").exists()


def test_the_wheel_can_be_installed(tmp_path: Path) -> None:
    """Into an environment of its own, which takes the other packages from this one."""
    wheel = tmp_path / WHEEL
    wheel.write_bytes(build_wheel(distribution("onnxcost")))
    venv.create(tmp_path / "env", with_pip=False)
    python = tmp_path / "env" / "bin" / "python"
    words = [sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(words, check=True)
    site = next((tmp_path / "env").glob("lib/python*/site-packages"))
    (site / "others.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
    shown = subprocess.run(
        [tmp_path / "env" / "bin" / "onnxcost", "--version"], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert shown.stdout == f"onnxcost {__version__}\n"
    installed = {
        path.relative_to(site / "onnxcost") for path in (site / "onnxcost").rglob("*") if "__pycache__" not in path.parts
    }
    source = Path(onnxcost.__file__).parent
    assert installed == {path.relative_to(source) for path in source.rglob("*") if "__pycache__" not in path.parts}
