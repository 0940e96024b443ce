"""Which sizes are tried for a dim of each role."""

from __future__ import annotations

import pytest

from onnxcost.frontend.role_sizes import ROLES

USUAL = {
    "batch": 1, "channels": 3, "height": 224, "width": 224, "depth": 96, "video frames": 16, "tokens": 128, "frames": 128,
    "past": 128, "samples": 16000, "chunk": 512, "features": 128, "heads": 8, "head size": 64, "page": 256,
    "nodes": 32, "edges": 128,
    "ends": 2, "points": 1024, "keypoints": 1024, "prompts": 2, "bins": 80, "patches": 256, "regions": 100, "classes": 80,
    "signals": 1, "other": 1,
}  # fmt: skip
MULTIPLES = {
    "height": 4, "width": 4, "depth": 8, "video frames": 4, "head size": 16, "chunk": 64, "points": 512, "nodes": 16,
    "edges": 64, "samples": 32,
}  # fmt: skip
KNOWN = {
    "channels": {3}, "features": {3}, "signals": {3, 22}, "heads": {12}, "past": {127}, "prompts": {5},
    "bins": {40, 80, 201, 257, 513}, "classes": {20, 80, 91, 365, 1000}, "regions": {100, 300, 1000},
    "frames": {100, 200, 1000, 3000}, "height": {28}, "width": {28},
}  # fmt: skip
"""Sizes that are no power of two and no multiple of 16: colors and points; electrodes of an EEG; heads of BERT; a cache of 128
but one; points of a box; mel bins, and bins of transforms of 400, 512 and 1024 samples; classes of VOC, COCO, Objects365 and
ImageNet; regions of detectors; frames of 10 ms; digits of MNIST.
"""
POWERS = ("tokens", "features", "heads", "other", "channels")
BETWEEN = {3, 12}
"""Channels and features of a color or a point, heads of a small Transformer."""


@pytest.mark.parametrize("kind", ROLES)
def test_the_sizes_that_are_tried(kind: str) -> None:
    """The usual one first, none twice; those of images and sounds can be halved a few times."""
    sizes = ROLES[kind].sizes
    assert sizes[0] == USUAL[kind]
    assert len(set(sizes)) == len(sizes)
    assert all(size % MULTIPLES.get(kind, 1) == 0 for size in sizes)
    assert min(sizes) >= (0 if kind == "past" else 1)
    assert all(not size & (size - 1) or not size % 16 or size in KNOWN.get(kind, ()) for size in sizes)
    if kind in POWERS:
        assert all(size & (size - 1) == 0 for size in set(sizes) - BETWEEN)
