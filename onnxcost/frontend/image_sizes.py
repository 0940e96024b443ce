"""The sizes that people choose for a model's images, by what it reads and makes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from onnxcost.frontend.node_index import NodeIndex, sizes_of
from onnxcost.operators import traits

if TYPE_CHECKING:
    from onnx import ValueInfoProto

OUTPUT_WORDS = r"box|score|label|det|anchor|cls|logits_?\d|pred"
"""The parts of an output's name that tell a detector."""
DEPTH_WORDS = r"depth|disparity"
"""The parts of an output's name that tell a distance for each pixel."""
_TALL = 14
"""Rows: no convolution over an image has a window so tall and one column wide."""


@dataclass
class ImageSizes:
    """Of the images among the ``inputs`` of the model of the ``index``. ``hints`` are those of ``read_hints``."""

    index: NodeIndex
    inputs: Sequence[ValueInfoProto]
    hints: Mapping[str, tuple[int, str]]

    def side(self, value: ValueInfoProto, axis: int, is_volume: bool) -> tuple[int, str]:
        """The usual height (``axis`` 0) or width (1) of an input, and why."""
        dims, name, kind = sizes_of(value), value.name.lower(), ("height", "width")[axis]
        if kind in self.hints and (len(dims) == 4 or len(self.inputs) == 1):
            return self.hints[kind]
        if len(dims) == 5:
            return (96, "a volume of 96x96x96") if is_volume else (224, "a clip of 16 images of 224x224")
        if len(dims) == 4 and self.index.channels_of(value) not in (1, 2, 3) and re.search(r"latent|^sample$|^z$", name):
            return 64, "latents of an image of 512x512"
        if len(dims) == 3 and self.index.reader(value.name, {"Gather"}) is not None:
            return 32, "an image of 512x512 in codes of 16x16"
        sides = dims[1:3] if len(dims) == 4 and self.index.is_channels_last(value) else dims[-2:]
        other = sides[1 - axis]
        if other is not None and other > 64:
            return other, "a square image"
        if (other is not None and axis) or (other is None and self._reads_lines):
            outputs = self.index.outputs
            is_class = not other and outputs and all(self.index.rank_of(output) == 2 for output in outputs)
            height, width = other or self._line_height, 192 if is_class else 320
            return width if axis else height, f"a line of text of {height}x{width}"
        if not axis and (window := self._tall_window):
            return window, f"a window of {window}x1"
        return self._image

    @cached_property
    def _reads_lines(self) -> bool:
        """Whether the model halves the height of an image and keeps the width, as models that read lines of text do."""
        strides = (
            node.attribute["strides"].ints[:]
            for node in self.index.nodes
            if node.op_type in traits.CONVOLUTIONS | traits.POOLS and "strides" in node.attribute
        )
        return any(len(pair) == 2 and pair[0] > pair[1] for pair in strides)

    @property
    def _line_height(self) -> int:
        """Of a line of text: those whose columns a recurrent layer reads (CRNN, PP-OCRv2) are scaled to 32 pixels."""
        return 32 if self._operators & traits.RECURRENT else 48

    @cached_property
    def _operators(self) -> frozenset[str]:
        return frozenset(node.op_type for node in self.index.nodes)

    @cached_property
    def _tall_window(self) -> int:
        """The height of a convolution over all of it, as those over the electrodes of an EEG; 0 without one."""
        nodes = (node for node in self.index.nodes if node.op_type == "Conv" and len(node.input) > 1)
        weights = (self.index.stored.get(node.input[1]) for node in nodes)
        tallest = max((weight[2] for weight in weights if weight is not None and weight[3:] == (1,)), default=0)
        return tallest if tallest >= _TALL else 0

    @cached_property
    def _image(self) -> tuple[int, str]:
        """The usual side of the images of a model that makes such outputs."""
        outputs, ops = self.index.outputs, self._operators
        if any(re.search(DEPTH_WORDS, output.name.lower()) for output in outputs) or (
            len(outputs) == 1 and self.index.rank_of(outputs[0]) == 3 and self.index.channels_made(outputs[0].name) == 1
        ):
            return 384, "a depth map of an image of 384x384"
        enlarges = any(node.op_type in ("Resize", "Upsample") and not self.index.is_stored(node) for node in self.index.nodes)
        merges = enlarges and "Concat" in ops
        ranks = {self.index.rank_of(output) for output in outputs}
        if any("latent" in output.name.lower() for output in outputs):
            return 512, "an image of 512x512, of latents of 64x64"
        finds_boxes = any("NMS" in op or op == "NonMaxSuppression" for op in ops)
        finds_boxes |= any(value.name == "scale_factor" for value in self.inputs)  # of PaddleDetection
        finds_boxes = finds_boxes or (
            len(outputs) > 1 and any(re.search(OUTPUT_WORDS, output.name.lower()) for output in outputs)
        )
        if finds_boxes or (merges and (len(outputs) > 1 or ranks <= {3, 5})):
            return 640, "a detector's image of 640x640"
        if len(outputs) == 1 and ranks == {4} and (enlarges or "ConvTranspose" in ops):
            made = self.index.channels_made(outputs[0].name) or (*sizes_of(outputs[0]), None, None)[1]
            if made is not None and made not in {
                self.index.channels_of(value) for value in self.inputs if len(sizes_of(value)) == 4
            }:
                return (640, "a mask of an image of 640x640") if made == 1 else (512, "a map of an image of 512x512")
        return 224, "an image of 224x224"
