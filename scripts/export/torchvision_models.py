"""torchvision's models with random weights."""

from __future__ import annotations

from functools import cache
from typing import Any

WITHOUT_AUXILIARY = ("googlenet", "inception_v3", "quantized_googlenet", "quantized_inception_v3")
"""Their auxiliary classifiers run only in training, so a graph for inference does not have them."""


@cache
def load_torchvision() -> Any:
    """torchvision, whose compiled part is a CUDA build: nms and roi_align, which it then lacks, are defined in Python."""
    import torch

    register_fake = torch.library.register_fake
    torch.library.register_fake = lambda op, *args, **kwargs: (  # type: ignore[assignment]
        (lambda function: function) if str(op).startswith("torchvision::") else register_fake(op, *args, **kwargs)
    )
    import torchvision

    define_box_operators(torch, torchvision)
    return torchvision


def has_operators() -> bool:
    """Tells torchvision that nms and roi_align exist. torch.jit compiles it: it must be a plain function."""
    return True


def define_box_operators(torch: Any, torchvision: Any) -> None:
    """The operators that detectors call between their contractions, none of which has a contraction."""
    import numpy as np

    library = torch.library.Library("torchvision", "FRAGMENT")
    library.define("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    library.define(
        "roi_align(Tensor input, Tensor rois, float spatial_scale, int pooled_height, int pooled_width,"
        " int sampling_ratio, bool aligned) -> Tensor"
    )

    # In numpy, so that a tracer sees one operator and not its parts.
    def nms(boxes: Any, scores: Any, threshold: float) -> Any:
        corners, left, kept = boxes.detach().numpy(), np.argsort(-scores.detach().numpy(), kind="stable"), []
        areas = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
        while left.size:
            best, left = left[0], left[1:]
            kept.append(best)
            sides = np.minimum(corners[best, 2:], corners[left, 2:]) - np.maximum(corners[best, :2], corners[left, :2])
            shared = np.prod(np.maximum(sides, 0), axis=1)
            left = left[shared <= threshold * (areas[best] + areas[left] - shared)]
        return torch.from_numpy(np.array(kept, dtype=np.int64))

    def roi_align(x: Any, rois: Any, _scale: float, height: int, width: int, _ratio: int, _aligned: bool) -> Any:
        return torch.from_numpy(np.zeros((rois.shape[0], x.shape[1], height, width), dtype=np.float32))

    library.impl("nms", nms, "CPU")
    library.impl("roi_align", roi_align, "CPU")
    torchvision.extension._has_ops = torchvision.ops.roi_align.__globals__["_has_ops"] = has_operators
    load_torchvision.library = library  # type: ignore[attr-defined]  # an operator lives as long as its library


def family(name: str) -> str:
    """The part of torchvision.models that a model comes from."""
    from torchvision.models import get_model_builder

    module = get_model_builder(name).__module__.split(".")
    return (
        module[2] if module[2] in ("detection", "optical_flow", "quantization", "segmentation", "video") else "classification"
    )


def published_weights(name: str) -> Any:
    """The weights whose evaluation is the cheapest: those that the model without weights is built for."""
    from torchvision.models import get_model_weights

    return min(get_model_weights(name), key=lambda weights: weights.meta["_ops"])


def input_shapes(name: str) -> list[tuple[int, ...]]:
    """The inputs for which torchvision publishes the model's operations."""
    transforms = published_weights(name).transforms
    options = getattr(transforms, "keywords", {})
    match family(name):
        case "video":
            return [(1, 3, 16, *options["crop_size"])]
        case "optical_flow":
            return [(1, 3, 512, 512)] * 2
        case "segmentation":
            return [(1, 3, options["resize_size"], options["resize_size"])]
        case "detection":
            return [(3, 512, 512)]
    return [(1, 3, options["crop_size"], options["crop_size"])]


def build(name: str) -> tuple[Any, tuple[Any, ...]]:
    """The model in eval mode with random weights, no two alike (exporters merge equal ones), and its inputs."""
    import torch
    from torchvision.models import get_model

    torch.manual_seed(0)
    kind = family(name)
    options: dict[str, Any] = {"aux_logits": False, "init_weights": False} if name in WITHOUT_AUXILIARY else {}
    if kind in ("segmentation", "detection"):
        options["weights_backbone"] = None
    if name.startswith(("fcn", "deeplab")):  # published with the auxiliary head, which evaluation runs
        options["aux_loss"] = True
    model = get_model(name, weights=None, **options).eval()
    inputs: tuple[Any, ...] = tuple(torch.rand(shape) for shape in input_shapes(name))
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_floating_point() and tensor.numel() > 1 and tensor.min() == tensor.max():
            tensor.data.uniform_(0.5, 1.5)
    if kind == "segmentation":
        model.register_forward_hook(lambda _module, _inputs, outputs: tuple(outputs.values()))
    return model, (list(inputs),) if kind == "detection" else inputs


def all_models() -> list[str]:
    """torchvision's models, the ones with the largest weights last.

    Without two-stage detectors: the number of regions in their second stage depends on the data, so they have no count.
    """
    load_torchvision()
    from torchvision.models import list_models

    names = (name for name in list_models() if "rcnn" not in name)
    return sorted(names, key=lambda name: published_weights(name).meta["num_params"])


def describe(name: str) -> dict[str, Any]:
    """The facts about a model that do not need it: its part of torchvision, its inputs, and torchvision's published figures."""
    weights = published_weights(name)
    published = {"gflops": weights.meta["_ops"], "parameters": weights.meta["num_params"], "weights": str(weights)}
    return {"family": family(name), "inputs": input_shapes(name), "published": published}
