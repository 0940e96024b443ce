"""Skeletons of models with published figures that no archive of the project has, for scripts/evidence/fit.py.

    python -m venv .venv-timm && .venv-timm/bin/pip install timm ultralytics onnx onnxscript
    .venv-timm/bin/python -m scripts.evidence.export_models FOLDER

A model is built from its configuration, with random weights, exported as ONNX, and kept without its weights.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import Any

from scripts.export.skeletons import skeleton

TIMM = (
    "efficientnet_b0", "ese_vovnet19b_dw", "mixnet_s", "mnasnet_a1", "mobilenetv2_050", "mobilenetv2_100", "mobilenetv2_110d",
    "mobilenetv3_large_100", "mobilenetv3_small_050", "repvgg_b0", "resnet18", "vgg13",
)  # fmt: skip
ULTRALYTICS = tuple(f"{family}{size}" for family in ("yolov8", "yolo11", "yolo26") for size in "nsmlx")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    folder = parser.parse_args().folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*TIMM, *ULTRALYTICS):
        if not (target := folder / f"{name}.onnx").exists():
            target.write_bytes(export(name))
            print(target, flush=True)


def export(name: str) -> bytes:
    """The skeleton of the model, its normalizations folded as its own exporter does."""
    import onnx
    import torch

    torch.backends.mha.set_fastpath_enabled(False)
    model, image = build(name)
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "model.onnx"
        torch.onnx.export(model, (image,), str(path), dynamo=False, opset_version=17)
        return bytes(skeleton(onnx.load(path, load_external_data=False)).SerializeToString(deterministic=True))


def build(name: str) -> tuple[Any, Any]:
    """The model in eval mode, and an image for it. RepVGG keeps its branches, as in the benchmark that names it."""
    import torch

    if name in ULTRALYTICS:
        from scripts.export.ultralytics_models import build as build_yolo

        model, (image,) = build_yolo(f"{name}-fused")
        return model, image
    from scripts.unseen.from_timm import input_shape  # makes torchvision importable, which timm imports

    # isort: split
    import timm

    model = timm.create_model(name, exportable=True).eval()
    return model, torch.randn(input_shape(model))


if __name__ == "__main__":
    main()
