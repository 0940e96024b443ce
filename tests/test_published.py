"""Other packages' figures on torchvision's models, to the digit; what differs is explained operator by operator.

The figures and the skeletons of the models were made by scripts/published/conventions.py; none of the packages is needed here.
"""

from __future__ import annotations

import tarfile
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import onnxcost
from onnxcost.report import CostReport

HERE = Path(__file__).parent
PUBLISHED: dict[str, list[dict[str, Any]]] = tomllib.loads((HERE / "published.toml").read_text())
MODELS = PUBLISHED["model"]
PACKAGES = ("fvcore", "thop", "ptflops", "torchinfo", "calflops", "ultralytics", "onnx-tool")
FAMILIES = {"classification", "segmentation", "video", "optical_flow", "ultralytics"}


@cache
def skeletons() -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for name in ("torchvision", "ultralytics"):
        with tarfile.open(HERE / "data" / f"{name}.tar.xz") as archive:
            found |= {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]
    return found


def explained(model: dict[str, Any], convention: str) -> list[dict[str, Any]]:
    return [row for row in model.get("explained", ()) if row["convention"] == convention]


def total_of(model: dict[str, Any], package: str) -> int | None:
    return model.get(package, {}).get("total")


def test_enough_models_of_all_families() -> None:
    assert len(MODELS) >= 100
    assert {model["family"] for model in MODELS} >= FAMILIES
    for package in PACKAGES:
        equal = [model for model in MODELS if total_of(model, package) is not None and not explained(model, package)]
        assert len(equal) >= 20, package


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model["name"])
def test_figures(model: dict[str, Any]) -> None:
    """One test a model: its estimate is what takes the time."""
    reports = [onnxcost.estimate(skeletons()[file]) for file in model["files"]]
    for report in reports:
        assert report.complete
        assert report.macs == model["macs"]["total"]
        assert report.total("torch") == 2 * model["macs"]["total"]
    first = reports[0]
    check_published(model, first)
    for package in PACKAGES:
        if (theirs := total_of(model, package)) is not None:
            assert first.total(package) + difference(model, package, first) == theirs, package
    if (theirs := total_of(model, "deepspeed")) is not None:  # calflops and the products that calflops misses
        known = sum(row["theirs"] - row["onnxcost"] for row in explained(model, "calflops") if "MatMul" not in row["operators"])
        assert first.total("calflops") + known == theirs
    ours = first.parameters + sum(row["theirs"] - row["onnxcost"] for row in explained(model, "parameters"))
    assert ours == model["parameters"]


FILES = [file for file in PUBLISHED["file"] if "total" in file["onnx-tool"]]


def test_onnx_tool_counts_files_of_models() -> None:
    assert len(FILES) >= 10


@pytest.mark.parametrize("file", FILES, ids=lambda file: file["name"])
def test_files(file: dict[str, Any]) -> None:
    """What onnx-tool counts in models/, operator by operator."""
    report = onnxcost.estimate(HERE.parent / "models" / file["name"], shapes=file["inputs"])
    counts = {group.key[1]: group.total(onnxcost.CONVENTIONS["onnx-tool"]) for group in report.by_operator()}
    assert {"total": sum(counts.values())} | {key: count for key, count in counts.items() if count} == file["onnx-tool"]


def check_published(model: dict[str, Any], report: CostReport) -> None:
    """torchvision prints 10^9 MACs with three decimals."""
    if "gflops" in model.get("published", {}):
        assert report.macs / 1e9 == pytest.approx(model["published"]["gflops"], abs=0.000_501)


def difference(model: dict[str, Any], package: str, report: CostReport) -> int:
    """What the explained operators are there, less what they are here."""
    found = 0
    for row in explained(model, package):
        assert row["reason"]
        groups = [group for group in report.by_operator() if group.key[1] in row["operators"]]
        assert row["onnxcost"] == sum(group.total(onnxcost.CONVENTIONS[package]) for group in groups)
        found += row["theirs"] - row["onnxcost"]
    return found
