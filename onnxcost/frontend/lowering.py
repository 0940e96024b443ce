"""From the shaped model to the Graph that the rest of onnxcost knows."""

from __future__ import annotations

from onnxcost.frontend.blocked import with_true_channels
from onnxcost.frontend.nodes import as_node, as_tensor
from onnxcost.frontend.shaped_model import ShapedModel
from onnxcost.frontend.skeleton import Skeleton
from onnxcost.frontend.values import Value
from onnxcost.graph import Graph, Tensor


def lowered(skeleton: Skeleton, found: ShapedModel) -> Graph:
    """The graph of a shaped model."""
    model = found.model
    tensors: dict[int, Tensor] = {}

    def tensor(value: Value) -> Tensor:
        if id(value) not in tensors:
            tensors[id(value)] = as_tensor(value, tensor)
        return tensors[id(value)]

    return Graph(
        name=model.graph.name,
        inputs=tuple(tensor(value) for value in found.inputs),
        outputs=tuple(tensor(value) for value in found.outputs),
        nodes=with_true_channels([as_node(step, found.opsets, tensor) for step in found.steps]),
        constants={name: tensor(value) for name, value in found.constants.items()},
        dims=found.dims,
        caveats=tuple(found.caveats),
        path=skeleton.path,
        producer=" ".join(filter(None, (model.producer_name, model.producer_version))),
        ir_version=model.ir_version,
        opsets=dict(found.opsets),
        file_bytes=skeleton.file_bytes,
    )
