"""The traits of operators, against onnx's reference evaluator, its schemas and the formulas."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pytest
from onnx import defs, helper
from onnx.reference import ReferenceEvaluator

from onnxcost.formulas import CONTROL_FLOW, FORMULAS, UNCOUNTABLE
from onnxcost.operators import traits
from tests.operators import INPUTS, OUTPUTS

SETS: Mapping[str, frozenset[str]] = {
    name: frozenset(operators) for name, operators in vars(traits).items() if name.isupper() and not name.startswith("_")
}
X = (np.random.default_rng(0).permutation(48).reshape(2, 4, 2, 3) / 50 + 0.01).astype(np.float32)
TYPES = ("tensor(float)", "tensor(uint8)", "tensor(bool)")
OTHERS: Mapping[str, Sequence[Any]] = {
    "BatchNormalization": [np.arange(1, 5, dtype=np.float32)] * 4,
    "QuantizeLinear": [np.array(0.01, np.float32), np.array(3, np.uint8)],
    "Reshape": [np.array([6, 8])],
    "Squeeze": [],
    "Unsqueeze": [np.array([0])],
    "Expand": [np.array([2, 4, 2, 3])],
    "Tile": [np.array([1, 2, 1, 1])],
    "Pad": [np.array([1, 0, 0, 0, 0, 0, 0, 2])],
    "Slice": [np.array([1]), np.array([3]), np.array([1])],
    "Split": [],
    "CenterCropPad": [np.array([1, 6, 1, 3])],
    "ReverseSequence": [np.array([1, 2, 2, 1])],
    "Gather": [np.array([1, 1, 0])],
    "GatherElements": [(X > 0.5).astype(np.int64)],
    "GatherND": [np.array([[1, 2], [0, 0]])],
    "ScatterElements": [(X > 0.5).astype(np.int64), -X],
    "ScatterND": [np.array([[1]]), -X[:1]],
    "Compress": [np.array([True, False])],
    "TopK": [np.array([2])],
    "Clip": [np.float32(0.2), np.float32(0.9)],
    "Concat": [-X],
    "Max": [1 - X],
    "Min": [1 - X],
    "Where": [-X, X],
    "Pow": [np.float32(2)],
}
ATTRIBUTES: Mapping[str, Mapping[str, Any]] = {
    "Cast": {"to": 11},
    "Concat": {"axis": 1},
    "DepthToSpace": {"blocksize": 2},
    "SpaceToDepth": {"blocksize": 1},
    "Split": {"num_outputs": 2, "axis": 1},
    "Compress": {"axis": 0},
    "ReverseSequence": {"time_axis": 0, "batch_axis": 1},
    "BitShift": {"direction": "LEFT"},
}


def run(name: str, x: np.ndarray, *others: Any) -> list[np.ndarray]:
    """The outputs of a single node."""
    arrays = [np.asarray(each) for each in (x, *others)]
    names = [f"x{index}" for index in range(len(arrays))]
    outputs = [f"y{index}" for index in range(2 if name in ("Split", "TopK") else 1)]
    graph = helper.make_graph(
        [helper.make_node(name, names, outputs, **ATTRIBUTES.get(name, {}))],
        "g",
        [helper.make_empty_tensor_value_info(each) for each in names],
        [helper.make_empty_tensor_value_info(each) for each in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", defs.get_schema(name).since_version)])
    return ReferenceEvaluator(model).run(None, dict(zip(names, arrays, strict=True)))


def standard(operators: str, leave_out: str = "") -> list[str]:
    return sorted(name for name in SETS[operators] if "." not in name and name not in leave_out.split())


def example(name: str) -> np.ndarray:
    """X in a type that the operator takes."""
    schema = defs.get_schema(name)
    allowed = {each.type_param_str: each.allowed_type_strs for each in schema.type_constraints}
    kind = next(each for each in TYPES if each in allowed.get(schema.inputs[0].type_str, TYPES))
    return X if kind == TYPES[0] else (X * 100).astype(np.uint8) if kind == TYPES[1] else X > 0.5


@pytest.mark.parametrize("name", SETS)
def test_its_operators_are_known(name: str) -> None:
    assert SETS[name] <= FORMULAS.keys() | UNCOUNTABLE.keys()


@pytest.mark.parametrize("name", standard("POINTWISE"))
def test_pointwise(name: str) -> None:
    """An element that changes changes no other."""
    before = example(name) + (name == "Acosh")
    after = before.copy()
    after[1, 2, 0, 1] = ~before[1, 2, 0, 1] if before.dtype == bool else before[0, 0, 0, 0]
    others = OTHERS.get(name, [before] * (defs.get_schema(name).min_input - 1))
    is_changed = run(name, before, *others)[0] != run(name, after, *others)[0]
    is_changed[1, 2, 0, 1] = False
    assert before.shape == is_changed.shape
    assert not is_changed.any()


@pytest.mark.parametrize("name", standard("VIEWS"))
def test_views(name: str) -> None:
    assert run(name, X, *OTHERS.get(name, []))[0].ravel().tolist() == X.ravel().tolist()


@pytest.mark.parametrize("name", standard("IDENTITIES"))
def test_identities(name: str) -> None:
    assert run(name, X)[0].shape == X.shape


# The evaluator has no Scatter; it is the old name of ScatterElements.
SEQUENCES = (
    "SplitToSequence SequenceAt SequenceErase ConcatFromSequence SequenceConstruct SequenceInsert Optional OptionalGetElement"
)


@pytest.mark.parametrize("name", standard("ELEMENTS_FROM", f"Add Sub CastLike Scatter OptionalGetElement {SEQUENCES}"))
def test_outputs_hold_elements_of_those_inputs(name: str) -> None:
    x = X > 0.5 if name == "Where" else X
    given = [x, *OTHERS.get(name, [])]
    places = [place for place in range(len(given)) if place in traits.ELEMENTS_FROM[name]]
    known = {float(each) for place in places for each in np.asarray(given[place]).ravel()}
    bounds = {float(each) for each in given[1:]} if name == "Clip" else set()
    made = {float(each) for each in run(name, *given)[0].ravel()}
    assert made <= known | bounds | {0.0}
    assert made & known


@pytest.mark.parametrize("name", standard("RECTIFIERS"))
def test_rectifiers(name: str) -> None:
    others = [np.array([0.1], np.float32)] if name == "PRelu" else []
    below, above = run(name, np.array([-10, 10], np.float32), *others)[0]
    assert above >= 10 > 2 > abs(below)


@pytest.mark.parametrize("name", standard("EVEN"))
def test_even(name: str) -> None:
    assert np.allclose(run(name, X - 0.5, *OTHERS.get(name, []))[0], run(name, 0.5 - X, *OTHERS.get(name, []))[0])


@pytest.mark.parametrize("name", standard("AFFINE"))
def test_affine(name: str) -> None:
    first, second, third = (run(name, number * X, X + 1)[0] for number in (0, 1, 2))
    assert np.allclose(third - second, second - first)


@pytest.mark.parametrize("name", standard("SHAPE_READERS"))
def test_shape_readers(name: str) -> None:
    assert np.array_equal(run(name, X)[0], run(name, X + 1)[0])


def test_random() -> None:
    """Those that onnx calls so, but for what is random in training or in a body alone, and AffineGrid, which it errs on."""
    nondeterministic = defs.OpSchema.NodeDeterminism.NonDeterministic
    found = {each.name for each in defs.get_all_schemas() if not each.domain and each.node_determinism == nondeterministic}
    assert traits.RANDOM | CONTROL_FLOW | {"Dropout", "AffineGrid"} == found


@pytest.mark.parametrize("name", ["CONVOLUTIONS", "PRODUCTS", "RECURRENT"])
def test_contractions(name: str) -> None:
    assert all(getattr(FORMULAS[key], "macs", "0") != "0" for key in SETS[name])


@pytest.mark.parametrize("name", ["VIEWS", "CASTS", "REARRANGEMENTS", "GATHERS", "CONTAINERS", "SHAPE_READERS"])
def test_no_arithmetic(name: str) -> None:
    assert all(getattr(FORMULAS[key], "macs", "0") == "0" for key in SETS[name])


@pytest.mark.parametrize("name", standard("POOLS"))
def test_windows(name: str) -> None:
    assert defs.get_schema(name).attributes["kernel_shape"].required


# Names of outputs in the schemas, and of the inputs that these continue.
CONTINUED = {
    "present": "past",
    "present_key": "past_key",
    "present_value": "past_value",
    "key_cache_out": "key_cache",
    "value_cache_out": "value_cache",
    "new_key_cache": "key_cache",
    "new_value_cache": "value_cache",
    "y_h": "initial_h",
    "y_c": "initial_c",
    "present_state": "past_state",
    "final_state": "initial_state",
    "conv_snapshots": "conv_state",
    "ssm_snapshots": "ssm_state",
}
CACHES_AND_STATES = {**traits.CACHE_INPUTS, **traits.STATE_INPUTS}


@pytest.mark.parametrize("key", sorted(CACHES_AND_STATES.keys() & INPUTS))
def test_caches_and_states_by_the_names_of_the_schema(key: str) -> None:
    inputs, outputs = INPUTS[key], OUTPUTS[key]
    given = {made: read for made, read in CACHES_AND_STATES[key].items() if made < len(outputs)}  # only an LSTM has a cell
    assert given == {place: inputs.index(CONTINUED[name]) for place, name in enumerate(outputs) if name in CONTINUED}
