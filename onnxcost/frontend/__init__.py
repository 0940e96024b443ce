"""From a file to a Graph: the only place that imports onnx."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend.lowering import lower
from onnxcost.frontend.normalize import operators_in
from onnxcost.frontend.reader import Skeleton, read_skeleton
from onnxcost.frontend.shape_inference import infer_shapes
from onnxcost.graph import Graph
from onnxcost.spec import ModelSpec

if TYPE_CHECKING:
    from onnxcost.frontend.trace import Trace


__all__ = ["Skeleton", "operators_in", "read_graph", "read_skeleton"]


def read_graph(
    skeleton: Skeleton, spec: ModelSpec, formulas: FormulaTable = MappingProxyType({}), trace: Trace | None = None
) -> Graph:
    """The graph of a model that was read, with every shape that can be known. Errors as in ``onnxcost.estimate``.

    The skeleton can be read again with another spec.
    """
    declared = [value.SerializeToString() for value in skeleton.model.graph.input]
    try:
        return lower(skeleton, infer_shapes(skeleton, spec, formulas, trace))
    finally:
        # The sizes of this spec were written to the inputs.
        for value, before in zip(skeleton.model.graph.input, declared, strict=True):
            value.ParseFromString(before)
