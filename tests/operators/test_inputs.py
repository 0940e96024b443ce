"""The roles of inputs, against the names that the schemas of onnx and onnxruntime give them."""

from __future__ import annotations

import random
import re
from collections.abc import Mapping

import onnxruntime
import pytest
from onnxruntime.capi.onnxruntime_pybind11_state import get_all_operator_schema

from onnxcost.formulas import FORMULAS, UNCOUNTABLE
from onnxcost.graph import Node, Tensor
from onnxcost.operators.inputs import OUTPUT, ROLES, role_of

NAMES: Mapping[str, str] = {
    "scale": "scale|absmax",
    "zero point": "zero_point",
    "bias": "bias|^[BC]$",
    "quantized bias": "^[BC]$",
    "gain": "scale|gamma|norm_weight",
    "shift": "bias|beta|^B$",
    "slope": "slope",
    "mean": "mean",
    "variance": "var",
    "positions": "cos|sin",
    "index": "ind|ids|position|target|labels|^[IY]$",
    "weight": "weight|data|lora|inputs|^[PRWABX]$|_B$",
}


def newest() -> Mapping[str, tuple[str, ...]]:
    """By operator, the names of its inputs."""
    schemas = sorted(get_all_operator_schema(), key=lambda schema: schema.since_version)
    keys = (f"{each.domain}.{each.name}" if each.domain else each.name for each in schemas)
    return {key: tuple(each.name for each in schema.inputs) for key, schema in zip(keys, schemas, strict=True)}


INPUTS = newest()


def test_its_operators_are_known() -> None:
    assert ROLES.keys() <= FORMULAS.keys() | UNCOUNTABLE.keys()


def test_operators_of_other_tools_alone_have_no_schema() -> None:
    # An older onnxruntime lacks some of its own.
    expected = {"com.microsoft"} if onnxruntime.__version__.startswith("1.31.") else set()
    assert {key.rpartition(".")[0] for key in ROLES.keys() - INPUTS.keys()} == expected | {
        "qonnx.custom_op.general", "finn.custom_op.general", "onnx.brevitas",
    }  # fmt: skip


@pytest.mark.parametrize("key", sorted(ROLES.keys() & INPUTS.keys()))
def test_names(key: str) -> None:
    names = INPUTS[key]
    for place, role in ROLES[key].items():
        name = names[place] if key != "Einsum" else names[0]
        assert re.search(NAMES.get(role.name, ""), name, re.IGNORECASE), f"input {place} ({name}) is no {role.name}"
        if role.name in ("scale", "zero point"):
            assert role.of == OUTPUT or role.of in range(len(names)), f"input {place} ({name})"
            assert role.of != place


@pytest.mark.parametrize(
    "key", [key for key in INPUTS if key in FORMULAS and any("zero_point" in each for each in INPUTS[key])]
)
def test_no_zero_point_is_forgotten(key: str) -> None:
    """What has a zero point has its scale, too."""
    roles = ROLES.get(key, {})
    for place, name in enumerate(INPUTS[key]):
        assert ("zero_point" in name.lower()) == (place in roles and roles[place].name == "zero point"), name


ODD_VALUES = (None, 0, -1, 2**40, 3.5, "x", "ij,jk->ik", (), (1, 2))
ODD_DIMS = (None, (), (0,), (3,), (2, 3), (2, 3, 4, 5), ("n", 3))
ATTRIBUTES = (
    "axis",
    "axes",
    "batch_dims",
    "layout",
    "time_axis",
    "vocab_size",
    "gather_axis",
    "equation",
    "strides",
    "K",
    "N",
    "bits",
)


@pytest.mark.parametrize("key", sorted(ROLES))
def test_a_node_that_does_not_fit_its_operator_has_no_numbers(key: str) -> None:
    pick = random.Random(key)
    domain, _, op_type = key.rpartition(".")
    for _ in range(30):
        inputs = [Tensor(f"x{i}", "int64", pick.choice(ODD_DIMS), value=pick.choice((None, (1,), (0, -3)))) for i in range(18)]
        attributes = {name: pick.choice(ODD_VALUES) for name in pick.sample(ATTRIBUTES, 5)}
        node = Node("", op_type, domain, tuple(pick.choice((None, each)) for each in inputs), (inputs[0],), attributes)
        for role in (role_of(node, place) for place in ROLES[key]):
            assert isinstance(role.count_indices(node), int | None)
            assert isinstance(role.find_numbers(node), tuple | None)
