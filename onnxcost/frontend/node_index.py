"""An index of a model's nodes: who makes a value, who reads it, and with which stored weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence, Set
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from onnxcost.frontend.long_lists import holds_list, numbers_in
from onnxcost.frontend.stored_graphs import StoredGraphs, StoredNode
from onnxcost.operators import traits

if TYPE_CHECKING:
    from onnx import ValueInfoProto

CHANNEL_COUNTS = (1, 3, 4)
"""Usual numbers of channels of an image."""
_KEEPS_ROLE = (traits.VIEWS | traits.CASTS | traits.AFFINE | traits.REARRANGEMENTS | {"Div", "Concat"}) - {"Transpose"}
"""Operators that only scale, cut or rearrange an input: its use is looked up behind them."""
_SAME_DIMS = traits.QUANTIZERS | traits.DEQUANTIZERS | traits.CASTS | traits.IDENTITIES
_SAME_RANK = traits.POINTWISE | traits.IDENTITIES | traits.SOFTMAXES | {"Resize", "Upsample"}
_RANKS: Mapping[str, int] = {**dict.fromkeys(traits.FLOAT_PRODUCTS | {"Gather"}, 2), **dict.fromkeys(traits.RECURRENT, 3)}
"""The rank of inputs that are looked up, multiplied by a matrix or followed in time."""
FOLLOWED = 24
"""The most nodes that are visited to find the use of an input."""


def sizes_of(value: ValueInfoProto) -> list[int | None]:
    """The dims of an input, None for an open one."""
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in value.type.tensor_type.shape.dim]


class Reader(NamedTuple):
    """The first node that uses an input, and the dims of its weight."""

    op_type: str
    weight: tuple[int, ...] | None
    node: StoredNode

    @property
    def groups(self) -> int:
        """The groups of a convolution."""
        return self.node.attribute["group"].i if "group" in self.node.attribute else 1


_FEATURES: Mapping[str, tuple[str, str]] = {
    "Scaler": ("scale", ""),
    "Imputer": ("imputed_value_floats", ""),
    "LinearRegressor": ("coefficients", "targets"),
    "LinearClassifier": ("coefficients", "intercepts"),
    "SVMRegressor": ("support_vectors", "n_supports"),
    "SVMClassifier": ("support_vectors", "vectors_per_class"),
    **dict.fromkeys(("TreeEnsembleRegressor", "TreeEnsembleClassifier", "TreeEnsemble"), ("nodes_featureids", "")),
}
"""Of operators of ai.onnx.ml: the attribute with numbers for each feature, and the one that says for how many rows of them."""


def _count_features(reader: Reader) -> int:
    """How many features such a node reads; 0 where its attributes do not tell."""
    attributes = reader.node.attribute
    name, divisor = _FEATURES[reader.op_type]
    listed = attributes.get(name)
    if listed is None:
        return 0
    numbers = numbers_in(listed) if holds_list(listed) else listed.ints or listed.floats
    if name == "nodes_featureids":
        return int(max(numbers, default=-1)) + 1
    rows = attributes.get(divisor)
    count = 1 if rows is None else rows.i or sum(rows.ints) or len(rows.floats)
    found = len(numbers) // max(count, 1)
    return found if found > 1 or divisor else 0


class NodeIndex:
    """The nodes of a model, those in bodies included, and what is known of them before shapes are inferred."""

    def __init__(self, graphs: StoredGraphs | None = None) -> None:
        self.graphs = graphs or StoredGraphs()
        self.model = self.graphs.model

    @cached_property
    def outputs(self) -> Sequence[ValueInfoProto]:
        """The model's outputs, without those that are copies of another one."""
        outputs = self.model.graph.output if self.model is not None else ()
        names = {output.name for output in outputs}
        identities = [node for node in self.nodes if node.op_type in traits.IDENTITIES and node.input]
        copies = {name for node in identities if node.input[0] in names for name in node.output}
        return [output for output in outputs if output.name not in copies]

    @cached_property
    def nodes(self) -> list[StoredNode]:
        """The nodes, each before those in its bodies."""
        return list(self.graphs.nodes_within(self.model.graph)) if self.model is not None else []

    @cached_property
    def consumers(self) -> Mapping[str, list[tuple[StoredNode, int]]]:
        """The nodes that read a value, each with the input that it is."""
        found: dict[str, list[tuple[StoredNode, int]]] = {}
        for node in self.nodes:
            for position, name in enumerate(node.input):
                found.setdefault(name, []).append((node, position))
        return found

    @cached_property
    def stored(self) -> Mapping[str, tuple[int, ...]]:
        """The dims of stored tensors and of reshaped ones."""
        stored = self.model.graph.initializer if self.model is not None else ()
        found = {tensor.name: tuple(tensor.dims[:]) for tensor in stored}
        for node in self.nodes:
            if node.op_type == "Constant" and "value" in node.attribute and node.output:
                found[node.output[0]] = tuple(node.attribute["value"].t.dims[:])
            for attribute in node.attribute.values() if node.has_subgraph else ():
                found.update((tensor.name, tuple(tensor.dims)) for tensor in attribute.g.initializer)
            if node.op_type in _SAME_DIMS and node.input and node.output:
                found.update({node.output[0]: found[node.input[0]]} if node.input[0] in found else {})
        return found

    def reader(self, name: str, wanted: Set[str], *, moves: bool = False, places: Sequence[int] = (0, 1)) -> Reader | None:
        """The first node of a wanted type that reads the value, directly or after reshaping and scaling."""
        names, seen = [name], 0
        follows = _KEEPS_ROLE | {"Transpose", "Resize"} if moves else _KEEPS_ROLE
        while names and seen < FOLLOWED:
            for node, position in self.consumers.get(names.pop(0), ()):
                seen += 1
                is_index = node.op_type != "Gather" or position == 1
                if node.op_type in wanted and is_index and position in places:
                    weight = self.stored.get(node.input[1]) if len(node.input) > 1 and position == 0 else None
                    return Reader(node.op_type, weight, node)
                if node.op_type in follows and position == 0 and seen < FOLLOWED:
                    names += node.output[:1]
        return None

    def count_features(self, value: ValueInfoProto) -> tuple[int, str]:
        """How many features an operator of ai.onnx.ml reads from the input, and the operator; 0 where there is none or it does
        not tell.
        """
        reader = self.reader(value.name, _FEATURES.keys())
        return (0, "") if reader is None else (_count_features(reader), reader.op_type)

    def rank_read(self, value: ValueInfoProto) -> int | None:
        """The rank that the first reader of an input requires; None where it accepts any."""
        reader = self.reader(value.name, {*_RANKS, "Conv", "ConvTranspose"})
        weight = reader.weight if reader is not None else None
        if reader is not None and reader.op_type in _RANKS:
            return _RANKS[reader.op_type]
        return len(weight) if weight is not None else None

    def channels_of(self, value: ValueInfoProto) -> int | None:
        """The channels of an input that has them first: as the file says, or the weight of the convolution behind it."""
        dims, reader = sizes_of(value), self.reader(value.name, {"Conv"})
        if len(dims) < 3 or dims[1] is not None or reader is None or reader.weight is None or len(reader.weight) != len(dims):
            return dims[1] if len(dims) > 1 else None
        return reader.groups * reader.weight[1]

    def is_channels_last(self, value: ValueInfoProto) -> bool:
        """Whether an image has its channels last."""
        dims = sizes_of(value)
        if any(size in CHANNEL_COUNTS for size in (dims[-1], dims[1])):
            return dims[-1] in CHANNEL_COUNTS
        return any(
            node.op_type == "Transpose" and "perm" in node.attribute and node.attribute["perm"].ints[:] == [0, 3, 1, 2]
            for node, _ in self.consumers.get(value.name, ())
        )

    def channels_made(self, name: str) -> int | None:
        """The channels of the convolution that makes a value, directly or through a few elementwise nodes."""
        for node in self.nodes_behind(name):
            weight = self.stored.get(node.input[1]) if len(node.input) > 1 else None
            if node.op_type in ("Conv", "ConvTranspose") and weight is not None:
                return weight[0 if node.op_type == "Conv" else 1]
        return None

    def rank_of(self, output: ValueInfoProto) -> int:
        """The rank of an output, of one that the file leaves open by the node that makes it; 0 where that does not tell."""
        dims = sizes_of(output)
        for node in self.nodes_behind(output.name) if not dims else ():
            weight = self.stored.get(node.input[1]) if len(node.input) > 1 else None
            if weight is not None and (node.op_type == "Gemm" or node.op_type in ("Conv", "ConvTranspose")):
                return len(weight)
            if node.op_type not in _SAME_RANK:
                break
        return len(dims)

    @cached_property
    def counted_positions(self) -> int | None:
        """The rows of a table that is read at positions which a CumSum counts; None without one."""
        for node in self.nodes:
            if node.op_type == "CumSum" and (reader := self.reader(node.output[0], {"Gather"}, places=(1,))) is not None:
                table = self.stored.get(reader.node.input[0], ())
                if len(table) == 2:
                    return table[0]
        return None

    def is_stored(self, node: StoredNode) -> bool:
        """Whether it reads a table that the file has, such as one of positions, as it is or cut and rearranged."""
        last = node
        for before in self.nodes_behind(node.input[0]) if node.input else ():
            if before.op_type not in _KEEPS_ROLE | {"Transpose"}:
                return False
            if before.op_type in traits.AFFINE and any(
                name in self.made_by and name not in self.stored for name in before.input
            ):
                return False
            last = before
        return bool(last.input) and last.input[0] in self.stored

    def nodes_behind(self, name: str) -> Iterator[StoredNode]:
        """The node that makes a value, the one that makes its first input, and so on: a few."""
        for _ in range(FOLLOWED):
            node = self.made_by.get(name)
            if node is None or not node.input:
                return
            yield node
            name = node.input[0]

    @cached_property
    def made_by(self) -> Mapping[str, StoredNode]:
        """The node that makes a value."""
        return {output: node for node in self.nodes for output in node.output}
