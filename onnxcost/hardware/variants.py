"""Changes to a model that might make it fit: the same report in other types, and the model at smaller sizes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, partial
from typing import Any, NamedTuple, Protocol

from onnxcost.analysis.batch import batch_dim, batch_of
from onnxcost.analysis.memory import memory
from onnxcost.analysis.weights import weights_by_node
from onnxcost.costs import Counted, NodeCost
from onnxcost.errors import MISFITS, OnnxCostError, UnreadableFile
from onnxcost.graph import Dim, Graph, Node, Tensor
from onnxcost.hardware.workload import demand_of
from onnxcost.operators.inputs import places_of
from onnxcost.operators.traffic import traffic
from onnxcost.operators.traits import CONVOLUTIONS, PRODUCTS
from onnxcost.report import CostReport

_NARROW_INTEGERS = frozenset({"int2", "uint2", "int4", "uint4", "int8", "uint8", "int16", "uint16"})
_CHANNELS: Mapping[str, slice] = {
    **dict.fromkeys(PRODUCTS, slice(-1, None)),
    **dict.fromkeys(CONVOLUTIONS | {"ConvTranspose"}, slice(1, 2)),
}
"""The dims of a product that are its channels."""

Retype = Callable[[Tensor], Tensor]


def retype_report(report: CostReport, types: Mapping[str, str]) -> CostReport:
    """The report of the same graph with the types of tensors replaced according to ``types``.

    For narrow integers, biases are int32, the type in which products are summed, as in QLinearConv and TensorFlow Lite.
    """
    if not types:
        return report
    retype = _make_retype(report.graph, types)
    nodes = [
        replace(cost.node, inputs=_each(cost.node.inputs, retype), outputs=_each(cost.node.outputs, retype))
        for cost in report.costs
    ]
    graph = replace(
        report.graph,
        inputs=tuple(map(retype, report.graph.inputs)),
        outputs=tuple(map(retype, report.graph.outputs)),
        nodes=tuple(nodes),
        constants={name: retype(tensor) for name, tensor in report.graph.constants.items()},
    )
    costs = tuple(_cost(cost, node, types) for cost, node in zip(report.costs, nodes, strict=True))
    return CostReport(graph, costs, memory(graph, weights_by_node(report.graph)), report.caveats)


def _make_retype(graph: Graph, types: Mapping[str, str]) -> Retype:
    """The function that gives a tensor its new type."""
    biases = frozenset(_biases(graph))
    wide = {dtype: "int32" if other in _NARROW_INTEGERS else other for dtype, other in types.items()}

    def retype(tensor: Tensor) -> Tensor:
        other = (wide if tensor.name in biases else types).get(tensor.dtype)
        return replace(tensor, dtype=other) if other else tensor

    return retype


def _biases(graph: Graph) -> Iterator[str]:
    """The names of constants that operators take as bias, or that are added to a product with one element per channel."""
    channels: dict[str, tuple[Dim, ...]] = {}
    for node in graph.nodes:
        constants = [tensor for tensor in node.inputs if tensor is not None and tensor.is_constant and tensor.is_shaped]
        biases = [node.input(place) for place in places_of(node.key, "bias")]
        yield from (tensor.name for tensor in constants if tensor in biases)
        if node.key in _CHANNELS:
            made = (tensor for tensor in node.outputs if tensor is not None)
            channels |= {tensor.name: (tensor.dims or ())[_CHANNELS[node.key]] for tensor in made}
        elif node.key == "Add":
            sizes = {channels[tensor.name] for tensor in node.inputs if tensor is not None and tensor.name in channels}
            yield from (tensor.name for tensor in constants if (tensor.size,) in sizes)


def _cost(cost: NodeCost, node: Node, types: Mapping[str, str]) -> NodeCost:
    if not isinstance(cost, Counted):
        return replace(cost, node=node)
    try:
        moved = traffic(node) if cost.traffic_once.total else cost.traffic_once
    except MISFITS:
        moved = cost.traffic_once
    return replace(cost, node=node, traffic_once=moved, dtype=types.get(cost.dtype, cost.dtype))


def _each(tensors: tuple[Tensor | None, ...], retype: Retype) -> tuple[Tensor | None, ...]:
    return tuple(tensor and retype(tensor) for tensor in tensors)


TYPES: Mapping[str, Mapping[str, str]] = {
    "float16": dict.fromkeys(("float64", "float32"), "float16"),
    "int8": dict.fromkeys(("float64", "float32", "float16", "bfloat16"), "int8"),
}
"""The changes of type, and the type in which each floating-point type is then stored and multiplied."""
FRACTIONS = (0.75, 0.5, 0.25)
"""The shares of the input sizes that are tried."""
LEAST, STEP = 32, 32
"""Dims below the least are not changed; multiples of the step stay multiples, as convolutional models require."""


class Again(Protocol):
    """Counts the model again at other sizes, given as for ``onnxcost.estimate``; raises OnnxCostError."""

    def __call__(self, *, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> CostReport:
        """The report."""


class Variant(NamedTuple):
    """A change in words, and the report of the changed model, None if the model does not allow the change."""

    change: str
    report: Callable[[], CostReport | None]


def try_variants(report: CostReport, again: Again | None) -> list[Variant]:
    """The changes to try, the smallest first. Each is counted at most once, on the first call of ``report``."""
    multiplied = demand_of(report).macs.keys()
    typed = [change for change, types in TYPES.items() if types.keys() & multiplied]
    sized = list(_list_smaller(report, again)) if again else []
    return [
        *(Variant(change, cache(partial(retype_report, report, TYPES[change]))) for change in typed),
        *sized,
        *(_combine(typed[-1], size) for size in sized if typed),
    ]


def _combine(change: str, size: Variant) -> Variant:
    """A change of type on top of one of size."""

    def make() -> CostReport | None:
        smaller = size.report()
        return smaller and retype_report(smaller, TYPES[change])

    return Variant(f"{change} and {size.change}", cache(make))


def _list_smaller(report: CostReport, again: Again) -> Iterator[Variant]:
    """A batch of one, and smaller inputs."""
    graph, batch = report.graph, batch_dim(report.graph)
    given = {dim.name: dim.value for dim in graph.dims if not dim.is_unnamed}
    if batch is not None and batch_of(graph) > 1:
        yield Variant("batch 1", cache(partial(_try_count, again, batch.at(1, {}, given))))
    batched = {dim.name for dim in batch.dims} if batch else set()
    sizes = {dim.name: dim.value for dim in graph.dims if dim.places and dim.name not in batched and dim.value >= LEAST}
    for fraction in FRACTIONS if sizes else ():
        smaller = {
            name: max(int(size * fraction), 1) if size % STEP else max(round(size * fraction / STEP), 1) * STEP
            for name, size in sizes.items()
        }
        change = ", ".join(f"{name} {size}" for name, size in smaller.items())
        yield Variant(change, cache(partial(_try_count, again, _set_dims(graph, given, smaller))))


def _try_count(again: Again, sizes: Mapping[str, Any]) -> CostReport | None:
    try:
        return again(shapes=sizes["shapes"], dims=sizes["dims"])
    except UnreadableFile:
        raise
    except OnnxCostError:
        return None


def _set_dims(graph: Graph, given: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The arguments of ``Again`` that set the dims: a symbol by its name, an unnamed dim by its input's shape."""
    shapes: dict[str, list[int]] = {}
    for dim in graph.dims:
        for name, axis in dim.places if dim.is_unnamed and dim.name in sizes else ():
            tensor = next(tensor for tensor in graph.inputs if tensor.name == name)
            shapes.setdefault(name, list(tensor.shape))[axis] = sizes[dim.name]
    named = {dim.name for dim in graph.dims if not dim.is_unnamed}
    return {"shapes": shapes, "dims": {**given, **{name: size for name, size in sizes.items() if name in named}}}
