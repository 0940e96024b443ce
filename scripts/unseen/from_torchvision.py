"""Models of torchvision as tests/data has them: skeletons of the older exporter, nothing in them folded."""

from __future__ import annotations

import tarfile
from collections.abc import Iterator
from pathlib import Path

import onnxcost
from scripts.unseen.from_timm import GMACS, digest

ARCHIVE = Path(__file__).resolve().parents[2] / "tests" / "data" / "torchvision.tar.xz"
PREFIX, SUFFIX = "torchvision_", "_unfolded"
# fmt: off
LOOKED_INTO = (
    "alexnet", "convnext_tiny", "densenet121", "densenet169", "efficientnet_b0", "efficientnet_b1", "efficientnet_b3",
    "googlenet", "inception_v3", "lraspp_mobilenet_v3_large", "maxvit_t", "mnasnet0_5", "mnasnet0_75", "mnasnet1_3",
    "mobilenet_v2", "mobilenet_v3_large", "mobilenet_v3_small", "regnet_x_1_6gf", "regnet_x_3_2gf", "regnet_x_400mf",
    "regnet_x_8gf", "regnet_y_1_6gf", "regnet_y_400mf", "resnet18", "resnet50", "shufflenet_v2_x0_5", "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5", "shufflenet_v2_x2_0", "squeezenet1_1", "swin_t", "swin_v2_t", "vgg11", "vit_b_32",
)
# fmt: on
"""Models that were inspected while the rules of the prediction were developed."""


def held_out() -> list[str]:
    """Of the float models that were not looked into those of an even SHA-256 and not too large."""
    return [f"{PREFIX}{name}{SUFFIX}" for name, content in archived() if onnxcost.estimate(content).macs < GMACS[1] * 1e9]


def archived() -> Iterator[tuple[str, bytes]]:
    with tarfile.open(ARCHIVE) as archive:
        for member in archive:
            name = member.name.removesuffix(".onnx")
            is_float = not name.startswith("quantized_") and not name.endswith(".dynamo")
            if is_float and name not in LOOKED_INTO and digest(name) % 2 == 0:
                yield name, archive.extractfile(member).read()


def export(name: str, path: Path) -> None:
    path.write_bytes(dict(archived())[name.removeprefix(PREFIX).removesuffix(SUFFIX)])
