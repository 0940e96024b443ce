"""Two graphs aligned: first their layers, by order, operator and shape, then the nodes between one layer and the next.

A layer is a node with MACs. Names do not matter, and a shape in NCHW equals the same shape in NHWC. Attention in one operator
is paired with the nodes that spell it out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from onnxcost.comparison.candidates import CostedNode
from onnxcost.operators.traits import ATTENTIONS, CONVOLUTIONS, PRODUCTS, VIEWS

FAMILIES: Mapping[str, str] = dict.fromkeys(CONVOLUTIONS, "conv") | dict.fromkeys(PRODUCTS, "product")
"""Operators that do the same work; every other operator is its own family."""

MOST_CELLS, MOST_KINDS = 25_000_000, 1_000_000
"""The most pairs of nodes, and of unlike nodes, for which the best alignment is computed; beyond that, runs of equal nodes are
aligned.
"""


class NodePair(NamedTuple):
    """A node of the left graph and its counterpart in the right graph; None for the missing one of the two."""

    left: CostedNode | None
    right: CostedNode | None


class AlignedSegment(NamedTuple):
    """The nodes from one layer that both graphs have up to the next. ``layer`` is None before the first layer."""

    layer: NodePair | None
    pairs: tuple[NodePair, ...]


class Alignment(NamedTuple):
    """Every node of both graphs, each in one pair.

    ``layers`` are the numbers of layers (left, right); ``alike`` of them have a counterpart of the same shape. ``attentions``
    are how many of the layers are attention in one operator, which may stand for six of the other graph.
    """

    places: tuple[AlignedSegment, ...]
    alike: int
    layers: tuple[int, int]
    attentions: tuple[int, int] = (0, 0)

    @property
    def is_close(self) -> bool:
        """Whether the graphs correspond: at least half of the layers have a counterpart of the same shape, or all of one graph
        except for its attention.
        """
        others = zip(self.layers, self.attentions, strict=True)
        return 2 * self.alike >= max(self.layers) or any(each and self.alike >= of - each > 0 for of, each in others)


class Signature(NamedTuple):
    """The properties by which nodes are compared. Sizes are sorted and without 1s, so that the layout does not matter.

    ``terms`` are the MACs of one element of the output: multiplied by the output's channels, the size of the weights.
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
    """Pair the nodes of two graphs, given in order of execution."""
    left_layers, right_layers = _layers(left), _layers(right)
    matches = match_signatures([signature_of(left[at]) for at in left_layers], [signature_of(right[at]) for at in right_layers])
    anchors = [(left_layers[one], right_layers[other]) for one, other in matches]
    places = []
    for start, end in zip([(-1, -1), *anchors], [*anchors, (len(left), len(right))], strict=True):
        layer = NodePair(left[start[0]], right[start[1]]) if start != (-1, -1) else None
        between = _pairs(left[start[0] + 1 : end[0]], right[start[1] + 1 : end[1]])
        places.append(AlignedSegment(layer, ((layer,) if layer else ()) + between))
    signatures = [(signature_of(left[one]), signature_of(right[other])) for one, other in anchors]
    alike = sum(one.output == other.output or one.terms == other.terms for one, other in signatures)
    attentions = (
        sum(left[at].operator in ATTENTIONS for at in left_layers),
        sum(right[at].operator in ATTENTIONS for at in right_layers),
    )
    return Alignment(_pair_across_segments(places), alike, (len(left_layers), len(right_layers)), attentions)


def _layers(nodes: Sequence[CostedNode]) -> list[int]:
    return [at for at, node in enumerate(nodes) if node.macs]


def _pairs(left: Sequence[CostedNode], right: Sequence[CostedNode]) -> tuple[NodePair, ...]:
    """All nodes of both graphs in pairs, in an order that agrees with both graphs."""
    pairs, at = [], (0, 0)
    for match in [*match_signatures(list(map(signature_of, left)), list(map(signature_of, right))), (len(left), len(right))]:
        pairs += [NodePair(node, None) for node in left[at[0] : match[0]]]
        pairs += [NodePair(None, node) for node in right[at[1] : match[1]]]
        if match != (len(left), len(right)):
            pairs.append(NodePair(left[match[0]], right[match[1]]))
        at = (match[0] + 1, match[1] + 1)
    return tuple(pairs)


def _pair_across_segments(places: Sequence[AlignedSegment]) -> tuple[AlignedSegment, ...]:
    """The segments, with equal nodes of different segments paired, as in two branches in a different order."""
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
    """How similar two nodes are: 0 for nodes of different families, which are never paired."""
    if one.family != other.family:
        return 0
    terms, output, inputs = one.terms == other.terms, one.output == other.output, one.inputs == other.inputs
    shared = min(sum((Counter(one.output) & Counter(other.output)).values()), 3)
    # One pair that agrees in both must score higher than two pairs that agree in one each.
    return 1 + shared + 4 * terms + 4 * output + 2 * inputs + 8 * (terms and output)


def match_signatures(left: Sequence[Signature], right: Sequence[Signature]) -> list[tuple[int, int]]:
    """The indices of the pairs with the largest sum of likeness, in order: a weighted longest common subsequence."""
    if not left or not right:
        return []
    kinds, others = ({kind: at for at, kind in enumerate(dict.fromkeys(side))} for side in (left, right))
    if len(left) * len(right) > MOST_CELLS or len(kinds) * len(others) > MOST_KINDS:
        from difflib import SequenceMatcher

        blocks = SequenceMatcher(None, left, right, autojunk=False).get_matching_blocks()
        return [(block.a + step, block.b + step) for block in blocks for step in range(block.size)]
    import numpy as np

    table = np.array([[likeness(one, other) for other in others] for one in kinds], dtype=np.int32)
    columns = np.array([others[kind] for kind in right])
    gains = [table[kinds[kind], columns] for kind in left]
    best = np.zeros((len(left) + 1, len(right) + 1), dtype=np.int32)
    for at, gain in enumerate(gains):
        # A gap costs nothing, so the best sums of a row do not decrease from left to right.
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


def find_attentions(pairs: Sequence[NodePair]) -> Iterator[list[NodePair]]:
    """Each attention in one operator with the nodes that do the same in the other graph: two products with a softmax between
    them, all unpaired nodes that lead to them, and the change of layout after them.
    """
    for side in (0, 1):
        made_by = {name: pair for pair in pairs if (node := pair[1 - side]) for name in node.makes}
        read_by = {name: pair for pair in pairs if (node := pair[1 - side]) for name in node.reads}
        products = iter([pair for pair in pairs if (node := pair[1 - side]) and node.operator in PRODUCTS])
        used: set[int] = set()
        for whole in (pair for pair in pairs if (node := pair[side]) and node.operator in ATTENTIONS):
            for pair in products:
                before = [each for each in _lead_to(pair, 1 - side, made_by) if id(each) not in used]
                softmax = next((each for each in before if (node := each[1 - side]) and node.operator == "Softmax"), None)
                scores = _lead_to(softmax, 1 - side, made_by) if softmax else []
                first = next((each for each in scores if (node := each[1 - side]) and node.operator in PRODUCTS), None)
                if softmax and first and id(first) not in used:
                    behind = _rearranged(pair, 1 - side, read_by)
                    taken = list({id(each): each for each in (whole, first, softmax, pair, *before, *behind)}.values())
                    used.update(map(id, taken))
                    yield taken
                    break


def _rearranged(pair: NodePair, side: int, read_by: Mapping[str, NodePair]) -> list[NodePair]:
    """The nodes that only change the layout of the output of a node on that side."""
    found: list[NodePair] = []
    node = pair[side]
    while node and node.makes and (behind := read_by.get(node.makes[0])) and behind not in found:
        node = behind[side]
        if node is None or node.operator not in VIEWS | {"Transpose"}:
            break
        found.append(behind)
    return found


def _lead_to(pair: NodePair, side: int, made_by: Mapping[str, NodePair]) -> list[NodePair]:
    """The pairs whose nodes on that side lead to this pair's, the nearest first."""
    found, pending = dict[int, NodePair](), [pair]
    for each in pending:
        node = each[side]
        makers = [made_by[name] for name in node.reads if name in made_by] if node else []
        new = [maker for maker in makers if id(maker) not in found and maker is not pair]
        found.update((id(maker), maker) for maker in new)
        pending += new
    return list(found.values())
