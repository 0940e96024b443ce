"""From a file to a Graph: the only place that imports onnx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend.lowering import lower
from onnxcost.frontend.normalize import operators_in
from onnxcost.frontend.reader import ModelSource, Skeleton, read_skeleton
from onnxcost.frontend.shape_inference import infer_shapes
from onnxcost.graph import Graph

if TYPE_CHECKING:
    from onnxcost.frontend.trace import Trace


__all__ = ["ModelSource", "Skeleton", "operators_in", "read_graph", "read_skeleton"]


def read_graph(
    skeleton: Skeleton,
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    trips: Mapping[str, int] | None = None,
    formulas: FormulaTable = MappingProxyType({}),
    trace: Trace | None = None,
) -> Graph:
    """The graph of a model with every shape that can be known. Arguments and errors as in ``onnxcost.estimate``."""
    return lower(skeleton, infer_shapes(skeleton.model, shapes, dims, values, trips, formulas, trace, skeleton.path))
