"""An attribute that a node leaves out has the default of the operator's schema, in all that is computed from the node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import onnx
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from onnxcost.errors import MISFITS, OnnxCostError
from onnxcost.formulas import FORMULAS
from onnxcost.graph import Node
from onnxcost.operators.inputs import role_of
from onnxcost.operators.traffic import traffic
from onnxcost.ort_optimizer.fused_node import FusedNode
from onnxcost.ort_optimizer.kernels import kernel_runs
from onnxcost.ort_optimizer.permutations import HANDLERS
from onnxcost.ort_optimizer.workspaces import workspace_of
from tests.formulas.contrib import node_of
from tests.formulas.contrib.test_shapes import ROWS_BY_HAND


def read_defaults() -> Mapping[str, Mapping[str, Any]]:
    """By operator and attribute, from the newest schema that onnxruntime has."""
    found: dict[str, dict[str, Any]] = {}
    for schema in sorted(get_all_operator_schema(), key=lambda schema: schema.since_version):
        key = f"{schema.domain}.{schema.name}" if schema.domain else schema.name
        found[key] = {}
        for name, attribute in schema.attributes.items():
            proto = onnx.AttributeProto.FromString(attribute._default_value)
            if proto.name:
                value = onnx.helper.get_attribute_value(proto)
                value = tuple(value) if isinstance(value, list) else value
                found[key][name] = value.decode() if isinstance(value, bytes) else value
    return found


DEFAULTS = read_defaults()
NEWER = {"RoiAlign": {"coordinate_transformation_mode"}}
"""Attributes without which an older version of the operator computes something else than with the default of the newest."""


def attempt(rule: Callable[[Node], Any] | None, node: Node) -> Any:
    try:
        found = rule(node) if rule is not None else None
        return list(found) if isinstance(found, Iterator) else found
    except (*MISFITS, OnnxCostError) as error:
        return type(error)


def axes_behind_transpose(node: Node) -> Any:
    """What becomes of a node whose input had the reverse order of axes, and of that order."""
    moved = HANDLERS[node.key](node, tuple(range(node.x.rank))[::-1])
    return moved and (moved[1], moved[0].attributes.get("axis"), moved[0].attributes.get("axes"))


def facts_of(node: Node) -> Iterator[tuple[str, Any]]:
    formula = FORMULAS.get(node.key)
    yield "work", attempt(formula, node)
    yield "shapes", attempt(getattr(formula, "shapes", None), node)
    yield "bounds", attempt(getattr(formula, "bounds", None), node)
    yield "traffic", attempt(traffic, node)
    yield "workspace", attempt(workspace_of, node)
    yield "kernels", attempt(lambda node: kernel_runs(FusedNode(node)), node)
    yield "axes behind a Transpose", attempt(axes_behind_transpose, node)
    for place, tensor in enumerate(node.inputs):
        role = role_of(node, place)
        yield f"indices of {place}", attempt(role.count_indices, node)
        yield f"numbers of {place}", attempt(role.find_numbers, node)
        if tensor is not None and role.fan_in is not None:
            yield f"fan-in of {place}", attempt(partial(role.fan_in, dims=tensor.dims), node)
        if tensor is not None and role.packed is not None:
            yield f"weights in {place}", attempt(lambda node, role=role, tensor=tensor: role.packed(node, tensor), node)


def differences(node: Node) -> dict[str, tuple[Any, Any]]:
    """What changes if the attributes that have the default of the schema are left out."""
    newer = NEWER.get(node.key, set())
    defaults = {name: value for name, value in DEFAULTS.get(node.key, {}).items() if name not in newer}
    left = {name: value for name, value in node.attributes.items() if name not in defaults or value != defaults[name]}
    given = replace(node, attributes=defaults | left)
    pairs = zip(facts_of(given), facts_of(replace(node, attributes=left)), strict=True)
    return {name: (stated, silent) for (name, stated), (_, silent) in pairs if stated != silent}


def test_operators_of_onnxruntime() -> None:
    assert {str(row[:4]): changed for row in ROWS_BY_HAND if (changed := differences(node_of(row)))} == {}
