"""Of real models as many of each operator run as in the graph that onnxruntime itself writes; what differs is in the table."""

from __future__ import annotations

import tarfile
from functools import cache
from pathlib import Path

import pytest

from onnxcost.estimator import estimate_spec
from onnxcost.runtime.prepare import prepare
from onnxcost.spec import ModelSpec
from tests.ort_optimizer.oracle import surplus, why_not

ROOT = Path(__file__).parent.parent
SLOW = frozenset({"llama_1b_pytorch"})
"""Its weights are 5 GB."""
SKELETONS = (
    *(
        "resnet18",
        "resnet50.dynamo",
        "resnext50_32x4d",
        "regnet_x_400mf",
        "regnet_y_400mf",
        "mobilenet_v2",
        "mobilenet_v3_small",
    ),
    *("mnasnet0_5", "efficientnet_b0", "densenet121", "googlenet", "inception_v3", "squeezenet1_1", "shufflenet_v2_x1_0"),
    *("convnext_tiny", "swin_t", "deeplabv3_mobilenet_v3_large", "lraspp_mobilenet_v3_large"),
)
SUMMED = {"Add": -1, "LayerNormalization": -1, "SkipLayerNormalization": 1}
"""A sum is a part of the normalization behind it only where both have three dims, all the same."""
KNOWN: dict[str, dict[str, int]] = {
    # Slices and Gathers that share out a tensor are one Split, and a Transpose before them is several behind it.
    "shufflenet_v2_x1_0": {"Slice": 26, "Split": -13},
    "vit_b_16_pytorch": {"Gather": 36, "Split": -12, "Transpose": 48},
    "text_transformer_pytorch": {"Gather": 7, "Range": 1, "Slice": -1, "Split": -2},
    "swin_t": {"Gather": 36, "Slice": 40, "Split": -32, "Transpose": -24, **SUMMED},
    # What is worked out twice alike is worked out once, here two sums.
    "swin_t_pytorch": {"Gather": 36, "Slice": 40, "Split": -32, "Transpose": -24, **SUMMED, "Add": 2 + SUMMED["Add"]},
    "lstm_text_pytorch": {"Slice": 2, "Transpose": 1},
    # Transposes that are moved through other operators, and shapes with them.
    "bert_base_pytorch": {"Gather": -12, **SUMMED},
    "convnext_tiny": {"Transpose": 5},
    # Sums of floats stay in the plain layout.
    "resnet18_int8_qdq": {"Reorder": 8, "Transpose": -8},
    # Blocks are enlarged by whole factors alone.
    "deeplabv3_mobilenet_v3_large": {"Resize": -1, "Resize in blocks": 1},
}
"""How many more of an operator run after us."""


@cache
def skeletons() -> dict[str, bytes]:
    with tarfile.open(ROOT / "data" / "torchvision.tar.xz") as archive:
        return {member.name: archive.extractfile(member).read() for member in archive if member.isfile()}  # type: ignore[union-attr]


def models() -> list[str]:
    return [path.stem for path in sorted((ROOT.parent / "models").glob("*.onnx")) if path.stem not in SLOW]


@pytest.mark.parametrize("name", [*models(), *SKELETONS])
def test_the_same_operators_run(name: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    path = ROOT.parent / "models" / f"{name}.onnx"
    spec = ModelSpec(path if path.exists() else skeletons()[f"{name}.onnx"])
    with prepare(spec, estimate_spec(spec)) as ready:
        assert surplus(ready.report.graph, ready.path) == KNOWN.get(name, {})
