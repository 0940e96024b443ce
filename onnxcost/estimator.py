"""Graph × formulas → CostReport."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from onnxcost.errors import UnknownShape
from onnxcost.formulas import FORMULAS, UNCOUNTABLE
from onnxcost.formulas.table import FormulaTable
from onnxcost.graph import BITS, Graph, Node
from onnxcost.memory import memory, weights_by_node
from onnxcost.report import CostReport, Counted, NodeCost, Uncounted
from onnxcost.traffic import traffic

if TYPE_CHECKING:
    from onnxcost.frontend import ModelSource


def estimate(
    model: ModelSource,  # type: ignore[valid-type]
    *,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    formulas: FormulaTable = FORMULAS,
) -> CostReport:
    """The static cost of ``model``: a path, an open binary file, bytes or a ModelProto. Weights are never read.

    ``shapes`` maps input names to tuples, ``dims`` symbols to integers and ``values`` input names to arrays or numbers; dims
    that stay open are assumed, and the report says so. ``formulas`` adds or overrides operators: ``FORMULAS | mine``.

    Raises ModelError for what is not a usable model and InputError for an argument that does not fit it.
    """
    from onnxcost.frontend import read_graph

    return cost(read_graph(model, shapes, dims, values, formulas), formulas)


def cost(graph: Graph, formulas: FormulaTable = FORMULAS) -> CostReport:
    """The cost of a graph. What cannot be counted is in the report as Uncounted, with its reason."""
    weights = weights_by_node(graph)
    costs = tuple(_node_cost(node, formulas, own.parameters) for node, own in zip(graph.nodes, weights, strict=True))
    return CostReport(graph, costs, memory(graph, weights), graph.warnings)


def _node_cost(node: Node, formulas: FormulaTable, parameters: int) -> NodeCost:
    formula = formulas.get(node.key)
    if formula is None:
        reason = UNCOUNTABLE.get(node.key, f"no formula for the operator {node.key}")
        return Uncounted(node, reason, parameters)
    try:
        return Counted(node, formula(node), traffic(node), compute_dtype(node), parameters)
    except UnknownShape as unknown:
        return Uncounted(node, str(unknown), parameters)
    # A node that does not fit its operator (an attribute of another kind, a missing one) must not end the report.
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        return Uncounted(node, f"the node does not fit its formula ({type(error).__name__}: {error})", parameters)


def compute_dtype(node: Node) -> str:
    """The type that the arithmetic is done in: the narrower of the first input's and the first output's, bool left out.

    So a comparison of floats counts under float32, and what quantizes or dequantizes under its integer type.
    """
    ends = [tensor.dtype for tensor in (*node.inputs[:1], *node.outputs[:1]) if tensor is not None]
    return min((dtype for dtype in ends if dtype != "bool"), key=lambda dtype: BITS.get(dtype, 64), default="bool")
