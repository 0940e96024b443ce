"""Graph × formulas → CostReport."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from onnxcost.analysis.constant_uses import loaded_nodes
from onnxcost.analysis.dtypes import compute_dtype, compute_dtypes
from onnxcost.analysis.memory import memory
from onnxcost.analysis.weights import Weights, weights_by_node
from onnxcost.conventions import FLOPS
from onnxcost.costs import Counted, Group, NodeCost, Uncounted
from onnxcost.errors import MISFITS, UnknownShape
from onnxcost.formulas import CONTROL_FLOW, select_formulas
from onnxcost.formulas.table import Formula, FormulaTable
from onnxcost.graph import NO_WORK, Caveat, DefUse, Graph, Node, Tensor, option_text
from onnxcost.operators.inputs import role_of
from onnxcost.operators.traffic import NO_TRAFFIC, traffic
from onnxcost.ort_optimizer.qdq import read_as_stored
from onnxcost.report import CostReport
from onnxcost.spec import ModelSource, ModelSpec

if TYPE_CHECKING:
    from onnxcost.frontend.trace import Trace

NO_FORMULA = "no formula for the operator"
"""The start of the reason why a node of an unknown operator is not counted."""


def estimate(
    model: ModelSource,
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    formulas: FormulaTable | None = None,
    trace: Trace | None = None,
) -> CostReport:
    """Count the static cost of ``model``: a path, a URL, an open binary file, bytes or a ModelProto.

    The data of weights is skipped in files. A seekable file is read from its current position, which is restored afterwards.

    ``shapes`` maps input names to tuples, ``dims`` maps symbols to integers, ``values`` maps input names to arrays or numbers,
    and ``trips`` maps names of Loops to their numbers of iterations. Sizes are assumed for dims that remain open, and reported.
    ``formulas`` is the table of formulas, by default ``FORMULAS`` and those of installed packages; ``FORMULAS | mine`` adds
    and overrides. ``trace`` is the trace of a run with inputs of these shapes; it provides what depends on data: shapes,
    branches taken, and iterations of Loops.

    Raises ModelError for a model that cannot be used, and InputError for an argument that does not fit it.
    """
    return estimate_spec(ModelSpec.of(model, shapes, dims, values, trips), formulas, trace)


def estimate_spec(spec: ModelSpec, formulas: FormulaTable | None = None, trace: Trace | None = None) -> CostReport:
    """``estimate`` of a spec, at the shapes that its input files have."""
    from onnxcost.frontend import operators_in, read_graph, read_skeleton

    spec = spec.read_inputs()
    with without_collection():
        skeleton = read_skeleton(spec.source)
        known = select_formulas(operators_in(skeleton)) if formulas is None else formulas
        return count_graph(read_graph(skeleton, spec, known, trace), known, skeleton.known)


@contextmanager
def without_collection() -> Iterator[None]:
    """Counting builds many objects and few cycles: searching for cycles would waste time."""
    is_collecting = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if is_collecting:
            gc.enable()


class CountedNodes(NamedTuple):
    """A graph with the branches that are counted, the weights and the costs of each node, and caveats."""

    graph: Graph
    weights: Sequence[Weights]
    costs: tuple[NodeCost, ...]
    caveats: tuple[Caveat, ...]


KnownWeights = list[tuple[Sequence[Node], Sequence[Weights]]]
"""The weights of the nodes of a model's graphs at other sizes: equal where the same operators read the same names."""


def count_nodes(graph: Graph, formulas: FormulaTable, known_weights: KnownWeights) -> CountedNodes:
    """The cost of each node. One that cannot be counted is Uncounted, with the reason.

    ``known_weights`` are those of the model's graphs at other sizes; those of this one are added.
    """
    caveats = list(graph.caveats)
    graph = replace(graph, nodes=tuple(_resolve_branches(graph.nodes, formulas, caveats, graph.inputs)))
    weights = _known_weights(graph, known_weights)
    dtypes, notes = compute_dtypes(graph)
    costs: list[NodeCost] = []
    known: dict[int, Counted] = {}
    for node, dtype, own, read in zip(graph.nodes, dtypes, weights, read_as_stored(graph).nodes, strict=True):
        like = known.get(node.alike) if read is node else None
        if like is not None:
            costs.append(Counted(node, like.once, like.traffic_once, dtype, own.parameters))
            continue
        costs.append(cost := count_node(node, formulas, dtype, own.parameters, read))
        # Another callable than a Formula may look at names.
        if node.alike and read is node and isinstance(cost, Counted) and isinstance(formulas.get(node.key), Formula):
            known[node.alike] = cost
    return CountedNodes(graph, weights, tuple(costs), (*caveats, *notes))


def _known_weights(graph: Graph, known: KnownWeights) -> Sequence[Weights]:
    loaded = loaded_nodes(graph)
    for nodes, weights in known:
        if len(nodes) == len(loaded) and all(a.key == b.key and a.reads == b.reads for a, b in zip(nodes, loaded, strict=True)):
            return weights
    known.append((loaded, weights_by_node(graph)))
    return known[-1][1]


def count_graph(graph: Graph, formulas: FormulaTable, known_weights: KnownWeights | None = None) -> CostReport:
    """The cost of a graph and its memory, with the reasons why numbers are not exact. Arguments as for ``count_nodes``."""
    graph, weights, costs, caveats = count_nodes(graph, formulas, [] if known_weights is None else known_weights)
    notes = (*_bounds(costs), *_open_shapes(graph, costs), *_at_most(costs, formulas), *_unused(graph, costs), *_too_old(graph))
    return CostReport(graph, costs, memory(graph, weights), (*caveats, *notes))


def _at_most(costs: Sequence[NodeCost], formulas: FormulaTable) -> list[Caveat]:
    """A caveat on nodes whose work depends on data."""
    keys = {cost.node.key for cost in costs}
    rules = {key: rule for key in keys if (rule := getattr(formulas.get(key), "at_most", None)) is not None}
    found = [cost for cost in costs if cost.node.key in rules and isinstance(cost, Counted) and rules[cost.node.key](cost.node)]
    if not found:
        return []
    names = [f"'{cost.node.name}' ({cost.node.op_type})" for cost in found]
    which = ", ".join(names[:3]) + (" and others" if len(names) > 3 else "")
    of_macs = any(cost.once.macs for cost in found)
    return [Caveat("upper", f"{which}: the work depends on data; its upper bound is counted", of_macs)]


_FIRST_OPSET = 7


def _too_old(graph: Graph) -> list[Caveat]:
    """A note on a model of an opset that onnxruntime does not support."""
    opset = graph.opsets.get("", _FIRST_OPSET)
    text = f"opset {opset}: onnxruntime supports opset {_FIRST_OPSET} and later, and may refuse this model"
    return [Caveat("note", f"{text}; convert it with onnx.version_converter")] if opset < _FIRST_OPSET else []


_LEAST_UNUSED = 0.01
"""The share of the FLOPs above which unused work is noted."""
_HAVE_BODIES = CONTROL_FLOW | {"FlexAttention"}


def _unused(graph: Graph, costs: Sequence[NodeCost]) -> list[Caveat]:
    """A note on work whose results reach no output of the model. onnxruntime does it nevertheless."""
    if not graph.uses.unread:
        return []
    needed = {tensor.name for tensor in graph.outputs}
    bodies = {cost.node.name for cost in costs if cost.node.op_type in _HAVE_BODIES}
    unused: list[Counted] = []
    for cost in reversed(costs):
        node = cost.node
        if node.makes and needed.isdisjoint(node.makes) and not any(_is_within(name, bodies) for name in node.makes if bodies):
            unused += [cost] if isinstance(cost, Counted) else []
            continue
        needed.update(node.reads)
    if not unused:
        return []
    flops, total = (sum(cost.count(FLOPS) for cost in some if isinstance(cost, Counted)) for some in (unused, costs))
    if flops < _LEAST_UNUSED * total or not flops:
        return []
    which = (
        f"{len(unused)} of {len(costs)} nodes contribute to no output of the model, {100 * flops / total:.0f} % of the FLOPs"
    )
    text = f"{which} (from '{unused[-1].node.name}', {unused[-1].node.op_type}); they still run and are counted"
    return [Caveat("note", text)]


def _is_within(name: str, bodies: set[str]) -> bool:
    """Whether a value is computed in a body: its name starts with that of the body's node, or is too long to tell."""
    if "…" in name:
        return True
    while name := name.rpartition("/")[0]:
        if name in bodies:
            return True
    return False


def count_node(node: Node, formulas: FormulaTable, dtype: str, parameters: int, as_read: Node | None = None) -> NodeCost:
    """The cost of one node. Its arithmetic is done in ``dtype``; ``parameters`` are those that it is the first to read.

    ``as_read`` is the node with its actual inputs, if they differ from the model's.
    """
    if node.open_reason:
        return Uncounted(node, node.open_reason, parameters)
    if node.key in CONTROL_FLOW:
        return Counted(node, NO_WORK, NO_TRAFFIC, dtype, parameters)
    formula = formulas.get(node.key)
    if formula is None:
        from onnxcost.formulas import UNCOUNTABLE

        reason = UNCOUNTABLE.get(node.key, f"{NO_FORMULA} {node.key}")
        return Uncounted(node, reason, parameters)
    try:
        return Counted(node, formula(node), traffic(as_read or node), dtype, parameters)
    except UnknownShape as unknown:
        return Uncounted(node, str(unknown), parameters)
    # A node that does not fit its operator (an attribute of another kind, a missing one) must not end the report.
    except MISFITS as error:
        return Uncounted(node, f"the node does not fit its formula ({type(error).__name__}: {error})", parameters)


def _resolve_branches(
    nodes: Sequence[Node], formulas: FormulaTable, caveats: list[Caveat], inputs: Sequence[Tensor], outer: DefUse | None = None
) -> list[Node]:
    """The nodes, with the more expensive branch of each ``If`` whose condition is unknown before the ``If`` itself.

    ``inputs`` are the model's, ``outer`` the definitions around the nodes.
    """
    resolved = []
    if not any(node.branches for node in nodes):
        return list(nodes)
    uses = DefUse([*(outer.nodes if outer is not None else ()), *nodes])
    for node in nodes:
        if node.branches:
            branches = {
                name: _resolve_branches(branch, formulas, caveats, inputs, uses) for name, branch in node.branches.items()
            }
            costs = {
                name: Group((), tuple(count_node(inner, formulas, compute_dtype(inner), 0) for inner in branch))
                for name, branch in branches.items()
            }
            counts = {name: group.total(FLOPS) for name, group in costs.items()}
            counted = max(counts, key=counts.__getitem__)
            resolved += branches[counted]
            flops = " and ".join(f"{count:,}" for count in counts.values())
            why = (
                f"the more expensive one ({flops} FLOPs)" if len({*counts.values()}) > 1 else "the other is not more expensive"
            )
            if len(counts) == 1:
                why = "the other does not fit these shapes"
            text = f"its condition is unknown; its {counted} branch is counted, {why}"
            hint = _decided_by(node.input(0), inputs, uses)
            text += f"; {hint} sets it" if hint else "; --trace counts the branch that a run takes"
            macs = {group.work.macs for group in costs.values()}
            caveats.append(Caveat("upper", f"If '{node.name}': {text}", len(macs) > 1))
        resolved.append(node)
    return resolved


def _decided_by(condition: Tensor | None, inputs: Sequence[Tensor], uses: DefUse, value: str = "1", most: int = 1) -> str:
    """``--value NAME=VALUE`` of the one input of the model that a condition or a shape is computed from, with the value that it
    is compared with, if any; "" if there is no such input, or if it has more than ``most`` elements.
    """
    known = {tensor.name: tensor for tensor in inputs}
    found: set[str] = set()
    pending, seen = [condition], set[str]()
    while pending:
        tensor = pending.pop()
        if tensor is None or tensor.name in seen or tensor.is_constant:
            continue
        seen.add(tensor.name)
        if tensor.name in known:
            found.add(tensor.name)
        elif (node := uses.definition(tensor.name)) is not None:
            pending += node.inputs
            compared = [each.value for each in node.inputs if each is not None and each.value is not None]
            if node.key == "Equal" and compared and len(compared[0]) == 1:
                value = str(compared[0][0])
    if len(found) != 1:
        return ""
    (name,) = found
    size = known[name].size if known[name].is_shaped else 0
    return option_text("--value", name, ",".join([value] * size)) if 1 <= size <= most else ""


_MOST_VALUES = 8
"""The most elements of an input whose value a hint asks for: a shape's, not a tensor's."""


def _open_shapes(graph: Graph, costs: Sequence[NodeCost]) -> list[Caveat]:
    """A note on the model's input whose value decides the first shape that is unknown."""
    unknown = [cost.node for cost in costs if False in [out is None or out.is_shaped for out in cost.node.outputs]]
    if not unknown:
        return []
    steering = [tensor for place, tensor in enumerate(unknown[0].inputs) if role_of(unknown[0], place).name == "shape"]
    hints = {_decided_by(tensor, graph.inputs, graph.uses, "N", _MOST_VALUES) for tensor in steering} - {""}
    if len(hints) != 1:
        return []
    which = f"{len(unknown)} {'node' if len(unknown) == 1 else 'nodes'}, starting at '{unknown[0].name}' ({unknown[0].op_type})"
    return [Caveat("note", f"the shapes of {which}, depend on the value of an input; {hints.pop()} sets it")]


def _bounds(costs: Sequence[NodeCost]) -> list[Caveat]:
    """A caveat on shapes that depend on data."""
    bound = [cost.node for cost in costs if True in [out is not None and out.is_bound for out in cost.node.outputs]]
    if not bound:
        return []
    of_macs = any(
        isinstance(cost, Counted)
        and cost.once.macs
        and any(tensor is not None and tensor.is_bound for tensor in (*cost.node.inputs, *cost.node.outputs))
        for cost in costs
    )
    origins = [node for node in bound if not any(tensor is not None and tensor.is_bound for tensor in node.inputs)]
    names = ", ".join(dict.fromkeys(f"'{node.name}' ({node.op_type})" for node in (origins or bound)[:3]))
    more = " and others" if len(origins) > 3 else ""
    text = f"{len(bound)} nodes, starting at {names}{more}, are counted at the largest shapes that the data allows"
    return [Caveat("upper", f"{text}; --trace counts the shapes of a run", of_macs)]
