"""What onnxruntime makes one kernel of: tables of the operators that follow each other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from onnxcost.graph import Graph, Node, Tensor
from onnxcost.hardware.kernels.executed import Executed, Readers

ACTIVATIONS = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish"})
CONSTANT_SUMS = frozenset({"BatchNormalization", "Add", "Mul", "Sub", "Div"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A follower that a node of ``heads`` takes in where it alone reads its result.

    ``others`` says what else the follower may read: "constants", those of "a channel" each (of a product a scalar, too), a
    tensor of the "same" shape, or "any". A node that took one in by a rule which is ``last`` takes in no more. A rule is
    ``fixed`` that holds where the model leaves no dim open. With ``leads`` it is the follower that runs, and does the head's
    work. ``kind`` is the operator that the two become.
    """

    heads: frozenset[str]
    followers: frozenset[str]
    others: str = "constants"
    last: bool = False
    leads: bool = False
    fixed: bool = False
    kind: str = ""


_CONVS = frozenset({"Conv"})
_LAYERNORMS = frozenset({"LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"})
_GEMMS = frozenset({"MatMul", "Gemm"})
RULES: tuple[Rule, ...] = (
    Rule(_CONVS, CONSTANT_SUMS, "a channel"),
    Rule(_CONVS, frozenset({"Add", "Sum"}), "same"),
    Rule(_CONVS, ACTIVATIONS, last=True),
    Rule(frozenset({"ConvTranspose"}), frozenset({"BatchNormalization"})),
    Rule(frozenset({"MatMul"}), frozenset({"Add"}), fixed=True),
    Rule(frozenset({"MatMul"}), frozenset({"Mul", "Div"})),
    Rule(frozenset({"Gemm"}), ACTIVATIONS, last=True),
    Rule(frozenset({"BatchNormalization"}), frozenset({"Relu"}), last=True),
    Rule(frozenset({"Add"}), _LAYERNORMS, leads=True, last=True, kind="SkipLayerNormalization"),
    Rule(frozenset({"Add"}), frozenset({"Gelu"}), leads=True, last=True, kind="BiasGelu"),
    Rule(frozenset({"Transpose"}), frozenset({"MatMul"}), "any", leads=True),
    Rule(frozenset({"Relu"}), frozenset({"Clip"})),
    Rule(frozenset({"MatMulInteger"}), frozenset({"Cast"})),
    Rule(frozenset({"MatMulInteger"}), frozenset({"Mul", "Add"}), "any"),
    Rule(frozenset({"LayerNormalization"}), frozenset({"Cast"})),
    Rule(frozenset({"Pad"}), frozenset({"Conv", "MaxPool", "AveragePool"}), leads=True),
)
"""In the order in which they are tried: each once for every reader, as onnxruntime's optimizers do it."""

PATTERNS: Mapping[tuple[str, ...], str] = {
    ("Div", "Erf", "Add", "Mul", "Mul"): "Gelu",
    ("Mul", "Erf", "Add", "Mul", "Mul"): "Gelu",
    ("ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"): "LayerNormalization",
    ("Pow", "ReduceMean", "Add", "Sqrt", "Reciprocal", "Mul", "Mul"): "SimplifiedLayerNormalization",
    ("Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Mul"): "SimplifiedLayerNormalization",
    ("Sigmoid", "Mul"): "QuickGelu",
}
"""Operators along the way of the data that one kernel does, and which."""


def patterns(graph: Graph, nodes: list[Node]) -> list[Executed]:
    """The nodes, and in place of those that are written out as PATTERNS the one kernel that does their work."""
    readers = Readers(graph, nodes)
    taken: set[int] = set()
    made: dict[int, Executed] = {}
    for start, node in enumerate(nodes):
        if start in taken or not any(node.key == pattern[0] for pattern in PATTERNS):
            continue
        for pattern, kind in PATTERNS.items():
            if (places := _matched(nodes, readers, start, pattern)) and not taken & set(places):
                taken.update(places)
                members = tuple(nodes[place] for place in places)
                last = members[-1]
                head = replace(node, inputs=(_entry(members), *node.inputs[1:]), outputs=last.outputs)
                made[places[-1]] = Executed(head, members[1:], kind=kind)
                break
    return [made.get(i) or Executed(node) for i, node in enumerate(nodes) if i not in taken or i in made]


def _entry(members: tuple[Node, ...]) -> Tensor:
    return max((t for t in members[0].inputs if t is not None), key=lambda t: (not t.is_constant, t.size if t.is_shaped else 0))


def _matched(nodes: list[Node], readers: Readers, start: int, pattern: tuple[str, ...]) -> list[int]:
    """The places of nodes of these operators, each one reading what the one before makes; [] where they are not so."""
    places = [start]
    for wanted in pattern[1:]:
        here = nodes[places[-1]]
        if here.key != "Sub" and readers.only(here.out) is None:
            return []
        following = [place for place in readers.places.get(here.out.name, ()) if nodes[place].key == wanted]
        if not following:
            return []
        places.append(following[0])
    if pattern[0] == "Sigmoid":
        other = [t.name for t in nodes[places[1]].inputs if t is not None]
        return places if nodes[start].x.name in other else []
    return places


def fused(graph: Graph, steps: list[Executed]) -> list[Executed]:
    """Each node together with what follows it and is done in the same kernel."""
    readers = Readers(graph, [step.node for step in steps])
    rules = [rule for rule in RULES if not (rule.fixed and graph.dims)]
    at, closed = dict(enumerate(steps)), set[int]()
    for place in range(len(steps)):
        while place in at and place not in closed and (following := readers.only(at[place].node.out)) in at:
            found = ((rule, merged) for rule in rules if (merged := _merged(at[place], at[following], rule)) is not None)
            rule, merged = next(found, (None, None))
            if rule is None or merged is None:
                break
            del at[place]
            at[following], place = merged, following
            if rule.last:
                closed.add(place)
    return [at[index] for index in sorted(at)]


def _merged(head: Executed, follower: Executed, rule: Rule) -> Executed | None:
    """One step for two; None where the rule does not hold."""
    node = follower.node
    if (head.kind or head.node.key) not in rule.heads or (follower.kind or node.op_type) not in rule.followers:
        return None
    if follower.absorbed and not follower.kind:
        return None
    made = head.node.out
    others = tuple(t for t in node.inputs if t is not None and not t.is_constant and t.name != made.name)
    if rule.others in ("constants", "a channel") and others:
        return None
    if rule.others == "a channel" and not _suits_channels(node, made):
        return None
    if rule.others == "same" and not (len(others) == 1 and others[0].dims == made.dims and not head.residuals):
        return None
    if head.node.key == "Transpose" and not _swaps_last(head.node):
        return None
    if rule.leads:
        # It still has the shape that the follower reads.
        source = replace(made, name=head.node.x.name)
        inputs = tuple(source if t is not None and t.name == made.name else t for t in node.inputs)
        absorbed = (*head.absorbed, head.node, *follower.absorbed)
        return replace(follower, node=replace(node, inputs=inputs), absorbed=absorbed, kind=rule.kind or follower.kind)
    absorbed = (*head.absorbed, node, *follower.absorbed)
    return replace(head, node=replace(head.node, outputs=node.outputs), absorbed=absorbed, residuals=(*head.residuals, *others))


def _suits_channels(node: Node, made: Tensor) -> bool:
    """Whether its constants have an element a channel, as a bias has to; of a product one may be a scalar."""
    sizes = {t.size for t in node.inputs if t is not None and t.is_constant and t.is_shaped}
    allowed = {made.dims[1]} | ({1} if node.key in ("Mul", "Div") else set()) if made.dims and len(made.dims) > 1 else set()
    return sizes <= allowed


def _swaps_last(node: Node) -> bool:
    order = list(node.attributes.get("perm") or ())
    return len(order) > 1 and order == [*range(len(order) - 2), len(order) - 1, len(order) - 2]
