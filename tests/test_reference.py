"""Well-known models against PyTorch: its FLOP counter's MACs to the digit, and its parameters.

The figures and the skeletons were made by scripts/published/reference.py; PyTorch is not needed here.
"""

from __future__ import annotations

import csv
import tarfile
from functools import cache
from pathlib import Path

import pytest

import onnxcost

DATA = Path(__file__).parent / "data"
with (DATA / "reference.csv").open(newline="") as file:
    ROWS = list(csv.DictReader(file))

UNUSED_HEAD = "a second head, which training alone uses, is not exported"
UNUSED_NORM = "a normalization of an output that is not exported"
MASKED = "the embedding of masked steps, which training alone uses, is not exported"
BIAS = "zeros, which the exporter stores as the bias of a batch normalization that standardizes weights"
KEYS = "zeros, the bias of keys that the module keeps as a buffer"
MASK = "the mask of the tokens, all ones, which multiplies the embeddings as a scale does"
EXPLAINED: dict[str, tuple[int, str]] = {
    "yolov10s": (-845_056, UNUSED_HEAD),
    "yolov10m": (-1_179_840, UNUSED_HEAD),
    "yolov10x": (-2_259_200, UNUSED_HEAD),
    "yolo26s": (-492_160, UNUSED_HEAD),
    "yolo26m": (-1_452_800, UNUSED_HEAD),
    "yolo26l": (-1_452_800, UNUSED_HEAD),
    "clip-vit-base-patch32, image": (-1_536, UNUSED_NORM),
    "clip-vit-large-patch14, image": (-2_048, UNUSED_NORM),
    "wav2vec2-base": (-768, MASKED),
    "wav2vec2-large-robust": (-1_024, MASKED),
    "hubert-base": (-768, MASKED),
    "wavlm-base": (-768, MASKED),
    "nf_resnet50": (26_560, BIAS),
    "eca_nfnet_l0": (32_816, BIAS),
    "dm_nfnet_f0": (44_900, BIAS),
    "beit_base_patch16_224": (9_216, KEYS),
    "eva02_tiny_patch14_224": (2_304, KEYS),
    "eva02_small_patch14_224": (4_608, KEYS),
    "deberta-v3-base": (128, MASK),
}
"""The parameters that onnxcost counts beyond those of the module, and why."""


@cache
def skeletons() -> dict[str, bytes]:
    with tarfile.open(DATA / "reference.tar.xz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive}  # type: ignore[union-attr]


def test_there_are_models_of_all_packages() -> None:
    assert {row["package"] for row in ROWS} == {"timm", "transformers", "ultralytics"}
    assert len(ROWS) > 150
    assert len({row["name"] for row in ROWS}) == len(ROWS)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row["name"])
def test_macs_and_parameters(row: dict[str, str]) -> None:
    report = onnxcost.estimate(skeletons()[f"{row['name']}.onnx"])
    difference, _ = EXPLAINED.get(row["name"], (0, ""))
    assert report.complete
    assert report.macs == int(row["macs"])
    assert report.parameters == int(row["parameters"]) + difference
