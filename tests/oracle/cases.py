"""A node as a row of a test table, run by the reference evaluator on counting scalars and held against its formula."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx.reference import ReferenceEvaluator

from onnxcost.formulas import FORMULAS
from onnxcost.graph import NO_WORK, Node, Tensor, Work
from tests.oracle.scalars import COUNTS, KINDS, Scalar
from tests.oracle.shims import CountingArray, numpy_on_scalars


@dataclass(frozen=True)
class Case:
    """A node: each input a shape (of counting scalars), an array (as it is) or None.

    ``artefact`` is what the evaluator does beyond (or, negative, short of) the formula, and ``why``.
    """

    op_type: str
    inputs: tuple[Any, ...]
    attributes: Mapping[str, Any] = field(default_factory=dict)
    artefact: Work = NO_WORK
    why: str = ""
    opset: int = 0
    outputs: int = 1

    def __str__(self) -> str:
        inputs = " ".join(
            str(each if isinstance(each, tuple) else None if each is None else each.tolist()) for each in self.inputs
        )
        return f"{self.op_type} {inputs} {dict(self.attributes) or ''}".replace(", ", ",")


def newest(op_type: str) -> int:
    """The newest opset for ai.onnx; the newest version of the operator for other domains."""
    domain, _, name = op_type.rpartition(".")
    return int(onnx.defs.get_schema(name, domain).since_version) if domain else int(onnx.defs.onnx_opset_version())


def case(op_type: str, *inputs: Any, artefact: Work = NO_WORK, why: str = "", outputs: int = 1, **attributes: Any) -> Case:
    """A Case as a row of a table; ``opset`` among the attributes picks another version than the newest."""
    opset = attributes.pop("opset", 0) or newest(op_type)
    return Case(op_type, inputs, attributes, artefact, why, opset, outputs)


def scalars(shape: tuple[int, ...]) -> CountingArray:
    """Distinct numbers between 0.1 and 0.9, in no order."""
    size = math.prod(shape)
    values = [Scalar(0.1 + 0.8 * (index * 619 % 1009) / 1009) for index in range(size)]
    array = np.empty(size, dtype=object)
    array[:] = values
    return array.reshape(shape).view(CountingArray)


def proto_of(case: Case) -> onnx.NodeProto:
    inputs = [f"x{index}" if each is not None else "" for index, each in enumerate(case.inputs)]
    domain, _, name = case.op_type.rpartition(".")
    outputs = [f"y{index}" for index in range(case.outputs)]
    return onnx.helper.make_node(name, inputs, outputs, domain=domain, **case.attributes)


def tensor(name: str, array: Any) -> Tensor | None:
    if array is None:
        return None
    if isinstance(array, tuple) or array.dtype == object:
        return Tensor(name, "float32", array if isinstance(array, tuple) else array.shape)
    return Tensor(name, str(array.dtype), array.shape, True, tuple(array.ravel().tolist()))


def attribute(proto: onnx.AttributeProto) -> Any:
    value = onnx.helper.get_attribute_value(proto)
    value = value.decode() if isinstance(value, bytes) else value
    return tuple(each.decode() if isinstance(each, bytes) else each for each in value) if isinstance(value, list) else value


def node_of(case: Case, inputs: Sequence[Any], outputs: Sequence[Any]) -> Node:
    """The Node that the frontend would make of it, of shapes or arrays: the schema's defaults filled in, Softmax's axes."""
    domain, _, name = case.op_type.rpartition(".")
    schema = onnx.defs.get_schema(name, case.opset, domain)
    defaults = {name: each.default_value for name, each in schema.attributes.items() if each.default_value.name}
    attributes = {name: attribute(proto) for name, proto in defaults.items()}
    attributes |= {each.name: attribute(each) for each in proto_of(case).attribute}
    ins = tuple(tensor(f"x{index}", each) for index, each in enumerate(inputs))
    outs = tuple(tensor(f"y{index}", each) for index, each in enumerate(outputs))
    if case.op_type in ("Softmax", "LogSoftmax", "Hardmax"):
        first = attributes["axis"] % ins[0].rank
        attributes["axes"] = (first,) if case.opset >= 13 else tuple(range(first, ins[0].rank))
    return Node(case.op_type, name, domain, ins, outs, attributes)


def run(case: Case) -> tuple[Node, Work]:
    """The node, and the arithmetic that the reference evaluator did for it (``muls`` and ``adds`` hold the MACs')."""
    proto = proto_of(case)
    inputs = [scalars(each) if isinstance(each, tuple) else each for each in case.inputs]
    infos = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in proto.input if name]
    results = [onnx.helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, None) for name in proto.output]
    graph = onnx.helper.make_graph([proto], "one", infos, results)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(proto.domain, case.opset)])
    with numpy_on_scalars():
        evaluator = ReferenceEvaluator(model)
        COUNTS.clear()
        outputs = evaluator.run(None, {f"x{i}": each for i, each in enumerate(inputs) if each is not None})
        counts = Work(**{kind: COUNTS[kind] for kind in KINDS})
    return node_of(case, inputs, outputs), counts


def as_scalars_see_it(work: Work) -> Work:
    """Contractions and biases as the multiplications and additions they are."""
    return Work(
        adds=work.macs - work.accumulators + work.bias_adds + work.adds,
        muls=work.macs + work.muls,
        divs=work.divs, compares=work.compares, transcendentals=work.transcendentals,
    )  # fmt: skip


def check(case: Case) -> None:
    """The formula's work plus the evaluator's artefact is what was counted."""
    node, counts = run(case)
    assert counts == as_scalars_see_it(FORMULAS[node.key](node)) + case.artefact, case.why


def by_hand(op_type: str, inputs: Sequence[Any], outputs: Sequence[Any], opset: int = 0, **attributes: Any) -> Work:
    """The formula's work for a node of those shapes (or arrays, or None), for a test to compare with a number."""
    node = node_of(
        Case(op_type, tuple(inputs), attributes, opset=opset or newest(op_type), outputs=len(outputs)), inputs, outputs
    )
    return FORMULAS[node.key](node)
