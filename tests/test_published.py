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
MODELS: list[dict[str, Any]] = tomllib.loads((HERE / "published.toml").read_text())["model"]
FAMILIES = {"classification", "segmentation", "video", "optical_flow"}


@cache
def skeletons() -> dict[str, bytes]:
    with tarfile.open(HERE / "data" / "torchvision.tar.xz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def explained(model: dict[str, Any], convention: str) -> list[dict[str, Any]]:
    return [row for row in model.get("explained", ()) if row["convention"] == convention]


def test_enough_models_of_all_families() -> None:
    assert len(MODELS) >= 100
    assert {model["family"] for model in MODELS} >= FAMILIES
    for convention in ("fvcore", "thop"):
        assert sum(convention in model and not explained(model, convention) for model in MODELS) >= 20


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
    for convention in ("fvcore", "thop"):
        if convention in model:
            check_total(model, first, convention)
    ours = first.parameters + sum(row["theirs"] - row["onnxcost"] for row in explained(model, "parameters"))
    assert ours == model["parameters"]


def check_published(model: dict[str, Any], report: CostReport) -> None:
    """torchvision prints 10^9 MACs with three decimals."""
    if "gflops" in model.get("published", {}):
        assert report.macs / 1e9 == pytest.approx(model["published"]["gflops"], abs=0.000_501)


def check_total(model: dict[str, Any], report: CostReport, convention: str) -> None:
    """Ours, less what the explained operators are here, plus what they are there, is theirs."""
    ours = report.total(convention)
    for row in explained(model, convention):
        assert row["reason"]
        groups = [group for group in report.by_operator() if group.key[1] in row["operators"]]
        assert row["onnxcost"] == sum(group.total(onnxcost.CONVENTIONS[convention]) for group in groups)
        ours += row["theirs"] - row["onnxcost"]
    assert ours == model[convention]["total"]
