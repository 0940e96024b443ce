"""What a runtime really executes of a graph: the nodes that are left once it has folded, fused and laid out in blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from onnxcost.errors import UnknownShape
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.traffic import VIEWS

BLOCK = 16
"""Channels that lie side by side in the blocked layout; fewer than that are read from the plain one."""
ALIGNMENT = 4
"""What the channels must be a multiple of to be brought into blocks."""

ACTIVATIONS = frozenset({"Relu", "Clip", "Sigmoid", "Tanh", "LeakyRelu", "HardSigmoid"})
CONSTANT_SUMS = frozenset({"BatchNormalization", "Add", "Mul", "Sub", "Div"})
RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Multinomial", "Bernoulli"})


@dataclass(frozen=True, slots=True)
class Executed:
    """A node that runs: ``absorbed`` are those that run as a part of it, ``residuals`` what these read beside its result.

    ``is_blocked`` says that it works on blocked channels; ``reordered`` are the tensors that are brought into blocks or out of
    them for it. ``kind`` is the operator that it runs as, where that is not the node's own.
    """

    node: Node
    absorbed: tuple[Node, ...] = ()
    residuals: tuple[Tensor, ...] = ()
    is_blocked: bool = False
    reordered: tuple[Tensor, ...] = ()
    kind: str = ""


@dataclass(frozen=True, slots=True)
class Rule:
    """A follower that a node of ``heads`` takes in where it alone reads its result.

    ``others`` says what else the follower may read: "constants", a tensor of the "same" shape, or "any". A node that took one
    in by a rule which is ``last`` takes in no more. With ``leads`` it is the follower that runs, and does the head's work.
    """

    heads: frozenset[str]
    followers: frozenset[str]
    others: str = "constants"
    last: bool = False
    leads: bool = False


_CONVS = frozenset({"Conv"})
_GEMMS = frozenset({"MatMul", "Gemm"})
RULES: tuple[Rule, ...] = (
    Rule(_CONVS, CONSTANT_SUMS),
    Rule(_CONVS, frozenset({"Add", "Sum"}), "same"),
    Rule(_CONVS, ACTIVATIONS, last=True),
    Rule(frozenset({"ConvTranspose"}), frozenset({"BatchNormalization"})),
    Rule(frozenset({"MatMul"}), frozenset({"Add", "Mul", "Div"})),
    Rule(frozenset({"Gemm"}), ACTIVATIONS, last=True),
    Rule(frozenset({"Add"}), frozenset({"LayerNormalization", "Gelu"}), leads=True, last=True),
    Rule(frozenset({"Relu"}), frozenset({"Clip"})),
    Rule(frozenset({"MatMulInteger", "ConvInteger"}), frozenset({"Cast"})),
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


def executed(graph: Graph, *, blocked: bool) -> tuple[Executed, ...]:
    """The nodes that run, in order; with ``blocked`` as a runtime that has the blocked layout."""
    live = _live(graph)
    fused = _fused(graph, _quantized(graph, _patterns(graph, live)))
    return _laid_out(graph, fused) if blocked else tuple(fused)


def _live(graph: Graph) -> list[Node]:
    """Without what is known before the run: what depends on constants alone, or on shapes that the model fixes."""
    known = set(graph.constants)
    fixed = not graph.dims
    live = []
    for node in graph.nodes:
        inputs = [tensor for tensor in node.inputs if tensor is not None]
        constant = all(tensor.is_constant or tensor.name in known for tensor in inputs)
        if node.key not in RANDOM and (constant or (fixed and node.key in ("Shape", "Size"))):
            known.update(tensor.name for tensor in node.outputs if tensor is not None)
        elif node.key not in ("Identity", "Dropout"):
            live.append(_with_constants(node, known))
        else:
            live.append(node)
    return _renamed(live)


def _with_constants(node: Node, known: set[str]) -> Node:
    if not any(tensor is not None and tensor.name in known and not tensor.is_constant for tensor in node.inputs):
        return node
    inputs = tuple(
        replace(tensor, is_constant=True) if tensor is not None and tensor.name in known else tensor for tensor in node.inputs
    )
    return replace(node, inputs=inputs)


def _renamed(nodes: list[Node]) -> list[Node]:
    """Without the nodes that hand their input on: their readers read that."""
    names: dict[str, Tensor] = {}
    kept = []
    for node in nodes:
        if any(tensor is not None and tensor.name in names for tensor in node.inputs):
            node = replace(node, inputs=tuple(names.get(t.name, t) if t is not None else None for t in node.inputs))
        if node.key in ("Identity", "Dropout"):
            names[node.out.name] = node.x
        else:
            kept.append(node)
    return kept


class _Readers:
    """Which nodes read a tensor; the model's outputs are read by the caller."""

    def __init__(self, graph: Graph, nodes: Sequence[Node]) -> None:
        self.places: dict[str, list[int]] = {}
        for index, node in enumerate(nodes):
            for tensor in node.inputs:
                if tensor is not None:
                    self.places.setdefault(tensor.name, []).append(index)
        self.outputs = {tensor.name for tensor in graph.outputs}

    def only(self, tensor: Tensor) -> int | None:
        """The one reader; None where there are several, or the caller reads it, too."""
        places = set(self.places.get(tensor.name, ()))
        return places.pop() if len(places) == 1 and tensor.name not in self.outputs else None


def _patterns(graph: Graph, nodes: list[Node]) -> list[Executed]:
    readers = _Readers(graph, nodes)
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


def _matched(nodes: list[Node], readers: _Readers, start: int, pattern: tuple[str, ...]) -> list[int]:
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


_INTEGER_KINDS = frozenset(
    {"Conv", "MatMul", "Gemm", "Add", "Mul", "AveragePool", "GlobalAveragePool", "Sigmoid", "LeakyRelu", "Concat", "Softmax"}
)
_AS_THEY_ARE = VIEWS | {"MaxPool", "Transpose", "Resize", "Slice", "Split", "Gather", "Relu", "Clip", "Pad"}


def _quantized(graph: Graph, steps: list[Executed]) -> list[Executed]:
    """Operators between DequantizeLinear and QuantizeLinear run on integers, and those two vanish."""
    made_by = {step.node.out.name: step.node for step in steps if step.node.outputs}
    if not any(step.node.key == "DequantizeLinear" for step in steps):
        return steps
    readers: dict[str, list[Node]] = {}
    for step in steps:
        for tensor in step.node.inputs:
            if tensor is not None:
                readers.setdefault(tensor.name, []).append(step.node)
    kept: list[Executed] = []
    gone: set[str] = set()
    for step in steps:
        node = step.node
        if node.key not in _INTEGER_KINDS | _AS_THEY_ARE:
            continue
        makers = [made_by.get(t.name) for t in node.inputs if t is not None and t.name in made_by]
        from_integers = bool(makers) and all(maker is not None and maker.key == "DequantizeLinear" for maker in makers)
        behind = readers.get(node.out.name, [])
        relu = behind[0] if len(behind) == 1 and behind[0].key in ("Relu", "Clip") else None
        after = readers.get(relu.out.name, []) if relu else behind
        if from_integers and after and all(reader.key == "QuantizeLinear" for reader in after):
            gone |= {reader.out.name for reader in after} | {maker.out.name for maker in makers if maker}
            gone |= {relu.out.name} if relu else set()
            gone.add(f"integers:{node.out.name}")
    for step in steps:
        if f"integers:{step.node.out.name}" in gone and step.node.key in _INTEGER_KINDS:
            kept.append(replace(step, kind=f"QLinear{step.node.op_type}"))
        elif step.node.out.name not in gone or f"integers:{step.node.out.name}" in gone:
            kept.append(step)
    return kept


def _fused(graph: Graph, steps: list[Executed]) -> list[Executed]:
    """Each node together with what follows it and is done in the same kernel."""
    readers = _Readers(graph, [step.node for step in steps])
    at = {index: step for index, step in enumerate(steps)}
    for start in range(len(steps)):
        place, closed = start, False
        while not closed and place in at and (following := readers.only(at[place].node.out)) is not None and following in at:
            for rule in RULES:
                if (merged := _merged(at[place], at[following], rule)) is not None:
                    del at[place]
                    at[following], place, closed = merged, following, rule.last
                    break
            else:
                closed = True
    return [at[index] for index in sorted(at)]


def _merged(head: Executed, follower: Executed, rule: Rule) -> Executed | None:
    """One step for two; None where the rule does not hold."""
    node = follower.node
    if (head.kind or head.node.key) not in rule.heads or (follower.kind or node.key) not in rule.followers:
        return None
    if follower.absorbed and not follower.kind:
        return None
    made = head.node.out
    others = tuple(t for t in node.inputs if t is not None and not t.is_constant and t.name != made.name)
    if rule.others == "constants" and others:
        return None
    if rule.others == "same" and not (len(others) == 1 and others[0].dims == made.dims and not head.residuals):
        return None
    if rule.leads:
        inputs = tuple(head.node.x if t is not None and t.name == made.name else t for t in node.inputs)
        return replace(follower, node=replace(node, inputs=inputs), absorbed=(*head.absorbed, head.node, *follower.absorbed))
    absorbed = (*head.absorbed, node, *follower.absorbed)
    return replace(head, node=replace(head.node, outputs=node.outputs), absorbed=absorbed, residuals=(*head.residuals, *others))


_IN_BLOCKS = frozenset({"MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"})
_EITHER = frozenset({"Add", "Sum", "Mul", "Relu", "Sigmoid", "Tanh", "Concat", "BatchNormalization", "Resize"})


def _laid_out(graph: Graph, steps: list[Executed]) -> tuple[Executed, ...]:
    """Which steps work on blocks, and what is brought into blocks and out of them in between, each tensor once each way."""
    blocked: set[str] = set()
    plain_too: set[str] = set()
    blocked_too: set[str] = set()
    laid: list[Executed] = []
    for step in steps:
        node = step.node
        data = [t for t in node.inputs if t is not None and not t.is_constant]
        inputs = {t.name: t for t in (*data, *step.residuals)}
        works = not step.kind and node.x.dtype == "float32" and _works_on_blocks(node, blocked)
        reordered: list[Tensor] = []
        if works:
            direct = node.key == "Conv" and int(node.attributes.get("group", 1)) == 1 and node.x.shape[1] < BLOCK
            for tensor in inputs.values():
                if tensor.name not in blocked | blocked_too and not (direct and tensor.name == node.x.name):
                    blocked_too.add(tensor.name)
                    reordered.append(tensor)
            blocked.add(node.out.name)
        else:
            for tensor in inputs.values():
                if tensor.name in blocked and tensor.name not in plain_too and node.key not in ("Shape", "Size"):
                    plain_too.add(tensor.name)
                    reordered.append(tensor)
        laid.append(replace(step, is_blocked=works, reordered=tuple(reordered)))
    ends = tuple(t for t in graph.outputs if t.name in blocked and t.name not in plain_too)
    if ends and laid:
        laid[-1] = replace(laid[-1], reordered=(*laid[-1].reordered, *ends))
    return tuple(laid)


def _works_on_blocks(node: Node, blocked: set[str]) -> bool:
    try:
        if node.x.rank != 4:
            return False
        if node.key == "Conv":
            return _conv_in_blocks(node)
        channels = node.x.shape[1]
        if node.key in _IN_BLOCKS:
            return channels % BLOCK == 0
        data = [t for t in node.inputs if t is not None and not t.is_constant]
        if node.key not in _EITHER or not all(t.name in blocked for t in data):
            return False
        if node.key == "Concat":
            return int(node.attributes.get("axis", 1)) == 1 and all(t.shape[1] % BLOCK == 0 for t in data)
        return all(t.dims == node.x.dims for t in data) and (node.key not in ("Add", "Mul") or len(data) == 2)
    except UnknownShape:
        return False


def _conv_in_blocks(node: Node) -> bool:
    weight, groups = node.required(1).shape, int(node.attributes.get("group", 1))
    outputs, inputs = weight[0], weight[1]
    if groups == 1:
        return inputs < BLOCK or inputs % ALIGNMENT == 0
    if inputs == 1 and outputs == groups:
        return outputs % ALIGNMENT == 0
    return inputs % BLOCK == 0 and (outputs // groups) % BLOCK == 0
