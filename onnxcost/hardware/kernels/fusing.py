"""What onnxruntime makes one kernel of, of two nodes that follow each other: a table of rules."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from onnxcost.graph import Graph, Node, Tensor
from onnxcost.hardware.kernels.executed import Executed, Readers, constants_of
from onnxcost.hardware.kernels.patterns import entry

ACTIVATIONS = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish"})
GEMM_ACTIVATIONS = (ACTIVATIONS - {"Clip", "HardSwish"}) | {"Elu", "Selu", "Softplus", "Softsign", "ThresholdedRelu"}
CONSTANT_SUMS = frozenset({"BatchNormalization", "Add", "Mul"})


@dataclass(frozen=True, slots=True)
class Rule:
    """A follower that a node of ``heads`` takes in where it alone reads its result.

    ``others`` says what else the follower may read: "constants", those of "a channel" each (of a product a scalar, too), a
    tensor of the "same" shape, or "any". A node that took one in by a rule which is ``last`` takes in no more. A rule is
    ``fixed`` that holds where the model leaves no dim open. With ``leads`` it is the follower that runs, and does the head's
    work. ``kind`` is the operator that the two become. ``when`` is what else has to hold of head and follower.
    """

    heads: frozenset[str]
    followers: frozenset[str]
    others: str = "constants"
    last: bool = False
    leads: bool = False
    fixed: bool = False
    kind: str = ""
    when: Callable[[Node, Node], bool] = lambda head, follower: True


def _is_image(head: Node, follower: Node) -> bool:
    return head.x.dims is not None and len(head.x.dims) == 4


def _has_weights(node: Node) -> bool:
    """Whether it multiplies with a constant matrix, as a layer does."""
    weights = node.required(1)
    return weights.is_constant and weights.is_shaped and weights.rank == 2


def _is_layer(head: Node, follower: Node) -> bool:
    return _has_weights(head)


def _is_flat_layer(head: Node, follower: Node) -> bool:
    """Of rows alone, with no batch around them."""
    return _has_weights(head) and head.x.dims is not None and len(head.x.dims) == 2


def _swaps_last(head: Node, follower: Node) -> bool:
    """Transposes the matrices, not the batch around them; a layer takes its rows as they are."""
    order = list(head.attributes.get("perm") or ())
    swapped = [*range(len(order) - 2), len(order) - 1, len(order) - 2]
    return len(order) > 1 and order == swapped and not _has_weights(follower)


def _scales(head: Node, follower: Node) -> bool:
    """Multiplies all elements by the same known number."""
    known = constants_of(head)
    return len(known) == 1 and known[0].size == 1


def _is_scaled(head: Node, follower: Node) -> bool:
    return _scales(follower, head)


def _adds_bias(head: Node, follower: Node) -> bool:
    known = constants_of(head)
    return len(known) == 1 and known[0].rank == 1


_CONVS = frozenset({"Conv"})
_LAYERNORMS = frozenset({"LayerNormalization", "SimplifiedLayerNormalization", "RMSNormalization"})
_GEMMS = frozenset({"MatMul", "Gemm"})
RULES: tuple[Rule, ...] = (
    Rule(_CONVS, CONSTANT_SUMS, "a channel"),
    Rule(_CONVS, frozenset({"Add", "Sum"}), "same", when=_is_image),
    Rule(_CONVS, ACTIVATIONS, last=True),
    Rule(frozenset({"ConvTranspose"}), frozenset({"BatchNormalization"})),
    Rule(frozenset({"MatMul"}), frozenset({"Add"}), fixed=True, when=_is_layer),
    Rule(frozenset({"MatMul"}), frozenset({"Add"}), when=_is_flat_layer),
    Rule(frozenset({"MatMul"}), frozenset({"Mul", "Div"}), when=_is_scaled),
    Rule(frozenset({"Gemm"}), GEMM_ACTIVATIONS, last=True),
    Rule(frozenset({"BatchNormalization"}), frozenset({"Relu"}), last=True),
    Rule(frozenset({"Add"}), _LAYERNORMS, leads=True, last=True, kind="SkipLayerNormalization"),
    Rule(frozenset({"Add"}), frozenset({"Gelu"}), leads=True, last=True, kind="BiasGelu"),
    Rule(frozenset({"Transpose"}), frozenset({"MatMul"}), "any", leads=True, when=_swaps_last),
    Rule(frozenset({"Mul", "Div"}), frozenset({"MatMul"}), "any", leads=True, when=_scales),
    Rule(frozenset({"Relu"}), frozenset({"Clip"})),
    Rule(frozenset({"MatMulInteger"}), frozenset({"Cast"})),
    Rule(frozenset({"MatMulInteger"}), frozenset({"Mul"}), "any"),
    Rule(frozenset({"MatMulInteger"}), frozenset({"Add"})),
    Rule(frozenset({"LayerNormalization"}), frozenset({"Cast"})),
    Rule(frozenset({"Pad"}), frozenset({"Conv"}), leads=True),
)
"""In the order in which they are tried: each once for every reader, as onnxruntime's optimizers do it."""
LATER_RULES: tuple[Rule, ...] = (
    Rule(frozenset({"Add"}), frozenset({"SkipLayerNormalization"}), "any", leads=True, when=_adds_bias),
)
"""Of what the others made."""


def fused(graph: Graph, steps: list[Executed]) -> list[Executed]:
    """Each node together with what follows it and is done in the same kernel."""
    return _applied(graph, _applied(graph, steps, RULES), LATER_RULES)


def _applied(graph: Graph, steps: list[Executed], all_rules: tuple[Rule, ...]) -> list[Executed]:
    readers = Readers(graph, [step.node for step in steps])
    rules = [rule for rule in all_rules if not (rule.fixed and graph.dims)]
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
    if follower.absorbed and not (follower.kind or rule.leads):
        return None
    made = head.node.out
    others = tuple(t for t in node.inputs if t is not None and not t.is_constant and t.name != made.name)
    if rule.others in ("constants", "a channel") and others:
        return None
    if rule.others == "a channel" and not _suits_channels(node, made):
        return None
    if rule.others == "same" and not (len(others) == 1 and others[0].dims == made.dims and not head.residuals):
        return None
    if not rule.when(head.node, node):
        return None
    if rule.leads:
        # It still has the shape that the follower reads.
        source = replace(made, name=entry((head.node,)).name)
        inputs = tuple(source if t is not None and t.name == made.name else t for t in node.inputs)
        absorbed = (*head.absorbed, head.node, *follower.absorbed)
        return replace(follower, node=replace(node, inputs=inputs), absorbed=absorbed, kind=rule.kind or follower.kind)
    absorbed = (*head.absorbed, node, *follower.absorbed)
    return replace(head, node=replace(head.node, outputs=node.outputs), absorbed=absorbed, residuals=(*head.residuals, *others))


def _suits_channels(node: Node, made: Tensor) -> bool:
    """Whether its constants have an element a channel, as a bias has to; of a product one may be a scalar."""
    sizes = {tensor.size for tensor in constants_of(node)}
    allowed = {made.dims[1]} | ({1} if node.key == "Mul" else set()) if made.dims and len(made.dims) > 1 else set()
    return sizes <= allowed
