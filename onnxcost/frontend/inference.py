"""The types of one node's outputs: from onnx's own inference where it has one, else from what the file says of them."""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import TYPE_CHECKING

from onnxcost.errors import ModelError, UnknownShape
from onnxcost.formulas.table import FormulaTable, ShapeRule
from onnxcost.frontend.folding import can_fold, folded
from onnxcost.frontend.nodes import as_node, as_tensor, element_type, schema_of
from onnxcost.frontend.values import MAX_RANK, Step, Value, tensor_type

if TYPE_CHECKING:
    from onnx import NodeProto, OperatorSetIdProto, TensorProto, TypeProto
    from onnx.defs import OpSchema


class Contradiction(ModelError):
    """A node that cannot be with the shapes that it gets."""


@dataclass(frozen=True, slots=True)
class Inference:
    """Asks onnx for the types of a node's outputs, once for all nodes that are alike: models repeat their blocks."""

    opsets: Mapping[str, int]
    imports: Sequence[OperatorSetIdProto]
    ir_version: int
    formulas: FormulaTable
    answers: dict[Hashable, list[Value]] = field(default_factory=dict)

    def infer(self, step: Step, hints: Mapping[str, TypeProto], scope: Mapping[str, Value]) -> None:
        """Fills in the types of the step's outputs; ``scope`` is what a subgraph of it can see. Raises Contradiction."""
        schema = schema_of(step.node.op_type, step.domain, self.opsets.get(step.domain))
        if schema is not None and all(value is None or value.type is not None for value in step.inputs):
            self._derive(step, schema, scope, fold=False)
            if not _is_settled(step) and any(v is not None and v.tensor is None and v.is_known for v in step.inputs):
                self._derive(step, schema, scope, fold=True)
            _mask_of_dropout(step)
            _check_reshape(step)
            _check_window(step)
        if not _is_settled(step):
            self._apply_rules(step)
        for name, output in zip(step.node.output, step.outputs, strict=True):
            if output is not None and not output.is_shaped and name in hints:
                _take_hint(output, hints[name])
        if any(value is not None and value.is_bound for value in step.inputs):
            for output in step.outputs:
                if output is not None:
                    output.is_bound = True

    def _apply_rules(self, step: Step) -> None:
        """The rules that stand beside the formulas: exact ones first, then the largest that an output can be."""
        formula = self.formulas.get(f"{step.domain}.{step.node.op_type}" if step.domain else step.node.op_type)
        for rule, is_bound in ((getattr(formula, "shapes", None), False), (getattr(formula, "bounds", None), True)):
            if rule is not None and not _is_settled(step):
                for value in step.inputs:
                    if value is not None:
                        folded(value, self.opsets)
                _apply(rule, step, self.opsets, is_bound=is_bound)

    def _derive(self, step: Step, schema: OpSchema, scope: Mapping[str, Value], *, fold: bool) -> None:
        data: dict[str, TensorProto] = {}
        for name, value in zip(step.node.input, step.inputs, strict=True):
            tensor = (folded(value, self.opsets) if fold else value.tensor) if value is not None else None
            if tensor is not None:
                data[name] = tensor
        if step.has_subgraph:
            answer = self._ask(step, schema, {name: value for name, value in scope.items() if value.type is not None}, data)
        else:
            alike = _signature(step, data)
            if alike not in self.answers:
                visible = {name: value for name, value in zip(step.node.input, step.inputs, strict=True) if value is not None}
                self.answers[alike] = self._ask(step, schema, visible, data)
            answer = self.answers[alike]
        for output, found in zip(step.outputs, answer, strict=True):
            if output is not None and found.type is not None:
                output.learn_from(found)

    def _ask(self, step: Step, schema: OpSchema, visible: Mapping[str, Value], data: dict[str, TensorProto]) -> list[Value]:
        """One value with the inferred type for each output; one without a type for an output that inference leaves open."""
        from onnx import shape_inference
        from onnx.checker import ValidationError

        types = {name: value.type for name, value in visible.items() if value.type is not None}
        _check_positions(step)
        try:
            found = shape_inference.infer_node_outputs(
                schema, _explicit(step.node), types, data, opset_imports=list(self.imports), ir_version=self.ir_version
            )
        # Beside its own errors onnx raises those of C++ for types that do not exist and inputs that are too few.
        except (shape_inference.InferenceError, ValidationError, RuntimeError, ValueError, TypeError, LookupError) as error:
            if (computed := _computed(step, self.opsets)) is not None:
                return computed
            _refuse_contradiction(step, str(error))
            found = {}
        answer = [Value(name) for name in step.node.output]
        for value in answer:
            if value.name and value.name in found and found[value.name].WhichOneof("value"):
                value.learn(found[value.name])
        return answer


def _explicit(node: NodeProto) -> NodeProto:
    """The node as onnx's inference should read it: that of STFT takes an absent ``onesided`` for 0, its default is 1."""
    if node.op_type != "STFT" or any(attribute.name == "onesided" for attribute in node.attribute):
        return node
    from onnx import NodeProto, helper

    explicit = NodeProto()
    explicit.CopyFrom(node)
    explicit.attribute.append(helper.make_attribute("onesided", 1))
    return explicit


def _computed(step: Step, opsets: Mapping[str, int]) -> list[Value] | None:
    """The outputs of a node that can be run, whatever inference thinks of it: it is stricter than the runtimes in places."""
    if not can_fold(step):
        return None
    answer = [Value(name) for name in step.node.output]
    trial = replace(step, outputs=tuple(answer))
    for value in answer:
        value.folds_from = trial
        folded(value, opsets)
    return answer if all(value.type is not None for value in answer) else None


def _signature(step: Step, data: Mapping[str, TensorProto]) -> Hashable:
    """What the answer depends on: the operator, its attributes, the types of its inputs and the elements that are known."""
    return (
        step.domain,
        step.node.op_type,
        tuple(value.signature if value is not None else None for value in step.inputs),
        tuple(output is not None for output in step.outputs),
        tuple(attribute.SerializeToString() for attribute in step.node.attribute),
        tuple((index, data[name].SerializeToString()) for index, name in enumerate(step.node.input) if name in data),
    )


def _is_settled(step: Step) -> bool:
    return all(output is None or output.is_shaped for output in step.outputs)


def _apply(rule: ShapeRule, step: Step, opsets: Mapping[str, int], *, is_bound: bool) -> None:
    try:
        types = rule(as_node(step, opsets, as_tensor))
    # As with a formula: a node that does not fit its operator stays open.
    except (UnknownShape, ArithmeticError, AttributeError, LookupError, TypeError, ValueError):
        return
    for output, type_ in zip(step.outputs, types, strict=False):
        if output is not None and type_ is not None and not output.is_shaped:
            dtype, dims = type_
            output.learn(tensor_type(element_type(dtype), dims))
            output.is_bound = is_bound


def _mask_of_dropout(step: Step) -> None:
    """Before opset 12 onnx infers no shape for Dropout's second output, which has that of the first."""
    if step.node.op_type != "Dropout" or len(step.outputs) < 2:
        return
    kept, mask = step.outputs[:2]
    if kept is not None and mask is not None and mask.type is not None and kept.is_shaped and not mask.is_shaped:
        mask.learn(tensor_type(mask.type.tensor_type.elem_type, kept.dims))  # type: ignore[arg-type]  # all are int


def _check_reshape(step: Step) -> None:
    """onnx's inference believes a target shape of other elements than there are."""
    if step.node.op_type != "Reshape" or step.inputs[0] is None or step.outputs[0] is None:
        return
    before, after = step.inputs[0], step.outputs[0]
    if before.is_shaped and after.is_shaped and prod(before.dims or ()) != prod(after.dims or ()):  # type: ignore[arg-type]
        _refuse_contradiction(step, f"{prod(before.dims or ())} elements do not make {list(after.dims or ())}")  # type: ignore[arg-type]


_POSITIONS = frozenset({"axis", "axes", "perm", "batch_dims", "batch_axis", "time_axis", "scan_input_axes", "scan_output_axes"})


def _check_positions(step: Step) -> None:
    """Attributes that name dims, or count outputs. onnx's inference trusts some, and dies of one that no tensor has."""
    count = step.attributes.get("num_outputs")
    if count is not None and count.i != len(step.outputs):
        outputs = f"{len(step.outputs)} outputs, and its num_outputs is {count.i}"
        raise Contradiction(f"node '{step.name}' ({step.node.op_type}) cannot be: it has {outputs}")
    first = step.inputs[0].dims if step.inputs and step.inputs[0] is not None else None
    rank = len(first) if first is not None and step.node.op_type == "LayerNormalization" else MAX_RANK
    for name in _POSITIONS & step.attributes.keys():
        attribute = step.attributes[name]
        for position in (*attribute.ints, attribute.i):
            if not -rank <= position < max(rank, 1):
                raise Contradiction(f"node '{step.name}' ({step.node.op_type}) cannot be: its {name} names dim {position}")


def _check_window(step: Step) -> None:
    """onnx's inference lets a window be larger than what it slides over."""
    if step.node.op_type not in _SLIDING or not step.inputs or step.inputs[0] is None or step.outputs[0] is None:
        return
    attributes = {name: list(attribute.ints) for name, attribute in step.attributes.items()}
    weight = step.inputs[1] if step.node.op_type == "Conv" and len(step.inputs) > 1 else None
    dims = step.inputs[0].dims or ()
    kernel = attributes.get("kernel_shape") or (list(weight.dims[2:]) if weight is not None and weight.dims else [])
    rank = len(dims) - 2
    pads = attributes.get("pads") or [0] * (2 * rank)
    dilations = attributes.get("dilations") or [1] * rank
    pads_itself = "auto_pad" in step.attributes and step.attributes["auto_pad"].s.startswith(b"SAME")
    if pads_itself or not step.inputs[0].is_shaped or not len(kernel) == rank == len(dilations) == len(pads) // 2:
        return
    for axis, (size, length, dilation) in enumerate(zip(dims[2:], kernel, dilations, strict=True)):
        window, room = (length - 1) * dilation + 1, size + pads[axis] + pads[axis + rank]
        if window > room and size:
            _refuse_contradiction(
                step, f"a window of {window} does not fit into the {room} of dim {axis + 2}, padding included"
            )


_SLIDING = frozenset({"Conv", "MaxPool", "AveragePool", "LpPool"})


def _refuse_contradiction(step: Step, message: str) -> None:
    """An inference that fails although it knew all shapes has found a contradiction; one that lacked data has not.

    What holds tensors has no shape: a Loop may carry a sequence where its body declares an optional one.
    """
    lacks_data = any(v is not None and (v.dims is None or not v.is_shaped or v.is_bound) for v in step.inputs)
    lacks_data = lacks_data or "xternal" in message
    if lacks_data:
        return
    what = " ".join(message.replace("[ShapeInferenceError]", "").replace("[TypeInferenceError]", "").split())
    reads = ", ".join(f"{value.name} {list(value.dims or ())}" for value in step.inputs if value is not None)
    raise Contradiction(f"node '{step.name}' ({step.node.op_type}) cannot be: {what} (it reads {reads})")


def _take_hint(output: Value, hint: TypeProto) -> None:
    """What the file says of a value that inference left open; a dim that was derived is kept."""
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
