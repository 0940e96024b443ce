"""Computes small constants with ONNX's own reference evaluator, only when a shape or a branch asks for one."""

from __future__ import annotations

from functools import lru_cache
from math import prod
from typing import TYPE_CHECKING

from onnxcost.frontend.values import Step, Value, tensor_type

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from onnx import GraphProto, NodeProto, TensorProto

LIMIT = 1024
"""Elements of the largest value that is computed; what decides a shape or a branch is far smaller."""

_NEEDS_SHAPES_ALONE = frozenset({"Shape", "Size"})
_NOT_REPEATABLE = frozenset(
    {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}
)


def is_repeatable(step: Step) -> bool:
    """Whether equal inputs give equal outputs, by one run of one operator: no random generator, no subgraph."""
    return step.node.op_type not in _NOT_REPEATABLE and not step.has_subgraph


def can_fold(step: Step) -> bool:
    """Whether the step's outputs are small and follow from known values alone."""
    if step.node.op_type in _NEEDS_SHAPES_ALONE:
        return not step.domain and all(value is None or (value.is_shaped and value.dims is not None) for value in step.inputs)
    if not all(value is None or value.is_known for value in step.inputs) or step.domain or not is_repeatable(step):
        return False
    return all(value is None or _is_small(value) for value in step.outputs)


def _is_small(value: Value) -> bool:
    """A value of unknown shape may be small: it is tried."""
    dims = value.dims
    return dims is None or prod(dim for dim in dims if isinstance(dim, int)) <= LIMIT


def folded(value: Value, opsets: Mapping[str, int]) -> TensorProto | None:
    """The elements of a value that ``is_known``, computed now if need be; None if it turns out that they cannot be.

    The chain that leads to the value is walked with a stack of its own: chains of thousands of nodes occur.
    """
    stack = [value]
    while stack:
        top = stack[-1]
        waiting = _waits_for(top)
        if waiting:
            stack += waiting
            continue
        if top.tensor is None and top.same_as is not None:
            top.tensor = top.same_as.tensor
        elif top.tensor is None and top.folds_from is not None:
            _evaluate(top.folds_from, opsets)
        stack.pop()
    return value.tensor


def _waits_for(value: Value) -> list[Value]:
    """The values that must be folded before this one can be."""
    if value.tensor is not None:
        return []
    if value.same_as is not None:
        return [value.same_as] if value.same_as.tensor is None and value.same_as.is_known else []
    step = value.folds_from
    if step is None or step.node.op_type in _NEEDS_SHAPES_ALONE:
        return []
    return [item for item in step.inputs if item is not None and item.tensor is None and item.is_known]


def _evaluate(step: Step, opsets: Mapping[str, int]) -> None:
    """Runs one node and stores its outputs; a node that cannot be run leaves them unknown."""
    for value in step.outputs:
        if value is not None:
            value.folds_from = None
    for value, tensor in zip(step.outputs, _run(step, opsets), strict=False):
        if value is not None and tensor is not None:
            value.tensor = tensor
            value.learn(tensor_type(tensor.data_type, tensor.dims))


def _run(step: Step, opsets: Mapping[str, int]) -> Sequence[TensorProto | None]:
    if step.domain not in opsets:
        return []
    shapes_alone = step.node.op_type in _NEEDS_SHAPES_ALONE
    known: list[bytes | tuple[int, ...] | None] = []
    for value in step.inputs:
        if value is None:
            known.append(None)
        elif shapes_alone:
            known.append(value.dims)  # type: ignore[arg-type]  # can_fold saw that all are int
        elif value.tensor is None:
            return []
        else:
            known.append(value.tensor.SerializeToString())
    return _results(_unnamed(step.node), tuple(known), opsets[step.domain])


def _unnamed(node: NodeProto) -> bytes:
    """A node alike but for its names, as bytes: models repeat the same arithmetic on their shapes in every block."""
    from onnx import NodeProto

    alike = NodeProto(op_type=node.op_type, domain=node.domain, attribute=node.attribute)
    alike.input.extend(f"i{index}" if name else "" for index, name in enumerate(node.input))
    alike.output.extend(f"o{index}" if name else "" for index, name in enumerate(node.output))
    return bytes(alike.SerializeToString())


@lru_cache(maxsize=4096)
def _results(node: bytes, inputs: tuple[bytes | tuple[int, ...] | None, ...], opset: int) -> Sequence[TensorProto | None]:
    """What the node makes of its inputs, each a tensor as bytes, or a shape where that is all the node looks at."""
    import numpy as np
    from onnx import NodeProto, TensorProto
    from onnx.numpy_helper import from_array, to_array
    from onnx.reference import ReferenceEvaluator

    proto = NodeProto.FromString(node)
    try:
        feeds = {
            name: np.broadcast_to(np.int8(0), known) if isinstance(known, tuple) else to_array(TensorProto.FromString(known))
            for name, known in zip(proto.input, inputs, strict=True)
            if known is not None
        }
        with np.errstate(all="ignore"):
            evaluator = ReferenceEvaluator(_alone(proto), opsets={proto.domain: opset})
            made = dict(zip(evaluator.output_names, evaluator.run(None, feeds), strict=True))
        arrays = [np.asarray(made[name]) if name else None for name in proto.output]
        return [from_array(array) if array is not None and array.size <= LIMIT else None for array in arrays]
    # The evaluator raises whatever numpy or its own code raises on a node that it cannot run.
    except Exception:
        return []


def _alone(node: NodeProto) -> GraphProto:
    """A graph of the one node: a bare node the evaluator runs as the newest opset has it, whatever opset it is told."""
    from onnx import GraphProto

    graph = GraphProto(node=[node])
    for name in filter(None, node.input):
        graph.input.add().name = name
    for name in filter(None, node.output):
        graph.output.add().name = name
    return graph
