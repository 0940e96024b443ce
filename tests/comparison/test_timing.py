"""Models run for a comparison. What runs them is a stand-in."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import onnxcost
from onnxcost.comparison import agreement
from onnxcost.comparison.agreement import Agreement
from onnxcost.comparison.api import (
    LabeledSource,
    Timings,
    build_comparison,
    check_agreement,
    load_sources,
    time_models,
)
from onnxcost.errors import InputError
from onnxcost.measurement import Settings
from onnxcost.report import CostReport
from onnxcost.runtime import interleaved
from onnxcost.runtime.interleaved import InterleavedResults, Ratio
from onnxcost.spec import ModelSpec
from tests.comparison.test_api import sources_in
from tests.measurements import MEASUREMENT


@pytest.fixture
def sources(tmp_path: Path) -> list[LabeledSource]:
    return sources_in(tmp_path)


class Stand:
    """In the place of what times models and of what runs them for their outputs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, groups: tuple[tuple[int, ...], ...] = ((0, 1),)) -> None:
        self.groups = groups
        self.asked: list[tuple[list[str], list[dict[str, Any]], Settings]] = []
        monkeypatch.setattr(interleaved, "measure_interleaved", self.alternated)
        monkeypatch.setattr(agreement, "check_outputs", self.agreements)

    def _note(self, specs: Sequence[ModelSpec], settings: Settings, reports: Sequence[CostReport]) -> None:
        assert [report.graph.path for report in reports] == [spec.source for spec in specs]
        names = [Path(str(spec.source)).stem for spec in specs]
        self.asked.append((names, [dict(spec.inputs) for spec in specs], settings))

    def alternated(
        self, specs: Sequence[ModelSpec], settings: Settings, *, reports: Sequence[CostReport], on_progress: object
    ) -> InterleavedResults:
        self._note(specs, settings, reports)
        ratios = (None, *(Ratio(1.5, (1.4, 1.6)) for _ in specs[1:]))
        return InterleavedResults(tuple(MEASUREMENT for _ in specs), ratios, self.groups)

    def agreements(
        self, specs: Sequence[ModelSpec], settings: Settings, *, reports: Sequence[CostReport], on_progress: object
    ) -> list[Agreement]:
        self._note(specs, settings, reports)
        return [Agreement(reason="too bad") for _ in specs[1:]]


def test_models_are_timed_interleaved_and_saved_reports_are_not(
    sources: list[LabeledSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = Stand(monkeypatch)
    found = time_models(load_sources(sources), Settings(runs=5))
    assert stand.asked == [(["images", "tokens"], [{}, {}], Settings(runs=5))]
    assert {label: timing.ratio for label, timing in found.by_label.items()} == {
        "images": None,
        "tokens": Ratio(1.5, (1.4, 1.6)),
    }
    assert found.notes == ()


def test_a_ratio_to_another_than_the_baseline_is_none(sources: list[LabeledSource], monkeypatch: pytest.MonkeyPatch) -> None:
    Stand(monkeypatch)
    saved_first = sorted(sources, key=lambda source: source.label != "saved")
    found = time_models(load_sources(saved_first), Settings())
    assert {label: timing.ratio for label, timing in found.by_label.items()} == {"images": None, "tokens": None}


def test_only_saved_reports_are_not_timed(sources: list[LabeledSource], monkeypatch: pytest.MonkeyPatch) -> None:
    assert (time_models(load_sources(sources[2:3]), Settings()), check_agreement(load_sources(sources[2:]), Settings())) == (
        Timings(),
        {},
    )


@pytest.mark.parametrize(
    ("groups", "notes"),
    [
        (((0, 1),), ()),
        (((0, 2), (0, 1)), ("timed in 2 groups, each interleaved with images: there are too many models for a single group",)),
        (((0,), (1,)), ("tokens: timed alone, because memory cannot hold it and images at the same time",)),
    ],
)
def test_notes_say_which_models_were_not_timed_with_all_others(
    sources: list[LabeledSource], monkeypatch: pytest.MonkeyPatch, groups: tuple[tuple[int, ...], ...], notes: tuple[str, ...]
) -> None:
    Stand(monkeypatch, groups)
    assert time_models(load_sources(sources), Settings()).notes == notes


def test_outputs_are_compared_with_the_first_model_that_can_be_run(
    sources: list[LabeledSource], monkeypatch: pytest.MonkeyPatch
) -> None:
    stand = Stand(monkeypatch)
    assert check_agreement(load_sources(sources), Settings(seed=3)) == {"tokens": Agreement("images", reason="too bad")}
    assert stand.asked == [(["images", "tokens"], [{}, {}], Settings(seed=3))]


def test_input_files_are_for_the_models_that_have_the_input(
    sources: list[LabeledSource], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand, file = Stand(monkeypatch), str(tmp_path / "t.npy")
    np.save(file, np.zeros((2, 9), np.float32))
    results = load_sources(sources, ModelSpec.of(None, inputs={"tokens": (file,)}))
    time_models(results, Settings())
    assert stand.asked[0][1] == [{}, {"tokens": (file,)}]
    assert build_comparison(results).candidates[2].values["flops"] == 18
    with pytest.raises(InputError, match="--input nosuch: not found in any model"):
        load_sources(sources, ModelSpec.of(None, inputs={"nosuch": (file,)}))


def test_compare_runs_and_ranks(sources: list[LabeledSource], monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)
    paths = [Path(source.path) for source in sources]
    found = onnxcost.compare(paths, dims={"batch": 2}, sort="flops", pareto=["latency"], check_outputs=True, threads=1)
    assert isinstance(found, onnxcost.Comparison)
    assert [(each.label, each.values["flops"], each.values.get("latency")) for each in found.candidates] == [
        ("tokens", 128, 1.5 * 0.0195),
        ("images", 384, 0.0195),
        ("saved", 960, None),
    ]
    assert [each.agreement is not None for each in found.candidates] == [True, False, False]
    assert [each.label for each in found.broken] == ["broken"]
    assert [settings for _, _, settings in stand.asked] == [Settings(threads=1)] * 2


def test_compare_only_counts_without_run(sources: list[LabeledSource], monkeypatch: pytest.MonkeyPatch) -> None:
    stand = Stand(monkeypatch)
    assert "latency" not in onnxcost.compare([source.path for source in sources[1:]], run=False).metrics
    assert stand.asked == []


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"models": []}, "compare needs at least two models"),
        ({"models": ["a.onnx"]}, "for a single model, run 'onnxcost a.onnx'"),
        ({"models": ["a.json", "b.onnx"], "check_outputs": True}, "saved reports have no outputs"),
        ({"models": ["a.onnx", "b.onnx"], "convention": "flips"}, "flips"),
        ({"models": ["a.onnx", "b.onnx"], "sort": "flips"}, "flips"),
        ({"models": ["a.onnx", "b.onnx"], "pareto": ["nodes"]}, "pareto: more 'nodes' is neither better nor worse"),
        ({"models": ["a.onnx", "b.onnx"], "rums": 5}, "there is no setting 'rums'"),
    ],
)
def test_compare_refuses_bad_arguments(arguments: dict[str, Any], says: str) -> None:
    with pytest.raises(InputError, match=says):
        onnxcost.compare(**arguments)


def test_nothing_to_compare(sources: list[LabeledSource]) -> None:
    with pytest.raises(InputError, match=r"no model could be read; .*broken.onnx is not a readable ONNX model"):
        build_comparison(load_sources(sources[:1]))
    with pytest.raises(InputError, match="no model has a known 'latency'"):
        build_comparison(load_sources(sources), pareto=("flops", "latency"))
