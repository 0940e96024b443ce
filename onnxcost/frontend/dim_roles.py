"""What an open dim stands for (a batch, the side of an image, a length, …), and the sizes that people choose for it.

A role follows from the dim's name, its input's name, type and other dims, and from the nodes that read the input.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.frontend.hints import read_hints
from onnxcost.frontend.long_lists import holds_list, numbers_in
from onnxcost.frontend.normalize import nodes_in
from onnxcost.operators import traits
from onnxcost.operators.traits import CACHE_INPUTS

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, ValueInfoProto


class DimRole(NamedTuple):
    """What a dim stands for. ``sizes`` are sensible ones, the usual one first; ``reason`` says why, or is empty."""

    kind: str
    sizes: tuple[int, ...]
    reason: str


_TEXT = "a text of 128 tokens"
_SIDES = (224, 256, 192, 320, 160, 384, 128, 448, 512, 96, 640, 64, 800, 48, 1024, 32, 28, 16, 8)
_LENGTHS = (128, 64, 256, 32, 512, 16, 1024, 8, 4, 2, 1)
_ROLES: Mapping[str, DimRole] = {
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
    "heads": DimRole("heads", (8, 12, 16, 4, 32, 2, 1), "heads of attention"),
    "head size": DimRole("head size", (64, 128, 32, 80, 96, 256), "the size of a head"),
    "nodes": DimRole("nodes", (32, 16, 64), "a graph of 32 nodes"),
    "edges": DimRole("edges", (128, 64, 256), "4 edges per node"),
    "ends": DimRole("ends", (2,), "the two ends of each edge"),
    "points": DimRole("points", (1024, 512, 2048, 4096), "a point cloud"),
    "prompts": DimRole("prompts", (2, 1, 5), "a point and one of padding"),
    "other": DimRole("other", (1, 2, 4, 8, 16, 32, 64, 128), "no further information"),
}

# What a dim's name says of its role, first match wins.
_BY_SYMBOL: Sequence[tuple[str, str]] = (
    (r"batch|^bs?z?$|graphs(_|$)", "batch"),
    (r"channel|^ch?$", "channels"),
    (r"height|^h$|^rows?(_|$)", "height"),
    (r"width|^w$|^cols?(_|$)", "width"),
    (r"(cache|kv)_dim$", "head size"),
    (r"past|cache|kv_?(len|seq)", "past"),
    (r"samples|audio|waveform", "samples"),
    (r"nodes?(_|$)", "nodes"),
    (r"edges?(_|$)", "edges"),
    (r"head.?(dim|size)", "head size"),
    (r"heads", "heads"),
    (r"depth", "depth"),
    (r"frames?(_|$)", "frames"),
    (r"seq|len|time|token|phoneme|chars|words|^[slt]$", "tokens"),
)
_NUMBERED = r"[_.\W]*(dynamic_axes|dim|axis)?_?\d*"
"""What PyTorch's exporter puts behind an input's name to call a dim that has none."""
_CHANNEL_COUNTS = (1, 3, 4)
_TALL = 14
"""Rows: no convolution over an image has a window so tall and one column wide."""
_STATE = r"^[hc](_?(\d+|n|in))?$|state|hidden|cell"
"""The name of an input that carries a recurrent state, (layers, batch, hidden): it has no dim of time."""
_CACHE = r"past(?!_(values|time|observed)|_features)|cache|present"
"""The name of an input with keys and values; a forecast's ``past_values`` are a series."""
_AUDIO = r"wave|audio|sample|speech|^wav|pcm|sound|signal|input_values"
_NOT_AUDIO = r"mel|feat|spec|len|mask|rate"
OUTPUT_WORDS = r"box|score|label|det|anchor|cls|logits_?\d|pred"
_POINTS = r"(^|_)(pts|points?)(_?cloud)?$|lidar|pcd|(^|_)xyz$"

DIM_WORDS = (
    "batch|past|total|max|seq(?:uence)?|len(?:gth)?|time|token|frame|height|width|channel|rows?|cols?|cache|kv|samples|audio"
    "|waveform|node|edge|head|dim|size|depth|phoneme|chars|words|encoder|decoder|sliding|window"
)
INPUT_WORDS = (
    "encoder|decoder|past|cache|present|wave|audio|samples?|speech|wav|pcm|sound|signal|input_values|mel|feat|spec|rate"
    "|edge|node|latent|points?|pts|lidar|pcd|cloud|xyz"
)
"""The parts of a name that tell a role: a model without the other parts gets the same assumptions."""

_INTEGERS, _FLOATS, _STRING = (2, 3, 4, 5, 6, 7), (1, 10, 11, 16), 8
"""TensorProto's numbers of these element types."""

_SIDES_OF = frozenset({"height", "width", "channels", "depth", "video frames"})
_KEEPS_ROLE = (traits.VIEWS | traits.CASTS | traits.AFFINE | traits.REARRANGEMENTS | {"Div", "Concat"}) - {"Transpose"}
"""Operators that only scale, cut or rearrange an input: its use is looked up behind them."""
_SAME_DIMS = traits.QUANTIZERS | traits.DEQUANTIZERS | traits.CASTS | traits.IDENTITIES
_SAME_RANK = traits.POINTWISE | traits.IDENTITIES | traits.SOFTMAXES | {"Resize", "Upsample"}
_WEIGHTED = traits.FLOAT_PRODUCTS | {"Conv", "Gather"}
_RANKS: Mapping[str, int] = {**dict.fromkeys(traits.FLOAT_PRODUCTS | {"Gather"}, 2), **dict.fromkeys(traits.RECURRENT, 3)}
"""The rank of inputs that are looked up, multiplied by a matrix or followed in time."""
_FOLLOWED = 24
"""The most nodes that are visited to find the use of an input."""


def sizes_of(value: ValueInfoProto) -> list[int | None]:
    """The dims of an input, None for an open one."""
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]


class Reader(NamedTuple):
    """The first node that uses an input, and the dims of its weight."""

    op_type: str
    weight: tuple[int, ...] | None
    node: NodeProto


_FEATURES: Mapping[str, tuple[str, str]] = {
    "Scaler": ("scale", ""),
    "Imputer": ("imputed_value_floats", ""),
    "LinearRegressor": ("coefficients", "targets"),
    "LinearClassifier": ("coefficients", "intercepts"),
    "SVMRegressor": ("support_vectors", "n_supports"),
    "SVMClassifier": ("support_vectors", "vectors_per_class"),
    **dict.fromkeys(("TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble"), ("nodes_featureids", "")),
}
"""Of operators of ai.onnx.ml: the attribute with numbers for each feature, and the one that says for how many rows of them."""


def _count_features(reader: Reader) -> int:
    """How many features such a node reads; 0 where its attributes do not tell."""
    attributes = {attribute.name: attribute for attribute in reader.node.attribute}
    name, divisor = _FEATURES[reader.op_type]
    listed = attributes.get(name)
    if listed is None:
        return 0
    numbers = numbers_in(listed) if holds_list(listed) else listed.ints or listed.floats
    if name == "nodes_featureids":
        return int(max(numbers, default=-1)) + 1
    rows = attributes.get(divisor)
    count = 1 if rows is None else rows.i or sum(rows.ints) or len(rows.floats)
    found = len(numbers) // max(count, 1)
    return found if found > 1 or divisor else 0


@dataclass
class ModelRoles:
    """The roles of a model's open dims. The graph is looked at when a name does not tell; ``path`` is the model's, or ""."""

    model: ModelProto | None
    inputs: Sequence[ValueInfoProto]
    path: str = ""

    def role(self, value: ValueInfoProto, axis: int, symbol: str = "") -> DimRole:
        """The role of an input's dim. ``symbol`` is its name, "" without one."""
        kind = self._kind(value, axis, symbol)
        if kind in ("height", "width"):
            return self._side(value, kind)
        if kind == "features" and (reader := self._reader(value.name, _FEATURES.keys())) and (count := _count_features(reader)):
            return DimRole(kind, (count, *_ROLES[kind].sizes), f"the features of {reader.op_type}")
        if kind in ("tokens", "frames", "past") and (hint := self._stated_length(value)) is not None:
            return DimRole(kind, (hint[0], *_ROLES[kind].sizes), hint[1])
        is_text = kind == "tokens" and value.type.tensor_type.elem_type in (*_INTEGERS, _STRING)
        return self._with_hint(_ROLES[kind]._replace(reason=_TEXT) if is_text else _ROLES[kind])

    def _stated_length(self, value: ValueInfoProto) -> tuple[int, str] | None:
        """The length of what an encoder makes, or of a series whose future is asked for, where a document states it."""
        name, rank = value.name.lower(), len(sizes_of(value))
        if "encoder" in name and rank > 2:
            return self.hints.get("source")
        return self.hints.get("context") if re.match("past_(values|time|observed)", name) else None

    def rank(self, value: ValueInfoProto) -> int | None:
        """The rank that the first reader of an input requires; None where it accepts any."""
        reader = self._reader(value.name, {*_RANKS, "Conv", "ConvTranspose"})
        weight = reader.weight if reader is not None else None
        if reader is not None and reader.op_type in _RANKS:
            return _RANKS[reader.op_type]
        return len(weight) if weight is not None else None

    def role_of_symbol(self, symbol: str) -> DimRole:
        """The role of a dim that is only in an expression, by its name."""
        found = next((kind for pattern, kind in _BY_SYMBOL if re.search(pattern, symbol.lower())), "tokens")
        return self._with_hint(_ROLES[found])

    def _with_hint(self, role: DimRole) -> DimRole:
        if role.kind not in self.hints:
            return role
        size, where = self.hints[role.kind]
        if role.kind == "tokens":  # the most that it can be
            return role if size >= role.sizes[0] else DimRole(role.kind, (size, *role.sizes), where)
        return DimRole(role.kind, (size, *role.sizes), where)

    @cached_property
    def hints(self) -> Mapping[str, tuple[int, str]]:
        """The sizes that the model's metadata and the files beside it state, each with its source."""
        return read_hints(self.model, self.path) if self.model is not None else {}

    def _kind(self, value: ValueInfoProto, axis: int, symbol: str) -> str:
        """The kind of a dim: by a name of several letters, by its input, by a name of one letter, by its place."""
        dims, name = sizes_of(value), value.name.lower()
        if re.fullmatch(re.escape(value.name) + _NUMBERED, symbol):
            symbol = ""
        found = next((kind for pattern, kind in _BY_SYMBOL if re.search(pattern, symbol.lower())), "")
        if found in ("height", "width") and len(dims) < 2:
            found = ""
        is_cache = re.search(_CACHE, name) or self._is_continued(value)
        if is_cache and len(dims) > 2 and value.type.tensor_type.elem_type in (*_FLOATS, 2, 3):
            of_encoder = "encoder" in name or "encoder" in symbol.lower()
            return self._cache_kind(value, axis, found if len(symbol) > 1 or (found, axis) == ("batch", 0) else "", of_encoder)
        if found == "batch" and (len(symbol) > 1 or (axis == 0 and not self._is_of_graph(value))):
            return "batch"
        if axis == 0 and symbol.lower() == "n" and not self._is_of_graph(value) and not self._are_vectors:
            return "batch"
        if found in ("tokens", "") and axis and axis == len(dims) - 1 and self._masks_audio(value):
            return "samples"
        if found in ("tokens", "") and self._is_audio(value):
            is_last = axis == len(dims) - 1
            return ("chunk" if self._is_streamed else "samples") if is_last else "batch" if axis == 0 else "other"
        if found in ("frames", "tokens") and len(dims) == 5:
            return "video frames"
        if "point" in name and re.search("coord|label", name) and axis:
            return "prompts"
        if found and len(symbol) > 1:
            return found
        by_place = self._kind_by_place(value, axis)
        # A letter may mean anything: it counts where neither it nor its place speaks of an image, or of features.
        is_open = found in _SIDES_OF or by_place in _SIDES_OF or (found == "batch" and len(dims) == 2)
        return by_place if is_open or not found else found

    def _is_continued(self, value: ValueInfoProto) -> bool:
        """Whether an output is the input with more behind it, or an operator takes it for cached keys or values."""
        made, names, seen = {output.name for output in self._outputs}, [value.name], 0
        while names and seen < _FOLLOWED:
            for node, position in self._consumers.get(names.pop(), ()):
                seen += 1
                if position in CACHE_INPUTS.get(f"{node.domain}.{node.op_type}".lstrip("."), {}).values():
                    return True
                if node.op_type in ("Concat", "Identity"):
                    names += node.output
                    if node.output[0] in made:
                        return True
        return False

    def _cache_kind(self, value: ValueInfoProto, axis: int, found: str, of_encoder: bool) -> str:
        """A dim of keys, values or states that one step passes to the next: not the side of an image."""
        dims = sizes_of(value)
        if found in ("heads", "head size", "batch"):
            return found
        if found:
            return "tokens" if of_encoder else "past" if found in ("past", "tokens", "frames") else "other"
        rest = [index for index in range(max(1, len(dims) - 3), len(dims)) if dims[index] is None]
        if axis not in rest:
            return "batch" if axis == len(dims) - 4 or axis == 0 else "other"
        letters = [dim.dim_param.lower() for dim in value.type.tensor_type.shape.dim]
        length = len(dims) - 2 if len(rest) > 1 else rest[0]
        length = next((index for index in rest if letters[index] in ("s", "l", "t", "p")), length)
        if axis == length:
            return "tokens" if of_encoder else "past"
        return "heads" if axis < length else "head size"

    def _kind_by_place(self, value: ValueInfoProto, axis: int) -> str:
        """The usual kind of a dim whose name tells nothing."""
        dims, name = sizes_of(value), value.name.lower()
        rank, is_integer = len(dims), value.type.tensor_type.elem_type in (6, 7)
        if self._is_of_graph(value):
            if "edge" in name and axis == 0 and (dims[1:] or [0])[0] is None:
                return "ends"
            return "edges" if "edge" in name else "nodes" if axis == 0 else "other"
        if rank == 2 and axis == 0 and dims[1] in range(2, 10) and re.search(_POINTS, name):
            return "points"
        if rank == 3 and re.search(_POINTS, name) and axis == 1 + (self._channels_of(value) in range(2, 10)):
            return "points"
        if rank == 3 and self._reader(value.name, traits.RECURRENT, places=(5, 6)) is not None:
            return ("other", "batch", "features")[axis]  # of each layer and direction
        if rank == 3 and (reader := self._reader(value.name, traits.RECURRENT)) is not None:
            is_batch_first = any(attribute.name == "layout" and attribute.i for attribute in reader.node.attribute)
            return ("batch", "frames", "features")[axis] if is_batch_first else ("frames", "batch", "features")[axis]
        if rank == 1 and self._are_vectors:
            return "tokens"
        if rank == 1 and not is_integer:
            return "other"
        if axis == 0 and not (rank == 3 and dims[0] in _CHANNEL_COUNTS):
            is_image = rank == 3 and dims[2] in _CHANNEL_COUNTS[1:] and self._reads_image(value)
            return "height" if is_image else "batch"
        if rank == 5:
            return self._kind_in_clip([dims[0], self._channels_of(value), *dims[2:]], axis)
        if rank == 4:
            return (
                ("channels", "height", "width")[axis - 1]
                if not self.is_channels_last(value)
                else ("height", "width", "channels")[axis - 1]
            )
        if rank == 3 and (dims[0] in _CHANNEL_COUNTS[1:] or (dims[2] in _CHANNEL_COUNTS[1:] and self._reads_image(value))):
            return "height" if axis == (1 if dims[0] in _CHANNEL_COUNTS[1:] else 0) else "width"
        is_state = rank == 3 and (dims[0] not in (None, 1) or re.search(_STATE, name))
        if is_state and axis == 1:
            return "batch"
        if rank == 3 and not is_state and dims[3 - axis] is not None:
            return "tokens" if axis == 1 else "frames"
        reads_tokens = is_integer or value.type.tensor_type.elem_type == _STRING or self._reader(value.name, {"Gather"})
        if rank == 2 and axis == 1:
            return "tokens" if reads_tokens else "features"
        return "other" if rank != 3 or is_state else "frames" if axis == 1 else "features"

    def _kind_in_clip(self, dims: Sequence[int | None], axis: int) -> str:
        """For (batch, channels, depth, height, width), or a video in another order."""
        if dims[1] is None and dims[2] in _CHANNEL_COUNTS:  # (batch, frames, channels, height, width)
            return ("video frames", "channels", "height", "width")[axis - 1]
        if dims[4] in _CHANNEL_COUNTS:
            return ("video frames", "height", "width", "channels")[axis - 1]
        return ("channels", "video frames" if dims[1] == 3 else "depth", "height", "width")[axis - 1]

    def _is_of_graph(self, value: ValueInfoProto) -> bool:
        """Whether the input belongs to a graph of nodes and edges."""
        return self._has_edges and len(sizes_of(value)) <= 2

    @cached_property
    def _has_edges(self) -> bool:
        return any(
            "edge" in value.name.lower()
            and sizes_of(value)[:1] in ([2], [None])
            and value.type.tensor_type.elem_type in _INTEGERS
            for value in self.inputs
        )

    def _is_audio(self, value: ValueInfoProto) -> bool:
        """Whether the input has the samples of a sound along its last axis."""
        dims, name = sizes_of(value), value.name.lower()
        element_type = value.type.tensor_type.elem_type
        if not 1 <= len(dims) <= 3 or element_type not in (*_FLOATS, 5):
            return False
        if len(dims) == 3 and self._channels_of(value) not in (1, 2, None):
            return False
        if dims[-1] is not None or re.search(_STATE, name) or (re.search(_NOT_AUDIO, name)):
            return False
        if re.search(_AUDIO, name) or (self._has_rate and len(dims) < 3):
            return True
        reader = self._reader(value.name, _WEIGHTED | {"STFT"})
        if reader is None:
            return False
        groups = next((attribute.i for attribute in reader.node.attribute if attribute.name == "group"), 1)
        reads_samples = reader.weight is not None and len(reader.weight) == 3 and reader.weight[1] in (1, 2) and groups == 1
        return reader.op_type == "STFT" or (reader.op_type == "Conv" and reads_samples)

    def _masks_audio(self, value: ValueInfoProto) -> bool:
        """Whether it says which samples of another input count."""
        audio = [other for other in self.inputs if other is not value and self._is_audio(other)] if "mask" in value.name else []
        return any(len(sizes_of(other)) == len(sizes_of(value)) for other in audio)

    @cached_property
    def _are_vectors(self) -> bool:
        """Whether no input has more than one dim: then each is a sequence, and no batch of single values."""
        return all(len(sizes_of(value)) <= 1 for value in self.inputs)

    @cached_property
    def _is_streamed(self) -> bool:
        """Whether a state goes from one run to the next: each takes a chunk of the sound."""
        return any(len(sizes_of(value)) > 1 and re.search(f"{_STATE}|{_CACHE}", value.name.lower()) for value in self.inputs)

    @cached_property
    def follows_first_step(self) -> bool:
        """Whether the keys of an encoder come from an earlier step, and the encoder's output does not come in."""
        names = [value.name.lower() for value in self.inputs]
        has_keys = any("encoder" in name and re.search(_CACHE, name) for name in names)
        return has_keys and not any("encoder" in name and not re.search(f"{_CACHE}|mask", name) for name in names)

    @cached_property
    def _has_rate(self) -> bool:
        return any(re.fullmatch(r"sr|sampl\w*_rate", value.name.lower()) for value in self.inputs)

    def _reads_image(self, value: ValueInfoProto) -> bool:
        """Whether the first convolution behind the input is one over height and width."""
        reader = self._reader(value.name, _WEIGHTED | traits.RECURRENT | {"Resize"}, moves=True)
        return reader is not None and (reader.op_type == "Resize" or (reader.weight is not None and len(reader.weight) == 4))

    def _channels_of(self, value: ValueInfoProto) -> int | None:
        """The channels of an input that has them first: as the file says, or the weight of the convolution behind it."""
        dims, reader = sizes_of(value), self._reader(value.name, {"Conv"})
        if len(dims) < 3 or dims[1] is not None or reader is None or reader.weight is None or len(reader.weight) != len(dims):
            return dims[1] if len(dims) > 1 else None
        groups = next((attribute.i for attribute in reader.node.attribute if attribute.name == "group"), 1)
        return groups * reader.weight[1]

    def is_channels_last(self, value: ValueInfoProto) -> bool:
        """Whether an image has its channels last."""
        dims = sizes_of(value)
        if any(size in _CHANNEL_COUNTS for size in (dims[-1], dims[1])):
            return dims[-1] in _CHANNEL_COUNTS
        return any(
            node.op_type == "Transpose" and [list(a.ints) for a in node.attribute if a.name == "perm"] == [[0, 3, 1, 2]]
            for node, _ in self._consumers.get(value.name, ())
        )

    def _side(self, value: ValueInfoProto, kind: str) -> DimRole:
        """The usual side of the model's images."""
        dims, name, role = sizes_of(value), value.name.lower(), _ROLES[kind]
        axis = 0 if kind == "height" else 1
        if kind in self.hints and (len(dims) == 4 or len(self.inputs) == 1):
            size, where = self.hints[kind]
            return DimRole(kind, (size, *role.sizes), where)
        if len(dims) == 5:
            is_volume = self._kind_in_clip([dims[0], self._channels_of(value), *dims[2:]], 2) == "depth"
            size, what = (96, "a volume of 96x96x96") if is_volume else (224, "a clip of 16 images of 224x224")
            return DimRole(kind, (size, *role.sizes), what)
        if len(dims) == 4 and dims[1] not in (1, 2, 3) and re.search(r"latent|^sample$|^z$", name):
            return DimRole(kind, (64, *role.sizes), "latents of an image of 512x512")
        sides = dims[1:3] if len(dims) == 4 and self.is_channels_last(value) else dims[-2:]
        other = sides[1 - axis]
        if other is not None and other > 64:
            return DimRole(kind, (other, *role.sizes), "a square image")
        if (other is not None and kind == "width") or (other is None and self._reads_lines):
            is_class = not other and self._outputs and all(self._rank_of(output) == 2 for output in self._outputs)
            size = 48 if kind == "height" else 192 if is_class else 320
            return DimRole(kind, (size, *role.sizes), f"a line of text of {other or 48}x{192 if is_class else 320}")
        if kind == "height" and (window := self._tall_window):
            return DimRole(kind, (window, *role.sizes), f"a window of {window}x1")
        size, what = self._image
        return DimRole(kind, (size, *role.sizes), what)

    @cached_property
    def _outputs(self) -> Sequence[ValueInfoProto]:
        """The model's outputs, without those that are copies of another one."""
        outputs = self.model.graph.output if self.model is not None else ()
        names = {output.name for output in outputs}
        identities = [node for node in self._nodes if node.op_type in traits.IDENTITIES and node.input]
        copies = {name for node in identities if node.input[0] in names for name in node.output}
        return [output for output in outputs if output.name not in copies]

    @cached_property
    def _reads_lines(self) -> bool:
        """Whether the model halves the height of an image and keeps the width, as models that read lines of text do."""
        strides = (
            list(attribute.ints)
            for node in self._nodes
            if node.op_type in traits.CONVOLUTIONS | traits.POOLS
            for attribute in node.attribute
            if attribute.name == "strides"
        )
        return any(len(pair) == 2 and pair[0] > pair[1] for pair in strides)

    @cached_property
    def _tall_window(self) -> int:
        """The height of a convolution over all of it, as those over the electrodes of an EEG; 0 without one."""
        weights = (self._stored.get(node.input[1]) for node in self._nodes if node.op_type == "Conv" and len(node.input) > 1)
        tallest = max((weight[2] for weight in weights if weight is not None and weight[3:] == (1,)), default=0)
        return tallest if tallest >= _TALL else 0

    @cached_property
    def _image(self) -> tuple[int, str]:
        """The usual side of the images of a model that makes such outputs."""
        outputs = self._outputs
        ops = {node.op_type for node in self._nodes}
        enlarges = any(node.op_type in ("Resize", "Upsample") and not self._is_stored(node) for node in self._nodes)
        merges = enlarges and "Concat" in ops
        ranks = {self._rank_of(output) for output in outputs}
        finds_boxes = any("NMS" in op or op == "NonMaxSuppression" for op in ops)
        finds_boxes = finds_boxes or (
            len(outputs) > 1 and any(re.search(OUTPUT_WORDS, output.name.lower()) for output in outputs)
        )
        if finds_boxes or (merges and (len(outputs) > 1 or ranks <= {3, 5})):
            return 640, "a detector's image of 640x640"
        if len(outputs) == 1 and ranks == {4} and (enlarges or "ConvTranspose" in ops):
            made = self._channels_made(outputs[0].name) or (*sizes_of(outputs[0]), None, None)[1]
            if made is not None and made not in {
                self._channels_of(value) for value in self.inputs if len(sizes_of(value)) == 4
            }:
                return (640, "a mask of an image of 640x640") if made == 1 else (512, "a map of an image of 512x512")
        return 224, "an image of 224x224"

    def _channels_made(self, name: str) -> int | None:
        """The channels of the convolution that makes a value, directly or through a few elementwise nodes."""
        for node in self._nodes_behind(name):
            weight = self._stored.get(node.input[1]) if len(node.input) > 1 else None
            if node.op_type in ("Conv", "ConvTranspose") and weight is not None:
                return weight[0 if node.op_type == "Conv" else 1]
        return None

    def _rank_of(self, output: ValueInfoProto) -> int:
        """The rank of an output, of one that the file leaves open by the node that makes it; 0 where that does not tell."""
        dims = sizes_of(output)
        for node in self._nodes_behind(output.name) if not dims else ():
            weight = self._stored.get(node.input[1]) if len(node.input) > 1 else None
            if weight is not None and (node.op_type == "Gemm" or node.op_type in ("Conv", "ConvTranspose")):
                return len(weight)
            if node.op_type not in _SAME_RANK:
                break
        return len(dims)

    def _is_stored(self, node: NodeProto) -> bool:
        """Whether it reads a table that the file has, such as one of positions, as it is or cut and rearranged."""
        last = node
        for before in self._nodes_behind(node.input[0]) if node.input else ():
            if before.op_type not in _KEEPS_ROLE | {"Transpose"}:
                return False
            last = before
        return bool(last.input) and last.input[0] in self._stored

    def _nodes_behind(self, name: str) -> Iterator[NodeProto]:
        """The node that makes a value, the one that makes its first input, and so on: a few."""
        for _ in range(_FOLLOWED):
            node = self._made_by.get(name)
            if node is None or not node.input:
                return
            yield node
            name = node.input[0]

    @cached_property
    def _made_by(self) -> Mapping[str, NodeProto]:
        return {output: node for node in self._nodes for output in node.output}

    @cached_property
    def _nodes(self) -> list[NodeProto]:
        return list(nodes_in(self.model.graph.node)) if self.model is not None else []

    @cached_property
    def _consumers(self) -> Mapping[str, list[tuple[NodeProto, int]]]:
        found: dict[str, list[tuple[NodeProto, int]]] = {}
        for node in self._nodes:
            for position, name in enumerate(node.input):
                found.setdefault(name, []).append((node, position))
        return found

    @cached_property
    def _stored(self) -> Mapping[str, tuple[int, ...]]:
        """The dims of stored tensors and of reshaped ones."""
        stored = self.model.graph.initializer if self.model is not None else ()
        found = {tensor.name: tuple(tensor.dims[:]) for tensor in stored}
        for node in self._nodes:
            for attribute in node.attribute:
                if node.op_type == "Constant" and attribute.name == "value" and node.output:
                    found[node.output[0]] = tuple(attribute.t.dims[:])
                if attribute.HasField("g"):
                    found.update((tensor.name, tuple(tensor.dims)) for tensor in attribute.g.initializer)
            if node.op_type in _SAME_DIMS and node.input and node.output:
                found.update({node.output[0]: found[node.input[0]]} if node.input[0] in found else {})
        return found

    def _reader(self, name: str, wanted: Set[str], *, moves: bool = False, places: Sequence[int] = (0, 1)) -> Reader | None:
        """The first node of a wanted type that reads the value, directly or after reshaping and scaling."""
        names, seen = [name], 0
        follows = _KEEPS_ROLE | {"Transpose", "Resize"} if moves else _KEEPS_ROLE
        while names and seen < _FOLLOWED:
            for node, position in self._consumers.get(names.pop(0), ()):
                seen += 1
                is_index = node.op_type != "Gather" or position == 1
                if node.op_type in wanted and is_index and position in places:
                    weight = self._stored.get(node.input[1]) if len(node.input) > 1 and position == 0 else None
                    return Reader(node.op_type, weight, node)
                if node.op_type in follows and position == 0 and seen < _FOLLOWED:
                    names += node.output[:1]
        return None
