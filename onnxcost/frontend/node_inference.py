"""The types of one node's outputs: from onnx's own inference if it has one, else from the file's declarations."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import count
from typing import TYPE_CHECKING

from onnxcost.errors import MISFITS
from onnxcost.formulas.table import FormulaTable, ShapeRule
from onnxcost.frontend.constant_folding import can_fold, fold_value
from onnxcost.frontend.contradictions import (
    check_channels,
    check_equal_dims,
    check_positions,
    check_reshape,
    check_sizes,
    check_window,
    refuse_contradiction,
)
from onnxcost.frontend.long_lists import holds_list
from onnxcost.frontend.nodes import as_node, as_tensor, element_type, schema_of
from onnxcost.frontend.values import Step, Value, array_of, tensor_type
from onnxcost.graph import Tensor
from onnxcost.operators.traits import POOLS

if TYPE_CHECKING:
    from onnx import NodeProto, OperatorSetIdProto, TensorProto, TypeProto
    from onnx.defs import OpSchema


Hints = Callable[[], Mapping[str, "TypeProto"]]
"""Gives the declared types of values by name."""


@dataclass(frozen=True, slots=True)
class Inference:
    """Finds the types of a node's outputs, once for all equal nodes: models repeat their own blocks, and those of other models
    in a folder.

    ``answers`` are onnx's own; it has none for nodes that it ``refused``. ``walked`` are steps whose outputs' shapes are known,
    by operator, attributes and kinds of their inputs; ``kinds`` are the values of which only the type is known. With
    ``checks_more``, properties of nodes are checked that onnx does not check.
    """

    opsets: Mapping[str, int]
    imports: Sequence[OperatorSetIdProto]
    ir_version: int
    formulas: FormulaTable
    checks_more: bool = False
    answers: dict[Hashable, list[Value]] = field(default_factory=dict)
    refused: dict[Hashable, list[Value]] = field(default_factory=dict)
    walked: dict[Hashable, Step] = field(default_factory=dict)
    kinds: dict[Hashable, int] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=partial(count, 1))

    def give_kind(self, value: Value) -> None:
        """Gives a value its kind: a new one if its elements can be known, else that of its type."""
        value.kind = next(self.numbers)
        if not value.is_known and value.elements is None and value.content is None:
            alike = value.signature, value.is_shaped, value.is_constant, value.is_bound
            value.kind = self.kinds.setdefault(alike, value.kind)

    def infer(self, step: Step, hints: Hints, scope: Mapping[str, Value]) -> bool:
        """Fills in the types of the step's outputs; ``scope`` has the values that its subgraphs can read. Returns whether equal
        steps have the same: the file's ``hints``, by name, were not needed. Raises Contradiction.
        """
        self._infer(step, scope)
        is_settled = _is_settled(step)
        declared = hints() if not is_settled else {}
        for name, output in zip(step.node.output, step.outputs, strict=True) if declared else ():
            if output is not None and not output.is_shaped and name in declared:
                _take_hint(output, declared[name])
        if any(value is not None and value.is_bound for value in step.inputs):
            for output in step.outputs:
                if output is not None:
                    output.is_bound = True
        return is_settled

    def _infer(self, step: Step, scope: Mapping[str, Value]) -> None:
        if self.checks_more:
            check_equal_dims(step, self.opsets)
        opset = self.opsets.get(step.domain)
        if opset and step.node.op_type == "Constant" and not step.domain and _type_stored(step):
            return
        if opset and step.node.op_type in POOLS and not step.domain and "ceil_mode" in step.attributes:
            # Before opset 22 onnx counts windows that begin in the padding after the end, which onnxruntime leaves out.
            opset = max(opset, 22)
        schema = schema_of(step.node.op_type, step.domain, opset)
        is_typed = all(value is None or value.type is not None for value in step.inputs)
        if schema is not None and is_typed and not _is_dilated_pool(step):
            self._derive(step, schema, scope, fold=False)
            if not _is_settled(step) and any(v is not None and v.tensor is None and v.is_known for v in step.inputs):
                self._derive(step, schema, scope, fold=True)
            _mask_of_dropout(step)
            _scale_sizes(step, self.opsets)
            _transposed_sizes(step)
            check_reshape(step)
            check_window(step)
            check_channels(step)
        check_sizes(step)
        if not _is_settled(step):
            self._apply_rules(step)
            check_sizes(step)

    def _apply_rules(self, step: Step) -> None:
        """The shape rules of the formulas: exact ones first, then the largest that an output can be."""
        formula = self.formulas.get(f"{step.domain}.{step.node.op_type}" if step.domain else step.node.op_type)
        for rule, is_bound in ((getattr(formula, "shapes", None), False), (getattr(formula, "bounds", None), True)):
            if rule is not None and not _is_settled(step):
                for value in step.inputs:
                    if value is not None:
                        fold_value(value, self.opsets)
                _apply(rule, step, self.opsets, is_bound=is_bound)

    def _derive(self, step: Step, schema: OpSchema, scope: Mapping[str, Value], *, fold: bool) -> None:
        data: dict[str, TensorProto] = {}
        for name, value in zip(step.node.input, step.inputs, strict=True):
            tensor = (fold_value(value, self.opsets) if fold else value.tensor) if value is not None else None
            if tensor is not None:
                data[name] = tensor
        if step.has_subgraph:
            answer, _ = self._ask(step, schema, {name: v for name, v in scope.items() if v.type is not None}, data)
        else:
            alike = _signature(step, data)
            known = (self.answers.get(alike) or self.refused.get(alike)) if alike is not None else None
            if known is None:
                visible = {name: value for name, value in zip(step.node.input, step.inputs, strict=True) if value is not None}
                known, is_refused = self._ask(step, schema, visible, data)
                if len(self.answers) >= _REMEMBERED:
                    self.answers.clear()
                if alike is not None:
                    (self.refused if is_refused else self.answers)[alike] = known
            answer = known
        for output, found in zip(step.outputs, answer, strict=True):
            if output is not None and found.type is not None:
                output.learn_from(found)

    def _ask(
        self, step: Step, schema: OpSchema, visible: Mapping[str, Value], data: dict[str, TensorProto]
    ) -> tuple[list[Value], bool]:
        """One value with the inferred type for each output, one without a type for an output that inference leaves open; and
        whether inference refused the node.
        """
        from onnx import shape_inference
        from onnx.checker import ValidationError

        types = {name: value.type for name, value in visible.items() if value.type is not None}
        check_positions(step)
        try:
            found = shape_inference.infer_node_outputs(
                schema, _explicit(step), types, data, opset_imports=list(self.imports), ir_version=self.ir_version
            )
        # In addition to its own errors, onnx raises those of C++ for types that do not exist and missing inputs.
        except (shape_inference.InferenceError, ValidationError, RuntimeError, ValueError, TypeError, LookupError) as error:
            if (computed := _compute(step, self.opsets)) is not None:
                return computed, True
            refuse_contradiction(step, str(error))
            return [Value(name) for name in step.node.output], True
        answer = [Value(name) for name in step.node.output]
        for value in answer:
            type_ = found.get(value.name)
            if type_ is not None and type_.WhichOneof("value"):
                value.learn(type_)
        return answer, False


def _type_stored(step: Step) -> bool:
    """Gives a Constant the type of its tensor; False if it has none."""
    stored = step.attributes["value"].t if step.attributes.keys() == {"value"} else None
    if stored is None or not stored.data_type or min(stored.dims, default=0) < 0 or step.outputs[:1] in ((), (None,)):
        return False
    step.outputs[0].learn(tensor_type(stored.data_type, stored.dims))  # type: ignore[union-attr]  # it is there
    return True


def _is_dilated_pool(step: Step) -> bool:
    """Whether it is a dilated pool with automatic padding, for which onnx infers another shape than onnxruntime computes."""
    if step.node.op_type not in POOLS or step.domain or not {"auto_pad", "dilations"} <= step.attributes.keys():
        return False
    return step.attributes["auto_pad"].s.startswith(b"SAME") and max(step.attributes["dilations"].ints, default=1) > 1


_REMEMBERED = 4096
_answers: dict[Hashable, dict[Hashable, list[Value]]] = {}
"""onnx's answers by the versions of the models."""


def known_answers(opsets: Mapping[str, int], ir_version: int) -> dict[Hashable, list[Value]]:
    """onnx's answers for models of the same versions."""
    if len(_answers) > 16:
        _answers.clear()
    return _answers.setdefault((*opsets.items(), ir_version), {})


_TREES = frozenset({"TreeEnsembleRegressor", "TreeEnsembleClassifier"})
_LONG = 1000


def _explicit(step: Step) -> NodeProto:
    """The node as onnx's inference should read it: that of STFT takes an absent ``onesided`` for 0, its default is 1. The nodes
    of trees, a million numbers and strings, decide no shape.
    """
    message = step.node.message
    trees = message.domain == "ai.onnx.ml" and message.op_type in _TREES
    if not trees and (message.op_type != "STFT" or "onesided" in step.attributes):
        return message
    from onnx import NodeProto, helper

    explicit = NodeProto(op_type=message.op_type, domain=message.domain, name=message.name)
    explicit.input.extend(message.input)
    explicit.output.extend(message.output)
    held = message.attribute[:]
    explicit.attribute.extend(
        [item for item in held if not holds_list(item) and max(len(item.ints), len(item.floats), len(item.strings)) <= _LONG]
    )
    if not trees:
        explicit.attribute.append(helper.make_attribute("onesided", 1))
    return explicit


def _compute(step: Step, opsets: Mapping[str, int]) -> list[Value] | None:
    """The outputs of a node that can be computed, even if inference rejects it: it is stricter than the runtimes in places."""
    if not can_fold(step) or not step.node.output:
        return None
    answer = [Value(name) for name in step.node.output]
    trial = replace(step, outputs=tuple(answer))
    for value in answer:
        value.folds_from = trial
    fold_value(answer[0], opsets)  # one run computes them all
    return answer if all(value.type is not None for value in answer) else None


def _signature(step: Step, data: Mapping[str, TensorProto]) -> Hashable | None:
    """The key of an answer: what equal nodes have in common, the types of the inputs and their known elements."""
    if step.node.alike is None:
        return None
    types = tuple([value.signature if value is not None else None for value in step.inputs])
    elements = (
        tuple([(i, data[name].SerializeToString()) for i, name in enumerate(step.node.input) if name in data]) if data else ()
    )
    return step.node.alike.key, types, elements


def _is_settled(step: Step) -> bool:
    return False not in [output is None or output.is_shaped for output in step.outputs]


def _apply(rule: ShapeRule, step: Step, opsets: Mapping[str, int], *, is_bound: bool) -> None:
    try:
        types = rule(as_node(step, opsets, _without_elements))
    # Like in a formula, a node that does not fit its operator stays open.
    except MISFITS:
        return
    for output, type_ in zip(step.outputs, types, strict=False):
        if output is not None and type_ is not None and not output.is_shaped:
            dtype, dims = type_
            output.learn(tensor_type(element_type(dtype), dims))
            output.is_bound = is_bound


def _without_elements(value: Value) -> Tensor:
    """No rule for shapes looks into a sequence, which may be long and read by many nodes."""
    return as_tensor(value if value.elements is None else replace(value, elements=None, content=None))


def _mask_of_dropout(step: Step) -> None:
    """Before opset 12 onnx infers no shape for Dropout's second output, which has that of the first."""
    if step.node.op_type != "Dropout" or len(step.outputs) < 2:
        return
    kept, mask = step.outputs[:2]
    if kept is not None and mask is not None and mask.type is not None and kept.is_shaped and not mask.is_shaped:
        mask.learn(tensor_type(mask.type.tensor_type.elem_type, kept.dims))  # type: ignore[arg-type]  # all are int


def _scale_sizes(step: Step, opsets: Mapping[str, int]) -> None:
    """The sizes that scales make, which onnxruntime multiplies as floats of 32 bits: 5 rows times 1.4 are 7, and not the 6 of
    onnx, whose product is a little less than 7.
    """
    if step.node.op_type not in ("Resize", "Upsample") or step.domain:
        return
    import numpy as np

    x, output = step.inputs[0], step.outputs[0]
    if x is None or x.dims is None or output is None or output.dims is None or output.type is None:
        return
    place = 2 if step.node.op_type == "Resize" and opsets.get("", 0) > 10 else 1
    value = step.inputs[place] if place < len(step.inputs) else None
    tensor = fold_value(value, opsets) if value is not None and value.is_known else None
    scales = array_of(tensor) if tensor is not None else None
    if scales is None:
        scales = step.attributes["scales"].floats if "scales" in step.attributes else ()
    dims, axes = list(output.dims), step.attributes["axes"].ints if "axes" in step.attributes else range(len(x.dims))
    for axis, scale in zip(axes, scales, strict=False) if len(dims) == len(x.dims) else ():
        size = x.dims[axis]
        if isinstance(size, int):
            dims[axis] = int(np.float32(scale) * np.float32(size))
    if dims != list(output.dims):
        output.learn(tensor_type(output.type.tensor_type.elem_type, dims))


def _transposed_sizes(step: Step) -> None:
    """A ConvTranspose with automatic padding makes its input's sizes times the strides, or less if the windows end before that.
    onnx adds ``output_padding`` to these sizes.
    """
    attributes = step.attributes
    if step.node.op_type != "ConvTranspose" or step.domain or not {"auto_pad", "output_padding"} <= attributes.keys():
        return
    (x, weight), output = step.inputs[:2], step.outputs[0]
    if x is None or weight is None or output is None or output.type is None or not (x.dims and weight.dims and output.dims):
        return
    if not attributes["auto_pad"].s.startswith(b"SAME") or "output_shape" in attributes:
        return
    count = len(x.dims) - 2
    strides, dilations, added = (
        attributes[name].ints[:] if name in attributes else [usual] * count
        for name, usual in (("strides", 1), ("dilations", 1), ("output_padding", 0))
    )
    dims = list(output.dims)
    for axis, (size, kernel) in enumerate(zip(x.dims[2:], weight.dims[2:], strict=True)):
        if isinstance(size, int) and isinstance(kernel, int):
            whole = (size - 1) * strides[axis] + added[axis] + (kernel - 1) * dilations[axis] + 1
            dims[axis + 2] = min(size * strides[axis], whole)
    output.learn(tensor_type(output.type.tensor_type.elem_type, dims))


def _take_hint(output: Value, hint: TypeProto) -> None:
    """The file's declaration of a value that inference left open; a derived dim is kept."""
    from onnx import TypeProto

    merged = TypeProto()
    if output.type is None or output.dims is None:
        output.learn(hint)
        return
    merged.CopyFrom(output.type)
    declared, derived = hint.tensor_type.shape.dim, merged.tensor_type.shape.dim
    if len(declared) == len(derived):
        for dim, stored in zip(derived, declared, strict=True):
            if not dim.HasField("dim_value") and stored.HasField("dim_value"):
                dim.dim_value = stored.dim_value
        output.learn(merged)
