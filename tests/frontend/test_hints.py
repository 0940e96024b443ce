"""What a model's metadata and the documents beside it say of sizes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from onnx import ModelProto

from onnxcost.frontend.hints import read_hints, settings_beside

METADATA = {
    "[320, 416]": (320, 416), "640": (640, 640), "[1, 3, 320, 416]": (320, 416), "8x9": (8, 9), "7": None, "": None,
    "640" + 96 * " ": (640, 640), "640" + 97 * " ": None,
}  # fmt: skip


@pytest.mark.parametrize(("text", "sides"), METADATA.items(), ids=lambda each: str(each)[:20])
def test_metadata(text: str, sides: tuple[int, int] | None) -> None:
    model = ModelProto()
    model.metadata_props.add(key="imgsz", value=text)
    where = "imgsz in the model's metadata"
    expected = {} if sides is None else {"height": (sides[0], where), "width": (sides[1], where)}
    assert read_hints(model, "") == expected


DOCUMENTS = {
    "a number": ({"image_size": 64}, {"height": 64, "width": 64}),
    "a pair": ({"image_size": [48, 96]}, {"height": 48, "width": 96}),
    "channels first": ({"size": [3, 48, 96]}, {"height": 48, "width": 96}),
    "too many": ({"size": [1, 3, 48, 96]}, {}),
    "two sides": ({"crop_size": {"height": 48, "width": 96}}, {"height": 48, "width": 96}),
    "the shortest edge": ({"size": {"shortest_edge": 48}}, {"height": 48, "width": 48}),
    "no size": ({"size": True, "image_size": 6.5, "crop_size": "large"}, {}),
    "too small": ({"image_size": 7}, {}),
    "the largest": ({"image_size": 2**24}, {"height": 2**24, "width": 2**24}),
    "too large": ({"image_size": 2**24 + 1}, {}),
    "one level deeper": ({"vision_config": {"image_size": 64}}, {"height": 64, "width": 64}),
    "the outer one": ({"image_size": 32, "vision_config": {"image_size": 64}}, {"height": 32, "width": 32}),
    "heads": ({"hidden_size": 96, "num_attention_heads": 6}, {"head size": 16, "heads": 6}),
    "heads alone": ({"num_attention_heads": 6}, {}),
    "no heads": ({"hidden_size": 96, "num_attention_heads": 0}, {}),
}  # fmt: skip


@pytest.mark.parametrize(("document", "expected"), DOCUMENTS.values(), ids=DOCUMENTS.keys())
def test_documents(document: dict[str, object], expected: dict[str, int], tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps(document))
    found = read_hints(ModelProto(), str(tmp_path / "model.onnx"))
    assert {kind: size for kind, (size, _) in found.items()} == expected
    assert all(where.endswith(" in config.json") for _, where in found.values())


SETTINGS = {
    "the outer one": ('{"a": {"n": 2}, "n": 1}', {"n": 1}),
    "the first one": ('{"a": {"n": 2}, "b": {"n": 3}}', {"n": 2}),
    "truth": ('{"n": true}', {"n": True}),
    "other types": ('{"a": "1", "b": [1], "c": null, "d": {}}', {}),
    "a list": ('[{"n": 1}]', {}),
    "a text": ('"n"', {}),
    "no number": ('{"n": NaN}', {}),
    "twice": ('{"n": 1, "n": 2}', {}),
    "deep": ('{"a":' * 50_000 + "1" + "}" * 50_000, {}),
    "wide": ("{" + ",".join(f'"k{at}": {{"a{at}": 1}}' for at in range(20_000)) + "}", {f"a{at}": 1 for at in range(20_000)}),
    "no JSON": ("\0", {}),
    "too long": ("1" + " " * 2**20, {}),
}


@pytest.mark.parametrize(("text", "expected"), SETTINGS.values(), ids=SETTINGS)
def test_settings(text: str, expected: dict[str, object], tmp_path: Path) -> None:
    (tmp_path / "genai_config.json").write_text(text)
    (tmp_path / "config.json").symlink_to("config.json")
    found = settings_beside(str(tmp_path / "model.onnx"))
    assert {key: setting.value for key, setting in found.items()} == expected
