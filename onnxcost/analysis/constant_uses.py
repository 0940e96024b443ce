"""How the nodes of a graph use its constants, which shows whether training determines them.

A constant is learned if some node reads it as the weight of a contraction, the gain or shift of a normalization, an embedding,
a bias, or a term or factor of features that a contraction makes or reads later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from functools import cached_property
from itertools import chain
from typing import NamedTuple

from onnxcost.graph import DefUse, Graph, Node, Tensor
from onnxcost.operators.inputs import DATA, ROLES, InputRole, role_of, steered_by
from onnxcost.operators.traits import (
    ACTIVATIONS,
    AFFINE,
    CASTS,
    CONVOLUTIONS,
    DEQUANTIZERS,
    GATHERS,
    JOINS,
    POINTWISE,
    PRODUCTS,
    REARRANGEMENTS,
    REDUCTIONS,
    SCORE_STEPS,
    SELECTIONS,
    SHAPE_READERS,
    SOFTMAXES,
    VIEWS,
)

STORED_AS_WEIGHTS = frozenset(
    {"float16", "bfloat16", "float32", "float64", "complex64", "complex128", "int8", "uint8", "int4", "uint4", "int2", "uint2"}
    | {"float8e4m3fn", "float8e4m3fnuz", "float8e5m2", "float8e5m2fnuz", "float4e2m1"}
)
CODES = ("int16", "uint16", "int32")
"""Types that are weights only if an operator dequantizes them."""


def loaded_nodes(graph: Graph) -> list[Node]:
    """All nodes that are loaded with the file, including those of bodies, whether they run or not."""
    found: list[Node] = []
    for node in graph.nodes:
        found.append(node)
        if node.branches or node.idle:
            found += idle_nodes(node)
    return found


def idle_nodes(node: Node) -> Iterator[Node]:
    """The nodes of all its branches, and those that never run, with what they hold in turn."""
    for inner in chain(*node.branches.values(), node.idle):
        yield inner
        yield from idle_nodes(inner)


_CARRIERS = VIEWS | CASTS | REARRANGEMENTS | GATHERS | DEQUANTIZERS | {"Neg"}
"""Their outputs hold elements of their first input (of Concat: of any)."""
_KEEPERS = VIEWS | CASTS | {"Transpose"}
"""They may be between a contraction and its bias."""
_MATRIX_PRODUCTS = PRODUCTS | {"Einsum"}
_LEARNERS = frozenset(
    {key for key, roles in ROLES.items() if any(role.name in ("weight", "gain") for role in roles.values())}
    | {"Attention", "com.microsoft.MultiHeadAttention", "com.microsoft.GroupQueryAttention"}
)
"""Contractions and normalizations."""
_MAKERS = _LEARNERS | REDUCTIONS | _MATRIX_PRODUCTS
"""Operators that make features."""
_NORMALIZERS = frozenset(key for key, roles in ROLES.items() if any(role.name == "mean" for role in roles.values()))
"""With running statistics."""
_NO_WEIGHTS_BEHIND = SHAPE_READERS | {"Sin", "Cos"}
"""Their inputs are not weights: dims and angles."""
_SCALINGS = AFFINE | {"Div"}
_STEPS_TO_ACTIVATION = 4
_MOST_COORDINATES = 4
"""The most coordinates of a box: a table with so many numbers per row is a table of anchors."""
_DEEPEST = 40
"""The most nodes that are searched back for the contraction whose output a vector belongs to."""


class ConstantUses:
    """The readers of a constant, directly or through nodes that pass its elements on, and how they use it."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.nodes = graph, loaded_nodes(graph)
        self.readers = [node for node in self.nodes if node.inputs]
        self.operators = {node.key for node in self.nodes}
        self.known: dict[str, bool] = {}
        self.statistics: dict[str, bool] = {}

    @cached_property
    def uses(self) -> DefUse:
        """Who reads a value."""
        return self.graph.uses if len(self.nodes) == len(self.graph.nodes) else DefUse(self.nodes)

    def reader_behind_views(self, node: Node, tensor: Tensor, role: InputRole) -> tuple[Node, Tensor, InputRole]:
        """The node that reads a tensor, the tensor that it reads, and the role; after views, the one that unpacks several
        weights from an element.
        """
        view = node
        while view.key in VIEWS and (view is not node or node.inputs[0] is tensor):
            uses = self.uses.reads(view.out.name)
            for reader, place in uses:
                if role_of(reader, place).packed and (read := reader.inputs[place]) is not None:
                    return reader, read, role_of(reader, place)
            views = [reader for reader, place in uses if reader.key in VIEWS and place == 0]
            if not views:
                break
            view = views[0]
        return node, tensor, role

    def may_be_weight(self, tensor: Tensor, role: InputRole) -> bool:
        """Whether elements of its type can be weights, of a constant that a node reads in this role."""
        if role.steers:
            return False
        if tensor.dtype not in STORED_AS_WEIGHTS:
            return tensor.dtype in CODES and self._is_decoded(tensor)
        # A constant of one element is a factor, an exponent or an epsilon, unless it is a learned input of the operator.
        return tensor.size != 1 or role.is_learned

    def _is_decoded(self, tensor: Tensor) -> bool:
        """Whether integers are dequantized, or are the bias of a quantized product, directly or after views."""
        pending = [tensor.name]
        for name in pending:
            for node, place in self.uses.reads(name):
                if role_of(node, place).name in ("codes", "quantized bias"):
                    return True
                if place == 0 and node.key in _KEEPERS - CASTS:
                    pending += [out.name for out in node.outputs[:1] if out is not None]
        return False

    def is_learned(self, tensor: Tensor) -> bool:
        """Whether some node reads the constant, or a value computed from it and other constants, as a parameter."""
        if tensor.name not in self.known:
            self.known[tensor.name] = any(self._learns(read, tensor) for read in self._reads(tensor))
        return self.known[tensor.name]

    def is_statistic(self, tensor: Tensor) -> bool:
        """Whether a normalization reads the constant as a running statistic, and no node as something learned."""
        if _NORMALIZERS.isdisjoint(self.operators):
            return False
        if tensor.name not in self.statistics:
            roles = [role_of(read.node, read.place) for read in self._reads(tensor)]
            learned = {role.name for role in roles if role.is_learned}
            self.statistics[tensor.name] = bool(learned) and learned <= {"mean", "variance"}
        return self.statistics[tensor.name]

    def _reads(self, tensor: Tensor) -> Iterator[_Read]:
        """The nodes that read the constant directly, or as other nodes pass it on."""
        pending, seen = [(tensor, False, False)], {tensor.name}
        while pending:
            now, is_picked, is_cut = pending.pop()
            for node, place in self.uses.reads(now.name):
                if place == 0 and node.key in _MATRIX_PRODUCTS and self._is_of_places(node, now, tensor if is_cut else None):
                    continue
                handed = self._handed_on(node, place) if node.key not in _NO_WEIGHTS_BEHIND else ()
                if handed is None or any(not self.uses.positions(out.name) for out in handed):
                    yield _Read(node, place, now, is_picked)
                for out in handed or ():
                    if out.name not in seen:
                        seen.add(out.name)
                        pending.append((out, is_picked or node.key in GATHERS, is_cut or node.key == "Slice"))

    def _handed_on(self, node: Node, place: int) -> list[Tensor] | None:
        """The outputs that hold elements of an input, or are computed from constants with it; None if none do."""
        role = role_of(node, place)
        outputs = [out for out in node.outputs[: None if node.key == "Split" else 1] if out is not None]
        if role.steers or not outputs:
            return None
        if outputs[0].is_constant:
            return outputs if not role.is_learned or node.key in _MATRIX_PRODUCTS else None
        return outputs if place == 0 and node.key in _CARRIERS and node.key not in JOINS else None

    def _learns(self, read: _Read, table: Tensor) -> bool:
        node, place = read.node, read.place
        role = role_of(node, place)
        if role.steers or role.name == "buffer" or self._is_angle(node):
            return False
        if node.key in _MATRIX_PRODUCTS:
            return True
        if role.is_learned or role.name in ("codes", "table"):
            return not self._is_of_groups(node)
        if node.key in POINTWISE or node.key in JOINS:
            return self._is_learned_operand(read, table)
        return role is DATA and node.op_type != "Identity"

    def _is_of_places(self, node: Node, tensor: Tensor, cut: Tensor | None) -> bool:
        """Whether a weight multiplies coordinates in two or three dims, or a table of positions ``cut`` to length."""
        if not self._comes_from_table(node.input(1)):
            return False
        if cut is not None and cut.rank > 2 and cut.shape[0] == 1:
            return True
        return tensor.is_shaped and tensor.rank > 1 and tensor.shape[-1] in (2, 3) and self._is_activated(node.out)

    def _is_activated(self, tensor: Tensor) -> bool:
        """Whether a product goes into an activation or a softmax, unlike a product of two weights."""
        reached = [tensor]
        for _ in range(_STEPS_TO_ACTIVATION):
            readers = [reader for each in reached for reader in self.uses.readers(each.name)]
            if any(reader.key in ACTIVATIONS | SOFTMAXES for reader in readers):
                return True
            reached = [reader.out for reader in readers if reader.key in VIEWS | CASTS | {"Add", "Transpose"}]
        return False

    def _is_of_groups(self, node: Node) -> bool:
        """Whether it normalizes groups of channels as rows of another shape: its gain and shift are then ones and zeros."""
        if node.key != "InstanceNormalization":
            return False
        before, behind = self.uses.definition(node.x.name), self.uses.readers(node.out.name)
        return before is not None and before.key in VIEWS and bool(behind) and all(reader.key in VIEWS for reader in behind)

    def _is_learned_operand(self, read: _Read, table: Tensor) -> bool:
        """Whether it is a bias, a scaling of features or an added embedding, and not a mask, an angle or an anchor."""
        node, operand = read.node, read.tensor
        if self._is_rotation(node, operand, table):
            return False
        if read.is_picked:
            return True
        if self._is_mask(node, operand) or self._is_preparation(node, operand):
            return False
        if not self._feeding or node.out.name in self._feeding or self._is_added_to_product(node):
            return True
        is_vector = sum(size > 1 for size in table.shape) < 2
        sizes = {table.size, *table.shape} - ({1} if is_vector else set(range(_MOST_COORDINATES + 1)))
        return not self._widths_before(node).isdisjoint(sizes)

    def _is_preparation(self, node: Node, operand: Tensor) -> bool:
        """Whether it shifts or scales a value before any contraction: an image before the first layer, or distances before they
        become a bias of attention scores.
        """
        others = [tensor for tensor in node.inputs if tensor is not None and tensor is not operand]
        if not self._feeding or node.key not in _SCALINGS or any(tensor.name in self._features for tensor in others):
            return False
        return node.out.name not in self._features or node.out.name in self._scores

    @cached_property
    def _features(self) -> set[str]:
        """The outputs of contractions, normalizations, reductions and look-ups, directly or after other nodes, and products of
        each number with a vector.
        """
        found: set[str] = set()
        for node in self.readers:
            if (
                not found.isdisjoint(node.reads)
                or node.key in _MAKERS
                or bool(node.branches)
                or (node.key in GATHERS and node.x.is_constant)
                or (node.key in _SCALINGS and all(t is None or t.is_constant or t.dims != node.out.dims for t in node.inputs))
            ):
                found.update(node.makes)
        return found

    def _is_added_to_product(self, node: Node) -> bool:
        """Whether it is in the place of a bias, directly after a contraction."""
        for tensor in node.inputs if node.op_type in ("Add", "Sub") else ():
            before = self.uses.definition(tensor.name) if tensor is not None else None
            is_rescaled = False
            while before is not None and (source := before.input(0)) is not None:
                if before.key not in _KEEPERS and not _is_rescaling(before):
                    break
                is_rescaled = is_rescaled or before.key not in _KEEPERS
                before = self.uses.definition(source.name)
            if before is not None and before.key in _LEARNERS and (before.out.dtype.startswith("int") or not is_rescaled):
                return True
        return False

    def _is_angle(self, node: Node) -> bool:
        """Whether only sines and cosines are computed from the node's output: it has frequencies."""
        out = node.outputs[0] if node.outputs else None
        return out is not None and out.name in self._angles

    @cached_property
    def _angles(self) -> set[str]:
        return self._read_only_by(frozenset({"Sin", "Cos"}), VIEWS | CASTS | REARRANGEMENTS | GATHERS | {"Mul", "Div"})

    @cached_property
    def _scores(self) -> set[str]:
        return self._read_only_by(SOFTMAXES, SCORE_STEPS)

    def _read_only_by(self, readers: frozenset[str], through: frozenset[str]) -> set[str]:
        """The values that only nodes of these operators read, directly or after such nodes."""
        found = set[str]()

        def is_one(node: Node) -> bool:
            return node.key in readers or (node.key in through and None not in node.outputs and found.issuperset(node.makes))

        pending = [name for node in self.readers if node.key in readers for name in node.reads]
        while pending:
            name = pending.pop()
            if name not in found and all(map(is_one, self.uses.readers(name))):
                found.add(name)
                maker = self.uses.definition(name)
                if maker is not None and is_one(maker):
                    pending += maker.reads
        return found

    def _is_rotation(self, node: Node, operand: Tensor, table: Tensor) -> bool:
        """Whether it is x·cos ± y·sin, with tables that differ by position."""
        if node.op_type != "Mul" or sum(size > 1 for size in table.shape) < 2:
            return False
        for reader in self.uses.readers(node.out.name):
            for other in reader.inputs if reader.op_type in ("Add", "Sub") else ():
                product = self.uses.definition(other.name) if other is not None else None
                if product is not None and product.op_type == "Mul" and product is not node:
                    factors = [t for t in product.inputs if t is not None and t.dims == operand.dims]
                    if any(self._comes_from_table(factor) for factor in factors):
                        return True
        return False

    def _comes_from_table(self, tensor: Tensor | None) -> bool:
        while tensor is not None and not tensor.is_constant:
            node = self.uses.definition(tensor.name)
            tensor = node.input(0) if node is not None and node.key in _CARRIERS else None
        return tensor is not None

    def _is_mask(self, node: Node, operand: Tensor) -> bool:
        """Whether it changes scores before a softmax in the same way for all heads, or for all queries."""
        if not (node.key in AFFINE or node.key == "Where") or not node.out.is_shaped or node.out.rank < 2:
            return False
        if node.out.name not in self._scores:
            return False
        keys = node.out.shape[-1]
        varies = operand.size > 1 and operand.shape[-1] in (1, keys) and sum(size > 1 for size in operand.shape) > 1
        is_alike = operand.rank < 3 or operand.shape[-3] == 1 or (operand.shape[-2] == 1 and operand.shape[-1] > 1)
        return node.op_type == "Where" or (varies and is_alike)

    @cached_property
    def _feeding(self) -> set[str]:
        """The values that a contraction or a normalization reads, directly or after other nodes."""
        found: set[str] = set()
        for node in reversed(self.readers):
            if node.key in _LEARNERS or not found.isdisjoint(node.makes):
                if node.key not in SELECTIONS:
                    steered = steered_by(node.key)
                    found.update(
                        [t.name for place, t in enumerate(node.inputs) if t is not None and place not in steered]
                        if steered
                        else node.reads
                    )
                elif node.op_type == "RoiAlign" and node.input(0) is not None:
                    found.add(node.x.name)
        return found

    def _widths_before(self, node: Node) -> set[int]:
        """The features of the contractions whose outputs it reads, through nodes that keep them."""
        found: set[int] = set()
        pending, seen = deque(tensor for tensor in node.inputs if tensor is not None), set[str]()
        while pending and len(seen) < _DEEPEST:
            tensor = pending.popleft()
            before = self.uses.definition(tensor.name) if tensor.name not in seen else None
            seen.add(tensor.name)
            if before is None or tensor.is_constant or not before.out.is_shaped:
                continue
            if (before.key in _LEARNERS and not self._is_of_groups(before)) or before.key in GATHERS:
                shape = before.out.shape
                found.add(
                    shape[1] if before.key in CONVOLUTIONS | {"ConvTranspose"} and len(shape) > 1 else (shape or (1,))[-1]
                )
            else:
                pending += [each for each in before.inputs if each is not None]
        return found


class _Read(NamedTuple):
    """A node that reads a constant as ``tensor``, its input ``place``; ``is_picked``: as rows that were looked up."""

    node: Node
    place: int
    tensor: Tensor
    is_picked: bool


def _is_rescaling(node: Node) -> bool:
    """Whether the integer result of a contraction is multiplied by the scales of its operands."""
    scale = node.input(1) if node.key == "Mul" else None
    return (
        scale is not None
        and node.input(0) is not None
        and scale.is_shaped
        and node.x.is_shaped
        and scale.rank <= 1 < node.x.rank
    )
