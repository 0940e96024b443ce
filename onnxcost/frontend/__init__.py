"""From a file to a Graph: the only place that imports onnx."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from onnxcost.formulas import FORMULAS
from onnxcost.formulas.table import FormulaTable
from onnxcost.frontend.lowering import lowered
from onnxcost.frontend.shapes import shaped
from onnxcost.frontend.skeleton import ModelSource, read_skeleton
from onnxcost.graph import Graph

__all__ = ["ModelSource", "read_graph"]


def read_graph(
    source: ModelSource,  # type: ignore[valid-type]
    shapes: Mapping[str, Sequence[int]] | None = None,
    dims: Mapping[str, int] | None = None,
    values: Mapping[str, Any] | None = None,
    formulas: FormulaTable = FORMULAS,
) -> Graph:
    """The graph of a model with every shape that can be known. Arguments and errors as in ``onnxcost.estimate``."""
    skeleton = read_skeleton(source)
    return lowered(skeleton, shaped(skeleton.model, shapes, dims, values, formulas))
