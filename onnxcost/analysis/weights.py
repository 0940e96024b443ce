"""Which constants are parameters, which are buffers, and how many.

A constant is a parameter if training determines it. Any other table is a buffer: anchors, masks, angles of a rotary embedding,
windows, initial states, indices.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import NamedTuple

from onnxcost.analysis.constant_uses import CODES, STORED_AS_WEIGHTS, ConstantUses, idle_nodes
from onnxcost.errors import MISFITS
from onnxcost.graph import Graph, Node, Tensor
from onnxcost.operators.inputs import InputRole, role_of

_SMALLEST_INTEGER_TABLE = 64
"""Elements; fewer integers of 32 or 64 bits determine shapes."""


class Weights(NamedTuple):
    """The constants that a node is the first to read: elements of parameters, running statistics and buffers, and the bytes of
    the buffers.
    """

    parameters: int = 0
    running_statistics: int = 0
    buffers: int = 0
    buffer_bytes: int = 0

    def plus(self, other: Weights) -> Weights:
        """The sums."""
        return Weights(*(mine + more for mine, more in zip(self, other, strict=True)))


NONE = Weights()


def weights_by_node(graph: Graph) -> tuple[Weights, ...]:
    """For each node, the weights that no earlier node has read, so that shared ones count once. A node with branches also has
    those that no other node reads: they are loaded with the file, whichever branch is taken.
    """
    uses = ConstantUses(graph)
    unread = {name: tensor for name, tensor in graph.constants.items() if tensor.is_shaped and _may_count(tensor)}
    # Only trees and other models of ai.onnx.ml have learned numbers without inputs.
    is_read = (bool(node.domain) or not unread.keys().isdisjoint(node.reads) for node in graph.nodes)
    weights = [_first_read(node, unread, uses) if reads else NONE for node, reads in zip(graph.nodes, is_read, strict=True)]
    for position, node in enumerate(graph.nodes):
        for idle in idle_nodes(node) if node.branches or node.idle else ():
            weights[position] = weights[position].plus(_first_read(idle, unread, uses))
    return tuple(weights)


def _may_count(tensor: Tensor) -> bool:
    """Whether any role makes it a parameter, a running statistic or a buffer: a few integers only determine shapes."""
    return tensor.dtype in STORED_AS_WEIGHTS or tensor.dtype in (*CODES, "bool") or tensor.size >= _SMALLEST_INTEGER_TABLE


def _first_read(node: Node, unread: dict[str, Tensor], uses: ConstantUses) -> Weights:
    """The weights among the ``unread`` constants that a node reads, which are removed from it."""
    parameters, running_statistics, buffers, buffer_bytes = count_attributes(node), 0, 0, 0
    for index, tensor in enumerate(node.inputs):
        if tensor is None or tensor.name not in unread:
            continue
        role = role_of(node, index)
        if uses.is_statistic(tensor):
            del unread[tensor.name]
            running_statistics += tensor.size
        elif uses.may_be_weight(tensor, role) and uses.is_learned(tensor):
            del unread[tensor.name]
            parameters += _weights_in(*uses.reader_behind_views(node, tensor, role))
        elif _may_be_table(tensor, role):
            del unread[tensor.name]
            buffers += tensor.size
            buffer_bytes += tensor.nbytes
    if not (parameters or running_statistics or buffers):
        return NONE
    return Weights(parameters, running_statistics, buffers, buffer_bytes)


def _weights_in(node: Node, tensor: Tensor, role: InputRole) -> int:
    """The number of weights in a tensor: its elements, or more if an operator packs several into one."""
    try:
        return role.packed(node, tensor) if role.packed else tensor.size
    # A node that does not fit its operator has the stored number.
    except MISFITS:
        return tensor.size


def _may_be_table(tensor: Tensor, role: InputRole) -> bool:
    if tensor.size <= 1 or (role.steers and role.name not in ("positions", "index")):
        return False
    return tensor.dtype in STORED_AS_WEIGHTS or tensor.dtype == "bool" or tensor.size >= _SMALLEST_INTEGER_TABLE


_ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "LinearRegressor": ("coefficients", "intercepts"),
    "LinearClassifier": ("coefficients", "intercepts"),
    "SVMRegressor": ("support_vectors", "coefficients", "rho"),
    "SVMClassifier": ("support_vectors", "coefficients", "rho", "prob_a", "prob_b"),
    "TreeEnsembleRegressor": ("target_weights",),
    "TreeEnsembleClassifier": ("class_weights",),
    "TreeEnsemble": ("nodes_featureids", "leaf_targetids"),
}
"""The attributes of ai.onnx.ml's operators that are as long as the number of learned numbers. Trees also have a threshold for
each branching node.
"""


def count_attributes(node: Node) -> int:
    """The learned numbers that a node has as attributes: coefficients, thresholds and votes of trees."""
    if node.domain != "ai.onnx.ml" or node.op_type not in _ATTRIBUTES:
        return 0
    lists = [node.attributes.get(name) for name in _ATTRIBUTES[node.op_type]]
    modes = node.attributes.get("nodes_modes") or ()
    branches = len(modes) - modes.count("LEAF")
    return int(branches + sum(len(numbers) for numbers in lists if isinstance(numbers, tuple | array)))
