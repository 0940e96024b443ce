"""Which dim of a model is its batch, and how to set it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from onnxcost.graph import BoundDim, Graph, Tensor

_BATCH = r"(?i)^[^*+/]*batch[^*+/]*$|^bs?$|^n$"
"""Names of a batch. Expressions of it, such as ``batch*beams``, follow automatically."""
_NO_BATCH = r"(?i)seq|len|time|token|frame|height|width|node|edge|atom|point|^[slthw]$"


class BatchDim(NamedTuple):
    """The open dims that are the batch: their value now, and the shapes of the model's inputs."""

    value: int
    dims: tuple[BoundDim, ...]
    inputs: Mapping[str, tuple[int, ...]]

    def at(self, size: int, shapes: Mapping[str, Sequence[int]], dims: Mapping[str, int]) -> dict[str, Any]:
        """The arguments ``shapes`` and ``dims`` of ``onnxcost.estimate`` with the batch of another size."""
        changed = {name: list(shape) for name, shape in shapes.items()}
        symbols = dict(dims)
        for dim in self.dims:
            if not dim.is_unnamed:
                symbols[dim.name] = size
            for name, axis in dim.places:
                if dim.is_unnamed:
                    changed.setdefault(name, list(self.inputs[name]))
                if name in changed:
                    changed[name][axis] = size
        return {"shapes": changed, "dims": symbols}


def batch_dim(graph: Graph) -> BatchDim | None:
    """The batch: a dim of such a name, else the open dim that comes first in an input and in an output; None without one."""
    named = [dim for dim in graph.dims if dim.places and re.search(_BATCH, dim.name)]
    found = [dim for dim in named if dim.value == named[0].value] or _leading_dims(graph)
    if not found:
        return None
    return BatchDim(found[0].value, tuple(found), {tensor.name: tensor.shape for tensor in graph.inputs if tensor.is_shaped})


def batch_of(graph: Graph) -> int:
    """The number of items in one inference, also for a fixed batch; 1 if no dim gives it."""
    if (batch := batch_dim(graph)) is not None:
        return batch.value
    leading = _leading_input(graph)
    return leading.shape[0] if leading is not None else 1


def _leading_dims(graph: Graph) -> list[BoundDim]:
    """The first dim of the leading input, if it is open, and if it has no name, others without one that seem to be the same."""
    leading = _leading_input(graph)
    dim = next((dim for dim in graph.dims if leading is not None and (leading.name, 0) in dim.places), None)
    if dim is None or not dim.is_unnamed:
        return [dim] if dim is not None else []
    ranks = {tensor.name: tensor.rank for tensor in graph.inputs if tensor.is_shaped}
    fronts = {name for other in graph.dims for name, axis in other.places if axis == 0}

    def is_the_same(other: BoundDim) -> bool:
        (name, axis), *_ = other.places or [("", -1)]
        # A recurrent state has (layers, batch, size).
        is_state = axis == 1 and ranks.get(name) == 3 and name not in fronts
        return other.is_unnamed and other.value == dim.value and (axis == 0 or is_state)

    return [other for other in graph.dims if is_the_same(other)]


def _leading_input(graph: Graph) -> Tensor | None:
    """The first input of two or more dims whose first dim is also the first dim of an output."""
    in_front = {tensor.dims[0] for tensor in graph.outputs if tensor.dims}
    other = {place for dim in graph.dims if re.search(_NO_BATCH, dim.name) for place in dim.places if not dim.is_unnamed}
    fitting = (tensor for tensor in graph.inputs if tensor.is_shaped and tensor.rank > 1 and (tensor.name, 0) not in other)
    return next((tensor for tensor in fitting if tensor.shape[0] in in_front), None)
