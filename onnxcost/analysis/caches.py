"""What one step of a model passes to the next: keys and values of a cache, and states of constant size.

An output continues an input if a path of nodes that only move, join, overwrite or decay elements leads from one to the other,
or an operator with a cache. If the graph does not show it (a branch, a loop), names pair them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from math import prod
from operator import ne
from typing import NamedTuple

from onnxcost.analysis.batch import batch_dim
from onnxcost.graph import BITS, DefUse, Graph, Node, Tensor
from onnxcost.operators.traits import (
    AFFINE,
    ATTENTIONS,
    CACHE_INPUTS,
    CASTS,
    FLOAT_PRODUCTS,
    GATHERS,
    REARRANGEMENTS,
    SCATTERS,
    STATE_INPUTS,
    VIEWS,
)

KV, CROSS, STATE = "kv", "cross", "state"
"""Keys or values of tokens; those of an encoder, which no step changes; a state of constant size."""

_MOVES = VIEWS | CASTS | REARRANGEMENTS
_WRITES = SCATTERS | {"TensorScatter"}
_CACHED = r"past|cache|present"
_STATES = r"state|(?<![a-z])(ssm|wkv|hidden|cell)(?![a-z])"
_TELLING = r"past_key_values?|present_key_values?|past|present|updated|new|next|prev|inputs?|outputs?|in|out|cache|states?"
_MOST_NODES = 64
"""The most nodes that are searched back from an output, or ahead from an input."""


class CachePair(NamedTuple):
    """An input that a step reads, and the output of the same role for the next one; None if no step changes it.

    ``kind`` is KV, CROSS or STATE. ``axes`` are those of its positions, more than one if it consists of blocks, none for a
    state. ``window`` is the most positions that a token attends to, and ``room`` the most that it holds, None for all;
    ``readers`` are the nodes that attend to it.
    """

    past: Tensor
    present: Tensor | None
    kind: str
    axes: tuple[int, ...]
    window: int | None = None
    room: int | None = None
    readers: int = 1

    @property
    def position_bytes(self) -> float:
        """Bytes of one position, in all sequences of the batch; of a state all bytes. Raises UnknownShape."""
        sizes = (size for axis, size in enumerate(self.held.shape) if axis not in self.axes)
        return prod(sizes) * BITS[self.held.dtype] / 8

    @property
    def held(self) -> Tensor:
        """The tensor that is in memory after the step."""
        return self.past if self.present is None else self.present

    @property
    def axis(self) -> int:
        """The axis along which it grows."""
        return self.axes[-1]


def find_cache_pairs(graph: Graph) -> list[CachePair]:
    """The caches and states of a graph, in the order of its inputs. Those without a known shape are left out."""
    free = {tensor.name: tensor for tensor in graph.inputs if tensor.is_shaped and tensor.rank > 1 and _may_carry(tensor)}
    uses, pairs = graph.uses, dict[str, CachePair]()
    for named in (False, True):
        for output in graph.outputs:
            if not output.is_shaped or not _may_carry(output) or any(pair.present is output for pair in pairs.values()):
                continue
            alike = {name: each for name, each in free.items() if (each.dtype, each.rank) == (output.dtype, output.rank)}
            # At most one length differs.
            fitting = {name: each for name, each in alike.items() if sum(map(ne, each.shape, output.shape)) <= 1}
            if not fitting:
                continue
            origin = _origin(graph, output, uses, fitting) if not named else _namesake(graph, output, fitting, uses)
            if origin is not None:
                pairs[origin.past.name] = _with_readers(origin, uses)
                del free[origin.past.name]
    for tensor in free.values():
        if tensor.rank > 2 and _is_attended_to(tensor, uses):
            pairs[tensor.name] = CachePair(tensor, None, CROSS, (tensor.rank - 2,))
    return [pairs[tensor.name] for tensor in graph.inputs if tensor.name in pairs]


def _may_carry(tensor: Tensor) -> bool:
    return BITS.get(tensor.dtype, 0) in range(1, 33) and tensor.dtype not in ("bool", "int32", "uint32")


class _Path(NamedTuple):
    """A value on the path back from an output, and the operators between them."""

    name: str
    keys: frozenset[str]


def _origin(graph: Graph, output: Tensor, uses: DefUse, fitting: dict[str, Tensor]) -> CachePair | None:
    """The input that the output continues according to the graph; of several, the one with the same name, else the first."""
    found: list[_Path] = []
    pending, seen = [_Path(output.name, frozenset())], {output.name}
    while pending and len(seen) < _MOST_NODES:
        name, keys = pending.pop()
        if name in fitting:
            found.append(_Path(name, keys))
            continue
        node = uses.definition(name)
        if node is None:
            continue
        for tensor in _carried(node, name):
            if tensor.name not in seen:
                seen.add(tensor.name)
                pending.append(_Path(tensor.name, keys | {node.key}))
    found = [path for path in found if AFFINE.isdisjoint(path.keys) or _has_batch_alone(graph, fitting[path.name])]
    role = _role(output.name)
    path = min(found, key=lambda each: (_role(each.name) != role, list(fitting).index(each.name)), default=None)
    return None if path is None else _pair(fitting[path.name], output, path.keys, uses)


def _carried(node: Node, name: str) -> Iterable[Tensor]:
    """The inputs whose elements a node passes on to an output."""
    place = next(place for place, tensor in enumerate(node.outputs) if tensor is not None and tensor.name == name)
    continued = CACHE_INPUTS.get(node.key) or STATE_INPUTS.get(node.key)
    taken: tuple[Tensor | None, ...]
    if continued is not None:
        taken = (node.input(continued[place]),) if place in continued else ()
    elif node.key == "If":  # whose branch is known: it reads the outputs of the branch
        taken = node.inputs[place : place + 1] if len(node.inputs) == len(node.outputs) and not node.branches else ()
    elif node.key == "Concat" or node.key in AFFINE:
        taken = node.inputs
    else:
        taken = node.inputs[:1] if node.key in _MOVES | _WRITES | GATHERS else ()
    return [tensor for tensor in taken if tensor is not None and not tensor.is_constant]


def _has_batch_alone(graph: Graph, tensor: Tensor) -> bool:
    """Whether no dim but its batch is open: it has no length, as states have none."""
    batch = batch_dim(graph)
    of_batch = {place for dim in batch.dims for place in dim.places} if batch is not None else set()
    own = (place for dim in graph.dims for place in dim.places if place[0] == tensor.name)
    return all(place in of_batch or not place[1] for place in own)


def _namesake(graph: Graph, output: Tensor, fitting: dict[str, Tensor], uses: DefUse) -> CachePair | None:
    """The input that the output continues by their names."""
    role = _role(output.name)
    past = next((tensor for tensor in fitting.values() if _role(tensor.name) == role), None)
    if past is None:
        return None
    names = f"{past.name} {output.name}"
    if role and re.search(_STATES, names, re.IGNORECASE) and _has_batch_alone(graph, past) and past.shape == output.shape:
        return CachePair(past, output, STATE, ())
    if past.rank < 3 or not all(re.search(_CACHED, name, re.IGNORECASE) for name in (past.name, output.name)):
        return None
    return _pair(past, output, frozenset({"Identity" if "encoder" in past.name else "TensorScatter"}), uses)


def _role(name: str) -> str:
    """The name without the words for past and present: ``past_key_values.0.key`` and ``present.0.key`` are both ``0 key``."""
    words = re.sub(rf"(?i)(?<![a-z])({_TELLING})(?![a-z])", " ", name)
    return " ".join(re.findall(r"[A-Za-z]+|\d+", words)).lower()


def _pair(past: Tensor, present: Tensor, keys: frozenset[str], uses: DefUse) -> CachePair:
    grown = [axis for axis, sizes in enumerate(zip(past.shape, present.shape, strict=True)) if sizes[0] != sizes[1]]
    if "com.microsoft.PagedAttention" in keys:
        return CachePair(past, present, KV, (0, 1))
    if grown:
        return CachePair(past, present, KV, (grown[0],))
    # A window that slides over a convolution is a state of constant size.
    slides = past.rank > 3 and "Concat" in keys and _is_attended_to(past, uses)
    if slides or not keys.isdisjoint(CACHE_INPUTS) or not keys.isdisjoint(_WRITES):
        return CachePair(past, present, KV, (past.rank - 2,))
    if keys <= VIEWS | CASTS and past.rank > 2:
        return CachePair(past, present, CROSS, (past.rank - 2,))
    return CachePair(past, present, STATE, ())


def _with_readers(pair: CachePair, uses: DefUse) -> CachePair:
    """The pair with the attributes of the operators that attend to it."""
    readers = [node for node in uses.readers(pair.past.name) if node.key in CACHE_INPUTS]
    windows = [int(node.attributes.get("local_window_size", -1)) for node in readers]
    window = max(windows) if windows and min(windows) > 0 else None
    slides = any(node.attributes.get("sliding_window_cache") for node in readers)
    return pair._replace(window=window, room=window if slides else None, readers=max(len(readers), 1))


def _is_attended_to(tensor: Tensor, uses: DefUse) -> bool:
    """Whether the tensor is multiplied with a value of the step, possibly after being moved, or read as keys or values."""
    pending, seen = [tensor.name], {tensor.name}
    while pending and len(seen) < _MOST_NODES:
        name = pending.pop()
        for node, place in uses.reads(name):
            if node.key in ATTENTIONS and place in (1, 2):
                return True
            if node.key in FLOAT_PRODUCTS and (other := node.input(1 - place)) is not None and not other.is_constant:
                return True
            is_scaled = node.key == "Mul" and any(each is not None and each.is_constant for each in node.inputs)
            if (node.key in _MOVES and place == 0) or is_scaled:
                moved = [out.name for out in node.outputs if out is not None and out.name not in seen]
                pending += moved
                seen.update(moved)
    return False
