"""The decoder of a language model in a graph: its tokens, caches and logits, the roles of its open dims, and the model at a
step of any size.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from onnxcost.analysis.batch import batch_dim, batch_of
from onnxcost.analysis.caches import CROSS, KV, CachePair, find_cache_pairs
from onnxcost.errors import InputError
from onnxcost.formulas import select_formulas
from onnxcost.frontend import operators_in, read_graph, read_skeleton
from onnxcost.frontend.hints import Setting, is_size, settings_beside
from onnxcost.graph import BoundDim, DefUse, Graph, Node, Tensor, Use
from onnxcost.operators.inputs import ROLES, role_of
from onnxcost.operators.traits import AFFINE, CASTS, CONVOLUTIONS, FLOAT_PRODUCTS, GATHERS, VIEWS
from onnxcost.spec import ModelSpec

BATCH, NEW, PAST, TOTAL, SOURCE, WINDOW, BLOCKS, BLOCK = (
    "batch", "new", "past", "total", "source", "window", "blocks", "block"
)  # fmt: skip
"""The roles of open dims: sequences; tokens of a step; positions in the cache; both; positions of an encoder; positions of a
sliding cache; blocks of a paged cache, and the positions of one.
"""
PAGE = 256
"""Positions of a block if the model leaves it open; the default of onnxruntime-genai."""
_EMBEDDED, _FLOATS = "com.microsoft.EmbedLayerNormalization", ("float16", "bfloat16", "float32")
_SWITCH = r"use_cache|use_past|cache_branch"
_PAGED = "com.microsoft.PagedAttention"
_LIMITS = ("context_length", "max_target_positions", "max_position_embeddings", "n_positions", "n_ctx")
_MOST_STEPS = 16
"""The most nodes between the tokens and the embedding that looks them up."""


class StepSizes(NamedTuple):
    """A step of generation: sequences, new tokens of each, positions in its cache before, and positions of an encoder."""

    batch: int
    new: int
    past: int
    source: int = 0

    @property
    def total(self) -> int:
        """Positions in the cache after the step."""
        return self.past + self.new


@dataclass(frozen=True, slots=True)
class Decoder:
    """A decoder in ``graph``, at its default sizes.

    ``tokens`` is the input with the new tokens, or their embeddings, along ``token_axis``; ``logits`` the output with the most
    elements that is not a cache, None without one. ``roles`` has the role of each open dim by its name. ``switch`` is the input
    that selects between a first step and steps with a cache, "" without one. ``limit`` is the longest context of the model, if
    known, and ``shares_buffer`` whether the present is written over the past.
    """

    graph: Graph
    tokens: Tensor
    token_axis: int
    logits: Tensor | None
    caches: tuple[CachePair, ...]
    roles: Mapping[str, str]
    switch: str = ""
    limit: Setting | None = None
    shares_buffer: bool = False

    @property
    def is_open(self) -> bool:
        """Whether a step can take any number of tokens."""
        return self.fixed(NEW) is None

    @property
    def keeps_source(self) -> bool:
        """Whether it attends to an encoder, whose keys and values are constant."""
        return SOURCE in self.roles.values() or any(cache.kind == CROSS for cache in self.caches)

    @property
    def stated_source(self) -> int | None:
        """The positions of the encoder, if a document next to the model states them or they follow from it."""
        return next((dim.value for dim in self.graph.dims if self.roles.get(dim.name) == SOURCE and " in " in dim.reason), None)

    @property
    def writes_in_place(self) -> bool:
        """Whether the present replaces the past: in a shared buffer, in blocks, or in a cache of a fixed size."""
        grown = [cache for cache in self.caches if cache.kind == KV and len(cache.axes) == 1 and cache.room is None]
        return self.shares_buffer or all(cache.past.shape == cache.held.shape for cache in grown)

    def fixed(self, role: str) -> int | None:
        """The size of a dim if the model fixes it or it is given; None if it is open."""
        own = [dim for dim in self.graph.dims if self.roles.get(dim.name) == role]
        if own:
            return next((dim.value for dim in own if dim.source == "given"), None)
        if role == BATCH:
            return batch_of(self.graph)
        if role == NEW:
            return self.tokens.shape[self.token_axis]
        kind = {PAST: KV, SOURCE: CROSS}.get(role)
        lengths = [cache.past.shape[cache.axis] for cache in self.caches if cache.kind == kind and len(cache.axes) == 1]
        return max(lengths, default=None)

    def spec_at(self, spec: ModelSpec, sizes: StepSizes) -> ModelSpec:
        """The model at a step; settings in ``spec`` are kept."""
        pages = -(-sizes.total // PAGE)
        of_role = {
            BATCH: sizes.batch, NEW: sizes.new, PAST: sizes.past, TOTAL: sizes.total, SOURCE: sizes.source,
            BLOCKS: pages, BLOCK: PAGE,
        }  # fmt: skip
        if self.tokens.rank == 1:
            of_role[NEW] *= sizes.batch
        shapes: dict[str, Any] = {}
        dims: dict[str, int] = {}
        known = {tensor.name: tensor for tensor in self.graph.inputs}
        for dim in self.graph.dims:
            role = self.roles.get(dim.name, "")
            size = of_role.get(role)
            if role == WINDOW:
                size = self._window_of(dim)
            if role == BLOCKS and not any("table" in name for name, _ in dim.places):
                size = pages * sizes.batch
            if size is None:
                continue
            if not dim.is_unnamed:
                dims[dim.name] = size
                continue
            for name, axis in dim.places:
                shapes.setdefault(name, list(known[name].shape))[axis] = size
        return replace(
            spec,
            shapes={**shapes, **spec.shapes},
            dims={**dims, **spec.dims},
            values={**self._values(sizes), **spec.values},
        )

    def _window_of(self, dim: BoundDim) -> int | None:
        places = {name for name, _ in dim.places}
        return max((cache.room or 0 for cache in self.caches if cache.past.name in places), default=None)

    def _values(self, sizes: StepSizes) -> dict[str, Any]:
        """The inputs whose elements decide what a step computes."""
        names = {tensor.name for tensor in self.graph.inputs}
        found: dict[str, Any] = {self.switch: [sizes.past > 0]} if self.switch else {}
        for node in self.graph.nodes:
            if node.key == _PAGED:
                starts = list(range(0, sizes.batch * sizes.new + 1, sizes.new)) if sizes.new else [0] * (sizes.batch + 1)
                own: dict[int, Any] = {5: starts, 6: [sizes.past] * sizes.batch}
            elif node.key == "com.microsoft.GroupQueryAttention":
                own = {6: sizes.total}
            else:
                continue
            found |= {t.name: value for place, value in own.items() if (t := node.input(place)) is not None and t.name in names}
        return found


def read_decoder(spec: ModelSpec) -> Decoder:
    """The decoder in a model; raises InputError for a model that is not one, and as ``onnxcost.estimate``."""
    spec = spec.read_inputs()
    skeleton = read_skeleton(spec.source)
    inputs = skeleton.model.graph.input
    switch = next((value.name for value in inputs if re.search(_SWITCH, value.name.lower())), "")
    if switch:
        spec = replace(spec, values={switch: [True], **spec.values})
    graph = read_graph(skeleton, spec, select_formulas(operators_in(skeleton)))
    decoder = find_decoder(graph)
    if decoder is None and any("present" in tensor.name and tensor.is_shaped and tensor.rank > 2 for tensor in graph.outputs):
        raise InputError(
            "the model has no input for past keys and values: it is a decoder's first step, and the file of its other "
            "steps is needed"
        )
    if decoder is None:
        raise InputError("this is not a language model with a cache: no input has the keys, values or states of tokens")
    return decoder


def find_decoder(graph: Graph) -> Decoder | None:
    """The decoder in a graph; None for a model that is not one: it takes no tokens, or passes nothing to the next step."""
    if _find_tokens(graph, set()) is None:
        return None
    caches = [_with_room(cache, graph) for cache in find_cache_pairs(graph)]
    own = {cache.past.name for cache in caches} | {cache.present.name for cache in caches if cache.present is not None}
    tokens = _find_tokens(graph, own)
    kinds = {cache.kind for cache in caches}
    if tokens is None or kinds <= {CROSS} or (tokens.dtype in _FLOATS and KV not in kinds):
        return None
    made = [t for t in graph.outputs if t.name not in own and t.is_shaped and t.rank > 1 and t.dtype in _FLOATS]
    token_axis = tokens.rank - 1 if tokens.dtype not in _FLOATS else tokens.rank - 2
    settings = settings_beside(graph.path)
    shares = settings.get("past_present_share_buffer")
    return Decoder(
        graph,
        tokens,
        token_axis,
        max(made, key=lambda tensor: tensor.shape[-1], default=None),
        tuple(caches),
        _find_roles(graph, tokens, token_axis, caches),
        next((tensor.name for tensor in graph.inputs if re.search(_SWITCH, tensor.name.lower())), ""),
        _find_limit(graph, settings),
        bool(shares and shares.value),
    )


def _with_room(cache: CachePair, graph: Graph) -> CachePair:
    """Sets the room of a cache of a fixed size that is written in place."""
    is_open = any((cache.past.name, axis) in dim.places for dim in graph.dims for axis in cache.axes)
    if cache.kind != KV or is_open or cache.past.shape != cache.held.shape or len(cache.axes) > 1:
        return cache
    return cache._replace(room=cache.past.shape[cache.axis])


def _find_tokens(graph: Graph, own: set[str]) -> Tensor | None:
    """The input whose elements select rows of an embedding; without one, the input with the embeddings of tokens."""
    uses = graph.uses
    inputs = [tensor for tensor in graph.inputs if tensor.is_shaped and tensor.name not in own]
    whole = [tensor for tensor in inputs if tensor.dtype in ("int64", "int32") and tensor.rank in (1, 2, 3)]
    named = [tensor for tensor in whole if re.search(r"input_?ids|tokens?$|^ids$|decoder_input", tensor.name.lower())]
    picks = [tensor for tensor in (*named, *whole) if tensor in named or _picks_rows(tensor, uses, _MOVES)]
    floats = [tensor for tensor in inputs if tensor.dtype in _FLOATS and tensor.rank == 3 and "encoder" not in tensor.name]
    embedded = [tensor for tensor in floats if not _is_projected(tensor, uses)]
    # Keras adds the length of the table to negative indices.
    adjusted = [tensor for tensor in whole if _picks_rows(tensor, uses, _MOVES | AFFINE | {"Where"})]
    return next(iter([*picks, *embedded, *adjusted]), None)


_MOVES = VIEWS | CASTS


def _is_projected(tensor: Tensor, uses: DefUse) -> bool:
    """Whether a product or a convolution with weights reads it first, as features of sound or images do; the
    embeddings of tokens are normalized and summed.
    """
    names, found = [tensor.name], set[bool]()
    while names and len(found) < 2:
        for node, _ in uses.reads(names.pop(0)):
            others = [each for each in node.inputs if each is not None and each.name != tensor.name]
            if node.key in _MOVES or (node.key in AFFINE and any(each.is_constant for each in others)):
                names += [node.out.name]
            else:
                found.add(node.key in FLOAT_PRODUCTS | CONVOLUTIONS)
    return found == {True}


def _picks_rows(tensor: Tensor, uses: DefUse, way: Set[str]) -> bool:
    """Whether it is the index into a stored table of two dims, after only operators of ``way``."""
    for node, place in _reads_behind(tensor, uses, way):
        if node.key == _EMBEDDED and place == 0:
            return True
        if (node.key in GATHERS or node.op_type.startswith("Gather")) and place == 1 and node.x.is_constant:
            return node.x.is_shaped and node.x.rank == 2
    return False


def _reads_behind(tensor: Tensor, uses: DefUse, way: Set[str]) -> Iterator[Use]:
    """The readers of the value, and of the values that operators of ``way`` compute from it, the nearest first."""
    names, seen = [tensor.name], 0
    while names and seen < _MOST_STEPS:
        seen += 1
        for use in uses.reads(names.pop(0)):
            yield use
            names += [use.node.out.name] if use.node.key in way and use.node.outputs else []


def _find_roles(graph: Graph, tokens: Tensor, token_axis: int, caches: list[CachePair]) -> dict[str, str]:
    batch = batch_dim(graph)
    of_batch = {dim.name for dim in batch.dims} if batch is not None else set()
    known = {tensor.name: tensor for tensor in graph.inputs}
    lengths: dict[tuple[str, int], str] = {}
    for cache in caches:
        if len(cache.axes) > 1:
            lengths |= {(cache.past.name, cache.axes[0]): BLOCKS, (cache.past.name, cache.axes[1]): BLOCK}
        elif cache.axes:
            role = SOURCE if cache.kind == CROSS else WINDOW if cache.room is not None else PAST
            lengths[cache.past.name, cache.axis] = role
        if len(cache.axes) < 2:
            # (batch, heads, length, size), or keys and values together in front of that.
            lengths.setdefault((cache.past.name, 1 if cache.past.rank == 5 else 0), BATCH)
    found: dict[str, str] = {}
    uses = graph.uses
    # The elements of lengths are the numbers of positions.
    counted = {read.name for node in graph.nodes if node.key == _PAGED for read in node.inputs[5:7] if read is not None}
    has_source = any(cache.kind == CROSS for cache in caches)
    for dim in graph.dims:
        # A dim that is written as a sum follows automatically.
        is_sum = dim.source == "derived" and not dim.is_unnamed and not dim.name.isidentifier()
        if is_sum or (dim.places and all(name in counted for name, _ in dim.places)):
            continue
        roles = [lengths[place] for place in dim.places if place in lengths]
        if (tokens.name, token_axis) in dim.places:
            found[dim.name] = NEW
        elif roles:
            found[dim.name] = roles[0]
        elif dim.name in of_batch or any((name, axis) == (tokens.name, token_axis - 1) for name, axis in dim.places):
            found[dim.name] = BATCH
        elif role := next(filter(None, (_role_by_place(known[name], axis, uses, has_source) for name, axis in dim.places)), ""):
            found[dim.name] = role
    return found


def _role_by_place(tensor: Tensor, axis: int, uses: DefUse, has_source: bool) -> str:
    """The role of a dim of an input that is neither tokens nor a cache: a mask, positions, or an encoder's output, if there is
    an encoder (``has_source``).
    """
    name = tensor.name.lower()
    if "encoder" in name and axis == 1:
        return SOURCE
    if "table" in name and axis == tensor.rank - 1:
        return BLOCKS
    if "mask" in name or "bias" in name:
        return TOTAL if axis == tensor.rank - 1 else NEW if tensor.rank == 4 and axis == 2 else "" if axis else BATCH
    if tensor.dtype in ("int64", "int32", "bool") and tensor.rank > 1 and axis == tensor.rank - 1:
        return NEW if _are_positions(tensor, uses) else SOURCE if has_source else TOTAL
    return (SOURCE if has_source else NEW) if tensor.rank == 3 and axis == 1 else BATCH if axis == 0 else ""


def _are_positions(tensor: Tensor, uses: DefUse) -> bool:
    """Whether integers select rows of tables, or become angles: masks are summed, compared and subtracted."""
    for node, place in _reads_behind(tensor, uses, _MOVES | {"Expand"}):
        if role_of(node, place).name in ("index", "positions") or node.key in FLOAT_PRODUCTS | {"Mul"}:
            return True
    return "pos" in tensor.name.lower()


def _find_limit(graph: Graph, settings: Mapping[str, Setting]) -> Setting | None:
    """The longest context: from a document next to the model, or the rows of its tables of positions."""
    stated = [settings[key] for key in _LIMITS if key in settings and is_size(settings[key].value)]
    rows = [Setting(rows, f"the rows of '{name}'") for name, rows in _position_tables(graph) if rows]
    return min([*stated[:1], *rows], key=lambda setting: setting.value, default=None)


def _position_tables(graph: Graph) -> Iterator[tuple[str, int]]:
    for node in graph.nodes:
        for place, tensor in enumerate(node.inputs):
            role = ROLES.get(node.key, {}).get(place) if tensor is not None and tensor.is_constant else None
            if tensor is not None and role is not None and role.name == "positions" and tensor.is_shaped and tensor.rank == 2:
                yield tensor.name, tensor.shape[0]


def tokens_of_run(graph: Graph) -> int:
    """The new tokens of each sequence in one run; 0 for a model that is not a decoder."""
    decoder = find_decoder(graph)
    return 0 if decoder is None else decoder.tokens.shape[decoder.token_axis]


def head_of(decoder: Decoder) -> Node | None:
    """The product that computes the logits."""
    uses, name = decoder.graph.uses, decoder.logits.name if decoder.logits is not None else ""
    for _ in range(_MOST_STEPS):
        node = uses.definition(name)
        if node is not None and node.key == "If" and len(node.inputs) == len(node.outputs) and node.inputs[0] is not None:
            name = node.inputs[[t and t.name for t in node.outputs].index(name)].name  # type: ignore[union-attr]
            continue
        if node is None or any(t is not None and t.is_constant and t.is_shaped and t.rank > 1 for t in node.inputs):
            return node
        name = node.x.name
    return None
