"""From a file to a Graph: the only place that imports onnx."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, cast

from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend.lowering import lower
from onnxcost.frontend.node_index import NodeIndex
from onnxcost.frontend.normalize import normalize, operators_in
from onnxcost.frontend.reader import Skeleton, read_skeleton
from onnxcost.frontend.shape_inference import infer_shapes
from onnxcost.graph import Graph
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from onnxcost.frontend.trace import Trace


__all__ = ["ResizableModel", "Skeleton", "operators_in", "read_graph", "read_model", "read_skeleton"]


def read_model(spec: ModelSpec) -> ModelSpec:
    """The spec with its model read, for a model that is counted several times. Raises as ``read_skeleton`` does."""
    return replace(spec, source=cast(Any, read_skeleton(spec.source)))


def read_graph(
    skeleton: Skeleton,
    spec: ModelSpec,
    formulas: FormulaTable = MappingProxyType({}),
    trace: Trace | None = None,
    *,
    checks_given: bool = False,
) -> Graph:
    """The graph of a model that was read, with every shape that can be known. Errors as in ``onnxcost.estimate``.

    The skeleton can be read again with another spec. With ``checks_given``, given sizes are checked like assumed ones.
    """
    declared = [value.SerializeToString() for value in skeleton.model.graph.input]
    try:
        return lower(skeleton, infer_shapes(skeleton, spec, formulas, trace, checks_given=checks_given))
    finally:
        # The sizes of this spec were written to the inputs.
        for value, before in zip(skeleton.model.graph.input, declared, strict=True):
            value.ParseFromString(before)


class ResizableModel:
    """A model whose graph is read at many sizes of its open dims; the file, and what a runtime knows about the dims before a
    run, are read once.
    """

    def __init__(self, spec: ModelSpec) -> None:
        skeleton = read_skeleton(spec.source)
        self.operators = operators_in(skeleton)
        model, graphs, _ = normalize(skeleton.model, skeleton.graphs)
        self._spec, self._skeleton = spec, skeleton._replace(model=model, graphs=graphs, node_index=NodeIndex(graphs))
        self._first: Graph | None = None

    def read(self, sizes: Mapping[str, int], formulas: FormulaTable) -> Graph:
        """The graph at these sizes of its dims, in addition to those of the spec; the first call must be without any.

        A dim without a symbol is named by its place. Errors as for ``read_graph``.
        """
        first = self._first
        dims = {dim.name: dim for dim in first.dims if dim.name in sizes} if first is not None else {}
        places = {place: sizes[name] for name, dim in dims.items() for place in dim.places}
        unnamed = {place[0] for dim in dims.values() if dim.is_unnamed for place in dim.places}
        shapes = {
            tensor.name: tuple(places.get((tensor.name, axis), size) for axis, size in enumerate(tensor.shape))
            for tensor in (first.inputs if first is not None else ())
            if tensor.name in unnamed
        }
        symbols = {name: size for name, size in sizes.items() if name not in dims or not dims[name].is_unnamed}
        spec = replace(self._spec, dims={**self._spec.dims, **symbols}, shapes={**self._spec.shapes, **shapes})
        graph = read_graph(self._skeleton, spec, formulas, checks_given=True)
        if first is None:
            self._first = graph
            return graph
        return replace(graph, symbolic_dims=first.symbolic_dims)  # They are inferred once, if they are needed.
