"""The package works from wherever Python can import it, with Python's switches, and says what it is made of."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import onnxcost

ROOT = Path(__file__).parents[1]
CNN = str(ROOT / "models" / "mnist_cnn_pytorch.onnx")
COMMANDS = {
    "devices": (["devices", "--format", "json"], lambda out: len(json.loads(out)["devices"])),
    "budget": (["budget", CNN, "--device", "raspberry-pi-5-8gb", "--fps", "1", "--format", "json"], str),
    "page": ([CNN, "--no-run", "--format", "html"], len),
    "schema": (["schema"], json.loads),
    "measure": (["measure", CNN, "--runs", "1", "--format", "json"], lambda out: json.loads(out)["measurement"]["runs"]),
    "scan": (["scan", CNN, "--format", "jsonl"], lambda out: json.loads(out)["totals"]),
}


def call(path: Path, arguments: list[str], *switches: str) -> str:
    """What the package below ``path`` prints; nothing of it or the tests is in the working folder."""
    environment = {**os.environ, "PYTHONPATH": str(path), "PYTHONDONTWRITEBYTECODE": "1", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-P", *switches, "-m", "onnxcost", *arguments], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("zip") / "onnxcost.zip"
    package = Path(onnxcost.__file__).parent
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for source in sorted(package.rglob("*")):
            if source.is_file() and "__pycache__" not in source.parts:
                file.write(source, source.relative_to(package.parent))
    return path


@pytest.mark.parametrize("name", COMMANDS)
def test_it_runs_from_an_archive_with_switches(archive: Path, name: str) -> None:
    arguments, what = COMMANDS[name]
    plain = call(ROOT, arguments)
    assert what(call(archive, arguments, "-O", "-W", "error")) == what(plain)


def test_versions_agree() -> None:
    citation = (ROOT / "CITATION.cff").read_text()
    assert re.search(r"^version: (.*)$", citation, re.M)[1] == onnxcost.__version__  # type: ignore[index]
