"""What an open dim stands for (a batch, the side of an image, a length, …), and the sizes that people choose for it.

A role follows from the dim's name, its input's name, type and other dims, and from the nodes that read the input.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from onnxcost.frontend.hints import read_hints
from onnxcost.frontend.image_sizes import ImageSizes
from onnxcost.frontend.node_index import CHANNEL_COUNTS, FOLLOWED, NodeIndex, sizes_of
from onnxcost.frontend.role_sizes import ROLES, DimRole, kind_of_symbol
from onnxcost.operators import traits
from onnxcost.operators.traits import CACHE_INPUTS

if TYPE_CHECKING:
    from onnx import ValueInfoProto


_TEXT = "a text of 128 tokens"
_OF_PAGES: Mapping[int, tuple[str, ...]] = {
    **dict.fromkeys((3, 4), ("other", "page", "heads", "head size")),
    **dict.fromkeys((5, 6), ("batch",)),
    7: ("batch", "other"),
}
"""The roles of the dims of PagedAttention's inputs: caches in pages, lengths of sequences, pages of each sequence."""
_NUMBERED = r"[_.\W]*(dynamic_axes|dim|axis)?_?\d*"
"""What PyTorch's exporter puts behind an input's name to call a dim that has none."""
_STATE = r"^[hc](_?(\d+|n|in))?$|state|hidden|cell"
"""The name of an input that carries a recurrent state, (layers, batch, hidden): it has no dim of time."""
_CACHE = r"past(?!_(values|time|observed)|_features)|cache|present"
"""The name of an input with keys and values; a forecast's ``past_values`` are a series."""
_AUDIO = r"wave|audio|sample|speech|^wav|pcm|sound|signal|input_values"
_NOT_AUDIO = r"mel|feat|spec|len|mask|rate"
_PROMPT, _PATCHES = 77, 1024
"""Tokens that CLIP's text encoder makes, and those of an image that a diffusion transformer denoises."""
_JOINTS = frozenset({17, 18, 21, 25, 33})
"""Points that pose estimators find of a person or a hand."""
_UNCOUNTED = 2
"""Rows of a table of positions for padding, and for what the models of fairseq (RoBERTa, OPT) left unused."""
_ADJACENCY = r"(^|_)adj(_|$)|adjacen|^a_?(hat|norm)?$|laplacian"
_SPECTRUM = r"mel|spec(?!ies)|(?<!image_)feat|fbank|stft|(^|_)erb"
"""The name of an input that is a spectrogram, if it has one channel or the two of complex numbers."""
_BINS = frozenset(2**power + 1 for power in range(6, 13))
"""Frequencies of a real Fourier transform."""
_EDGE_ENDS = r"^(src|dst|source|target|senders?|receivers?)(_?(idx|index|ids|nodes?))?$"
_POINTS = r"(^|_)(pts|points?)(_?cloud)?$|lidar|pcd|(^|_)xyz$"

INPUT_WORDS = (
    "encoder|decoder|past|cache|present|wave|audio|samples?|speech|wav|pcm|sound|signal|input_values|mel|feat|spec|rate"
    "|edge|node|adj|laplacian|latent|points?|pts|lidar|pcd|cloud|xyz"
)
"""The parts of a name that tell a role: a model without the other parts gets the same assumptions."""

_INTEGERS, _FLOATS, _STRING = (2, 3, 4, 5, 6, 7), (1, 10, 11, 16), 8
"""TensorProto's numbers of these element types."""

_SIDES_OF = frozenset({"height", "width", "channels", "depth", "video frames"})
_WEIGHTED = traits.FLOAT_PRODUCTS | {"Conv", "Gather"}


@dataclass
class ModelRoles:
    """The roles of a model's open dims. The graph is looked at when a name does not tell; ``path`` is the model's, or ""."""

    index: NodeIndex
    inputs: Sequence[ValueInfoProto]
    path: str = ""

    def role(self, value: ValueInfoProto, axis: int, symbol: str = "") -> DimRole:
        """The role of an input's dim. ``symbol`` is its name, "" without one."""
        kind = self._kind(value, axis, symbol)
        if kind in ("height", "width"):
            is_volume = len(sizes_of(value)) == 5 and "depth" in (self._kind_in_clip(value, 1), self._kind_in_clip(value, 2))
            size, reason = self._images.side(value, ("height", "width").index(kind), is_volume)
            return DimRole(kind, (size, *ROLES[kind].sizes), reason)
        if kind == "features" and (found := self.index.count_features(value))[0]:
            return DimRole(kind, (found[0], *ROLES[kind].sizes), f"the features of {found[1]}")
        if kind == "tokens" and value.name == "encoder_hidden_states" and self._denoises:
            return DimRole(kind, (_PROMPT, *ROLES[kind].sizes), f"a prompt of {_PROMPT} tokens")
        if kind in ("tokens", "frames") and value.name == "hidden_states" and self._denoises:
            return DimRole(kind, (_PATCHES, *ROLES[kind].sizes), "an image of 512x512 in patches of 16x16")
        if kind in ("tokens", "frames", "past") and (hint := self._stated_length(value)) is not None:
            return DimRole(kind, (hint[0], *ROLES[kind].sizes), hint[1])
        is_text = kind == "tokens" and value.type.tensor_type.elem_type in (*_INTEGERS, _STRING)
        return self._with_hint(ROLES[kind]._replace(reason=_TEXT) if is_text else ROLES[kind])

    def _stated_length(self, value: ValueInfoProto) -> tuple[int, str] | None:
        """The length of what an encoder makes, or of a series whose future is asked for, where a document states it."""
        name, rank = value.name.lower(), len(sizes_of(value))
        if "encoder" in name and rank > 2:
            return self.hints.get("source")
        return self.hints.get("context") if re.match("past_(values|time|observed)", name) else None

    def role_of_symbol(self, symbol: str) -> DimRole:
        """The role of a dim that is only in an expression, by its name."""
        found = kind_of_symbol(symbol) or "tokens"
        return self._with_hint(ROLES[found])

    def _with_hint(self, role: DimRole) -> DimRole:
        if role.kind not in self.hints:
            return role
        size, where = self.hints[role.kind]
        if role.kind == "tokens":  # the most that it can be
            return role if size >= role.sizes[0] else DimRole(role.kind, (size, *role.sizes), where)
        return DimRole(role.kind, (size, *role.sizes), where)

    @cached_property
    def _images(self) -> ImageSizes:
        return ImageSizes(self.index, self.inputs, self.hints)

    @cached_property
    def hints(self) -> Mapping[str, tuple[int, str]]:
        """The sizes that the model's metadata, the files beside it and its table of positions state, each with its source."""
        hints = read_hints(self.index.model, self.path) if self.index.model is not None else {}
        rows = self.index.counted_positions
        if rows is not None and rows - _UNCOUNTED < hints.get("tokens", (rows, ""))[0]:
            hints["tokens"] = rows - _UNCOUNTED, f"a table of {rows} positions"
        return hints

    def _kind(self, value: ValueInfoProto, axis: int, symbol: str) -> str:
        """The kind of a dim: by a name of several letters, by its input, by a name of one letter, by its place."""
        dims, name = sizes_of(value), value.name.lower()
        for node, position in self.index.consumers.get(value.name, ()):
            if node.op_type == "PagedAttention" and axis < len(_OF_PAGES.get(position, ())):
                return _OF_PAGES[position][axis]
        if re.fullmatch(re.escape(value.name) + _NUMBERED, symbol):
            symbol = ""
        found = kind_of_symbol(symbol)
        is_of_graph = self._is_of_graph(value)
        if (found in ("height", "width") and len(dims) < 2) or (found == "tokens" and axis == 0 and is_of_graph):
            found = ""
        is_cache = re.search(_CACHE, name) or self._is_continued(value)
        if is_cache and len(dims) > 2 and value.type.tensor_type.elem_type in (*_FLOATS, 2, 3):
            of_encoder = "encoder" in name or "encoder" in symbol.lower()
            return self._cache_kind(value, axis, found if len(symbol) > 1 or (found, axis) == ("batch", 0) else "", of_encoder)
        if found == "batch" and (len(symbol) > 1 or (axis == 0 and not is_of_graph)):
            return "batch"
        if axis == 0 and symbol.lower() == "n" and not is_of_graph and not self._are_vectors:
            return "batch"
        if kind := self._kind_in_sound(value, axis, symbol.lower(), found):
            return kind
        if found in ("frames", "tokens", "channels") and len(dims) == 5:
            return "channels" if found == "channels" else "video frames"
        if axis == 2 and dims[1] in (2, 3) and dims[3:4] and dims[3] in _JOINTS:
            return "frames"
        if "point" in name and re.search("coord|label", name) and axis:
            return "prompts"
        if found and len(symbol) > 1:
            return found
        by_place = self._kind_by_place(value, axis)
        # A letter may mean anything: it counts where neither it nor its place speaks of an image, or of features.
        is_open = found in _SIDES_OF or by_place in _SIDES_OF or (found == "batch" and len(dims) == 2)
        is_count = not found and re.match(r"(num|n)_", symbol.lower())
        if is_count and (by_place in _SIDES_OF or value.type.tensor_type.elem_type in (6, 7)) and 0 < axis < len(dims) - 1:
            return "other"  # of things that nobody knows: parts, cameras
        return by_place if is_open or not found else found

    def _kind_in_sound(self, value: ValueInfoProto, axis: int, symbol: str, found: str) -> str:
        """The kind of a dim of a sound, its mask, a spectrogram or a signal; "" where it is none of them or ``found`` tells."""
        dims, symbols = sizes_of(value), [dim.dim_param.lower() for dim in value.type.tensor_type.shape.dim]
        last = len(dims) - 1
        if found in ("tokens", "") and axis and axis == last and self._masks_audio(value):
            return "samples"
        if found in ("tokens", "") and self._is_audio(value):
            return ("chunk" if self._is_streamed else "samples") if axis == last else "batch" if axis == 0 else "other"
        if found == "samples" and axis == 0 and last:  # how many sounds there are
            return "batch"
        if found == "channels" and (axis, last) == (1, 2) and re.search(r"seq|len|time|samples|frames|^[tls]$", symbols[last]):
            return "signals"
        if found not in ("frames", "tokens", "") or not (axis > 1 or symbol == "f") or not self._is_spectrum(value):
            return ""
        if axis == 1:
            return "bins"
        is_time = found or dims[5 - axis] is not None or (axis == 3 and not re.search(r"time|frame|^t$", symbols[2]))
        return "frames" if is_time else "bins"

    def _is_continued(self, value: ValueInfoProto) -> bool:
        """Whether an output is the input with more behind it, or an operator takes it for cached keys or values."""
        made, names, seen = {output.name for output in self.index.outputs}, [value.name], 0
        while names and seen < FOLLOWED:
            for node, position in self.index.consumers.get(names.pop(), ()):
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
        if self._adjacent and value.name not in self._adjacent and rank in (2, 3):
            return ("batch", "nodes", "features")[axis + 3 - rank]
        if value.name in self._adjacent:
            return "nodes" if axis >= rank - 2 else "batch"
        if self._is_of_graph(value):
            if "edge" in name and axis == 0 and (dims[1:] or [0])[0] is None:
                return "ends"
            return "edges" if "edge" in name or re.search(_EDGE_ENDS, name) else "nodes" if axis == 0 else "other"
        if rank == 2 and axis == 0 and dims[1] in range(2, 10) and re.search(_POINTS, name):
            return "points"
        if rank == 3 and re.search(_POINTS, name) and axis == 1 + (self.index.channels_of(value) in range(2, 10)):
            return "points"
        if rank == 3 and self.index.reader(value.name, traits.RECURRENT, places=(5, 6)) is not None:
            return ("other", "batch", "features")[axis]  # of each layer and direction
        if rank == 3 and (reader := self.index.reader(value.name, traits.RECURRENT)) is not None:
            is_batch_first = "layout" in reader.node.attribute and reader.node.attribute["layout"].i
            return ("batch", "frames", "features")[axis] if is_batch_first else ("frames", "batch", "features")[axis]
        if rank == 1 and self._are_vectors:
            return "tokens"
        if rank == 1 and not is_integer:
            return "other"
        if axis == 0 and not (rank == 3 and dims[0] in CHANNEL_COUNTS):
            is_image = rank == 3 and dims[2] in CHANNEL_COUNTS[1:] and self._reads_image(value)
            return "height" if is_image else "batch"
        if rank == 5:
            return self._kind_in_clip(value, axis)
        if rank == 4:
            return (
                ("channels", "height", "width")[axis - 1]
                if not self.index.is_channels_last(value)
                else ("height", "width", "channels")[axis - 1]
            )
        if rank == 3 and (dims[0] in CHANNEL_COUNTS[1:] or (dims[2] in CHANNEL_COUNTS[1:] and self._reads_image(value))):
            return "height" if axis == (1 if dims[0] in CHANNEL_COUNTS[1:] else 0) else "width"
        is_state = rank == 3 and (dims[0] not in (None, 1) or re.search(_STATE, name))
        if is_state and axis == 1:
            return "batch"
        if rank == 3 and is_integer and dims[2] is None:
            return "other" if axis == 1 else "tokens"  # of each of several choices or codebooks
        if rank == 3 and not is_state and dims[3 - axis] is not None:
            return "tokens" if axis == 1 else "frames"
        reads_tokens = is_integer or value.type.tensor_type.elem_type == _STRING or self.index.reader(value.name, {"Gather"})
        if rank == 2 and axis == 1:
            return "tokens" if reads_tokens else "features"
        return "other" if rank != 3 or is_state else "frames" if axis == 1 else "features"

    def _kind_in_clip(self, value: ValueInfoProto, axis: int) -> str:
        """For (batch, channels, depth, height, width), or a video in another order."""
        dims = sizes_of(value)
        dims[1] = self.index.channels_of(value)
        if dims[1] is None and dims[2] in CHANNEL_COUNTS:  # (batch, frames, channels, height, width)
            return ("video frames", "channels", "height", "width")[axis - 1]
        if dims[4] in CHANNEL_COUNTS:
            reader = self.index.reader(value.name, {"Conv"}, moves=True) if dims[4] == 1 else None
            is_volume = reader is not None and reader.weight is not None and len(reader.weight) == 5
            return ("depth" if is_volume else "video frames", "height", "width", "channels")[axis - 1]
        return ("channels", "video frames" if dims[1] == 3 else "depth", "height", "width")[axis - 1]

    def _is_of_graph(self, value: ValueInfoProto) -> bool:
        """Whether the input belongs to a graph of nodes and edges, and has no dim of a batch."""
        rank = len(sizes_of(value))
        return rank <= 2 and (self._has_edges or any(len(dims) == 2 for dims in self._adjacent.values()))

    @cached_property
    def _adjacent(self) -> Mapping[str, Sequence[int | None]]:
        """The dims of the inputs that are the adjacency matrix of a graph, ([batch,] nodes, nodes), by name."""
        named = {value.name: sizes_of(value) for value in self.inputs if re.search(_ADJACENCY, value.name.lower())}
        return {name: dims for name, dims in named.items() if len(dims) in (2, 3) and dims[-1] == dims[-2]}

    @cached_property
    def _has_edges(self) -> bool:
        integers = [value for value in self.inputs if value.type.tensor_type.elem_type in _INTEGERS]
        ends = [value for value in integers if re.search(_EDGE_ENDS, value.name.lower()) and len(sizes_of(value)) == 1]
        return len(ends) == 2 or any(
            "edge" in value.name.lower() and sizes_of(value)[:1] in ([2], [None]) for value in integers
        )

    def _is_audio(self, value: ValueInfoProto) -> bool:
        """Whether the input has the samples of a sound along its last axis."""
        dims, name = sizes_of(value), value.name.lower()
        element_type = value.type.tensor_type.elem_type
        if not 1 <= len(dims) <= 3 or element_type not in (*_FLOATS, 5):
            return False
        if len(dims) == 3 and self.index.channels_of(value) not in (1, 2, None):
            return False
        if dims[-1] is not None or re.search(_STATE, name) or (re.search(_NOT_AUDIO, name)):
            return False
        if re.search(_AUDIO, name) or (self._has_rate and len(dims) < 3):
            return True
        reader = self.index.reader(value.name, _WEIGHTED | {"STFT"})
        if reader is None:
            return False
        weight = reader.weight
        reads_samples = weight is not None and len(weight) == 3 and weight[1] in (1, 2) and reader.groups == 1
        return reader.op_type == "STFT" or (reader.op_type == "Conv" and reads_samples)

    def _is_spectrum(self, value: ValueInfoProto) -> bool:
        """Whether the input has the frequencies of a sound along one of its last axes and time along the other."""
        dims, name = sizes_of(value), value.name.lower()
        if len(dims) != 4 or value.type.tensor_type.elem_type not in _FLOATS or 3 in dims:
            return False
        return bool(_BINS & set(dims[1:])) or (
            self.index.channels_of(value) in (1, 2, None) and re.search(_SPECTRUM, name) is not None
        )

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

    @cached_property
    def _denoises(self) -> bool:
        """Whether the model is that of a diffusion pipeline, which is asked for each step in time."""
        return any(value.name in ("timestep", "timesteps") for value in self.inputs)

    def _reads_image(self, value: ValueInfoProto) -> bool:
        """Whether the first convolution behind the input is one over height and width."""
        reader = self.index.reader(value.name, _WEIGHTED | traits.RECURRENT | {"Resize"}, moves=True)
        return reader is not None and (reader.op_type == "Resize" or (reader.weight is not None and len(reader.weight) == 4))
