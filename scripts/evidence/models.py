"""The models of published figures: the graph for each name, and its counts."""

from __future__ import annotations

import csv
import re
import tarfile
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import NamedTuple

import onnxcost
from onnxcost.hardware.evidence import SAME as SAME_MODEL
from onnxcost.hardware.evidence import Counts, count, distance

ROOT = Path(__file__).resolve().parents[2]
ARCHIVES = ("torchvision", "published", "ultralytics")
ALIASES: Mapping[str, str] = {
    "mobilenetv1": "mobilenet_v1_1.0_224_1000", "mobilenet": "mobilenet_v1_1.0_224_1000", "mobilenetv210": "mobilenet_v2",
    "mobilenetv2": "mobilenet_v2", "mobilenetv2100": "mobilenet_v2", "mobilenetv214": "mobilenet_v2_1.4_224_1000",
    "resnetv118": "resnet18", "resnetv134": "resnet34", "resnetv150": "resnet50", "resnet50v15": "resnet50",
    "squeezenetv11": "squeezenet1_1", "squeezenetv10": "squeezenet1_0", "squeezenet": "squeezenet1_1",
    "inceptionv1": "googlenet", "yolov11n": "yolo11n", "yolov11s": "yolo11s", "yolov11m": "yolo11m", "yolov11l": "yolo11l",
    "yolov11x": "yolo11x", "vitbase": "vit_b_16", "vit": "vit_b_16", "swintiny": "swin_t", "swinsmall": "swin_s",
    "resnext50": "resnext50_32x4d", "resnext101": "resnext101_32x8d", "wideresnet50": "wide_resnet50_2",
    "shufflenetv2": "shufflenet_v2_x1_0", "mnasnet": "mnasnet1_0", "mnasnet05": "mnasnet0_5", "regnety400m": "regnet_y_400mf",
    "regnetx800mf": "regnet_x_800mf", "regnetx16gf": "regnet_x_1_6gf", "efficientnetv2b0": "efficientnet_v2b0_224_1000",
    "tfefficientnetv2b0": "efficientnet_v2b0_224_1000", "tinyicresnet8": "resnet_v1_8",
    "tinyvwwmobilenetv1025": "mobilenet_v1_0.25_96_5", "yamnet256": "yamnet_256", "stmnistbyclassv128x28": "st_mnist",
    "mobilenetv2035128": "mobilenet_v2_0.35_128_1000", "mobilenetv2035224": "mobilenet_v2_0.35_224_1000",
    "mobilenetv210224": "mobilenet_v2_1.0_224_1000", "mobilenetv214224": "mobilenet_v2_1.4_224_1000",
    "mobilenetv1025224int8": "mobilenet_v1_0.25_224_1000", "mobilenetv105224int8": "mobilenet_v1_0.5_224_1000",
    "mobilenetv102596int8": "mobilenet_v1_0.25_96_5", "mobilenetv102596grayscaleint8": "mobilenet_v1_0.25_96_grey_5",
    "mobilenetv2035128int8": "mobilenet_v2_0.35_128_5", "mobilenetv2035224int8": "mobilenet_v2_0.35_224_5",
    "resnetv1832int8": "resnet_v1_8", "resnetv13232int8": "resnet_v1_32", "squeezenetv11128int8": "squeezenet_v1.1_128_5",
    "squeezenetv11224int8": "squeezenet_v1.1_224_5", "yamnet25664x96int8": "yamnet_256", "stmnistv1int8": "st_mnist",
    "miniresnet1stacks64x50int8": "miniresnet_1", "miniresnet2stacks64x50int8": "miniresnet_2",
    "miniresnetv21stacks64x50int8": "miniresnet_v2_1", "miniresnetv22stacks64x50int8": "miniresnet_v2_2",
}  # fmt: skip
"""Published names, in lowercase letters and digits, of graphs that have other names here."""
NCNN_WINOGRAD: Mapping[str, float] = {"yolov4-tiny": 0.85, "squeezenet_ssd": 0.8}
"""For graphs that only ncnn's files describe, the share of other convolutions' MACs that 3×3 ones of stride 1 do."""
NCNN_SAME: Mapping[str, str] = {
    "alexnet": "alexnet", "googlenet": "googlenet", "resnet18": "resnet18", "squeezenet": "squeezenet1_1", "vgg16": "vgg16",
    "efficientnetv2_b0": "efficientnet_v2b0_224_1000",
}  # fmt: skip
"""ncnn's models with the same share of 3×3 convolutions of stride 1 as a graph here."""
FAMILIES: Mapping[str, str] = {
    "yolo": "yolo", "fastestdet": "yolo", "nanodet": "shufflenet", "shufflenet": "shufflenet", "mobilenet_v1": "mobilenet_v1",
    "mobilenet_yolo": "mobilenet_v1", "mobilenet_ssd": "mobilenet_v1", "mobilenet_v2": "mobilenet_v2",
    "mobilenetv2": "mobilenet_v2", "mnasnet": "mobilenet_v2", "proxyless": "mobilenet_v2", "mobilenet_v3": "mobilenet_v3",
    "mobilenetv3": "mobilenet_v3", "ssdlite": "mobilenet_v3", "efficientnet": "efficientnet", "mixnet": "efficientnet",
    "wide_resnet": "resnet", "resnext": "resnet", "resnet": "resnet", "densenet": "densenet", "squeezenet": "squeezenet",
    "regnet": "regnet", "vgg": "vgg", "alexnet": "alexnet", "googlenet": "inception", "inception": "inception",
    "vit": "transformer", "vision_transformer": "transformer", "swin": "transformer", "convnext": "convnext",
    "fd_mobilenet": "fd_mobilenet", "st_fd": "fd_mobilenet", "miniresnet": "resnet",
}  # fmt: skip
"""The architecture family by the start of a model's name; a name without an entry is its own family."""


SAME = 0.05
"""Graphs whose MACs differ by less are considered the same model."""


class Model(NamedTuple):
    """A model, its counts for one item, and the longest side of its input; ``is_graph`` if a graph was counted."""

    name: str
    counts: Counts
    side: int = 0
    is_graph: bool = True

    @property
    def family(self) -> str:
        """The architecture family."""
        return next((family for start, family in FAMILIES.items() if self.name.startswith(start)), self.name)


def plain(name: str) -> str:
    """The name in lowercase letters and digits."""
    return re.sub("[^a-z0-9]", "", name.lower())


@cache
def graphs(folder: Path) -> Mapping[str, Model]:
    """By plain name, the models of the project's archives and of the folder that export_models.py wrote."""
    found: dict[str, Model] = {}
    for name, data in _stored(folder):
        report = onnxcost.estimate(data)
        model = Model(name, count(report), max(report.graph.inputs[0].shape))
        same = (each for each in found.values() if each.side == model.side and distance(each.counts, model.counts) < SAME_MODEL)
        found[plain(name)] = next(same, model)
    return found


def _stored(folder: Path) -> Iterator[tuple[str, bytes]]:
    for archive in ARCHIVES:
        with tarfile.open(ROOT / "tests" / "data" / f"{archive}.tar.xz") as stored:
            for member in stored.getmembers():
                name = member.name.removesuffix(".onnx")
                if not any(part in name for part in ("dynamo", "quantized", "raft", "3d", "mvit", "mc3", "2plus1d", "fused")):
                    content = stored.extractfile(member)
                    assert content is not None
                    yield name, content.read()
    for path in sorted(folder.glob("*.onnx")):
        yield path.stem, path.read_bytes()
    yield "resnet50_v1", (ROOT / "models" / "resnet50_keras.onnx").read_bytes()


@cache
def ncnn_models(evidence: Path, folder: Path) -> Mapping[str, Model]:
    """The graphs of ncnn's benchmark as its files describe them, which are not always the canonical ones."""
    known = graphs(folder)
    found = {}
    for row in csv.DictReader((evidence / "features-ncnn.csv").open()):
        numbers = {key: float(value) for key, value in row.items() if key != "model"}
        named = ("depthwise_macs", "grouped_macs", "pointwise_macs", "matmul_macs")
        rest = numbers["macs"] - sum(numbers[key] for key in named)
        share = NCNN_WINOGRAD.get(row["model"], 0.0)
        if row["model"] in NCNN_SAME:
            same = known[plain(NCNN_SAME[row["model"]])].counts
            share = same.winograd / (same.winograd + same.convolution)
        counts = Counts(
            winograd=share * rest, convolution=(1 - share) * rest + numbers["grouped_macs"],
            pointwise=max(numbers["pointwise_macs"], 0.0), depthwise=numbers["depthwise_macs"], matmul=numbers["matmul_macs"],
            weights=numbers["weights"], activations=2 * numbers["activation_elements"], steps=numbers["weighted_layers"],
        )  # fmt: skip
        graph = known["resnet50v1"] if row["model"] == "resnet50" else find(row["model"], row["model"], folder)
        is_same = graph is not None and abs(counts.macs / graph.counts.macs - 1) < SAME
        found[row["model"]] = graph if graph and is_same else Model(f"{row['model']} of ncnn", counts, is_graph=False)
    return found


def find(name: str, canonical: str, folder: Path) -> Model | None:
    """The model of a published name, if a graph is known."""
    known = graphs(folder)
    for each in (name, canonical):
        found = known.get(plain(ALIASES.get(plain(each), each)))
        if found:
            return found
    return None
