"""Of real models as many of each operator run as in the graph that onnxruntime itself writes; what differs is in the table."""

from __future__ import annotations

import tarfile
from functools import cache
from pathlib import Path

import onnx
import pytest

from onnxcost.estimator import estimate_spec
from onnxcost.runtime.prepare import prepare
from onnxcost.spec import ModelSpec
from tests.ort_optimizer.oracle import list_weights, surplus, why_not

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
KNOWN: dict[str, dict[str, int]] = {
    # Shapes of a Transpose that is moved.
    "text_transformer_pytorch": {"Gather": 1, "Range": 1, "Slice": -1},
    # And a sum whose dims are the same only for these sizes is no part of the normalization behind it.
    "bert_base_pytorch": {"Gather": -12, "Add": -1, "LayerNormalization": -1, "SkipLayerNormalization": 1},
    # What is worked out twice alike is worked out once.
    "swin_t_pytorch": {"Add": 2},
    "lstm_text_pytorch": {"Slice": 2},
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


@pytest.mark.parametrize("name", ["densenet121", "mobilenet_v3_small", "resnet50.dynamo", "convnext_tiny"])
def test_the_same_operators_run_if_weights_may_be_overridden(name: str) -> None:
    if reason := why_not():
        pytest.skip(reason)
    spec = ModelSpec(list_weights(onnx.load_from_string(skeletons()[f"{name}.onnx"])))
    with prepare(spec, estimate_spec(spec)) as ready:
        assert surplus(ready.report.graph, ready.path) == {}
