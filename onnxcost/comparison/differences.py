"""Why two models differ: by operator and, if their graphs correspond, by change. The parts add up to the whole."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

from onnxcost.comparison.alignment import FAMILIES, Alignment, NodePair, align, find_attentions, signature_of
from onnxcost.comparison.candidates import Candidate, CostedNode, CostedOperator
from onnxcost.operators.traits import DEQUANTIZERS


class Idiom(NamedTuple):
    """Operators of one graph that replace others (or none) of the other graph, and what that means.

    It applies only after a layer of the family ``after`` ("": anywhere); with ``at_end`` only after the last layer, and with
    ``by_channel`` only to nodes that read a value for each channel.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    meaning: str
    after: str = ""
    at_end: bool = False
    by_channel: bool = False


_LAYER_NORMALIZATION = ("ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add")
_UNFOLDED = "batch normalization not folded into the weights of the previous layer"
IDIOMS = (
    Idiom(("BatchNormalization",), ("Mul", "Add"), "batch normalization as a scale and a shift", by_channel=True),
    Idiom((), ("BatchNormalization",), _UNFOLDED, after="conv"),
    Idiom((), ("Mul", "Add"), _UNFOLDED, after="conv", by_channel=True),
    Idiom(("Gemm",), ("MatMul", "Add"), "the bias is added by a separate node"),
    Idiom(("LayerNormalization",), _LAYER_NORMALIZATION, "decomposed layer normalization"),
    Idiom(("Gelu",), ("Div", "Erf", "Add", "Mul", "Mul"), "decomposed GELU"),
    Idiom(("HardSwish",), ("HardSigmoid", "Mul"), "decomposed hard swish"),
    Idiom((), ("Sigmoid", "Mul"), "SiLU (swish), or a gate"),
    Idiom((), ("QuantizeLinear", "DequantizeLinear"), "quantized and dequantized (QDQ)"),
    Idiom((), ("DynamicQuantizeLinear",), "activations are quantized at run time"),
    Idiom((), ("Cast", "Mul", "Add"), "integer sums scaled back to floats, plus a bias", after="integers"),
    Idiom((), ("Cast", "Mul"), "integer sums scaled back to floats", after="integers"),
    Idiom((), ("Transpose",), "layout change"),
    Idiom((), ("Pad",), "padding by a separate node, not by the next node's pads"),
    Idiom((), ("Softmax",), "output is probabilities, not logits", at_end=True),
)
"""Tried in this order, in both directions."""
_BOTH_WAYS = [way for idiom in IDIOMS for way in (idiom, idiom._replace(left=idiom.right, right=idiom.left))]

_OF_INTEGERS = frozenset({"ConvInteger", "MatMulInteger"})
"""Layers whose results are sums of integers, which later nodes scale back to floats."""

BIAS: Mapping[tuple[int, int], str] = {(2, 3): "with a bias", (3, 2): "without a bias"}
"""By the number of a layer's inputs in the left and in the right graph."""


@dataclass(frozen=True, slots=True)
class Change:
    """Nodes that differ, summed over all ``places`` at which they differ in the same way; ``first`` is the first node's name.

    ``left`` and ``right`` are their operators. ``layer`` is the operator of the layer before them, "" before the first layer,
    and None for nodes that both graphs have. ``reason`` says how such nodes differ, and for others what the change probably
    means.
    """

    left: tuple[str, ...]
    right: tuple[str, ...]
    reason: str
    layer: str | None
    first: str
    places: int
    count: int
    traffic: int


def find_changes(alignment: Alignment) -> tuple[Change, ...]:
    """All differences between two aligned graphs, the largest first."""
    groups: dict[tuple[object, ...], list[Change]] = {}
    for change in _changes_by_place(alignment):
        groups.setdefault((change.left, change.right, change.reason, change.layer), []).append(change)
    found = [
        replace(
            same[0],
            places=len(same),
            count=sum(change.count for change in same),
            traffic=sum(change.traffic for change in same),
        )
        for same in groups.values()
    ]
    return tuple(sorted(found, key=lambda change: (-abs(change.count), -abs(change.traffic))))


def _changes_by_place(alignment: Alignment) -> Iterator[Change]:
    """The changes at every place, individually."""
    layers = [place.layer.left.operator if place.layer and place.layer.left else "" for place in alignment.places]
    unequal = [[pair for pair in place.pairs if not _is_one_operator(pair)] for place in alignment.places]
    layer_of = {id(pair): layer for pairs, layer in zip(unequal, layers, strict=True) for pair in pairs}
    explained: set[int] = set()
    for taken in find_attentions([pair for pairs in unequal for pair in pairs]):
        explained.update(map(id, taken))
        yield _change(taken, "decomposed attention", layer_of[id(taken[0])])
    for place, pairs, layer in zip(alignment.places, unequal, layers, strict=True):
        for pair in place.pairs:
            if _is_one_operator(pair) and pair.left and pair.right and (reason := explain_difference(pair.left, pair.right)):
                yield _change([pair], reason, None)
        is_of_integers = place.layer is not None and any(node and node.operator in _OF_INTEGERS for node in place.layer)
        family = "integers" if is_of_integers else FAMILIES.get(layer, layer)
        others = [pair for pair in pairs if id(pair) not in explained]
        yield from _find_replacements(others, layer, family, place is alignment.places[-1])


def _is_one_operator(pair: NodePair) -> bool:
    return pair.left is not None and pair.right is not None and pair.left.operator == pair.right.operator


def explain_difference(left: CostedNode, right: CostedNode) -> str:
    """How two nodes of the same operator differ; "" if they are equal."""
    one, other = signature_of(left), signature_of(right)
    if one.output != other.output:
        return f"{_compare_sizes([left.output], [right.output])} output"
    if len(left.inputs) != len(right.inputs):
        bias = BIAS.get((len(left.inputs), len(right.inputs))) if left.macs else None
        return bias or f"{len(right.inputs)} inputs rather than {len(left.inputs)}"
    if one.inputs != other.inputs:
        return f"{_compare_sizes(left.inputs, right.inputs)} input"
    if left.repeat != right.repeat:
        return f"{right.repeat} runs rather than {left.repeat}"
    if left.count != right.count:
        return "different attribute"
    return "different element type" if left.traffic != right.traffic else ""


def _compare_sizes(left: Sequence[tuple[int, ...]], right: Sequence[tuple[int, ...]]) -> str:
    before, after = (sum(map(math.prod, shapes)) for shapes in (left, right))
    return "smaller" if after < before else "larger" if after > before else "otherwise shaped"


def _find_replacements(pairs: list[NodePair], layer: str, family: str, is_last: bool) -> Iterator[Change]:
    """The changes among nodes without an equal one: idioms first, then one operator for another, then single nodes."""
    for idiom in _BOTH_WAYS:
        if idiom.after not in ("", family) or (idiom.at_end and not is_last):
            continue
        while taken := _match_idiom(pairs, idiom):
            yield _change(taken, idiom.meaning, layer)
            pairs = [pair for pair in pairs if not any(pair is one for one in taken)]
    lost: dict[object, list[CostedNode]] = {}
    for pair in pairs:
        if pair.left and not pair.right:
            lost.setdefault(_role(pair.left), []).append(pair.left)
    for pair in pairs:
        if pair.right is None:
            continue
        twins = lost.get(_role(pair.right)) if pair.left is None else None
        twin = twins.pop(0) if twins else pair.left
        if twin and twin.operator == pair.right.operator:
            yield _change([NodePair(twin, pair.right)], explain_difference(twin, pair.right), None)
        else:
            reason = "same output, different operator" if twin else _explain_single(pair.right)
            yield _change([NodePair(twin, pair.right)], reason, layer)
    yield from (_change([NodePair(node, None)], _explain_single(node), layer) for nodes in lost.values() for node in nodes)


def _explain_single(node: CostedNode) -> str:
    return "weight stored in fewer bits" if node.operator in DEQUANTIZERS and node.parameters else ""


def _match_idiom(pairs: Sequence[NodePair], idiom: Idiom) -> list[NodePair]:
    """The first pairs with exactly the operators of the idiom; none if one is missing."""

    def fits(node: CostedNode, operators: Sequence[str]) -> bool:
        is_plain = not idiom.by_channel or node.operator not in ("Mul", "Add")
        return node.operator in operators and (is_plain or _reads_value_by_channel(node))

    missing = (list(idiom.left), list(idiom.right))
    taken = []
    for pair in pairs:
        if all(node is None or fits(node, operators) for node, operators in zip(pair, missing, strict=True)):
            taken.append(pair)
            for node, operators in zip(pair, missing, strict=True):
                if node:
                    operators.remove(node.operator)
            if not any(missing):
                return taken
    return []


def _reads_value_by_channel(node: CostedNode) -> bool:
    """Whether one of its inputs is a vector as long as the channels of its output: the second dim, or the last."""
    channels = {node.output[axis] for axis in (1, -1)} if len(node.output) > 1 else set()
    return any(max(shape, default=0) == math.prod(shape) > 1 and math.prod(shape) in channels for shape in node.inputs)


def _role(node: CostedNode) -> tuple[object, ...]:
    """A key that is equal for nodes that can replace each other. For a scalar output, it is the operator."""
    return (signature_of(node).output, bool(node.inputs)) if node.output else (node.operator,)


def _change(pairs: Sequence[NodePair], reason: str, layer: str | None) -> Change:
    left, right = ([node for node in side if node] for side in zip(*pairs, strict=True))
    return Change(
        tuple(node.operator for node in left),
        tuple(node.operator for node in right),
        reason,
        layer,
        first=(left or right)[0].name,
        places=1,
        count=sum(node.count for node in right) - sum(node.count for node in left),
        traffic=sum(node.traffic for node in right) - sum(node.traffic for node in left),
    )


@dataclass(frozen=True, slots=True)
class OperatorDifference:
    """An operator in both models; in a model without it, it has 0 nodes."""

    left: CostedOperator
    right: CostedOperator

    @property
    def operator(self) -> str:
        """Its name."""
        return self.left.operator

    @property
    def count(self) -> int:
        """The right model's count minus the left model's."""
        return self.right.count - self.left.count

    @property
    def parameters(self) -> int:
        """The right model's parameters minus the left model's."""
        return self.right.parameters - self.left.parameters

    @property
    def traffic(self) -> int:
        """The right model's traffic minus the left model's, in bytes."""
        return self.right.traffic - self.left.traffic


@dataclass(frozen=True)
class Differences:
    """How ``right`` differs from ``left``. Sums are over the counted nodes."""

    left: Candidate
    right: Candidate

    @cached_property
    def operators(self) -> tuple[OperatorDifference, ...]:
        """Every operator of either model, the largest difference first."""
        left, right = ({each.operator: each for each in model.operators} for model in (self.left, self.right))
        found = (
            OperatorDifference(left.get(name, CostedOperator(name)), right.get(name, CostedOperator(name)))
            for name in dict.fromkeys((*left, *right))
        )
        return tuple(sorted(found, key=lambda each: (-abs(each.count), -abs(each.traffic))))

    @property
    def count(self) -> int:
        """The right model's count minus the left model's."""
        return sum(each.count for each in self.operators)

    @property
    def parameters(self) -> int:
        """The right model's parameters minus the left model's."""
        return sum(each.parameters for each in self.operators)

    @property
    def traffic(self) -> int:
        """The right model's traffic minus the left model's, in bytes."""
        return sum(each.traffic for each in self.operators)

    def to_dict(self) -> dict[str, Any]:
        """An entry of the key ``differences`` of a comparison."""
        return {
            "model": self.right.label,
            "count": self.count,
            "parameters": self.parameters,
            "traffic_bytes": self.traffic,
            "operators": [
                {
                    "op_type": each.operator,
                    "nodes": [each.left.nodes, each.right.nodes],
                    "count": [each.left.count, each.right.count],
                    "parameters": [each.left.parameters, each.right.parameters],
                    "traffic_bytes": [each.left.traffic, each.right.traffic],
                }
                for each in self.operators
            ],
            "layers": {"alike": self.alignment.alike, "of": list(self.alignment.layers), "correspond": self.alignment.is_close},
            "changes": [asdict(change) for change in self.changes],
            "parameter_changes": [asdict(change) for change in self.parameter_changes],
            "different_layers": [
                {"nodes": [_node(pair.left), _node(pair.right)], "count": count_difference(pair)} for pair in self.layers
            ],
        }

    @cached_property
    def alignment(self) -> Alignment:
        """The nodes of both graphs in pairs."""
        return align(self.left.nodes, self.right.nodes)

    @cached_property
    def changes(self) -> tuple[Change, ...]:
        """All differences between the aligned graphs, the largest first; none if the graphs do not correspond."""
        return find_changes(self.alignment) if self.alignment.is_close else ()

    @cached_property
    def parameter_changes(self) -> tuple[ParameterChange, ...]:
        """Why the parameters differ, the largest difference first; none if they do not, or the graphs do not correspond."""
        if not self.parameters or not self.alignment.is_close:
            return ()
        return tuple(sorted(find_parameter_changes(self), key=lambda change: -abs(change.count)))

    @cached_property
    def layers(self) -> tuple[NodePair, ...]:
        """The layers whose MACs differ or that one graph lacks, the largest difference first.

        None if the graphs do not correspond.
        """
        pairs = (pair for place in self.alignment.places for pair in place.pairs if _macs(pair.left) != _macs(pair.right))
        return tuple(sorted(pairs, key=lambda pair: -abs(count_difference(pair)))) if self.alignment.is_close else ()


@dataclass(frozen=True, slots=True)
class ParameterChange:
    """Parameters that only one of the models stores: the node that reads them there, the right model's number minus the left
    model's, and why the other one has fewer.
    """

    node: str
    operator: str
    count: int
    reason: str


def find_parameter_changes(differences: Differences) -> Iterator[ParameterChange]:
    """Nodes with their own parameters whose counterparts share them with another node, or read values that nodes compute."""
    sides = (differences.left, differences.right)
    made_by = [{name: node for node in side.nodes for name in node.makes} for side in sides]
    first_reads: list[dict[str, CostedNode]] = [{}, {}]
    for readers, side in zip(first_reads, sides, strict=True):
        for node in side.nodes:
            for name in node.reads:
                readers.setdefault(name, node)
    for pair in (pair for place in differences.alignment.places for pair in place.pairs):
        left, right = pair
        if left is None or right is None or left.parameters == right.parameters:
            continue
        at = 0 if left.parameters < right.parameters else 1
        fewer, more = (left, right) if at == 0 else (right, left)
        reason = _explain_fewer(fewer, more.parameters - fewer.parameters, sides[at].label, made_by[at], first_reads[at])
        if reason:
            yield ParameterChange(more.name, more.operator, right.parameters - left.parameters, reason)


def _explain_fewer(
    node: CostedNode, missing: int, label: str, made_by: Mapping[str, CostedNode], first_reads: Mapping[str, CostedNode]
) -> str:
    """Why a node has fewer parameters than its counterpart; "" if no reason is found."""
    for name, shape in zip(node.reads, node.inputs, strict=False):
        makers: list[CostedNode] = []
        while (maker := made_by.get(name)) and maker.inputs and not maker.macs and maker not in makers:
            makers.append(maker)
            shape, name = max(zip(maker.inputs, maker.reads, strict=False), key=lambda each: math.prod(each[0]))
        owner = first_reads.get(name)
        if name in made_by or owner is None or not owner.parameters:
            continue
        if owner is not node and owner not in makers and math.prod(shape) == missing:
            return f"stored twice: {label} reads '{name}', which {owner.operator} also reads"
        if makers and math.prod(shape) < missing:
            return f"stored as a constant: in {label}, {makers[0].operator} computes it from {math.prod(shape):,} elements"
    return ""


def _macs(node: CostedNode | None) -> int:
    return node.macs if node else 0


def _node(node: CostedNode | None) -> dict[str, Any] | None:
    if node is None:
        return None
    return {"name": node.name, "op_type": node.operator, "output": list(node.output), "macs": node.macs, "count": node.count}


def count_difference(pair: NodePair) -> int:
    """The right node's count minus the left node's."""
    return (pair.right.count if pair.right else 0) - (pair.left.count if pair.left else 0)
