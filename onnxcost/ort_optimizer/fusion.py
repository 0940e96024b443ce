"""onnxruntime's fusions: constant folding, a table of chains that become one kernel, and a table of rules for pairs.

Each is named after the class in onnxruntime's core/optimizer that it models; the tests run onnxruntime without that pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Set
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

from onnxcost.graph import DefUse, Graph, Node, Tensor
from onnxcost.operators.traits import COUNTS_OF_VALUES, IDENTITIES, RANDOM, SHAPE_READERS
from onnxcost.ort_optimizer.fused_node import FusedNode, axes_of, constants_of

_SIMPLIFIED = "SimplifiedLayerNormalization"


class FusionPattern(NamedTuple):
    """A chain of operators that the pass ``name`` replaces by one kernel of operator ``kind``."""

    name: str
    operators: tuple[str, ...]
    kind: str


PATTERNS: tuple[FusionPattern, ...] = (
    FusionPattern("GeluFusion", ("Div", "Erf", "Add", "Mul", "Mul"), "Gelu"),
    FusionPattern("FastGeluFusion", ("Pow", "Mul", "Add", "Mul", "Tanh", "Add", "Mul"), "FastGelu"),
    FusionPattern(
        "LayerNormFusion", ("ReduceMean", "Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Add"), "LayerNormalization"
    ),
    FusionPattern("SimplifiedLayerNormFusion", ("Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul", "Mul"), _SIMPLIFIED),
    FusionPattern("SimplifiedLayerNormFusion", ("Pow", "ReduceMean", "Add", "Sqrt", "Div", "Mul"), _SIMPLIFIED),
    FusionPattern("QuickGeluFusion", ("Mul", "Sigmoid", "Mul"), "QuickGelu"),
    FusionPattern("QuickGeluFusion", ("Sigmoid", "Mul"), "QuickGelu"),
)
PATTERNS_OF_HALVES = tuple(pattern for pattern in PATTERNS if pattern.name != "GeluFusion")
"""Those of models in float16: there is no kernel for its Gelu, which is inlined again."""


def fuse_patterns(graph: Graph, patterns: tuple[FusionPattern, ...] = PATTERNS) -> list[FusedNode]:
    """The nodes, with one kernel instead of each chain in ``patterns``."""
    nodes, uses = graph.nodes, graph.uses
    taken: set[int] = set()
    made: dict[int, FusedNode] = {}
    first = {operators[0] for _, operators, _ in patterns}
    for start, node in enumerate(nodes):
        if node.key not in first or start in taken:
            continue
        for _, pattern, kind in patterns:
            if node.key == pattern[0] and (places := _match_pattern(uses, start, pattern)) and not taken & set(places):
                places = sorted({*places, *_find_siblings(uses, places)})
                taken.update(places)
                members = tuple(nodes[place] for place in places)
                last = members[-1]
                head = node.rewire((pattern_input(members), *node.inputs[1:]), last.outputs)
                made[places[-1]] = FusedNode(head, members[1:], kind=kind)
                break
    return [made.get(i) or FusedNode(node) for i, node in enumerate(nodes) if i not in taken or i in made]


def _find_siblings(uses: DefUse, places: list[int]) -> list[int]:
    """The places of nodes that read the input of the first one, and whose results only nodes at ``places`` read."""
    read, inside = pattern_input((uses.nodes[places[0]],)).name, set(places)
    return [
        place
        for place in uses.positions(read)
        if place not in inside
        and uses.nodes[place].key in ("Mul", "Div")
        and inside.issuperset(uses.positions(uses.nodes[place].out.name) or (place,))
    ]


def pattern_input(members: tuple[Node, ...]) -> Tensor:
    """The input of the first one: the largest that is not a constant."""
    return max((t for t in members[0].inputs if t is not None), key=lambda t: (not t.is_constant, t.size if t.is_shaped else 0))


def _replaces_number(uses: DefUse, tensor: Tensor | None) -> bool:
    """Whether it is a single number that a caller may replace."""
    return (
        tensor is not None
        and tensor.is_shaped
        and tensor.size == 1
        and not (tensor.is_constant or uses.definition(tensor.name))
    )


def _match_pattern(uses: DefUse, start: int, pattern: tuple[str, ...]) -> list[int]:
    """The places of nodes of these operators, each one reading the output of the one before; [] if there are none."""
    nodes, places = uses.nodes, [start]
    for wanted in pattern[1:]:
        here = nodes[places[-1]]
        if here.key != "Sub" and uses.only_reader(here.out.name) is None:
            return []
        following = [place for place in uses.positions(here.out.name) if nodes[place].key == wanted]
        if not following or (wanted == "ReduceMean" and axes_of(nodes[following[0]]) != [nodes[following[0]].x.rank - 1]):
            return []
        places.append(following[0])
    if any(map(partial(_replaces_number, uses), (tensor for place in places for tensor in nodes[place].inputs))):
        return []
    if pattern[0] == "Pow" and "Sqrt" in pattern:
        # Divided by the root, or multiplied by 1 over it; then scaled.
        by_inverse = nodes[places[4]].x.is_constant
        scales = (tensor for tensor in nodes[places[-1]].inputs if tensor is not None and _has_rank(tensor, 1))
        return places if by_inverse == (len(pattern) == 7) and any(scales) else []
    if pattern[0] == "Mul" and [tensor.size for tensor in constants_of(nodes[start])] != [1]:
        return []
    if "Erf" in pattern and all(
        t is None or t.is_constant or t.name == nodes[places[2]].out.name for t in nodes[places[3]].inputs
    ):
        return []  # half of the sum is taken before the product
    if pattern[-2] == "Sigmoid":
        other = [t.name for t in nodes[places[-1]].inputs if t is not None]
        return places if pattern_input((nodes[start],)).name in other else []
    return places


ACTIVATIONS = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid", "HardSwish"})
GEMM_ACTIVATIONS = (ACTIVATIONS - {"Clip", "HardSwish"}) | {"Elu", "Selu", "Softplus", "Softsign", "ThresholdedRelu"}


@dataclass(frozen=True, slots=True)
class FusionRule:
    """A node of ``heads`` absorbs the only reader of its result, the follower, as in onnxruntime's pass ``name``.

    ``others`` says what else the follower may read: "constants", constants with one element for "a channel" (or for Mul a
    scalar), a tensor of the "same" shape, or "any". After a ``last`` rule the node absorbs no more. A ``fixed`` rule holds only
    if the model has no open dims, a ``shaped`` one if a runtime has a number or a symbol for each dim that the head reads. With
    ``leads`` the follower runs and absorbs the head. ``kind`` is the operator that the two become. ``when`` is a further
    condition on head and follower.
    """

    name: str
    heads: Set[str]
    followers: Set[str]
    others: str = "constants"
    last: bool = False
    leads: bool = False
    fixed: bool = False
    shaped: bool = False
    kind: str = ""
    when: Callable[[Node, Node], bool] = lambda head, follower: True


def _has_rank(tensor: Tensor, rank: int) -> bool:
    return tensor.dims is not None and len(tensor.dims) == rank


def _adds_row(head: Node, follower: Node) -> bool:
    """Whether it multiplies with a matrix, and the follower adds what Gemm can: a row, or to a matrix any that is broadcast."""
    added = next((t for t in follower.inputs if t is not None and t.name != head.out.name), None)
    weights = head.input(1)
    if added is None or added.dims is None or weights is None or not _has_rank(weights, 2):
        return False
    made = head.out.dims or ()
    if len(added.dims) != 2 or len(made) != 2:
        return added.dims == made[-1:]
    return follower.out.dims == made and (added.dims[0] == made[0] or added.dims[1] == made[1])


def _has_stored_weights(head: Node, follower: Node) -> bool:
    """Whether all other inputs of the head are constants."""
    return all(tensor is None or tensor.is_constant for tensor in head.inputs[1:])


def _transposes_matrices(head: Node, follower: Node) -> bool:
    """Whether it swaps the last two dims, or also moves the first one after the other batch dims; a linear layer does not
    absorb that.
    """
    order = list(head.attributes.get("perm") or ())
    rank = len(order)
    batches = [list(range(rank - 2))] if rank > 1 else []
    weights = follower.required(1)
    if rank > 2 and _has_rank(weights, 2):
        return False
    if order[:-2] in batches:
        return order[-2:] == [rank - 1, rank - 2]
    return rank > 2 and order[:-2] == list(range(1, rank - 1))


def _pads_with_zeros(head: Node, follower: Node) -> bool:
    """Whether it pads like a convolution."""
    filling = head.input(2)
    is_zero = filling is None or filling.value == (0,) or filling.value == ()
    is_zero = is_zero and _has_stored_weights(head, follower)
    return is_zero and head.attributes.get("mode", "constant") == "constant" and not head.attributes.get("value")


def _scales(head: Node, follower: Node) -> bool:
    """Whether it multiplies all elements by one constant."""
    known = constants_of(head)
    return len(known) == 1 and known[0].size == 1


def _sums_rows(head: Node, follower: Node) -> bool:
    """Whether it adds two values of the same three dims."""
    addends = [tensor.dims for tensor in head.inputs if tensor is not None and not tensor.is_constant]
    return len(addends) == 2 and addends[0] == addends[1] and addends[0] is not None and len(addends[0]) == 3


def _adds_bias(head: Node, follower: Node) -> bool:
    known = constants_of(head)
    return len(known) == 1 and known[0].rank == 1


RULES: tuple[FusionRule, ...] = (
    FusionRule("ConvBNFusion", {"Conv"}, {"BatchNormalization"}, "a channel", when=_has_stored_weights),
    FusionRule("ConvAddFusion", {"Conv"}, {"Add"}, "a channel", when=_has_stored_weights),
    FusionRule("ConvMulFusion", {"Conv"}, {"Mul"}, "a channel", when=_has_stored_weights),
    FusionRule("NchwcTransformer", {"Conv"}, {"Add", "Sum"}, "same", when=lambda head, _: _has_rank(head.x, 4)),
    FusionRule("ConvActivationFusion", {"Conv"}, ACTIVATIONS, last=True),
    FusionRule("ConvBNFusion", {"ConvTranspose"}, {"BatchNormalization"}, when=_has_stored_weights),
    FusionRule("MatMulAddFusion", {"MatMul"}, {"Add"}, "any", last=True, fixed=True, when=_adds_row),
    FusionRule(
        "MatMulAddFusion",
        {"MatMul"},
        {"Add"},
        "any",
        last=True,
        when=lambda head, follower: _has_rank(head.x, 2) and _adds_row(head, follower),
    ),
    FusionRule("MatMulScaleFusion", {"MatMul"}, {"Mul", "Div"}, when=lambda head, follower: _scales(follower, head)),
    FusionRule("GemmActivationFusion", {"Gemm"}, GEMM_ACTIVATIONS, last=True),
    FusionRule("NchwcTransformer", {"BatchNormalization"}, {"Relu"}, last=True),
    FusionRule(
        "SkipLayerNormFusion",
        {"Add"},
        {"LayerNormalization"},
        "any",
        leads=True,
        last=True,
        shaped=True,
        kind="SkipLayerNormalization",
        when=_sums_rows,
    ),
    FusionRule("BiasGeluFusion", {"Add"}, {"Gelu"}, leads=True, last=True, kind="BiasGelu"),
    FusionRule("MatmulTransposeFusion", {"Transpose"}, {"MatMul"}, "any", leads=True, when=_transposes_matrices),
    FusionRule("MatMulScaleFusion", {"Mul", "Div"}, {"MatMul"}, "any", leads=True, when=_scales),
    FusionRule("FuseReluClip", {"Relu"}, {"Clip"}),
    FusionRule("MatMulIntegerToFloatFusion", {"MatMulInteger"}, {"Cast"}),
    FusionRule("MatMulIntegerToFloatFusion", {"MatMulInteger"}, {"Mul"}, "any"),
    FusionRule("MatMulIntegerToFloatFusion", {"MatMulInteger"}, {"Add"}),
    FusionRule("MatMulNBitsFusion", {"MatMulNBits"}, {"Add"}, when=lambda _, follower: _adds_bias(follower, follower)),
    FusionRule("PadFusion", {"Pad"}, {"Conv"}, "any", leads=True, when=_pads_with_zeros),
)
"""In the order in which they are tried."""
LATER_RULES: tuple[FusionRule, ...] = (
    FusionRule("MatmulTransposeFusion", {"Transpose"}, {"MatMul"}, "any", leads=True, when=_transposes_matrices),
    FusionRule("BiasSkipLayerNormFusion", {"Add"}, {"SkipLayerNormalization"}, "any", leads=True, when=_adds_bias),
)
"""Tried on the results of the others: a product absorbs its scale first, and SkipLayerNormFusion the bias later."""


def fuse_steps(graph: Graph, steps: list[FusedNode]) -> list[FusedNode]:
    """The steps, with nodes merged that run in one kernel."""
    return _apply_rules(graph, _apply_rules(graph, steps, RULES), LATER_RULES)


def _apply_rules(graph: Graph, steps: list[FusedNode], all_rules: tuple[FusionRule, ...]) -> list[FusedNode]:
    uses = DefUse((step.node for step in steps), graph.outputs)
    heads, followers = {step.kind or step.node.key for step in steps}, {step.kind or step.node.op_type for step in steps}
    rules = [rule for rule in all_rules if not (rule.heads.isdisjoint(heads) or rule.followers.isdisjoint(followers))]
    rules = [rule for rule in rules if not (rule.fixed and graph.dims)]
    if not rules:
        return steps
    at, closed = dict(enumerate(steps)), set[int]()
    fitting: dict[tuple[str, str], list[FusionRule]] = {}
    for place in range(len(steps)):
        while place in at and place not in closed and (following := uses.only_reader(at[place].node.out.name)) in at:
            head, follower = at[place], at[following]
            pair = head.kind or head.node.key, follower.kind or follower.node.op_type
            if pair not in fitting:
                fitting[pair] = [rule for rule in rules if pair[0] in rule.heads and pair[1] in rule.followers]
            merged = None
            for rule in fitting[pair]:
                if not rule.shaped or _reads_known_shapes(graph, head.node):
                    merged = _merge_steps(head, follower, rule)
                if merged is not None:
                    break
            if merged is None:
                break
            del at[place]
            at[following], place = merged, following
            if rule.last:
                closed.add(place)
    return [at[index] for index in sorted(at)]


def _reads_known_shapes(graph: Graph, node: Node) -> bool:
    """Whether a runtime knows all dims that it reads before a run, as numbers or symbols."""
    symbolic = graph.symbolic_dims or {}
    dims = (symbolic.get(tensor.name, tensor.dims) for tensor in node.inputs if tensor is not None)
    return all(each is not None and None not in each for each in dims)


def _merge_steps(head: FusedNode, follower: FusedNode, rule: FusionRule) -> FusedNode | None:
    """One step for two of the rule's operators; None if it does not hold."""
    node = follower.node
    if follower.absorbed and not (follower.kind or rule.leads):
        return None
    made = head.node.out
    others = tuple(t for t in node.inputs if t is not None and not t.is_constant and t.name != made.name)
    if rule.others in ("constants", "a channel") and others:
        return None
    if rule.others == "a channel":
        allowed = {made.dims[1]} | ({1} if node.key == "Mul" else set()) if made.dims and len(made.dims) > 1 else set()
        if not {tensor.size for tensor in constants_of(node)} <= allowed:
            return None
    if rule.others == "same" and not (len(others) == 1 and others[0].dims == made.dims and not head.residuals):
        return None
    if not rule.when(head.node, node):
        return None
    if rule.leads:
        # It keeps the shape that the follower reads.
        source = replace(made, name=pattern_input((head.node,)).name)
        inputs = [source if t is not None and t.name == made.name else t for t in node.inputs]
        absorbed = (*head.absorbed, head.node, *follower.absorbed)
        return FusedNode(node.rewire(inputs), absorbed, follower.residuals, kind=rule.kind or follower.kind)
    absorbed = (*head.absorbed, node, *follower.absorbed)
    return FusedNode(head.node.rewire(outputs=node.outputs), absorbed, (*head.residuals, *others), kind=head.kind)


def fold_constants(graph: Graph) -> Graph:
    """The graph without the nodes that depend only on constants or on shapes that the model fixes: ConstantFolding.

    Nodes that only pass their input on are removed, too: EliminateIdentity, EliminateDropout and CastElimination. Constants
    that a caller may override count as values, and so does what is computed from them. Kept are a DequantizeLinear, for the
    integer operators that may absorb it, and nodes whose outputs have no length before they run.
    """
    known = set(graph.constants) - graph.unfolded
    fixed, returned = not graph.dims, {tensor.name for tensor in graph.outputs}
    kept: list[Node] = []
    variable, unsized = set(graph.unfolded), set[str]()
    for node in graph.nodes:
        node, key = _with_constants(node, variable, False) if variable else node, node.key
        constant = known.issuperset(node.reads) or known.issuperset(
            [tensor.name for tensor in node.inputs if tensor is not None and not tensor.is_constant]
        )
        if key == "DequantizeLinear" or key in COUNTS_OF_VALUES:
            kept.append(node)
            variable.add(node.out.name)
            if key in COUNTS_OF_VALUES:
                unsized.add(node.out.name)
        elif key not in RANDOM and (
            constant or (fixed and key in SHAPE_READERS and not node.x.is_bound and node.x.name not in unsized)
        ):
            known.update(node.makes)
            if key == "Identity" and node.out.name not in returned:
                kept.append(node)  # so that its readers read what it reads, which several may do
        else:
            is_identity = key in IDENTITIES or _changes_nothing(node)
            kept.append(node if is_identity else _with_constants(node, known, True))
            if not variable.isdisjoint(node.reads):
                variable.update(out.name for out in node.outputs if out is not None and out.is_constant)
            if not unsized.isdisjoint(node.reads):
                unsized.update(node.makes)
    return replace(graph, nodes=tuple(_drop_identities(graph, kept)))


def _changes_nothing(node: Node) -> bool:
    """Whether it casts a tensor to the type that it already has."""
    return node.key == "Cast" and node.x.dtype == node.out.dtype


def _with_constants(node: Node, names: Set[str], is_constant: bool) -> Node:
    """The node with the inputs of these names marked as constants, or as values."""
    if names.isdisjoint(node.reads):
        return node
    if names.isdisjoint([t.name for t in node.inputs if t is not None and t.is_constant != is_constant]):
        return node
    return node.rewire([replace(t, is_constant=is_constant) if t is not None and t.name in names else t for t in node.inputs])


def _drop_identities(graph: Graph, nodes: list[Node]) -> Iterator[Node]:
    """The nodes without those that pass their input on; readers of their outputs read their inputs instead.

    One whose output the model returns stays, except for an Identity that is the only reader of a node: that node then makes
    the model's output.
    """
    uses, names, returned = DefUse(nodes, graph.outputs), dict[str, Tensor](), dict[str, Tensor]()
    kept = []
    for node in nodes:
        if not names.keys().isdisjoint(node.reads):
            node = node.rewire([names.get(t.name, t) if t is not None else None for t in node.inputs])
        if node.key not in IDENTITIES and not _changes_nothing(node):
            kept.append(node)
        elif node.out.name not in uses.returned:
            names[node.out.name] = node.x
        elif node.key == "Identity" and uses.definition(node.x.name) and uses.only_reader(node.x.name) is not None:
            returned[node.x.name] = node.out
        else:
            kept.append(node)
    if not returned:
        yield from kept
        return
    for node in kept:
        outputs = tuple(returned.get(tensor.name, tensor) if tensor is not None else None for tensor in node.outputs)
        yield node if outputs == node.outputs else node.rewire(outputs=outputs)
