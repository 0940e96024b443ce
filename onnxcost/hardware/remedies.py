"""What would make a model fit: other types, a smaller input, a smaller batch, each counted anew."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, Protocol

from onnxcost.errors import OnnxCostError
from onnxcost.graph import BoundDim, Graph
from onnxcost.hardware.steps import demand_of
from onnxcost.measuring.inputs.batch import batch_dim, batch_of
from onnxcost.report import CostReport
from onnxcost.retyped import retyped

TYPES: Mapping[str, Mapping[str, str]] = {
    "float16": dict.fromkeys(("float64", "float32"), "float16"),
    "int8": dict.fromkeys(("float64", "float32", "float16", "bfloat16"), "int8"),
}
"""The changes of type, and what is stored and multiplied as what then: all of it, as far as it is floating."""
FRACTIONS = (0.75, 0.5, 0.25)
"""How much smaller an input is tried."""
LEAST, STEP = 32, 32
"""Dims below the least are left as they are; what is a multiple of the step stays one, as convolutional models ask for."""


class Again(Protocol):
    """Counts the model once more with other sizes, as ``onnxcost.estimate`` takes them; raises OnnxCostError."""

    def __call__(self, *, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> CostReport:
        """The report."""
        ...


class Variant(NamedTuple):
    """A change in words, and the report of the changed model; None where it does not allow the change."""

    change: str
    report: Callable[[], CostReport | None]


def variants(report: CostReport, again: Again | None) -> list[Variant]:
    """The changes to try, the mildest first. Each is counted when it is asked for, and only once."""
    typed = [_variant(change, _typed, report, types) for change, types in TYPES.items() if _has_any(report, types)]
    sized = list(_resized(report, again)) if again else []
    both = [_variant(f"{typed[-1].change} and {size.change}", _both, size, TYPES[typed[-1].change]) for size in sized if typed]
    return [*typed, *sized, *both]


def _variant(change: str, make: Callable[..., CostReport | None], *arguments: Any) -> Variant:
    return Variant(change, cache(partial(make, *arguments)))


def _has_any(report: CostReport, types: Mapping[str, str]) -> bool:
    return any(dtype in types for dtype in demand_of(report).macs)


def _typed(report: CostReport, types: Mapping[str, str]) -> CostReport:
    return retyped(report, types)


def _both(size: Variant, types: Mapping[str, str]) -> CostReport | None:
    smaller = size.report()
    return smaller and retyped(smaller, types)


def _resized(report: CostReport, again: Again) -> Iterator[Variant]:
    """A batch of one, and smaller inputs."""
    graph, batch = report.graph, batch_dim(report.graph)
    given = {dim.name: dim.value for dim in graph.dims if not _is_unnamed(dim)}
    if batch is not None and batch_of(graph) > 1:
        yield _variant("batch 1", _counted, again, batch.at(1, {}, given))
    batched = {dim.name for dim in batch.dims} if batch else set()
    sizes = [dim for dim in graph.dims if dim.places and dim.name not in batched and dim.value >= LEAST]
    for fraction in FRACTIONS if sizes else ():
        smaller = {dim.name: _scaled(dim.value, fraction) for dim in sizes}
        yield _variant(_named(smaller), _counted, again, _with(graph, given, smaller))


def _counted(again: Again, sizes: Mapping[str, Any]) -> CostReport | None:
    try:
        return again(shapes=sizes["shapes"], dims=sizes["dims"])
    except OnnxCostError:
        return None


def _with(graph: Graph, given: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, Any]:
    """The arguments that set the dims: a symbol by its name, one without a name in its input's shape."""
    shapes: dict[str, list[int]] = {}
    for dim in graph.dims:
        for name, axis in dim.places if _is_unnamed(dim) and dim.name in sizes else ():
            tensor = next(tensor for tensor in graph.inputs if tensor.name == name)
            shapes.setdefault(name, list(tensor.shape))[axis] = sizes[dim.name]
    named = {dim.name for dim in graph.dims if not _is_unnamed(dim)}
    return {"shapes": shapes, "dims": {**given, **{name: size for name, size in sizes.items() if name in named}}}


def _is_unnamed(dim: BoundDim) -> bool:
    return dim.name in {f"{name}[{axis}]" for name, axis in dim.places}


def _scaled(size: int, fraction: float) -> int:
    if size % STEP == 0:
        return max(round(size * fraction / STEP), 1) * STEP
    return max(int(size * fraction), 1)


def _named(sizes: Mapping[str, int]) -> str:
    """``height 160, width 160``."""
    return ", ".join(f"{name} {size}" for name, size in sizes.items())
