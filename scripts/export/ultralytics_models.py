"""Ultralytics' models, built from the descriptions in its package, with random weights."""

from __future__ import annotations

from typing import Any

# fmt: off
MODELS = (
    "yolov3-tiny", "yolov5n", "yolov5n-fused", "yolov6n", "yolov8n", "yolov8n-fused", "yolov8n-seg",
    "yolov8n-obb", "yolov8n-cls", "yolov8n-ghost", "yolov9t", "yolov10n", "yolo11n", "yolo11n-fused", "yolo11n-seg", "yolo12n",
    "yolo26n",
)
# fmt: on
"""The package's names; -fused is its own export without BatchNormalization, with its figure after loading."""


def describe(name: str) -> dict[str, Any]:
    """The facts about a model that do not need it. Classifiers take smaller images."""
    size = 224 if name.endswith("-cls") else 640
    return {"family": "ultralytics", "inputs": [(1, 3, size, size)], "published": {}}


def build(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The model in eval mode, no two weights alike (exporters merge equal ones), and its inputs."""
    import torch
    from ultralytics import YOLO

    torch.manual_seed(0)
    model = YOLO(f"{name.removesuffix('-fused')}.yaml", verbose=False).model.eval()
    if name.endswith("-fused"):
        model.fuse(verbose=False)
    for tensor in (*model.parameters(), *model.buffers()):
        tensor.requires_grad_(False)
        if tensor.is_floating_point() and tensor.numel() > 1 and tensor.min() == tensor.max():
            tensor.data.uniform_(0.5, 1.5)
    return model, tuple(torch.rand(shape) for shape in describe(name)["inputs"])
