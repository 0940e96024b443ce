"""Two graphs aligned: first their layers, by order, operator and shape, then the nodes between one layer and the next.

A layer is a node that has MACs. Names are not needed, and a shape is the same in NCHW and in NHWC.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from onnxcost.comparison.candidates import CostedNode
from onnxcost.operators.traits import CONVOLUTIONS, PRODUCTS

FAMILIES: Mapping[str, str] = dict.fromkeys(CONVOLUTIONS, "conv") | dict.fromkeys(PRODUCTS, "product")
"""Operators that do the same work; any other is a family of its own."""

MOST_CELLS = 25_000_000
"""Up to so many pairs of nodes the best alignment is looked for; beyond, runs of equal nodes."""


class NodePair(NamedTuple):
    """A node of the left graph and the one of the right that stands for it; None where there is none."""

    left: CostedNode | None
    right: CostedNode | None


class AlignedSegment(NamedTuple):
    """Where nodes stand: behind ``layer``, which both graphs have, None before the first; its own pair is the first."""

    layer: NodePair | None
    pairs: tuple[NodePair, ...]


class Alignment(NamedTuple):
    """Every node of both graphs, each in one pair. Of ``layers`` (left, right), ``alike`` have a partner of the same shape."""

    places: tuple[AlignedSegment, ...]
    alike: int
    layers: tuple[int, int]

    @property
    def is_close(self) -> bool:
        """Whether the graphs correspond: at least half of the layers do."""
        return 2 * self.alike >= max(self.layers)


class Signature(NamedTuple):
    """What two nodes are compared by: sizes without those of 1 and in no order, so that the layout does not matter.

    ``terms`` are the MACs of one element of the output: with the output's channels they are the size of the weights.
    """

    family: str
    terms: float
    output: tuple[int, ...]
    inputs: tuple[tuple[int, ...], ...]


def signature_of(node: CostedNode) -> Signature:
    """The signature of a node."""
    size = node.repeat
    for dim in node.output:
        size *= dim
    terms = node.macs / size if size else 0.0
    return Signature(
        FAMILIES.get(node.operator, node.operator), terms, _sizes(node.output), tuple(sorted(map(_sizes, node.inputs)))
    )


def _sizes(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(sorted(dim for dim in shape if dim != 1))


def align(left: Sequence[CostedNode], right: Sequence[CostedNode]) -> Alignment:
    """The nodes of two graphs, in order of execution, in pairs."""
    left_layers, right_layers = _layers(left), _layers(right)
    matches = match_signatures([signature_of(left[at]) for at in left_layers], [signature_of(right[at]) for at in right_layers])
    anchors = [(left_layers[one], right_layers[other]) for one, other in matches]
    places = []
    for start, end in zip([(-1, -1), *anchors], [*anchors, (len(left), len(right))], strict=True):
        layer = NodePair(left[start[0]], right[start[1]]) if start != (-1, -1) else None
        between = _pairs(left[start[0] + 1 : end[0]], right[start[1] + 1 : end[1]])
        places.append(AlignedSegment(layer, ((layer,) if layer else ()) + between))
    alike = sum(_is_alike(signature_of(left[one]), signature_of(right[other])) for one, other in anchors)
    return Alignment(_pair_across_segments(places), alike, (len(left_layers), len(right_layers)))


def _layers(nodes: Sequence[CostedNode]) -> list[int]:
    return [at for at, node in enumerate(nodes) if node.macs]


def _is_alike(one: Signature, other: Signature) -> bool:
    return one.output == other.output or one.terms == other.terms


def _pairs(left: Sequence[CostedNode], right: Sequence[CostedNode]) -> tuple[NodePair, ...]:
    """All nodes of both, in pairs, in an order that fits both."""
    pairs, at = [], (0, 0)
    for match in [*match_signatures(list(map(signature_of, left)), list(map(signature_of, right))), (len(left), len(right))]:
        pairs += [NodePair(node, None) for node in left[at[0] : match[0]]]
        pairs += [NodePair(None, node) for node in right[at[1] : match[1]]]
        if match != (len(left), len(right)):
            pairs.append(NodePair(left[match[0]], right[match[1]]))
        at = (match[0] + 1, match[1] + 1)
    return tuple(pairs)


def _pair_across_segments(places: Sequence[AlignedSegment]) -> tuple[AlignedSegment, ...]:
    """The places with equal nodes in one pair that only stand elsewhere in the other graph, as those of two branches may."""
    pairs = [pair for place in places for pair in place.pairs]
    twins: dict[tuple[object, ...], list[CostedNode]] = {}
    for node in reversed([pair.right for pair in pairs if pair.left is None and pair.right is not None]):
        twins.setdefault(_figures(node), []).append(node)
    partners: dict[int, CostedNode] = {}
    for node in (pair.left for pair in pairs if pair.left is not None and pair.right is None):
        if found := twins.get(_figures(node)):
            partners[id(node)] = found.pop()
    taken = set(map(id, partners.values()))
    return tuple(
        place._replace(
            pairs=tuple(
                pair if pair.right is not None else NodePair(pair.left, partners.get(id(pair.left)))
                for pair in place.pairs
                if pair.left is not None or id(pair.right) not in taken
            )
        )
        for place in places
    )


def _figures(node: CostedNode) -> tuple[object, ...]:
    return (node.operator, signature_of(node), node.count, node.traffic)


def likeness(one: Signature, other: Signature) -> int:
    """How much two nodes are alike: 0 for those that never stand for each other."""
    if one.family != other.family:
        return 0
    terms, output, inputs = one.terms == other.terms, one.output == other.output, one.inputs == other.inputs
    shared = min(sum((Counter(one.output) & Counter(other.output)).values()), 3)
    # Twice as many points where both are the same: one layer that fits wins over two that fit by halves.
    return 1 + shared + 4 * terms + 4 * output + 2 * inputs + 8 * (terms and output)


def match_signatures(left: Sequence[Signature], right: Sequence[Signature]) -> list[tuple[int, int]]:
    """The indices of the pairs that are most alike in sum, both in order: a longest common subsequence with weights."""
    if not left or not right:
        return []
    if len(left) * len(right) > MOST_CELLS:
        return _equal_runs(left, right)
    import numpy as np

    kinds = {kind: at for at, kind in enumerate(dict.fromkeys((*left, *right)))}
    table = np.array([[likeness(one, other) for other in kinds] for one in kinds], dtype=np.int32)
    columns = np.array([kinds[kind] for kind in right])
    gains = [table[kinds[kind], columns] for kind in left]
    best = np.zeros((len(left) + 1, len(right) + 1), dtype=np.int32)
    for at, gain in enumerate(gains):
        # A gap costs nothing, so that what can be reached in a row never falls from left to right.
        np.maximum.accumulate(np.maximum(best[at, 1:], np.where(gain > 0, best[at, :-1] + gain, 0)), out=best[at + 1, 1:])
    matches = []
    one, other = len(left), len(right)
    while one and other:
        gain = int(gains[one - 1][other - 1])
        if gain and best[one, other] == best[one - 1, other - 1] + gain:
            one, other = one - 1, other - 1
            matches.append((one, other))
        elif best[one, other] == best[one - 1, other]:
            one -= 1
        else:
            other -= 1
    return matches[::-1]


def _equal_runs(left: Sequence[Signature], right: Sequence[Signature]) -> list[tuple[int, int]]:
    from difflib import SequenceMatcher

    blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
    return [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]
