"""Other packages' figures on torchvision's models, to the digit; what differs is explained operator by operator.

The figures and the skeletons of the models were made by scripts/compare_conventions.py; none of the packages is needed here.
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


@cache
def report_of(file: str) -> CostReport:
    return onnxcost.estimate(skeletons()[file])


@pytest.fixture(params=MODELS, ids=lambda model: model["name"])
def model(request: pytest.FixtureRequest) -> dict[str, Any]:
    return request.param  # type: ignore[no-any-return]


def test_enough_models_of_all_families() -> None:
    assert len(MODELS) >= 100
    assert {model["family"] for model in MODELS} >= FAMILIES
    assert sum("fvcore" in model for model in MODELS) >= 20
    assert sum("thop" in model for model in MODELS) >= 20


def test_every_export_is_complete_and_has_torchs_macs(model: dict[str, Any]) -> None:
    for file in model["files"]:
        report = report_of(file)
        assert report.complete
        assert (report.macs, report.total("torch")) == (model["macs"]["total"], 2 * model["macs"]["total"])


def test_macs_are_those_that_torchvision_publishes(model: dict[str, Any]) -> None:
    """torchvision prints them in 10^9, three decimals. Where it was measured with an older torch and differs, the data says so."""
    published = model.get("published")
    if not published or "gflops" not in published or "gflops_differs" in published:
        pytest.skip("torchvision publishes no figure for this input, or one that the data explains")
    assert report_of(model["files"][0]).macs / 1e9 == pytest.approx(published["gflops"], abs=0.0011)


@pytest.mark.parametrize("convention", ["fvcore", "thop"])
def test_totals_of_other_packages(model: dict[str, Any], convention: str) -> None:
    """Ours, less what the explained operators are here, plus what they are there, is theirs."""
    if convention not in model:
        pytest.skip(f"{convention} does not run this model")
    report, theirs = report_of(model["files"][0]), dict(model[convention])
    rows = [row for row in model.get("explained", ()) if row["convention"] == convention]
    ours = report.total(convention)
    for row in rows:
        assert row["reason"]
        assert row["onnxcost"] == sum(
            group.total(onnxcost.CONVENTIONS[convention]) for group in report.by_operator() if group.key[1] in row["operators"]
        )
        assert row["theirs"] == sum(count for name, count in theirs.items() if name in row["their_operators"])
        ours += row["theirs"] - row["onnxcost"]
    assert ours == theirs["total"]


def test_parameters_are_torchs_or_explained(model: dict[str, Any]) -> None:
    rows = [row for row in model.get("explained", ()) if row["convention"] == "parameters"]
    ours = report_of(model["files"][0]).parameters + sum(row["theirs"] - row["onnxcost"] for row in rows)
    assert ours == model["parameters"]
