from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import onnxcost
from onnxcost.comparison.agreement import Agreement
from onnxcost.comparison.api import LabeledSource, LoadedSource, Timing, build_comparison, load_sources
from onnxcost.comparison.candidates import Broken
from onnxcost.errors import InputError
from onnxcost.measurement import Unmeasured
from onnxcost.runtime.interleaved import Ratio
from onnxcost.spec import ModelSpec
from tests.measurements import MEASUREMENT
from tests.modeltext import model

IMAGES = model("(float[batch,3,8,8] image) => (float y) { y = Relu(image) }")
TOKENS = model("(float[n,length] tokens, seq(float[2]) more) => (float y) { y = Relu(tokens) }")


def sources_in(folder: Path) -> list[LabeledSource]:
    """Two models, a saved report of the first, and a file that is none."""
    (folder / "images.onnx").write_bytes(IMAGES.SerializeToString())
    (folder / "tokens.onnx").write_bytes(TOKENS.SerializeToString())
    (folder / "saved.json").write_text(json.dumps(onnxcost.estimate(IMAGES, dims={"batch": 5}).to_dict()))
    (folder / "broken.onnx").write_bytes(b"nothing")
    return [LabeledSource(path.stem, str(path)) for path in sorted(folder.iterdir())]


@pytest.fixture
def sources(tmp_path: Path) -> list[LabeledSource]:
    return sources_in(tmp_path)


def flops(sources: list[LabeledSource], **given: dict[str, Any]) -> dict[str, Any]:
    found = build_comparison(load_sources(sources, ModelSpec.of(None, **given)))
    return {candidate.label: candidate.values["flops"] for candidate in found.candidates}


def test_an_unreadable_model_does_not_stop_the_others(sources: list[LabeledSource]) -> None:
    results = load_sources(sources)
    assert [type(result) for result in results] == [Broken, LoadedSource, LoadedSource, LoadedSource]
    found = build_comparison(results)
    assert [candidate.label for candidate in found.candidates] == ["images", "saved", "tokens"]
    assert found.baseline.label == "images"
    assert [broken.label for broken in found.broken] == ["broken"]
    assert "broken.onnx is not a readable ONNX model" in found.broken[0].reason


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"images": 192, "saved": 960, "tokens": 128}),
        ({"dims": {"batch": 2}}, {"images": 384, "saved": 960, "tokens": 128}),
        ({"dims": {"batch": 2, "length": 7, "more.length": 3}}, {"images": 384, "saved": 960, "tokens": 7}),
        ({"shapes": {"image": (3, 3, 8, 8), "tokens": (2, 5)}}, {"images": 576, "saved": 960, "tokens": 10}),
        ({"shapes": {"": (3, 3, 8, 8)}}, {"images": 576, "saved": 960, "tokens": 128}),
        ({"values": {"tokens": [[1.0, 2.0]]}}, {"images": 192, "saved": 960, "tokens": 2}),
    ],
)
def test_each_model_takes_what_it_has_a_name_for(
    sources: list[LabeledSource], given: dict[str, dict[str, Any]], expected: dict[str, int]
) -> None:
    assert flops(sources, **given) == expected


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"dims": {"batch": 2, "nosuch": 1}}, "--dim nosuch: not found in any model"),
        ({"shapes": {"y": (1,)}}, "--shape y"),
        ({"shapes": {"": (7, 7, 7)}}, "--shape 7x7x7: not found in any model"),
        ({"values": {"z": 1}}, "--value z"),
    ],
)
def test_a_name_that_no_model_has(sources: list[LabeledSource], given: dict[str, dict[str, Any]], says: str) -> None:
    with pytest.raises(InputError, match=says):
        load_sources(sources, ModelSpec.of(None, **given))


def test_what_does_not_fit_a_model_is_its_reason(sources: list[LabeledSource]) -> None:
    found = build_comparison(load_sources(sources, ModelSpec.of(None, shapes={"image": (1, 4, 8, 8)})))
    assert [candidate.label for candidate in found.candidates] == ["saved", "tokens"]
    assert "fixed at 3 in the model" in found.broken[1].reason


def test_a_report_that_was_saved_in_another_convention_is_a_broken_one(sources: list[LabeledSource]) -> None:
    found = build_comparison(load_sources(sources), convention="thop")
    assert [broken.label for broken in found.broken] == ["broken", "saved"]


def test_the_order_changes_nothing_about_the_baseline(sources: list[LabeledSource]) -> None:
    found = build_comparison(load_sources(sources), sort="flops")
    assert [candidate.label for candidate in found.candidates] == ["tokens", "images", "saved"]
    assert found.baseline.label == "images"


def test_timings_are_taken_by_label(sources: list[LabeledSource]) -> None:
    timings = {"tokens": Timing(Unmeasured("failed", "no weights")), "images": Timing(MEASUREMENT, Ratio(0.6, (0.5, 0.7)))}
    found = {candidate.label: candidate for candidate in build_comparison(load_sources(sources), timings=timings).candidates}
    assert [found[label].ratio for label in ("images", "saved", "tokens")] == [Ratio(0.6, (0.5, 0.7)), None, None]
    assert [found[label].unmeasured for label in ("images", "saved", "tokens")] == ["", "", "no weights"]
    assert [found[label].values.get("latency") for label in ("images", "saved", "tokens")] == [0.0195, None, None]


def test_agreements_are_taken_by_label(sources: list[LabeledSource]) -> None:
    found = build_comparison(load_sources(sources), agreements={"tokens": Agreement("images")})
    assert [candidate.agreement for candidate in found.candidates] == [None, None, Agreement("images")]
