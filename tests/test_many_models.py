"""The folder that ``scripts/benchmark/many_models.py`` makes: models that can be counted, and some broken ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from random import Random

import onnx
import pytest

import onnxcost
from onnxcost.errors import OnnxCostError
from scripts.benchmark import many_models

ROOT = Path(__file__).parent.parent
MODELS = sorted(many_models.MODELS.glob("*.onnx"))


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_a_varied_model_is_whole(path: Path) -> None:
    for seed in range(2):
        report = onnxcost.estimate(many_models.varied(path.stem, onnx.load(path, load_external_data=False), Random(seed)))
        assert report.complete
        assert report.macs


@pytest.mark.parametrize("kind", many_models.BROKEN)
def test_a_broken_model_is_refused(kind: str, tmp_path: Path) -> None:
    many_models.write_broken(tmp_path / "broken.onnx", kind)
    with pytest.raises(OnnxCostError):
        onnxcost.estimate(tmp_path / "broken.onnx")


def test_the_same_folder_comes_of_it_every_time(tmp_path: Path) -> None:
    def made(name: str) -> dict[str, bytes | None]:
        command = [sys.executable, "-m", "scripts.benchmark.many_models", tmp_path / name, "--count", "60"]
        subprocess.run(command, check=True, cwd=ROOT)
        paths = sorted((tmp_path / name).rglob("*.onnx"))
        return {path.name: path.read_bytes() if path.exists() else None for path in paths}

    first = made("first")
    assert len(first) == 60
    assert [name for name in first if "truncated" in name] == [f"{MODELS[49 % len(MODELS)].stem}_0049_truncated.onnx"]
    assert made("second") == first
