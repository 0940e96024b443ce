"""Two models of each family of timm, chosen without looking, and how any PyTorch module is exported here."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from scripts.export.from_pytorch import roughen  # makes torchvision importable, which timm imports

# isort: split
import timm

GMACS = 0.02, 6.0
"""The limits of a model that is timed on one core."""
# fmt: off
FAMILIES = (
    "resnet*", "regnet*", "mobilenetv3*", "efficientnet_*", "mixer*", "vit_*", "deit*", "swin_*", "levit_*", "convnext_*",
    "convmixer*", "repvgg*", "ghostnet*", "hardcorenas*", "dla*", "hrnet*", "*vovnet*", "rexnet*", "*nfnet*", "edgenext*",
    "mobilevit*", "mobileone*", "fastvit*", "efficientformer*", "poolformer*", "c*former*", "pvt_v2*", "tiny_vit*",
    "inception_next*", "*xception*", "inception_v*", "dpn*", "selecsls*", "cs3*", "gcres*", "volo*", "xcit*", "coat_*",
    "crossvit*", "cait*", "tnt*", "twins*", "visformer*", "nest*", "pit*", "focalnet*", "maxvit*", "mambaout*", "starnet*",
    "coatnet*", "res2net*", "resnest*", "skres*", "*seres*", "resmlp*", "gmlp*", "tinynet*", "mixnet*", "lcnet*", "fbnet*",
    "efficientvit_b*", "mobilenetv4*",
)
# fmt: on
"""Patterns of names, the most used families first."""


def digest(name: str) -> int:
    return int(hashlib.sha256(name.encode()).hexdigest(), 16)


def names() -> Iterator[str]:
    """Of each family the first variant, as it is found; a family without a model within GMACS has none."""
    return (f"timm_{name}" for family in FAMILIES for name in islice(variants(family), 1))


def held_out() -> list[str]:
    """Of each family the second variant, unless another family has had it."""
    first = set(names())
    second = (f"timm_{name}" for family in FAMILIES for name in islice(variants(family), 1, 2))
    return list(dict.fromkeys(name for name in second if name not in first))


def variants(family: str) -> Iterator[str]:
    """The family's models within GMACS, the one whose name has the lowest SHA-256 first."""
    return (name for name in sorted(timm.list_models(family), key=digest) if GMACS[0] <= gmacs(name) <= GMACS[1])


@cache
def gmacs(name: str) -> float:
    """torch.utils.flop_counter's FLOPs / 2, of shapes alone; infinite where the model cannot be built without data."""
    from torch.utils.flop_counter import FlopCounterMode

    try:
        with torch.device("meta"), FlopCounterMode(display=False) as counter:
            model = timm.create_model(name).eval().requires_grad_(False)
            model(torch.empty(input_shape(model)))
    except Exception:
        return float("inf")
    return counter.get_total_flops() / 2e9


def input_shape(model: Any) -> tuple[int, ...]:
    return (1, *model.pretrained_cfg["input_size"])


def export(name: str, path: Path) -> None:
    from timm.utils.model import reparameterize_model

    torch.manual_seed(0)
    model = timm.create_model(name.removeprefix("timm_"), exportable=True).eval()
    export_module(reparameterize_model(model), (torch.randn(input_shape(model)),), path)


def export_module(model: Any, inputs: tuple[Any, ...], path: Path, **options: Any) -> None:
    """With the newer exporter or the older one, as a bit of the name's SHA-256 says; with the other where that one cannot."""
    roughen(model)
    newer = bool(digest(path.stem) & 2)
    try:
        to_onnx(model, inputs, path, newer, options)
    except Exception as error:
        print(f"{path.stem}: the {'newer' if newer else 'older'} exporter cannot: {str(error).splitlines()[0][:100]}")
        to_onnx(model, inputs, path, not newer, options)


def to_onnx(model: Any, inputs: tuple[Any, ...], path: Path, newer: bool, options: dict[str, Any]) -> None:
    torch.backends.mha.set_fastpath_enabled(False)
    more = {"external_data": False} if newer else {}
    torch.onnx.export(model, inputs, path, dynamo=newer, **more, **options)
