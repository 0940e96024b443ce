"""The sizes that people choose for a dim of each role, and the roles that the names of dims tell."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

DIM_WORDS = (
    "batch|past|total|max|seq(?:uence)?|len(?:gth)?|time|token|frame|height|width|channel|rows?|cols?|cache|kv|samples|audio"
    "|waveform|node|edge|head|dim|size|depth|phoneme|chars|words|encoder|decoder|sliding|window"
)
"""The parts of a dim's name that tell its role: a model without the other parts gets the same assumptions."""


class DimRole(NamedTuple):
    """What a dim stands for. ``sizes`` are sensible ones, the usual one first; ``reason`` says why, or is empty."""

    kind: str
    sizes: tuple[int, ...]
    reason: str


_SIDES = (224, 256, 192, 320, 160, 384, 128, 448, 512, 96, 640, 64, 800, 48, 1024, 32, 28, 16, 8)
_LENGTHS = (128, 64, 256, 32, 512, 16, 1024, 8, 4, 2, 1)
ROLES: Mapping[str, DimRole] = {
    "batch": DimRole("batch", (1,), ""),
    "channels": DimRole("channels", (3, 1, 4, 2), "a color image"),
    "height": DimRole("height", _SIDES, "an image"),
    "width": DimRole("width", _SIDES, "an image"),
    "depth": DimRole("depth", (96, 64, 32, 16, 8), "a volume"),
    "video frames": DimRole("video frames", (16, 8, 32, 4), "a clip"),
    "tokens": DimRole("tokens", _LENGTHS, "a sequence of 128"),
    "frames": DimRole("frames", (*_LENGTHS[:5], 100, 200, 1000, 3000, *_LENGTHS[5:]), "a sequence of 128"),
    "past": DimRole("past", (128, 127, 1, 0), "128 tokens in the cache"),
    "samples": DimRole(
        "samples", (16000, 512, 32000, 8000, 1024, 48000, 1536, 4096, 80000, 160000, 480000), "1 s of audio at 16 kHz"
    ),
    "chunk": DimRole("samples", (512, 576, 1536, 1024, 256, 4096, 16000), "a chunk of 32 ms at 16 kHz"),
    "features": DimRole("features", (128, 64, 256, 32, 16, 8, 4, 3, 2, 1, 512), "no further information"),
    "bins": DimRole("features", (80, 64, 128, 40, 257, 201, 513), "80 mel bins"),
    "heads": DimRole("heads", (8, 12, 16, 4, 32, 2, 1), "heads of attention"),
    "head size": DimRole("head size", (64, 128, 32, 80, 96, 256), "the size of a head"),
    "page": DimRole("page", (256, 128, 64, 32, 16), "a page of 256 tokens"),
    "nodes": DimRole("nodes", (32, 16, 64), "a graph of 32 nodes"),
    "edges": DimRole("edges", (128, 64, 256), "4 edges per node"),
    "ends": DimRole("ends", (2,), "the two ends of each edge"),
    "points": DimRole("points", (1024, 512, 2048, 4096), "a point cloud"),
    "keypoints": DimRole("points", (1024, 512, 2048, 256), "1024 keypoints of an image"),
    "patches": DimRole("patches", (256, 1024, 64, 576), "256 patches of an image"),
    "regions": DimRole("other", (100, 300, 1000, 32), "100 regions of an image"),
    "classes": DimRole("other", (80, 91, 365, 20, 1000), "80 classes"),
    "signals": DimRole("channels", (1, 2, 3, 8, 22, 32, 64), "one channel"),
    "prompts": DimRole("prompts", (2, 1, 5), "a point and one of padding"),
    "other": DimRole("other", (1, 2, 4, 8, 16, 32, 64, 128), "no further information"),
}

# What a dim's name says of its role, first match wins.
_BY_SYMBOL: Sequence[tuple[str, str]] = (
    (r"batch|^bs?z?$|graphs?(_|$)", "batch"),
    (r"channel|^ch?$", "channels"),
    (r"height|^h$|^rows?(_|$)", "height"),
    (r"width|^w$|^cols?(_|$)", "width"),
    (r"(cache|kv)_dim$", "head size"),
    (r"past|cache|kv_?(len|seq)", "past"),
    (r"samples|audio|waveform", "samples"),
    (r"(nodes?|atoms?)(_|$)", "nodes"),
    (r"edges?(_|$)", "edges"),
    (r"voxels|pillars", "points"),
    (r"(rois|proposals|boxes)(_|$)", "regions"),
    (r"classes", "classes"),
    (r"patches", "patches"),
    (r"key_?points|kpts", "keypoints"),
    (r"mel_?bins|n_?mels?$|freq|bins$", "bins"),
    (r"head.?(dim|size)", "head size"),
    (r"heads", "heads"),
    (r"depth", "depth"),
    (r"frames?(_|$)", "frames"),
    (r"seq|len|time|token|phoneme|chars|words|residues|(^|_)res$|^[slt]$", "tokens"),
)


def kind_of_symbol(symbol: str) -> str:
    """The kind of role that a dim's name tells; "" if it tells none."""
    return next((kind for pattern, kind in _BY_SYMBOL if re.search(pattern, symbol.lower())), "")
