"""The search for sizes that fit: if a node cannot exist with the assumed sizes, the next sensible ones are tried."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from heapq import heappop, heappush
from itertools import count
from math import isqrt, log2, prod
from time import process_time
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from onnxcost.errors import ModelError
from onnxcost.frontend.contradictions import Contradiction
from onnxcost.frontend.dims import describe_assumptions, hint_at_channels
from onnxcost.frontend.stored_graphs import StoredGraphs
from onnxcost.graph import BoundDim

if TYPE_CHECKING:
    from onnx import GraphProto

    from onnxcost.frontend.assumptions import OpenDim, OpenDims


_ENOUGH = 16
"""Tries without any change to a contradiction after which its dim is assumed to be unrelated to it."""
MOST_TRIES, MOST_SECONDS = 120, 3
"""Bounds of the search: the number of tries, and the CPU seconds by which the last try should end."""
MOST_DIMS = 16
"""The most dims that are changed for one contradiction: those nearest to its node."""

_LARGEST = 2**31
"""Larger than all sizes that are tried."""
FITTED = "the first that fits"
"""The start of the reason for a size that follows from the graph."""
_LONGEST = 30
"""The most characters of a node's name in a reason."""

Moved = Mapping[str, tuple[int, str]]
"""A size other than the usual one, and why, by the group of dims."""
T = TypeVar("T")


def fit(open_dims: OpenDims, graph: GraphProto, shape: Callable[[tuple[BoundDim, ...]], T], graphs: StoredGraphs) -> T:
    """The result of ``shape`` for the first sizes of the open dims for which it does not raise Contradiction.

    Raises ModelError if no sizes fit.
    """
    bound, started, tries = open_dims.bind(), process_time(), 0
    try:
        return shape(bound)
    except Contradiction as contradiction:
        first = contradiction
    slowest = process_time() - started
    started += slowest
    search = _Search(open_dims, graph, graphs)
    search.add(_Try({}, 0.0), first)
    while tries < MOST_TRIES and process_time() - started + slowest < MOST_SECONDS and (next_try := search.next()) is not None:
        before, tries = process_time(), tries + 1
        try:
            return shape(open_dims.bind(next_try.moved))
        except Contradiction as contradiction:
            search.add(next_try, contradiction)
        slowest = max(slowest, process_time() - before)
    tried = f"; {tries} other sizes were tried, and none fits" if tries else ""
    hint = hint_at_channels(open_dims.shapes, first.pairs)
    raise ModelError(f"{first}{tried}{describe_assumptions(bound)}{hint}") from None


class _Try(NamedTuple):
    """Sizes to try: their ``cost``, the ``changed`` ones, and the contradictions that they were changed for (``known``)."""

    moved: Moved
    cost: float
    changed: tuple[str, ...] = ()
    position: int = -1
    known: Hashable = None


class _Search:
    """The order of tries: the one that got furthest through the graph, then the smallest change."""

    def __init__(self, open_dims: OpenDims, graph: GraphProto, graphs: StoredGraphs) -> None:
        self._open_dims, self._graphs = open_dims, graphs
        self._made_by = {name: node for node in graphs.nodes_of(graph) for name in node.output}
        self._order = count()
        self._waiting: list[tuple[int, float, int, _Try]] = []
        self._seen: set[frozenset[tuple[str, int]]] = {frozenset()}
        self._without_effect = Counter[tuple[int, str]]()

    def next(self) -> _Try | None:
        """The next untried sizes that may change something; None if there are none."""
        while self._waiting:
            found = heappop(self._waiting)[-1]
            key = frozenset((group, size) for group, (size, _) in found.moved.items())
            idle = all(self._without_effect[found.position, group] >= _ENOUGH for group in found.changed)
            if key not in self._seen and not idle:
                self._seen.add(key)
                return found
        return None

    def add(self, tried: _Try, contradiction: Contradiction) -> None:
        """The changes that may resolve the contradiction that a try led to."""
        if contradiction.step is None or contradiction.node is None:
            return
        known = contradiction.step.name, *contradiction.pairs
        if known == tried.known:
            self._without_effect.update((contradiction.position, group) for group in tried.changed)
        name = contradiction.step.name
        reason = f"{FITTED} {name if len(name) <= _LONGEST else f'…{name[-_LONGEST:]}'}"
        chosen = self._open_dims.choose(tried.moved)
        sizes = {name: choice.value for name, choice in chosen.items() if choice.source == "assumed"}
        dims = self._taking_part(contradiction, sizes)
        for extra, changes in _moves(dims, sizes, contradiction):
            if not all(0 <= size < _LARGEST for size in changes.values()):
                continue
            moved = {**tried.moved, **{group: (size, reason) for group, size in changes.items()}}
            cost, position = tried.cost + extra, contradiction.position
            new = _Try(moved, cost, tuple(changes), position, known)
            heappush(self._waiting, (-position, cost, next(self._order), new))

    def _taking_part(self, contradiction: Contradiction, sizes: Collection[str]) -> dict[str, OpenDim]:
        """The assumed dims of the inputs that the node depends on, by group, the nearest one first."""
        node = contradiction.node
        assert node is not None
        waiting, seen = [*node.input, *self._graphs.names_in_bodies(node)], set[str]()
        found: dict[str, OpenDim] = {}
        by_input: dict[str, list[OpenDim]] = {}
        for dim in self._open_dims.open.values():
            for name in {name for name, _ in dim.places}:
                by_input.setdefault(name, []).append(dim)
        for name in waiting:
            if len(found) >= MOST_DIMS:
                break
            if name in seen:
                continue
            seen.add(name)
            for dim in by_input.get(name, ()):
                for part in (dim.name, *self._open_dims.expressions.get(dim.name, ())):
                    if part in sizes:
                        found.setdefault(self._open_dims.open[part].group, self._open_dims.open[part])
            if (made := self._made_by.get(name)) is not None:
                waiting += [*made.input, *self._graphs.names_in_bodies(made)]
        return found


_OFTEN = (256, 192)
"""Sides of the images of models that cannot take 224."""
_PENALTY: Mapping[str, float] = {"batch": 6.0, "channels": -0.5, "past": 0.5, "samples": 1.0}


def _moves(
    dims: Mapping[str, OpenDim], sizes: Mapping[str, int], contradiction: Contradiction
) -> Iterator[tuple[float, dict[str, int]]]:
    """Other sizes of the dims, each with its cost: the less sensible, the higher."""
    by_kind = {dim.role.kind: (group, sizes[dim.name]) for group, dim in dims.items()}
    square = [by_kind[kind] for kind in ("height", "width", "depth") if kind in by_kind and len(by_kind) > 1]
    is_square = len(square) > 1 and len({size for _, size in square}) == 1
    for got, wanted in contradiction.pairs:
        for group, dim in dims.items():
            size, penalty = sizes[dim.name], _PENALTY.get(dim.role.kind, 0.0)
            if size == got:
                yield penalty, {group: wanted}
            if size + wanted - got >= (0 if dim.role.kind == "past" else 1):  # a cache may be empty
                yield 1.5 + penalty, {group: size + wanted - got}
            if got > 0 and size > 0:
                for rough, near in _near(size * wanted / got, dim.role.kind):
                    yield 1 + rough + penalty, {group: near}
        for power in range(2, len(square) + 1):
            scale = (wanted / got) ** (1 / power) if got > 0 and wanted > 0 else 1
            for rough, near in _near(square[0][1] * scale, "height"):
                factor = near / square[0][1] if square[0][1] else 1
                yield (
                    0.5 + rough + 0.2 * abs(log2(max(factor, 0.01))),
                    {group: max(round(size * factor), 1) for group, size in square[:power]},
                )
        yield from _oblong(square, got, wanted)
        if len(square) == 2 and (frames := next((dim for dim in dims.values() if dim.role.kind == "video frames"), None)):
            yield from _clips(frames, sizes[frames.name], square, got, wanted)
        yield from _factorizations(dims, sizes, got, wanted)
    for kind, alike in _alike(dims, sizes).items():
        size, penalty = sizes[alike[0].name], _PENALTY.get(kind, 0.0)
        for other in (*(wanted for got, wanted in contradiction.pairs if got == size), *alike[0].role.sizes):
            if other != size:
                change = abs(log2(max(other, 1) / max(size, 1)))
                yield 2.5 + change + penalty, {dim.group: other for dim in alike}
    for factor in contradiction.factors if square else ():
        for step in (32, 16, 8, 4, 2, 1):
            near = round(square[0][1] / (factor * step)) * factor * step
            if near > 0:
                yield 0.8 + abs(log2(near / max(square[0][1], 1))), dict.fromkeys((group for group, _ in square), near)
    for group, dim in dims.items():
        for size in dim.role.sizes:
            if size != sizes[dim.name]:
                change = abs(log2(max(size, 1) / max(sizes[dim.name], 1)))
                extra = 1.0 if is_square and dim.role.kind in ("height", "width", "depth") else 0.0
                if dim.role.kind == "samples":  # of all lengths only a few are in use
                    yield 0.3 + 0.1 * change, {group: size}
                yield 3 + change + extra + _PENALTY.get(dim.role.kind, 0.0), {group: size}
    if is_square:
        group, size = square[0]
        for other in dims[group].role.sizes:
            cost = (0.6 if other in _OFTEN else 3) + abs(log2(other / max(size, 1)))
            yield cost, dict.fromkeys((group for group, _ in square), other)


def _oblong(sides: Sequence[tuple[str, int]], got: int, wanted: int) -> Iterator[tuple[float, dict[str, int]]]:
    """Sides of an image, multiples of 8, with the required area: preferably near a square, wide before tall."""
    if len(sides) != 2 or got <= 0 or (area := sides[0][1] * sides[1][1] * wanted) % (64 * got):
        return
    blocks = area // (64 * got)
    short = [side for side in range(1, min(isqrt(max(blocks, 0)), _LONGEST_SIDE) + 1) if blocks % side == 0]
    for rank, side in enumerate(short[: -_MOST_OBLONG - 1 : -1]):
        height, width = 8 * side, 8 * blocks // side
        yield 0.75 + 0.05 * rank, {sides[0][0]: height, sides[1][0]: width}
        yield 0.77 + 0.05 * rank, {sides[0][0]: width, sides[1][0]: height}


def _clips(
    frames: OpenDim, count: int, sides: Sequence[tuple[str, int]], got: int, wanted: int
) -> Iterator[tuple[float, dict[str, int]]]:
    """Another usual number of frames, and square images for which the clip has the required number of patches, with or without
    one more token.
    """
    for extra in (0, 1):
        pixels = count * sides[0][1] * sides[1][1] * (wanted - extra)
        for size in frames.role.sizes if got > extra and pixels > 0 else ():
            side = isqrt(pixels // (size * (got - extra)))
            if side % 8 == 0 and side * side * size * (got - extra) == pixels:
                yield 0.5 + 0.1 * abs(log2(size / count)), {frames.group: size, **{group: side for group, _ in sides}}


_LONGEST_SIDE, _MOST_OBLONG = 256, 6
"""Of an image: the longest of its shorter sides, in blocks of 8, and the most pairs of sides that are tried."""


def _factorizations(
    dims: Mapping[str, OpenDim], sizes: Mapping[str, int], got: int, wanted: int
) -> Iterator[tuple[float, dict[str, int]]]:
    """Sizes of all dims with the product that a Reshape expects, if it gets theirs: the largest takes the remaining factor."""
    product = prod(sizes[dim.name] for dim in dims.values())
    if len(dims) < 2 or min(product, got, wanted) <= 0 or got % product or wanted % (got // product):
        return
    rest, changes = wanted // (got // product), dict[str, int]()
    for left, (group, dim) in zip(
        range(len(dims) - 1, -1, -1), sorted(dims.items(), key=lambda item: sizes[item[1].name]), strict=True
    ):
        size, even = sizes[dim.name], rest ** (1 / (left + 1))
        changes[group] = (
            max((part for part in range(1, min(size, int(even + 1e-6)) + 1) if rest % part == 0), default=1) if left else rest
        )
        rest //= changes[group]
    yield 0.6, changes


def _alike(dims: Mapping[str, OpenDim], sizes: Mapping[str, int]) -> dict[str, list[OpenDim]]:
    """The dims of one kind and size, if there are several: they may have to change together."""
    found: dict[str, list[OpenDim]] = {}
    for dim in dims.values():
        found.setdefault(dim.role.kind, []).append(dim)
    return {kind: alike for kind, alike in found.items() if len(alike) > 1 and len({sizes[dim.name] for dim in alike}) == 1}


def _near(size: float, kind: str) -> list[tuple[float, int]]:
    """Whole sizes near a computed one, with their costs; for the sides of images, round ones first."""
    if not 0.5 <= size < _LARGEST:
        return []
    exact = abs(size - round(size)) < 1e-9
    found = {round(size): 0.0 if exact else 0.4}
    if not exact or kind in ("height", "width", "depth", "samples"):
        for step, rough in (32, 0.2), (16, 0.25), (8, 0.3), (14, 0.35):
            rounded = round(size / step) * step
            if rounded > 0 and abs(rounded - size) <= 0.04 * size:
                rough += 0.3 if exact else 0.0
                found[rounded] = min(rough, found.get(rounded, rough))
    if not exact:
        found.setdefault(int(size) + (int(size) == round(size)), 0.6)
    return [(rough, near) for near, rough in found.items()]
