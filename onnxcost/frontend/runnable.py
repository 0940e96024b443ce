"""The model to run for a trace: one whose nodes say in their names where they stand."""

from __future__ import annotations

from typing import TYPE_CHECKING

from onnxcost.frontend.bodies import FLOAT
from onnxcost.frontend.normal_form import normalised
from onnxcost.frontend.traced import first_output
from onnxcost.traced import Place, name_of

if TYPE_CHECKING:
    from os import PathLike
    from typing import BinaryIO

    from onnx import GraphProto, NodeProto

_FUNCTIONS = frozenset(
    {"AffineGrid", "BlackmanWindow", "CenterCropPad", "HammingWindow", "HannWindow", "Range", "ReduceL1", "ReduceL2"}
    | {"ReduceLogSum", "ReduceLogSumExp", "ReduceSumSquare", "SequenceMap"}
)
"""The operators with data-dependent shapes that ONNX defines as functions: where onnxruntime has no kernel for one, it runs
the nodes of its body, under names of its own.
"""


def runnable(source: str | PathLike[str] | BinaryIO) -> bytes:
    """The model, weights included, as the walk reads it, its nodes renamed by ``trace.name_of``; weights in other files stay
    there. Raises ModelError as the walk does.
    """
    import onnx

    model, _ = normalised(onnx.load(source, load_external_data=False))
    model.ir_version = max(model.ir_version, 4)  # before, a body's initializers had to be among its inputs
    _rename(model.graph, ("",))
    return model.SerializeToString()  # type: ignore[no-any-return]


def _rename(graph: GraphProto, place: Place) -> None:
    nodes = list(graph.node)
    for node in nodes:
        here = (*place, first_output(node))
        for attribute in node.attribute:
            if attribute.HasField("g"):
                body = (*here, attribute.name)
                _rename(attribute.g, body)
                _mark(attribute.g, body)
        node.name = name_of(here)
        if node.op_type in _FUNCTIONS and not node.domain:
            _follow(graph, node, place)


def _mark(body: GraphProto, place: Place) -> None:
    """A node that runs once in each pass through the body: the body's own may all be constants, which no runtime executes."""
    name = name_of((*place, ""))
    body.initializer.add(name=f"{name}of", data_type=FLOAT, float_data=[0])
    body.node.add(op_type="Identity", name=name, input=[f"{name}of"], output=[name])


def _follow(graph: GraphProto, node: NodeProto, place: Place) -> None:
    """Has the node's outputs made by Identity nodes behind it: the first stands in its place."""
    node.name = ""
    for index, output in enumerate(node.output):
        if output:
            name = name_of((*place, output))
            node.output[index] = f"{name}/made"
            graph.node.add(op_type="Identity", name=name, input=[node.output[index]], output=[output])
