"""Control flow: which subgraph of a node runs, and how often."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from onnxcost.frontend.folding import folded
from onnxcost.frontend.values import Step

if TYPE_CHECKING:
    from onnx import GraphProto


def taken_branch(step: Step, opsets: Mapping[str, int]) -> GraphProto | None:
    """The branch that an ``If`` takes, where its condition is known; None for any other step."""
    if step.node.op_type != "If" or step.domain or not step.inputs or step.inputs[0] is None or not step.inputs[0].is_known:
        return None
    tensor = folded(step.inputs[0], opsets)
    branches = {name: attribute.g for name, attribute in step.attributes.items()}
    if tensor is None or not {"then_branch", "else_branch"} <= set(branches):
        return None
    from onnx.numpy_helper import to_array

    return branches["then_branch" if bool(to_array(tensor).all()) else "else_branch"]
